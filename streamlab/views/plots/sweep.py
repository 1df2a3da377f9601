"""A figure over what was swept: a line for each variation, in a band of confidence, beside theory and single runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from streamlab.results.run import Run
from streamlab.results.sweep_table import Estimate, Figures, SweepRow, SweepTable, spoken, value_text
from streamlab.results.theory import MMc
from streamlab.views.plots import style
from streamlab.views.plots.style import FAINT, GRID, INK, LINES, MARKERS, TROUBLE, colour
from streamlab.views.plots.words import listed, of_consumers, time_text, unit_for

#: What each figure is called, and whether it is a time.
_NAMES: Final = {
    "throughput": ("throughput (entries per second)", False),
    "utilisation": ("utilisation", False),
    "waiting_mean": ("mean waiting time", True),
    "sojourn_mean": ("mean sojourn time", True),
    "sojourn_p50": ("p50 of the sojourn time", True),
    "sojourn_p95": ("p95 of the sojourn time", True),
    "sojourn_p99": ("p99 of the sojourn time", True),
    "sojourn_max": ("longest sojourn time", True),
    "backlog_max": ("largest backlog (entries)", False),
    "left": ("left undone (entries)", False),
    "lost": ("lost (entries)", False),
    "duplicates": ("processed again (entries)", False),
}
_PARTS: Final = {"sojourn_p50": "Half", "sojourn_p95": "95 %", "sojourn_p99": "99 %"}
_THEORY: Final[dict[str, Callable[[MMc], float]]] = {
    "utilisation": lambda queue: queue.utilisation,
    "waiting_mean": lambda queue: queue.waiting_mean,
    "sojourn_mean": lambda queue: queue.sojourn_mean,
    "sojourn_p50": lambda queue: queue.sojourn_quantile(0.50),
    "sojourn_p95": lambda queue: queue.sojourn_quantile(0.95),
    "sojourn_p99": lambda queue: queue.sojourn_quantile(0.99),
}


class _Line(NamedTuple):
    """A line of the figure: its label, and a row for each of its points."""

    label: str
    rows: list[SweepRow]


def sweep(
    swept: SweepTable | Mapping[str, SweepTable],
    figure: str = "sojourn_p99",
    *,
    limit: float | None = None,
    theory: bool = False,
    runs: Mapping[Any, Run] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a figure over the first parameter of a sweep, with a line for each combination of the others.

    The band about a line is the 95 % confidence interval.

    Parameters
    ----------
    swept
        What `sweep_over` returned; or several, with the labels they shall have.
    figure
        A field of a row's `Figures`, such as ``"sojourn_p99"`` or ``"throughput"``.
    limit
        What is not to be exceeded: a line across, and the title says from where on it is kept.
    theory
        Also draw what queueing theory says; for random arrivals and random service only (`MMc.of`).
    runs
        Single runs, by the parameter's value, as marks: such as those on a real Redis.

    Raises
    ------
    ValueError
        If the figure is unknown, or theory has nothing to say of it.
    """
    if figure not in _NAMES:
        raise ValueError(f"there is no figure {figure!r}: known are {', '.join(_NAMES)}")
    if theory and figure not in _THEORY:
        raise ValueError(f"queueing theory has no formula for {figure} here: known are {', '.join(_THEORY)}")
    tables = {"": swept} if isinstance(swept, SweepTable) else dict(swept)
    name = next(iter(tables.values())).over[0]
    lines = [line for label, table in tables.items() for line in _lines(label, table)]
    ax = style.axes_for(ax, 9, 3.9)
    places = _places(ax, name, lines)
    if limit is not None:
        words = f"limit: {_text(figure, limit)}"
        ax.axhline(limit, color=TROUBLE, linestyle=":", linewidth=1.8, label=words, zorder=1.5)
    if theory:
        _draw_theory(ax, lines, name, figure, places)
    for number, line in enumerate(lines):
        _draw_line(ax, line, number, name, figure, places)
    if runs:
        at = [places[value] for value in runs]
        seen = [getattr(Figures.of(run), figure) for run in runs.values()]
        engines = {"live": "on a real Redis", "simulated": "single runs"}
        label = engines[next(iter(runs.values())).engine]
        style.mark(ax, at, seen, "D", 8, "white", label, edge=INK, width=1.8, depth=4, clip_on=False)
    _value_axis(ax, figure)
    style.label_axes(ax, x=spoken(name))
    style.legend_below(ax)
    return style.finish(ax, _title(lines, name, figure, limit), _alt(lines, name, figure, limit, runs))


def _lines(label: str, table: SweepTable) -> list[_Line]:
    """Return the lines of a table: one for each combination of all parameters but the first."""
    _, *others = table.over
    by_label: dict[str, list[SweepRow]] = {}
    for row in table.rows:
        told = [f"{spoken(name)} {value_text(name, row.values[name])}" for name in others]
        by_label.setdefault(", ".join(filter(None, [label, *told])), []).append(row)
    return [_Line(words, rows) for words, rows in by_label.items()]


def _places(ax: Axes, name: str, lines: list[_Line]) -> dict[Any, float]:
    """Return where on the x axis each value is, and draw the axis."""
    values = list(dict.fromkeys(row.values[name] for line in lines for row in line.rows))
    if any(isinstance(value, str) for value in values):
        ax.set_xticks(range(len(values)), [str(value) for value in values])
        return {value: float(i) for i, value in enumerate(values)}
    if all(isinstance(value, int) for value in values):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: value_text(name, value)))
    return {value: float(value) for value in values}


def _draw_line(ax: Axes, line: _Line, number: int, name: str, figure: str, places: dict[Any, float]) -> None:
    at = [places[row.values[name]] for row in line.rows]
    estimates = [row.estimate(figure) for row in line.rows]
    values = [each.value for each in estimates]
    main, label = colour(number), line.label or "simulated"
    has_band = any(each.margin > 0 for each in estimates)
    if has_band:
        low, high = ([each.value + sign * each.margin for each in estimates] for sign in (-1, 1))
        ax.fill_between(at, low, high, color=main, alpha=0.22, linewidth=0, label="_confidence")
        label += " (band: 95 % confidence)"
    marker, kind = MARKERS[number % len(MARKERS)], LINES[number % len(LINES)]
    ax.plot(at, values, color=main, linestyle=kind, marker=marker, markersize=6, linewidth=1.9, label=label, zorder=3)


def _draw_theory(ax: Axes, lines: list[_Line], name: str, figure: str, places: dict[Any, float]) -> None:
    for number, line in enumerate(lines):
        at = [places[row.values[name]] for row in line.rows]
        said = [_THEORY[figure](MMc.of(row.scenario)) for row in line.rows]
        known = [value if math.isfinite(value) else math.nan for value in said]
        label = "_theory" if number else "queueing theory (M/M/c)"
        ax.plot(at, known, color=FAINT, linestyle="--", marker="x", markersize=7, linewidth=1.6, label=label, zorder=2)


def _value_axis(ax: Axes, figure: str) -> None:
    """Make the y axis one of the figure, from 0 on; its data stay in seconds."""
    words, is_time = _NAMES[figure]
    ax.set_ylim(bottom=0)
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    if is_time:
        unit = unit_for(ax.get_ylim()[1])
        words += f" ({unit.sign})"
        style.ticks_in(ax.yaxis, unit, 6)
    elif figure == "utilisation":
        ax.yaxis.set_major_formatter(style.percent())
    style.label_axes(ax, y=words)


def _text(figure: str, value: float) -> str:
    if _NAMES[figure][1]:
        return time_text(value)
    return f"{value:.1%}" if figure == "utilisation" else f"{value:,.1f}"


def _title(lines: list[_Line], name: str, figure: str, limit: float | None) -> str:
    """Say where the limit is kept; or, without one, from what to what each line goes."""
    what = _NAMES[figure][0].partition(" (")[0]
    part = _PARTS.get(figure)
    if limit is None:
        told = [_ends(line, figure) for line in lines]
        words = f"{what[:1].upper()}{what[1:]}: "
    else:
        told = [_where(line, name, figure, limit) for line in lines]
        kept = f"{part} of the entries are done within" if part else f"{what[:1].upper()}{what[1:]} is at most"
        words = f"{kept} {_text(figure, limit)} "
    if len(lines) == 1:
        return words + told[0]
    return (
        words.rstrip(": ") + ": " + ", ".join(f"{each} ({line.label})" for each, line in zip(told, lines, strict=True))
    )


def _ends(line: _Line, figure: str) -> str:
    first, last = (_text(figure, row.estimate(figure).value) for row in (line.rows[0], line.rows[-1]))
    return first if len(line.rows) == 1 else f"from {first} to {last}"


def _where(line: _Line, name: str, figure: str, limit: float) -> str:
    """Say at which values the whole band is within the limit."""
    is_kept = []
    for row in line.rows:
        value, margin = row.estimate(figure)
        is_kept.append(value + (0.0 if math.isnan(margin) else margin) <= limit)
    values = [row.values[name] for row in line.rows]
    n = sum(is_kept)
    if n in (0, len(values)):
        return "everywhere here" if n else "nowhere here"
    if not is_kept[0] and all(is_kept[-n:]):
        return f"from {_named(name, values[-n])} on"
    if all(is_kept[:n]):
        return f"up to {_named(name, values[n - 1])}"
    return f"with {listed(_named(name, value) for value, kept in zip(values, is_kept, strict=True) if kept)}"


def _named(name: str, value: Any) -> str:
    return f"{spoken(name)} {value_text(name, value)}" if name != "consumers" else of_consumers(value)


def _alt(lines: list[_Line], name: str, figure: str, limit: float | None, runs: Mapping[Any, Run] | None) -> str:
    told = "; ".join(
        f"{line.label or 'simulated'}: "
        + ", ".join(
            f"{value_text(name, row.values[name])}: {_with_margin(figure, row.estimate(figure))}" for row in line.rows
        )
        for line in lines
    )
    beside = f" Single runs at {', '.join(value_text(name, value) for value in runs)} are marked." if runs else ""
    across = f" A line across at {_text(figure, limit)}." if limit is not None else ""
    return f"{_NAMES[figure][0]} over {spoken(name)}. {told}.{across}{beside}"


def _with_margin(figure: str, estimate: Estimate) -> str:
    value, margin = estimate
    return _text(figure, value) + (f" ± {_text(figure, margin)}" if margin > 0 else "")
