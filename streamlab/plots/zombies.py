"""A zombie: a consumer that stood still, wakes, and acknowledges what another one owns by now."""

from __future__ import annotations

import dataclasses
import math
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from streamlab.events import ACKED, REJECTED, VOID, Event
from streamlab.plots import captions
from streamlab.plots.episode import Episode, episode_of
from streamlab.plots.recovering import DONE, LanePainter
from streamlab.plots.style import (
    HATCHES,
    INK,
    TROUBLE,
    Chart,
    colour,
    finish,
    ink_on,
    tidy,
    time_axis,
)
from streamlab.run import Run

_OWNER: Final = "owner"


def zombie(*runs: Run) -> Figure:
    """Draw who owned an entry, and who acknowledged it: one run, or several beneath each other.

    Give the same scenario without and with fencing. A lane for each consumer that had the entry; in the
    lowest lane who owned it, as the pending entries list says. An acknowledgement by somebody else is
    marked ✕ if the server granted it, and ◇ if it came to nothing.

    Raises
    ------
    ValueError
        If there is no run, or in one of them every acknowledgement was the owner's.
    """
    if not runs:
        raise ValueError("zombie() draws runs: give at least one")
    episodes = [_episode(run) for run in runs]
    start, end = min(e.start for e in episodes), max(e.end for e in episodes)
    end += 0.12 * (end - start)  # room for what is said of the last acknowledgement
    heights = [0.85 * (len(e.lanes) + 1) + 0.9 for e in episodes]
    chart = Chart(11, sum(heights) + 0.7)
    grid = chart.add_gridspec(len(runs), 1, height_ratios=heights, hspace=0.08)
    ax: Axes | None = None
    for i, (run, found) in enumerate(zip(runs, episodes, strict=True)):
        episode = dataclasses.replace(found, start=start, end=end)
        ax = chart.add_subplot(grid[i], sharex=ax)
        _ZombiePainter(ax, run, episode).draw()
        finish(
            ax, captions.zombie_title(run, episode), captions.zombie_alt(run, episode), large=True
        )
        if i + 1 < len(runs):
            ax.tick_params(axis="x", labelbottom=False)
    assert ax is not None
    time_axis(ax, start, end, "time since the start of the run")
    ax.xaxis.label.set_fontsize(11)
    return chart


def _episode(run: Run) -> Episode:
    """Return the story of the first entry that a consumer acknowledged without owning it."""
    strange = [ack.id for ack in run.recovery.zombie_acks if ack.owner]
    strange += [event.id for event in run.events if event.kind == REJECTED]
    strange += [event.id for event in run.events if event.kind == VOID]
    episode = episode_of(run, strange[0]) if strange else None
    if episode is None:
        raise ValueError(
            f"no zombie in {run!r}: every acknowledgement was the owner's. Pause a consumer in the middle of "
            "an entry for longer than min-idle"
        )
    had_it = {stint.consumer for stint in episode.stints}
    lanes = tuple(name for name in run.consumers if name in had_it)
    return dataclasses.replace(episode, lanes=lanes, rows={episode.entry: 0})


class _ZombiePainter(LanePainter):
    """Draws the lanes of those who had the entry, what became of each XACK, and who owned it."""

    def draw(self) -> None:
        tidy(self.ax)
        self.ax.spines["left"].set_visible(False)
        self._axes(self.middle | {_OWNER: self.dead_y})
        self._absences()
        self._bars()
        self._way()
        self._acks()
        self._owners()

    def _acks(self) -> None:
        granted = {(ack.at, ack.consumer): ack.owner for ack in self.run.recovery.zombie_acks}
        for event in self.episode.ends:
            if event.actor not in self.middle:
                continue
            owner = granted.get((event.at, event.actor))
            if event.kind == ACKED:
                if owner is None:
                    self._mark(event, "o", DONE, "XACK → 1: done", filled=True)
                else:
                    self._mark(
                        event,
                        "X",
                        TROUBLE,
                        f"XACK → 1, and {owner or 'nobody'} owns it!",
                        filled=True,
                    )
            elif event.kind == VOID:
                self._mark(event, "D", TROUBLE, "XACK → 0: not pending", filled=False)
            elif event.kind == REJECTED:
                self._mark(event, "D", DONE, "refused: not its own", filled=False)

    def _mark(self, event: Event, marker: str, ink: str, words: str, *, filled: bool) -> None:
        y = self.middle[event.actor]
        self.ax.plot(
            event.at, y, marker=marker, markersize=17 if marker == "X" else 13, linestyle="none",
            color=ink if filled else "white", markeredgecolor="white" if filled else ink,
            markeredgewidth=1.5 if filled else 3, zorder=11.5, label=f"_{event.kind}",
        )  # fmt: skip
        self._words(words, event.at, y - 0.36, 6, 0, ink=ink, bold=True)

    def _owners(self) -> None:
        """Draw whose the entry was, as the pending entries list says."""
        episode = self.episode
        names = list(self.run.consumers)
        at = episode.start
        for stint in episode.stints:
            over = episode.end if math.isnan(stint.over) else min(stint.over, episode.end)
            number = names.index(stint.consumer)
            self._owned(stint.delivered, over, colour(number), stint.consumer, HATCHES[number % 2])
            at = over
        if at < episode.end:
            self._owned(at, episode.end, "white", "nobody", "")

    def _owned(self, start: float, end: float, fill: str, words: str, hatch: str) -> None:
        self.ax.add_patch(
            Rectangle(
                (start, self.dead_y - 0.27), end - start, 0.54, facecolor=fill, edgecolor="white" if hatch else INK,
                hatch=hatch, linewidth=1.0, zorder=2, label=f"_owned {words}",
            )
        )  # fmt: skip
        self.ax.annotate(
            words, ((start + end) / 2, self.dead_y), ha="center", va="center", fontsize=11, zorder=3,
            fontweight="bold", color=ink_on(fill) if fill != "white" else INK, annotation_clip=True,
            bbox={"facecolor": fill, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
