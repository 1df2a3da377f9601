// The view of streamlab's control panel: tables in HTML, and three drawings. Everything it shows comes as one object
// of plain data (`state`), and its buttons as another, which stays as it is (`buttons`). What goes back is
// {action: text} for what is done to the run, and {control, value} for its clock. The kernel joins this file and those
// that it imports into the one module that anywidget takes (esm.py).

import { board } from "./board.mjs";
import { textOf } from "./buttons.mjs";
import { timeControls } from "./controls.mjs";
import { download } from "./page.mjs";

const LOOK_EVERY_MS = 2000;

function render({ model, el }) {
  const control = (name, value) => model.send({ control: name, value });
  const act = (button, values) => model.send({ action: textOf(button, values) });
  const tell = (id) => model.send({ story: id });
  const save = () => model.send({ save: "page" });
  const shown = board(el, timeControls({ control, save }), { act, tell, buttons: model.get("buttons") });

  let lastLook = -Infinity;
  function refresh() {
    const state = model.get("state");
    if (state && state.consumers) shown.update(state);
  }
  function take() {
    refresh();
    const now = performance.now();
    if (now - lastLook > LOOK_EVERY_MS) { // so that the panel knows that somebody looks
      lastLook = now;
      control("look");
    }
  }
  const keep = ({ page }, buffers) => page && download(page, buffers[0], "text/html");
  const resized = new ResizeObserver(refresh);
  resized.observe(el);
  model.on("change:state", take);
  model.on("msg:custom", keep);
  take();
  return () => {
    model.off("change:state", take);
    model.off("msg:custom", keep);
    resized.disconnect();
    shown.stop();
  };
}

export default { render };
