"""What a failure cost, and how long it took until it was made good: pure functions over a run's lives."""

from __future__ import annotations

import bisect
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from streamlab.events import (
    ACKED,
    CLAIMED,
    CRASHED,
    DEAD_LETTERED,
    DELIVERED,
    PAUSED,
    TRIMMED,
    VOID,
    Event,
)
from streamlab.metrics import Lives, Loss, Stint, ZombieAck

#: By these an entry is settled: nobody has to do anything more about it.
_SETTLES: Final = (ACKED, VOID, DEAD_LETTERED, TRIMMED)


@dataclass(frozen=True, slots=True)
class LostWorker:
    """A consumer that died, or that stood still until others took over what it held.

    Attributes
    ----------
    at, kind
        When it was lost, in seconds, and how: ``"crashed"`` or ``"paused"``.
    held
        The entries that were pending for it then.
    taken_over
        How many of them were given to another consumer.
    settled
        When each of them was settled: processed and acknowledged by anybody, dead-lettered, or gone
        from the stream. NaN: never.
    """

    consumer: str
    kind: str
    at: float
    held: tuple[str, ...]
    taken_over: int
    settled: tuple[float, ...]

    @property
    def recovered(self) -> bool:
        """Whether all that it held was settled."""
        return not any(map(math.isnan, self.settled))

    @property
    def time(self) -> float:
        """Seconds from the loss until the last of what it held was settled; NaN if that never came."""
        if not self.recovered:
            return math.nan
        return max(self.settled, default=self.at) - self.at


@dataclass(frozen=True, slots=True)
class RecoveryMetrics:
    """What went wrong in a run, and what became of it.

    Attributes
    ----------
    lost_workers
        Consumers that died or were replaced, in the order in which they were lost.
    recovered
        Whether all that they held was settled, and nothing is pending or lost at the end.
    redelivered
        Deliveries and claims of entries that had been delivered before.
    duplicates
        Times that an entry was processed again.
    duplicate_effects
        Times that an effect happened again, as the sink's ledger says; without a sink, `duplicates`.
    wasted
        Seconds that consumers worked at what did not count: they died or failed in the middle of it, or
        the entry was, or had been, processed elsewhere.
    dead_lettered, void, rejected
        Entries that were given up; acknowledgements of what nobody had pending any more; acknowledgements
        that fencing refused.
    zombie_acks
        Acknowledgements, granted, by a consumer that did not own the entry.
    n_round_trips
        How often actors waited for the server; 0 where it is not known.
    """

    strategy: str
    lost_workers: tuple[LostWorker, ...]
    recovered: bool
    redelivered: int
    duplicates: int
    duplicate_effects: int
    wasted: float
    dead_lettered: int
    void: int
    rejected: int
    zombie_acks: tuple[ZombieAck, ...]
    n_round_trips: int

    @property
    def times(self) -> list[float]:
        """Seconds until each lost worker's entries were settled, for those that held any; NaN for never."""
        return [lost.time for lost in self.lost_workers if lost.held]

    @property
    def time_max(self) -> float:
        """The longest of `times`; 0 if nobody was lost with an entry, NaN if one was never made good."""
        times = self.times
        return math.nan if any(map(math.isnan, times)) else max(times, default=0.0)


def lost_workers(
    lives: Lives, events: Iterable[Event], still_pending: Collection[str]
) -> tuple[LostWorker, ...]:
    """Return the consumers that were lost, with what they held and what became of it.

    `still_pending` is what the server had pending at the end: an acknowledgement whose reply never came is
    in no event, but in what the server says.
    """
    consumers = {stint.consumer for stint in lives.stints}
    losses = [loss for loss in lives.losses if loss.consumer in consumers]
    if not losses:
        return ()
    by_consumer: dict[str, list[Stint]] = {loss.consumer: [] for loss in losses}
    for stint in lives.stints:
        if stint.consumer in by_consumer:
            by_consumer[stint.consumer].append(stint)
    held = [_held(by_consumer[loss.consumer], loss.at) for loss in losses]
    moves = _moves({entry_id for stints in held for entry_id in stints}, events)
    found = []
    for loss, stints in zip(losses, held, strict=True):
        back = _back(lives, loss)
        taken = [i for i in stints if _is_taken(moves.given.get(i, ()), loss, back)]
        if loss.kind == PAUSED and not taken:
            continue
        settled = tuple(_settled(i, loss.at, lives, moves.settled, still_pending) for i in stints)
        found.append(
            LostWorker(loss.consumer, loss.kind, loss.at, tuple(stints), len(taken), settled)
        )
    return tuple(found)


def wasted_seconds(lives: Lives) -> float:
    """Return for how long consumers worked at what did not count."""
    processed = lives.processed
    seen: set[str] = set()
    wasted = []
    for stint in lives.stints:
        counts = stint.processed == processed.get(stint.id) and stint.id not in seen
        if counts:
            seen.add(stint.id)
        else:
            wasted.append(lives.worked(stint))
    return math.fsum(wasted)


def duplicate_effects(effects: dict[str, int]) -> int:
    """Return how often an effect happened once more than it should have, as a sink's ledger says."""
    return sum(n - 1 for n in effects.values() if n > 1)


@dataclass(frozen=True, slots=True)
class _Moves:
    """What happened to certain entries: when, and to whom, they were given; when they were settled."""

    given: dict[str, list[tuple[float, str]]]
    settled: dict[str, list[float]]


def _moves(ids: Collection[str], events: Iterable[Event]) -> _Moves:
    moves = _Moves({}, {})
    for at, kind, actor, entry_id, _ in events:
        if entry_id in ids:
            if kind in (DELIVERED, CLAIMED):
                moves.given.setdefault(entry_id, []).append((at, actor))
            elif kind in _SETTLES:
                moves.settled.setdefault(entry_id, []).append(at)
    return moves


def _held(stints: list[Stint], at: float) -> dict[str, Stint]:
    """Return what was pending for a consumer at a moment, by entry id, in the order of delivery."""
    # Ascending: they are in the order of the log.
    until = bisect.bisect_right(stints, at, key=lambda stint: stint.delivered)
    return {
        stint.id: stint for stint in stints[:until] if math.isnan(stint.over) or stint.over > at
    }


def _back(lives: Lives, loss: Loss) -> float:
    """Return when a paused consumer went on; infinity for one that died."""
    pauses = lives.pauses.get(loss.consumer, ()) if loss.kind != CRASHED else ()
    return next((end for start, end in pauses if start == loss.at), math.inf)


def _is_taken(given: Iterable[tuple[float, str]], loss: Loss, back: float) -> bool:
    return any(loss.at <= at <= back and actor != loss.consumer for at, actor in given)


def _settled(
    entry_id: str,
    after: float,
    lives: Lives,
    settled: dict[str, list[float]],
    still_pending: Collection[str],
) -> float:
    """Return when an entry that was held at a moment was settled; NaN if it never was."""
    for at in settled.get(entry_id, ()):
        if at >= after:
            return at
    if entry_id in lives.processed and entry_id not in still_pending:
        # It was acknowledged, and the worker never told: its reply was lost, or it died before.
        return max(lives.processed[entry_id], after)
    if entry_id in lives.trimmed:  # before the loss: there was nothing left to be done
        return after
    return math.nan
