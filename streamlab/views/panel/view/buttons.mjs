// Which buttons there are, and what each of them does: functions of what the actions declare, `buttons`. An action goes
// to the kernel as text: the same that a scenario's file and the shell take.

import { isGone, isPaused } from "./state.mjs";

// ---- where they stand ------------------------------------------------------------------------------

// Those that stand beside what they are for.
export const atHand = (buttons, ...aims) => buttons.filter(({ at_hand, aim }) => at_hand && aims.includes(aim));

// Those in a consumer's row: each with what takes its place as long as that can be undone.
export function inRow(buttons) {
  const all = atHand(buttons, "consumer", "actor");
  const undoing = (word) => all.find(({ undoes }) => undoes === word);
  return all.filter(({ undoes }) => !undoes).map((does) => ({ does, undo: undoing(does.word) }));
}

// All others, by whom they are for; a producer has no row, so all that can be done to it is here.
export function inMenu(buttons) {
  const isFor = (role) => ({ aim }) => aim === role || aim === "actor";
  const others = buttons.filter(({ at_hand }) => !at_hand);
  const [ofConsumers, ofProducers] = [others.filter(isFor("consumer")), buttons.filter(isFor("producer"))];
  const ofAll = others.filter((each) => ![...ofConsumers, ...ofProducers].includes(each));
  return [
    { role: "consumer", title: "to a consumer", buttons: ofConsumers },
    { role: "producer", title: "to a producer", buttons: ofProducers },
    { role: "", title: `to the ${[...new Set(ofAll.map(({ aim }) => aim))].join(", ")}`, buttons: ofAll },
  ];
}

// Why a button does nothing to this actor; "" if it does something.
export function unsuited({ needs }, actor) {
  if (needs === "alive" && isGone(actor)) return `${actor.name} is ${actor.state} already.`;
  return needs === "paused" && !isPaused(actor) ? `${actor.name} is not paused.` : "";
}

// What is asked for beside a button; `choices` if it is one of some words, which depend on who it is for.
export function asked({ fields }, role) {
  return fields.filter((field) => field.asked).map((field) => {
    const { name, keyword, kind, default: value } = field;
    const choices = field.choices && Object.keys(field.choices).filter((each) => field.choices[each] === role);
    return { name, keyword, kind, choices, value: choices && !choices.includes(value) ? choices[0] : value };
  });
}

// ---- what they say ---------------------------------------------------------------------------------

const word = (name) => (/^[\w.:-]+$/.test(name) ? name : JSON.stringify(name)); // as a shell reads it
const number = (value) => String(Number(value.toPrecision(12)));
const duration = (seconds) => (seconds < 1 ? `${number(seconds * 1000)}ms` : `${number(seconds)}s`);

function written(kind, value) {
  if (kind === "words") return value.trim().split(/\s+/).map(word);
  if (typeof value !== "number") return [value].flat().map(word);
  return [kind === "time" ? duration(value) : number(value)];
}

// The text of a button's action; `values` are those of its fields, by name, and what is empty is left out.
export function textOf({ word: first, fields }, values = {}) {
  const given = fields.filter(({ name }) => ![undefined, null, ""].includes(values[name]));
  const words = given.flatMap(({ name, keyword, kind }) => {
    return [...(keyword ? [keyword] : []), ...written(kind, values[name])];
  });
  return [first, ...words].join(" ");
}
