// The view of streamlab's control panel: tables in HTML, and three drawings. Everything it shows comes as one object
// of plain data (`state`), and its buttons as another, which stays as it is (`buttons`). What goes back is
// {action: text} for what is done to the run, and {control, value} for its clock. The kernel joins this file and those
// that it imports into the one module that anywidget takes (esm.py).

import { textOf } from "./buttons.mjs";
import { commandsPart } from "./commands.mjs";
import { streamPart, timeControls } from "./controls.mjs";
import { Drawing } from "./drawing.mjs";
import { lettersPart, storyPart } from "./entries.mjs";
import { drawCurves } from "./figures.mjs";
import { classes, make, write } from "./page.mjs";
import { Scene } from "./scene.mjs";
import { headline, notice } from "./state.mjs";
import { consumersPart, pendingPart } from "./tables.mjs";

const LOOK_EVERY_MS = 2000;

function render({ model, el }) {
  const control = (name, value) => model.send({ control: name, value });
  const act = (button, values) => model.send({ action: textOf(button, values) });
  const tell = (id) => model.send({ story: id });
  const does = { act, tell, buttons: model.get("buttons") };
  const time = timeControls({ control }), consumers = consumersPart(does), pending = pendingPart(does);
  const stream = streamPart(does), commands = commandsPart();
  const letters = lettersPart(does), story = storyPart(does);
  const parts = [time, consumers, pending, letters, story, stream, commands];
  const mood = make("div", { class: "headline", role: "status", "aria-live": "polite" });
  const trouble = make("div", { class: "notice", role: "alert" });
  const scene = new Scene(), curves = new Drawing("", 150);
  el.classList.add("streamlab-panel");
  el.append(time.node, mood, trouble, scene.canvas,
    make("div", { class: "columns" }, consumers.node, pending.node), story.node, letters.node,
    make("div", { class: "columns low" }, stream.node,
      make("section", { "aria-label": "Figures" }, curves.canvas), commands.node));

  let lastLook = -Infinity;
  function refresh() {
    const state = model.get("state");
    if (!state || !state.consumers) return;
    const [how, words] = headline(state);
    classes(mood, `headline ${how}`);
    write(mood, words);
    write(trouble, notice(state));
    scene.update(state);
    for (const part of parts) part.update(state);
    drawCurves(curves, state);
  }
  function take() {
    refresh();
    const now = performance.now();
    if (now - lastLook > LOOK_EVERY_MS) { // so that the panel knows that somebody looks
      lastLook = now;
      control("look");
    }
  }
  const resized = new ResizeObserver(refresh);
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
