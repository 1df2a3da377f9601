"""What a timeline shows, without drawing it: which stints, in which lanes, in which phases."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from streamlab.events import CRASHED, PAUSED, RESUMED, STARTED, STOPPED
from streamlab.metrics import Stint, id_key
from streamlab.run import Run

# The phases of an entry in a consumer's hands.
WAITING: Final = "waiting"  #: delivered; the consumer is still busy with what came before it
PROCESSING: Final = "processing"
UNACKED: Final = "unacked"  #: processed, and not yet acknowledged
ORPHANED: Final = (
    "orphaned"  #: pending, and nobody is working on it: the consumer is gone, or has failed
)

#: As many deliveries as can be told apart, with a number in each bar: in all, and in a lane.
READABLE: Final = 40
READABLE_IN_A_LANE: Final = 16


class Phase(NamedTuple):
    """A part of a stint, from `start` to `end` in seconds; an `end` of infinity has not come."""

    kind: str
    start: float
    end: float


class Absence(NamedTuple):
    """A time in which an actor did nothing: it crashed, stopped or was paused."""

    kind: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """A stint to draw: its entry's number in the stream (from 1), its row in the consumer's lane."""

    stint: Stint
    number: int
    row: int
    phases: tuple[Phase, ...]
    first_consumer: str
    producer: str
    next: Stint | None  #: the next delivery or claim of the same entry, shown or not

    @property
    def over(self) -> float:
        """When the consumer had no longer anything to do with the entry."""
        return self.phases[-1].end


@dataclass(frozen=True, slots=True)
class Lanes:
    """Everything that a timeline shows.

    Attributes
    ----------
    lanes
        Each consumer's stints.
    arrivals
        When entries of the window were added: time, number, producer.
    n_deliveries
        All deliveries and claims of the run, shown or not.
    cut
        Whether the window was made shorter, there being too many stints in it.
    rows
        How many rows each lane has: as many as its consumer ever held entries at once.
    """

    start: float
    end: float
    lanes: dict[str, list[Drawn]]
    arrivals: list[tuple[float, int, str]]
    absences: dict[str, list[Absence]]
    n_deliveries: int
    cut: bool
    rows: dict[str, int]

    @property
    def drawn(self) -> list[Drawn]:
        """All stints, in the order of their deliveries."""
        return sorted(
            (drawn for lane in self.lanes.values() for drawn in lane),
            key=lambda drawn: drawn.stint.delivered,
        )


def lay_out(run: Run, start: float | None, end: float | None, max_entries: int) -> Lanes:
    """Choose what to show of a run, and where.

    Raises
    ------
    ValueError
        If the window has no length, or `max_entries` allows nothing.
    """
    if max_entries < 1:
        raise ValueError(f"max_entries is {max_entries}: give a whole number of at least 1")
    producer_of, absences = run.lives.producer, absences_of(run)
    first, last = _window(run, absences, start, end)
    if not first < last:
        raise ValueError(
            f"the window from {first:g} s to {last:g} s has no length: give a later end"
        )
    candidates = list(_candidates(run.lives.stints, absences, first, last))
    cut = len(candidates) > max_entries
    if cut:
        cut_at = candidates[max_entries][0].delivered
        last = cut_at if cut_at > first else last  # all in one batch: then the batch is cut
    lanes: dict[str, list[Drawn]] = {name: [] for name in run.consumers}
    rows: dict[str, list[float]] = {name: [] for name in run.consumers}
    numbers = _numbers(run)
    first_consumers = _first_consumers(run.lives.stints)
    for stint, phases, following in candidates[:max_entries]:
        row = _free_row(rows[stint.consumer], stint.delivered, phases[-1].end)
        lanes[stint.consumer].append(
            Drawn(
                stint=stint,
                number=numbers.get(stint.id, 0),
                row=row,
                phases=phases,
                first_consumer=first_consumers[stint.id],
                producer=producer_of.get(stint.id, ""),
                next=following,
            )
        )
    return Lanes(
        start=first,
        end=last,
        lanes=lanes,
        arrivals=sorted(
            (at, numbers[entry_id], producer_of.get(entry_id, ""))
            for entry_id, at in run.lives.added.items()
            if first <= at < last
        ),
        absences=absences,
        n_deliveries=len(run.lives.stints),
        cut=cut,
        rows={name: max(len(taken), 1) for name, taken in rows.items()},
    )


def _candidates(
    stints: list[Stint], absences: dict[str, list[Absence]], first: float, last: float
) -> Iterator[tuple[Stint, tuple[Phase, ...], Stint | None]]:
    """Yield the stints that reach into the window, with their phases and the entry's next stint."""
    following = _next_stints(stints)
    for i, stint in enumerate(stints):
        if first <= stint.delivered < last or stint.delivered < first < _is_over(stint):
            phases = _phases(stint, following[i], absences.get(stint.consumer, ()))
            # One that was never acknowledged may have been handed on before the window begins.
            if stint.delivered >= first or phases[-1].end > first:
                yield stint, phases, following[i]


# ---- what the events say of actors -------------------------------------------------------------------


def absences_of(run: Run) -> dict[str, list[Absence]]:
    """Return when each actor was away."""
    absences: dict[str, list[Absence]] = {}
    for at, kind, actor, _, _ in run.events:
        if kind in (CRASHED, STOPPED, PAUSED, STARTED, RESUMED):
            list_of = absences.setdefault(actor, [])
            if list_of and list_of[-1].end == math.inf:
                list_of[-1] = list_of[-1]._replace(end=at)
            if kind in (CRASHED, STOPPED, PAUSED):
                list_of.append(Absence(kind, at, math.inf))
    return absences


def _gone_after(absences: Iterable[Absence], when: float) -> float:
    """Return when an actor next crashed or stopped; infinity if it did not."""
    return min(
        (away.start for away in absences if away.kind != PAUSED and away.start >= when),
        default=math.inf,
    )


# ---- the window ------------------------------------------------------------------------------------


def _window(
    run: Run, absences: dict[str, list[Absence]], start: float | None, end: float | None
) -> tuple[float, float]:
    """Return from when to when to show a run, if the caller does not say.

    A short run is shown whole. Of a long one, the first trouble if there is any; otherwise its beginning.
    """
    stints = run.lives.stints
    # A run's duration is that of its entries' lives; an actor may have crashed after that.
    crashes = [a.start for list_of in absences.values() for a in list_of if a.kind == CRASHED]
    whole = max(run.duration, *crashes, 0.0)
    readable = min(READABLE, READABLE_IN_A_LANE * len(run.consumers))
    if end is not None:
        return (start or 0.0), end
    if start is None and len(stints) <= readable:
        # A little more than all, so that what is still pending is seen to go on.
        return 0.0, whole * 1.03 or 1.0
    delivered = [stint.delivered for stint in stints]  # ascending: they are in the order of the log
    trouble = None if start is not None else _trouble(run, absences)
    if trouble is not None:
        # Something of what went before, also if what follows takes long.
        begin = max(bisect.bisect_left(delivered, trouble.start) - readable // 4, 0)
        first = delivered[min(begin, len(delivered) - 1)]
        if math.isfinite(trouble.end):
            lead = 0.1 * (trouble.end - trouble.start)
            return max(min(first, trouble.start - lead), 0.0), trouble.end + lead
    else:
        first = start or 0.0
    begin = bisect.bisect_left(delivered, first)
    if begin + readable >= len(delivered):
        return first, max(whole * 1.03, first + 1e-3)
    # The next delivery that is later: a batch is not cut in two.
    beyond = bisect.bisect_right(delivered, delivered[begin + readable - 1])
    last = delivered[beyond] if beyond < len(delivered) else whole * 1.03
    first_added = min(run.lives.added.values(), default=0.0)
    if start is None and trouble is None and first_added > 0.1 * last:
        first = first_added  # nothing happens before
    return first, last


class Trouble(NamedTuple):
    """From the first crash or redelivery until it is mended; an `end` of infinity: it never is."""

    start: float
    end: float


def _trouble(run: Run, absences: dict[str, list[Absence]]) -> Trouble | None:
    """Return when a consumer first crashed or an entry was first given again, until that was done."""
    again = [stint for stint in run.lives.stints if stint.claimed or stint.delivery_count > 1]
    crashes = [
        away.start
        for name in run.consumers
        for away in absences.get(name, ())
        if away.kind == CRASHED
    ]
    if not again:
        return Trouble(min(crashes), math.inf) if crashes else None
    wave = again[0].delivered
    begin = min([*crashes, wave])
    end = wave
    for stint in again:
        # The first wave of claims ends where no next claim is near.
        if stint.delivered > wave + max(0.25 * (wave - begin), 0.05):
            break
        wave = stint.delivered
        over = _is_over(stint)
        end = max(end, over if math.isfinite(over) else run.duration)
    return Trouble(begin, end)


def _is_over(stint: Stint) -> float:
    # A zombie goes on with what has been claimed from it.
    over = _or_never(stint.over)
    return over if math.isnan(stint.processed) else max(over, stint.processed)


def _or_never(seconds: float) -> float:
    return math.inf if math.isnan(seconds) else seconds


# ---- stints ----------------------------------------------------------------------------------------


def _numbers(run: Run) -> dict[str, int]:
    """Return the number of every entry: 1 is the one with the smallest id."""
    return {entry_id: i for i, entry_id in enumerate(sorted(run.lives.added, key=id_key), 1)}


def _first_consumers(stints: Iterable[Stint]) -> dict[str, str]:
    first: dict[str, str] = {}
    for stint in stints:
        first.setdefault(stint.id, stint.consumer)
    return first


def _next_stints(stints: list[Stint]) -> list[Stint | None]:
    """Return, for each stint, the next one of the same entry."""
    later: dict[str, Stint] = {}
    following: list[Stint | None] = []
    for stint in reversed(stints):
        following.append(later.get(stint.id))
        later[stint.id] = stint
    return following[::-1]


def _phases(
    stint: Stint, following: Stint | None, absences: Sequence[Absence]
) -> tuple[Phase, ...]:
    """Cut a stint into its phases, in order, without gaps; those of no length are left out."""
    handed_on = math.inf if following is None else following.delivered
    over = min(_or_never(stint.over), handed_on)
    begun, left = _or_never(stint.begun), _or_never(stint.left)
    processed, acked = _or_never(stint.processed), _or_never(stint.acked)
    gone = _gone_after(absences, stint.delivered)
    if acked < math.inf:
        ends = (min(begun, acked), min(processed, acked), acked, acked)
    elif processed < math.inf:
        # It may have been handed on while it was being processed, and was processed all the same.
        over = max(over, processed)
        ends = (begun, processed, min(max(gone, processed), over), over)
    else:
        stop = min(gone, left, over)
        ends = (min(begun, stop), stop, stop, over)
    phases = []
    at = stint.delivered
    for kind, end in zip((WAITING, PROCESSING, UNACKED, ORPHANED), ends, strict=True):
        if end > at:
            phases.append(Phase(kind, at, end))
            at = end
    if not phases:  # done in no time: as short as it was, it is shown
        phases.append(Phase(PROCESSING, at, at))
    return tuple(phases)


def _free_row(rows: list[float], start: float, end: float) -> int:
    """Return the first row in which nothing is left at `start`, and take it until `end`."""
    for row, taken_until in enumerate(rows):
        if taken_until <= start:
            rows[row] = end
            return row
    rows.append(end)
    return len(rows) - 1
