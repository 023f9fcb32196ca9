// The gateway, as this page asks it.  Tokens live in this module's memory and nowhere else: a reload logs out.

import { tellClock } from "./words.js";

const BASE = "/api/v1";
const SCOPES = "account:read admin:read admin:write jobs:read jobs:write";
const EARLY_MS = 60_000; // a token is renewed before it ends
const REPEATS = 3;
const PATIENCE_S = 5; // whoever is to wait longer than this is told, and decides
const PASSING = new Set(["unreachable", "unavailable", "idempotency_key_in_use"]);

let session = null; // {access, refresh, until}
let renewing = null;
let ended = () => {};
export const quota = { limit: null, remaining: null };

// A refusal: what the problem document says, and how long to wait where it says so.
export class Problem extends Error {
  constructor({ status, code, title, detail, field, request_id }, wait_s = null) {
    super(title);
    Object.assign(this, { status, code, title, detail, field, request_id, wait_s });
  }
}

export function loggedIn() {
  return session !== null;
}

// Say what is to be done when the session is over and cannot be renewed.
export function onEnd(then) {
  ended = then;
}

export async function logIn(username, password) {
  const body = new URLSearchParams({ username, password, scope: SCOPES });
  keep(await patiently(REPEATS, null, async () => answered(await send("POST", "/login/access-token", { body }))));
}

export async function logOut() {
  try {
    if (session) await api.post("/auth/logout", { body: {} });
  } finally {
    session = null;
  }
}

export const api = {
  get: (path, { fill, query, signal } = {}) => ask("GET", path, { fill, query, signal }),
  post: (path, { fill, body } = {}) => ask("POST", path, { fill, body, key: newKey() }),
  patch: (path, { fill, body } = {}) => ask("PATCH", path, { fill, body }),
};

async function ask(method, path, { fill = {}, query = {}, body, key, signal }) {
  const address = filled(path, fill) + asked(query);
  const headers = {};
  if (key) headers["Idempotency-Key"] = key;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const text = body === undefined ? undefined : JSON.stringify(body);
  // What has a key can be sent again without being done twice; questions can be asked again in any case.
  const repeats = key || method === "GET" ? REPEATS : 0;
  return patiently(repeats, signal, () => withToken(method, address, { headers, body: text, signal }));
}

// What passes by itself within seconds is tried again; what the gateway refuses for a longer time is not.
async function patiently(repeats, signal, act) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await act();
    } catch (error) {
      const wait_s = error.wait_s ?? 0.5 * 2 ** tries;
      if (!PASSING.has(error.code) || tries >= repeats || wait_s > PATIENCE_S) throw error;
      await pause(wait_s, signal);
    }
  }
}

async function withToken(method, address, request) {
  if (session && session.until - Date.now() < EARLY_MS) await renew();
  const used = session?.access;
  let response = await send(method, address, authorized(request));
  if (response.status === 401 && session) {
    if (session.access === used) await renew();
    response = await send(method, address, authorized(request));
    if (response.status === 401) end();
  }
  return answered(response);
}

function authorized(request) {
  if (!session) throw new Problem({ status: 401, code: "unauthenticated", title: "You are logged out" });
  return { ...request, headers: { ...request.headers, Authorization: `Bearer ${session.access}` } };
}

async function send(method, address, request) {
  try {
    // No cookies, no cache: what is shown is what the gateway says now.
    return await fetch(BASE + address, { method, cache: "no-store", credentials: "omit", redirect: "error", ...request });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ status: 0, code: "unreachable", title: "The gateway does not answer", detail: error.message });
  }
}

async function answered(response) {
  tellClock(response.headers.get("Date"));
  if (response.headers.has("X-RateLimit-Limit")) {
    quota.limit = Number(response.headers.get("X-RateLimit-Limit"));
    quota.remaining = Number(response.headers.get("X-RateLimit-Remaining"));
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  const wait = response.headers.get("Retry-After");
  throw new Problem(await told(response), wait === null ? null : Number(wait));
}

async function told(response) {
  const request_id = response.headers.get("X-Request-Id");
  try {
    return { request_id, ...(await response.json()) };
  } catch {
    return { status: response.status, code: "other", title: `The answer was ${response.status}`, request_id };
  }
}

// One renewal at a time: a refresh token works once.
function renew() {
  renewing ??= exchange().finally(() => {
    renewing = null;
  });
  return renewing;
}

async function exchange() {
  const headers = { "Content-Type": "application/json" };
  const body = JSON.stringify({ refresh_token: session.refresh });
  try {
    const tokens = await answered(await send("POST", "/auth/refresh", { headers, body }));
    if (session) keep(tokens);
  } catch (error) {
    if (error.status === 401) end();
    throw error;
  }
}

function keep(tokens) {
  const until = Date.now() + tokens.expires_in * 1000;
  session = { access: tokens.access_token, refresh: tokens.refresh_token, until };
}

function end() {
  session = null;
  ended();
}

function filled(path, fill) {
  return path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(fill[name]));
}

function asked(query) {
  const set = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return set.length ? `?${new URLSearchParams(set)}` : "";
}

// Not crypto.randomUUID: browsers keep that from pages that came over plain HTTP from another machine.
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
