"""The pending entries list beneath a recovery: its size, and how much of it nobody is working on."""

from __future__ import annotations

import itertools
from collections import Counter

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from streamlab.plots.episode import Episode, stranded
from streamlab.plots.style import FAINT, GRID, INK, OTHERS, TROUBLE, tidy
from streamlab.run import Run


def draw_pending(ax: Axes, run: Run, episode: Episode) -> None:
    """Draw the pending entries over time, and how many of them nobody is working on."""
    tidy(ax)
    series = run.series
    at, pending = _cut(series.at, series.pending, episode)
    ax.fill_between(at, pending, step="post", color=OTHERS, linewidth=0, label="_pending")
    ax.step(at, pending, where="post", color=FAINT, linewidth=1.4)
    changes: Counter[float] = Counter()
    for start, end in stranded(run, episode.absences):
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
    ax.set_ylabel("pending\nentries", fontsize=12, color=INK)
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.grid(axis="y", color=GRID, linewidth=0.8)


def _cut(at: list[float], values: list[int], episode: Episode) -> tuple[list[float], list[int]]:
    """Return the part of a step curve that lies in the window."""
    inside = [i for i, time in enumerate(at) if episode.start < time < episode.end]
    before = (inside[0] if inside else sum(time <= episode.start for time in at)) - 1
    x = [episode.start, *(at[i] for i in inside)]
    y = [values[max(before, 0)], *(values[i] for i in inside)]
    return [*x, episode.end], [*y, y[-1]]
