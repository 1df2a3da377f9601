"""Strategies of recovery side by side: how fast, how often twice, what is left, and at what price."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from streamlab.lab.strategies import RecoveryTable, StrategyRow, compare
from streamlab.results.run import Run
from streamlab.views.plots import style
from streamlab.views.plots.picture import Chart
from streamlab.views.plots.style import GRID, INK, TROUBLE, colour
from streamlab.views.plots.words import entries_text, listed, time_text


def strategies(runs: Mapping[str, Sequence[Run]] | Iterable[Run] | RecoveryTable) -> Figure:
    """Draw strategies of recovery side by side, a row each: give runs, or what `compare` returned.

    From left to right: seconds until what a lost worker held was done (● for half of the losses, | for 95 %,
    ✕ never), entries that were left undone, entries that were processed again, and round trips to the server
    for an entry.
    """
    table = runs if isinstance(runs, RecoveryTable) else compare(runs)
    rows = table.rows
    chart = Chart(13, 1.9 + 0.42 * len(rows))
    grid = chart.add_gridspec(1, 4, width_ratios=[1.5, 1, 1, 1], wspace=0.05)
    first = chart.add_subplot(grid[0])
    _axes(first, len(rows), "until a lost consumer's work is done (s)")
    first.set_yticks(range(len(rows)), [row.strategy for row in rows], fontsize=11)
    _draw_times(first, rows)
    bars: tuple[tuple[str, Sequence[float], str, str], ...] = (
        ("left undone (entries)", [row.left for row in rows], TROUBLE, "{:,.0f}"),
        ("processed again (entries)", [row.duplicates for row in rows], colour(1), "{:,.0f}"),
        ("round trips per entry", [row.round_trips for row in rows], colour(4), "{:.2f}"),
    )
    for i, (what, values, fill, form) in enumerate(bars, 1):
        ax = chart.add_subplot(grid[i], sharey=first)
        _axes(ax, len(rows), what)
        ax.tick_params(axis="y", labelleft=False)
        _draw_bars(ax, values, fill, form)
    style.finish(first, "", _alt(table))
    chart.suptitle(_title(table), fontsize=13, fontweight="bold", color=INK, x=0.01, ha="left")
    return chart


def _axes(ax: Axes, n_rows: int, what: str) -> None:
    style.tidy(ax)
    ax.set_ylim(n_rows - 0.45, -0.55)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=GRID, linewidth=0.8)
    style.label_axes(ax, x=what, size=11)


def _draw_times(ax: Axes, rows: Sequence[StrategyRow]) -> None:
    known = [t for row in rows for t in (row.time_p50, row.time_p95) if math.isfinite(t)]
    never = 1.25 * max(known, default=1.0)
    for y, row in enumerate(rows):
        at = [min(time, never) for time in (row.time_p50, row.time_p95)]
        if math.isnan(row.time_p50):
            continue
        ax.plot(at, [y, y], color=INK, linewidth=2, zorder=2, label="_span")
        for x, marker in zip(at, ("o", "|"), strict=True):
            if x == never:
                style.mark(ax, x, y, "X", 12, TROUBLE, "_never", depth=3, clip_on=False)
            elif marker == "o":
                style.mark(ax, x, y, "o", 12, colour(0), "_time", depth=3, clip_on=False)
            else:
                style.mark(ax, x, y, "|", 15, INK, "_time", edge=INK, width=3, depth=3, clip_on=False)
        if row.n_unrecovered:
            words = f"{row.n_unrecovered} of {row.n_losses} never"
            style.note(ax, words, (never, y), (0, -12), 8.5, ha="right", va="center", color=TROUBLE)
    ax.set_xlim(0, never * 1.04)
    look: dict[str, Any] = {"color": INK, "linestyle": "none", "markersize": 10}
    ax.legend(
        handles=[
            Line2D([], [], **look | {"marker": "o", "color": colour(0), "label": "in half of the cases"}),
            Line2D([], [], **look | {"marker": "|", "markeredgewidth": 3, "label": "in 95 %"}),
            Line2D([], [], **look | {"marker": "X", "color": TROUBLE, "label": "never"}),
        ],
        loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=9, frameon=False, borderaxespad=0,
        handletextpad=0.2, columnspacing=1.0,
    )  # fmt: skip


def _draw_bars(ax: Axes, values: Sequence[float], fill: str, form: str) -> None:
    known = [0.0 if math.isnan(value) else value for value in values]
    widest = max(known, default=0.0) or 1.0
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.barh(range(len(known)), known, height=0.62, color=fill, edgecolor="white")
    ax.set_xlim(0, widest * 1.35)
    for y, value in enumerate(values):
        words = "not known" if math.isnan(value) else form.format(value)
        style.note(ax, words, (0.0 if math.isnan(value) else value, y), (5, 0), 10, va="center")


def _title(table: RecoveryTable) -> str:
    """Say which strategies leave nothing undone, and how fast the fastest of them is."""
    good = [row for row in table.rows if not (row.left or row.lost or row.n_unrecovered)]
    if not good:
        return "Every strategy leaves something undone"
    if len(good) == len(table.rows):
        return "Nothing is left undone under any strategy"
    return f"Nothing is left undone with: {listed((row.strategy for row in good), most=6)}"


def _alt(table: RecoveryTable) -> str:
    told = "; ".join(
        f"{row.strategy}: half of the losses {_when(row.time_p50)}, 95 % {_when(row.time_p95)}, "
        f"{row.left:,} left undone, {row.duplicates:,} processed again"
        for row in table.rows
    )
    n = max((row.n_entries for row in table.rows), default=0)
    return f"Strategies of recovery compared over {entries_text(n)} each. {_title(table)}. {told}."


def _when(time: float) -> str:
    return "never recovered" if math.isinf(time) else f"recovered within {time_text(time)}"
