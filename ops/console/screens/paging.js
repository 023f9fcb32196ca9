// Lists go on behind their last row; the cursor is in the address, so that Back goes back.

import { to } from "../address.js";
import { h, link } from "../dom.js";

export function pager({ next_cursor }, { parts, query }) {
  const first = query.cursor ? link("First page", to(parts, { ...query, cursor: null })) : null;
  const next = next_cursor ? link("Next page", to(parts, { ...query, cursor: next_cursor }), { rel: "next" }) : null;
  return first || next ? h("nav", { class: "pager", "aria-label": "Pages" }, first, next) : null;
}

// A form whose fields are the filter in the address: {name, label, choices, type, list}.
export function filter(fields, { parts, query }, go) {
  const control = ({ name, choices, type = "text", list }) => {
    const id = `filter-${name}`;
    if (!choices) return [h("input", { id, name, type, value: query[name] ?? "", list: list ? `${id}-list` : null, autocomplete: "off" }), known(id, list)];
    const options = ["", ...choices].map((one) => h("option", { value: one, selected: one === (query[name] ?? "") }, one || "any"));
    return h("select", { id, name }, options);
  };
  const form = h(
    "form",
    { class: "filter", role: "search" },
    fields.map((one) => h("div", { class: "field" }, h("label", { for: `filter-${one.name}` }, one.label), control(one))),
    h("button", { type: "submit", class: "primary" }, "Filter"),
    Object.keys(query).length ? link("Clear", to(parts)) : null,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const set = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
    go(to(parts, set));
  });
  return form;
}

function known(id, list) {
  return list ? h("datalist", { id: `${id}-list` }, list.map((one) => h("option", { value: one }))) : null;
}
