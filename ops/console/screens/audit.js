// Who did what.  Reading it is a record of its own, so it is read when somebody asks, and not by itself.

import { go, to } from "../address.js";
import { api } from "../api.js";
import { utc } from "../dialogs.js";
import { badge, h, link, table } from "../dom.js";
import { moment } from "../words.js";
import { filter, pager } from "./paging.js";

const ACTIONS = [
  "audit.read", "dead_letters.purge", "dead_letters.read", "dead_letters.replay", "job.cancel", "jobs.read", "login",
  "provider.pause", "provider.resume", "scope.refused", "stream.pause", "stream.resume", "stream.run", "users.read",
];

export const audit = {
  title: "Audit log",
  every_s: null,

  load: ({ query }, signal) =>
    api.get("/audit", {
      query: { actor: query.actor, action: query.action, since: utc(query.since), cursor: query.cursor },
      signal,
    }),

  show: (found, place) => [
    filter(
      [
        { name: "actor", label: "Who (a user's id)" },
        { name: "action", label: "Deed", list: ACTIONS },
        { name: "since", label: "Since (UTC)", type: "datetime-local" },
      ],
      place,
      go,
    ),
    table("Audit log, the newest first", COLUMNS, found.data, { empty: "No such record." }),
    pager(found, place),
  ],
};

const COLUMNS = [
  { head: "When", cell: (one) => moment(one.at) },
  { head: "Who", cell: (one) => link(one.actor, to("audit", { actor: one.actor })) },
  { head: "Deed", cell: (one) => link(one.action, to("audit", { action: one.action })) },
  { head: "To what", cell: (one) => one.object },
  { head: "Outcome", cell: (one) => badge(one.outcome, one.outcome === "done" ? "good" : "bad") },
  { head: "From", cell: (one) => one.address ?? "-" },
  { head: "Request", cell: (one) => (one.request_id ? h("code", {}, one.request_id) : "-") },
];
