"""`Panel`: the control panel of a `Lab`, in a notebook or as a page of its own.

    lab = Lab("kill-and-recover")
    lab.play()
    Panel(lab)

Its view sends an action for what is done to the run, as text (``kill C2``), and a control for what is done to the
clock. The panel has a thread that looks at the lab some times a second, and does in order what was asked for: so
nothing blocks the kernel, whichever of its threads hears of it. In a browser, which has no threads, the kernel's loop
does that between two cells, and while one sleeps.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import queue
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, get_args

import redis.exceptions

try:
    import anywidget
    import traitlets
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the control panel needs anywidget: pip install 'consumer-group-lab[course]'", name=error.name
    ) from None

from streamlab.lab.lab import Lab, LabError
from streamlab.lab.timeline import for_screen
from streamlab.scenario import Scenario, ScenarioError
from streamlab.scenario.action import Action
from streamlab.servers import in_browser
from streamlab.views.panel.buttons import all_buttons
from streamlab.views.panel.so_far import run_so_far
from streamlab.views.playback import Playback
from streamlab.views.shown.esm import bundle
from streamlab.views.shown.state import state_of
from streamlab.views.shown.still import still

_HERE = Path(__file__).parent

#: Seconds between two looks at the lab.
_EVERY: Final = 0.1
#: Seconds without a sign of a view until nobody is taken to be looking: then the panel rests.
_UNSEEN: Final = 60.0

#: What is done to the clock rather than to the run.
Control = Literal["play", "freeze", "step", "go_to", "begin_again", "close"]
CONTROLS: Final[tuple[Control, ...]] = get_args(Control)

#: What the panel's thread is asked to do. What it returns is looked at only for an empty list: nothing was claimed.
_Request = Callable[[Lab], object]

#: Those that are not closed: as long as one shows a lab, its run stays open.
_open: weakref.WeakSet[Panel] = weakref.WeakSet()
#: The panel that each cell of a notebook shows: running the cell again replaces it.
_of_cell: weakref.WeakValueDictionary[str, Panel] = weakref.WeakValueDictionary()


class Panel(anywidget.AnyWidget):
    """The control panel of a lab, or of a simulation of a scenario: of one, or of the name of one.

    Shown by a cell whose last line it is. `close` ends the panel, ``lab.close()`` the lab. When a cell that made
    a panel is run again, the earlier panel is closed, and its lab too if no panel shows it any more.
    """

    _esm = bundle(_HERE / "view" / "main.mjs")
    _css = _HERE / "view.css"

    state = traitlets.Dict().tag(sync=True)
    buttons = traitlets.List(all_buttons()).tag(sync=True)

    #: Whether there is anything to close: a lab may be refused, and each widget that goes is closed.
    _is_begun = False

    def __init__(self, lab: Lab | Scenario | str) -> None:
        lab = lab if isinstance(lab, Lab) else Lab(lab)  # first: one that is made in half stays among all widgets
        super().__init__()
        self.lab = lab
        self._notice = ""
        self._told = ""
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._last_seen = time.monotonic()
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._thread_lock = threading.Lock()
        self._is_asked = False  # for something that the thread has not begun to show
        self._is_on_loop = False  # instead of in a thread
        self._is_begun = True
        self.on_msg(self._hear)
        _replace_in_cell(self)
        _open.add(self)
        if not lab.is_closed:
            lab.stays_open = True
        self._wake()

    def __repr__(self) -> str:
        return f"<Panel of {self.lab.scenario.name} ({self.lab.engine})>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Return what a notebook shows: the panel, and a still picture for where no kernel runs."""
        bundle: Any = super()._repr_mimebundle_(**options)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        if self.lab.engine == "simulated" and not self.lab.is_closed:
            data["text/html"] = still(state_of(self.lab))
        return bundle

    def do(self, action: str) -> None:
        """Do an action to the run, as a button does: ``panel.do("kill C2")``.

        Return at once. What comes of it is shown; an error becomes the panel's notice.
        """
        self._requests.put(lambda lab: _perform(lab, action))
        self._wake()

    def control(self, name: Control, value: float | None = None) -> None:
        """Do something to the clock, as a button does: ``panel.control("play", 10.0)``. Return at once.

        `value` is the speed for ``"play"``, seconds for ``"go_to"``, a seed for ``"begin_again"``.

        Raises
        ------
        ValueError
            If there is no such control.
        """
        if name not in CONTROLS:
            raise ValueError(f"the panel has no control {name!r}: it has {', '.join(CONTROLS)}")
        self._requests.put(lambda lab: _turn(lab, name, value))
        self._wake()

    def tell(self, entry_id: str) -> None:
        """Show the story of an entry, as a click on its id does; of none, if its id is ""."""
        self._told = entry_id
        self._wake()

    def save_page(self) -> None:
        """Have a page that plays the run so far saved by the browser, as the button does. Return at once."""
        self._requests.put(self._send_page)
        self._wake()

    def close(self) -> None:
        """Close the panel. The lab goes on."""
        if not self._is_begun:
            return
        _open.discard(self)
        if not self._is_closed and not self.lab.is_closed and not any(each.lab is self.lab for each in [*_open]):
            self.lab.stays_open = False
        self._is_closed = True
        self._requests.put(_wake_up)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        super().close()

    # ---- what comes from the view ----------------------------------------------------------------

    def _hear(self, _: Any, message: Any, buffers: Any) -> None:
        """Take a message of the view. The page that it comes from is not trusted: what makes no sense is ignored."""
        match message:
            case {"action": str(action)}:
                self.do(action)
            case {"story": str(entry_id)}:
                self.tell(entry_id)
            case {"save": "page"}:
                self.save_page()
            case {"control": str(name)} if name in CONTROLS:
                self.control(name, message.get("value"))
            case _:  # "look", by which the view tells now and then that somebody looks
                self._wake()

    # ---- the panel's thread ----------------------------------------------------------------------

    def _wake(self) -> None:
        with self._thread_lock:
            self._is_asked, self._last_seen = True, time.monotonic()
            if in_browser.IN_BROWSER:
                if not self._is_closed and not self._is_on_loop:
                    self._is_on_loop = True
                    asyncio.get_running_loop().call_soon(_attend_on_loop, weakref.ref(self))
            elif not self._is_closed and (self._thread is None or not self._thread.is_alive()):
                # Weakly: the thread shall not keep a panel that nobody has any more.
                self._thread = threading.Thread(
                    target=_attend, args=(weakref.ref(self),), name="streamlab-panel", daemon=True
                )
                self._thread.start()

    def _rest_or_paint(self) -> bool:
        """Show how things are; return False if nobody has been looking for long, or the lab is closed."""
        self._is_asked = False
        is_last = self.lab.is_closed and self._requests.empty()  # asked first: that it was closed is shown as well
        if time.monotonic() - self._last_seen > _UNSEEN:
            if self.lab.engine == "simulated":
                self.lab.freeze()
            return False
        self._paint()
        return not is_last

    def _may_end(self) -> bool:
        """Let the thread end, unless something was asked for meanwhile: who asks later starts another."""
        with self._thread_lock:
            if not self._is_asked:
                self._thread = None
            return not self._is_asked

    def _paint(self) -> None:
        try:
            with for_screen():
                state = state_of(self.lab, self._told)
        except (LabError, redis.exceptions.RedisError, RuntimeError) as error:
            is_over = not self.state or isinstance(error, LabError | redis.exceptions.RedisError)
            state = {**self.state, "playing": False, "closed": is_over}  # else a click goes on
            if not self.lab.is_closed:  # which the headline says
                self._notice = self._notice or _one_line(error)
        state["notice"] = self._notice
        self.state = state

    def _send_page(self, lab: Lab) -> None:
        has_ended = lab.finished  # asked first: a run that ends meanwhile would be called whole, and lack its end
        page = Playback(run_so_far(lab), has_ended=has_ended).page()
        self.send({"page": f"{lab.scenario.name}.html"}, buffers=[page.encode()])

    def _obey(self, request: _Request) -> None:
        try:
            before = self.lab.actions
            found = request(self.lab)
            self._notice = _forgotten(before, self.lab) or ("" if found != [] else _nothing_claimed(self.lab))
        except (ScenarioError, RuntimeError, ValueError, TypeError) as error:
            self._notice = _one_line(error)
        except redis.exceptions.RedisError as error:
            self._notice = f"Redis: {_one_line(error)}"


def _attend(reference: weakref.ref[Panel]) -> None:
    """Look after a panel until it or its lab is closed, it is gone, or nobody looks at it."""
    panel = reference()
    while panel is not None:
        if not panel._rest_or_paint() and panel._may_end():
            return
        requests = panel._requests
        del panel
        asked: list[_Request] = []
        with contextlib.suppress(queue.Empty):
            asked.append(requests.get(timeout=_EVERY))
        panel = reference()
        if panel is None or panel._is_closed:
            return
        for request in asked:
            panel._obey(request)


def _attend_on_loop(reference: weakref.ref[Panel]) -> None:
    """Look after a panel once, and again in a moment: what `_attend` does, where there are no threads."""
    panel = reference()
    if panel is None or panel._is_closed:
        return
    while not panel._requests.empty():
        panel._obey(panel._requests.get())
    panel._is_on_loop = panel._rest_or_paint()
    if panel._is_on_loop:
        asyncio.get_running_loop().call_later(_EVERY, _attend_on_loop, reference)


def _wake_up(lab: Lab) -> None:
    """Be something to do for a thread that waits, so that it sees that its panel is closed."""


def _nothing_claimed(lab: Lab) -> str:
    return f"Nothing was claimed: no such entry has been idle for {lab.recovery.min_idle:g} s."


def _forgotten(before: tuple[Action[Any], ...], lab: Lab) -> str:
    """Say what had been done by hand, and is no longer among what will be or has been."""
    kept = lab.actions
    forgotten = [action.in_short() for action in before if action not in kept]
    return f"Forgotten: {', '.join(forgotten)}." if forgotten else ""


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


# ---- what can be asked for --------------------------------------------------------------------------


def _perform(lab: Lab, text: str) -> object:
    """Do an action to the run, written like ``kill C2``; return what came of it: of a claim, the ids."""
    if lab.finished:
        raise LabError(f"the run has ended, and {text!r} would change nothing any more")
    return lab.do(text)


def _turn(lab: Lab, control: Control, value: Any) -> None:
    """Do something to the lab's clock; it refuses a value that makes no sense."""
    match control:
        case "play":
            lab.play(1.0 if value is None else value)
        case "freeze":
            lab.freeze()
        case "step":
            lab.step()
        case "go_to":
            lab.go_to(value)
        case "begin_again":
            lab.begin_again(value)
        case "close":
            lab.close()


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
        panel._requests.put(_wake_up)
