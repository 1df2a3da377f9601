// A page that plays a run back. It holds the run itself: nothing is asked for from anywhere.

import { board } from "./board.mjs";
import { player } from "./player.mjs";
import { Recording } from "./recording.mjs";

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

async function begin(el) {
  const recording = new Recording(await unpacked(document.getElementById("recording").textContent));
  let picked = "";
  const go = (at) => shown.update(recording.stateAt(at, picked));
  const clock = player(recording, go);
  const tell = (id) => {
    picked = id;
    go(clock.moment());
  };
  const shown = board(el, clock, { tell, buttons: [] });
  document.addEventListener("keydown", clock.onkey);
  new ResizeObserver(() => go(clock.moment())).observe(el);
  go(0);
}

begin(document.getElementById("playback")).catch((error) => {
  document.getElementById("playback").textContent = "This page needs a browser that is not older than 2023. "
    + `What went wrong: ${error}`;
});
