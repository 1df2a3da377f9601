// The lists of commands: what was done by hand, and what the run's processes send.

import { classes, make, Rows, write } from "./page.mjs";
import { NOTHING_BY_HAND } from "./state.mjs";

// Of a run that is played back, what was planned is listed as well: whoever watches has no part in either.
export function commandsPart({ buttons }) {
  const [title, none] = buttons.length
    ? ["Done by hand", NOTHING_BY_HAND] : ["Faults, and what was done by hand", "Nothing yet."];
  const byHand = list(title), others = list("Commands of the processes");
  const nothing = make("p", { class: "empty" }, none);
  byHand.node.append(nothing);
  const node = make("section", { class: "log", "aria-label": "Commands" },
    make("h3", {}, `${title}, newest first`), byHand.node,
    make("h3", {}, "Commands of the processes"), others.node);

  function update({ by_hand: mine, commands }) {
    byHand.update(mine);
    others.update(commands);
    nothing.hidden = mine.length > 0;
  }
  return { node, update };
}

// Commands, the newest first. It can be scrolled with the keyboard.
function list(title) {
  const body = make("tbody");
  // Rows by their place: they scroll by, and making them each time would be flicker.
  const rows = new Rows(body, newCommand);
  const node = make("div", { class: "scroll log", tabindex: "0", role: "region", "aria-label": title },
    make("table", { class: "log" }, body));
  const update = (commands) => rows.update([...commands].reverse(), (_, i) => i, (row, each) => row.fill(each));
  return { node, update };
}

function newCommand() {
  const at = make("td", { class: "at" }), who = make("td", { class: "at" });
  const words = make("span"), reply = make("span", { class: "reply" });
  const node = make("tr", {}, at, who, make("td", {}, words, reply));

  function fill([when, by, command, answer]) {
    classes(node, ["lab", "you"].includes(by) ? "lab" : "");
    write(at, when.toFixed(2));
    write(who, by);
    write(words, command);
    write(reply, answer ? ` → ${answer}` : "");
  }
  return { node, fill };
}
