"""Deliveries on a timeline: a lane per consumer, a bar per delivery."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from streamlab.actors.events import CRASHED, PAUSED
from streamlab.results.run import Run
from streamlab.views.plots import style
from streamlab.views.plots.deliveries import ORPHANED, PROCESSING, UNACKED, WAITING, Drawn, Lanes, lay_out
from streamlab.views.plots.lanes import AWAY, ORPHAN_LOOK, Box, Lane, LanePainter, corners
from streamlab.views.plots.style import FAINT, INK, MARKERS, TROUBLE, colour
from streamlab.views.plots.words import entries_text, listed, of_consumers, takeover, time_text

_ADDED: Final = "XADD"
_MOST_NUMBERED_ARRIVALS: Final = 12
#: More arrivals than this are drawn as ticks, without numbers and connecting lines.
_MOST_LINKS: Final = 48
#: As many deliveries as can be told one by one.
_MOST_TOLD: Final = 9
#: Of a bar's row, how much it takes: what is only held is thinner than what is worked on.
_HEIGHTS: Final = {WAITING: 0.34, PROCESSING: 0.78, UNACKED: 0.34, ORPHANED: 0.5}
_DEPTHS: Final = {ORPHANED: 1.0, WAITING: 1.2, UNACKED: 1.2, PROCESSING: 2.0}
_WORDS: Final = {
    WAITING: "delivered, waiting in the consumer's hands",
    PROCESSING: "an entry being processed",
    UNACKED: "processed, not yet acked",
    ORPHANED: "pending, nobody is working on it",
}


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
    ax = style.axes_for(ax, 10, height_for(sum(lanes.rows.values())))
    by = colour_by or ("producer" if len(run.consumers) == 1 < len(run.scenario.producers) else "consumer")
    _Painter(ax, run, lanes, by).draw()
    # Room on the left for what happens right at the start.
    margin = 0.012 * (lanes.end - lanes.start)
    style.time_axis(ax, lanes.start - margin, lanes.end, "time since the start of the run", _how_much(lanes))
    if not lanes.n_deliveries:
        alt = "Timeline of deliveries: empty, nothing was delivered."
        return style.empty(ax, "no entry was delivered", "No entry was delivered", alt)
    return style.finish(ax, _title(lanes), _alt(lanes))


def height_for(n_rows: int) -> float:
    """Return how many inches a timeline of this many rows needs."""
    return min(max(2.1 + 0.42 * n_rows, 2.6), 7.5)


class _Painter(LanePainter):
    """Draws deliveries in their lanes, beneath the arrivals of their entries."""

    def __init__(self, ax: Axes, run: Run, shown: Lanes, by: str) -> None:
        self.shown, self.by = shown, by
        lanes, y = {}, 0.0
        for name, n_rows in shown.rows.items():
            lanes[name] = Lane(y, n_rows, n_rows, 1.0)
            y += n_rows
        super().__init__(ax, lanes, shown.start, shown.end)
        self.bottom = y
        self.head = max(1.15, 0.07 * y)  #: height of the lane of arrivals, in rows
        self.arrivals_y = -0.45 * self.head
        self.producers = [producer.name for producer in run.scenario.producers]
        self.owners = self.producers if by == "producer" else list(lanes)

    def draw(self) -> None:
        middle = {name: lane.middle for name, lane in self.lanes.items()}
        self.axes({_ADDED: self.arrivals_y} | middle, self.bottom, -self.head, 6 if len(middle) > 24 else 10)
        for lane in list(self.lanes.values())[::2]:
            self.ax.axhspan(lane.top, lane.top + lane.height, color="#f4f4f4", zorder=0)
        self._absences()
        self._links()
        self._deliveries()
        self._arrivals()
        self._numbers()
        if handles := self._key():
            style.legend_below(self.ax, handles)

    def _y(self, drawn: Drawn) -> float:
        return self.lanes[drawn.delivery.consumer].y(drawn.row)

    def _colour(self, drawn: Drawn) -> str:
        owner = drawn.producer if self.by == "producer" else drawn.first_consumer
        return colour(self.owners.index(owner)) if owner in self.owners else FAINT

    def _absences(self) -> None:
        for name, away in self.away(self.shown.absences):
            # A producer has no lane: it is away in that of the arrivals.
            lane = self.lanes.get(name, Lane(self.arrivals_y - 0.5, 1, 1, 1.0))
            if name in self.lanes:
                # One that is paused is seen to hold what it was working on; one that is gone holds nothing.
                paused = away.kind == PAUSED
                self.band(name, away, alpha=0.75 if paused else 1.0, zorder=2.5 if paused else 0.6)
            if away.kind == CRASHED and away.start >= self.start:
                self.ax.vlines(away.start, lane.top, lane.top + lane.height, color=TROUBLE, linewidth=2, zorder=6)
                self.cross(name, away.start, lane.middle, 11, depth=7)

    def _links(self) -> None:
        """Connect each arrival with its first delivery: a slope is time spent waiting in the stream."""
        if len(self.shown.arrivals) > _MOST_LINKS:
            return
        added = {number: at for at, number, _ in self.shown.arrivals}
        lines = [
            [(added[drawn.number], self.arrivals_y), (drawn.delivery.delivered, self._y(drawn))]
            for drawn in self.shown.drawn
            if drawn.number in added and not drawn.delivery.claimed and drawn.delivery.delivery_count <= 1
        ]
        self.ax.add_collection(LineCollection(lines, colors="#c0c0c0", linewidths=0.8, zorder=0.8))

    def _deliveries(self) -> None:
        boxes: dict[tuple[str, str], list[Box]] = {}
        framed: list[Box] = []
        for drawn in self.shown.drawn:
            y = self._y(drawn)
            for phase in drawn.phases:
                box = corners(phase.start, min(phase.end, self.end), y, _HEIGHTS[phase.kind])
                boxes.setdefault((phase.kind, self._colour(drawn)), []).append(box)
            if drawn.delivery.claimed:
                framed.append(corners(drawn.delivery.delivered, min(drawn.over, self.end), y, _HEIGHTS[PROCESSING]))
        for (kind, of), vertices in boxes.items():
            how = _look(kind, of)
            if kind == PROCESSING:
                # A white gap between neighbours would be all that is left of a narrow bar.
                narrow = [self._inches(box) < 0.06 for box in vertices]
                how["edgecolors"] = [of if thin else "white" for thin in narrow]
                how["linewidths"] = [0.3 if thin else 0.7 for thin in narrow]
            elif self._rows_are_low():
                how["linewidths"] = 0.2
            self.bars(f"{kind} {of}", vertices, _DEPTHS[kind], **how)
        self.bars("claimed", framed, 4, facecolors="none", edgecolors="black", linewidths=1.6)
        if framed:
            stars = [box[0][0] for box in framed], [(box[0][1] + box[1][1]) / 2 for box in framed]
            style.mark(self.ax, *stars, "*", 12, "black", "_claims", depth=9)

    def _arrivals(self) -> None:
        arrivals = self.shown.arrivals
        many = len(arrivals) > _MOST_LINKS
        whose = {drawn.number: self._colour(drawn) for drawn in self.shown.drawn}
        for i, producer in enumerate(self.producers):
            own = [(at, number) for at, number, by in arrivals if by == producer]
            if not own:
                continue
            self.ax.scatter(
                [at for at, _ in own], [self.arrivals_y] * len(own), c=[whose.get(number, FAINT) for _, number in own],
                marker="|" if many else MARKERS[i % len(MARKERS)], s=60 if many else 44,
                linewidths=0.6 if many else 0.5, edgecolors=None if many else INK, zorder=3,
                clip_on=False,  # an arrival at time 0 is not half an arrival
                label=f"_added {producer}",
            )  # fmt: skip
        if len(arrivals) <= _MOST_NUMBERED_ARRIVALS:
            for at, number, _ in arrivals:
                style.note(self.ax, str(number), (at, self.arrivals_y), (0, 6), 8.5, ha="center")

    def _inches(self, box: Box) -> float:
        """Return about how wide a box will be drawn."""
        return (box[2][0] - box[0][0]) / (self.end - self.start) * style.inches_wide(self.ax)

    def _rows_are_low(self) -> bool:
        """Tell whether rows are too low for digits and outlines."""
        return style.inches_high(self.ax) / (self.bottom + self.head) < 0.13

    def _numbers(self) -> None:
        """Write each entry's number into its bar, where it has room."""
        if self._rows_are_low():
            return
        for drawn in self.shown.drawn:
            words, claimed = str(drawn.number), drawn.delivery.claimed
            working = [phase for phase in drawn.phases if phase.kind == PROCESSING]
            phase = working[0] if working else drawn.phases[0]
            box = corners(max(phase.start, self.start), min(phase.end, self.end), self._y(drawn), 0)
            # A claimed one has its star on the left.
            room = self._inches(box) - (0.2 if claimed else 0.0)
            if not drawn.number or room < 0.085 * len(words) + 0.03:
                continue
            style.note(
                self.ax, words, ((box[0][0] + box[2][0]) / 2, box[0][1]), (5 if claimed else 0, 0), 9, ha="center",
                va="center", fontweight="bold", annotation_clip=True, zorder=8,
                color=style.ink_on(self._colour(drawn)) if working else INK,
                bbox=None if working else {"facecolor": "white", "edgecolor": "none", "pad": 0.6},
            )  # fmt: skip

    def _key(self) -> list[Artist]:
        """Return the key to what is drawn, and to nothing else."""
        # What is too short to be seen needs no key: on a real server every XACK takes its moment.
        least = 0.004 * (self.end - self.start)
        phases = [phase for drawn in self.shown.drawn for phase in drawn.phases]
        kinds = {p.kind for p in phases if p.kind == PROCESSING or p.end - p.start > least}
        # A collection's arguments are called like a patch's, in the plural.
        looks = {kind: {k.removesuffix("s"): v for k, v in _look(kind, "#666666").items()} for kind in kinds}
        handles: list[Artist] = [Patch(label=words, **looks[kind]) for kind, words in _WORDS.items() if kind in kinds]
        if any(drawn.delivery.claimed for drawn in self.shown.drawn):
            handles.append(_marker("*", "black", "claimed", size=12))
        away = {away.kind for _, away in self.away(self.shown.absences)}
        if CRASHED in away:
            handles.append(_marker("X", TROUBLE, "crash", size=10))
        if PAUSED in away:
            handles.append(Patch(label="paused", facecolor=AWAY))
        if 1 < len(self.producers) <= len(MARKERS) and len(self.shown.arrivals) <= _MOST_LINKS:
            fills = [colour(i) if self.by == "producer" else "white" for i in range(len(self.producers))]
            for fill, marker, name in zip(fills, MARKERS, self.producers, strict=False):
                handles.append(_marker(marker, fill, f"added by {name}", edge=INK))
        return handles


def _look(kind: str, of: str) -> dict[str, Any]:
    """Return how a phase looks: told apart by height, fill and hatching, not by colour alone."""
    if kind == PROCESSING:
        return {"facecolors": of, "edgecolors": "white", "linewidths": 0.7}
    if kind == WAITING:
        return {"facecolors": to_rgba(of, 0.25), "edgecolors": of, "linewidths": 0.8}
    if kind == UNACKED:
        return {"facecolors": "white", "edgecolors": of, "linewidths": 0.8, "hatch": "....."}
    return {"linewidths": 1.0, **ORPHAN_LOOK}


def _marker(marker: str, fill: str, words: str, *, edge: str = "white", size: float = 8) -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker=marker, markersize=size, color=fill, markeredgecolor=edge, label=words
    )


def _how_much(lanes: Lanes) -> str:
    """Say how much of the run is shown, if it is not all."""
    n_shown = len(lanes.drawn)
    if n_shown == lanes.n_deliveries:
        return ""
    cut = ", as many as max_entries" if lanes.cut else ""
    return f"shown: {n_shown:,} of {lanes.n_deliveries:,} deliveries{cut}"


def _title(lanes: Lanes) -> str:
    """Say what there is to see: a crash and what came of it, claims, or who was given what."""
    crash = _first_crash(lanes)
    if crash is not None:
        at, name = crash
        return f"{name} crashes at {time_text(at)} {_consequence(lanes, name, at)}"
    drawn = lanes.drawn
    claimed = [d for d in drawn if d.delivery.claimed]
    if claimed:
        by = listed(dict.fromkeys(d.delivery.consumer for d in claimed))
        are = "is" if len(claimed) == 1 else "are"
        return f"{entries_text(len(claimed))} {are} claimed by {by}{_twice(drawn)}"
    if not drawn:
        return "No entry was delivered in this time"
    return _assignment(lanes, drawn)


def _assignment(lanes: Lanes, drawn: Sequence[Drawn]) -> str:
    names = list(lanes.lanes)
    if len(names) == 1:
        took = [d.delivery.processed - d.delivery.begun for d in drawn if d.delivery.processed >= d.delivery.begun]
        each = f", {time_text(statistics.median(took))} each (median)" if len(took) > 1 else ""
        in_order = ", one after the other" if len(drawn) > 1 else ""
        return f"{names[0]} takes {entries_text(len(drawn))}{in_order}{each}"
    if len(drawn) <= _MOST_TOLD:
        told = ", ".join(f"{d.number}→{d.delivery.consumer}" for d in drawn)
        return f"{entries_text(len(drawn))}, {of_consumers(len(names))}: {told}"
    given = [d.delivery.consumer for d in drawn]
    n = len(names)
    if len(set(given[:n])) == n and all(a == b for a, b in zip(given, given[n:], strict=False)):
        return f"{entries_text(len(drawn))} go to {listed(given[:n], most=6)} in turn"
    return f"{entries_text(len(drawn))} go to {_counts(lanes)}"


def _counts(lanes: Lanes) -> str:
    """Return who was given how many, those with most first if there are too many to name."""
    counts = {name: len(lane) for name, lane in lanes.lanes.items()}
    if len(counts) > 6:
        n_idle = sum(not count for count in counts.values())
        idle = f", {n_idle:,} of them to none" if n_idle else ""
        return f"{of_consumers(len(counts))}, at most {max(counts.values()):,} to one{idle}"
    return listed((f"{name} ({count:,})" for name, count in counts.items()), most=6)


def _twice(drawn: Sequence[Drawn]) -> str:
    """Say how many entries are processed more than once, if any are."""
    times = Counter(d.delivery.id for d in drawn if not math.isnan(d.delivery.processed))
    n = sum(count > 1 for count in times.values())
    return f"; {n:,} {'is' if n == 1 else 'are'} processed more than once" if n else ""


def _first_crash(lanes: Lanes) -> tuple[float, str] | None:
    """Return when a consumer first crashes in the window, and which."""
    crashes = [
        (away.start, name)
        for name in lanes.lanes
        for away in lanes.absences.get(name, ())
        if away.kind == CRASHED and lanes.start <= away.start <= lanes.end
    ]
    return min(crashes, default=None)


def _consequence(lanes: Lanes, name: str, at: float) -> str:
    """Say what a consumer held when it crashed, and what became of it."""
    held = [d for d in lanes.lanes[name] if d.delivery.delivered <= at < d.over and not d.delivery.acked <= at]
    if not held:
        return "with nothing pending"
    pending = f"with {entries_text(len(held))} pending"
    again = sorted((d.next for d in held if d.next is not None), key=lambda delivery: delivery.delivered)
    takers = {delivery.consumer: None for delivery in again}
    told = takeover(len(held), takers, came_back=list(takers) == [name])
    return f"{pending}; {f'{time_text(again[0].delivered - at)} later ' if again else ''}{told}"


def _alt(lanes: Lanes) -> str:
    """Return the alternative text: what is shown, its message, and the figures in it."""
    drawn = lanes.drawn
    names = list(lanes.lanes)
    part = "all" if len(drawn) == lanes.n_deliveries else f"{len(drawn):,} of {lanes.n_deliveries:,}"
    where = f"a lane for each of {len(names):,} consumers" if len(names) > 1 else f"in the lane of {names[0]}"
    given = listed((f"{name} {len(lane):,}" for name, lane in lanes.lanes.items()), most=8)
    return (
        f"Timeline of {part} deliveries from {time_text(lanes.start)} to {time_text(lanes.end)}, {where}. "
        f"{_title(lanes)}. Deliveries and claims: {given}."
    )
