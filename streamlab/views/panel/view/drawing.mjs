// A canvas that fits its place, and what is drawn on it: words, boxes, lines.

import { make } from "./page.mjs";

export const BLUE = "#0072B2", ORANGE = "#E69F00", GREEN = "#009E73", TROUBLE = "#D55E00";
export const INK = "#222", FAINT = "#666", LINE = "#cfd5da", GREY = "#9aa3ad";
export const DARK_ORANGE = "#8a5f00", DARK_GREEN = "#006b4e", DARK_TROUBLE = "#a84700"; // for words
// Who is who, where several consumers share something. Beside a name always: others see colours differently.
const OWNERS = ["#332288", "#44AA99", "#DDCC77", "#CC6677", "#88CCEE", "#882255", "#999933", "#AA4499"];
export const ownerColour = ({ consumers }, name) => {
  return OWNERS[Math.max(0, consumers.findIndex((each) => each.name === name)) % OWNERS.length];
};
const FONT = 'system-ui, "Segoe UI", "DejaVu Sans", sans-serif';

export class Drawing {
  constructor(label, height) {
    this.canvas = make("canvas", { role: "img", "aria-label": label });
    this.height = height;
    // Told rather than asked for: to ask makes the browser lay out the page at once, for each picture.
    this.width = 600;
    new ResizeObserver(([{ contentRect }]) => { this.width = contentRect.width || 600; }).observe(this.canvas);
  }

  // Begin a new picture; return a pen.
  begin() {
    const { canvas, width, height } = this;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.style.height !== `${height}px`) canvas.style.height = `${height}px`;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== w || canvas.height !== h) {
      canvas.width = w;
      canvas.height = h;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.textBaseline = "middle";
    return pen;
  }
}

export function text(pen, words, x, y, { size = 13, bold = false, colour = INK, align = "left" } = {}) {
  pen.font = `${bold ? "600 " : ""}${size}px ${FONT}`;
  pen.fillStyle = colour;
  pen.textAlign = align;
  pen.fillText(words, x, y);
}

export function box(pen, x, y, w, h, { fill = "#fff", stroke = GREY, dash = [], line = 1.5, radius = 6 } = {}) {
  pen.beginPath();
  pen.roundRect(x, y, w, h, radius);
  pen.fillStyle = fill;
  pen.fill();
  pen.setLineDash(dash);
  pen.lineWidth = line;
  pen.strokeStyle = stroke;
  pen.stroke();
  pen.setLineDash([]);
}

// Return the slanting lines of a hatched box, as points for `line`.
export function hatches(x, y, w, h, apart = 6) {
  const found = [];
  for (let d = apart; d < w + h; d += apart) {
    found.push([x + Math.max(0, d - h), y + Math.min(d, h)], [x + Math.min(d, w), y + Math.max(0, d - w)], null);
  }
  return found;
}

// Draw a line through points, [x, y]; `null` lifts the pen.
export function line(pen, points, { colour, width, dash = [] }) {
  pen.beginPath();
  let isUp = true;
  for (const point of points) {
    if (point === null) isUp = true;
    else if (isUp) pen.moveTo(...point);
    else pen.lineTo(...point);
    isUp = point === null;
  }
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.setLineDash(dash);
  pen.stroke();
  pen.setLineDash([]);
}
