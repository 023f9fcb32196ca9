// Everybody's jobs.  Reading them is recorded, so the list is read when somebody asks, and not by itself.

import { go, here, to } from "../address.js";
import { api } from "../api.js";
import { utc } from "../dialogs.js";
import { badge, h, link, table } from "../dom.js";
import { count, short, when } from "../words.js";
import { loadJob, showJob } from "./job.js";
import { filter, pager } from "./paging.js";

const STATES = ["queued", "running", "waiting", "succeeded", "failed", "cancelled"];
const KINDS = ["fetch", "backfill", "ledger.trades", "ledger.prices", "probe"];
const TONE = { succeeded: "good", failed: "bad", cancelled: "plain", running: "info", queued: "plain", waiting: "warn" };

export const jobs = {
  get title() {
    return here().parts[1] ? "Job" : "Jobs";
  },
  every_s: null,
  load: (place, signal) => (place.parts[1] ? loadJob(place, signal) : loadList(place, signal)),
  show: (found, place, again) => (place.parts[1] ? showJob(found, place, again) : showList(found, place)),
};

function loadList({ query }, signal) {
  const { state, kind, provider, owner, stream, since, cursor } = query;
  return api.get("/admin/jobs", { query: { state, kind, provider, owner, stream, since: utc(since), cursor }, signal });
}

function showList(found, place) {
  const fields = [
    { name: "state", label: "State", choices: STATES },
    { name: "kind", label: "Kind", choices: KINDS },
    { name: "provider", label: "Provider" },
    { name: "owner", label: "Owner" },
    { name: "stream", label: "Stream" },
    { name: "since", label: "Asked for since (UTC)", type: "datetime-local" },
  ];
  const none = Object.keys(place.query).length ? "No job fits this filter." : "There are no jobs.";
  return [filter(fields, place, go), jobTable("Jobs, the newest first", found.data, { empty: none }), pager(found, place)];
}

// `first` are columns before the usual ones, `where` says where a job's page is.
export function jobTable(caption, rows, { empty, first = [], where = (job) => to(["jobs", job.id]) } = {}) {
  const columns = [
    ...first,
    { head: "Job", names: true, cell: (one) => link(short(one.id), where(one)) },
    { head: "State", cell: state },
    { head: "Kind", cell: (one) => one.kind },
    { head: "Of", cell: (one) => about(one) },
    { head: "Owner", cell: (one) => link(one.owner.length > 20 ? short(one.owner) : one.owner, to("jobs", { owner: one.owner })) },
    { head: "Asked for", cell: (one) => when(one.created_at) },
    { head: "New rows", cell: (one) => count(one.counts.new), number: true },
    { head: "Refused", cell: (one) => count(one.counts.rejected), number: true },
    { head: "Cost", cell: (one) => count(one.cost), number: true },
    { head: "Why", cell: why },
  ];
  return table(caption, columns, rows, { empty });
}

export function state({ state: now, outcome }) {
  return [badge(now, TONE[now]), outcome && outcome !== now ? h("p", { class: "soft" }, outcome) : null];
}

function about({ stream, args }) {
  const words = [args.provider, args.dataset].filter((one) => typeof one === "string").join(" ");
  return [stream ? link(stream, to("jobs", { stream })) : null, words ? h("p", { class: "soft" }, words) : null];
}

function why({ last_error, reason, waits_until }) {
  const waits = waits_until ? [" until ", when(waits_until)] : null;
  return h("div", { class: "why" }, last_error ?? reason ?? "", waits);
}
