// One job: what was asked, how far it is, what it received, and what went wrong.

import { to } from "../address.js";
import { api } from "../api.js";
import { confirm } from "../dialogs.js";
import { badge, button, facts, h, json, link, table } from "../dom.js";
import { notice } from "../notices.js";
import { count, moment, plural, when } from "../words.js";
import { state } from "./jobs.js";

const COUNTS = ["found", "new", "duplicate", "amended", "rejected", "skipped", "observed"];
const PAGE_TONE = { posted: "good", dead: "bad", malformed: "bad" };

export async function loadJob({ parts, query }, signal) {
  const fill = { job: parts[1] };
  const job = await api.get("/admin/jobs/{job}", { fill, signal });
  const pages = await api.get("/admin/jobs/{job}/pages", { fill, query: { cursor: query.cursor, limit: 100 }, signal });
  const dead = job.state === "failed" ? await api.get("/dead-letters/{job}", { fill, signal }) : null;
  return { job, pages, unreadable: dead?.pages ?? [] };
}

export function showJob({ job, pages, unreadable }, place, again) {
  return [
    h("div", { class: "deeds" }, deeds(job, place.me, again)),
    job.last_error ? h("div", { class: "problem" }, h("strong", {}, "Last error"), h("p", {}, job.last_error)) : null,
    facts(told(job)),
    h("h2", {}, "Rows"),
    table("Rows by what became of them", COUNTS.map((name) => ({ head: name, cell: () => count(job.counts[name]), number: true })), [job]),
    h("h2", {}, "What was asked"),
    json(job.args),
    h("h2", {}, "Pages"),
    pageList(pages, place),
    unreadable.length ? [h("h2", {}, "Pages that nobody could read"), unreadable.map(excerpt)] : null,
  ];
}

function told(job) {
  const { landed, posted, total, text } = job.progress;
  return [
    ["Id", h("code", {}, job.id)],
    ["State", state(job)],
    ["Kind", job.kind],
    ["Stream", job.stream && link(job.stream, to("jobs", { stream: job.stream }))],
    ["Owner", link(job.owner, to("jobs", { owner: job.owner }))],
    ["Queue", job.queue],
    ["Priority", String(job.priority)],
    ["Attempt", String(job.attempt)],
    ["Why it waits", job.state === "waiting" ? job.reason : null],
    ["Waits until", job.waits_until && when(job.waits_until)],
    ["Progress", [`${landed} pages landed, ${posted} posted, ${total ?? "unknown"} in all`, text ? h("p", { class: "soft" }, text) : null]],
    ["Calls and cost", [count(job.calls), " calls, cost ", count(job.cost)]],
    ["Asked for", moment(job.created_at)],
    ["Started", moment(job.started_at, job.finished_at ? "never" : "not yet")],
    ["Ended", moment(job.finished_at, "not yet")],
  ];
}

function deeds(job, me, again) {
  const own = job.owner === me.id;
  if (["queued", "running", "waiting"].includes(job.state)) return button("Cancel", () => cancel(job, again), { key: "cancel", kind: "danger" });
  if (job.state === "failed") return button("Ask again", () => replay(job, again), { key: "retry", kind: "primary" });
  if (job.state === "cancelled" && own) return button("Ask again", () => retry(job, again), { key: "retry", kind: "primary" });
  return null;
}

async function cancel({ id }, again) {
  const done = await confirm({
    title: "Stop this job?",
    text: "A page that is paid for already is still posted.",
    yes: "Stop it",
    danger: true,
    act: () => api.post("/admin/jobs/{job}/cancel", { fill: { job: id } }),
  });
  if (done) finish("The job is cancelled.", again);
}

async function replay({ id }, again) {
  const done = await confirm({
    title: "Ask again for this job?",
    text: "Pages that are there are not paid for again.",
    yes: "Ask again",
    act: () => api.post("/dead-letters/replay", { body: { jobs: [id] } }),
  });
  if (done) finish(done.value.replayed ? "The job is asked for again." : "The job cannot be asked for again.", again);
}

async function retry({ id }, again) {
  const done = await confirm({
    title: "Ask again for this job?",
    yes: "Ask again",
    act: () => api.post("/jobs/{job}/retry", { fill: { job: id } }),
  });
  if (done) finish("The job is asked for again.", again);
}

function finish(text, again) {
  notice(text);
  again();
}

function pageList({ data, next_cursor }, { parts, query }) {
  const next = next_cursor ? link("Next page", to(parts, { ...query, cursor: next_cursor })) : null;
  return [table("Pages, in the order they came", PAGE_COLUMNS, data, { empty: "It has received none." }), next];
}

const PAGE_COLUMNS = [
  { head: "Number", names: true, cell: (one) => one.number },
  { head: "State", cell: (one) => [badge(one.state, PAGE_TONE[one.state]), one.reason ? h("p", {}, one.reason) : null] },
  { head: "Fetched", cell: (one) => moment(one.fetched_at) },
  { head: "Bytes", cell: (one) => count(one.bytes), number: true },
  { head: "New", cell: (one) => count(one.counts.new), number: true },
  { head: "Duplicate", cell: (one) => count(one.counts.duplicate), number: true },
  { head: "Refused rows", cell: rejects },
  { head: "Warnings", cell: (one) => h("ul", {}, one.warnings.map((text) => h("li", {}, text))) },
  { head: "Request", cell: (one) => h("details", {}, h("summary", {}, `${one.provider} ${one.dataset}`), json(one.request)) },
];

function rejects({ rejects: refused }) {
  if (!refused.length) return "none";
  const lines = refused.map(({ position, reason }) => h("li", {}, `row ${position}: ${reason}`));
  return h("details", {}, h("summary", {}, plural(refused.length, "row")), h("ul", {}, lines));
}

function excerpt({ id, state: now, reason, fetched_at, bytes, excerpt: text }) {
  return h(
    "section",
    { class: "excerpt" },
    h("p", {}, badge(now, "bad"), " ", reason ?? "no reason", h("span", { class: "soft" }, ` · ${plural(bytes, "byte")}, fetched `, moment(fetched_at), " · ", h("code", {}, id))),
    h("pre", { tabindex: 0 }, text),
  );
}
