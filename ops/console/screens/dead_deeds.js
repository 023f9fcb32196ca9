// What is done to dead letters: always to ids that somebody has seen, in requests of as many as the API takes.

import { api, Problem } from "../api.js";
import { confirm } from "../dialogs.js";
import { noticeProblem, notice } from "../notices.js";
import { plural } from "../words.js";

const AT_ONCE = 100;
const REASON_MAX = 150;
const PAGES_MAX = 10;
const ERROR_MAX = 500;
// As the gateway groups them: ids and numbers in an error count as equal.
const ALIKE = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\p{Nd}+/gu;

// A sentence of this page's own, shown like a refusal of the gateway.
export class NoMore extends Problem {
  constructor(title) {
    super({ status: 0, code: "here", title });
  }
}

// What to ask the gateway for: a text of printable characters that the error holds.
export function wanted({ error, provider }) {
  const printable = (error ?? "").split(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/u).sort((a, b) => b.length - a.length)[0];
  return { error: [...printable].slice(0, ERROR_MAX).join(""), provider };
}

// Whether a job is of this group; the gateway also gives those whose error merely holds the text.
export function belongs(job, { error, kind, provider }) {
  const same = !error || (job.last_error ?? "no reason").replace(ALIKE, "#") === error;
  return same && (!kind || job.kind === kind) && (job.args.provider ?? "") === (provider ?? "");
}

// Every job of a group by its id, up to a thousand looked at; `more`: there are others behind those.
export async function everyOf(which, signal, tell) {
  const ids = [];
  let cursor = null;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const query = { ...wanted(which), limit: AT_ONCE, cursor };
    const found = await api.get("/dead-letters", { query, signal });
    ids.push(...found.data.filter((job) => belongs(job, which)).map((job) => job.id));
    tell(ids.length);
    cursor = found.next_cursor;
    if (cursor === null) return { ids, more: false };
  }
  return { ids, more: true };
}

// `asked`: somebody has said yes to these already.
export async function replay(ids, again, { asked = false } = {}) {
  const run = () => inTurn(ids, AT_ONCE, (jobs) => api.post("/dead-letters/replay", { body: { jobs } }), "replayed");
  const done = asked
    ? { value: await run() }
    : await confirm({
        title: `Ask again for ${plural(ids.length, "job")}?`,
        text: "Pages that are there are not paid for again.",
        yes: "Replay",
        act: run,
      });
  if (done) tell(done.value, "asked for again", "could not be", again);
}

export async function discard(ids, again) {
  const done = await confirm({
    title: `Forget ${plural(ids.length, "job")} for ever?`,
    text: [
      "There is no way back. Those with pages that were paid for stay.",
      "The audit log keeps who did it, when, why, and to which jobs.",
    ],
    fields: [{ name: "reason", label: "Reason", required: true, maxlength: REASON_MAX }],
    yes: "Discard",
    danger: true,
    act: ({ reason }) => inTurn(ids, AT_ONCE, (jobs) => api.post("/dead-letters/purge", { body: { jobs, reason } }), "purged"),
  });
  if (done) tell(done.value, "forgotten", "stay", again);
}

// One batch after the other; a refusal ends it, and what was done until then is told.
async function inTurn(ids, size, act, word) {
  const sum = { done: 0, left: 0, refusal: null };
  for (let at = 0; at < ids.length; at += size) {
    try {
      const told = await act(ids.slice(at, at + size));
      sum.done += told[word];
      sum.left += told.left;
    } catch (error) {
      if (!(error instanceof Problem) || sum.done === 0) throw error;
      return { ...sum, refusal: error };
    }
  }
  return sum;
}

function tell({ done, left, refusal }, word, others, again) {
  notice(`${done} ${word}, ${left} ${others}.`);
  if (refusal) noticeProblem(refusal);
  again();
}
