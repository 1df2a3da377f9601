"""Deliveries on a timeline: a lane per consumer, a bar per delivery."""

from __future__ import annotations

from typing import Final, Literal

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from streamlab.events import CRASHED, PAUSED
from streamlab.plots import captions
from streamlab.plots.looks import AWAY, DEPTHS, HEIGHTS, Box, corners, key_to, look
from streamlab.plots.stints import (
    PROCESSING,
    Drawn,
    Lanes,
    lay_out,
)
from streamlab.plots.style import (
    FAINT,
    INK,
    MARKERS,
    TROUBLE,
    axes_for,
    colour,
    finish,
    inches_high,
    inches_wide,
    ink_on,
    legend_below,
    say_nothing_happened,
    tidy,
    time_axis,
)
from streamlab.run import Run

_ADDED: Final = "XADD"
_MOST_NUMBERED_ARRIVALS: Final = 12
#: More arrivals than this are drawn as ticks, without numbers and connecting lines.
_MOST_LINKS: Final = 48


def timeline(
    run: Run,
    *,
    start: float | None = None,
    end: float | None = None,
    max_entries: int = 1_500,
    colour_by: Literal["consumer", "producer"] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw deliveries on a timeline: a lane per consumer, a bar from delivery to acknowledgement.

    In the bars stand the entries' numbers, 1 being the first in the stream. A claimed entry keeps the
    colour of the consumer that had it first, and has a black frame and a star.

    Parameters
    ----------
    start, end
        The window, in seconds since the run began. By default a short run is shown whole, of a long one
        the first crash or claim until it is mended, or else its first 40 deliveries.
    max_entries
        Show no more deliveries than this; the window ends before the next one, and the figure says so.
    colour_by
        Whose colours the bars have: those of the consumer that was first given an entry, or of its
        producer. By default consumers', unless there is only one.
    ax
        Axes to draw on; None makes a new figure.
    """
    lanes = lay_out(run, start, end, max_entries)
    n_rows = sum(lanes.rows.values())
    ax = axes_for(ax, 10, height_for(n_rows))
    by = colour_by or (
        "producer" if len(run.consumers) == 1 < len(run.scenario.producers) else "consumer"
    )
    painter = _Painter(ax, run, lanes, by)
    painter.draw()
    shown = captions.how_much(lanes)
    # Room on the left for what happens right at the start.
    margin = 0.012 * (lanes.end - lanes.start)
    time_axis(ax, lanes.start - margin, lanes.end, "time since the start of the run", shown)
    ax.spines["left"].set_visible(False)
    if not lanes.n_deliveries:
        say_nothing_happened(ax, "no entry was delivered")
        return finish(
            ax, "No entry was delivered", "Timeline of deliveries: empty, nothing was delivered."
        )
    return finish(ax, captions.title(lanes), captions.alt(lanes))


def height_for(n_rows: int) -> float:
    """Return how many inches a timeline of this many rows needs."""
    return min(max(2.1 + 0.42 * n_rows, 2.6), 7.5)


class _Painter:
    """Draws lanes on axes: where each lane is, and whose colour is which."""

    def __init__(self, ax: Axes, run: Run, lanes: Lanes, by: str) -> None:
        self.ax = ax
        self.run = run
        self.lanes = lanes
        self.by = by
        self.top: dict[str, float] = {}
        y = 0.0
        for name, n_rows in lanes.rows.items():
            self.top[name] = y
            y += n_rows
        self.bottom = y
        self.head = max(1.15, 0.07 * y)  #: height of the lane of arrivals, in rows
        self.arrivals_y = -0.45 * self.head
        self.producers = [producer.name for producer in run.scenario.producers]
        self.owners = self.producers if by == "producer" else list(lanes.lanes)

    def draw(self) -> None:
        tidy(self.ax)
        self._lanes()
        self._absences()
        self._links()
        self._bars()
        self._arrivals()
        self._numbers()
        self._legend()

    def _y(self, consumer: str, row: int) -> float:
        return self.top[consumer] + row + 0.5

    def _colour(self, drawn: Drawn) -> str:
        owner = drawn.producer if self.by == "producer" else drawn.first_consumer
        return colour(self.owners.index(owner)) if owner in self.owners else FAINT

    def _lanes(self) -> None:
        ax = self.ax
        ax.set_ylim(self.bottom, -self.head)
        middle = {name: self.top[name] + self.lanes.rows[name] / 2 for name in self.top}
        small = len(middle) > 24
        ax.set_yticks(
            [self.arrivals_y, *middle.values()], [_ADDED, *middle], fontsize=6 if small else 10
        )
        ax.tick_params(axis="y", length=0)
        for i, name in enumerate(self.top):
            if i % 2 == 0:
                ax.axhspan(
                    self.top[name],
                    self.top[name] + self.lanes.rows[name],
                    color="#f4f4f4",
                    zorder=0,
                )

    def _absences(self) -> None:
        for name, absences in self.lanes.absences.items():
            for away in absences:
                if away.kind in (CRASHED, PAUSED) and away.start < self.lanes.end:
                    self._absence(name, away.kind, away.start, min(away.end, self.lanes.end))

    def _absence(self, name: str, kind: str, start: float, end: float) -> None:
        low = self.top.get(name, self.arrivals_y - 0.5)
        height = self.lanes.rows.get(name, 1)
        if name in self.top:
            # One that is paused is seen to hold what it was working on; one that is gone holds nothing.
            paused = kind == PAUSED
            self.ax.add_patch(
                Rectangle(
                    (start, low),
                    end - start,
                    height,
                    facecolor=AWAY,
                    alpha=0.75 if paused else 1.0,
                    zorder=2.5 if paused else 0.6,
                    linewidth=0,
                    label=f"_{kind} {name}",
                )
            )
        if kind == CRASHED and start >= self.lanes.start:
            middle = low + height / 2
            self.ax.vlines(start, low, low + height, color=TROUBLE, linewidth=2, zorder=6)
            self.ax.plot(
                start,
                middle,
                marker="X",
                markersize=11,
                color=TROUBLE,
                markeredgecolor="white",
                linestyle="none",
                zorder=7,
                label=f"_crash {name}",
            )

    def _links(self) -> None:
        """Connect each arrival with its first delivery: a slope is time spent waiting in the stream."""
        if len(self.lanes.arrivals) > _MOST_LINKS:
            return
        added = {number: at for at, number, _ in self.lanes.arrivals}
        lines = []
        for drawn in self.lanes.drawn:
            if (
                drawn.number in added
                and not drawn.stint.claimed
                and drawn.stint.delivery_count <= 1
            ):
                y = self._y(drawn.stint.consumer, drawn.row)
                lines.append([(added[drawn.number], self.arrivals_y), (drawn.stint.delivered, y)])
        self.ax.add_collection(LineCollection(lines, colors="#c0c0c0", linewidths=0.8, zorder=0.8))

    def _bars(self) -> None:
        boxes: dict[tuple[str, str], list[Box]] = {}
        framed: list[Box] = []
        for drawn in self.lanes.drawn:
            y = self._y(drawn.stint.consumer, drawn.row)
            for phase in drawn.phases:
                box = corners(phase.start, min(phase.end, self.lanes.end), y, HEIGHTS[phase.kind])
                boxes.setdefault((phase.kind, self._colour(drawn)), []).append(box)
            if drawn.stint.claimed:
                over = min(drawn.over, self.lanes.end)
                framed.append(corners(drawn.stint.delivered, over, y, HEIGHTS[PROCESSING]))
        for (kind, of), vertices in boxes.items():
            how = look(kind, of)
            if kind == PROCESSING:
                # A white gap between neighbours would be all that is left of a narrow bar.
                narrow = [self._inches(box) < 0.06 for box in vertices]
                how["edgecolors"] = [of if thin else "white" for thin in narrow]
                how["linewidths"] = [0.3 if thin else 0.7 for thin in narrow]
            elif self._rows_are_low():
                how["linewidths"] = 0.2
            self.ax.add_collection(
                PolyCollection(vertices, label=f"_{kind} {of}", zorder=DEPTHS[kind], **how)
            )
        if framed:
            self.ax.add_collection(
                PolyCollection(
                    framed,
                    facecolors="none",
                    edgecolors="black",
                    linewidths=1.6,
                    label="_claimed",
                    zorder=4,
                )
            )
            self.ax.plot(
                [box[0][0] for box in framed],
                [(box[0][1] + box[1][1]) / 2 for box in framed],
                linestyle="none",
                marker="*",
                markersize=12,
                color="black",
                markeredgecolor="white",
                zorder=9,
                label="_claims",
            )

    def _arrivals(self) -> None:
        arrivals = self.lanes.arrivals
        many = len(arrivals) > _MOST_LINKS
        whose = {drawn.number: self._colour(drawn) for drawn in self.lanes.drawn}
        for i, producer in enumerate(self.producers):
            own = [(at, number) for at, number, by in arrivals if by == producer]
            if not own:
                continue
            self.ax.scatter(
                [at for at, _ in own],
                [self.arrivals_y] * len(own),
                marker="|" if many else MARKERS[i % len(MARKERS)],
                s=60 if many else 44,
                linewidths=0.6 if many else 0.5,
                c=[whose.get(number, FAINT) for _, number in own],
                edgecolors=None if many else INK,
                zorder=3,
                clip_on=False,  # an arrival at time 0 is not half an arrival
                label=f"_added {producer}",
            )
        if len(arrivals) <= _MOST_NUMBERED_ARRIVALS:
            for at, number, _ in arrivals:
                self.ax.annotate(
                    str(number),
                    (at, self.arrivals_y),
                    (0, 6),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8.5,
                    color=INK,
                )

    def _inches(self, box: Box) -> float:
        """Return about how wide a box will be drawn."""
        part = (box[2][0] - box[0][0]) / (self.lanes.end - self.lanes.start)
        return part * inches_wide(self.ax)

    def _rows_are_low(self) -> bool:
        """Tell whether rows are too low for digits and outlines."""
        return inches_high(self.ax) / (self.bottom + self.head) < 0.13

    def _numbers(self) -> None:
        """Write each entry's number into its bar, where it has room."""
        if self._rows_are_low():
            return
        for drawn in self.lanes.drawn:
            words = str(drawn.number)
            working = [phase for phase in drawn.phases if phase.kind == PROCESSING]
            phase = working[0] if working else drawn.phases[0]
            y = self._y(drawn.stint.consumer, drawn.row)
            box = corners(max(phase.start, self.lanes.start), min(phase.end, self.lanes.end), y, 0)
            # A claimed one has its star on the left.
            room = self._inches(box) - (0.2 if drawn.stint.claimed else 0.0)
            if not drawn.number or room < 0.085 * len(words) + 0.03:
                continue
            self.ax.annotate(
                words,
                ((box[0][0] + box[2][0]) / 2, y),
                (5 if drawn.stint.claimed else 0, 0),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=9,
                fontweight="bold",
                annotation_clip=True,
                zorder=8,
                color=ink_on(self._colour(drawn)) if working else INK,
                bbox=None if working else {"facecolor": "white", "edgecolor": "none", "pad": 0.6},
            )

    def _legend(self) -> None:
        shown = self.producers if len(self.lanes.arrivals) <= _MOST_LINKS else []
        handles = key_to(self.lanes, shown, by_producer=self.by == "producer")
        if handles:
            legend_below(self.ax, handles)
