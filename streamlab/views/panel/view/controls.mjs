// What is above and below the tables: the run's clock and seed, figures, and sliders for what is planned.

import { atHand } from "./buttons.mjs";
import { attribute, button, enable, head, isFree, make, offer, Rows, show, write } from "./page.mjs";
import {
  goBack, hintOfBeginning, nearestSpeed, pace, seconds, seedOf, sliderPosition, sliderValue, SPEEDS, whyNot,
} from "./state.mjs";

// The header. Of a live lab the clock only runs: it has one button, which ends it.
export function timeControls({ control, save }) {
  let state = { at: 0, playing: false };
  const title = make("h2"), badge = make("span", { class: "badge" });
  const clock = make("span", { class: "clock", title: "seconds since the run began" });
  const go = () => control("play", Number(speed.value) || 1);
  const play = button("Play", () => (state.playing ? control("freeze") : go()), { look: "main" });
  const step = button("Step", () => control("step"), { label: "Step: run what happens at the next moment" });
  const speed = make("select", { "aria-label": "Speed", onchange: () => state.playing && go() });
  offer(speed, SPEEDS.map((each) => [String(each), `${each} ×`]));
  speed.value = "1";
  const moment = make("input", {
    type: "range", min: "0", step: "0.1", "aria-label": "Go to a moment of the run",
    onchange: () => control("go_to", Number(moment.value)),
  });
  const back = button("− 5 s", () => control("go_to", goBack(state.at, 5)), {
    label: "Go back five seconds",
    hint: "Goes back five seconds. What you did since is done again when its time comes, unless you do something else.",
  });
  const seed = make("input", { type: "number", min: "0", "aria-label": "Seed" });
  const again = button("Begin again", () => control("begin_again", seedOf(seed.value)));
  const stop = button("Stop: end all processes", () => control("close"), { look: "kill" });
  const page = button("Save as a page", save, {
    hint: "One file that plays the run so far in any browser, to be kept or sent. It needs nothing beside it.",
  });
  const simulated = [
    play, step, speed, make("label", {}, "go to ", moment), back, make("label", {}, "seed ", seed), again,
  ];
  const node = make("header", {}, title, badge, clock, ...simulated, make("span", { class: "grow" }), page, stop);

  function update(now) {
    state = now;
    const isLive = state.engine === "live";
    write(title, state.title);
    write(badge, isLive ? "live" : "simulated");
    attribute(badge, "title", isLive ? "real processes, a real Redis" : "virtual time");
    write(clock, `${state.at.toFixed(1)} s`);
    write(play, state.playing ? "Freeze" : "Play");
    for (const each of [play, step]) enable(each, whyNot(state));
    enable(back, state.closed ? whyNot(state) : state.at > 0 ? "" : "The run is at its beginning.");
    enable(again, state.closed ? whyNot(state) : "", hintOfBeginning(state));
    enable(page, state.closed ? whyNot(state) : "");
    enable(stop, state.closed ? whyNot(state) : "");
    for (const each of simulated) each.hidden = isLive;
    stop.hidden = !isLive;
    if (state.playing) show(speed, nearestSpeed(state.speed));
    if (isFree(moment)) attribute(moment, "max", String(Math.max(Number(moment.max) || 10, Math.ceil(state.at))));
    show(moment, state.at);
    attribute(moment, "aria-valuetext", seconds(state.at));
    show(seed, state.seed);
  }
  return { node, update };
}

export function streamPart({ act, buttons }) {
  const figures = new Map();
  const list = make("dl");
  const sliders = atHand(buttons, "producers", "consumers").map((each) => slider(each, act));
  const title = make("h3", {}, "Stream and group");
  // Each group's, if there are several: else they are among the figures.
  const body = make("tbody"), heads = head(["group", "#backlog", "#lag", "#pending", "#last-delivered id"]);
  const groups = make("table", { class: "groups", "aria-label": "Groups" }, heads, body);
  const rows = new Rows(body, newGroup);
  const node = make("section", { "aria-label": "Stream and group" }, title, list, groups,
    ...sliders.map((each) => each.node));

  function figure(name) {
    if (!figures.has(name)) {
      const look = name === "last-delivered id" ? { class: "long" } : {};
      const value = make("dd", { "data-figure": name, ...look });
      figures.set(name, value);
      list.append(make("dt", look, name), value);
    }
    return figures.get(name);
  }

  function update(state) {
    for (const [name, value] of Object.entries(state.figures)) {
      write(figure(name), value);
      attribute(figure(name), "title", String(value));
    }
    groups.hidden = state.groups.length === 1;
    rows.update(state.groups, ({ name }) => name, (row, group) => row.fill(group));
    for (const each of sliders) each.update(state);
  }
  return { node, update };
}

function newGroup(name) {
  const counts = ["backlog", "lag", "n_pending", "last_id"].map((key) => [key, make("td", { class: "n" })]);
  const node = make("tr", { "data-group": name }, make("td", { role: "rowheader" }, make("strong", {}, name)),
    ...counts.map(([, cell]) => cell));
  const fill = (group) => counts.forEach(([key, cell]) => write(cell, group[key]));
  return { node, fill };
}

// A slider for an action whose first field is an amount.
function slider(each, act) {
  const { word, label, hint, fields: [amount] } = each;
  const unit = (value) => pace(value, amount.kind === "time");
  let planned = null;
  const chosen = () => sliderValue(Number(range.value), planned);
  const range = make("input", {
    type: "range", min: "-3", max: "3", step: "0.25", "aria-label": label,
    oninput: () => tell(chosen()), onchange: () => act(each, { [amount.name]: chosen() }),
  });
  const shown = make("span", { "aria-hidden": "true" });
  const tell = (value) => {
    write(shown, unit(value));
    attribute(range, "aria-valuetext", unit(value)); // or its position would be read out, from -3 to 3
  };
  const node = make("div", { class: "slider", title: hint }, make("span", {}, label), range, shown);

  function update({ paces }) {
    let value;
    [value, planned] = paces[word];
    node.hidden = value === null || !planned;
    if (node.hidden || !isFree(range)) return;
    range.value = String(sliderPosition(value, planned));
    tell(value);
  }
  return { node, update };
}
