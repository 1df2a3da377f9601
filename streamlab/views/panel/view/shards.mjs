// The shards of a stream: who owns each, until when, and what waits in it. There is nothing where a scenario has none.

import {
  BLUE, box, DARK_TROUBLE, Drawing, FAINT, GREY, hatches, INK, LINE, line, ownerColour, text, TROUBLE,
} from "./drawing.mjs";
import { shardPlaces } from "./layout.mjs";
import { attribute, make } from "./page.mjs";
import { count, inGroup, shardsLabel, shardsOf, shardStatus, shardsTitle } from "./state.mjs";

const MANY = 5; // so many that wait are too many for one owner to be at

export function shardsPart() {
  const drawing = new Drawing("Who owns which shard", 90);
  const node = make("section", { class: "shards", "aria-label": "Shards" }, drawing.canvas);

  function update(state) {
    node.hidden = state.shards.length === 0;
    if (!node.hidden) drawShards(drawing, state);
  }
  return { node, update };
}

function drawShards(drawing, state) {
  const { isSmall, boxes, height } = shardPlaces(state, drawing.width);
  drawing.height = height;
  const pen = drawing.begin();
  drawShares(pen, state, isSmall);
  const most = Math.max(2 * MANY, ...state.shards.map(([, , , , waiting]) => waiting));
  for (const place of boxes) (isSmall ? drawSmall : drawStrip)(pen, place, state, most);
  attribute(drawing.canvas, "aria-label", shardsLabel(state));
}

// Who has how many.
function drawShares(pen, state, isSmall) {
  const words = shardsTitle(state, isSmall);
  text(pen, words, 0, 10, { size: 12, colour: FAINT });
  let x = pen.measureText(words).width + 18;
  for (const [name, owned] of shardsOf(state)) {
    pen.fillStyle = ownerColour(state, name);
    pen.fillRect(x, 4, 12, 12);
    const has = `${name}: ${owned.length}`;
    text(pen, has, x + 17, 10, { size: 12, bold: true });
    x += 17 + pen.measureText(has).width + 14;
  }
}

function shardLook(how) {
  if (how === "running-out") return { fill: "#fdf0e8", stroke: TROUBLE, dash: [5, 4], line: 2 };
  return how === "free" ? { stroke: GREY, dash: [2, 3] } : { stroke: LINE };
}

function drawStrip(pen, { shard, x, y, w, h }, state) {
  const { owner, how, left, words, waiting, pending } = shardStatus(shard, state);
  const colour = how === "running-out" ? TROUBLE : owner ? ownerColour(state, owner) : GREY;
  box(pen, x + 1, y + 1, w - 2, h - 2, { radius: 4, ...shardLook(how) });
  if (owner) drawOwner(pen, x + 3, y + 3, 8, h - 6, state, owner, how);
  const isWide = w > 170, name = inGroup(isWide ? `shard ${shard[0]}` : shard[0], shard[1], state);
  text(pen, name, x + w - 8, y + 13, { size: 12, colour: FAINT, align: "right" });
  const isAway = how === "running-out";
  const look = { bold: how !== "free", colour: isAway ? DARK_TROUBLE : INK };
  text(pen, `${isAway ? "✕ " : ""}${words}`, x + 17, y + 13, look);
  text(pen, `${count(waiting)} ${isWide ? "waiting" : "wait"} · ${count(pending)} pending`, x + 17, y + 29, {
    size: isWide ? 12 : 11, colour: waiting > MANY ? DARK_TROUBLE : FAINT, bold: waiting > MANY,
  });
  if (left !== null) drawLease(pen, x + 17, y + h - 8, w - 25, left, colour);
}

function drawLease(pen, x, y, w, left, colour) {
  pen.fillStyle = "#e9edf0";
  pen.fillRect(x, y, w, 4);
  pen.fillStyle = colour;
  pen.fillRect(x, y, w * left, 4);
}

// The colour of who owns it; hatched if that is not at work: not by colour alone.
function drawOwner(pen, x, y, w, h, state, owner, how) {
  pen.fillStyle = ownerColour(state, owner);
  pen.fillRect(x, y, w, h);
  if (how === "running-out") line(pen, hatches(x, y, w, h, 5), { colour: "#fff", width: 1.5 });
}

// What waits is a bar at the right: a number would be too small to be read.
function drawSmall(pen, { shard, x, y, w, h }, state, most) {
  const { owner, how, left, waiting } = shardStatus(shard, state);
  const isAway = how === "running-out";
  box(pen, x + 1, y + 1, w - 2, h - 2, { radius: 3, ...shardLook(how) });
  if (owner) drawOwner(pen, x + 3, y + 3, 5, h - 6, state, owner, how);
  text(pen, inGroup(`${shard[0]}`, shard[1], state), x + 11, y + 10, { size: 10, colour: FAINT });
  const high = (h - 6) * Math.min(1, waiting / most);
  pen.fillStyle = waiting > MANY ? TROUBLE : BLUE;
  pen.fillRect(x + w - 8, y + h - 3 - high, 5, high);
  text(pen, owner || "–", x + 11, y + 21, { size: 11, bold: true, colour: isAway ? DARK_TROUBLE : INK });
  if (left !== null) drawLease(pen, x + 11, y + h - 7, w - 22, left, isAway ? TROUBLE : ownerColour(state, owner));
}
