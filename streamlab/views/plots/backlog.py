"""Backlog and pending over time: step curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from streamlab.actors.events import CRASHED, GROUP_DESTROYED, PAUSED, SERVER_DOWN, STREAM_DELETED
from streamlab.results.run import Run
from streamlab.views.plots import style
from streamlab.views.plots.style import FAINT, INK, LINES, MARKERS, TROUBLE, Floats, LineStyle, colour
from streamlab.views.plots.words import Runs, entries_text, named, time_text

#: Parts into which the time axis is cut when a curve has more steps than a figure has pixels.
N_PARTS: Final = 360
#: The part of the height from which on a band is seen beside its line.
_SEEN: Final = 0.03
_EVENTS: Final = {
    CRASHED: ("{} crashes", TROUBLE),
    PAUSED: ("{} is paused", FAINT),
    SERVER_DOWN: ("server down", TROUBLE),
    GROUP_DESTROYED: ("group destroyed", TROUBLE),
    STREAM_DELETED: ("stream deleted", TROUBLE),
}


def backlog(runs: Runs, *, ax: Axes | None = None) -> Figure:
    """Draw how many entries waited to be delivered, and how many to be acknowledged, over time.

    *Backlog* is what has been added and not yet delivered (a group's lag), *pending* what has been
    delivered and not yet acknowledged (``XPENDING``). Several runs are drawn over each other, each from
    its own start (`Runs`), on the given axes or a new figure. Of curves with many points, each 360th of the time
    is drawn as its average, in a shaded band from its lowest to its highest value.
    """
    by_label = named(runs)
    ax = style.axes_for(ax, 9, 3.6)
    end = max((run.duration for run in by_label.values()), default=0.0)
    style.time_axis(ax, 0.0, end * 1.02 or 1.0, "time since the start of the run")
    style.label_axes(ax, y="entries")
    style.counts_up(ax, 6)
    if not any(run.added for run in by_label.values()):
        alt = "Backlog over time: empty, no entry was added."
        return style.empty(ax, "no entry was added", "No backlog: nothing was added", alt)
    for number, (label, run) in enumerate(by_label.items()):
        _draw_run(ax, run, number, "" if len(by_label) == 1 else label)
    highest = max(max(run.backlog_max, max(run.series.pending)) for run in by_label.values())
    ax.set_ylim(0, max(highest * 1.22, 1.2))
    if len(by_label) == 1:
        _mark_moments(ax, next(iter(by_label.values())), highest)
    style.legend_below(ax, _key(ax, by_label, highest))
    return style.finish(ax, _title(by_label), _alt(by_label))


class _Line(NamedTuple):
    """How a curve is drawn."""

    label: str
    colour: str
    style: LineStyle
    width: float


def _draw_run(ax: Axes, run: Run, number: int, label: str) -> None:
    # By itself, a run's backlog and pending have a colour each; beside others, the run has one.
    line, main = LINES[number % len(LINES)], colour(number)
    at = np.array([*run.series.at, run.duration])
    waiting = np.array([*run.series.backlog, run.series.backlog[-1]], dtype=np.float64)
    held = np.array([*run.series.pending, run.series.pending[-1]], dtype=np.float64)
    if label:
        looks = _Line(f"backlog, {label}", main, line, 2.2), _Line(f"_pending, {label}", main, line, 0.9)
    else:
        pending = _Line("pending: delivered, not acked", colour(1), "--", 1.6)
        looks = _Line("backlog: not yet delivered", main, "-", 2.2), pending
    _draw_steps(ax, at, waiting, looks[0], filled=not label)
    # Ranges of several runs' pending entries over those of their backlogs could not be told apart.
    _draw_steps(ax, at, held, looks[1], ranged=not label)
    peak = int(waiting.argmax())
    if waiting[peak] > 0:
        point = at[peak], waiting[peak]
        style.mark(ax, *point, MARKERS[number % len(MARKERS)], 7, main, f"_peak {label}")
        late = at[peak] > 0.6 * ax.get_xlim()[1]
        style.note(ax, f"{waiting[peak]:,.0f}", point, (-8 if late else 8, 3), 9, ha="right" if late else "left")


def _draw_steps(
    ax: Axes, at: Floats, values: Floats, line: _Line, *, filled: bool = False, ranged: bool = True
) -> None:
    """Draw a step curve; where it has more steps than the figure pixels, its mean in its range."""
    if _is_dense(at):
        borders, least, mean, most = envelope(at, values)
        if ranged:
            ax.fill_between(
                borders, [*least, least[-1]], [*most, most[-1]], step="post", color=line.colour, alpha=0.3,
                linewidth=0, label=f"_range of {line.label}",
            )  # fmt: skip
        at, values = borders, np.append(mean, mean[-1])
    elif filled:
        ax.fill_between(at, values, step="post", color=line.colour, alpha=0.18, linewidth=0)
    ax.step(at, values, where="post", color=line.colour, linestyle=line.style, linewidth=line.width, label=line.label)


def _is_dense(at: Sequence[float] | Floats) -> bool:
    return len(at) > 2 * N_PARTS


def _has_band(run: Run, highest: float) -> bool:
    """Whether the shaded band of a run is wider than the line in it, so that it is seen."""
    if not _is_dense(run.series.at):
        return False
    at = np.array([*run.series.at, run.duration])
    for values in (run.series.backlog, run.series.pending):
        _, least, _, most = envelope(at, np.array([*values, values[-1]], dtype=np.float64))
        if max(most - least) > _SEEN * highest:
            return True
    return False


def _key(ax: Axes, by_label: dict[str, Run], highest: float) -> list[Artist]:
    handles: list[Artist] = list(ax.get_legend_handles_labels()[0])
    if len(by_label) > 1:
        handles.append(Line2D([], [], color=INK, linewidth=0.9, label="thin lines: pending (delivered, not acked)"))
    if any(_has_band(run, highest) for run in by_label.values()):
        handles.append(Patch(facecolor="#c8c8c8", label="shaded: ups and downs; line: average"))
    return handles


def _mark_moments(ax: Axes, run: Run, highest: float) -> None:
    """Mark what bends the curves: the end of production, and what goes wrong."""
    moments = [(e.at, _EVENTS[e.kind][0].format(e.actor), _EVENTS[e.kind][1]) for e in run.events if e.kind in _EVENTS]
    last_added = max(run.ledger.added.values())
    index = int(np.searchsorted(run.series.at, last_added, side="right")) - 1
    left = run.series.backlog[max(index, 0)]
    if left > 0.05 * highest and left >= 10:
        moments.append((last_added, "last entry added", FAINT))
    # Words at about the same place would be written over each other: each goes below the last.
    row, width = 0, ax.get_xlim()[1]
    before = -math.inf
    for at, words, ink in sorted(moments)[:6]:
        row = row + 1 if at - before < 0.25 * width else 0
        before = at
        ax.axvline(at, color=ink, linestyle=":", linewidth=1.2)
        dx, ha = (-4, "right") if at > 0.7 * width else (4, "left")
        frame = ("data", "axes fraction")
        style.note(ax, words, (at, 0.98 - 0.09 * row), (dx, 0), 8.5, xycoords=frame, ha=ha, va="top", color=ink)


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
    least, most = np.minimum.reduceat(y, begins), np.maximum.reduceat(y, begins)
    area = np.add.reduceat(y * np.append(np.diff(x), 0.0), begins)
    return borders, least, area / np.diff(borders), most


def _title(by_label: dict[str, Run]) -> str:
    if len(by_label) > 1:
        peaks = ", ".join(f"{run.backlog_max:,} ({label})" for label, run in by_label.items())
        return f"Most entries waiting to be delivered at once: {peaks}"
    (run,) = by_label.values()
    series, highest = run.series, run.backlog_max
    if highest == 0:
        held = f"at most {entries_text(max(series.pending))} pending"
        return f"No backlog: each entry is delivered the moment it is added; {held}"
    peak = series.backlog.index(highest)
    grown = f"Backlog reaches {entries_text(highest)} at {time_text(series.at[peak])}"
    if left := series.backlog[-1]:
        return f"{grown}; {left:,} still wait at the end"
    gone = next(i for i in range(peak, len(series.at)) if series.backlog[i] == 0)
    return f"{grown} and is gone {time_text(series.at[gone] - series.at[peak])} later"


def _alt(by_label: dict[str, Run]) -> str:
    if len(by_label) > 1:
        told = "; ".join(
            f"{label}: backlog at most {run.backlog_max:,}, pending at most {max(run.series.pending):,}"
            for label, run in by_label.items()
        )
        return f"Backlog and pending entries over time. {told}."
    (run,) = by_label.values()
    return (
        f"Backlog and pending entries over {time_text(run.duration)}. {_title(by_label)}. "
        f"Pending at most {max(run.series.pending):,}, and {run.series.pending[-1]:,} at the end."
    )
