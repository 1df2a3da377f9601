"""What a figure of a recovery shows, without drawing it: whose loss, which entry, from when to when."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from streamlab.events import ACKED, DEAD_LETTERED, PAUSED, REJECTED, TRIMMED, VOID, Event
from streamlab.metrics import Stint, id_key
from streamlab.plots.stints import Absence, absences_of
from streamlab.recovery_metrics import LostWorker
from streamlab.run import Run

#: More lanes than this are left out, but for those of consumers that had the entry.
_MOST_LANES: Final = 6
#: More entries than this, held by one worker, would be too thin to be seen.
MOST_ROWS: Final = 12


@dataclass(frozen=True, slots=True)
class Episode:
    """One entry's way through the hands of consumers, and what is around it.

    Attributes
    ----------
    entry, number
        The entry that is followed: its id, and its number in the stream (1 is the first).
    lost
        The worker that was lost with it; None if none was.
    rows
        The entries that were lost with it, itself first, and the row of each within a lane.
    stints
        Its stints, in order.
    lanes
        Which consumers are shown, in the scenario's order.
    ends
        The acknowledgements of the entry, and what else came of it.
    """

    entry: str
    number: int
    lost: LostWorker | None
    rows: dict[str, int]
    stints: tuple[Stint, ...]
    lanes: tuple[str, ...]
    absences: dict[str, list[Absence]]
    ends: tuple[Event, ...]
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

    Raises
    ------
    ValueError
        If nobody was ever given the entry.
    """
    lost_workers = [lost for lost in run.recovery.lost_workers if lost.held]
    if entry is None:
        entry = _most_telling(run, lost_workers)
        if entry is None:
            return None
    if entry not in run.lives.last:
        raise ValueError(f"no consumer was given the entry {entry!r}: see tables.entries(run)")
    lost = next((lost for lost in lost_workers if entry in lost.held), None)
    stints = tuple(stint for stint in run.lives.stints if stint.id == entry)
    kinds = (ACKED, VOID, REJECTED, DEAD_LETTERED, TRIMMED)
    ends = tuple(event for event in run.events if event.id == entry and event.kind in kinds)
    held = lost.held if lost is not None else (entry,)
    # The one that is followed lies on top.
    rows = [entry, *(i for i in held if i != entry)][:MOST_ROWS]
    start, end = _window(run, lost, stints, ends)
    keys = sorted(map(id_key, run.lives.added))
    return Episode(
        entry=entry,
        number=bisect.bisect_left(keys, id_key(entry)) + 1,
        lost=lost,
        rows={entry_id: row for row, entry_id in enumerate(rows)},
        stints=stints,
        lanes=_lanes(run, stints),
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
    again = (stint.id for stint in run.lives.stints if stint.claimed or stint.delivery_count > 1)
    return next(again, None)


def _lanes(run: Run, stints: tuple[Stint, ...]) -> tuple[str, ...]:
    names = list(run.consumers)
    had_it = {stint.consumer for stint in stints}
    others = [name for name in names if name not in had_it][: max(_MOST_LANES - len(had_it), 0)]
    return tuple(name for name in names if name in had_it or name in others)


def _window(
    run: Run, lost: LostWorker | None, stints: tuple[Stint, ...], ends: tuple[Event, ...]
) -> tuple[float, float]:
    """Return from shortly before the entry was first delivered until shortly after the last of its news."""
    times = [time for s in stints for time in (s.delivered, s.left, s.over) if not math.isnan(time)]
    times += [event.at for event in ends]
    if lost is not None:
        times += [lost.at, *(at for at in lost.settled if not math.isnan(at))]
    first, last = min(times), max(times)
    if lost is not None and lost.kind == PAUSED:
        back = [end for start, end in run.lives.pauses[lost.consumer] if start == lost.at]
        last = max(last, *(at for at in back if math.isfinite(at)))
    if lost is not None and not lost.recovered:
        # It goes on and on: as long as it would have taken to be claimed.
        last = max(last, min(lost.at + 2.5 * run.scenario.recovery.min_idle, run.duration))
    span = max(last - first, 0.01)
    return max(first - 0.2 * span, 0.0), last + 0.2 * span


def stranded(run: Run, absences: dict[str, list[Absence]]) -> Iterator[tuple[float, float]]:
    """Yield from when to when each entry was pending while nobody was working on it: infinity for never.

    Its consumer had died, or stood still, or its handler had failed.
    """
    for stint in run.lives.stints:
        over = math.inf if math.isnan(stint.over) else stint.over
        if stint.left < over and math.isnan(stint.processed):
            yield stint.left, over
            continue
        for away in absences.get(stint.consumer, ()):
            if away.end > stint.delivered and away.start < over:
                end = min(away.end, over) if away.kind == PAUSED else over
                yield max(away.start, stint.delivered), end
                break
