"""`Book`: one group's ledger as a run goes on, and how it stood of late."""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple

from streamlab.results.deliveries import Delivery
from streamlab.results.ledger import Ledger
from streamlab.scenario import Scenario

_N_BARS: Final = 240
#: Points of a curve, and how many of them a rate is an average of.
N_POINTS: Final = 120
SPAN: Final = N_POINTS // 8


class Point(NamedTuple):
    """How a group stood at a time: entries in the backlog, pending, added, and processed at least once."""

    at: float
    backlog: int
    pending: int
    n_added: int
    n_processed: int


class Book:
    """What is known of one group; `window` is how many seconds its curve looks back."""

    def __init__(self, scenario: Scenario, window: float) -> None:
        self.ledger = Ledger(scenario)  #: what the events come to so far
        self.points: deque[Point] = deque(maxlen=N_POINTS + 20)  #: how it stood, on a grid of times
        self.window = window
        self._every = window / N_POINTS
        self._next_point = 0.0

    @property
    def bars(self) -> list[Delivery]:
        """The last deliveries."""
        return self.ledger.deliveries[-_N_BARS:]

    def rates(self, now: float) -> tuple[float, float]:
        """Return how many entries were added, and how many processed for the first time, per second of late."""
        back = now - self.window * SPAN / N_POINTS
        then = next((point for point in self.points if point.at >= back), None)
        if then is None or now <= then.at:
            return 0.0, 0.0
        seconds = now - then.at
        n_added, n_processed = len(self.ledger.added), len(self.ledger.processed)
        return (n_added - then.n_added) / seconds, (n_processed - then.n_processed) / seconds

    def pass_time(self, at: float) -> None:
        """Note how it stands at the points of the grid up to a time."""
        if at - self._next_point > 2 * self.window:  # a long silence: only its end will be looked at
            self._next_point += math.floor((at - self.window - self._next_point) / self._every) * self._every
        while self._next_point < at:
            ledger = self.ledger
            counts = ledger.backlog.size, len(ledger.pending), len(ledger.added), len(ledger.processed)
            self.points.append(Point(self._next_point, *counts))
            self._next_point += self._every
