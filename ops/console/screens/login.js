// Name and password go to the gateway, and nowhere else.

import { loggedIn, logIn, logOut } from "../api.js";
import { h } from "../dom.js";
import { problem } from "../notices.js";

export function login(why, then) {
  const name = h("input", { id: "username", name: "username", autocomplete: "username", required: true });
  const password = h("input", {
    id: "password", name: "password", type: "password", autocomplete: "current-password", required: true,
  });
  const errors = h("div", {});
  const go = h("button", { type: "submit", class: "primary" }, "Log in");
  const form = h(
    "form",
    { class: "login", onsubmit: submit },
    h("h1", {}, "Sluice console"),
    why ? h("p", {}, why) : null,
    h("div", { class: "field" }, h("label", { for: "username" }, "Name"), name),
    h("div", { class: "field" }, h("label", { for: "password" }, "Password"), password),
    errors,
    h("div", { class: "deeds" }, go),
    h("p", { class: "soft" }, "For administrators. A reload of this page logs out: tokens are kept in its memory alone."),
  );

  async function submit(event) {
    event.preventDefault();
    go.disabled = true;
    errors.replaceChildren();
    try {
      await logIn(name.value, password.value);
      password.value = "";
      await then();
    } catch (error) {
      if (loggedIn()) await logOut().catch(() => {}); // a session that nothing can be shown of
      errors.replaceChildren(problem(error));
      password.select();
    } finally {
      go.disabled = false;
    }
  }

  return h("main", {}, form);
}
