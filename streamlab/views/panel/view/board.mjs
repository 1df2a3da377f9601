// All that is shown of a run below its clock: headline, scene, tables, curves.

import { commandsPart } from "./commands.mjs";
import { streamPart } from "./controls.mjs";
import { Drawing } from "./drawing.mjs";
import { lettersPart, storyPart } from "./entries.mjs";
import { drawCurves } from "./figures.mjs";
import { classes, make, write } from "./page.mjs";
import { Scene } from "./scene.mjs";
import { serversPart } from "./servers.mjs";
import { shardsPart } from "./shards.mjs";
import { headline, notice } from "./state.mjs";
import { consumersPart, pendingPart } from "./tables.mjs";

// Put it into a node, below `time`. What is not to be played but only to be looked at has no buttons, in `does`.
export function board(el, time, does) {
  const consumers = consumersPart(does), pending = pendingPart(does), letters = lettersPart(does);
  const story = storyPart(does), stream = streamPart(does), commands = commandsPart(does);
  const servers = serversPart(does), shards = shardsPart();
  const parts = [time, servers, shards, consumers, pending, letters, story, stream, commands];
  const mood = make("div", { class: "headline", role: "status", "aria-live": "polite" });
  const trouble = make("div", { class: "notice", role: "alert" });
  const scene = new Scene(), curves = new Drawing("", 150);
  el.classList.add("streamlab-panel");
  el.append(time.node, mood, trouble, scene.canvas, shards.node, servers.node,
    make("div", { class: "columns" }, consumers.node, pending.node), story.node, letters.node,
    make("div", { class: "columns low" }, stream.node,
      make("section", { "aria-label": "Figures" }, curves.canvas), commands.node));

  function update(state) {
    el.classList.toggle("sharded", state.shards.length > 0);
    const [how, words] = headline(state);
    classes(mood, `headline ${how}`);
    write(mood, words);
    write(trouble, notice(state));
    scene.update(state);
    for (const part of parts) part.update(state);
    drawCurves(curves, state);
  }
  return { update, stop: () => scene.stop() };
}
