// Entries on their way from producers through the stream to consumers.

import { Dots } from "./dots.mjs";
import {
  BLUE, box, DARK_GREEN, DARK_ORANGE, DARK_TROUBLE, Drawing, FAINT, GREEN, GREY, hatches, LINE, line, ORANGE,
  ownerColour, text, TROUBLE,
} from "./drawing.mjs";
import { CELL, hiddenInStream, hiddenWith, places, takenPlaces } from "./layout.mjs";
import { attribute } from "./page.mjs";
import { count, isGone, isPaused, isTrouble, sceneLabel } from "./state.mjs";

const FRAME_MS = 30; // about thirty pictures a second are enough for the eye
const LOOKS = {
  new: { fill: "#56B4E9" },
  held: { fill: BLUE },
  done: { fill: GREEN },
  again: { fill: ORANGE, stroke: DARK_ORANGE },
  still: { fill: "#8a949d" },
  stranded: { fill: "#fff", stroke: TROUBLE, line: 2 },
};

export class Scene {
  constructor() {
    this.drawing = new Drawing("Entries on their way from producers through the stream to consumers", 200);
    this.canvas = this.drawing.canvas;
    this.dots = new Dots();
    this.frame = 0;
    this.low = window.matchMedia("(max-height: 800px)"); // as in view.css
    this.isCalm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  update(state) {
    this.state = state;
    this.place = places(state, this.drawing.width, this.low.matches);
    this.drawing.height = this.place.height;
    this.dots.update(state, this.place);
    if (this.isCalm) this.dots.settle();
    attribute(this.canvas, "aria-label", sceneLabel(state));
    this.start();
  }

  start() {
    if (!this.frame) {
      this.last = performance.now() - FRAME_MS;
      this.next();
    }
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
  }

  next() {
    this.frame = requestAnimationFrame((now) => this.animate(now));
  }

  animate(now) {
    if (now - this.last < FRAME_MS) {
      this.next();
      return;
    }
    const dt = Math.min(now - this.last, 100) / 1000;
    this.last = now;
    const isMoving = this.dots.advance(dt);
    this.draw();
    this.frame = 0;
    if (isMoving) this.next();
  }

  draw() {
    const pen = this.drawing.begin();
    this.drawHeads(pen);
    this.drawWays(pen);
    this.drawProducers(pen);
    for (const group of this.state.groups) this.drawStream(pen, group);
    for (const place of this.place.consumers.values()) this.drawConsumer(pen, place);
    for (const group of this.state.groups) this.drawDone(pen, group);
    for (const dot of this.dots.dots.values()) drawDot(pen, dot);
  }

  drawHeads(pen) {
    const { state, place: { width, streams, consumers, done } } = this;
    const [{ x0 }] = streams.values(), [{ x }] = done.values();
    const isOne = state.groups.length === 1;
    const groups = isOne ? `group ${state.groups[0].name}` : "groups";
    const first = consumers.values().next().value;
    const faint = { size: 12, colour: FAINT };
    text(pen, "producers", 8, 13, faint);
    text(pen, `stream ${state.stream}${isOne ? "" : ", as each group reads it"}`, x0, 13, faint);
    const more = width < 1000 ? "" : ": consumers and what is pending for them";
    text(pen, groups + more, first ? first.x : width / 2, 13, faint);
    text(pen, "acknowledged", x, 13, { ...faint, align: "center" });
  }

  drawWays(pen) {
    const { producers, streams, consumers, done } = this.place;
    for (const from of producers.values()) {
      for (const stream of streams.values()) drawWay(pen, from.x + 64, from.y, stream.x0, stream.y);
    }
    for (const to of consumers.values()) {
      if (isGone(to.consumer)) continue;
      const stream = streams.get(to.consumer.group), end = done.get(to.consumer.group);
      drawWay(pen, stream.x1 + 4, stream.y, to.x, to.y);
      drawWay(pen, to.x + to.w, to.y, end.x - 40, end.y);
    }
  }

  drawProducers(pen) {
    for (const [name, { x, y, h, producer }] of this.place.producers) {
      const { box: look, sign, words } = actorLook(producer);
      box(pen, x, y - h / 2, 64, h, { fill: "#f5f7f9", ...look });
      text(pen, `${sign}${name}`, x + 32, y, { bold: true, align: "center", ...words });
    }
  }

  drawStream(pen, group) {
    const stream = this.place.streams.get(group.name), { x0, x1, y } = stream;
    box(pen, x0, y - 17, x1 - x0 + 4, 34, { fill: "#eef3f7", radius: 4 });
    const hidden = hiddenInStream(group, stream);
    if (hidden > 0) text(pen, `+${hidden}`, x0 + 6, y, { size: 12, bold: true });
    const to = this.state.groups.length > 1 ? ` to group ${group.name}` : "";
    text(pen, `${group.backlog} not yet delivered${to}`, x0, y + 30, { size: 12, colour: FAINT });
  }

  drawConsumer(pen, place) {
    const { x, y, w, h, consumer } = place;
    const { box: look, sign, words } = actorLook(consumer);
    box(pen, x, y - h / 2, w, h, { stroke: consumer.state === "working" ? BLUE : GREY, ...look });
    if (this.state.shards.length) {
      pen.fillStyle = ownerColour(this.state, consumer.name);
      pen.fillRect(x + 3, y - h / 2 + 4, 4, h - 8);
    }
    text(pen, consumer.name, x + 10, y, { bold: true });
    text(pen, `${sign}${consumer.state}`, x + 46, y, { size: 12, colour: FAINT, ...words });
    for (const left of takenPlaces(place)) drawTwice(pen, left, y);
    const hidden = hiddenWith(this.state, place);
    if (hidden > 0) text(pen, `+${hidden}`, x + w - 8, y, { size: 12, bold: true, align: "right" });
  }

  drawDone(pen, { name, n_acked: n }) {
    const { x, y } = this.place.done.get(name);
    box(pen, x - 40, y - 20, 80, 40, { fill: "#eef8f4", stroke: GREEN });
    text(pen, `✓ ${count(n)}`, x, y, { bold: true, align: "center", colour: DARK_GREEN });
  }
}

// How those who do not run stand out: not by colour alone.
function actorLook(actor) {
  if (isGone(actor) && isTrouble(actor)) {
    const look = { fill: "#fdf0e8", stroke: TROUBLE, dash: [5, 4], line: 2 };
    return { box: look, sign: "✕ ", words: { bold: true, colour: DARK_TROUBLE } };
  }
  const still = { fill: "#eceff1", stroke: "#767676", dash: [2, 3], line: 2 };
  if (isPaused(actor)) return { box: still, sign: "❙❙ " };
  return isGone(actor) ? { box: { ...still, dash: [], line: 1 }, sign: "■ " } : { sign: "" };
}

function drawWay(pen, x0, y0, x1, y1) {
  const middle = (x0 + x1) / 2;
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.bezierCurveTo(middle, y0, middle, y1, x1, y1);
  pen.strokeStyle = LINE;
  pen.lineWidth = 1.5;
  pen.stroke();
}

// An entry that a consumer is working on though another one has been given it.
function drawTwice(pen, x, y) {
  const left = x - CELL / 2, top = y - CELL / 2;
  box(pen, left, top, CELL, CELL, { radius: 3, line: 1, fill: ORANGE, stroke: DARK_TROUBLE });
  line(pen, hatches(left, top, CELL, CELL, 5), { colour: DARK_TROUBLE, width: 1.3 });
}

function drawDot(pen, { x, y, look, n }) {
  const left = x - CELL / 2, top = y - CELL / 2;
  box(pen, left, top, CELL, CELL, { radius: 3, line: 1, stroke: "rgba(0,0,0,.25)", ...LOOKS[look] });
  if (look === "stranded") { // hatched: not by colour alone
    line(pen, hatches(left, top, CELL, CELL, 5), { colour: TROUBLE, width: 1.3 });
  } else if (look === "again") {
    text(pen, n > 1 ? `${n}` : "↷", x, y + 0.5, { size: 11, bold: true, align: "center" });
  }
}
