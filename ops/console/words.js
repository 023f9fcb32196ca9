// Values as people read them.  What is not known is "unknown", never 0.

import { h } from "./dom.js";

let ahead_ms = 0;

// The gateway's clock, as its last answer told it: ages do not depend on the clock of this machine.
export function tellClock(header) {
  const told = Date.parse(header ?? "");
  if (!Number.isNaN(told)) ahead_ms = told - Date.now();
}

export function now() {
  return new Date(Date.now() + ahead_ms);
}

export function unknown(why = "not told, or not reachable") {
  return h("span", { class: "unknown", title: why }, "unknown");
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(value) {
  return value === null || value === undefined ? unknown() : whole.format(value);
}

export function share(value) {
  return value === null || value === undefined ? unknown("no data in this time") : `${(value * 100).toFixed(1)} %`;
}

// 75 -> "1 min 15 s"; the two largest units are enough.
export function duration(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let left = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [unit, size] of units) {
    if (left >= size || (unit === "s" && parts.length === 0)) {
      parts.push(`${Math.floor(left / size)} ${unit}`);
      left %= size;
    }
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

export function ageSeconds(text) {
  return (now() - Date.parse(text)) / 1000;
}

// A moment in UTC, to the second.
export function stamp(text) {
  return `${new Date(text).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

// How long ago, or in how long; the moment itself is its title.
export function when(text, none = "never") {
  if (text === null || text === undefined) return none;
  const age = ageSeconds(text);
  const words = age >= 0 ? `${duration(age)} ago` : `in ${duration(-age)}`;
  return h("time", { datetime: text, title: stamp(text) }, words);
}

export function moment(text, none = "-") {
  return text ? h("time", { datetime: text }, stamp(text)) : none;
}

// The end of an id: ids of jobs begin with the time, so those of one minute look alike at their beginning.
export function short(id) {
  return h("code", { title: id }, `…${String(id).slice(-8)}`);
}

export function plural(number, one, many = `${one}s`) {
  return `${whole.format(number)} ${number === 1 ? one : many}`;
}
