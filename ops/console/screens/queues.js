// What the broker holds, and the rows behind it: the rows are the truth, messages are hints.

import { to } from "../address.js";
import { api } from "../api.js";
import { badge, h, link, table } from "../dom.js";
import { count, moment, when } from "../words.js";

export const queues = {
  title: "Queues",
  every_s: 15,
  load: (_, signal) => api.get("/queues", { signal }),
  show: (found) => [
    queueTable(found, { whole: true }),
    h(
      "p",
      { class: "soft" },
      "Unknown: the broker does not answer. RabbitMQ tells neither unacknowledged nor delayed messages: there are no such " +
        "columns then. How many workers listen is told by the metric sluice_queue_consumers, not by the API.",
    ),
  ],
};

export function queueTable(found, { whole = false } = {}) {
  const number = true;
  const ofBroker = (head, of) => ({ head, cell: (one) => count(one[of]), number, told: found.some((one) => one[of] !== null) });
  const broker = [ofBroker("Unacknowledged", "unacked"), ofBroker("Delayed", "delayed"), ofBroker("Given up by the broker", "dead")];
  const away = found.some((one) => one.ready === null);
  const jobs = (state) => ({ head: `Jobs ${state}`, cell: (one) => count(one[`jobs_${state}`]), number });
  const columns = [
    { head: "Queue", names: true, cell: (one) => one.name },
    { head: "Standing", cell: standing },
    { head: "Messages ready", cell: (one) => count(one.ready), number },
    ...(whole ? broker.filter((one) => one.told || away) : []),
    jobs("queued"),
    jobs("running"),
    jobs("waiting"),
    { head: "Jobs failed", cell: (one) => (one.jobs_failed ? link(String(one.jobs_failed), to("dead")) : "0"), number },
    { head: "Oldest job asked for", cell: (one) => when(one.oldest_at, "-") },
  ];
  return h("section", {}, whole ? null : h("h2", {}, "Queues"), table("Queues: messages and jobs", columns, found));
}

function standing({ paused }) {
  if (!paused) return badge("open", "good");
  return [badge("paused", "bad"), h("p", {}, `${paused.reason}: by ${paused.who} since `, moment(paused.since))];
}
