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

// ---- shards and servers ----------------------------------------------------------------------------

// What is said of a shard: {owner, how, left, words}; `left` is the share of its lease that is left, null if unknown.
export function shardStatus([, , owner, until, waiting, pending], state) {
  const holder = state.consumers.find(({ name }) => name === owner);
  const isAway = holder !== undefined && (isGone(holder) || isPaused(holder));
  const seconds = until === null ? null : Math.max(0, until - state.at);
  const isOver = seconds === 0;
  const how = isOver ? "free" : isAway ? "running-out" : "owned";
  const words = {
    free: isAway && isTrouble(holder) ? `${owner}'s lease is over` : "nobody's",
    "running-out": `${owner} ${holder?.state}: ${(seconds ?? 0).toFixed(1)} s`,
    owned: owner,
  }[how];
  const left = seconds === null ? null : Math.min(1, seconds / state.min_idle);
  return { owner: isOver ? "" : owner, how, left, words, waiting, pending };
}

// Who owns which shards of a group, by the consumers' names.
export function shardsOf(state) {
  const found = new Map(state.consumers.map(({ name }) => [name, []]));
  for (const shard of state.shards) found.get(shardStatus(shard, state).owner)?.push(shard[0]);
  return found;
}

// Numbers in short: 0–10, 13.
export function ranges(numbers) {
  const found = [];
  for (const n of numbers) {
    const last = found.at(-1);
    if (last && last[1] === n - 1) last[1] = n;
    else found.push([n, n]);
  }
  return found.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(" ");
}

// Of a run that is played back nobody can be asked who has a lease.
export function shardsTitle({ shards }, isSmall) {
  const isTold = shards.some(([, , , until]) => until === null);
  const how = isTold ? "who was last given entries of each" : "who owns each; the bar is what is left of its lease";
  return `shards, by ${how}${isSmall ? ", that at the right what waits in it" : ""}`;
}

export function shardsLabel(state) {
  const each = state.shards.map((shard) => {
    const { words, waiting, pending } = shardStatus(shard, state);
    return `${inGroup(`shard ${shard[0]}`, shard[1], state)}: ${words}, ${waiting} waiting, ${pending} pending`;
  });
  return `Who owns which shard: ${each.join("; ")}.`;
}

const counted = (entries, acks) => {
  return `${plural(entries, "entry", "entries")}, ${plural(acks, "acknowledgement", "acknowledgements")}`;
};
// What a server that is alone would come back without, by what it keeps; `null` keeps all that it answered.
const LOSES = {
  rdb: ["a crash now loses", "since the last snapshot", "comes back without"],
  "aof-everysec": ["a power cut now loses", "not synced yet", "may come back without"],
  none: ["a crash now loses", "nothing is on its disk", "comes back without"],
};

// What is written in a server's box: its state, and below it what it lacks.
export function serverWords([, role, isAlive, entries, acks, detail], { all, keeps, about }) {
  const lacks = `${about ? "about " : ""}${counted(entries, acks)}`, isAny = entries + acks > 0;
  if (detail) return [isAlive ? role : "down", detail]; // of a cluster
  if (role === "replica") return ["replica", `${copies(all)} lacks ${isAny ? lacks : "nothing"}`.trim()];
  if (role === "primary") return isAlive ? ["primary", "takes writes"] : ["dead", "was the primary"];
  const state = isAlive ? "alive" : "down";
  if (!LOSES[keeps] || !isAny) return [state, "all that it answered is on its disk"];
  const [loses, why, without] = LOSES[keeps];
  return [state, isAlive ? `${loses} ${lacks} (${why})` : `${without} ${lacks}`];
}

// What a replica does: of several, nobody knows yet which will be promoted.
function copies(all) {
  if (all.some(([, role, isAlive]) => role === "primary" && isAlive)) return "copies it, and";
  return all.filter(([, role]) => role === "replica").length === 1 ? "is to take its place, and" : "";
}

// Why a button does nothing to the servers now; "" if it does something.
export function whyNoServer({ all }, word) {
  if (!["failover", "network-cut"].includes(word)) return "";
  return all.some(([, role]) => role === "replica") ? "" : "No replica is left.";
}

// What the servers have forgotten: a sentence before the ids of each kind, and how many of these are not listed.
export function forgottenOf({ lost, n_unprocessed: n, again }) {
  const listed = ([total, ids], words) => ({ words, ids, more: total - ids.length });
  const never = n === lost[0] ? "none was ever processed" : n ? `${n} never processed` : "all had been processed";
  return [
    listed(lost, `${plural(lost[0], "entry", "entries")} lost, ${never}:`),
    listed(again, `${plural(again[0], "acknowledgement", "acknowledgements")} lost, so delivered again:`),
  ].filter(({ ids }) => ids.length);
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
