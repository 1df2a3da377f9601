"""`Panel`: the control panel of a `Lab`, in a notebook or as a page of its own.

    lab = Lab("kill-and-recover")
    lab.play()
    Panel(lab)

All that a click does is a method of the lab with the same name. The panel has a thread that looks at the lab
some times a second, and does in order what was clicked: so nothing blocks the kernel, whichever of its
threads hears of a click.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import redis.exceptions

try:
    import anywidget
    import traitlets
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the control panel needs anywidget: pip install 'streamlab[course]'", name=error.name
    ) from None

from streamlab.lab import Lab, LabError
from streamlab.panel.state import STRATEGIES, state_of
from streamlab.scenario import ScenarioError

_HERE = Path(__file__).parent

#: Seconds between two looks at the lab.
_EVERY: Final = 0.1
#: Seconds without a sign of a view until nobody is taken to be looking: then the panel rests.
_UNSEEN: Final = 60.0

#: The panel that each cell of a notebook shows: running the cell again replaces it.
_of_cell: weakref.WeakValueDictionary[str, Panel] = weakref.WeakValueDictionary()


class Panel(anywidget.AnyWidget):
    """The control panel of a lab.

    Shown by a cell whose last line it is. `close` ends the panel, ``lab.close()`` the lab. When a cell that made
    a panel is run again, the earlier panel is closed, and its lab too if no panel shows it any more.
    """

    _esm = _HERE / "view.js"
    _css = _HERE / "view.css"

    state = traitlets.Dict().tag(sync=True)

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self.lab = lab
        self._notice = ""
        self._clicked: queue.SimpleQueue[tuple[str, list[Any]] | None] = queue.SimpleQueue()
        self._last_seen = time.monotonic()
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._thread_lock = threading.Lock()
        self.on_msg(self._hear)
        _replace_in_cell(self)
        self._wake()

    def __repr__(self) -> str:
        return f"<Panel of {self.lab.scenario.name} ({self.lab.engine})>"

    def do(self, name: str, *args: Any) -> None:
        """Do what a click does; return at once. An error becomes the panel's notice."""
        if name not in _DEEDS:
            raise ValueError(f"the panel has no {name!r}: it has {', '.join(_DEEDS)}")
        self._clicked.put((name, list(args)))
        self._wake()

    def close(self) -> None:
        """Close the panel. The lab goes on."""
        self._is_closed = True
        self._clicked.put(None)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        super().close()

    # ---- what comes from the view ----------------------------------------------------------------

    def _hear(self, _: Any, message: Any, buffers: Any) -> None:
        """Take a message of the view: it is done in the panel's thread."""
        self._last_seen = time.monotonic()
        if isinstance(message, dict):
            name, args = message.get("do"), message.get("args", [])
            if name in _DEEDS and isinstance(args, list):
                self._clicked.put((name, args))
        self._wake()

    # ---- the panel's thread ----------------------------------------------------------------------

    def _wake(self) -> None:
        with self._thread_lock:
            if not self._is_closed and (self._thread is None or not self._thread.is_alive()):
                # Weakly: the thread shall not keep a panel that nobody has any more.
                self._thread = threading.Thread(
                    target=_attend, args=(weakref.ref(self),), name="streamlab-panel", daemon=True
                )
                self._thread.start()

    def _rest_or_paint(self) -> bool:
        """Show how things are; return False if nobody has been looking for long, or the lab is closed."""
        if time.monotonic() - self._last_seen > _UNSEEN:
            if self.lab.engine == "simulated":
                self.lab.freeze()
            return False
        self._paint()
        return not (self.lab.is_closed and self._clicked.empty())

    def _paint(self) -> None:
        try:
            state = state_of(self.lab)
        except (LabError, redis.exceptions.RedisError, RuntimeError) as error:
            state = {**self.state, "playing": False, "closed": True}
            if not self.lab.is_closed:  # which the headline says
                self._notice = self._notice or _one_line(error)
        state["notice"] = self._notice
        self.state = state

    def _obey(self, name: str, args: list[Any]) -> None:
        try:
            self._notice = _DEEDS[name](self.lab, *args) or ""
        except (ScenarioError, LabError, ValueError, TypeError) as error:
            self._notice = _one_line(error)
        except redis.exceptions.RedisError as error:
            self._notice = f"Redis: {_one_line(error)}"


def _attend(reference: weakref.ref[Panel]) -> None:
    """Look after a panel until it or its lab is closed, it is gone, or nobody looks at it."""
    panel = reference()
    while panel is not None:
        if not panel._rest_or_paint():
            return
        clicked, due = panel._clicked, time.monotonic() + _EVERY
        del panel
        click: tuple[str, list[Any]] | None = ("", [])
        with contextlib.suppress(queue.Empty):
            click = clicked.get(timeout=max(due - time.monotonic(), 0.0))
        panel = reference()
        if panel is None or click is None or panel._is_closed:
            return
        if click[0]:
            panel._obey(*click)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


# ---- what can be clicked -----------------------------------------------------------------------------


def _claim(lab: Lab, ids: list[str], consumer: str | None) -> str:
    claimed = lab.claim([str(entry_id) for entry_id in ids], consumer or None)
    return _told(len(claimed), lab)


def _autoclaim(lab: Lab, consumer: str | None) -> str:
    return _told(len(lab.autoclaim(consumer or None)), lab)


def _told(n_claimed: int, lab: Lab) -> str:
    if n_claimed:
        return ""
    return f"Nothing was claimed: nothing of that has been idle for {lab.recovery.min_idle:g} s."


def _switch_recovery(lab: Lab, strategy: str) -> None:
    if strategy != "none" and strategy not in STRATEGIES:
        raise ScenarioError(f"the panel has no strategy {strategy!r}")
    lab.set_recovery(strategy)


def _step(lab: Lab) -> None:
    lab.step()


def _add_consumer(lab: Lab) -> None:
    lab.add_consumer()


_DEEDS: Final[dict[str, Callable[..., str | None]]] = {
    "look": lambda lab: None,
    "kill": Lab.kill,
    "pause": Lab.pause,
    "resume": Lab.resume,
    "restart": Lab.restart,
    "add_consumer": _add_consumer,
    "claim": _claim,
    "autoclaim": _autoclaim,
    "set_recovery": _switch_recovery,
    "set_min_idle": lambda lab, seconds: lab.set_recovery(min_idle=seconds),
    "set_rate": Lab.set_rate,
    "set_service": lambda lab, mean: lab.set_service(mean),
    "play": Lab.play,
    "freeze": Lab.freeze,
    "step": _step,
    "go_to": Lab.go_to,
    "begin_again": Lab.begin_again,
    "close": Lab.close,
}


# ---- one panel a cell --------------------------------------------------------------------------------


def _replace_in_cell(panel: Panel) -> None:
    """Close the panel that an earlier run of this cell made, and its lab if nobody shows it any more."""
    cell = _cell_id()
    if cell is None:
        return
    earlier = _of_cell.get(cell)
    _of_cell[cell] = panel
    if earlier is not None and not earlier._is_closed:
        earlier.close()
        shown = [other.lab for other in _of_cell.values() if not other._is_closed]
        if not any(lab is earlier.lab for lab in shown):
            earlier.lab.close()


def _cell_id() -> str | None:
    """Return which cell of a notebook is running; None if that is unknown."""
    try:
        from IPython import get_ipython
    except ModuleNotFoundError:
        return None
    shell = get_ipython()
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell = parent.get("metadata", {}).get("cellId")
    return str(cell) if cell else None


@atexit.register
def _close_all() -> None:
    """Stop the panels' threads before the interpreter takes away what they use."""
    for panel in list(_of_cell.values()):
        panel._is_closed = True
        panel._clicked.put(None)
