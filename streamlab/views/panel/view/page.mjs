// Nodes of the page. What an entry holds is shown as text, never as markup; and only what is different is written,
// into the node that is there: nothing is replaced, so nothing flickers and no button loses the keyboard's focus.

const CONTROLS = new Set(["button", "input", "select"]);

export function make(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  // Or JupyterLab takes a key for its own: x on a check box would cut the cell.
  if (CONTROLS.has(tag) || "tabindex" in props) node.setAttribute("data-lm-suppress-shortcuts", "true");
  node.append(...children);
  return node;
}

export function write(node, text) {
  text = String(text);
  const first = node.firstChild;
  if (first === null) node.append(text);
  else if (first.data !== text) first.data = text;
}

export function attribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

export function classes(node, value) {
  if (node.className !== value) node.className = value;
}

// Hand a file over to whoever looks at the page.
export function download(name, content, type) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

// ---- controls --------------------------------------------------------------------------------------

export function button(words, act, { look = "", label = "", hint = "" } = {}) {
  const onclick = ({ currentTarget }) => {
    if (currentTarget.getAttribute("aria-disabled") !== "true") act();
  };
  const more = { ...(label && { "aria-label": label }), ...(hint && { title: hint, "data-hint": hint }) };
  return make("button", { type: "button", class: look, onclick, ...more }, words);
}

// Let a button do something, or say `why` it does nothing. It is not disabled, or it would lose the keyboard's focus.
export function enable(node, why, hint = node.dataset.hint || "") {
  attribute(node, "aria-disabled", why ? "true" : "false");
  attribute(node, "title", why || hint);
}

// Whether a control may be changed: nobody is typing or dragging there.
export const isFree = (node) => document.activeElement !== node;

export function show(input, value) {
  if (isFree(input) && input.value !== String(value)) input.value = String(value);
}

// Let a select have these options, [value, words], and keep what was chosen.
export function offer(select, options) {
  const key = JSON.stringify(options);
  if (select.dataset.key === key) return;
  const chosen = select.value;
  select.dataset.key = key;
  select.replaceChildren(...options.map(([value, words]) => make("option", { value }, words)));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}

// ---- tables ----------------------------------------------------------------------------------------

// The head of a table; a column whose word begins with # holds numbers. `looks` are the columns' classes.
export function head(words, looks = []) {
  const cells = words.map((word, i) => {
    const look = [...(word.startsWith("#") ? ["n"] : []), ...(looks[i] ? [looks[i]] : [])].join(" ");
    return make("th", { class: look, scope: "col" }, word.replace("#", ""));
  });
  return make("thead", {}, make("tr", {}, ...cells));
}

// Rows by their keys: a row is made once, and stays the same node as long as its key is there.
export class Rows {
  constructor(body, create) {
    this.body = body;
    this.create = create;
    this.rows = new Map();
  }

  update(items, keyOf, fill) {
    const wanted = new Set(items.map(keyOf));
    for (const [key, row] of this.rows) {
      if (!wanted.has(key)) {
        row.node.remove();
        this.rows.delete(key);
      }
    }
    let next = this.body.firstChild;
    for (const [i, item] of items.entries()) {
      const key = keyOf(item, i);
      let row = this.rows.get(key);
      if (!row) this.rows.set(key, (row = this.create(key)));
      fill(row, item, i);
      if (row.node === next) next = next.nextSibling;
      else this.body.insertBefore(row.node, next);
    }
  }
}
