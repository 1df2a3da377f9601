"""What all figures share: colours and their second cues, time axes, titles, and names for runs."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import offset_copy
from numpy.typing import NDArray

from streamlab.run import Run

#: One run, several, or several with the labels they shall have.
Runs = Run | Sequence[Run] | Mapping[str, Run]

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

# ---- charts ----------------------------------------------------------------------------------------


class Chart(Figure):
    """A matplotlib figure that can also be told: `alt` says in a sentence or two what is to be seen.

    Made without ``pyplot``, so that nothing keeps it open, whatever the backend.
    """

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self)
        self.alt = ""

    def __repr__(self) -> str:
        return f"<Chart: {self.alt}>"

    def _repr_html_(self) -> str:
        from streamlab.plots.picture import to_html  # it draws charts, and so knows this module

        return to_html(self, self.alt)


def axes_for(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the axes to draw on: the caller's, or those of a new chart of this size in inches."""
    return Chart(width, height).add_subplot() if ax is None else ax


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


def say_nothing_happened(ax: Axes, words: str) -> None:
    """Say in the middle of empty axes why they are empty."""
    ax.grid(visible=False)
    ax.text(
        0.5, 0.5, words, ha="center", va="center", transform=ax.transAxes, fontsize=11, color=FAINT
    )


def colour(number: int) -> str:
    """Return the colour of the consumer, producer or run with this number, counted from 0."""
    return COLOURS[number % len(COLOURS)]


def ink_on(background: str) -> str:
    """Return black or white, whichever is easier to read on this colour."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(background)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # Where the contrast ratios (WCAG 2) with black and with white are equal.
    return "black" if luminance > 0.179 else "white"


# ---- time ------------------------------------------------------------------------------------------


class Unit(NamedTuple):
    """A unit of time: its sign, its length in seconds, and which multiples make good ticks."""

    sign: str
    seconds: float
    steps: tuple[float, ...]


_DECIMAL: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_SIXTIETHS: Final = (1.0, 1.5, 2.0, 3.0, 6.0, 10.0)
_UNITS: Final = (
    (0.001, Unit("µs", 1e-6, _DECIMAL)),
    (1.0, Unit("ms", 1e-3, _DECIMAL)),
    (180.0, Unit("s", 1.0, _DECIMAL)),
    (3 * 3600.0, Unit("min", 60.0, _SIXTIETHS)),
    (3 * 86_400.0, Unit("h", 3600.0, (1.0, 1.2, 2.0, 3.0, 6.0, 10.0))),
    (math.inf, Unit("d", 86_400.0, _DECIMAL)),
)


def unit_for(seconds: float) -> Unit:
    """Return the unit in which a span of time is best told."""
    return next(unit for limit, unit in _UNITS if seconds < limit or limit == math.inf)


def time_text(seconds: float) -> str:
    """Return a time for reading, to three digits: ``4.21 ms``, ``20.6 min``."""
    if not math.isfinite(seconds):
        return "–"
    if seconds == 0:
        return "0 s"
    unit = unit_for(abs(seconds))
    value = seconds / unit.seconds
    # Rounding may carry into the next unit (999.9 ms).
    if unit is not unit_for(float(f"{abs(value):.3g}") * unit.seconds):
        unit = unit_for(float(f"{abs(value):.3g}") * unit.seconds)
        value = seconds / unit.seconds
    return f"{value:,.0f} {unit.sign}" if abs(value) >= 100 else f"{value:.3g} {unit.sign}"


class _UnitLocator(MaxNLocator):
    """Ticks at good multiples of a unit, on an axis whose data are seconds."""

    def __init__(self, unit: Unit, n_ticks: int) -> None:
        super().__init__(n_ticks, steps=list(unit.steps))
        self._seconds = unit.seconds

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        ticks = super().tick_values(vmin / self._seconds, vmax / self._seconds)
        return [tick * self._seconds for tick in ticks]


def time_axis(ax: Axes, start: float, end: float, what: str, remark: str = "") -> None:
    """Make the x axis one of time, from `start` to `end`.

    The data stay in seconds, so that what a caller adds (``ax.axvline(3.0)``) is in seconds too; only the
    ticks are in the unit that the label names.
    """
    # Late and short windows in the unit of their length, others in that of their times.
    unit = unit_for(end if end - start > end / 50 else end - start)
    ax.xaxis.set_major_locator(_UnitLocator(unit, 8))
    ax.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{round(value / unit.seconds, 6):,.12g}")
    )
    ax.set_xlim(start, end)
    ax.set_xlabel(f"{what} ({unit.sign}){'; ' * bool(remark)}{remark}", fontsize=9, color=INK)


# ---- runs ------------------------------------------------------------------------------------------


def named(runs: Runs) -> dict[str, Run]:
    """Return the runs by the labels that tell them apart.

    Without labels from the caller these are the first of engine, scenario, consumers, rate and seed that
    differs for every run; failing that, a number.
    """
    if isinstance(runs, Run):
        return {runs.engine: runs}
    if isinstance(runs, Mapping):
        return dict(runs)
    for tell in _TELLS:
        labels = [tell(run) for run in runs]
        if len(set(labels)) == len(labels):
            return dict(zip(labels, runs, strict=True))
    return {f"run {number}": run for number, run in enumerate(runs, 1)}


def _rate(run: Run) -> str:
    return f"{sum(p.arrivals.rate for p in run.scenario.producers):,g} entries/s"


_TELLS: Final[tuple[Callable[[Run], str], ...]] = (
    lambda run: run.engine,
    lambda run: run.scenario.name,
    lambda run: of_consumers(len(run.scenario.consumers)),
    _rate,
    lambda run: f"seed {run.scenario.seed}",
)


def entries_text(n: int) -> str:
    """Return ``1 entry`` or ``8,000 entries``."""
    return "1 entry" if n == 1 else f"{n:,} entries"


def of_consumers(n: int) -> str:
    """Return ``1 consumer`` or ``4 consumers``."""
    return "1 consumer" if n == 1 else f"{n:,} consumers"


def listed(words: Iterable[str], most: int = 4) -> str:
    """Return ``C1, C2 and C3``; of more than `most`, the rest as a number."""
    given = list(words)
    if len(given) > most:
        given = [*given[: most - 1], f"{len(given) - most + 1} more"]
    return given[0] if len(given) == 1 else f"{', '.join(given[:-1])} and {given[-1]}"
