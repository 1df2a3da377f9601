"""How long entries take: the distribution of the sojourn time."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from streamlab.metrics import quantile
from streamlab.plots.style import (
    FAINT,
    GRID,
    INK,
    LINES,
    MARKERS,
    Floats,
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

#: Points of a distribution's curve: more than a figure has pixels across.
_N_QUANTILES = 2_000


def sojourn(runs: Runs, *, ax: Axes | None = None) -> Figure:
    """Draw which part of the entries was done within how long: the sojourn time's distribution.

    The sojourn time is from ``XADD`` until an entry has first been processed. The curve is the empirical
    distribution function: p50 and p95 are read where it crosses 50 % and 95 %, and are marked. The time
    axis is logarithmic where the longest times would squeeze the others into its first pixels.

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
    times = {label: np.sort(np.array(run.lives.sojourns())) for label, run in by_label.items()}
    ax.set_ylim(0, 1.04)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 0.95])
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.set_ylabel("entries done within this time", fontsize=9, color=INK)
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    done = {label: values for label, values in times.items() if len(values)}
    if not done:
        time_axis(ax, 0.0, 1.0, "time from XADD until processed")
        say_nothing_happened(ax, "no entry was processed")
        return finish(
            ax,
            "No entry was processed",
            "Distribution of sojourn times: empty, no entry was processed.",
        )
    _sojourn_axis(ax, done)
    for number, (label, values) in enumerate(done.items()):
        _draw_sojourn(ax, values, number, label if len(by_label) > 1 else "")
    if len(by_label) > 1:
        legend_below(ax)
    return finish(ax, _sojourn_title(by_label), _sojourn_alt(by_label))


def _sojourn_axis(ax: Axes, done: dict[str, Floats]) -> None:
    what = "time from XADD until processed"
    longest = max(float(values[-1]) for values in done.values())
    typical = min(quantile(values.tolist(), 0.5) for values in done.values())
    if longest > 40 * typical > 0:
        # The few that took much less than the others lie left of a logarithmic axis: the curve comes in
        # at the height of their number.
        least = min(quantile(values.tolist(), 0.02) for values in done.values())
        ax.set_xscale("log")
        ax.set_xlim(max(least, typical / 1000) / 2, longest * 1.5)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: time_text(value)))
        ax.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
        ax.set_xlabel(f"{what} (logarithmic)", fontsize=9, color=INK)
    else:
        time_axis(ax, 0.0, longest * 1.06 or 1e-3, what)


def _draw_sojourn(ax: Axes, values: Floats, number: int, label: str) -> None:
    main = colour(number)
    x, y = distribution(values)
    ax.step(
        x,
        y,
        where="post",
        color=main,
        linestyle=LINES[number % len(LINES)],
        linewidth=1.9,
        label=label or "_sojourn",
    )
    ordered = values.tolist()
    for q in (0.5, 0.95):
        at = quantile(ordered, q)
        ax.plot(
            at,
            q,
            marker=MARKERS[number % len(MARKERS)],
            color=main,
            markersize=7,
            markeredgecolor="white",
            linestyle="none",
            label=f"_p{q * 100:.0f} {label}",
        )
        if not label:
            _label_quantile(ax, at, q)


def _label_quantile(ax: Axes, at: float, q: float) -> None:
    low, high = ax.get_xlim()
    if ax.get_xscale() == "log":
        place = math.log(max(at, low) / low) / math.log(high / low)
    else:
        place = (at - low) / (high - low)
    left = place > 0.7
    ax.plot([at, at], [0, q], color=FAINT, linestyle=":", linewidth=1.0, label="_drop")
    ax.annotate(
        f"p{q * 100:.0f} = {time_text(at)}",
        (at, q),
        (-9 if left else 9, -4),
        textcoords="offset points",
        ha="right" if left else "left",
        va="top",
        fontsize=9,
        color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85},
    )


def distribution(ordered: Floats) -> tuple[Floats, Floats]:
    """Return the empirical distribution function of ascending values, as a step curve from 0 to 1.

    Of many values, as many as can be told apart in a figure, the least and the greatest among them.
    """
    n = len(ordered)
    ranks = np.arange(n)
    if n > _N_QUANTILES:
        ranks = np.unique(np.linspace(0, n - 1, _N_QUANTILES).round().astype(int))
    return (
        np.concatenate(([ordered[0]], ordered[ranks])),
        np.concatenate(([0.0], (ranks + 1) / n)),
    )


def _sojourn_title(by_label: dict[str, Run]) -> str:
    if len(by_label) > 1:
        told = ", ".join(
            f"{time_text(run.sojourn.p50)} and {time_text(run.sojourn.p95)} ({label})"
            for label, run in by_label.items()
        )
        return f"Sojourn time, p50 and p95: {told}"
    (run,) = by_label.values()
    title = (
        f"Half of the entries are done within {time_text(run.sojourn.p50)}, "
        f"95 % within {time_text(run.sojourn.p95)}"
    )
    never = run.added - run.processed
    return f"{title}; {never:,} of {run.added:,} never were" if never else title


def _sojourn_alt(by_label: dict[str, Run]) -> str:
    told = "; ".join(
        f"{'' if len(by_label) == 1 else label + ': '}p50 {time_text(run.sojourn.p50)}, "
        f"p95 {time_text(run.sojourn.p95)}, longest {time_text(run.sojourn.max)}, "
        f"of {entries_text(run.processed)}"
        for label, run in by_label.items()
    )
    return f"Distribution of the time from XADD until an entry is processed: {told}."
