"""How a timeline's phases look, and the key to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from matplotlib.artist import Artist
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from streamlab.events import CRASHED, PAUSED
from streamlab.plots.stints import ORPHANED, PROCESSING, UNACKED, WAITING, Lanes
from streamlab.plots.style import INK, MARKERS, TROUBLE, colour

#: Of a bar's row, how much it takes: what is only held is thinner than what is worked on.
HEIGHTS: Final = {WAITING: 0.34, PROCESSING: 0.78, UNACKED: 0.34, ORPHANED: 0.5}
DEPTHS: Final = {ORPHANED: 1.0, WAITING: 1.2, UNACKED: 1.2, PROCESSING: 2.0}
AWAY: Final = "#d0d0d0"
_WORDS: Final = {
    WAITING: "delivered, waiting in the consumer's hands",
    PROCESSING: "being processed",
    UNACKED: "processed, not yet acked",
    ORPHANED: "pending, nobody is working on it",
}
#: A row's corners: left bottom, left top, right top, right bottom.
Box = list[tuple[float, float]]


def look(kind: str, of: str) -> dict[str, Any]:
    """Return how a phase looks: told apart by height, fill and hatching, not by colour alone."""
    if kind == PROCESSING:
        return {"facecolors": of, "edgecolors": "white", "linewidths": 0.7}
    if kind == WAITING:
        return {"facecolors": to_rgba(of, 0.25), "edgecolors": of, "linewidths": 0.8}
    if kind == UNACKED:
        return {"facecolors": "white", "edgecolors": of, "linewidths": 0.8, "hatch": "....."}
    return {"facecolors": "white", "edgecolors": TROUBLE, "linewidths": 1.0, "hatch": "////"}


def corners(start: float, end: float, y: float, height: float) -> Box:
    """Return the corners of a bar around `y`."""
    low, high = y - height / 2, y + height / 2
    return [(start, low), (start, high), (end, high), (end, low)]


def key_to(lanes: Lanes, producers: Sequence[str], *, by_producer: bool) -> list[Artist]:
    """Return the key to what is on a timeline, and to nothing else; `producers` have a marker each."""
    # What is too short to be seen needs no key: on a real server every XACK takes its moment.
    least = 0.004 * (lanes.end - lanes.start)
    phases = [phase for drawn in lanes.drawn for phase in drawn.phases]
    kinds = {p.kind for p in phases if p.kind == PROCESSING or p.end - p.start > least}
    handles: list[Artist] = []
    if kinds != {PROCESSING}:  # bars that all mean the same need no key
        handles += [_patch(kind, words) for kind, words in _WORDS.items() if kind in kinds]
    if any(drawn.stint.claimed for drawn in lanes.drawn):
        handles.append(_marker("*", "black", "claimed", size=12))
    away = {
        absence.kind
        for absences in lanes.absences.values()
        for absence in absences
        if absence.start < lanes.end and absence.end > lanes.start
    }
    if CRASHED in away:
        handles.append(_marker("X", TROUBLE, "crash", size=10))
    if PAUSED in away:
        handles.append(Patch(label="paused", facecolor=AWAY))
    if 1 < len(producers) <= len(MARKERS):
        handles += [
            _marker(MARKERS[i], colour(i) if by_producer else "white", f"added by {name}", edge=INK)
            for i, name in enumerate(producers)
        ]
    return handles


def _patch(kind: str, words: str) -> Patch:
    # A collection's arguments are called like a patch's, in the plural.
    return Patch(label=words, **{k.removesuffix("s"): v for k, v in look(kind, "#666666").items()})


def _marker(marker: str, fill: str, words: str, *, edge: str = "white", size: float = 8) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=marker,
        markersize=size,
        color=fill,
        markeredgecolor=edge,
        label=words,
    )
