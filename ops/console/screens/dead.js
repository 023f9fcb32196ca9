// Jobs that failed for good: by what went wrong, one by one, and what to do about them.

import { here, to } from "../address.js";
import { api } from "../api.js";
import { button, h, link, table } from "../dom.js";
import { count, when } from "../words.js";
import { belongs, discard, everyOf, NoMore, replay, wanted } from "./dead_deeds.js";
import { jobTable } from "./jobs.js";
import { pager } from "./paging.js";
import { confirm } from "../dialogs.js";

export const dead = {
  get title() {
    return here().parts[1] === "group" ? "Dead letters of one kind" : "Dead letters";
  },
  every_s: null,
  load: (place, signal) => (place.parts[1] === "group" ? loadGroup(place, signal) : api.get("/dead-letters/groups", { signal })),
  show: (found, place, again) => (place.parts[1] === "group" ? showGroup(found, place, again) : showGroups(found, again)),
};

function showGroups(found, again) {
  const columns = [
    { head: "What went wrong", names: true, cell: (one) => link(one.error, group(one)) },
    { head: "Kind", cell: (one) => one.kind },
    { head: "Provider", cell: (one) => one.provider ?? "-" },
    { head: "Jobs", cell: (one) => count(one.jobs), number: true },
    { head: "Dead pages", cell: (one) => count(one.dead_pages), number: true },
    { head: "First", cell: (one) => when(one.first_at) },
    { head: "Last", cell: (one) => when(one.last_at) },
    { head: "Newest", cell: (one) => link("see it", to(["jobs", one.example])) },
    { head: "Do", cell: (one) => button("Replay all…", () => replayAll(one, again), { key: `all ${one.example}`, label: `Replay all: ${one.error}` }) },
  ];
  return [
    h("p", { class: "soft" }, "Numbers and ids in an error count as equal and are shown as #. At most 100 groups."),
    table("Dead letters by what went wrong", columns, found, { empty: "Nothing has failed for good." }),
  ];
}

function group({ error, kind, provider }) {
  return to(["dead", "group"], { error, kind, provider });
}

async function loadGroup({ query }, signal) {
  const found = await api.get("/dead-letters", { query: { ...wanted(query), cursor: query.cursor, limit: 100 }, signal });
  return { ...found, data: found.data.filter((job) => belongs(job, query)) };
}

function showGroup(found, place, again) {
  const chosen = new Set();
  const boxes = found.data.map((job) =>
    h("input", { type: "checkbox", "aria-label": `Choose ${job.id}`, onchange: ({ target }) => choose([job.id], target.checked) }),
  );
  const every = h("input", { type: "checkbox", "aria-label": "Choose all on this page", onchange: ({ target }) => chooseAll(target.checked) });
  const again_ = button("Replay chosen", () => replay([...chosen], again), { kind: "primary", key: "replay" });
  const away = button("Discard chosen", () => discard([...chosen], again), { kind: "danger", key: "discard" });
  const first = [{ head: every, cell: (job) => boxes[found.data.indexOf(job)] }];

  function choose(ids, on) {
    for (const id of ids) chosen[on ? "add" : "delete"](id);
    again_.disabled = away.disabled = chosen.size === 0;
    again_.textContent = chosen.size ? `Replay ${chosen.size} chosen` : "Replay chosen";
    away.textContent = chosen.size ? `Discard ${chosen.size} chosen` : "Discard chosen";
    every.checked = chosen.size === boxes.length && boxes.length > 0;
    every.indeterminate = chosen.size > 0 && !every.checked;
  }

  function chooseAll(on) {
    for (const box of boxes) box.checked = on;
    choose(found.data.map((job) => job.id), on);
  }

  choose([], false);
  return [
    h("p", {}, link("All groups", to("dead"))),
    h("div", { class: "problem" }, h("strong", {}, place.query.error ?? "any error"), h("p", {}, [place.query.kind, place.query.provider].filter(Boolean).join(", "))),
    h("div", { class: "deeds" }, again_, away, button("Replay all of this kind…", () => replayAll(place.query, again), { key: "all" })),
    jobTable("Dead letters, those asked for last first", found.data, { first, empty: "None of this kind is left on this page." }),
    pager(found, place),
  ];
}

// First they are counted, by their ids; what is then confirmed is these very jobs, whatever fails meanwhile.
async function replayAll(which, again) {
  const counting = new AbortController();
  const said = h("p", { role: "status" }, "Counting…");
  let ids = null;
  const ready = everyOf(which, counting.signal, (so_far) => {
    said.textContent = `Counting: ${so_far} so far…`;
  }).then((found) => {
    ids = found.ids;
    const more = found.more ? " There are more; these are the newest. Do the same again for the others." : "";
    said.textContent = `This asks again for ${ids.length} jobs.${more} Pages that are there are not paid for again.`;
  });
  ready.catch((error) => {
    said.textContent = error.name === "AbortError" ? "" : `They could not be counted: ${error.detail ?? error.message}`;
  });
  const sent = await confirm({
    title: "Replay all of this kind?",
    text: [h("p", {}, which.error ?? "any error"), said],
    yes: "Replay them",
    act: async () => {
      if (ids === null) throw new NoMore("They are still being counted");
      if (ids.length === 0) throw new NoMore("There is none to replay");
      return ids;
    },
  });
  counting.abort(new DOMException("closed", "AbortError"));
  if (sent) await replay(sent.value, again, { asked: true });
}
