// Everything at a glance.  It asks for nothing whose reading is recorded, so it may be read again by itself.

import { to } from "../address.js";
import { api } from "../api.js";
import { h, link } from "../dom.js";
import { ageSeconds, count, duration, plural } from "../words.js";
import { providerTable } from "./providers.js";
import { queueTable } from "./queues.js";

const OLD_S = 15 * 60;
const LITTLE = 0.1;
const STATES = ["queued", "running", "waiting", "failed"];

export const overview = {
  title: "Overview",
  every_s: 20,

  async load(_, signal) {
    const asked = [api.get("/queues", { signal }), api.get("/providers", { signal }), api.get("/quality", { signal })];
    const [queues, providers, quality] = await Promise.all(asked);
    return { queues, providers, quality };
  },

  show({ queues, providers, quality }) {
    const found = [...queues.flatMap(ofQueue), ...limitsUnknown(providers), ...providers.flatMap(ofProvider), ...quality.flatMap(ofStream)];
    const dark = queues.filter((one) => one.ready === null);
    if (dark.length) found.unshift(["bad", `The broker does not answer: the depth of ${plural(dark.length, "queue")} is unknown`, to("queues")]);
    return [attention(found), jobsByState(queues), queueTable(queues), providerTable(providers)];
  },
};

function attention(found) {
  const lines = found.map(([tone, text, where]) => h("li", { class: tone }, link(text, where)));
  const none = h("p", { class: "empty" }, "Nothing in these figures asks for anybody.");
  return h("section", { class: "attention" }, h("h2", {}, "Needs somebody"), lines.length ? h("ul", {}, lines) : none);
}

// Jobs that have ended well or were cancelled are not counted: that would read the whole table each time.
function jobsByState(queues) {
  const tile = (state) => {
    const sum = queues.reduce((all, one) => all + one[`jobs_${state}`], 0);
    const where = state === "failed" ? to("dead") : to("jobs", { state });
    return h("a", { class: `tile ${state}`, href: where }, h("span", { class: "figure" }, count(sum)), ` ${state}`);
  };
  return h("section", {}, h("h2", {}, "Jobs"), h("div", { class: "tiles" }, STATES.map(tile)));
}

function ofQueue(queue) {
  const found = [];
  if (queue.paused) found.push(["bad", `Queue ${queue.name} is paused by ${queue.paused.who}: ${queue.paused.reason}`, to("queues")]);
  const age = queue.oldest_at ? ageSeconds(queue.oldest_at) : 0;
  if (age > OLD_S) found.push(["warn", `Queue ${queue.name}: its oldest job has been under way for ${duration(age)}`, to("queues")]);
  if (queue.dead) found.push(["warn", `Queue ${queue.name}: the broker gave up on ${plural(queue.dead, "message")}`, to("queues")]);
  if (queue.jobs_failed) found.push(["warn", `Queue ${queue.name}: ${plural(queue.jobs_failed, "job")} failed for good`, to("dead")]);
  return found;
}

function limitsUnknown(providers) {
  const dark = providers.filter((one) => one.limits === null);
  return dark.length ? [["bad", "Redis does not answer: what is left to spend, and which circuits are open, is unknown", to("providers")]] : [];
}

function ofProvider({ name, state, reason, health, limits }) {
  const found = [];
  const where = to("providers");
  if (state !== "ok") found.push(["bad", `Provider ${name} is not called: ${state}${reason ? `, ${reason}` : ""}`, where]);
  if (health === "failing") found.push(["bad", `Provider ${name}: less than 80 % of its calls of a day went well`, where]);
  if (health === "degraded") found.push(["warn", `Provider ${name}: less than 95 % of its calls of a day went well`, where]);
  if (limits && limits.breaker !== "closed") found.push(["bad", `Provider ${name}: its circuit is ${limits.breaker.replace("_", " ")}`, where]);
  const budget = limits?.budget;
  if (budget && budget.left < budget.amount * LITTLE) {
    found.push(["warn", `Provider ${name}: ${budget.left} of ${budget.amount} ${budget.unit} left`, where]);
  }
  return found;
}

function ofStream({ stream, enabled, level, score }) {
  if (!enabled || (level !== "alert" && level !== "high")) return [];
  const text = `Stream ${stream}: quality ${(score * 100).toFixed(0)} %`;
  return [[level === "high" ? "bad" : "warn", text, to("quality")]];
}
