// The clock of a run that is played back: to play it, to go through it, and its turning points to jump to.

import { attribute, button, classes, make, offer, write } from "./page.mjs";
import { SPEEDS } from "./state.mjs";

const LOOK_MS = 10_000; // what the lanes show passes by within so long, if that can be
const UPDATE_MS = 50;
const MOST_MS = 250; // a page that nobody looked at does not jump

export const firstSpeed = (window) => SPEEDS.findLast((speed) => speed <= (1000 * window) / LOOK_MS) || SPEEDS[0];

// `go` is told each moment that is to be seen.
export function player(recording, go) {
  const { end, data: { digits, window, title, engine, server, seed, turns } } = recording;
  const clock = (at, decimals = digits - 1) => `${at.toFixed(decimals)} s`;
  let at = 0, isPlaying = false, last = 0;

  const play = button("Play", toggle, { look: "main", hint: "Space does the same." });
  const stepBack = () => jump(recording.before(at)), stepOn = () => jump(recording.after(at));
  const back = button("◀ Step", stepBack, { label: "Step back to the moment before" });
  const step = button("Step ▶", stepOn, { label: "Step to the next moment" });
  const speed = make("select", { "aria-label": "Speed" });
  offer(speed, SPEEDS.map((each) => [String(each), `${each} ×`]));
  speed.value = String(firstSpeed(window));
  const now = make("span", { class: "clock", title: "seconds since the run began" });
  const line = make("input", {
    type: "range", min: "0", max: String(end), step: (end / 1000).toFixed(digits + 3), value: "0",
    "aria-label": "Moment of the run", oninput: () => jump(Number(line.value)),
  });
  const marks = turns.map(([when, , mood]) => {
    return make("span", { class: `mark ${mood}`, style: `left: ${((100 * when) / end).toFixed(2)}%` });
  });
  const jumps = turns.map(([when, seen, mood, words]) => {
    return button(`${clock(when, digits - 2)} ${words}`, () => jump(seen), { look: `turn ${mood}` });
  });
  const what = engine === "live" ? "real processes, a real Redis" : "virtual time";
  const node = make("header", { class: "player" },
    make("div", { class: "bar" }, make("h1", {}, title),
      make("span", { class: "badge", title: what }, engine), make("span", { class: "badge" }, "a recording"),
      make("span", { class: "grow" }), now, play, back, step, speed),
    make("div", { class: "timeline" }, make("div", { class: "marks", "aria-hidden": "true" }, ...marks), line),
    make("div", { class: "turns", role: "group", "aria-label": "Go to a turning point" }, ...jumps),
    make("p", { class: "source" },
      `Recorded on ${server}, seed ${seed}. Nothing runs now: this page plays what happened.`));

  function jump(to) {
    at = Math.min(Math.max(to, 0), end);
    go(at);
  }

  function toggle() {
    isPlaying = !isPlaying;
    if (isPlaying) {
      if (at >= end) at = 0;
      last = performance.now();
      requestAnimationFrame(tick);
    }
    go(at);
  }

  function tick(moment) {
    if (!isPlaying) return;
    requestAnimationFrame(tick);
    if (moment - last < UPDATE_MS) return;
    const seconds = Math.min(moment - last, MOST_MS) / 1000;
    last = moment;
    if (at + seconds * Number(speed.value) >= end) isPlaying = false;
    jump(at + seconds * Number(speed.value));
  }

  function update() {
    write(now, `${clock(at)} of ${clock(end)}`);
    write(play, isPlaying ? "Pause" : "Play");
    line.value = String(at);
    attribute(line, "aria-valuetext", clock(at));
    const latest = turns.filter(([, seen]) => seen <= at).length - 1;
    for (const [i, each] of jumps.entries()) {
      classes(each, `turn ${turns[i][2]}${i === latest ? " latest" : ""}`);
      if (i === latest) attribute(each, "aria-current", "step");
      else each.removeAttribute("aria-current");
    }
  }

  // Keys that nothing else takes: the space bar plays, arrows step.
  function onkey(event) {
    const { key, target } = event;
    if (event.altKey || event.ctrlKey || event.metaKey || target.closest("button, select, [tabindex]")) return;
    const does = { " ": toggle, ...(target !== line && { ArrowLeft: stepBack, ArrowRight: stepOn }) }[key];
    if (!does) return;
    event.preventDefault();
    does();
  }

  return { node, update, onkey, moment: () => at };
}
