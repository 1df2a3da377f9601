"""Lanes across a time axis, one for each consumer: the one painter of them, whatever the figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Rectangle

from streamlab.actors.events import CRASHED, PAUSED
from streamlab.views.plots.deliveries import Absence
from streamlab.views.plots.style import TROUBLE, mark, tidy

AWAY: Final = "#d0d0d0"
#: What is pending while nobody is working on it, in every figure.
ORPHAN_LOOK: Final = {"facecolors": "white", "edgecolors": TROUBLE, "hatch": "////"}
#: A bar's corners: left bottom, left top, right top, right bottom.
Box = list[tuple[float, float]]


def corners(start: float, end: float, y: float, height: float) -> Box:
    """Return the corners of a bar around `y`."""
    low, high = y - height / 2, y + height / 2
    return [(start, low), (start, high), (end, high), (end, low)]


class Lane(NamedTuple):
    """Where a lane lies, and the rows around its middle."""

    top: float
    height: float
    n_rows: int
    row_height: float

    @property
    def middle(self) -> float:
        return self.top + self.height / 2

    def y(self, row: int) -> float:
        """Return the middle of a row, counted from 0."""
        return self.middle + (row - (self.n_rows - 1) / 2) * self.row_height


class LanePainter:
    """Draws lanes from `start` to `end`: who was away, and bars. What else there is, a figure adds itself."""

    def __init__(self, ax: Axes, lanes: Mapping[str, Lane], start: float, end: float) -> None:
        self.ax, self.lanes, self.start, self.end = ax, lanes, start, end

    def axes(self, ticks: Mapping[str, float], bottom: float, top: float, size: float) -> None:
        """Name what lies at which height, from `top` down to `bottom`."""
        tidy(self.ax)
        self.ax.spines["left"].set_visible(False)
        self.ax.set_ylim(bottom, top)
        self.ax.set_yticks(list(ticks.values()), list(ticks), fontsize=size)
        self.ax.tick_params(axis="y", length=0)

    def away(self, absences: Mapping[str, Iterable[Absence]]) -> list[tuple[str, Absence]]:
        """Return who crashed or was paused in the window, in the order given."""
        return [
            (name, away)
            for name, list_of in absences.items()
            for away in list_of
            if away.kind in (CRASHED, PAUSED) and away.start < self.end and away.end > self.start
        ]

    def band(self, name: str, away: Absence, **look: Any) -> None:
        """Draw a band over the whole lane for as long as its consumer is away."""
        lane, end = self.lanes[name], min(away.end, self.end)
        default: dict[str, Any] = {"facecolor": AWAY, "linewidth": 0, "label": f"_{away.kind} {name}"}
        self.ax.add_patch(Rectangle((away.start, lane.top), end - away.start, lane.height, **default | look))

    def cross(self, name: str, at: float, y: float, size: float, **look: Any) -> None:
        """Mark a crash, if it is in the window."""
        if self.start <= at <= self.end:
            mark(self.ax, at, y, "X", size, TROUBLE, f"_crash {name}", **look)

    def bars(self, label: str, boxes: list[Box], depth: float, **look: Any) -> None:
        """Draw bars that look the same."""
        if boxes:
            self.ax.add_collection(PolyCollection(boxes, label=f"_{label}", zorder=depth, **look))
