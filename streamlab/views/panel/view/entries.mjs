// Entries to be looked at: the dead letters, and the story of one that was picked.

import { atHand } from "./buttons.mjs";
import { attribute, button, enable, head, make, Rows, write } from "./page.mjs";
import { plural, whyNot } from "./state.mjs";

// An entry's id, by which its story is told.
export const link = (id, tell) => button(id, () => tell(id), { look: "link", label: `Story of ${id}` });

// What picks one of several.
export function checkBox(id, picked, changed, label = "") {
  const box = make("input", {
    type: "checkbox", "aria-label": label,
    onchange: () => {
      if (box.checked) picked.add(id);
      else picked.delete(id);
      changed();
    },
  });
  return box;
}

export function lettersPart({ act, tell, buttons }) {
  const [putBack] = atHand(buttons, "dead letters");
  const picked = new Set();
  let state = null;
  const body = make("tbody"), total = make("span", { class: "badge" });
  const rows = new Rows(body, (id) => newLetter(id, tell, putBack && picked, () => update(state)));
  const go = () => {
    act(putBack, { ids: [...picked] });
    picked.clear();
  };
  const does = putBack && button(putBack.label, go, { look: putBack.word, hint: putBack.hint });
  const heads = head([...(putBack ? [""] : []), "entry id", "given up by", "#delivery count", "fields"]);
  const node = make("section", { class: "letters", "aria-label": "Dead letters" },
    make("div", { class: "bar" },
      make("h3", {}, "Dead letters"), total, make("span", { class: "grow" }), ...(does ? [does] : [])),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Dead letters" },
      make("table", { "aria-label": "Dead letters" }, heads, body)));

  function update(now) {
    state = now;
    const letters = state.dead_letters;
    const there = new Set(letters.map(([id]) => id));
    for (const id of picked) if (!there.has(id)) picked.delete(id);
    node.hidden = letters.length === 0;
    write(total, `${state.figures["dead letters"]}`);
    rows.update(letters, ([id]) => id, (row, letter) => row.fill(letter));
    if (!does) return;
    enable(does, whyNot(state) || (picked.size ? "" : "Pick dead letters first, by their check boxes."));
    write(does, picked.size ? `${putBack.label} ${plural(picked.size, "entry", "entries")}` : putBack.label);
  }
  return { node, update };
}

function newLetter(id, tell, picked, changed) {
  const pick = picked && checkBox(id, picked, changed);
  const before = make("td"), by = make("td"), count = make("td", { class: "n" });
  const fields = make("td", { class: "fields" });
  const node = make("tr", { "data-letter": id },
    ...(pick ? [make("td", {}, pick)] : []), before, by, count, fields);

  function fill([, entryId, consumer, n, words]) {
    if (!before.firstChild) before.append(link(entryId, tell));
    if (pick) attribute(pick, "aria-label", `Pick the dead letter of ${entryId}`);
    write(by, consumer);
    write(count, n);
    write(fields, words);
    if (pick && pick.checked !== picked.has(id)) pick.checked = picked.has(id);
  }
  return { node, fill };
}

// What has happened to the entry that was picked, a line for each event.
export function storyPart({ tell }) {
  const title = make("h3"), lines = make("ol", { class: "story" });
  const rows = new Rows(lines, () => {
    const node = make("li");
    return { node, fill: (line) => write(node, line) };
  });
  const close = button("Close", () => tell(""), { label: "Close the story" });
  const node = make("section", { class: "story", role: "region", "aria-label": "Story of an entry" },
    make("div", { class: "bar" }, title, make("span", { class: "grow" }), close), lines);

  function update({ story }) {
    node.hidden = !story;
    if (!story) return;
    write(title, `Story of ${story.id}`);
    rows.update(story.lines, (_, i) => i, (row, line) => row.fill(line));
  }
  return { node, update };
}
