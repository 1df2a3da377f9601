"""How all figures look: colours and their second cues, marks, notes, time axes, titles and legends."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from matplotlib.transforms import offset_copy
from numpy.typing import NDArray

from streamlab.views.plots.picture import Chart
from streamlab.views.plots.words import Unit, unit_for

#: Okabe and Ito's colours, which differ for every kind of colour vision (the last one is Tol's indigo);
#: vermilion is kept for trouble.
COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#F0E442", "#332288")
TROUBLE: Final = "#D55E00"
INK: Final = "#222222"
GRID: Final = "#e4e4e4"
OTHERS: Final = "#c9ced3"  # what is there, and not what a figure is about
FAINT: Final = "#767676"  # 4.5:1 on white: the faintest that may carry text
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "*")
Floats = NDArray[np.float64]
LineStyle = str | tuple[int, tuple[int, ...]]
LINES: Final[tuple[LineStyle, ...]] = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
HATCHES: Final = ("", "///", "...", "\\\\\\", "xxx", "---")

_GLUED: Final = re.compile(r"(?<=\d) (?=(?:µs|ms|s|min|h|d|%)(?!\w))| \([^()]*\)")


def axes_for(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the axes to draw on, made tidy: the caller's, or those of a new chart of this size in inches."""
    ax = Chart(width, height).add_subplot() if ax is None else ax
    tidy(ax)
    return ax


def chart_of(ax: Axes) -> Figure:
    """Return the whole figure that these axes are part of."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def inches_wide(ax: Axes) -> float:
    """Return about how wide axes will be drawn: their layout is not known before they are."""
    spec = ax.get_subplotspec()
    part = 1.0 if spec is None else len(spec.colspan) / spec.get_gridspec().ncols
    return chart_of(ax).get_figwidth() * part * 0.92


def inches_high(ax: Axes) -> float:
    """Return about how high axes will be drawn."""
    spec = ax.get_subplotspec()
    if spec is None:
        return chart_of(ax).get_figheight() * 0.75
    grid = spec.get_gridspec()
    ratios: list[float] = list(grid.get_height_ratios())  # type: ignore[arg-type]
    part = sum(ratios[row] for row in spec.rowspan) / sum(ratios)
    return chart_of(ax).get_figheight() * part * 0.75


def finish(ax: Axes, title: str, alt: str, *, large: bool = False) -> Figure:
    """Give the axes their title, and the chart its next sentence of alternative text."""
    # A number stays with its unit, and what is in brackets together.
    glued = _GLUED.sub(lambda match: match[0].replace(" ", "\xa0"), title)
    lines = textwrap.wrap(glued, max(24, int(inches_wide(ax) * (9 if large else 10.5))))
    words = "\n".join(lines).replace("\xa0", " ")
    size, weight = (14, "bold") if large else (11.5, "normal")
    ax.set_title(words, loc="left", fontsize=size, fontweight=weight, color=INK)
    figure = chart_of(ax)
    if isinstance(figure, Chart):
        figure.alt = f"{figure.alt} {alt}".strip()
    return figure


def tidy(ax: Axes) -> None:
    """Take away the ink that says nothing."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=9, colors=INK)
    ax.set_axisbelow(True)


def legend_below(ax: Axes, handles: Sequence[Artist] | None = None) -> None:
    """Put a legend under the x axis' label, where it covers nothing, as wide as the axes at most."""
    given = ax.get_legend_handles_labels()[0] if handles is None else list(handles)
    longest = max((len(str(handle.get_label())) for handle in given), default=0)
    below = offset_copy(ax.transAxes, chart_of(ax), x=-4, y=-30, units="points")
    ax.legend(
        handles=given,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=below,
        borderaxespad=0,
        ncols=max(1, min(len(given), int(inches_wide(ax) / (0.068 * longest + 0.5)))),
        fontsize=8.5,
        frameon=False,
        columnspacing=1.4,
    )


def empty(ax: Axes, words: str, title: str, alt: str) -> Figure:
    """Finish axes in which nothing is to be seen: the words in their middle say why."""
    ax.grid(visible=False)
    ax.text(0.5, 0.5, words, ha="center", va="center", transform=ax.transAxes, fontsize=11, color=FAINT)
    return finish(ax, title, alt)


def mark(
    ax: Axes, x: Any, y: Any, marker: str, size: float, ink: str, label: str, *,
    edge: str = "white", width: float = 1.0, depth: float = 2.0, clip_on: bool = True,
) -> None:  # fmt: skip
    """Draw a marker, or several; with a label that begins with ``_`` it is in no legend."""
    ax.plot(
        x, y, linestyle="none", marker=marker, markersize=size, color=ink, markeredgecolor=edge, markeredgewidth=width,
        label=label, zorder=depth, clip_on=clip_on,
    )  # fmt: skip


def note(ax: Axes, words: str, at: tuple[float, float], offset: tuple[float, float], size: float, **how: Any) -> None:
    """Write words beside a point, `offset` points away from it."""
    look: dict[str, Any] = {"textcoords": "offset points", "fontsize": size, "color": INK}
    ax.annotate(words, at, offset, **look | how)


def label_axes(ax: Axes, *, x: str = "", y: str = "", size: float = 9) -> None:
    """Say what the axes mean."""
    if x:
        ax.set_xlabel(x, fontsize=size, color=INK)
    if y:
        ax.set_ylabel(y, fontsize=size, color=INK)


def counts_up(ax: Axes, n_ticks: int) -> None:
    """Make the y axis one of whole numbers, with lines across."""
    ax.yaxis.set_major_locator(MaxNLocator(n_ticks, integer=True))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.grid(axis="y", color=GRID, linewidth=0.8)


def percent() -> PercentFormatter:
    """Return what writes parts of 1 as percentages."""
    return PercentFormatter(1, decimals=0, symbol=" %")


def colour(number: int) -> str:
    """Return the colour of the consumer, producer or run with this number, counted from 0."""
    return COLOURS[number % len(COLOURS)]


def ink_on(background: str) -> str:
    """Return black or white, whichever is easier to read on this colour."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(background)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # Where the contrast ratios (WCAG 2) with black and with white are equal.
    return "black" if luminance > 0.179 else "white"


class _UnitLocator(MaxNLocator):
    """Ticks at good multiples of a unit, on an axis whose data are seconds."""

    def __init__(self, unit: Unit, n_ticks: int) -> None:
        super().__init__(n_ticks, steps=list(unit.steps))
        self._seconds = unit.seconds

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        ticks = super().tick_values(vmin / self._seconds, vmax / self._seconds)
        return [tick * self._seconds for tick in ticks]


def ticks_in(axis: Axis, unit: Unit, n_ticks: int) -> None:
    """Let the ticks of an axis whose data are seconds be in a unit."""
    axis.set_major_locator(_UnitLocator(unit, n_ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value / unit.seconds, 6):,.12g}"))


def time_axis(ax: Axes, start: float, end: float, what: str, remark: str = "") -> None:
    """Make the x axis one of time, from `start` to `end`.

    The data stay in seconds, so that what a caller adds (``ax.axvline(3.0)``) is in seconds too; only the
    ticks are in the unit that the label names.
    """
    # Late and short windows in the unit of their length, others in that of their times.
    unit = unit_for(end if end - start > end / 50 else end - start)
    ticks_in(ax.xaxis, unit, 8)
    ax.set_xlim(start, end)
    label_axes(ax, x=f"{what} ({unit.sign}){'; ' * bool(remark)}{remark}")
