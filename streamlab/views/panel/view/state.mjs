// What the panel says, and which of its buttons work: functions of the state that the kernel sends.

export const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 5, 10, 25, 50, 100];
const AFTER = {
  live: "For another one, run its cell again; in Voila, load the page again.",
  simulated: "Go back in time, or begin again.",
};
const CLOSED = "This lab has been closed. For a new one, run its cell again; in Voila, load the page again.";

export const NOTHING_BY_HAND = "Nothing yet. What a button sends to Redis is listed here, with the reply.";

// ---- words -----------------------------------------------------------------------------------------

export const plural = (n, word, more) => `${n} ${n === 1 ? word : more}`;
export const count = (n) => n.toLocaleString("en");
const twoDigits = (value) => Number(value.toPrecision(2));
export const lookBack = (window) => (window < 10 ? twoDigits(window) : Math.round(window));

export function seconds(value) {
  if (value === null) return "–";
  return value < 100 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
}

export function headline(state) {
  if (state.closed) return ["calm", CLOSED];
  const [mood, words] = state.headline;
  return [mood, state.finished ? `${words} ${AFTER[state.engine]}` : words];
}

export function notice({ future, notice: words }) {
  if (!future.length) return words || "";
  const [done, it] = future.length === 1 ? ["was", "it"] : ["were", "them"];
  const forgets = `Do anything else before, and the run forgets ${it}.`;
  return `${future.join(", ")} ${done} done by hand, and will be again when the time comes. ${forgets} ${words || ""}`;
}

// What beginning again forgets.
export function hintOfBeginning({ n_by_hand: n }) {
  const forgets = n ? `, and forgets the ${plural(n, "thing", "things")} that you have done by hand` : "";
  return `Goes back to the beginning, with this seed${forgets}.`;
}

// The seed that was typed. What is none goes to the kernel as it is, which says what a seed is.
export const seedOf = (value) => (value === "" ? "" : Number(value));

export function sceneLabel(state) {
  const taken = (c) => (c.taken ? ` and works on ${c.taken} that were taken from it` : "");
  const who = state.consumers.map((c) => `${c.name} is ${c.state} with ${c.pending} pending${taken(c)}`).join("; ");
  const isOne = state.groups.length === 1;
  const waiting = state.groups.map(({ name, backlog }) => {
    return `${plural(backlog, "entry waits", "entries wait")} in the stream${isOne ? "" : ` for ${name}`}`;
  });
  const acked = state.groups.map(({ name, n_acked: n }) => `${n} acknowledged${isOne ? "" : ` in ${name}`}`);
  return `${waiting.join(", ")}; ${who}; ${acked.join(", ")}.`;
}

export function curvesLabel({ window, groups }) {
  const figures = groups.map(({ name, backlog, n_pending: n, throughput }) => {
    return `${groups.length > 1 ? `${name}: ` : ""}backlog ${backlog}, pending ${n}, throughput ${throughput}`;
  });
  return `The last ${lookBack(window)} seconds: ${figures.join("; ")}.`;
}

// What something is called that belongs to a group: which, if there are several.
export const inGroup = (words, group, { groups }) => (groups.length > 1 ? `${words} · ${group}` : words);

// Picked entries by the groups in which they are pending; keys are those of `layout.mjs`.
export function byGroup(keys) {
  const found = new Map();
  for (const key of keys) {
    const at = key.indexOf(" "), group = key.slice(at + 1);
    found.set(group, [...(found.get(group) || []), key.slice(0, at)]);
  }
  return found;
}

export function lanesLabel({ window, consumers }) {
  const again = (c) => (c.again ? ` and did ${c.again} for the second time` : "");
  const acked = consumers.map((c) => `${c.name} acknowledged ${c.acked}${again(c)}`).join(", ");
  return `Which consumer had which entries in the last ${lookBack(window)} seconds: ${acked}.`;
}

// ---- consumers and what is pending for them --------------------------------------------------------

export const isGone = (consumer) => consumer.state === "dead" || consumer.state === "stopped";
// One that stopped in good order and left nothing is gone, but no trouble.
export const isTrouble = (consumer) => consumer.state === "dead" || (isGone(consumer) && consumer.pending > 0);
export const isPaused = (consumer) => consumer.state === "paused";

export function consumerRow(consumer) {
  return {
    look: isGone(consumer) && consumer.pending ? "stranded" : "",
    hint: consumer.pid ? `process ${consumer.pid}` : "",
  };
}

// A row of the pending entries list; `owner` is the consumer that has it, if there is one of that name.
export function pendingRow([, name, idle, deliveries], owner, minIdle) {
  const isAway = owner !== undefined && (isGone(owner) || isPaused(owner));
  const isOver = idle >= minIdle;
  return {
    look: isAway ? "stranded" : deliveries > 1 ? "again" : "",
    owner: isAway ? `${name} (${owner.state})` : name,
    meter: isOver ? "meter over" : "meter",
    share: `${Math.min(100, (60 * idle) / minIdle).toFixed(0)}%`, // the mark of min-idle stands at 60 %
    idle: isOver ? `${seconds(idle)} claimable` : seconds(idle),
  };
}

export function pendingCount({ n_pending, pending }) {
  return n_pending > pending.length ? `${n_pending}, the first ${pending.length} are listed` : `${n_pending}`;
}

// ---- controls --------------------------------------------------------------------------------------

// Why nothing can be done to the run; "" as long as it goes on.
export function whyNot({ closed, finished, engine }) {
  if (closed) return "This lab has been closed.";
  if (!finished) return "";
  return engine === "live" ? "The run has ended." : "The run has ended: go back, or begin again.";
}

export const nearestSpeed = (speed) => SPEEDS.find((each) => each >= speed) || SPEEDS.at(-1);
export const goBack = (at, by) => Math.max(0, Number((at - by).toFixed(3)));

// The sliders turn what was planned into eighths to eightfold, by steps that double each four.
export const sliderPosition = (value, planned) => Math.log2(value / planned);
export const sliderValue = (position, planned) => {
  return position === 0 ? planned : Number((planned * 2 ** position).toPrecision(3));
};
export const pace = (value, isTime) => `${twoDigits(value)}${isTime ? " s" : "/s each"}`;
