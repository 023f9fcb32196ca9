// What is asked for again and again.

import { to } from "../address.js";
import { api } from "../api.js";
import { confirm } from "../dialogs.js";
import { badge, button, h, link, table } from "../dom.js";
import { notice } from "../notices.js";
import { duration, moment, when } from "../words.js";
import { pager } from "./paging.js";

export const streams = {
  title: "Streams",
  every_s: 30,
  load: ({ query }, signal) => api.get("/streams", { query: { limit: 100, cursor: query.cursor }, signal }),
  show: (found, place, again) => [table("Streams", columns(again), found.data, { empty: "There are no streams." }), pager(found, place)],
};

function columns(again) {
  return [
    { head: "Stream", names: true, cell: (one) => [link(one.name, to("jobs", { stream: one.name })), h("p", { class: "soft" }, `${one.provider} ${one.dataset}`)] },
    { head: "Standing", cell: standing },
    { head: "How often", cell: (one) => (one.cron ? h("code", { title: "minute hour day month weekday, in UTC" }, one.cron) : `every ${duration(one.interval_s)}`) },
    { head: "Next", cell: (one) => (one.enabled ? when(one.next_run_at, "-") : "-") },
    { head: "Complete up to", cell: (one) => moment(one.watermark, "never pulled whole") },
    { head: "Reads back", cell: (one) => duration(one.overlap_s), number: true },
    { head: "Priority", cell: (one) => one.priority, number: true },
    { head: "Do", cell: (one) => deeds(one, again) },
  ];
}

function standing({ enabled, pause_reason }) {
  if (enabled) return badge("enabled", "good");
  return [badge("paused", "warn"), h("p", {}, pause_reason ?? "no reason given")];
}

function deeds({ name, enabled }, again) {
  const turn = enabled
    ? button("Pause", () => pause(name, again), { key: `turn ${name}`, label: `Pause ${name}` })
    : button("Enable", () => resume(name, again), { key: `turn ${name}`, label: `Enable ${name}` });
  return h("div", { class: "deeds" }, turn, button("Run now", () => run(name, again), { key: `run ${name}`, label: `Run ${name} now` }));
}

async function pause(name, again) {
  const done = await confirm({
    title: `Pause ${name}?`,
    text: "Nothing more is asked for; jobs that are under way go on. Everybody sees the reason.",
    fields: [{ name: "reason", label: "Reason", required: true, maxlength: 500 }],
    yes: "Pause",
    act: ({ reason }) => api.post("/streams/{stream}/pause", { fill: { stream: name }, body: { reason } }),
  });
  if (done) finish(`${name} is paused.`, again);
}

async function resume(name, again) {
  const done = await confirm({
    title: `Enable ${name}?`,
    text: "It is asked for again, from now on.",
    yes: "Enable",
    act: () => api.post("/streams/{stream}/resume", { fill: { stream: name } }),
  });
  if (done) finish(`${name} is enabled.`, again);
}

async function run(name, again) {
  const done = await confirm({
    title: `Run ${name} now?`,
    text: "This calls the provider, and costs what its calls cost.",
    fields: [{ name: "backfill", label: "Read the whole list to its end, known or not", type: "checkbox" }],
    yes: "Run now",
    act: ({ backfill }) => api.post("/streams/{stream}/run", { fill: { stream: name }, body: { backfill } }),
  });
  if (done) finish([`${name} is asked for: `, link("its job", to(["jobs", done.value.id]))], again);
}

function finish(text, again) {
  notice(text);
  again();
}
