// Where everything stands in the three drawings, in pixels: functions of the state and of the room there is.

import { isGone, isPaused } from "./state.mjs";

export const CELL = 15; // an entry
const GAP = 4; // what is between two of them
const HEAD = 32, NAME = 138; // above the scene's boxes; what a consumer's name and state take of its box
const GROUP = 70; // the least that one of several groups takes, with what is written below its stream

// ---- the scene: producers, stream, consumers -------------------------------------------------------

// Boxes by their left edge and their vertical middle; close together in a window that is low. Each group sees the
// stream on its own, so there is one for each, before its consumers.
export function places(state, width, isLow = false) {
  const nProducers = state.producers.length;
  const most = isLow ? 30 : 42;
  const step = state.consumers.length > 5 ? 30 : most;
  const members = state.groups.map(({ name }) => state.consumers.filter(({ group }) => group === name));
  const highs = members.map(({ length }) => (members.length > 1 ? Math.max(length * step, GROUP) : length * step));
  const all = highs.reduce((sum, high) => sum + high, 0);
  const height = Math.max(3 * most, all) + (isLow ? 30 : 42);
  const inner = height - HEAD + (isLow ? 4 : -8);
  const middle = HEAD + inner / 2 - (isLow ? 4 : 0);
  const each = Math.min(most, inner / nProducers);
  const left = width * 0.44 + 58, right = width - 132;
  const row = (y, i, of, apart) => y + (i - (of - 1) / 2) * apart;
  const streams = new Map(), consumers = new Map(), done = new Map();
  let top = middle - all / 2;
  for (const [g, { name }] of state.groups.entries()) {
    const y = top + highs[g] / 2;
    top += highs[g];
    streams.set(name, { x0: 118, x1: width * 0.44, y });
    done.set(name, { x: width - 62, y });
    for (const [i, consumer] of members[g].entries()) {
      const at = row(y, i, members[g].length, step);
      consumers.set(consumer.name, { x: left, y: at, w: right - left, h: Math.min(34, step - 4), consumer });
    }
  }
  const producers = new Map(state.producers.map((producer, i) => [
    producer.name, { x: 8, y: row(middle, i, nProducers, each), h: Math.min(30, each - 4), producer },
  ]));
  return { width, height, producers, streams, consumers, done };
}

const fitting = (width) => Math.max(1, Math.floor(width / (CELL + GAP)));
export const roomInStream = (stream) => fitting(stream.x1 - stream.x0 - 44);
export const roomWith = (consumer) => fitting(consumer.w - NAME - 40);
export const firstWith = (consumer) => ({ x: consumer.x + NAME, y: consumer.y });
export const firstInStream = (stream) => ({ x: stream.x1 - 14, y: stream.y });

// An entry is somewhere else in each group.
export const keyOf = (id, group) => `${id} ${group}`;

// Where each entry is to be seen, by its key: {x, y, look, n}, n being how often it was delivered.
// `taken` holds the keys of what was claimed.
export function entryPlaces(state, place, taken) {
  const found = new Map();
  for (const { name, waiting } of state.groups) {
    const stream = place.streams.get(name), first = firstInStream(stream);
    waiting.slice(0, roomInStream(stream)).forEach(([id], i) => {
      found.set(keyOf(id, name), { x: first.x - i * (CELL + GAP), y: first.y, look: "new", n: 1 });
    });
  }
  const held = new Map();
  for (const [id, owner, , n, , group] of state.pending) {
    const box = place.consumers.get(owner), key = keyOf(id, group);
    if (!box) continue;
    const i = held.get(owner) || 0;
    held.set(owner, i + 1);
    if (i >= roomWith(box)) continue;
    const { x, y } = firstWith(box);
    found.set(key, { x: x + i * (CELL + GAP), y, look: lookOf(box.consumer, n > 1 || taken.has(key)), n });
  }
  return found;
}

function lookOf(consumer, isAgain) {
  if (isGone(consumer)) return "stranded";
  if (isPaused(consumer)) return "still";
  return isAgain ? "again" : "held";
}

// How many entries are not drawn for want of room: in the stream, and with a consumer.
export const hiddenInStream = (group, stream) => Math.max(0, group.backlog - roomInStream(stream));
export function hiddenWith(state, box) {
  const listed = state.pending.filter(([, owner]) => owner === box.consumer.name).length;
  return Math.max(0, box.consumer.pending - Math.min(listed, roomWith(box)));
}

// Where in its box those entries are to be seen that a consumer works on though they were taken from it: at its end.
export function takenPlaces({ x, w, consumer }) {
  return Array.from({ length: Math.min(consumer.taken || 0, 3) }, (_, i) => x + w - 16 - i * (CELL + GAP));
}

// ---- shards ----------------------------------------------------------------------------------------

const STRIPS = 20; // so many are shown as strips at the most
const LEGEND = 22, APART = 6;

// A box for each shard: strips beside each other, or, if there are many, small ones. Each group has rows of its own.
export function shardPlaces(state, width) {
  const n = Math.max(1, state.shards.length / state.groups.length), isSmall = n > STRIPS;
  const least = isSmall ? 34 : 128, h = isSmall ? 34 : 46, apart = isSmall ? 3 : APART;
  const most = Math.max(1, Math.floor((width + apart) / (least + apart)));
  const rows = Math.ceil(n / most), columns = Math.ceil(n / rows);
  const w = Math.min((width + apart) / columns - apart, isSmall ? 60 : Infinity);
  const boxes = state.shards.map((shard, i) => {
    const g = Math.floor(i / n), at = i % n;
    const row = g * rows + Math.floor(at / columns);
    return { shard, x: (at % columns) * (w + apart), y: LEGEND + row * (h + apart), w, h };
  });
  return { isSmall, boxes, height: LEGEND + state.groups.length * rows * (h + apart) };
}

// ---- lanes: who had what, over the last seconds ----------------------------------------------------

const LANES_LEFT = 36, LANES_LEFT_OF_SHARDS = 104, BELOW = 20;

export const lanesHeight = (state) => Math.max(84, Math.min(state.consumers.length * 24, 150)) + BELOW;

// The lanes by their consumers, and the bars in them: {kind, y, x0, x1, again}, where an entry waits with a
// consumer, is worked on (for the second time: "twice"), or was left behind.
export function lanes(state, width, height) {
  const each = (height - BELOW) / state.consumers.length;
  const rows = new Map(state.consumers.map((c, i) => [c.name, i * each + each / 2]));
  const gone = new Set(state.consumers.filter(isGone).map((c) => c.name));
  const begin = state.at - state.window;
  const left = state.shards.length ? LANES_LEFT_OF_SHARDS : LANES_LEFT;
  const x = (t) => left + Math.max(0, (t - begin) / state.window) * (width - left - 2);
  const bars = [], doubled = []; // … which lie above all others
  for (const [name, delivered, begun, processed, ended, again, twice] of state.bars) {
    const y = rows.get(name);
    if (y === undefined) continue;
    const end = ended ?? state.at;
    const add = (kind, t0, t1) => bars.push({ kind, y, x0: x(t0), x1: x(t1), again });
    if (twice) {
      add("waiting", delivered, begun ?? delivered);
      doubled.push({ kind: "twice", y, x0: x(begun ?? delivered), x1: x(processed ?? state.at), again });
    } else if (processed === null && (gone.has(name) || ended !== null)) {
      add("left", delivered, end);
    } else {
      add("waiting", delivered, begun ?? end);
      if (processed !== null) add("working", begun ?? delivered, processed);
    }
  }
  return { left, rows, bars: [...bars, ...doubled] };
}

// ---- curves ----------------------------------------------------------------------------------------

const CURVES_LEFT = 128;

// Figures of several groups, with their unit once: 1.2 · 0.4/s.
const together = (figures) => figures.map((each, i) => {
  return i < figures.length - 1 ? String(each).replace("/s", "") : each;
}).join(" · ");

// The three curves below each other, with a line for each group: what is written beside each, and the points of its
// lines; counts go by steps.
export function curves(state, width, height) {
  const { groups } = state;
  const kinds = [
    { name: "backlog", now: groups.map(({ backlog }) => backlog), least: 4, stepped: true },
    { name: "pending", now: groups.map(({ n_pending: n }) => n), least: 4, stepped: true },
    { name: "throughput", now: groups.map(({ throughput }) => throughput), least: 1, stepped: false },
  ];
  const each = height / kinds.length, high = each - 15;
  const x = (t) => CURVES_LEFT + ((t - state.at + state.window) / state.window) * (width - CURVES_LEFT - 2);
  return kinds.map(({ name, now, least, stepped }, row) => {
    const top = Math.max(...state.curves.flatMap((curve) => curve[name]), least), y0 = (row + 1) * each - 7;
    const y = (value) => y0 - (value / top) * high;
    const lines = state.curves.map(({ at, [name]: values }) => at.flatMap((t, i) => [
      ...(stepped && i > 0 ? [[x(t), y(values[i - 1])]] : []), [x(t), y(values[i])],
    ]));
    return { name, now: together(now), top, left: CURVES_LEFT, y: row * each, y0, high, lines };
  });
}
