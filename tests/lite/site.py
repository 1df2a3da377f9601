"""The site that `make lite` makes, served to a Chromium that reaches nothing else."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests import browser
from tests.walk import HEIGHT, WIDTH, Step, walk

#: Open a notebook that was not there when the site was made.
OPEN_NEW = """async ([name, text]) => {
    await window.jupyterapp.serviceManager.contents.save(
        name, { type: 'notebook', format: 'json', content: JSON.parse(text) });
    await window.jupyterapp.commands.execute('docmanager:open', { path: name });
}"""
#: Wait for the kernel of the notebook that is shown, but not for ever.
KERNEL = """async limit => {
    const { context, sessionContext } = window.jupyterapp.shell.currentWidget;
    const ready = context.ready.then(() => sessionContext.ready).then(() => sessionContext.session.kernel.info);
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error('no kernel')), limit));
    await Promise.race([ready, late]);
}"""
#: Open a notebook of the site behind the one that is shown, so that its kernel starts.
PREPARE = """path => window.jupyterapp.commands.execute(
    'docmanager:open', { path, options: { activate: false } }).then(() => null)"""
#: The widget of a notebook that is open.
FIND = "const widget = [...window.jupyterapp.shell.widgets('main')].find(one => one.context?.path === path)"
#: Show a notebook that is open.
SHOW = f"path => {{ {FIND}; window.jupyterapp.shell.activateById(widget.id); }}"
IS_SHOWN = "path => window.jupyterapp.shell.currentWidget?.context?.path === path"
#: Close a notebook with its kernel, whatever was changed.
CLOSE = f"async path => {{ {FIND}; await widget.sessionContext.shutdown(); widget.dispose(); }}"
#: Execute code that is not in the notebook.
EXECUTE = """async code => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    return (await kernel.requestExecute({ code, stop_on_error: true }).done).content;
}"""

#: Execute all cells of the notebook that is shown, without showing what comes of them: in half the time.
EXECUTE_CELLS = """async () => {
    const { content, sessionContext } = window.jupyterapp.shell.currentWidget;
    const shown = ['stream', 'display_data', 'execute_result', 'error'];
    const done = [];
    for (const cell of content.model.cells) {
        if (cell.type !== 'code') continue;
        const source = cell.sharedModel.getSource(), outputs = [], began = performance.now();
        const asked = sessionContext.session.kernel.requestExecute(
            { code: source, stop_on_error: false }, true, { cellId: cell.id });
        asked.onIOPub = ({ header, content }) => {
            if (shown.includes(header.msg_type)) outputs.push({ output_type: header.msg_type, ...content });
        };
        await asked.done;
        done.push({ source, outputs, seconds: (performance.now() - began) / 1000 });
    }
    return done;
}"""


class _Handler(SimpleHTTPRequestHandler):
    extensions_map = {  # noqa: RUF012
        **SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript", ".wasm": "application/wasm",
    }  # fmt: skip

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Opened:
    """A notebook of the site, in the browser."""

    page: Any
    base: str
    seconds: float = 0.0
    """From opening the site until the kernel was ready."""
    asked: list[str] = field(default_factory=list)
    """What was asked for elsewhere."""

    def hear(self, url: str) -> None:
        """Note a request, if it is to elsewhere."""
        if not url.startswith((self.base, "data:", "blob:")):
            self.asked.append(url)

    def complaints(self) -> list[str]:
        """Run the cells one after another; say what is wrong with them."""
        return [words for step in walk(self.page) for words in troubles(step)]

    def prepare(self, name: str) -> None:
        """Open another notebook of the site behind this one; its kernel starts meanwhile."""
        self.page.evaluate(PREPARE, name)

    def show(self, name: str) -> None:
        """Show a notebook that is open, and wait for its kernel."""
        self.page.evaluate(SHOW, name)
        self.page.wait_for_function(IS_SHOWN, arg=name)
        self.page.evaluate(KERNEL, browser.LIMIT_MS)

    def close(self, name: str) -> None:
        """Close a notebook, and end its kernel."""
        self.page.evaluate(CLOSE, name)

    def execute_cells(self) -> list[Step]:
        """Execute all cells of the notebook that is shown; what they show is not looked at by the page."""
        done = self.page.evaluate(EXECUTE_CELLS)
        return [Step(number, silence=0.0, **each) for number, each in enumerate(done, 1)]

    def execute(self, code: str) -> None:
        """Execute code that is not in the notebook."""
        reply = self.page.evaluate(EXECUTE, code)
        assert reply["status"] == "ok", reply


def troubles(step: Step) -> list[str]:
    """Say what is wrong with a cell, but for how long it took."""
    first = step.source.splitlines()[0] if step.source else ""
    return [f"[{step.number}] {first}: {words}" for words in step.complaints() if "nothing was to be seen" not in words]


@contextlib.contextmanager
def opened(folder: Path, name: str, *cells: str) -> Iterator[Opened]:
    """Give a lesson of the site, or a notebook of these cells, with its kernel ready."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = Opened(None, f"http://127.0.0.1:{server.server_port}/")
    began = time.monotonic()
    url = f"{found.base}lab/index.html" + ("" if cells else f"?path={name}")
    try:
        with browser.open_page(url, width=WIDTH, height=HEIGHT, asked=found.hear) as found.page:
            if cells:
                found.page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget")
                found.page.evaluate(OPEN_NEW, [name, browser.notebook(*cells, kernel="python")])
            found.page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext")
            found.page.evaluate(KERNEL, browser.LIMIT_MS)
            found.seconds = time.monotonic() - began
            yield found
    finally:
        server.shutdown()
        server.server_close()
