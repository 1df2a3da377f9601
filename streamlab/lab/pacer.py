"""`Pacer`: lets virtual time pass at a pace, while a learner looks on and interferes."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable

from streamlab.servers import in_browser

#: Seconds between two looks at the clock, and how long one look may let the simulation run: whoever else
#: wants to use it waits no longer than that.
_LOOK_EVERY = 0.02
_LONGEST_LOOK = 0.02
#: Seconds of lagging behind that are forgiven; more is not made up for.
_MOST_BEHIND = 0.2


class Pacer:
    """Lets virtual time pass, at `speed` times the wall's: in a thread of its own or, in a browser, on the loop.

    Parameters
    ----------
    advance
        ``advance(until, deadline)`` runs the simulation up to a virtual time, or until the wall's clock
        (``time.perf_counter``) shows the deadline; it returns the time reached, None at the end.
    """

    def __init__(self, advance: Callable[[float, float], float | None], now: float, speed: float):
        self.speed = speed
        self._stop = threading.Event()
        self._has_ended = False
        # Only weakly: a lab that nobody has any more shall not be kept by its own clock.
        self._advance = weakref.WeakMethod(advance)
        self._last = time.perf_counter()
        self._due = now
        self._thread: threading.Thread | None = None
        if in_browser.IN_BROWSER:
            asyncio.get_running_loop().call_later(_LOOK_EVERY, self._look_on_loop)
        else:
            self._thread = threading.Thread(target=self._pass, name="streamlab-pacer", daemon=True)
            self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether time passes."""
        return not (self._has_ended or self._stop.is_set())

    def stop(self) -> None:
        """Stop the clock."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _pass(self) -> None:
        while not self._stop.wait(_LOOK_EVERY):
            if not self._look():
                return

    def _look_on_loop(self) -> None:
        if not self._stop.is_set() and self._look():
            asyncio.get_running_loop().call_later(_LOOK_EVERY, self._look_on_loop)

    def _look(self) -> bool:
        """Let as much time pass as is due; return False at the end."""
        wall = time.perf_counter()
        self._due += min(wall - self._last, _MOST_BEHIND) * self.speed
        self._last = wall
        advance = self._advance()
        reached = None if advance is None else advance(self._due, wall + _LONGEST_LOOK)
        if reached is None:
            self._has_ended = True
            return False
        # What could not be simulated in time is not made up for: it then goes as fast as it can.
        self._due = max(self._due - max(self._due - reached - _MOST_BEHIND * self.speed, 0.0), reached)
        return True
