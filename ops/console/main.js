// The frame: who is logged in, which screen is shown, and when it is read again.

import { go, here, to } from "./address.js";
import { api, loggedIn, logOut, onEnd, quota } from "./api.js";
import { dialogIsOpen } from "./dialogs.js";
import { badge, button, h, link } from "./dom.js";
import { noticeRegion, problem } from "./notices.js";
import { audit } from "./screens/audit.js";
import { dead } from "./screens/dead.js";
import { jobs } from "./screens/jobs.js";
import { login } from "./screens/login.js";
import { overview } from "./screens/overview.js";
import { providers } from "./screens/providers.js";
import { quality } from "./screens/quality.js";
import { queues } from "./screens/queues.js";
import { streams } from "./screens/streams.js";
import { users } from "./screens/users.js";
import { duration, now, stamp } from "./words.js";

// A screen is {title, every_s, load(place, signal), show(data, place, again)}.  Where each look is a record in the audit
// log there is no every_s: the record is of what people looked at, not of what their browsers did.
const SCREENS = { overview, queues, jobs, dead, providers, streams, quality, users, audit };
const NAMES = Object.keys(SCREENS);
const SPARE_SHARE = 0.2; // below this share of the quota, what is left is for deeds

const top = document.getElementById("console");
const main = h("main", { id: "main", tabindex: -1 });
const freshness = h("span", { class: "soft" });
const allowance = h("span", { class: "soft" });
const pausing = button("Pause", () => pauseOrGoOn());
let me = null;
let paused = false;
let asking = null;
let timer = null;
let shown = null; // the address that is on the screen, and when its figures were read

addEventListener("hashchange", () => navigate());
addEventListener("keydown", shortcut);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (loggedIn() && screenHere().every_s) read(true);
});
onEnd(() => welcome("The session has ended: log in again. The address is kept."));
welcome();

function welcome(why = null) {
  clearTimeout(timer);
  asking?.abort();
  me = shown = null;
  document.querySelectorAll("dialog").forEach((one) => one.close());
  document.title = "Log in · Sluice console";
  top.replaceChildren(noticeRegion(), login(why, begin));
  top.querySelector("input")?.focus();
}

async function begin() {
  me = await api.get("/auth/me");
  frame();
  navigate();
}

function frame() {
  const items = NAMES.map((name, at) =>
    h("li", {}, link(SCREENS[name].title, to(name), { "data-screen": name, title: `Key ${at + 1}` })),
  );
  const out = button("Log out", async () => {
    try {
      await logOut();
    } finally {
      welcome("You are logged out.");
    }
  });
  top.replaceChildren(
    h("a", { class: "skip", href: "#main", onclick: skip }, "Skip to the content"),
    h(
      "header",
      {},
      h("strong", { class: "brand" }, "Sluice"),
      h("nav", { "aria-label": "Screens" }, h("ul", {}, items)),
      h("div", { class: "who" }, h("span", {}, me.name), " ", badge(me.role), " ", button("Light or dark", turn), " ", out),
    ),
    noticeRegion(),
    main,
    h(
      "footer",
      {},
      freshness,
      button("Read again", () => read(true), { key: "again" }),
      pausing,
      allowance,
      h("span", { class: "soft" }, "Keys: 1-9 screens, r read again, / filter"),
    ),
  );
}

function skip(event) {
  event.preventDefault(); // the address belongs to the screens
  main.focus();
}

function screenHere() {
  return SCREENS[here().parts[0]] ?? overview;
}

function navigate() {
  if (!loggedIn() || !me) return;
  const screen = screenHere();
  for (const one of top.querySelectorAll("nav a")) {
    if (SCREENS[one.dataset.screen] === screen) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
  document.title = `${screen.title} · Sluice console`;
  shown = null;
  main.replaceChildren(h("h1", {}, screen.title), h("p", { class: "soft" }, "Reading…"));
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
  read(false);
}

// Read the screen's figures and show them.  `again`: it is there already, and stays there if this fails.
async function read(again) {
  clearTimeout(timer);
  asking?.abort();
  const mine = (asking = new AbortController());
  const [screen, place] = [screenHere(), { ...here(), me }];
  try {
    const data = await screen.load(place, mine.signal);
    if (mine.signal.aborted) return;
    const kept = again ? standing() : null;
    const content = screen.show(data, place, () => read(true));
    shown = now();
    main.replaceChildren(h("h1", {}, screen.title), ...[content].flat(Infinity).filter(Boolean));
    if (kept) restore(kept);
  } catch (error) {
    if (mine.signal.aborted || !loggedIn()) return;
    failed(screen, error, again && shown);
  }
  tell(screen);
  later(screen);
}

function failed(screen, error, since) {
  const first = to(here().parts, { ...here().query, cursor: null });
  const help = error.code === "invalid_cursor" ? h("p", {}, link("Begin at the first page", first)) : null;
  if (!since) {
    main.replaceChildren(h("h1", {}, screen.title), problem(error), ...(help ? [help] : []));
    return;
  }
  main.querySelector(":scope > .stale")?.remove();
  const old = h("p", {}, `What is below was read at ${stamp(since)}; what is so since then is unknown.`);
  main.querySelector("h1").after(h("div", { class: "stale" }, problem(error), old));
}

function tell(screen) {
  const every = screen.every_s ? (paused ? ", paused" : `, again every ${duration(screen.every_s)}`) : "";
  const why = screen.every_s ? "" : ", not again by itself: each look is in the audit log";
  freshness.textContent = shown ? `Read at ${stamp(shown)}${every}${why}` : "Not read";
  pausing.hidden = !screen.every_s;
  allowance.textContent = quota.limit ? `Requests left: ${quota.remaining} of ${quota.limit}` : "";
}

function later(screen) {
  if (!screen.every_s || paused || document.hidden) return;
  timer = setTimeout(() => {
    const spare = quota.limit === null || quota.remaining >= quota.limit * SPARE_SHARE;
    if (spare && !dialogIsOpen() && !writing(document.activeElement)) read(true);
    else later(screen);
  }, screen.every_s * 1000);
}

function writing(element) {
  return element?.closest?.("input, select, textarea, dialog") ?? null;
}

function pauseOrGoOn() {
  paused = !paused;
  pausing.textContent = paused ? "Go on" : "Pause";
  if (paused) clearTimeout(timer);
  else read(true);
  tell(screenHere());
}

// What somebody was at: the focused control and the opened details, by their keys.
function standing() {
  const active = document.activeElement;
  const focus = main.contains(active) ? (active.dataset.key ?? active.id) : null;
  return { focus, open: new Set([...main.querySelectorAll("details[open][data-key]")].map((one) => one.dataset.key)) };
}

function restore({ focus, open }) {
  for (const one of main.querySelectorAll("[data-key], [id]")) {
    const key = one.dataset.key ?? one.id;
    if (focus && key === focus) one.focus({ preventScroll: true });
    if (one.localName === "details") one.open = open.has(key);
  }
}

function turn() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

function shortcut(event) {
  if (!me || writing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
  const at = Number(event.key) - 1;
  if (NAMES[at]) go(to(NAMES[at]));
  else if (event.key === "r") read(true);
  else if (event.key === "/") main.querySelector("form select, form input")?.focus();
  else return;
  event.preventDefault();
}
