"""One entry's life through a failure: delivered, stranded, claimed, done; and the pending entries beneath."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Final

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from streamlab.events import CRASHED, PAUSED, REJECTED, TRIMMED, VOID
from streamlab.metrics import Stint
from streamlab.plots import captions
from streamlab.plots.episode import Episode, episode_of
from streamlab.plots.looks import AWAY, Box, corners
from streamlab.plots.pending import draw_pending
from streamlab.plots.style import (
    GRID,
    INK,
    OTHERS,
    TROUBLE,
    Chart,
    finish,
    legend_below,
    say_nothing_happened,
    tidy,
    time_axis,
    time_text,
)
from streamlab.run import Run

#: The followed entry at work, and done.
WORK: Final = "#0072B2"
DONE: Final = "#009E73"
_DEAD_LETTERS: Final = "dead letters"
_SIZE: Final = 11.0


def recovery(run: Run, entry: str | None = None) -> Figure:
    """Draw how an entry came through a failure: a lane per consumer, and what was pending beneath.

    A thick line follows the entry from lane to lane: delivered; its consumer dies (✕) or stands still
    (grey); it is pending and nobody is working on it (hatched), until it has been idle for min-idle (the
    bracket) and a consumer claims it (the arrow); done (●), or moved to the dead letters (■).

    Parameters
    ----------
    entry
        The id of the entry to follow. By default one that was given up in the end if there is one, or else
        the one that the first lost worker's recovery took longest for.

    Raises
    ------
    ValueError
        If nobody was ever given the entry.
    """
    episode = episode_of(run, entry)
    if episode is None:
        chart = Chart(11, 3)
        ax = chart.add_subplot()
        tidy(ax)
        say_nothing_happened(ax, "no worker was lost, and no entry was given twice")
        return finish(ax, "Nothing had to be recovered", "A run in which nothing was lost: empty.")
    n_lanes = len(episode.lanes) + (not math.isnan(episode.dead_lettered))
    heights = [(0.75 if len(episode.rows) == 1 else 1.0) * n_lanes + 0.5, 1.7]
    chart = Chart(11, sum(heights) + 1.5)
    grid = chart.add_gridspec(2, 1, height_ratios=heights, hspace=0.04)
    above = chart.add_subplot(grid[0])
    below = chart.add_subplot(grid[1], sharex=above)
    LanePainter(above, run, episode).draw()
    draw_pending(below, run, episode)
    above.tick_params(axis="x", labelbottom=False, length=0)
    time_axis(below, episode.start, episode.end, "time since the start of the run")
    below.tick_params(labelsize=10.5)
    below.xaxis.label.set_fontsize(11)
    legend_below(below, _key(episode))
    title, alt = captions.recovery_title(episode), captions.recovery_alt(run, episode)
    return finish(above, title, alt, large=True)


class LanePainter:
    """Draws the lanes of an episode: what consumers did, and the way of the entry that is followed."""

    def __init__(self, ax: Axes, run: Run, episode: Episode) -> None:
        self.ax, self.run, self.episode = ax, run, episode
        self.middle = {name: i + 0.5 for i, name in enumerate(episode.lanes)}
        self.dead_y = len(episode.lanes) + 0.5
        n_rows = len(episode.rows)
        # Room above for words, and below for the bracket.
        self.row_height = (0.46 if n_rows == 1 else 0.5) / n_rows

    def draw(self) -> None:
        ax, episode = self.ax, self.episode
        tidy(ax)
        ax.spines["left"].set_visible(False)
        has_dead = not math.isnan(episode.dead_lettered)
        ticks = self.middle | ({_DEAD_LETTERS: self.dead_y} if has_dead else {})
        self._axes(ticks)
        self._absences()
        self._bars()
        self._way()
        self._end()
        self._min_idle()

    def _axes(self, ticks: dict[str, float]) -> None:
        ax = self.ax
        ax.set_yticks(list(ticks.values()), list(ticks), fontsize=13)
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(len(ticks), -0.12)
        for y in range(len(ticks) + 1):
            ax.axhline(y, color=GRID, linewidth=1, zorder=0.4)

    def _y(self, consumer: str, entry_id: str) -> float:
        rows = self.episode.rows
        return self.middle[consumer] + (rows[entry_id] - (len(rows) - 1) / 2) * self.row_height

    def _words(
        self, words: str, at: float, y: float, dx: float, dy: float, *, ha: str = "left",
        ink: str = INK, bold: bool = False, boxed: bool = False,
    ) -> None:  # fmt: skip
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5} if boxed else None
        self.ax.annotate(
            words,
            (at, y),
            (dx, dy),
            textcoords="offset points",
            ha=ha,
            va="center",
            fontsize=_SIZE,
            color=ink,
            fontweight="bold" if bold else "normal",
            zorder=12,
            annotation_clip=False,
            bbox=box,
            path_effects=[] if boxed else [withStroke(linewidth=3, foreground="white")],
        )

    # ---- consumers -----------------------------------------------------------------------------

    def _absences(self) -> None:
        episode = self.episode
        for name, y in self.middle.items():
            for away in episode.absences.get(name, ()):
                if away.kind not in (CRASHED, PAUSED) or not _overlaps(
                    away.start, away.end, episode
                ):
                    continue
                start, end = max(away.start, episode.start), min(away.end, episode.end)
                paused = away.kind == PAUSED
                self.ax.add_patch(
                    Rectangle(
                        (start, y - 0.5), end - start, 1.0, linewidth=0, zorder=0.5,
                        facecolor=AWAY if paused else "#ececec", label=f"_{away.kind} {name}",
                    )
                )  # fmt: skip
                if paused:
                    self._words("stands still", (start + end) / 2, y - 0.37, 0, 0, ha="center")
                elif away.start >= episode.start:
                    self.ax.plot(
                        away.start, y, marker="X", markersize=19, color=TROUBLE, linestyle="none",
                        markeredgecolor="white", markeredgewidth=1.5, zorder=11,
                        label=f"_crash {name}",
                    )  # fmt: skip

    def _bars(self) -> None:
        """Draw who is working on what: faintly what has nothing to do with the loss."""
        episode = self.episode
        boxes: dict[str, list[Box]] = {name: [] for name in ("faint", "idle", "rest", "mine")}
        for stint in self.run.lives.stints:
            if stint.consumer not in self.middle:
                continue
            left = episode.end if math.isnan(stint.left) else stint.left
            for start, end in self._worked(stint, left):
                if stint.id not in episode.rows:
                    boxes["faint"].append(corners(start, end, self.middle[stint.consumer], 0.3))
                else:
                    y = self._y(stint.consumer, stint.id)
                    box = corners(start, end, y, self.row_height * 0.94)
                    boxes["mine" if stint.id == episode.entry else "rest"].append(box)
            if stint.id in episode.rows:
                y = self._y(stint.consumer, stint.id)
                boxes["idle"] += [
                    corners(start, end, y, self.row_height * 0.94)
                    for start, end in self._idle(stint)
                ]
        looks = (
            ("others", boxes["faint"], {"facecolors": OTHERS, "edgecolors": "white", "linewidths": 0.4}, 1.0),
            ("stranded", boxes["idle"], {
                "facecolors": "white", "edgecolors": TROUBLE, "linewidths": 1.2, "hatch": "////",
            }, 1.4),
            ("lost too", boxes["rest"], {"facecolors": "#7fb2d8", "edgecolors": WORK, "linewidths": 0.6}, 2.0),
            ("work", boxes["mine"], {"facecolors": WORK, "edgecolors": WORK, "linewidths": 1.0}, 2.2),
        )  # fmt: skip
        for label, corners_of, how, depth in looks:
            if corners_of:
                self.ax.add_collection(
                    PolyCollection(corners_of, label=f"_{label}", zorder=depth, **how)  # type: ignore[arg-type]
                )

    def _worked(self, stint: Stint, left: float) -> Iterator[tuple[float, float]]:
        """Yield from when to when a consumer worked on an entry, within the window and but for its pauses."""
        at, episode = max(stint.begun, self.episode.start), self.episode
        if math.isnan(stint.begun) or not _overlaps(stint.begun, left, episode):
            return
        end = min(left, episode.end)
        for paused, resumed in self.run.lives.pauses.get(stint.consumer, ()):
            if at <= paused < end:
                yield at, paused
                at = min(resumed, end)
        yield at, end

    def _idle(self, stint: Stint) -> list[tuple[float, float]]:
        """Return from when to when an entry lay there in a consumer's hands, within the window."""
        episode = self.episode
        over = episode.end if math.isnan(stint.over) else min(stint.over, episode.end)
        for away in episode.absences.get(stint.consumer, ()):
            if stint.delivered <= away.start < over:
                until = min(away.end, over) if away.kind == PAUSED else over
                return [(away.start, until)]
        failed = not math.isnan(stint.left) and math.isnan(stint.processed)
        return [(stint.left, over)] if failed and stint.left < over else []

    # ---- the entry -----------------------------------------------------------------------------

    def _way(self) -> None:
        """Draw the thick line, and its stations."""
        episode = self.episode
        stints = episode.stints
        for i, stint in enumerate(stints):
            y = self._y(stint.consumer, episode.entry)
            following = stints[i + 1] if i + 1 < len(stints) else None
            until = self._until(stint, following)
            if until >= episode.start:
                self._line([max(stint.delivered, episode.start), until], [y, y])
            if following is not None and following.consumer != stint.consumer:
                self._arrow(following.delivered, y, self._y(following.consumer, episode.entry))
        first, y = stints[0], self._y(stints[0].consumer, episode.entry)
        if first.delivered >= episode.start:
            self.ax.plot(
                first.delivered, y, marker="o", markersize=10, color="white", linestyle="none",
                markeredgecolor=INK, markeredgewidth=2.5, zorder=10.5, label="_delivered",
            )  # fmt: skip
            words = f"entry {episode.number:,} delivered"
            self._words(
                words, first.delivered, self.middle[first.consumer] - 0.37, 3, 0, ha="right"
            )
        self._losses()
        self._handovers()

    def _until(self, stint: Stint, following: Stint | None) -> float:
        """Return to where the line goes in a lane."""
        if following is not None:
            return following.delivered
        times = [stint.processed, stint.over]
        known = [time for time in times if not math.isnan(time)]
        return max(known) if known else self.episode.end

    def _line(self, x: list[float], y: list[float]) -> None:
        self.ax.plot(
            x, y, color=INK, linewidth=4, solid_capstyle="butt", zorder=9, label="_way",
            path_effects=[withStroke(linewidth=7, foreground="white")],
        )  # fmt: skip

    def _arrow(self, at: float, y_from: float, y_to: float) -> None:
        self._line([at, at], [y_from, y_to])
        self.ax.plot(
            at, y_to + (0.1 if y_to < y_from else -0.1), color=INK, linestyle="none", zorder=10,
            marker="^" if y_to < y_from else "v", markersize=14, markeredgecolor="white",
            label="_claim",
        )  # fmt: skip

    def _losses(self) -> None:
        """Write beside each ✕ whom it befell."""
        for name, y in self.middle.items():
            for away in self.episode.absences.get(name, ()):
                if away.kind == CRASHED and self.episode.start <= away.start <= self.episode.end:
                    self._words(f"{name} dies", away.start, y - 0.37, 9, 0, ink=TROUBLE, bold=True)

    def _handovers(self) -> None:
        """Write beside each claim who took the entry, and how long it had lain there."""
        stints = self.episode.stints
        for before, stint in itertools.pairwise(stints):
            y = self._y(before.consumer, self.episode.entry)
            lain = self._idle(before)
            if lain and lain[0][1] - lain[0][0] > 0.25 * (self.episode.end - self.episode.start):
                start, end = lain[0]
                words = f"nobody is working on it for {time_text(end - start)}"
                self._words(
                    words, (start + end) / 2, y, 0, 0, ha="center", ink=TROUBLE, bold=True, boxed=True
                )  # fmt: skip
            if stint.claimed:
                words = f"{stint.consumer} claims it"
            elif stint.consumer == before.consumer:
                words = f"{stint.consumer} is back"
            else:
                words = f"{stint.consumer} is given it again"
            lane, target = self.middle[before.consumer], self.middle[stint.consumer]
            if stint.consumer == before.consumer:
                at = lane - 0.37
            elif abs(target - lane) < 1.5:
                at = lane + math.copysign(0.37, target - lane)
            else:
                at = (lane + target) / 2
            # The way to the dead letters goes down on the right.
            left = stint is stints[-1] and not math.isnan(self.episode.dead_lettered)
            dx, ha = (-10, "right") if left else (10, "left")
            self._words(words, stint.delivered, at, dx, 0, ha=ha, bold=True)

    def _end(self) -> None:
        """Mark what became of the entry."""
        episode = self.episode
        last = episode.stints[-1]
        y = self._y(last.consumer, episode.entry)
        if not math.isnan(episode.dead_lettered):
            at, aside = episode.dead_lettered, 0.013 * (episode.end - episode.start)
            if at - last.delivered < aside:  # in the simulation, in no time
                at = last.delivered + aside
                self._line([last.delivered, at], [y, y])
            self._arrow(at, y, self.dead_y)
            self.ax.plot(
                at, self.dead_y, marker="s", markersize=13, color=TROUBLE, linestyle="none",
                markeredgecolor="white", zorder=11, label="_dead letter",
            )  # fmt: skip
            words = f"delivery {last.delivery_count}: one too many, given up"
            self._words(words, at, self.dead_y, -14, 0, ha="right", bold=True)
            return
        settled = episode.settled
        if math.isnan(settled):
            words = "still pending"
            self._words(
                words, episode.end, y, -40, 0, ha="right", ink=TROUBLE, bold=True, boxed=True
            )
            return
        whose = {event.at: event for event in episode.ends}
        by = whose[settled].actor if settled in whose else last.consumer
        if settled in whose and whose[settled].kind == TRIMMED:
            self._words("gone from the stream", settled, y, 10, 0, bold=True)
            return
        y = self._y(by, episode.entry) if by in self.middle else y
        self.ax.plot(
            settled, y, marker="o", markersize=13, color=DONE, linestyle="none", zorder=11,
            markeredgecolor="white", markeredgewidth=1.5, label="_done",
        )  # fmt: skip
        self._words("done", settled, y, 11, 0, ink=DONE, bold=True)
        for event in episode.ends:
            if event.kind in (VOID, REJECTED) and event.actor in self.middle:
                what = "refused" if event.kind == REJECTED else "in vain"
                y = self._y(event.actor, episode.entry)
                self.ax.plot(
                    [self._taken_from(event.actor), event.at], [y, y], color=TROUBLE, linewidth=3,
                    linestyle=":", zorder=8, label="_zombie",
                )  # fmt: skip
                self.ax.plot(
                    event.at, y, marker="D", markersize=11, color=TROUBLE, linestyle="none",
                    markeredgecolor="white", zorder=11, label="_again",
                )  # fmt: skip
                words = f"does it again,\nacks it {what}"
                self._words(words, event.at, y, 11, 0, ink=TROUBLE, bold=True)

    def _taken_from(self, consumer: str) -> float:
        """Return when the entry was taken from a consumer."""
        return next(stint.over for stint in self.episode.stints if stint.consumer == consumer)

    def _min_idle(self) -> None:
        """Draw how long an entry must lie there before it may be claimed: from its delivery on."""
        recovery, episode = self.run.scenario.recovery, self.episode
        claimed = next((s for s in episode.stints[1:] if s.claimed), None)
        # A heartbeat, of which no event tells, sets the idle time back.
        if claimed is None or recovery.heartbeat is not None:
            return
        before = episode.stints[episode.stints.index(claimed) - 1]
        start, end = before.delivered, before.delivered + recovery.min_idle
        y = self.middle[before.consumer] + len(episode.rows) * self.row_height * 0.5 + 0.1
        self.ax.plot(
            [start, start, end, end], [y - 0.06, y, y, y - 0.06], color=INK, linewidth=1.6,
            zorder=8, label="_min-idle",
        )  # fmt: skip
        words = f"min-idle {time_text(recovery.min_idle)}"
        if end - start > 0.4 * (episode.end - episode.start):
            words += ", counted from its delivery"
        self._words(words, (start + end) / 2, y, 0, -9, ha="center")


def _overlaps(start: float, end: float, episode: Episode) -> bool:
    return start < episode.end and end > episode.start


def _key(episode: Episode) -> list[Patch | Line2D]:
    lost_too = len(episode.rows) > 1
    handles: list[Patch | Line2D] = [
        Line2D([], [], color=INK, linewidth=4, label=f"entry {episode.number:,}"),
        Patch(facecolor=WORK, label="being worked on"),
        Patch(
            facecolor="white", edgecolor=TROUBLE, hatch="////",
            label="pending, nobody is working on it",
        ),
        Patch(facecolor=OTHERS, label="other entries"),
    ]  # fmt: skip
    if lost_too:
        handles.insert(2, Patch(facecolor="#7fb2d8", edgecolor=WORK, label="lost with it"))
    return handles
