// How good each stream is.  Figures are words first; a bar repeats them.

import { go, to } from "../address.js";
import { api } from "../api.js";
import { badge, h, link, table } from "../dom.js";
import { count, duration, share, unknown } from "../words.js";
import { filter } from "./paging.js";

const WINDOWS = [["", "one day"], ["3600", "one hour"], ["604800", "seven days"], ["2592000", "30 days"]];
const LEVEL = { ok: "good", alert: "warn", high: "bad" };

export const quality = {
  title: "Quality",
  every_s: 60,
  load: ({ query }, signal) => api.get("/quality", { query: { window_s: query.window_s, stream: query.stream }, signal }),

  show(found, place) {
    const times = WINDOWS.map(([window_s, text]) => {
      const current = (place.query.window_s ?? "") === window_s ? "true" : null;
      return link(text, to("quality", { ...place.query, window_s }), { "aria-current": current });
    });
    return [
      h("nav", { class: "pager", "aria-label": "How far to look back" }, "In the last ", times),
      filter([{ name: "stream", label: "Stream" }], { ...place, query: place.query }, (address) => go(keepWindow(address, place))),
      table("Quality of streams", COLUMNS, found, { empty: "There are no streams." }),
      h("p", { class: "soft" }, "Score: 0.3 completeness + 0.4 timeliness + 0.3 accuracy; below 70 % is an alert, below 50 % a high one."),
    ];
  },
};

function keepWindow(address, { query }) {
  const [path, rest = ""] = address.split("?", 2);
  const set = new URLSearchParams(rest);
  if (query.window_s) set.set("window_s", query.window_s);
  return set.size ? `${path}?${set}` : path;
}

const COLUMNS = [
  { head: "Stream", names: true, cell: (one) => [link(one.stream, to("jobs", { stream: one.stream })), h("p", { class: "soft" }, `${one.provider} ${one.dataset}${one.enabled ? "" : ", paused"}`)] },
  { head: "Level", cell: (one) => (one.level === "unknown" ? unknown("no data in this time") : badge(one.level, LEVEL[one.level])) },
  { head: "Score", cell: (one) => scored(one.score), number: true },
  { head: "Completeness", cell: (one) => share(one.completeness), number: true },
  { head: "Timeliness", cell: (one) => share(one.timeliness), number: true },
  { head: "Accuracy", cell: (one) => share(one.accuracy), number: true },
  { head: "On time", cell: (one) => [count(one.runs_on_time), " of ", count(one.runs_due)], number: true },
  { head: "Last pull", cell: (one) => (one.age_s === null ? unknown("never pulled whole") : `${duration(one.age_s)} ago`) },
  { head: "New", cell: (one) => [count(one.new), one.usual === null ? null : h("p", { class: "soft" }, `usual ${Math.round(one.usual)}`)], number: true },
  { head: "Duplicates", cell: (one) => share(one.duplicate_rate), number: true },
  { head: "Rows refused", cell: rejected },
  { head: "Bad pages", cell: (one) => [count(one.malformed + one.dead), " of ", count(one.pages)], number: true },
  { head: "Jobs failed", cell: (one) => [count(one.failed), " of ", count(one.failed + one.succeeded)], number: true },
];

function scored(score) {
  if (score === null) return unknown("no data in this time");
  return [h("meter", { min: 0, max: 1, low: 0.5, high: 0.7, optimum: 1, value: score, "aria-label": "Score" }), " ", share(score)];
}

function rejected({ stream, rejected, found, rejects }) {
  const reasons = Object.entries(rejects).map(([reason, times]) => h("li", {}, `${times}: ${reason}`));
  const sum = [count(rejected), " of ", count(found)];
  return reasons.length ? h("details", { key: `rejects ${stream}` }, h("summary", {}, sum), h("ul", {}, reasons)) : sum;
}
