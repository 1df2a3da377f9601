"""`Pacer`: a thread that lets virtual time pass at a pace, while a learner looks on and interferes."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable

#: Seconds between two looks at the clock, and how long one look may let the simulation run: whoever else
#: wants to use it waits no longer than that.
_LOOK_EVERY = 0.02
_LONGEST_LOOK = 0.02
#: Seconds of lagging behind that are forgiven; more is not made up for.
_MOST_BEHIND = 0.2


class Pacer:
    """Lets virtual time pass, at `speed` times the wall's, in a thread of its own.

    Parameters
    ----------
    advance
        ``advance(until, deadline)`` runs the simulation up to a virtual time, or until the wall's clock
        (``time.perf_counter``) shows the deadline; it returns the time reached, None at the end.
    """

    def __init__(self, advance: Callable[[float, float], float | None], now: float, speed: float):
        self.speed = speed
        self._stop = threading.Event()
        # Only weakly: a lab that nobody has any more shall not be kept by its own clock.
        self._advance = weakref.WeakMethod(advance)
        self._thread = threading.Thread(target=self._pass, args=(now,), name="streamlab-pacer", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether time passes."""
        return self._thread.is_alive() and not self._stop.is_set()

    def stop(self) -> None:
        """Stop the clock."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _pass(self, now: float) -> None:
        last = time.perf_counter()
        due = now
        while not self._stop.wait(_LOOK_EVERY):
            wall = time.perf_counter()
            due += min(wall - last, _MOST_BEHIND) * self.speed
            last = wall
            advance = self._advance()
            if advance is None:
                return
            reached = advance(due, wall + _LONGEST_LOOK)
            if reached is None:
                return
            # What could not be simulated in time is not made up for: it then goes as fast as it can.
            due = max(due - max(due - reached - _MOST_BEHIND * self.speed, 0.0), reached)
            del advance
