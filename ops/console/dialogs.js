// Deeds are confirmed in a dialog that says what will happen; it stays open while the gateway refuses.

import { Problem } from "./api.js";
import { button, h } from "./dom.js";
import { problem } from "./notices.js";

// Ask, and run `act(values)` on yes; resolves to what it gives, or to null where somebody thought better of it.
// A field is {name, label, type, required, hint, value, choices}.
export function confirm({ title, text = [], fields = [], yes, danger = false, act }) {
  const inputs = new Map(fields.map((field) => [field.name, input(field)]));
  const errors = h("div", {});
  const go = h("button", { type: "submit", class: danger ? "danger" : "primary" }, yes);
  let done = null;
  return new Promise((resolve) => {
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", { id: "dialog-title" }, title),
      [text].flat().map((line) => (line instanceof Node ? line : h("p", {}, line))),
      fields.map((field) => labelled(field, inputs.get(field.name))),
      errors,
      h("div", { class: "deeds" }, go, button("Never mind", () => dialog.close())),
    );
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      go.disabled = true;
      errors.replaceChildren();
      try {
        done = { value: await act(values(fields, inputs)) };
        dialog.close();
      } catch (error) {
        errors.replaceChildren(problem(error));
        if (!(error instanceof Problem)) throw error;
      } finally {
        go.disabled = false;
      }
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function dialogIsOpen() {
  return document.querySelector("dialog[open]") !== null;
}

function input({ name, type = "text", required = false, value = "", choices, maxlength }) {
  const id = `field-${name}`;
  if (choices) {
    const options = choices.map(([key, text]) => h("option", { value: key, selected: key === value }, text));
    return h("select", { id, name, required }, options);
  }
  if (type === "checkbox") return h("input", { id, name, type, checked: Boolean(value) });
  return h("input", { id, name, type, required, value, maxlength, autocomplete: "off" });
}

function labelled({ label, hint, type }, control) {
  const words = h("label", { for: control.id }, label);
  const parts = type === "checkbox" ? [control, words] : [words, control];
  return h("div", { class: "field" }, parts, hint ? h("p", { class: "soft" }, hint) : null);
}

function values(fields, inputs) {
  return Object.fromEntries(
    fields.map(({ name, type }) => {
      const control = inputs.get(name);
      return [name, type === "checkbox" ? control.checked : control.value.trim()];
    }),
  );
}

// What a datetime-local field says, which is meant in UTC; null where it is empty.
export function utc(value) {
  return value ? new Date(`${value}Z`).toISOString() : null;
}
