"""What figures show of deliveries, without drawing it.

A *delivery* is an entry in a consumer's hands, from when it was delivered or claimed until it was over.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from streamlab.actors.events import CRASHED, PAUSED, RESUMED, STARTED, STOPPED
from streamlab.results.deliveries import Delivery
from streamlab.results.run import Run

# The phases of an entry in a consumer's hands.
WAITING: Final = "waiting"  #: delivered; the consumer is still busy with what came before it
PROCESSING: Final = "processing"
UNACKED: Final = "unacked"  #: processed, and not yet acknowledged
ORPHANED: Final = "orphaned"  #: pending, and nobody is working on it: the consumer is gone, or has failed

#: As many deliveries as can be told apart, with a number in each bar: in all, and in a lane.
READABLE: Final = 40
READABLE_IN_A_LANE: Final = 16


class Phase(NamedTuple):
    """A part of a delivery, from `start` to `end` in seconds; an `end` of infinity has not come."""

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
    """A delivery to draw: its entry's number in the stream (from 1), its row in the consumer's lane."""

    delivery: Delivery
    number: int
    row: int
    phases: tuple[Phase, ...]
    first_consumer: str
    producer: str
    next: Delivery | None  #: the next delivery or claim of the same entry, shown or not

    @property
    def over(self) -> float:
        """When the consumer had no longer anything to do with the entry."""
        return self.phases[-1].end


@dataclass(frozen=True, slots=True)
class Lanes:
    """Everything that a timeline shows."""

    start: float
    end: float
    lanes: dict[str, list[Drawn]]  #: each consumer's deliveries
    arrivals: list[tuple[float, int, str]]  #: when entries of the window were added: time, number, producer
    absences: dict[str, list[Absence]]
    n_deliveries: int  #: all deliveries and claims of the run, shown or not
    cut: bool  #: whether the window was made shorter, there being too many deliveries in it
    rows: dict[str, int]  #: how many rows each lane has: as many as its consumer ever held entries at once

    @property
    def drawn(self) -> list[Drawn]:
        """All of them, in order."""
        return sorted((d for lane in self.lanes.values() for d in lane), key=lambda d: d.delivery.delivered)


def redelivered(run: Run) -> list[Delivery]:
    """Return those of entries that had been delivered before."""
    return [delivery for delivery in run.ledger.deliveries if delivery.claimed or delivery.delivery_count > 1]


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


def lay_out(run: Run, start: float | None, end: float | None, max_entries: int) -> Lanes:
    """Choose what to show of a run, and where.

    Raises `ValueError` if the window has no length, or `max_entries` allows nothing.
    """
    if max_entries < 1:
        raise ValueError(f"max_entries is {max_entries}: give a whole number of at least 1")
    producer_of, absences = run.ledger.producer, absences_of(run)
    first, last = _window(run, absences, start, end)
    if not first < last:
        raise ValueError(f"the window from {first:g} s to {last:g} s has no length: give a later end")
    candidates = list(_candidates(run.ledger.deliveries, absences, first, last))
    cut = len(candidates) > max_entries
    if cut:
        cut_at = candidates[max_entries][0].delivered
        last = cut_at if cut_at > first else last  # all in one batch: then the batch is cut
    lanes: dict[str, list[Drawn]] = {name: [] for name in run.consumers}
    rows: dict[str, list[float]] = {name: [] for name in run.consumers}
    number_of = run.numbers
    first_consumers: dict[str, str] = {}
    for delivery in run.ledger.deliveries:
        first_consumers.setdefault(delivery.id, delivery.consumer)
    for delivery, cut_up, following in candidates[:max_entries]:
        entry_id, consumer = delivery.id, delivery.consumer
        row = _free_row(rows[consumer], delivery.delivered, cut_up[-1].end)
        number, producer = number_of.get(entry_id, 0), producer_of.get(entry_id, "")
        lanes[consumer].append(Drawn(delivery, number, row, cut_up, first_consumers[entry_id], producer, following))
    arrivals = sorted(
        (at, number_of[entry_id], producer_of.get(entry_id, ""))
        for entry_id, at in run.ledger.added.items()
        if first <= at < last
    )
    n_rows = {name: max(len(taken), 1) for name, taken in rows.items()}
    return Lanes(first, last, lanes, arrivals, absences, len(run.ledger.deliveries), cut, n_rows)


def _candidates(
    given: Sequence[Delivery], absences: dict[str, list[Absence]], first: float, last: float
) -> Iterator[tuple[Delivery, tuple[Phase, ...], Delivery | None]]:
    """Yield the deliveries that reach into the window, with their phases and the entry's next delivery."""
    for delivery, following in zip(given, _next_of(given), strict=True):
        at = delivery.delivered
        if first <= at < last or at < first < _is_over(delivery):
            cut = phases(delivery, following, absences.get(delivery.consumer, ()))
            # One that was never acknowledged may have been handed on before the window begins.
            if at >= first or cut[-1].end > first:
                yield delivery, cut, following


def _window(
    run: Run, absences: dict[str, list[Absence]], start: float | None, end: float | None
) -> tuple[float, float]:
    """Return from when to when to show a run, if the caller does not say.

    A short run is shown whole. Of a long one, the first trouble if there is any; otherwise its beginning.
    """
    given = run.ledger.deliveries
    # A run's duration is that of its entries' lives; an actor may have crashed after that.
    crashes = [a.start for list_of in absences.values() for a in list_of if a.kind == CRASHED]
    whole = max(run.duration, *crashes, 0.0)
    readable = min(READABLE, READABLE_IN_A_LANE * len(run.consumers))
    if end is not None:
        return (start or 0.0), end
    if start is None and len(given) <= readable:
        # A little more than all, so that what is still pending is seen to go on.
        return 0.0, whole * 1.03 or 1.0
    delivered = [delivery.delivered for delivery in given]  # ascending: they are in the order of the log
    trouble = None if start is not None else _trouble(run, absences)
    if trouble is not None:
        # Something of what went before, also if what follows takes long.
        begin = max(bisect.bisect_left(delivered, trouble[0]) - readable // 4, 0)
        first = delivered[min(begin, len(delivered) - 1)]
        if math.isfinite(trouble[1]):
            lead = 0.1 * (trouble[1] - trouble[0])
            return max(min(first, trouble[0] - lead), 0.0), trouble[1] + lead
    else:
        first = start or 0.0
    begin = bisect.bisect_left(delivered, first)
    if begin + readable >= len(delivered):
        return first, max(whole * 1.03, first + 1e-3)
    # The next delivery that is later: a batch is not cut in two.
    beyond = bisect.bisect_right(delivered, delivered[begin + readable - 1])
    last = delivered[beyond] if beyond < len(delivered) else whole * 1.03
    first_added = min(run.ledger.added.values(), default=0.0)
    if start is None and trouble is None and first_added > 0.1 * last:
        first = first_added  # nothing happens before
    return first, last


def _trouble(run: Run, absences: dict[str, list[Absence]]) -> tuple[float, float] | None:
    """Return when a consumer first crashed or an entry was first given again, until that was done (infinity: never)."""
    again = redelivered(run)
    crashes = [away.start for name in run.consumers for away in absences.get(name, ()) if away.kind == CRASHED]
    if not again:
        return (min(crashes), math.inf) if crashes else None
    wave = again[0].delivered
    begin = min([*crashes, wave])
    end = wave
    for delivery in again:
        # The first wave of claims ends where no next claim is near.
        if delivery.delivered > wave + max(0.25 * (wave - begin), 0.05):
            break
        wave = delivery.delivered
        over = _is_over(delivery)
        end = max(end, over if math.isfinite(over) else run.duration)
    return begin, end


def _is_over(delivery: Delivery) -> float:
    # A zombie goes on with what has been claimed from it.
    over = _or_never(delivery.over)
    return over if math.isnan(delivery.processed) else max(over, delivery.processed)


def _or_never(seconds: float) -> float:
    return math.inf if math.isnan(seconds) else seconds


def _next_of(given: Sequence[Delivery]) -> list[Delivery | None]:
    """Return, for each delivery, the next one of the same entry."""
    later: dict[str, Delivery] = {}
    following: list[Delivery | None] = []
    for delivery in reversed(given):
        following.append(later.get(delivery.id))
        later[delivery.id] = delivery
    return following[::-1]


def phases(delivery: Delivery, following: Delivery | None, absences: Sequence[Absence]) -> tuple[Phase, ...]:
    """Cut a delivery into its phases, in order, without gaps; those of no length are left out."""
    handed_on = math.inf if following is None else following.delivered
    over = min(_or_never(delivery.over), handed_on)
    begun, left = _or_never(delivery.begun), _or_never(delivery.left)
    processed, acked = _or_never(delivery.processed), _or_never(delivery.acked)
    gone = min((a.start for a in absences if a.kind != PAUSED and a.start >= delivery.delivered), default=math.inf)
    if acked < math.inf:
        ends = (min(begun, acked), min(processed, acked), acked, acked)
    elif processed < math.inf:
        # It may have been handed on while it was being processed, and was processed all the same.
        over = max(over, processed)
        ends = (begun, processed, min(max(gone, processed), over), over)
    else:
        stop = min(gone, left, over)
        ends = (min(begun, stop), stop, stop, over)
    cut, at = [], delivery.delivered
    for kind, end in zip((WAITING, PROCESSING, UNACKED, ORPHANED), ends, strict=True):
        if end > at:
            cut.append(Phase(kind, at, end))
            at = end
    # Done in no time: as short as it was, it is shown.
    return tuple(cut) or (Phase(PROCESSING, at, at),)


def orphaned(delivery: Delivery, absences: Sequence[Absence]) -> tuple[float, float] | None:
    """Return from when to when (infinity: never) an entry was pending while nobody was working on it.

    Its consumer had died, or was paused, or its handler had failed.
    """
    over = _or_never(delivery.over)
    if delivery.left < over and math.isnan(delivery.processed):
        return delivery.left, over
    for away in absences:
        if away.end > delivery.delivered and away.start < over:
            return max(away.start, delivery.delivered), min(away.end, over) if away.kind == PAUSED else over
    return None


def all_orphaned(run: Run, absences: Mapping[str, Sequence[Absence]]) -> list[tuple[float, float]]:
    """Return the same of each delivery of a run that was ever orphaned."""
    spans = (orphaned(delivery, absences.get(delivery.consumer, ())) for delivery in run.ledger.deliveries)
    return [span for span in spans if span is not None]


def _free_row(rows: list[float], start: float, end: float) -> int:
    """Return the first row in which nothing is left at `start`, and take it until `end`."""
    for row, taken_until in enumerate(rows):
        if taken_until <= start:
            rows[row] = end
            return row
    rows.append(end)
    return len(rows) - 1
