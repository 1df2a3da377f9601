"""A page in a browser (JupyterLite), where Python is WebAssembly: it has no threads, no processes and no sockets."""

from __future__ import annotations

import sys
import threading
import time
from typing import Final

IN_BROWSER: Final[bool] = sys.platform == "emscripten"

#: Seconds after which a wait lets go on what else there is.
_TURN: Final = 0.02


def why_not(what: str, needs: str, instead: str) -> str:
    """Say in one line why something cannot be had in a page, and what can."""
    return f"{what} needs {needs}, which a page in a browser does not have: {instead}"


def wait(event: threading.Event, seconds: float) -> None:
    """Wait for an event, but not for longer; where there are no threads, the loop's tasks go on meanwhile."""
    if not IN_BROWSER:
        event.wait(seconds)
        return
    deadline = time.monotonic() + seconds
    while not event.is_set() and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, _TURN))  # by which Pyodide lets the loop go on, as `Event.wait` does not
