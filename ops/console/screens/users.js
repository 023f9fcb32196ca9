// Who there is, and who may do what.  Reading it is recorded, so it is not read again by itself.

import { api } from "../api.js";
import { confirm } from "../dialogs.js";
import { badge, button, h, table } from "../dom.js";
import { notice } from "../notices.js";
import { moment, when } from "../words.js";
import { pager } from "./paging.js";

const ROLES = [["user", "user"], ["admin", "admin"], ["service", "service"]];

export const users = {
  title: "Users",
  every_s: null,
  load: ({ query }, signal) => api.get("/users", { query: { limit: 100, cursor: query.cursor }, signal }),
  show: (found, place, again) => [table("Users", columns(place.me, again), found.data), pager(found, place)],
};

function columns(me, again) {
  return [
    { head: "Name", names: true, cell: (one) => [one.name, one.display_name ? h("p", { class: "soft" }, one.display_name) : null] },
    { head: "Role", cell: (one) => badge(one.role, one.role === "admin" ? "warn" : "plain") },
    { head: "Let in", cell: (one) => (one.enabled ? badge("yes", "good") : badge("disabled", "bad")) },
    { head: "Last login", cell: (one) => when(one.last_login_at) },
    { head: "Made", cell: (one) => moment(one.created_at) },
    { head: "Id", cell: (one) => h("code", {}, one.id) },
    { head: "Do", cell: (one) => (one.id === me.id ? h("span", { class: "soft" }, "this is you") : deeds(one, again)) },
  ];
}

function deeds(user, again) {
  const act = (text, then) => button(text, then, { key: `${text} ${user.id}`, label: `${text}: ${user.name}` });
  return h(
    "div",
    { class: "deeds" },
    act("Role", () => changeRole(user, again)),
    user.enabled ? act("Disable", () => disable(user, again)) : act("Enable", () => enable(user, again)),
    act("End sessions", () => endSessions(user, again)),
  );
}

async function changeRole({ id, name, role }, again) {
  const done = await confirm({
    title: `What may ${name} do?`,
    text: "It holds within a second, for tokens given before as well.",
    fields: [{ name: "role", label: "Role", choices: ROLES, value: role }],
    yes: "Change the role",
    act: (chosen) => api.patch("/users/{user}", { fill: { user: id }, body: { role: chosen.role } }),
  });
  if (done) finish(`${name} is ${done.value.role} now.`, again);
}

async function disable({ id, name }, again) {
  const done = await confirm({
    title: `Let ${name} in no more?`,
    text: "All sessions end and all API keys are refused, within a second. Jobs that are under way go on.",
    yes: "Disable",
    danger: true,
    act: () => api.patch("/users/{user}", { fill: { user: id }, body: { enabled: false } }),
  });
  if (done) finish(`${name} is disabled.`, again);
}

async function enable({ id, name }, again) {
  const done = await confirm({
    title: `Let ${name} in again?`,
    yes: "Enable",
    act: () => api.patch("/users/{user}", { fill: { user: id }, body: { enabled: true } }),
  });
  if (done) finish(`${name} is enabled.`, again);
}

async function endSessions({ id, name }, again) {
  const done = await confirm({
    title: `End all sessions of ${name}?`,
    text: "API keys are no sessions: they go on.",
    yes: "End sessions",
    act: () => api.post("/users/{user}/logout", { fill: { user: id } }),
  });
  if (done) finish(`${name} is logged out everywhere.`, again);
}

function finish(text, again) {
  notice(text);
  again();
}
