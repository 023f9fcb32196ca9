// Elements from values: whatever is put in becomes a text node, so a title that looks like markup is shown as it was sent.

const PROPERTIES = new Set(["value", "checked", "disabled", "required", "selected", "open", "hidden", "indeterminate"]);

// An element with its attributes and children; `onclick` and the like take functions, null and false are left out.
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else if (name === "key") element.dataset.key = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...flat(children));
  return element;
}

function flat(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

// A table that can be read and scrolled without a mouse.  A column is {head, cell(row)}; `number` puts figures to the
// right, `names` says that its cell is what the row is called.
export function table(caption, columns, rows, { empty = "Nothing here.", row = () => ({}) } = {}) {
  if (rows.length === 0) return h("p", { class: "empty" }, empty);
  const kind = (column) => ({ class: column.number ? "number" : null });
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, columns.map((one) => h("th", { scope: "col", ...kind(one) }, one.head)))),
      h("tbody", {}, rows.map((one) => h("tr", row(one), columns.map((column) => cell(column, one, kind(column)))))),
    ),
  );
}

function cell(column, row, attributes) {
  return h(column.names ? "th" : "td", { ...attributes, scope: column.names ? "row" : null }, column.cell(row));
}

// Terms and what they are, one below the other; pairs whose value is null are left out.
export function facts(pairs) {
  const told = pairs.filter(([, value]) => value !== null && value !== undefined);
  return h("dl", { class: "facts" }, told.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

export function button(text, onclick, { kind = "", disabled = false, key = null, label = null } = {}) {
  return h("button", { type: "button", class: kind, onclick, disabled, key, "aria-label": label }, text);
}

export function link(text, href, more = {}) {
  return h("a", { href, ...more }, text);
}

export function json(value) {
  return h("pre", { tabindex: 0 }, JSON.stringify(value, null, 2));
}

// A word with a colour, and with the word: nobody has to see the colour.
export function badge(text, tone = "plain") {
  return h("span", { class: `badge ${tone}` }, text);
}
