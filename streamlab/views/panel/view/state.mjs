// What the panel says, and which of its buttons work: functions of the state that the kernel sends.

export const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 5, 10, 25, 50, 100];
const CLOSED = "This lab has been closed. For a new one, run its cell again; in Voila, load the page again.";

// ---- words -----------------------------------------------------------------------------------------

export const plural = (n, word, more) => `${n} ${n === 1 ? word : more}`;
export const count = (n) => n.toLocaleString("en");
const twoDigits = (value) => Number(value.toPrecision(2));

export function seconds(value) {
  if (value === null) return "–";
  return value < 100 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
}

export function headline(state) {
  return state.closed ? ["calm", CLOSED] : state.headline;
}

export function notice(state) {
  const future = state.future.length ? `To be done again when its time comes: ${state.future.join(", ")}. ` : "";
  return future + (state.notice || "");
}

export function sceneLabel(state) {
  const who = state.consumers.map((c) => `${c.name} is ${c.state} with ${c.pending} pending`).join("; ");
  const waiting = plural(state.backlog, "entry waits", "entries wait");
  return `${waiting} in the stream; ${who}; ${state.n_acked} acknowledged.`;
}

export function curvesLabel({ window, backlog, n_pending, figures }) {
  const figure = `backlog ${backlog}, pending ${n_pending}, throughput ${figures.throughput}`;
  return `The last ${Math.round(window)} seconds: ${figure}.`;
}

export function lanesLabel({ window, consumers }) {
  const again = (c) => (c.again ? ` and did ${c.again} for the second time` : "");
  const acked = consumers.map((c) => `${c.name} acknowledged ${c.acked}${again(c)}`).join(", ");
  return `Which consumer had which entries in the last ${Math.round(window)} seconds: ${acked}.`;
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

// Whether the run goes on, so that something can be done to it.
export const runs = (state) => !state.closed && !state.finished;

export const nearestSpeed = (speed) => SPEEDS.find((each) => each >= speed) || SPEEDS.at(-1);
export const goBack = (at, by) => Math.max(0, Number((at - by).toFixed(3)));

// The sliders turn what was planned into eighths to eightfold, by steps that double each four.
export const sliderPosition = (value, planned) => Math.log2(value / planned);
export const sliderValue = (position, planned) => {
  return position === 0 ? planned : Number((planned * 2 ** position).toPrecision(3));
};
export const pace = (value, isTime) => `${twoDigits(value)}${isTime ? " s" : "/s each"}`;

export function newestFirst(commands, onlyOfLab) {
  return commands.filter(([, by]) => !onlyOfLab || by === "lab").reverse();
}
