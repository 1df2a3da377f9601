"""Who did how much, and how busy it was."""

from __future__ import annotations

from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from streamlab.results.run import Run
from streamlab.views.plots import style
from streamlab.views.plots.style import GRID, HATCHES, INK, colour
from streamlab.views.plots.words import Runs, entries_text, named, of_consumers

#: Above this many bars, words beside them would be written over each other.
_MOST_WORDS: Final = 36
#: Where the axis may end, and in how many steps.
_SCALES: Final = ((0.05, 5), (0.1, 5), (0.25, 5), (0.5, 5), (0.75, 3), (1.0, 4))
#: Room for the words beside the bars.
_WORDS_INCHES: Final = 2.1


def shares(runs: Runs, *, ax: Axes | None = None) -> Figure:
    """Draw each consumer's share of what was acknowledged, and which part of the time it was busy.

    Bars are shares, diamonds are utilisation; both are percentages, of all entries and of the run's time.
    Several runs (`Runs`) stand side by side, a bar each, on the given axes or a new figure.
    """
    by_label = named(runs)
    names = list(dict.fromkeys(name for run in by_label.values() for name in run.consumers))
    n_bars = len(names) * len(by_label)
    ax = style.axes_for(ax, 9, min(max(1.5 + 0.34 * n_bars, 2.4), 8.0))
    parts = [part for run in by_label.values() for part in run.shares.values()]
    busy = [c.utilisation for run in by_label.values() for c in run.consumers.values()]
    _draw_axes(ax, names, max(parts + busy, default=0.0), with_words=n_bars <= _MOST_WORDS)
    if not any(run.acked for run in by_label.values()):
        alt = "Shares of the consumers: empty, no entry was acknowledged."
        return style.empty(ax, "no entry was acknowledged", "No entry was acknowledged", alt)
    for number, (label, run) in enumerate(by_label.items()):
        _draw_run(ax, run, names, number, len(by_label), label)
    if len(names) > 1:
        equal = 1 / len(names)
        words = f"equal shares would be {_percent(equal)} each"
        ax.axvline(equal, color=INK, linestyle=":", linewidth=1.5, zorder=0.5, label=words)
    style.legend_below(ax)
    return style.finish(ax, _title(by_label), _alt(by_label))


def _draw_axes(ax: Axes, names: list[str], widest: float, *, with_words: bool) -> None:
    ax.set_ylim(len(names) - 0.45, -0.55)  # the first consumer on top
    ax.set_yticks(range(len(names)), names, fontsize=10 if len(names) <= 20 else 6)
    end, n_steps = next((scale for scale in _SCALES if widest * 1.05 <= scale[0]), _SCALES[-1])
    # The words stand right of the bars, inside the axes, so that neighbours keep their room.
    room = 1 - _WORDS_INCHES / style.inches_wide(ax) if with_words else 1.0
    ax.set_xlim(0, end / max(room, 0.3))
    ax.set_xticks([end * i / n_steps for i in range(n_steps + 1)])
    ax.spines["bottom"].set_bounds(0, end)
    ax.xaxis.set_major_formatter(style.percent())
    style.label_axes(ax, x="share of the entries (bars); part of the time busy (diamonds)")
    ax.grid(axis="x", color=GRID, linewidth=0.8)
    ax.tick_params(axis="y", length=0)


def _draw_run(ax: Axes, run: Run, names: list[str], number: int, n_runs: int, label: str) -> None:
    height, shares_of = 0.74 / n_runs, run.shares
    places = [i + (number - (n_runs - 1) / 2) * height for i in range(len(names))]
    values = [shares_of.get(name, 0.0) for name in names]
    busy = [run.consumers[name].utilisation if name in run.consumers else 0.0 for name in names]
    # By itself a run has its consumers' colours, as on the timeline; beside others it has its own.
    colours = [colour(i) for i in range(len(names))] if n_runs == 1 else [colour(number)] * len(names)
    hatch, bars = HATCHES[number % len(HATCHES)], "_shares" if n_runs == 1 else label
    look: dict[str, Any] = {"color": colours, "edgecolor": "white", "linewidth": 0.5, "hatch": hatch, "label": bars}
    ax.barh(places, values, height=height * 0.92, **look)
    with_words = n_runs * len(names) <= _MOST_WORDS
    told = "part of the time busy (utilisation)" if number == 0 else "_utilisation"
    style.mark(ax, busy, places, "D", 6 if with_words else 3, "white", told, edge=INK)
    for place, name, value, part in zip(places, names, values, busy, strict=True) if with_words else ():
        n_acked = run.consumers[name].acked if name in run.consumers else 0
        words = f"{_percent(value)}: {entries_text(n_acked)}; busy {part * 100:.0f} %"
        style.note(ax, words, (ax.get_xticks()[-1], place), (10, 0), 8.5, va="center")


def _percent(value: float) -> str:
    return f"{value * 100:.1f} %"


def _title(by_label: dict[str, Run]) -> str:
    if len(by_label) > 1:
        told = "; ".join(f"{_spread(run)} ({label})" for label, run in by_label.items())
        return f"Shares: {told}"
    (run,) = by_label.values()
    if len(run.consumers) == 1:
        ((name, consumer),) = run.consumers.items()
        return f"{name} does all {entries_text(run.acked)}, busy {consumer.utilisation * 100:.0f} % of the time"
    return f"{of_consumers(len(run.consumers))} share {entries_text(run.acked)}: {_spread(run)}"


def _spread(run: Run) -> str:
    """Return ``25.0 % each``, or from whose share to whose."""
    if len(run.consumers) == 1:
        return f"all to {next(iter(run.consumers))}"
    shares_of = run.shares
    low, high = min(shares_of, key=shares_of.__getitem__), max(shares_of, key=shares_of.__getitem__)
    least, most = _percent(shares_of[low]), _percent(shares_of[high])
    return f"{most} each" if least == most else f"from {least} for {low} to {most} for {high}"


def _alt(by_label: dict[str, Run]) -> str:
    told = []
    for label, run in by_label.items():
        each = ", ".join(
            f"{name} {_percent(share)} (busy {run.consumers[name].utilisation * 100:.0f} % of the time)"
            for name, share in list(run.shares.items())[:8]
        )
        more = f", and {len(run.consumers) - 8} more" if len(run.consumers) > 8 else ""
        told.append(f"{'' if len(by_label) == 1 else label + ': '}{each}{more}")
    of = " and ".join(dict.fromkeys(entries_text(run.acked) for run in by_label.values()))
    return f"Shares of {of}: {'; '.join(told)}."
