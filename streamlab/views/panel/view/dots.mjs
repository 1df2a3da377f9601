// Entries in motion: a dot for each, and the way it has still to go. No canvas: see scene.mjs for how they look.

import { entryPlaces, firstInStream, firstWith, keyOf } from "./layout.mjs";

const MOST = 260; // dots at once
const PACE = 900; // pixels a second, for each stop that a dot has to make
const AFTER_LAST = ["acked", "void", "dead_lettered"]; // what ends an entry's stay with the group

export class Dots {
  constructor() {
    this.dots = new Map(); // by the key of an entry in a group: {x, y, look, n, path, leaving}
    this.taken = new Set(); // keys of what was claimed
    this.seen = null; // the number of the last move that was shown
    this.state = null;
  }

  // Go to a new state: by the moves since the last one, and then to where each entry is now.
  update(state, place) {
    const before = this.state;
    const isFirst = before === null || state.at < before.at - 1e-6 || state.n_added < before.n_added;
    this.state = state;
    if (isFirst) {
      this.dots.clear();
      this.taken.clear();
    } else {
      for (const move of state.moves) if (move[0] > this.seen) this.move(move, place);
    }
    this.seen = state.moves.length ? state.moves[state.moves.length - 1][0] : 0;
    const wanted = entryPlaces(state, place, this.taken);
    for (const [key, goal] of wanted) this.send(key, goal);
    for (const [key, dot] of this.dots) {
      if (wanted.has(key) || dot.leaving) continue;
      if (dot.path.length) dot.leaving = true;
      else this.dots.delete(key);
    }
    for (const key of [...this.dots.keys()].slice(0, Math.max(0, this.dots.size - MOST))) this.dots.delete(key);
  }

  // Let a dot end up where its entry is.
  send(key, { x, y, look, n }) {
    let dot = this.dots.get(key);
    if (!dot) this.dots.set(key, (dot = { x, y, path: [] }));
    Object.assign(dot, { look, n, leaving: false });
    if (look === "stranded") Object.assign(dot, { x, y, path: [] }); // it goes nowhere
    const end = dot.path.length ? dot.path[dot.path.length - 1] : dot;
    if (Math.abs(end.x - x) <= 0.5 && Math.abs(end.y - y) <= 0.5) return;
    dropFinal(dot);
    dot.path.push({ x, y, final: true });
  }

  // Give an entry's dot its next stop. What went through everything between two updates makes the whole way.
  move([, kind, actor, id], place) {
    if (kind === "added") this.add(actor, id, place);
    else if (kind === "delivered" || kind === "claimed") this.give(kind, actor, id, place);
    else if (AFTER_LAST.includes(kind)) this.dismiss(kind, actor, id, place);
  }

  // An entry is on its way to each group.
  add(producer, id, { producers, streams }) {
    const from = producers.get(producer);
    if (!from) return;
    for (const [group, stream] of streams) {
      const path = [{ x: stream.x0 + 10, y: stream.y }];
      this.dots.set(keyOf(id, group), { x: from.x + 60, y: from.y, look: "new", n: 1, path, leaving: false });
    }
  }

  give(kind, consumer, id, { consumers, streams }) {
    const box = consumers.get(consumer);
    if (!box) return;
    const { group } = box.consumer, stream = streams.get(group), key = keyOf(id, group);
    if (kind === "claimed") this.taken.add(key);
    const isTaken = this.taken.has(key);
    let dot = this.dots.get(key);
    if (!dot) this.dots.set(key, (dot = { ...firstInStream(stream), n: 1, path: [], leaving: false }));
    dot.look = isTaken ? "again" : "held";
    dropFinal(dot);
    if (!isTaken) dot.path.push(firstInStream(stream));
    dot.path.push(firstWith(box));
  }

  dismiss(kind, consumer, id, { consumers, done }) {
    const box = consumers.get(consumer);
    // What is acknowledged by hand names its group: lab:billing; or there is only one.
    const group = box ? box.consumer.group : consumer.split(":")[1] || done.keys().next().value;
    const key = keyOf(id, group), dot = this.dots.get(key);
    this.taken.delete(key);
    if (!dot || !done.has(group)) return;
    dot.look = kind === "dead_lettered" ? "stranded" : "done";
    if (box) dot.path.push({ x: box.x + box.w + 6, y: box.y }); // not across the others' boxes
    const { x, y } = done.get(group);
    dot.path.push({ x, y });
  }

  // Go on for some seconds; return whether anything still moves.
  advance(dt) {
    let moving = false;
    for (const [key, dot] of this.dots) {
      walk(dot, dt * PACE * Math.max(1, dot.path.length - 1));
      if (dot.path.length) moving = true;
      else if (dot.leaving) this.dots.delete(key);
    }
    return moving;
  }

  // Be where everything ends up, for those who want no motion.
  settle() {
    this.advance(Infinity);
  }
}

function dropFinal(dot) {
  if (dot.path.length && dot.path[dot.path.length - 1].final) dot.path.pop();
}

function walk(dot, pixels) {
  while (dot.path.length && pixels > 0) {
    const goal = dot.path[0];
    const dx = goal.x - dot.x, dy = goal.y - dot.y;
    const far = Math.hypot(dx, dy);
    if (far > pixels) {
      dot.x += (dx * pixels) / far;
      dot.y += (dy * pixels) / far;
      return;
    }
    Object.assign(dot, { x: goal.x, y: goal.y });
    dot.path.shift();
    pixels -= far;
  }
}
