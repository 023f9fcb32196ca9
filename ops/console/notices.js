// What went wrong and what was done, said where screen readers hear it too.

import { Problem } from "./api.js";
import { button, h } from "./dom.js";
import { duration } from "./words.js";

const GONE_MS = 8000;

// A refusal as the gateway told it: title, detail, the id that its log has too, and how long to wait.
export function problem(error) {
  const known = error instanceof Problem;
  const lines = known ? [error.detail, error.field && `Field: ${error.field}`] : [String(error.message ?? error)];
  const wait = known && error.wait_s !== null ? countdown(error.wait_s) : null;
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("strong", {}, known ? error.title : "This page went wrong"),
    lines.filter(Boolean).map((line) => h("p", {}, line)),
    wait,
    known && error.request_id ? h("p", { class: "soft" }, "Request id: ", h("code", {}, error.request_id)) : null,
  );
}

function countdown(seconds) {
  const text = h("span", {}, duration(seconds));
  const until = Date.now() + seconds * 1000;
  const timer = setInterval(() => {
    const left = (until - Date.now()) / 1000;
    text.textContent = left > 0 ? duration(Math.ceil(left)) : "0 s: you can try again now";
    if (left <= 0 || !text.isConnected) clearInterval(timer);
  }, 500);
  return h("p", {}, "Wait: ", text);
}

const region = h("div", { class: "notices", role: "status", "aria-live": "polite" });

export function noticeRegion() {
  return region;
}

// Good news goes away by itself; what needs somebody stays until it is closed.
export function notice(text) {
  const shown = h("p", { class: "notice" }, text);
  region.append(shown);
  setTimeout(() => shown.remove(), GONE_MS);
}

export function noticeProblem(error) {
  const shown = h("div", { class: "notice bad" }, problem(error));
  shown.append(button("Close", () => shown.remove()));
  region.append(shown);
}
