"""What a figure of a recovery shows, without drawing it: whose loss, which entry, from when to when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from streamlab.actors.events import ACKED, DEAD_LETTERED, PAUSED, REJECTED, TRIMMED, VOID
from streamlab.results.deliveries import Delivery
from streamlab.results.events import Event
from streamlab.results.recovery import LostWorker
from streamlab.results.run import Run
from streamlab.views.plots.deliveries import Absence, absences_of, redelivered

#: More lanes than this are left out, but for those of consumers that had the entry.
_MOST_LANES: Final = 6
#: More entries than this, held by one worker, would be too thin to be seen.
MOST_ROWS: Final = 12


@dataclass(frozen=True, slots=True)
class Episode:
    """One entry's way through the hands of consumers, and what is around it."""

    entry: str  #: the id of the entry that is followed
    number: int  #: its number in the stream: 1 is the first
    lost: LostWorker | None  #: the worker that was lost with it, if one was
    rows: dict[str, int]  #: the entries that were lost with it, itself first, and the row of each within a lane
    deliveries: tuple[Delivery, ...]  #: its deliveries, in order
    lanes: tuple[str, ...]  #: which consumers are shown, in the scenario's order
    absences: dict[str, list[Absence]]
    ends: tuple[Event, ...]  #: its acknowledgements, and what else came of it
    start: float
    end: float

    @property
    def settled(self) -> float:
        """When the entry was settled after the loss; NaN for never."""
        if self.lost is None:
            over = [event.at for event in self.ends if event.kind != REJECTED]
            return over[0] if over else math.nan
        return self.lost.settled[self.lost.held.index(self.entry)]

    @property
    def dead_lettered(self) -> float:
        """When it was moved to the dead-letter stream; NaN for never."""
        return next((e.at for e in self.ends if e.kind == DEAD_LETTERED), math.nan)


def episode_of(run: Run, entry: str | None) -> Episode | None:
    """Choose what to show: a given entry's way, or that of the one with the best story; None if all went well.

    Raises `ValueError` if nobody was ever given the entry.
    """
    lost_workers = [lost for lost in run.recovery.lost_workers if lost.held]
    if entry is None:
        entry = _most_telling(run, lost_workers)
        if entry is None:
            return None
    given = tuple(delivery for delivery in run.ledger.deliveries if delivery.id == entry)
    if not given:
        raise ValueError(f"no consumer was given the entry {entry!r}: see tables.entries(run)")
    lost = next((lost for lost in lost_workers if entry in lost.held), None)
    kinds = (ACKED, VOID, REJECTED, DEAD_LETTERED, TRIMMED)
    ends = tuple(event for event in run.events if event.id == entry and event.kind in kinds)
    held = lost.held if lost is not None else (entry,)
    # The one that is followed lies on top.
    rows = [entry, *(i for i in held if i != entry)][:MOST_ROWS]
    start, end = _window(run, lost, given, ends)
    return Episode(
        entry=entry,
        number=run.numbers.get(entry, 0),
        lost=lost,
        rows={entry_id: row for row, entry_id in enumerate(rows)},
        deliveries=given,
        lanes=_lanes(run, given),
        absences=absences_of(run),
        ends=ends,
        start=start,
        end=end,
    )


def _most_telling(run: Run, lost_workers: list[LostWorker]) -> str | None:
    """Return a dead letter that killed somebody, or else the last that was done of the first loss."""
    held = [entry_id for lost in lost_workers for entry_id in lost.held]
    for entry_id in held:
        if entry_id in run.dead_letters:
            return entry_id
    for lost in sorted(lost_workers, key=lambda lost: not lost.taken_over):
        settled = [math.inf if math.isnan(at) else at for at in lost.settled]
        return lost.held[settled.index(max(settled))]
    return next((delivery.id for delivery in redelivered(run)), None)


def _lanes(run: Run, given: tuple[Delivery, ...]) -> tuple[str, ...]:
    names = list(run.consumers)
    had_it = {delivery.consumer for delivery in given}
    others = [name for name in names if name not in had_it][: max(_MOST_LANES - len(had_it), 0)]
    return tuple(name for name in names if name in had_it or name in others)


def _window(
    run: Run, lost: LostWorker | None, given: tuple[Delivery, ...], ends: tuple[Event, ...]
) -> tuple[float, float]:
    """Return from shortly before the entry was first delivered until shortly after the last of its news."""
    times = [time for d in given for time in (d.delivered, d.left, d.over) if not math.isnan(time)]
    times += [event.at for event in ends]
    if lost is not None:
        times += [lost.at, *(at for at in lost.settled if not math.isnan(at))]
    first, last = min(times), max(times)
    if lost is not None and lost.kind == PAUSED:
        back = [end for start, end in run.ledger.pauses.get(lost.consumer, ()) if start == lost.at]
        last = max(last, *(at for at in back if math.isfinite(at)))
    if lost is not None and not lost.recovered:
        # It goes on and on: as long as it would have taken to be claimed.
        last = max(last, min(lost.at + 2.5 * run.scenario.recovery.min_idle, run.duration))
    span = max(last - first, 0.01)
    return max(first - 0.2 * span, 0.0), last + 0.2 * span
