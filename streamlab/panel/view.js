// The view of streamlab's control panel: tables in HTML, and three drawings. Everything it shows comes as one
// object of plain data (`state`), everything that is clicked goes back as {do: name, args: […]}.
// Whatever an entry holds is shown as text (textContent), never as markup.

const BLUE = "#0072B2", ORANGE = "#E69F00", GREEN = "#009E73", TROUBLE = "#D55E00", INK = "#222", FAINT = "#666";
const LINE = "#cfd5da", GREY = "#9aa3ad";
const FONT = 'system-ui, "Segoe UI", "DejaVu Sans", sans-serif';
const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 5, 10, 25, 50, 100];
const CELL = 15, GAP = 4;
const ROW = 25, PENDING_HEIGHT = 232; // pixels, of the list of pending entries: as in view.css
const FRAME_MS = 30; // about thirty pictures a second are enough for the eye

// ---- small helpers ---------------------------------------------------------------------------------

function make(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// Write only what is different, into the text that is there: nothing is replaced, so nothing flickers.
function write(node, text) {
  text = String(text);
  const first = node.firstChild;
  if (first === null) node.append(text);
  else if (first.data !== text) first.data = text;
}

function attribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

function classes(node, value) {
  if (node.className !== value) node.className = value;
}

const seconds = (value) => value === null ? "–" : value < 100 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
const plural = (n, word, more) => `${n} ${n === 1 ? word : more}`;

// Rows by their keys: a row is made once, and stays the same node as long as its key is there.
class Rows {
  constructor(body, create) {
    this.body = body;
    this.create = create;
    this.rows = new Map();
  }

  update(items, keyOf, fill) {
    const wanted = new Set(items.map(keyOf));
    for (const [key, row] of this.rows) {
      if (!wanted.has(key)) {
        row.node.remove();
        this.rows.delete(key);
      }
    }
    let next = this.body.firstChild;
    for (const [i, item] of items.entries()) {
      const key = keyOf(item);
      let row = this.rows.get(key);
      if (!row) this.rows.set(key, (row = this.create(key)));
      fill(row, item, i);
      if (row.node === next) next = next.nextSibling;
      else this.body.insertBefore(row.node, next);
    }
  }
}

class Drawing {
  constructor(label, height) {
    this.canvas = make("canvas", { role: "img", "aria-label": label });
    this.height = height;
    // Told rather than asked for: to ask makes the browser lay out the page at once, for each picture.
    this.width = 600;
    new ResizeObserver(([{ contentRect }]) => { this.width = contentRect.width || 600; }).observe(this.canvas);
  }

  begin() {
    const { canvas, width } = this;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.style.height !== `${this.height}px`) canvas.style.height = `${this.height}px`;
    const [w, h] = [Math.round(width * ratio), Math.round(this.height * ratio)];
    if (canvas.width !== w || canvas.height !== h) {
      canvas.width = w;
      canvas.height = h;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, this.height);
    pen.textBaseline = "middle";
    return [pen, width, this.height];
  }
}

function text(pen, words, x, y, { size = 13, bold = false, colour = INK, align = "left" } = {}) {
  pen.font = `${bold ? "600 " : ""}${size}px ${FONT}`;
  pen.fillStyle = colour;
  pen.textAlign = align;
  pen.fillText(words, x, y);
}

function box(pen, x, y, w, h, { fill = "#fff", stroke = GREY, dash = [], line = 1.5, radius = 6 } = {}) {
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

// ---- entries in motion -----------------------------------------------------------------------------

class Scene {
  constructor() {
    this.drawing = new Drawing("Entries on their way from producers through the stream to consumers", 200);
    this.canvas = this.drawing.canvas;
    this.dots = new Map(); // by entry id: where it is, where it goes, how it looks
    this.seen = null; // the number of the last movement that was shown
    this.state = null;
    this.frame = 0;
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  places(state) {
    const w = this.drawing.width;
    const n = state.consumers.length;
    const step = n > 5 ? 30 : 42;
    this.drawing.height = Math.max(3 * 42, n * step) + 42;
    const top = 32, inner = this.drawing.height - top - 8;
    const middle = top + inner / 2;
    const producers = new Map(state.producers.map((name, i) => {
      const each = Math.min(42, inner / state.producers.length);
      return [name, { x: 8, y: middle + (i - (state.producers.length - 1) / 2) * each, h: Math.min(30, each - 4) }];
    }));
    const stream = { x0: 118, x1: w * 0.44, y: middle };
    const left = w * 0.44 + 58, right = w - 132;
    const consumers = new Map(state.consumers.map((consumer, i) => [
      consumer.name,
      { x: left, y: middle + (i - (n - 1) / 2) * step, w: right - left, h: Math.min(34, step - 4), consumer },
    ]));
    const done = { x: w - 62, y: middle };
    return { w, producers, stream, consumers, done };
  }

  update(state) {
    const first = this.state === null || state.at < this.state.at - 1e-6 || state.n_added < this.state.n_added;
    this.state = state;
    const p = (this.place = this.places(state));
    const target = new Map();
    const roomInStream = Math.max(1, Math.floor((p.stream.x1 - p.stream.x0 - 44) / (CELL + GAP)));
    state.waiting.forEach(([id], i) => {
      if (i < roomInStream) target.set(id, { x: p.stream.x1 - 14 - i * (CELL + GAP), y: p.stream.y, look: "new", n: 1 });
    });
    const held = new Map();
    for (const [id, owner, , n] of state.pending) {
      const c = p.consumers.get(owner);
      if (!c) continue;
      const i = held.get(owner) || 0;
      held.set(owner, i + 1);
      if (i >= this.room(c)) continue;
      const away = c.consumer.state === "dead" || c.consumer.state === "stopped";
      const look = away ? "stranded" : c.consumer.state === "paused" ? "still" : n > 1 || this.isTaken(id) ? "again" : "held";
      target.set(id, { x: c.x + 138 + i * (CELL + GAP), y: c.y, look, n });
    }
    this.held = held;
    if (first) {
      this.dots.clear();
      this.taken = new Set();
    }
    const last = state.moves.length ? state.moves[state.moves.length - 1][0] : 0;
    const news = first || this.seen === null ? [] : state.moves.filter((move) => move[0] > this.seen);
    this.seen = last;
    for (const [, kind, actor, id] of news) this.move(kind, actor, id, p);
    for (const [id, place] of target) {
      let dot = this.dots.get(id);
      if (!dot) this.dots.set(id, (dot = { x: place.x, y: place.y, path: [] }));
      if (place.look === "held" && this.isTaken(id)) place.look = "again";
      Object.assign(dot, { look: place.look, n: place.n, leaving: false });
      if (place.look === "stranded") Object.assign(dot, { x: place.x, y: place.y, path: [] }); // it goes nowhere
      const end = dot.path.length ? dot.path[dot.path.length - 1] : dot;
      if (Math.abs(end.x - place.x) > 0.5 || Math.abs(end.y - place.y) > 0.5) {
        if (dot.path.length && dot.path[dot.path.length - 1].final) dot.path.pop();
        dot.path.push({ x: place.x, y: place.y, final: true });
      }
    }
    for (const [id, dot] of this.dots) {
      if (target.has(id) || dot.leaving) continue;
      if (!news.length && !dot.path.length) this.dots.delete(id);
      else if (!dot.path.length) this.dots.delete(id);
      else dot.leaving = true;
    }
    if (this.dots.size > 260) for (const id of [...this.dots.keys()].slice(0, this.dots.size - 260)) this.dots.delete(id);
    attribute(this.canvas, "aria-label", this.words());
    if (this.calm) {
      for (const [id, dot] of this.dots) {
        const end = dot.path.pop();
        if (end) Object.assign(dot, { x: end.x, y: end.y, path: [] });
        if (dot.leaving) this.dots.delete(id);
      }
    }
    this.start();
  }

  room(c) {
    return Math.max(1, Math.floor((c.w - 138 - 40) / (CELL + GAP)));
  }

  isTaken(id) {
    return this.taken !== undefined && this.taken.has(id);
  }

  // Give an entry's dot its next stop. What went through everything between two updates makes the whole way.
  move(kind, actor, id, p) {
    let dot = this.dots.get(id);
    if (kind === "added") {
      const from = p.producers.get(actor);
      if (!from) return;
      this.dots.set(id, { x: from.x + 60, y: from.y, look: "new", n: 1, path: [{ x: p.stream.x0 + 10, y: p.stream.y }] });
      return;
    }
    const c = p.consumers.get(actor);
    if (kind === "delivered" || kind === "claimed") {
      if (!c) return;
      if (kind === "claimed") this.taken.add(id);
      if (!dot) this.dots.set(id, (dot = { x: p.stream.x1 - 14, y: p.stream.y, n: 1, path: [] }));
      dot.look = kind === "claimed" || this.isTaken(id) ? "again" : "held";
      if (dot.path.length && dot.path[dot.path.length - 1].final) dot.path.pop();
      if (kind === "delivered" && !this.isTaken(id)) dot.path.push({ x: p.stream.x1 - 14, y: p.stream.y });
      dot.path.push({ x: c.x + 138, y: c.y });
    } else if (kind === "acked" || kind === "void" || kind === "dead_lettered") {
      if (!dot) return;
      dot.look = kind === "dead_lettered" ? "stranded" : "done";
      dot.leaving = true;
      if (c) dot.path.push({ x: c.x + c.w + 6, y: c.y }); // not across the others' boxes
      dot.path.push({ x: p.done.x, y: p.done.y });
      this.taken.delete(id);
    }
  }

  start() {
    if (!this.frame) {
      this.last = performance.now() - FRAME_MS;
      this.frame = requestAnimationFrame((now) => this.animate(now));
    }
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
  }

  animate(now) {
    if (now - this.last < FRAME_MS) {
      this.frame = requestAnimationFrame((at) => this.animate(at));
      return;
    }
    const dt = Math.min(now - this.last, 100) / 1000;
    this.last = now;
    let moving = false;
    for (const [id, dot] of this.dots) {
      let budget = dt * 900 * Math.max(1, dot.path.length - 1); // pixels
      while (dot.path.length && budget > 0) {
        const goal = dot.path[0];
        const dx = goal.x - dot.x, dy = goal.y - dot.y;
        const far = Math.hypot(dx, dy);
        if (far <= budget) {
          Object.assign(dot, { x: goal.x, y: goal.y });
          dot.path.shift();
          budget -= far;
        } else {
          dot.x += (dx * budget) / far;
          dot.y += (dy * budget) / far;
          budget = 0;
        }
      }
      if (dot.path.length) moving = true;
      else if (dot.leaving) this.dots.delete(id);
    }
    this.draw();
    this.frame = moving ? requestAnimationFrame((at) => this.animate(at)) : 0;
  }

  draw() {
    const [pen, w] = this.drawing.begin();
    const { state, place: p } = this;
    if (!state) return;
    text(pen, "producers", 8, 13, { size: 12, colour: FAINT });
    text(pen, `stream ${state.stream}`, p.stream.x0, 13, { size: 12, colour: FAINT });
    const firstConsumer = p.consumers.values().next().value;
    text(pen, w < 1000 ? `group ${state.group}` : `group ${state.group}: consumers and what is pending for them`, firstConsumer ? firstConsumer.x : w / 2, 13, { size: 12, colour: FAINT });
    text(pen, "acknowledged", p.done.x, 13, { size: 12, colour: FAINT, align: "center" });
    // The ways between.
    pen.strokeStyle = LINE;
    pen.lineWidth = 1.5;
    for (const from of p.producers.values()) this.way(pen, from.x + 64, from.y, p.stream.x0, p.stream.y);
    for (const to of p.consumers.values()) {
      if (to.consumer.state !== "dead" && to.consumer.state !== "stopped") {
        this.way(pen, p.stream.x1 + 4, p.stream.y, to.x, to.y);
        this.way(pen, to.x + to.w, to.y, p.done.x - 40, p.done.y);
      }
    }
    for (const [name, from] of p.producers) {
      box(pen, from.x, from.y - from.h / 2, 64, from.h, { fill: "#f5f7f9" });
      text(pen, name, from.x + 32, from.y, { bold: true, align: "center" });
    }
    box(pen, p.stream.x0, p.stream.y - 17, p.stream.x1 - p.stream.x0 + 4, 34, { fill: "#eef3f7", radius: 4 });
    const shown = Math.max(1, Math.floor((p.stream.x1 - p.stream.x0 - 44) / (CELL + GAP)));
    if (state.backlog > shown) text(pen, `+${state.backlog - shown}`, p.stream.x0 + 6, p.stream.y, { size: 12, bold: true });
    text(pen, `${state.backlog} not yet delivered`, p.stream.x0, p.stream.y + 30, { size: 12, colour: FAINT });
    for (const [name, c] of p.consumers) {
      const { state: how, pending } = c.consumer;
      const away = how === "dead" || how === "stopped";
      const looks = away
        ? { fill: "#fdf0e8", stroke: TROUBLE, dash: [5, 4], line: 2 }
        : how === "paused" ? { fill: "#eceff1", stroke: "#767676", dash: [2, 3], line: 2 }
        : { fill: "#fff", stroke: how === "working" ? BLUE : GREY };
      box(pen, c.x, c.y - c.h / 2, c.w, c.h, looks);
      text(pen, name, c.x + 10, c.y, { bold: true });
      text(pen, away ? `✕ ${how}` : how === "paused" ? "❙❙ paused" : how, c.x + 46, c.y, {
        size: 12, bold: away, colour: away ? "#a84700" : FAINT,
      });
      const more = pending - Math.min(this.held ? this.held.get(name) || 0 : 0, this.room(c));
      if (more > 0) text(pen, `+${more}`, c.x + c.w - 8, c.y, { size: 12, bold: true, align: "right" });
    }
    box(pen, p.done.x - 40, p.done.y - 20, 80, 40, { fill: "#eef8f4", stroke: GREEN });
    text(pen, `✓ ${state.n_acked.toLocaleString("en")}`, p.done.x, p.done.y, { bold: true, align: "center", colour: "#006b4e" });
    for (const dot of this.dots.values()) this.dot(pen, dot);
  }

  way(pen, x0, y0, x1, y1) {
    pen.beginPath();
    pen.moveTo(x0, y0);
    const middle = (x0 + x1) / 2;
    pen.bezierCurveTo(middle, y0, middle, y1, x1, y1);
    pen.stroke();
  }

  dot(pen, dot) {
    const x = dot.x - CELL / 2, y = dot.y - CELL / 2;
    const colour = { new: "#56B4E9", held: BLUE, done: GREEN, again: ORANGE, still: "#8a949d", stranded: "#fff" }[dot.look] || BLUE;
    box(pen, x, y, CELL, CELL, {
      fill: colour, radius: 3, line: dot.look === "stranded" ? 2 : 1,
      stroke: dot.look === "stranded" ? TROUBLE : dot.look === "again" ? "#8a5f00" : "rgba(0,0,0,.25)",
    });
    if (dot.look === "stranded") { // hatched: not by colour alone
      pen.beginPath();
      for (const d of [5, 10, 15, 20]) {
        pen.moveTo(x + Math.max(0, d - CELL), y + Math.min(d, CELL));
        pen.lineTo(x + Math.min(d, CELL), y + Math.max(0, d - CELL));
      }
      pen.strokeStyle = TROUBLE;
      pen.lineWidth = 1.3;
      pen.stroke();
    } else if (dot.look === "again") {
      text(pen, dot.n > 1 ? `${dot.n}` : "↷", dot.x, dot.y + 0.5, { size: 11, bold: true, align: "center" });
    }
  }

  words() {
    const who = this.state.consumers.map((c) => `${c.name} is ${c.state} with ${c.pending} pending`).join("; ");
    return `${plural(this.state.backlog, "entry waits", "entries wait")} in the stream; ${who}; ${this.state.n_acked} acknowledged.`;
  }
}

// ---- curves and lanes ------------------------------------------------------------------------------

function drawCurves(drawing, state) {
  const [pen, w, h] = drawing.begin();
  const { at } = state.curves;
  const kinds = [["backlog", "backlog", BLUE, ""], ["pending", "pending", "#8a5f00", ""], ["throughput", "throughput", "#006b4e", "/s"]];
  const each = h / 3, left = 128;
  const t1 = state.at, t0 = t1 - state.window;
  kinds.forEach(([key, word, colour, unit], row) => {
    const values = state.curves[key], y0 = row * each + each - 7, high = each - 15;
    const top = Math.max(...values, unit ? 1 : 4);
    const now = values.length ? values[values.length - 1] : 0;
    text(pen, word, 0, row * each + 12, { size: 12, colour: FAINT });
    text(pen, unit ? `${now.toFixed(1)}${unit}` : `${key === "backlog" ? state.backlog : state.n_pending}`, 0, row * each + 30, { size: 15, bold: true, colour });
    text(pen, `${Math.round(top)}`, left - 6, y0 - high, { size: 11, colour: FAINT, align: "right" });
    text(pen, "0", left - 6, y0, { size: 11, colour: FAINT, align: "right" });
    pen.strokeStyle = LINE;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(left, y0 + 0.5);
    pen.lineTo(w, y0 + 0.5);
    pen.stroke();
    if (!values.length) return;
    const x = (t) => left + ((t - t0) / (t1 - t0)) * (w - left - 2);
    pen.beginPath();
    at.forEach((t, i) => {
      const y = y0 - (values[i] / top) * high;
      if (i === 0) pen.moveTo(x(t), y);
      else {
        if (!unit) pen.lineTo(x(t), y0 - (values[i - 1] / top) * high);
        pen.lineTo(x(t), y);
      }
    });
    pen.strokeStyle = colour;
    pen.lineWidth = 2;
    pen.lineJoin = "round";
    pen.stroke();
  });
  attribute(drawing.canvas, "aria-label",
    `The last ${Math.round(state.window)} seconds: backlog ${state.backlog}, pending ${state.n_pending}, throughput ${state.figures.throughput}.`);
}

function drawLanes(drawing, state) {
  const n = state.consumers.length;
  drawing.height = Math.max(84, Math.min(n * 24, 150)) + 20;
  const [pen, w, h] = drawing.begin();
  const left = 36, each = (h - 20) / n;
  const t1 = state.at, t0 = t1 - state.window;
  const x = (t) => left + Math.max(0, (t - t0) / (t1 - t0)) * (w - left - 2);
  const rows = new Map(state.consumers.map((c, i) => [c.name, i * each + each / 2]));
  for (const [name, y] of rows) {
    text(pen, name, 0, y, { size: 12, bold: true });
    pen.strokeStyle = "#edf0f2";
    pen.beginPath();
    pen.moveTo(left, y);
    pen.lineTo(w, y);
    pen.stroke();
  }
  const away = new Set(state.consumers.filter((c) => c.state === "dead" || c.state === "stopped").map((c) => c.name));
  for (const [name, delivered, begun, processed, ended, again] of state.bars) {
    const y = rows.get(name);
    if (y === undefined) continue;
    const end = ended ?? t1, colour = again ? ORANGE : BLUE;
    if (processed === null && (away.has(name) || ended !== null)) { // left behind
      pen.fillStyle = "#fff";
      pen.strokeStyle = TROUBLE;
      pen.lineWidth = 1.2;
      const [x0, x1] = [x(delivered), x(end)];
      pen.fillRect(x0, y - 4, x1 - x0, 8);
      pen.strokeRect(x0, y - 4, Math.max(x1 - x0, 1), 8);
      pen.beginPath();
      for (let at = x0 + 5; at < x1; at += 7) { pen.moveTo(at - 4, y + 4); pen.lineTo(at, y - 4); }
      pen.stroke();
      continue;
    }
    pen.fillStyle = colour;
    pen.globalAlpha = 0.35;
    pen.fillRect(x(delivered), y - 3, Math.max(x(begun ?? end) - x(delivered), 0), 6);
    pen.globalAlpha = 1;
    const from = begun ?? delivered;
    if (processed !== null) pen.fillRect(x(from), y - 7, Math.max(x(processed) - x(from) - 1, 1), 14);
  }
  text(pen, `${Math.round(state.window)} s ago`, left, h - 7, { size: 11, colour: FAINT });
  text(pen, "now", w - 2, h - 7, { size: 11, colour: FAINT, align: "right" });
  attribute(drawing.canvas, "aria-label",
    `Which consumer had which entries in the last ${Math.round(state.window)} seconds: ${state.consumers.map((c) => `${c.name} acknowledged ${c.acked}`).join(", ")}.`);
}

// ---- the page --------------------------------------------------------------------------------------

function render({ model, el }) {
  const send = (name, ...args) => model.send({ do: name, args });
  // A disabled button would lose the keyboard's focus: it only says that it does nothing.
  const button = (words, act, cls = "", label = "") => {
    const props = { type: "button", class: cls, onclick: (event) => { if (event.currentTarget.getAttribute("aria-disabled") !== "true") act(); } };
    if (label) props["aria-label"] = label;
    return make("button", props, words);
  };
  const enable = (node, yes) => attribute(node, "aria-disabled", yes ? "false" : "true");
  const offer = (select, options) => { // [value, words]
    const key = JSON.stringify(options);
    if (select.dataset.key === key) return;
    const before = select.value;
    select.dataset.key = key;
    select.replaceChildren(...options.map(([value, words]) => { const o = make("option", { value }); o.textContent = words; return o; }));
    if (options.some(([value]) => value === before)) select.value = before;
  };
  const free = (node) => document.activeElement !== node; // nobody is typing or dragging there
  let state = null;

  // Time.
  const title = make("h2");
  const badge = make("span", { class: "badge" });
  const clock = make("span", { class: "clock", title: "seconds since the run began" });
  const play = button("Play", () => (state.playing ? send("freeze") : send("play", Number(speed.value) || 1)), "main");
  const step = button("Step", () => send("step"), "", "Step: run what happens at the next moment");
  const speed = make("select", { "aria-label": "Speed", onchange: () => state.playing && send("play", Number(speed.value)) });
  offer(speed, SPEEDS.map((s) => [String(s), `${s} ×`]));
  speed.value = "1";
  const back = make("input", { type: "range", min: "0", step: "0.1", "aria-label": "Go to a moment of the run", onchange: () => send("go_to", Number(back.value)) });
  const backFive = button("− 5 s", () => send("go_to", Math.max(0, Number((state.at - 5).toFixed(3)))), "", "Go back five seconds");
  const seed = make("input", { type: "number", min: "0", "aria-label": "Seed" });
  const again = button("Begin again", () => send("begin_again", Number(seed.value)));
  const stop = button("Stop: end all processes", () => send("close"), "kill");
  const timeControls = [play, step, make("label", {}, "speed ", speed), make("label", {}, "go to ", back), backFive, make("label", {}, "seed ", seed), again];
  const header = make("header", {}, title, badge, ...timeControls, stop, make("span", { class: "grow" }), clock);

  const headline = make("div", { class: "headline", role: "status", "aria-live": "polite" });
  const notice = make("div", { class: "notice", role: "alert" });
  const scene = new Scene();

  // Consumers.
  const lanes = new Drawing("", 110);
  const consumerBody = make("tbody");
  const consumers = new Rows(consumerBody, (name) => {
    const how = make("span", { class: "state" });
    const numbers = Object.fromEntries(["holding", "pending", "delivered", "acked", "idle"].map((key) => [key, make("td", { class: "n" })]));
    const kill = button("Kill", () => send("kill", name), "kill", `Kill ${name}`);
    const pause = button("Pause", () => send(pause.textContent === "Pause" ? "pause" : "resume", name), "pause", `Pause ${name}`);
    const restart = button("Restart", () => send("restart", name), "restart", `Restart ${name}`);
    const label = make("strong");
    write(label, name);
    const node = make("tr", { "data-consumer": name }, make("td", {}, label), make("td", {}, how), ...Object.values(numbers),
      make("td", {}, make("span", { class: "buttons" }, kill, pause, restart)));
    return { node, how, numbers, kill, pause, restart };
  });
  const heads = (...words) => make("thead", {}, make("tr", {}, ...words.map((word) => make("th", { class: word.startsWith("#") ? "n" : "", scope: "col" }, word.replace("#", "")))));
  const consumersPart = make("section", { class: "holders", "aria-label": "Consumers" },
    make("div", { class: "bar" }, make("h3", {}, "Consumers"), button("Add consumer", () => send("add_consumer"))),
    make("div", { class: "scroll consumers" }, make("table", {}, heads("name", "state", "#holds", "#pending", "#delivered", "#acked", "#idle", ""), consumerBody)), lanes.canvas);

  // Pending entries.
  const picked = new Set();
  const pendingBody = make("tbody");
  const pending = new Rows(pendingBody, (id) => {
    const pick = make("input", { type: "checkbox", "aria-label": `Pick ${id}`, onchange: () => { pick.checked ? picked.add(id) : picked.delete(id); refresh(); } });
    const owner = make("td"), count = make("td", { class: "n" }), fields = make("td", { class: "fields" });
    const meter = make("span", { class: "meter", "aria-hidden": "true" }), idle = make("span");
    const node = make("tr", { "data-entry": id }, make("td", {}, pick), make("td", {}, id), owner,
      make("td", {}, meter, idle), count, fields);
    return { node, pick, owner, count, fields, meter, idle, missed: 9 };
  });
  const owner = make("select", { "aria-label": "New owner" });
  const claim = button("XCLAIM picked", () => { send("claim", [...picked], owner.value); picked.clear(); }, "claim");
  const autoclaim = button("XAUTOCLAIM", () => send("autoclaim", owner.value), "main autoclaim");
  const minIdle = make("input", { type: "number", min: "0.1", step: "0.5", "aria-label": "min-idle, in seconds", onchange: () => send("set_min_idle", Number(minIdle.value)) });
  const strategy = make("select", { "aria-label": "Strategy of automatic recovery", onchange: () => automatic.checked && send("set_recovery", strategy.value) });
  const automatic = make("input", { type: "checkbox", class: "automatic", onchange: () => send("set_recovery", automatic.checked ? strategy.value : "none") });
  const nPending = make("span", { class: "badge" });
  const pendingScroll = make("div", { class: "scroll", onscroll: () => { scrolled = pendingScroll.scrollTop; refresh(); } },
    make("table", { class: "pending-table" }, heads("", "entry id", "owner", "idle time", "#delivery count", "fields"), pendingBody));
  // Idle times change all the time. Rows that are scrolled out of sight wait for each tenth update, or most of the work
  // would be theirs.
  let scrolled = 0;
  const isDue = (row, i) => {
    const due = Math.abs(i * ROW - scrolled) < 2 * PENDING_HEIGHT || row.missed >= 9;
    row.missed = due ? 0 : row.missed + 1;
    return due;
  };
  const pendingPart = make("section", { "aria-label": "Pending entries list" },
    make("div", { class: "bar" }, make("h3", {}, "Pending entries list"), nPending, make("span", { class: "grow" }),
      make("label", { title: "the mark in the bars of idle time" }, "min-idle ", minIdle, " s"), claim, autoclaim),
    pendingScroll, make("div", { class: "bar below" }, make("label", {}, "new owner ", owner), make("label", {}, automatic, " recover automatically by "), strategy));

  // Stream, group, sliders.
  const figures = new Map();
  const list = make("dl");
  const slider = (words, act, unit) => {
    const range = make("input", { type: "range", min: "-3", max: "3", step: "0.25", "aria-label": words });
    const value = make("span");
    const part = { range, value, planned: null, node: make("div", { class: "slider" }, make("span", {}, words), range, value) };
    range.addEventListener("input", () => write(value, unit(part.planned * 2 ** Number(range.value))));
    range.addEventListener("change", () => act(part.planned * 2 ** Number(range.value)));
    return part;
  };
  const rate = slider("arrival rate", (value) => send("set_rate", value), (v) => `${v.toPrecision(2)}/s each`);
  const service = slider("service time", (value) => send("set_service", value), (v) => `${Number(v.toPrecision(2))} s`);
  const streamPart = make("section", { "aria-label": "Stream and group" }, make("h3", {}, "Stream and group"), list, rate.node, service.node);

  const curves = new Drawing("", 150);
  const drawPart = make("section", { "aria-label": "Figures" }, curves.canvas);

  // Commands.
  const logBody = make("tbody");
  const logScroll = make("div", { class: "scroll log", tabindex: "0", "aria-label": "Commands" }, make("table", { class: "log" }, logBody));
  const onlyLab = make("input", { type: "checkbox", onchange: () => refresh() });
  const log = new Rows(logBody, () => {
    const at = make("td", { class: "at" }), who = make("td", { class: "at" }), words = make("span"), reply = make("span", { class: "reply" });
    return { node: make("tr", {}, at, who, make("td", {}, words, reply)), at, who, words, reply };
  });
  const logPart = make("section", { class: "log", "aria-label": "Commands" },
    make("div", { class: "bar" }, make("h3", {}, "Commands, newest first"), make("label", {}, onlyLab, " only my own")), logScroll);

  el.classList.add("streamlab-panel");
  el.append(header, headline, notice, scene.canvas,
    make("div", { class: "columns" }, consumersPart, pendingPart),
    make("div", { class: "columns low" }, streamPart, drawPart, logPart));

  function refresh() {
    if (!state || !state.consumers) return;
    const live = state.engine === "live", ended = state.closed || state.finished;
    write(title, state.title);
    write(badge, live ? "live: real processes, a real Redis" : "simulated: virtual time");
    write(clock, `${state.at.toFixed(1)} s`);
    write(play, state.playing ? "Freeze" : "Play");
    enable(play, !ended);
    enable(step, !ended);
    for (const node of timeControls) node.hidden = live;
    stop.hidden = !live;
    enable(stop, !state.closed);
    if (free(speed) && state.playing) speed.value = String(SPEEDS.find((s) => s >= state.speed) || 100);
    if (free(back)) {
      attribute(back, "max", String(Math.max(Number(back.max) || 10, Math.ceil(state.at))));
      back.value = String(state.at);
    }
    if (free(seed) && seed.value !== String(state.seed)) seed.value = String(state.seed);
    const [mood, words] = state.closed ? ["calm", "This lab has been closed. For a new one, run its cell again; in Voila, load the page again."] : state.headline;
    classes(headline, `headline ${mood}`);
    write(headline, words);
    const future = state.future.length ? `To be done again when its time comes: ${state.future.join(", ")}. ` : "";
    write(notice, future + (state.notice || ""));
    scene.update(state);

    consumers.update(state.consumers, (c) => c.name, (row, c) => {
      classes(row.how, `state ${c.state}`);
      write(row.how, c.state);
      for (const key of ["holding", "pending", "delivered", "acked"]) write(row.numbers[key], c[key]);
      write(row.numbers.idle, seconds(c.idle));
      const away = c.state === "dead" || c.state === "stopped";
      classes(row.node, away && c.pending ? "stranded" : "");
      attribute(row.node, "title", c.pid ? `process ${c.pid}` : "");
      enable(row.kill, !away && !ended);
      enable(row.pause, !away && !ended);
      enable(row.restart, !ended);
      write(row.pause, c.state === "paused" ? "Resume" : "Pause");
      attribute(row.pause, "aria-label", `${c.state === "paused" ? "Resume" : "Pause"} ${c.name}`);
    });

    const how = new Map(state.consumers.map((c) => [c.name, c.state]));
    const there = new Set();
    pending.update(state.pending, (row) => row[0], (row, [id, who, idle, count, fields], i) => {
      there.add(id);
      const away = ["dead", "stopped", "paused"].includes(how.get(who));
      classes(row.node, away ? "stranded" : count > 1 ? "again" : "");
      write(row.owner, away ? `${who} (${how.get(who)})` : who);
      if (isDue(row, i)) {
        const over = idle >= state.min_idle;
        attribute(row.meter, "style", `--idle: ${Math.min(100, (60 * idle) / state.min_idle).toFixed(0)}%`);
        classes(row.meter, over ? "meter over" : "meter");
        write(row.idle, over ? `${seconds(idle)} claimable` : seconds(idle));
      }
      write(row.count, count);
      write(row.fields, fields);
      if (row.pick.checked !== picked.has(id)) row.pick.checked = picked.has(id);
    });
    for (const id of picked) if (!there.has(id)) picked.delete(id);
    const more = state.n_pending - state.pending.length;
    write(nPending, more > 0 ? `${state.n_pending}, the first ${state.pending.length} are listed` : `${state.n_pending}`);
    offer(owner, [["", "who holds least"], ...state.consumers.map((c) => [c.name, c.name])]);
    enable(claim, picked.size > 0 && !ended);
    write(claim, picked.size ? `XCLAIM ${picked.size} picked` : "XCLAIM picked");
    enable(autoclaim, !ended);
    offer(strategy, Object.entries(state.strategies));
    if (free(automatic)) automatic.checked = state.strategy !== "none";
    if (free(strategy) && state.strategies[state.strategy]) strategy.value = state.strategy;
    if (free(minIdle) && minIdle.value !== String(state.min_idle)) minIdle.value = String(state.min_idle);

    for (const [name, value] of Object.entries(state.figures)) {
      if (!figures.has(name)) {
        const dd = make("dd", { "data-figure": name });
        figures.set(name, dd);
        const dt = make("dt", {}, name);
        if (name === "last-delivered id") dt.className = dd.className = "long";
        list.append(dt, dd);
      }
      write(figures.get(name), value);
      attribute(figures.get(name), "title", String(value));
    }
    for (const [part, value, planned, unit] of [
      [rate, state.rate, state.planned_rate, (v) => `${Number(v.toPrecision(2))}/s each`],
      [service, state.service, state.planned_service, (v) => `${Number(v.toPrecision(2))} s`],
    ]) {
      part.node.hidden = value === null || !planned;
      part.planned = planned;
      if (!part.node.hidden && free(part.range)) {
        part.range.value = String(Math.log2(value / planned));
        write(part.value, unit(value));
      }
    }
    drawCurves(curves, state);
    drawLanes(lanes, state);
    // Rows by their place: they scroll by, and making them anew each time would be flicker.
    const commands = (onlyLab.checked ? state.commands.filter((c) => c[1] === "lab") : state.commands).toReversed();
    log.update(commands.map((c, i) => [i, ...c]), (c) => c[0], (row, [, at, by, command, reply]) => {
      classes(row.node, by === "lab" ? "lab" : "");
      write(row.at, at.toFixed(2));
      write(row.who, by);
      write(row.words, command);
      write(row.reply, reply ? ` → ${reply}` : "");
    });
  }

  let lastLook = 0;
  function take() {
    state = model.get("state");
    refresh();
    const now = performance.now();
    if (now - lastLook > 2000) { // so that the panel knows that somebody looks
      lastLook = now;
      send("look");
    }
  }
  const resized = new ResizeObserver(() => refresh());
  resized.observe(el);
  model.on("change:state", take);
  take();
  return () => {
    model.off("change:state", take);
    resized.disconnect();
    scene.stop();
  };
}

export default { render };
