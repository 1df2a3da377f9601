// The last seconds as curves, and as lanes: which consumer had which entries.

import {
  BLUE, DARK_GREEN, DARK_ORANGE, DARK_TROUBLE, FAINT, hatches, LINE, line, ORANGE, ownerColour, text, TROUBLE,
} from "./drawing.mjs";
import { curves, lanes, lanesHeight } from "./layout.mjs";
import { attribute } from "./page.mjs";
import { curvesLabel, lanesLabel, lookBack, ranges, shardsOf } from "./state.mjs";

const MOST_LETTERS = 10; // that fit between a consumer's name and its lane
const COLOURS = { backlog: BLUE, pending: DARK_ORANGE, throughput: DARK_GREEN };

export function drawCurves(drawing, state) {
  const pen = drawing.begin(), above = state.groups.length > 1 ? 14 : 0; // for the legend
  if (above) drawLegend(pen, state.groups);
  pen.lineJoin = "round";
  pen.translate(0, above);
  for (const { name, now, top, left, y, y0, high, lines } of curves(state, drawing.width, drawing.height - above)) {
    const scale = { size: 11, colour: FAINT, align: "right" };
    text(pen, name, 0, y + 12, { size: 12, colour: FAINT });
    text(pen, now, 0, y + 30, { size: 15, bold: true, colour: COLOURS[name] });
    text(pen, `${Math.round(top)}`, left - 6, y0 - high, scale);
    text(pen, "0", left - 6, y0, scale);
    line(pen, [[left, y0 + 0.5], [drawing.width, y0 + 0.5]], { colour: LINE, width: 1 });
    for (const [i, points] of lines.entries()) line(pen, points, { colour: COLOURS[name], width: 2, dash: dashOf(i) });
  }
  attribute(drawing.canvas, "aria-label", curvesLabel(state));
}

// Several groups are told apart by their lines' dashes.
const dashOf = (i) => (i ? [6, 3 * i] : []);

function drawLegend(pen, groups) {
  let x = 0;
  for (const [i, { name }] of groups.entries()) {
    line(pen, [[x, 6], [x + 24, 6]], { colour: FAINT, width: 2, dash: dashOf(i) });
    text(pen, name, x + 28, 6, { size: 12 });
    x += 28 + pen.measureText(name).width + 16;
  }
}

export function drawLanes(drawing, state) {
  drawing.height = lanesHeight(state);
  const pen = drawing.begin();
  const { width, height } = drawing;
  const { left, rows, bars } = lanes(state, width, height);
  const owned = state.shards.length ? shardsOf(state) : null;
  for (const [name, y] of rows) {
    text(pen, name, 0, y, { size: 12, bold: true });
    if (owned) drawOwned(pen, y, owned.get(name), ownerColour(state, name));
    line(pen, [[left, y], [width, y]], { colour: "#edf0f2", width: 1 });
  }
  for (const bar of bars) drawBar(pen, bar);
  text(pen, `${lookBack(state.window)} s ago`, left, height - 7, { size: 11, colour: FAINT });
  text(pen, "now", width - 2, height - 7, { size: 11, colour: FAINT, align: "right" });
  attribute(drawing.canvas, "aria-label", lanesLabel(state));
}

// The numbers of a consumer's shards, beside its name.
function drawOwned(pen, y, numbers, colour) {
  pen.fillStyle = colour;
  pen.fillRect(28, y - 6, 4, 12);
  const short = ranges(numbers), words = short.length > MOST_LETTERS ? `${numbers.length} shards` : short;
  text(pen, words, 37, y, { size: 11, colour: FAINT });
}

function drawBar(pen, { kind, y, x0, x1, again }) {
  pen.fillStyle = again ? ORANGE : BLUE;
  if (kind === "working") {
    pen.fillRect(x0, y - 7, Math.max(x1 - x0 - 1, 1), 14);
  } else if (kind === "waiting") {
    pen.globalAlpha = 0.35;
    pen.fillRect(x0, y - 3, Math.max(x1 - x0, 0), 6);
    pen.globalAlpha = 1;
  } else { // left behind, or done twice: hatched
    const isTwice = kind === "twice", high = isTwice ? 7 : 4, wide = Math.max(x1 - x0 - 1, 1);
    pen.fillStyle = isTwice ? ORANGE : "#fff";
    pen.strokeStyle = isTwice ? DARK_TROUBLE : TROUBLE;
    pen.lineWidth = 1.2;
    pen.fillRect(x0, y - high, wide, 2 * high);
    pen.strokeRect(x0, y - high, wide, 2 * high);
    line(pen, hatches(x0, y - high, wide, 2 * high), { colour: pen.strokeStyle, width: 1.2 });
  }
}
