"""How long entries take: the distribution of the sojourn time."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from streamlab.results.run import Run
from streamlab.results.statistics import quantile
from streamlab.views.plots import style
from streamlab.views.plots.style import FAINT, GRID, LINES, MARKERS, Floats, colour
from streamlab.views.plots.words import Runs, entries_text, named, time_text

#: Points of a distribution's curve: more than a figure has pixels across.
_N_QUANTILES: Final = 2_000
_TIME: Final = "time from XADD until processed"
#: Which part of the entries is done by the times that are marked.
_PARTS: Final = {0.5: "half", 0.95: "95 %"}


def sojourn(runs: Runs, *, ax: Axes | None = None) -> Figure:
    """Draw which part of the entries was done within how long: the sojourn time's distribution.

    The sojourn time is from ``XADD`` until an entry has first been processed. The curve is the empirical
    distribution function: where it crosses 50 % and 95 % (p50 and p95) it is marked. The time
    axis is logarithmic where the longest times would squeeze the others into its first pixels. Several runs
    (`Runs`) are drawn over each other, on the given axes or a new figure.
    """
    by_label = named(runs)
    ax = style.axes_for(ax, 9, 3.6)
    ax.set_ylim(0, 1.04)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 0.95])
    ax.yaxis.set_major_formatter(style.percent())
    style.label_axes(ax, y="entries done within this time")
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    times = {label: np.sort(np.array(run.ledger.sojourns())) for label, run in by_label.items()}
    done = {label: values for label, values in times.items() if len(values)}
    if not done:
        style.time_axis(ax, 0.0, 1.0, _TIME)
        alt = "Distribution of sojourn times: empty, no entry was processed."
        return style.empty(ax, "no entry was processed", "No entry was processed", alt)
    _draw_axis(ax, done)
    for number, (label, values) in enumerate(done.items()):
        _draw_run(ax, values, number, label if len(by_label) > 1 else "")
    if len(by_label) > 1:
        style.legend_below(ax)
    return style.finish(ax, _title(by_label), _alt(by_label))


def _draw_axis(ax: Axes, done: dict[str, Floats]) -> None:
    longest = max(float(values[-1]) for values in done.values())
    typical = min(quantile(values.tolist(), 0.5) for values in done.values())
    if not longest > 40 * typical > 0:
        style.time_axis(ax, 0.0, longest * 1.06 or 1e-3, _TIME)
        return
    # The few that took much less than the others lie left of a logarithmic axis: the curve comes in
    # at the height of their number.
    least = min(quantile(values.tolist(), 0.02) for values in done.values())
    ax.set_xscale("log")
    ax.set_xlim(max(least, typical / 1000) / 2, longest * 1.5)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: time_text(value)))
    ax.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    style.label_axes(ax, x=f"{_TIME} (logarithmic)")


def _draw_run(ax: Axes, values: Floats, number: int, label: str) -> None:
    main, line = colour(number), LINES[number % len(LINES)]
    x, y = distribution(values)
    ax.step(x, y, where="post", color=main, linestyle=line, linewidth=1.9, label=label or "_sojourn")
    for q in _PARTS:
        at = quantile(values.tolist(), q)
        style.mark(ax, at, q, MARKERS[number % len(MARKERS)], 7, main, f"_p{q * 100:.0f} {label}")
        if not label:
            _label_quantile(ax, at, q)


def _label_quantile(ax: Axes, at: float, q: float) -> None:
    low, high = ax.get_xlim()
    if ax.get_xscale() == "log":
        place = math.log(max(at, low) / low) / math.log(high / low)
    else:
        place = (at - low) / (high - low)
    dx, ha = (-9, "right") if place > 0.7 else (9, "left")
    ax.plot([at, at], [0, q], color=FAINT, linestyle=":", linewidth=1.0, label="_drop")
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
    style.note(ax, f"{_PARTS[q]}: {time_text(at)}", (at, q), (dx, -4), 9, ha=ha, va="top", bbox=box)


def distribution(ordered: Floats) -> tuple[Floats, Floats]:
    """Return the empirical distribution function of ascending values, as a step curve from 0 to 1.

    Of many values, as many as can be told apart in a figure, the least and the greatest among them.
    """
    n = len(ordered)
    ranks = np.arange(n)
    if n > _N_QUANTILES:
        ranks = np.unique(np.linspace(0, n - 1, _N_QUANTILES).round().astype(int))
    return (np.concatenate(([ordered[0]], ordered[ranks])), np.concatenate(([0.0], (ranks + 1) / n)))


def _title(by_label: dict[str, Run]) -> str:
    times = {label: (time_text(run.sojourn.p50), time_text(run.sojourn.p95)) for label, run in by_label.items()}
    if len(by_label) > 1:
        return "; ".join(
            f"{label}: half done within {half}, 95 % within {most}" for label, (half, most) in times.items()
        )
    ((label, run),) = by_label.items()
    half, most = times[label]
    never = run.added - run.processed
    undone = f"; {never:,} of {run.added:,} never were" if never else ""
    return f"Half of the entries are done within {half}, 95 % within {most}{undone}"


def _alt(by_label: dict[str, Run]) -> str:
    told = "; ".join(
        f"{'' if len(by_label) == 1 else label + ': '}half within {time_text(run.sojourn.p50)}, "
        f"95 % within {time_text(run.sojourn.p95)}, longest {time_text(run.sojourn.max)}, "
        f"of {entries_text(run.processed)}"
        for label, run in by_label.items()
    )
    return f"Distribution of the time from XADD until an entry is processed: {told}."
