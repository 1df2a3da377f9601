"""Backlog and pending over time: step curves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from streamlab.events import CRASHED, GROUP_DESTROYED, PAUSED, SERVER_DOWN, STREAM_DELETED
from streamlab.plots.style import (
    FAINT,
    GRID,
    INK,
    LINES,
    MARKERS,
    TROUBLE,
    Floats,
    LineStyle,
    Runs,
    axes_for,
    colour,
    entries_text,
    finish,
    legend_below,
    named,
    say_nothing_happened,
    tidy,
    time_axis,
    time_text,
)
from streamlab.run import Run

#: Parts into which the time axis is cut when a curve has more steps than a figure has pixels.
N_PARTS = 360
_BEFALLS = {
    SERVER_DOWN: "server down",
    GROUP_DESTROYED: "group destroyed",
    STREAM_DELETED: "stream deleted",
}


def backlog(runs: Runs, *, ax: Axes | None = None) -> Figure:
    """Draw how many entries waited to be delivered, and how many to be acknowledged, over time.

    *Backlog* is what has been added and not yet delivered (a group's lag), *pending* what has been
    delivered and not yet acknowledged (``XPENDING``). Several runs are drawn over each other, each from
    its own start. Curves of many points are thinned without losing a maximum or a minimum.

    Parameters
    ----------
    runs
        A run, several, or several by the labels they shall have.
    ax
        Axes to draw on; None makes a new figure.
    """
    by_label = named(runs)
    ax = axes_for(ax, 9, 3.6)
    tidy(ax)
    end = max((run.duration for run in by_label.values()), default=0.0)
    time_axis(ax, 0.0, end * 1.02 or 1.0, "time since the start of the run")
    ax.set_ylabel("entries", fontsize=9, color=INK)
    ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    if not any(run.added for run in by_label.values()):
        say_nothing_happened(ax, "no entry was added")
        return finish(
            ax, "No backlog: nothing was added", "Backlog over time: empty, no entry was added."
        )
    for number, (label, run) in enumerate(by_label.items()):
        _draw_backlog(ax, run, number, "" if len(by_label) == 1 else label)
    highest = max(max(run.backlog_max, max(run.series.pending)) for run in by_label.values())
    ax.set_ylim(0, max(highest * 1.22, 1.2))
    if len(by_label) == 1:
        _mark_moments(ax, next(iter(by_label.values())), highest)
    _backlog_legend(ax, by_label)
    return finish(ax, _backlog_title(by_label), _backlog_alt(by_label))


def _draw_backlog(ax: Axes, run: Run, number: int, label: str) -> None:
    # By itself, a run's backlog and pending have a colour each; beside others, the run has one.
    style = LINES[number % len(LINES)]
    main = colour(number)
    at = np.array([*run.series.at, run.duration])
    waiting = np.array([*run.series.backlog, run.series.backlog[-1]], dtype=np.float64)
    held = np.array([*run.series.pending, run.series.pending[-1]], dtype=np.float64)
    if label:
        backlog_line = Line(f"backlog, {label}", main, style, 2.2)
        pending_line = Line(f"_pending, {label}", main, style, 0.9)
    else:
        backlog_line = Line("backlog: not yet delivered", main, "-", 2.2)
        pending_line = Line("pending: delivered, not acked", colour(1), "--", 1.6)
    _draw_steps(ax, at, waiting, backlog_line, filled=not label)
    # Ranges of several runs' pending entries over those of their backlogs could not be told apart.
    _draw_steps(ax, at, held, pending_line, ranged=not label)
    peak = int(waiting.argmax())
    if waiting[peak] > 0:
        _mark_peak(ax, at[peak], waiting[peak], main, MARKERS[number % len(MARKERS)], label)


def _backlog_legend(ax: Axes, by_label: dict[str, Run]) -> None:
    handles: list[Artist] = list(ax.get_legend_handles_labels()[0])
    if len(by_label) > 1:
        handles.append(Line2D([], [], color=INK, linewidth=0.9, label="thin: pending"))
    if any(_is_dense(run.series.at) for run in by_label.values()):
        part = time_text(max(run.duration for run in by_label.values()) / N_PARTS)
        handles.append(Patch(facecolor="#c8c8c8", label=f"range of each {part}; line: mean"))
    legend_below(ax, handles)


class Line(NamedTuple):
    """How a curve is drawn."""

    label: str
    colour: str
    style: LineStyle
    width: float


def _draw_steps(
    ax: Axes, at: Floats, values: Floats, line: Line, *, filled: bool = False, ranged: bool = True
) -> None:
    """Draw a step curve; where it has more steps than the figure pixels, its mean in its range."""
    if _is_dense(at):
        borders, least, mean, most = envelope(at, values)
        if ranged:
            ax.fill_between(
                borders,
                [*least, least[-1]],
                [*most, most[-1]],
                step="post",
                color=line.colour,
                alpha=0.3,
                linewidth=0,
                label=f"_range of {line.label}",
            )
        at, values = borders, np.append(mean, mean[-1])
    elif filled:
        ax.fill_between(at, values, step="post", color=line.colour, alpha=0.18, linewidth=0)
    ax.step(
        at,
        values,
        where="post",
        color=line.colour,
        linestyle=line.style,
        linewidth=line.width,
        label=line.label,
    )


def _is_dense(at: Sequence[float] | Floats) -> bool:
    return len(at) > 2 * N_PARTS


def _mark_peak(ax: Axes, at: float, value: float, main: str, marker: str, label: str) -> None:
    ax.plot(
        at,
        value,
        marker=marker,
        color=main,
        markersize=7,
        markeredgecolor="white",
        linestyle="none",
        label=f"_peak {label}",
    )
    late = at > 0.6 * ax.get_xlim()[1]
    ax.annotate(
        f"{value:,.0f}",
        (at, value),
        (-8 if late else 8, 3),
        textcoords="offset points",
        ha="right" if late else "left",
        fontsize=9,
        color=INK,
    )


def _mark_moments(ax: Axes, run: Run, highest: float) -> None:
    """Mark what bends the curves: the end of production, and what goes wrong."""
    moments = list(_mishaps(run))
    last_added = max(run.lives.added.values())
    left = _value_at(run, last_added)
    if left > 0.05 * highest and left >= 10:
        moments.append((last_added, "last entry added", FAINT))
    # Words at about the same place would be written over each other: each goes below the last.
    row, width = 0, ax.get_xlim()[1]
    before = -math.inf
    for at, words, ink in sorted(moments)[:6]:
        row = row + 1 if at - before < 0.25 * width else 0
        before = at
        ax.axvline(at, color=ink, linestyle=":", linewidth=1.2)
        near_end = at > 0.7 * width
        ax.annotate(
            words,
            (at, 0.98 - 0.09 * row),
            (-4 if near_end else 4, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right" if near_end else "left",
            va="top",
            fontsize=8.5,
            color=ink,
        )


def _mishaps(run: Run) -> Iterator[tuple[float, str, str]]:
    """Yield what befell actors, the stream and the server: when, in words, and the colour of the words."""
    for at, kind, actor, _, _ in run.events:
        if kind == CRASHED:
            yield at, f"{actor} crashes", TROUBLE
        elif kind == PAUSED:
            yield at, f"{actor} stands still", FAINT
        elif kind in _BEFALLS:
            yield at, _BEFALLS[kind], TROUBLE


def _value_at(run: Run, when: float) -> int:
    index = int(np.searchsorted(run.series.at, when, side="right")) - 1
    return run.series.backlog[max(index, 0)]


def envelope(at: Floats, values: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Cut a step curve's time into equal parts; return their borders, and least, mean, most in each.

    The mean is over time. No maximum and no minimum is lost, however short it lasted.
    """
    borders = np.linspace(at[0], at[-1], N_PARTS + 1)
    # With the borders as points of the curve, every part begins with the value that it inherits.
    inherited = values[np.searchsorted(at, borders, side="right") - 1]
    all_at = np.concatenate((at, borders))
    order = np.argsort(all_at, kind="stable")
    x, y = all_at[order], np.concatenate((values, inherited))[order]
    begins = np.searchsorted(x, borders[:-1], side="left")
    # What happens exactly at a border belongs to the part that begins there.
    least = np.minimum.reduceat(y, begins)
    most = np.maximum.reduceat(y, begins)
    area = np.add.reduceat(y * np.append(np.diff(x), 0.0), begins)
    return borders, least, area / np.diff(borders), most


def _backlog_title(by_label: dict[str, Run]) -> str:
    if len(by_label) > 1:
        peaks = ", ".join(f"{run.backlog_max:,} ({label})" for label, run in by_label.items())
        return f"Most entries waiting to be delivered: {peaks}"
    (run,) = by_label.values()
    series = run.series
    highest = run.backlog_max
    if highest == 0:
        return (
            "No backlog: each entry is delivered the moment it is added; "
            f"at most {entries_text(max(series.pending))} pending"
        )
    peak = series.backlog.index(highest)
    left = series.backlog[-1]
    grown = f"Backlog reaches {entries_text(highest)} at {time_text(series.at[peak])}"
    if left:
        return f"{grown}; {left:,} still wait at the end"
    gone = next(i for i in range(peak, len(series.at)) if series.backlog[i] == 0)
    return f"{grown} and is gone {time_text(series.at[gone] - series.at[peak])} later"


def _backlog_alt(by_label: dict[str, Run]) -> str:
    if len(by_label) > 1:
        told = "; ".join(
            f"{label}: backlog at most {run.backlog_max:,}, pending at most {max(run.series.pending):,}"
            for label, run in by_label.items()
        )
        return f"Backlog and pending entries over time. {told}."
    (run,) = by_label.values()
    return (
        f"Backlog and pending entries over {time_text(run.duration)}. {_backlog_title(by_label)}. "
        f"Pending at most {max(run.series.pending):,}, and {run.series.pending[-1]:,} at the end."
    )
