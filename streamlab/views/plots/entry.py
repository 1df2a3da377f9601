"""One entry's way from lane to lane: what figures of a recovery and of a zombie have in common."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from streamlab.actors.events import CRASHED, PAUSED
from streamlab.results.deliveries import Delivery
from streamlab.results.run import Run
from streamlab.views.plots.deliveries import orphaned
from streamlab.views.plots.episode import Episode
from streamlab.views.plots.lanes import ORPHAN_LOOK, Box, Lane, LanePainter, corners
from streamlab.views.plots.style import GRID, INK, OTHERS, TROUBLE, mark, note
from streamlab.views.plots.words import time_text

#: The followed entry at work, and done; and at work on what was lost with it.
WORK: Final = "#0072B2"
DONE: Final = "#009E73"
REST: Final = "#7fb2d8"
#: How far from a lane's middle words are written.
ABOVE: Final = 0.37


class EntryPainter(LanePainter):
    """Draws what consumers did, and the way of the entry that is followed; beneath them is one more lane if need be."""

    def __init__(self, ax: Axes, run: Run, episode: Episode, lowest: str = "") -> None:
        n_rows, n_lanes = len(episode.rows), len(episode.lanes)
        # Room above for words, and below for the bracket.
        self.row_height = (0.46 if n_rows == 1 else 0.5) / n_rows
        lanes = {name: Lane(i, 1.0, n_rows, self.row_height) for i, name in enumerate(episode.lanes)}
        super().__init__(ax, lanes, episode.start, episode.end)
        self.run, self.episode, self.lowest = run, episode, lowest
        self.lowest_y = n_lanes + 0.5

    def draw(self) -> None:
        ticks = {name: lane.middle for name, lane in self.lanes.items()}
        if self.lowest:
            ticks[self.lowest] = self.lowest_y
        self.axes(ticks, len(ticks), -0.12, 13)
        for y in range(len(ticks) + 1):
            self.ax.axhline(y, color=GRID, linewidth=1, zorder=0.4)
        self._absences()
        self._work()
        self._way()

    def y(self, consumer: str, entry_id: str = "") -> float:
        """Return the height of an entry in a lane; of the one that is followed, if none is given."""
        return self.lanes[consumer].y(self.episode.rows[entry_id or self.episode.entry])

    def words(
        self, words: str, at: float, y: float, dx: float = 0.0, dy: float = 0.0, *, ha: str = "left",
        ink: str = INK, bold: bool = False, boxed: bool = False,
    ) -> None:  # fmt: skip
        """Write words that can be read over whatever is drawn."""
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5} if boxed else None
        note(
            self.ax, words, (at, y), (dx, dy), 11.0, ha=ha, va="center", color=ink, zorder=12, annotation_clip=False,
            fontweight="bold" if bold else "normal", bbox=box,
            path_effects=[] if boxed else [withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip

    def line(self, x: list[float], y: list[float]) -> None:
        """Draw a piece of the thick line."""
        stroke = [withStroke(linewidth=7, foreground="white")]
        self.ax.plot(
            x, y, color=INK, linewidth=4, solid_capstyle="butt", zorder=9, label="_way", path_effects=stroke
        )  # fmt: skip

    def arrow(self, at: float, y_from: float, y_to: float) -> None:
        """Draw how the line goes over into another lane."""
        self.line([at, at], [y_from, y_to])
        up = y_to < y_from
        mark(self.ax, at, y_to + (0.1 if up else -0.1), "^" if up else "v", 14, INK, "_claim", depth=10)

    def _absences(self) -> None:
        for name, away in self.away({name: self.episode.absences.get(name, ()) for name in self.lanes}):
            y = self.lanes[name].middle
            if away.kind == PAUSED:
                self.band(name, away, zorder=0.5)
                shown = max(away.start, self.start), min(away.end, self.end)
                self.words("paused", sum(shown) / 2, y - ABOVE, ha="center")
            else:
                self.band(name, away, zorder=0.5, facecolor="#ececec")
                self.cross(name, away.start, y, 19, width=1.5, depth=11)

    def _work(self) -> None:
        """Draw who is working on what: faintly what has nothing to do with the loss."""
        rows, high = self.episode.rows, self.row_height * 0.94
        boxes: dict[str, list[Box]] = {name: [] for name in ("others", "stranded", "lost too", "work")}
        for delivery in self.run.ledger.deliveries:
            consumer, entry_id = delivery.consumer, delivery.id
            if consumer not in self.lanes:
                continue
            if entry_id not in rows:
                middle = self.lanes[consumer].middle
                boxes["others"] += [corners(start, end, middle, 0.3) for start, end in self._worked(delivery)]
                continue
            y, kind = self.y(consumer, entry_id), "work" if entry_id == self.episode.entry else "lost too"
            boxes[kind] += [corners(start, end, y, high) for start, end in self._worked(delivery)]
            boxes["stranded"] += [corners(start, end, y, high) for start, end in self._idle(delivery)]
        looks: dict[str, tuple[float, dict[str, Any]]] = {
            "others": (1.0, {"facecolors": OTHERS, "edgecolors": "white", "linewidths": 0.4}),
            "stranded": (1.4, {"linewidths": 1.2, **ORPHAN_LOOK}),
            "lost too": (2.0, {"facecolors": REST, "edgecolors": WORK, "linewidths": 0.6}),
            "work": (2.2, {"facecolors": WORK, "edgecolors": WORK, "linewidths": 1.0}),
        }
        for label, (depth, look) in looks.items():
            self.bars(label, boxes[label], depth, **look)

    def _worked(self, delivery: Delivery) -> Iterator[tuple[float, float]]:
        """Yield from when to when a consumer worked on an entry, within the window and but for its pauses."""
        left = self.end if math.isnan(delivery.left) else delivery.left
        if not (delivery.begun < self.end and left > self.start):
            return
        at, end = max(delivery.begun, self.start), min(left, self.end)
        for paused, resumed in self.run.ledger.pauses.get(delivery.consumer, ()):
            if at <= paused < end:
                yield at, paused
                at = min(resumed, end)
        yield at, end

    def _idle(self, delivery: Delivery) -> list[tuple[float, float]]:
        """Return from when to when an entry was orphaned in a consumer's hands, within the window."""
        idle = orphaned(delivery, self.episode.absences.get(delivery.consumer, ()))
        return [] if idle is None or idle[0] >= self.end else [(idle[0], min(idle[1], self.end))]

    def over(self, delivery: Delivery) -> float:
        """Return when an entry was no longer pending for a consumer, at the latest the end of the window."""
        return self.end if math.isnan(delivery.over) else min(delivery.over, self.end)

    def _way(self) -> None:
        """Draw the thick line, and its stations."""
        given = self.episode.deliveries
        for delivery, following in zip(given, (*given[1:], None), strict=True):
            y = self.y(delivery.consumer)
            until = self._until(delivery) if following is None else following.delivered
            if until >= self.start:
                self.line([max(delivery.delivered, self.start), until], [y, y])
            if following is not None and following.consumer != delivery.consumer:
                self.arrow(following.delivered, y, self.y(following.consumer))
        first = given[0]
        if first.delivered >= self.start:
            at, y = first.delivered, self.y(first.consumer)
            mark(self.ax, at, y, "o", 10, "white", "_delivered", edge=INK, width=2.5, depth=10.5)
            above = self.lanes[first.consumer].middle - ABOVE
            self.words(f"entry {self.episode.number:,} delivered", at, above, 3, ha="right")
        for name, lane in self.lanes.items():
            for away in self.episode.absences.get(name, ()):
                if away.kind == CRASHED and self.start <= away.start <= self.end:
                    self.words(f"{name} dies", away.start, lane.middle - ABOVE, 9, ink=TROUBLE, bold=True)
        for before, delivery in itertools.pairwise(given):
            self._handover(before, delivery)

    def _until(self, delivery: Delivery) -> float:
        """Return to where the line goes in its last lane."""
        return max((at for at in (delivery.processed, delivery.over) if not math.isnan(at)), default=self.end)

    def _handover(self, before: Delivery, delivery: Delivery) -> None:
        """Write beside a claim who took the entry, and how long it had lain there."""
        for start, end in self._idle(before):
            if end - start > 0.25 * (self.end - self.start):
                words, at = f"nobody is working on it for {time_text(end - start)}", (start + end) / 2
                self.words(words, at, self.y(before.consumer), ha="center", ink=TROUBLE, bold=True, boxed=True)
        same = delivery.consumer == before.consumer
        does = "claims it" if delivery.claimed else "is back" if same else "is given it again"
        lane, target = self.lanes[before.consumer].middle, self.lanes[delivery.consumer].middle
        if same:
            y = lane - ABOVE
        elif abs(target - lane) < 1.5:
            y = lane + math.copysign(ABOVE, target - lane)
        else:
            y = (lane + target) / 2
        # The way to the dead letters goes down on the right.
        left = delivery is self.episode.deliveries[-1] and not math.isnan(self.episode.dead_lettered)
        dx, ha = (-10, "right") if left else (10, "left")
        self.words(f"{delivery.consumer} {does}", delivery.delivered, y, dx, ha=ha, bold=True)
