"""One entry's life through a failure: delivered, stranded, claimed, done; and the pending entries beneath."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from streamlab.actors.events import CRASHED, REJECTED, TRIMMED, VOID
from streamlab.results.deliveries import Delivery
from streamlab.results.recovery import LostWorker
from streamlab.results.run import Run
from streamlab.views.plots import style
from streamlab.views.plots.deliveries import Absence, all_orphaned
from streamlab.views.plots.entry import DONE, REST, WORK, EntryPainter
from streamlab.views.plots.episode import Episode, episode_of
from streamlab.views.plots.picture import Chart
from streamlab.views.plots.style import FAINT, INK, OTHERS, TROUBLE, mark
from streamlab.views.plots.words import entries_text, listed, takeover, time_text

_DEAD_LETTERS: Final = "dead letters"


def recovery(run: Run, entry: str | None = None) -> Figure:
    """Draw how an entry came through a failure: a lane per consumer, and what was pending beneath.

    A thick line follows the entry from lane to lane: delivered; its consumer dies (✕) or is paused
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
        ax = style.axes_for(None, 11, 3)
        words, alt = "no worker was lost, and no entry was given twice", "A run in which nothing was lost: empty."
        return style.empty(ax, words, "Nothing had to be recovered", alt)
    dead_letters = "" if math.isnan(episode.dead_lettered) else _DEAD_LETTERS
    n_lanes = len(episode.lanes) + bool(dead_letters)
    heights = [(0.75 if len(episode.rows) == 1 else 1.0) * n_lanes + 0.5, 1.7]
    chart = Chart(11, sum(heights) + 1.5)
    grid = chart.add_gridspec(2, 1, height_ratios=heights, hspace=0.04)
    above = chart.add_subplot(grid[0])
    below = chart.add_subplot(grid[1], sharex=above)
    _Painter(above, run, episode, dead_letters).draw()
    _draw_pending(below, run, episode)
    above.tick_params(axis="x", labelbottom=False, length=0)
    style.time_axis(below, episode.start, episode.end, "time since the start of the run")
    below.tick_params(labelsize=10.5)
    below.xaxis.label.set_fontsize(11)
    style.legend_below(below, _key(episode))
    return style.finish(above, _title(episode), _alt(run, episode), large=True)


class _Painter(EntryPainter):
    """Draws the way of an entry, what became of it, and how long it had to lie there."""

    def draw(self) -> None:
        super().draw()
        if self.lowest:
            self._dead_letter()
        else:
            self._end()
        self._min_idle()

    def _dead_letter(self) -> None:
        last, aside = self.episode.deliveries[-1], 0.013 * (self.end - self.start)
        at, y = self.episode.dead_lettered, self.y(last.consumer)
        if at - last.delivered < aside:  # in the simulation, in no time
            at = last.delivered + aside
            self.line([last.delivered, at], [y, y])
        self.arrow(at, y, self.lowest_y)
        mark(self.ax, at, self.lowest_y, "s", 13, TROUBLE, "_dead letter", depth=11)
        words = f"delivery {last.delivery_count}: one too many, given up"
        self.words(words, at, self.lowest_y, -14, ha="right", bold=True)

    def _end(self) -> None:
        """Mark when the entry was done, and who did it once more after that."""
        episode = self.episode
        last, settled = episode.deliveries[-1].consumer, episode.settled
        if math.isnan(settled):
            y = self.y(last)
            self.words("still pending", self.end, y, -40, ha="right", ink=TROUBLE, bold=True, boxed=True)
            return
        end = next((event for event in reversed(episode.ends) if event.at == settled), None)
        if end is not None and end.kind == TRIMMED:
            self.words("gone from the stream", settled, self.y(last), 10, bold=True)
            return
        y = self.y(end.actor if end is not None and end.actor in self.lanes else last)
        mark(self.ax, settled, y, "o", 13, DONE, "_done", width=1.5, depth=11)
        self.words("done", settled, y, 11, ink=DONE, bold=True)
        for event in episode.ends:
            if event.kind in (VOID, REJECTED) and event.actor in self.lanes:
                y = self.y(event.actor)
                taken = next(d.over for d in episode.deliveries if d.consumer == event.actor)
                look = {"color": TROUBLE, "linewidth": 3, "linestyle": ":", "zorder": 8, "label": "_zombie"}
                self.ax.plot([taken, event.at], [y, y], **look)  # type: ignore[arg-type]
                mark(self.ax, event.at, y, "D", 11, TROUBLE, "_again", depth=11)
                what = "refused" if event.kind == REJECTED else "in vain"
                self.words(f"does it again,\nacks it {what}", event.at, y, 11, ink=TROUBLE, bold=True)

    def _min_idle(self) -> None:
        """Draw how long an entry must lie there before it may be claimed: from its delivery on."""
        recovery, given = self.run.scenario.recovery, self.episode.deliveries
        before = next((before for before, after in itertools.pairwise(given) if after.claimed), None)
        # A heartbeat, of which no event tells, sets the idle time back.
        if before is None or recovery.heartbeat is not None:
            return
        start, end = before.delivered, before.delivered + recovery.min_idle
        y = self.lanes[before.consumer].middle + len(self.episode.rows) * self.row_height * 0.5 + 0.1
        x, bracket = [start, start, end, end], [y - 0.06, y, y, y - 0.06]
        self.ax.plot(x, bracket, color=INK, linewidth=1.6, zorder=8, label="_min-idle")
        long = end - start > 0.4 * (self.end - self.start)
        words = f"min-idle {time_text(recovery.min_idle)}{', counted from its delivery' * long}"
        self.words(words, (start + end) / 2, y, 0, -9, ha="center")


def _draw_pending(ax: Axes, run: Run, episode: Episode) -> None:
    """Draw the pending entries over time, and how many of them nobody is working on."""
    style.tidy(ax)
    series = run.series
    at, pending = _cut(series.at, series.pending, episode)
    ax.fill_between(at, pending, step="post", color=OTHERS, linewidth=0, label="_pending")
    ax.step(at, pending, where="post", color=FAINT, linewidth=1.4)
    changes: Counter[float] = Counter()
    for start, end in all_orphaned(run, episode.absences):
        changes[start] += 1
        changes[end] -= 1
    times = sorted(time for time, change in changes.items() if change)
    counts = list(itertools.accumulate((changes[time] for time in times), initial=0))
    times = [0.0, *times]
    at, n_stranded = _cut(times, counts, episode)
    ax.fill_between(
        at, n_stranded, step="post", facecolor="white", edgecolor=TROUBLE, hatch="////",
        linewidth=1.2, label="_stranded",
    )  # fmt: skip
    ax.set_ylim(0, max(*pending, 1) * 1.15)
    style.label_axes(ax, y="pending\nentries", size=12)
    style.counts_up(ax, 4)


def _cut(at: list[float], values: list[int], episode: Episode) -> tuple[list[float], list[int]]:
    """Return the part of a step curve that lies in the window."""
    inside = [i for i, time in enumerate(at) if episode.start < time < episode.end]
    before = (inside[0] if inside else sum(time <= episode.start for time in at)) - 1
    x = [episode.start, *(at[i] for i in inside)]
    y = [values[max(before, 0)], *(values[i] for i in inside)]
    return [*x, episode.end], [*y, y[-1]]


def _key(episode: Episode) -> list[Patch | Line2D]:
    lost_too = [Patch(facecolor=REST, edgecolor=WORK, label="what else it held")] if len(episode.rows) > 1 else []
    return [
        Line2D([], [], color=INK, linewidth=4, label=f"entry {episode.number:,}"),
        Patch(facecolor=WORK, label="being worked on"),
        *lost_too,
        Patch(facecolor="white", edgecolor=TROUBLE, hatch="////", label="pending, nobody is working on it"),
        Patch(facecolor=OTHERS, label="other entries"),
    ]


def _title(episode: Episode) -> str:
    """Say who was lost with what, who took it, and when it was done."""
    lost = episode.lost
    if not math.isnan(episode.dead_lettered):
        killed = [
            delivery.consumer
            for delivery in episode.deliveries
            if any(a.kind == CRASHED and a.start == delivery.left for a in _away(episode, delivery))
        ]
        if killed:
            kills = f"Entry {episode.number:,} kills {listed(dict.fromkeys(killed))}"
            times = f", {len(killed)} times in all" if len(set(killed)) < len(killed) else ""
            return f"{kills}{times}; then it goes to the dead letters, and the others go on"
        return f"Entry {episode.number:,} fails again and again, and goes to the dead letters"
    if lost is None:
        to = listed(dict.fromkeys(delivery.consumer for delivery in episode.deliveries))
        return f"Entry {episode.number:,} is given {len(episode.deliveries)} times, to {to}"
    how = "dies" if lost.kind == CRASHED else "is paused"
    begin = f"{lost.consumer} {how} with {entries_text(len(lost.held))}"
    after = [delivery.consumer for delivery in episode.deliveries if delivery.delivered >= lost.at]
    takers = [consumer for consumer in after if consumer != lost.consumer]
    came_back = lost.kind == CRASHED and bool(after) and not takers
    told = takeover(len(lost.held), takers, came_back=came_back)
    if not after:
        return f"{begin}; {told}" if not lost.recovered else f"{begin}, done already"
    if not lost.recovered:
        return f"{begin}; {told}, and not all is done at the end"
    return f"{begin}; {told}: done {time_text(lost.time)} after the loss{_once_more(episode, lost)}"


def _once_more(episode: Episode, lost: LostWorker) -> str:
    """Say if the entry was processed twice, and by whom."""
    if any(e.kind in (VOID, REJECTED) and e.actor == lost.consumer for e in episode.ends):
        return f", and once more by {lost.consumer} when it wakes"
    if any(delivery.processed <= lost.at for delivery in episode.deliveries):
        return ", for the second time"
    return ""


def _away(episode: Episode, delivery: Delivery) -> Sequence[Absence]:
    return episode.absences.get(delivery.consumer, ())


def _alt(run: Run, episode: Episode) -> str:
    """Return the alternative text of an entry's way through a failure."""
    steps = []
    for i, delivery in enumerate(episode.deliveries):
        verb = "is claimed by" if delivery.claimed else "is delivered again to" if i else "is delivered to"
        steps.append(f"{verb} {delivery.consumer} at {time_text(delivery.delivered)}")
    if not math.isnan(episode.dead_lettered):
        steps.append(f"is moved to the dead letters at {time_text(episode.dead_lettered)}")
    elif math.isnan(episode.settled):
        steps.append("is still pending at the end")
    else:
        steps.append(f"is done at {time_text(episode.settled)}")
    return (
        f"Timeline of a recovery from {time_text(episode.start)} to {time_text(episode.end)}. "
        f"{_title(episode)}. Entry {episode.number:,} {listed(steps, most=8)}. "
        f"Beneath: pending entries, at most {max(run.series.pending):,}."
    )
