// "More actions": what can be done to the run and has no button beside what it is for.

import { asked, inMenu, textOf, unsuited } from "./buttons.mjs";
import { attribute, button, enable, make, offer, write } from "./page.mjs";
import { whyNot } from "./state.mjs";

export function faultsMenu({ act, buttons }) {
  const groups = inMenu(buttons);
  const options = groups.flatMap(({ role, buttons: some }) => some.map((each) => ({ role, each })));
  let chosen = options[0], inputs = [], state = null;

  const kinds = make("select", { "aria-label": "Action", onchange: choose });
  for (const { role, title, buttons: some } of groups) {
    const group = make("optgroup", { label: title });
    group.append(...some.map(({ word, label }) => make("option", { value: `${role} ${word}` }, label)));
    kinds.append(group);
  }
  const target = make("select", { "aria-label": "Target", onchange: show });
  const which = make("select", { "aria-label": "Group", onchange: show });
  const fields = make("span", { class: "bar" });
  const go = button("Do it", () => act(chosen.each, values()), { look: "fault" });
  const text = make("code"), hint = make("span");
  const onkeydown = ({ key }) => {
    if (key !== "Escape") return;
    open(false);
    opener.focus();
  };
  const node = make("div", { class: "faults", role: "group", "aria-label": "More actions", onkeydown },
    make("div", { class: "bar" }, kinds, target, which, fields, go), make("p", {}, text, hint));
  const opener = button("More actions", () => open(node.hidden), {
    look: "more", hint: "What else can go wrong, or be done.",
  });

  function open(yes) {
    node.hidden = !yes;
    attribute(opener, "aria-expanded", String(yes));
    if (yes) kinds.focus();
  }

  const actors = () => ({ consumer: state.consumers, producer: state.producers })[chosen.role] || [];

  function values() {
    return Object.fromEntries([
      ...(chosen.role ? [["target", target.value]] : []),
      ...(which.hidden ? [] : [["group", which.value]]),
      ...inputs.map(({ name, node }) => [name, given(node)]),
    ]);
  }

  function choose() {
    chosen = options.find(({ role, each }) => `${role} ${each.word}` === kinds.value);
    inputs = asked(chosen.each, chosen.role).map((field) => ({ ...field, node: input(field, show) }));
    fields.replaceChildren(...inputs.map(({ keyword, kind, node }) => {
      return make("label", {}, ...(keyword ? [keyword] : []), node, ...(kind === "time" ? ["s"] : []));
    }));
    target.hidden = !chosen.role;
    if (state) update(state);
  }

  function show() {
    write(text, `lab.do(${JSON.stringify(textOf(chosen.each, values()))})`);
    write(hint, chosen.each.hint);
    const actor = actors().find(({ name }) => name === target.value);
    const whom = !chosen.role ? "" : actor ? unsuited(chosen.each, actor) : "There is nobody to do it to.";
    enable(go, whyNot(state) || whom);
  }

  function update(now) {
    state = now;
    offer(target, actors().map(({ name }) => [name, name]));
    offer(which, state.groups.map(({ name }) => [name, name]));
    which.hidden = state.groups.length === 1 || !chosen.each.fields.some(({ name }) => name === "group");
    show();
  }

  choose();
  open(false);
  return { opener, node, update };
}

const given = ({ type, value }) => (type === "number" && value !== "" ? Number(value) : value);

function input({ name, keyword, kind, value, choices }, onchange) {
  const label = { "aria-label": keyword || name };
  if (choices) {
    const node = make("select", { ...label, onchange });
    offer(node, choices.map((each) => [each, each]));
    node.value = value;
    return node;
  }
  if (kind === "words") return make("input", { type: "text", value, ...label, oninput: onchange });
  const step = kind === "time" ? { min: "0.1", step: "0.5" } : { min: "1", step: "1" };
  const node = make("input", { type: "number", ...step, ...label, oninput: onchange });
  if (value === null) attribute(node, "placeholder", "∞");
  else node.value = String(value);
  return node;
}
