// Who is called, what is left to spend, and why not.

import { api } from "../api.js";
import { confirm, utc } from "../dialogs.js";
import { badge, button, h, table } from "../dom.js";
import { notice } from "../notices.js";
import { count, moment, share, unknown, when } from "../words.js";

const HEALTH = { healthy: "good", degraded: "warn", failing: "bad" };

export const providers = {
  title: "Providers",
  every_s: 15,
  load: (_, signal) => api.get("/providers", { signal }),
  show: (found, _, again) => providerTable(found, again),
};

// With `again`, which reads the page anew, there are buttons.
export function providerTable(found, again = null) {
  const columns = [
    { head: "Provider", names: true, cell: (one) => one.name },
    { head: "Standing", cell: standing },
    { head: "Health", cell: (one) => (one.health === "unknown" ? unknown("no calls in a day") : badge(one.health, HEALTH[one.health])) },
    { head: "Good calls", cell: (one) => share(one.good_share), number: true },
    { head: "Calls, 24\u00a0h", cell: (one) => count(one.calls_24h), number: true },
    { head: "Last call", cell: (one) => when(one.last_call_at) },
    { head: "Budget left", cell: budget, number: true },
    { head: "Circuit", cell: circuit },
    ...(again ? more(again) : []),
  ];
  return h("section", {}, again ? null : h("h2", {}, "Providers"), table("Providers: standing, health and budget", columns, found));
}

function more(again) {
  return [
    { head: "Cost, 24\u00a0h", cell: (one) => count(one.cost_24h), number: true },
    { head: "Account says left", cell: (one) => count(one.account_left), number: true },
    { head: "In flight", cell: (one) => (one.limits ? inFlight(one.limits) : unknown()), number: true },
    { head: "Do", cell: (one) => deed(one, again) },
  ];
}

function standing({ state, reason, until, limits }) {
  const closed = limits?.closed_until ? h("p", {}, `Closed: ${limits.closed_reason ?? "no reason"}, until `, moment(limits.closed_until)) : null;
  if (state === "ok") return [badge("called", "good"), closed];
  const why = h("p", {}, reason ?? "no reason given", until ? [", until ", moment(until)] : null);
  return [badge(state.replace("_", " "), "bad"), why, closed];
}

function budget({ limits }) {
  if (!limits) return unknown("Redis does not answer");
  if (!limits.budget) return "no budget";
  const { amount, left, left_now, unit, ends_at } = limits.budget;
  const low = amount * 0.1;
  return [
    h("meter", { min: 0, max: amount, low, optimum: amount, value: left, "aria-label": "Budget left" }),
    h("p", {}, count(left), " of ", count(amount), ` ${unit}, `, count(left_now), " now"),
    ends_at ? h("p", { class: "soft" }, "new ", when(ends_at)) : null,
  ];
}

function circuit({ limits }) {
  if (!limits) return unknown("Redis does not answer");
  const tone = limits.breaker === "closed" ? "good" : "bad";
  const until = limits.breaker_until ? h("p", {}, "until ", moment(limits.breaker_until)) : null;
  return [badge(limits.breaker.replace("_", " "), tone), until];
}

function inFlight({ in_flight, concurrency }) {
  return concurrency === null ? count(in_flight) : [count(in_flight), " of ", count(concurrency)];
}

function deed(one, again) {
  const name = one.name;
  if (one.state !== "ok") return button("Resume", () => resume(name, again), { key: `provider ${name}`, label: `Resume ${name}` });
  return button("Pause", () => pause(name, again), { key: `provider ${name}`, label: `Pause ${name}` });
}

async function pause(name, again) {
  const done = await confirm({
    title: `Stop calling ${name}?`,
    text: "Its jobs wait, nothing is lost. Everybody sees the reason.",
    fields: [
      { name: "reason", label: "Reason", required: true, maxlength: 500 },
      { name: "until", label: "Until (UTC)", type: "datetime-local", hint: "Empty: until somebody resumes it." },
    ],
    yes: "Pause",
    act: ({ reason, until }) =>
      api.post("/providers/{provider}/pause", { fill: { provider: name }, body: { reason, until: utc(until) } }),
  });
  if (done) finish(`${name} is paused.`, again);
}

async function resume(name, again) {
  const done = await confirm({
    title: `Call ${name} again?`,
    text: "Jobs that waited for it are due at once, and its circuit is closed.",
    yes: "Resume",
    act: () => api.post("/providers/{provider}/resume", { fill: { provider: name } }),
  });
  if (done) finish(`${name} is called again.`, again);
}

function finish(text, again) {
  notice(text);
  again();
}
