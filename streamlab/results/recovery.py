"""What a failure cost, and how long it took until it was made good: pure functions over a run's ledger."""

from __future__ import annotations

import bisect
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from streamlab.actors.events import ACKED, CRASHED, DEAD_LETTERED, PAUSED, TRIMMED, VOID
from streamlab.results.deliveries import Delivery, Loss, ZombieAck
from streamlab.results.final_state import FinalState
from streamlab.results.ledger import Ledger
from streamlab.results.statistics import rounded
from streamlab.scenario import Scenario
from streamlab.scenario.small_table import length

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

    @classmethod
    def of(
        cls, scenario: Scenario, ledger: Ledger, final: FinalState, *, n_left: int, n_dead: int, n_round_trips: int
    ) -> RecoveryMetrics:
        """Return those of a run that leaves so many entries pending or lost, and so many as dead letters."""
        lost = lost_workers(ledger, final.pending)
        return cls(
            strategy=scenario.last_recovery.strategy,
            lost_workers=lost,
            recovered=all(worker.recovered for worker in lost) and not n_left,
            redelivered=ledger.n_redelivered,
            duplicates=ledger.duplicates,
            duplicate_effects=duplicate_effects(final.effects) if scenario.sink != "none" else ledger.duplicates,
            wasted=wasted_seconds(ledger),
            dead_lettered=n_dead,
            void=ledger.n_void,
            rejected=ledger.n_rejected,
            zombie_acks=tuple(ledger.zombie_acks),
            n_round_trips=n_round_trips,
        )

    @property
    def times(self) -> list[float]:
        """Seconds until each lost worker's entries were settled, for those that held any; NaN for never."""
        return [lost.time for lost in self.lost_workers if lost.held]

    @property
    def time_max(self) -> float:
        """The longest of `times`; 0 if nobody was lost with an entry, NaN if one was never made good."""
        times = self.times
        return math.nan if any(map(math.isnan, times)) else max(times, default=0.0)

    def in_words(self) -> str:
        """Return it as a line."""
        n = len(self.lost_workers)
        lost = f"{n} {'worker' if n == 1 else 'workers'} lost"
        if any(self.times):
            done = f"all done again within {length(self.time_max)}"
            lost += f", {done if self.recovered else 'not all done again'}"
        return (
            f"recovery {self.strategy}: {lost} · redelivered {self.redelivered:,} · "
            f"duplicate effects {self.duplicate_effects:,} · dead letters {self.dead_lettered:,} · "
            f"zombie acks {len(self.zombie_acks):,}"
        )

    def summary(self) -> dict[str, Any]:
        """Return it as what JSON can hold; times in seconds."""
        return {
            "strategy": self.strategy,
            "recovered": self.recovered,
            "time_max": rounded(self.time_max),
            "lost_workers": len(self.lost_workers),
            "redelivered": self.redelivered,
            "duplicates": self.duplicates,
            "duplicate_effects": self.duplicate_effects,
            "wasted": round(self.wasted, 6),
            "dead_lettered": self.dead_lettered,
            "zombie_acks": len(self.zombie_acks),
            "void_acks": self.void,
            "rejected_acks": self.rejected,
            "round_trips": self.n_round_trips or None,
        }


def lost_workers(ledger: Ledger, still_pending: Collection[str]) -> tuple[LostWorker, ...]:
    """Return the consumers that were lost, with what they held and what became of it.

    `still_pending` is what the server had pending at the end: an acknowledgement whose reply never came is
    in no event, but in what the server says.
    """
    given = {name for name, c in ledger.consumers.items() if c.delivered or c.claimed or c.overtaken}
    losses = [loss for loss in ledger.losses if loss.consumer in given]
    if not losses:
        return ()
    by_consumer: dict[str, list[Delivery]] = {loss.consumer: [] for loss in losses}
    for delivery in ledger.deliveries:
        if delivery.consumer in by_consumer:
            by_consumer[delivery.consumer].append(delivery)
    backs = [_back(ledger, loss) for loss in losses]
    held = [_held(ledger, by_consumer[loss.consumer], loss, back) for loss, back in zip(losses, backs, strict=True)]
    of_entry: dict[str, list[Delivery]] = {entry_id: [] for ids in held for entry_id in ids}
    for delivery in ledger.deliveries:
        if delivery.id in of_entry:
            of_entry[delivery.id].append(delivery)
    found = []
    for loss, back, ids in zip(losses, backs, held, strict=True):
        taken = [i for i in ids if _is_taken(of_entry[i], loss, back)]
        if loss.kind == PAUSED and not taken:
            continue
        settled = tuple(_settled(i, loss.at, ledger, of_entry[i], still_pending) for i in ids)
        found.append(LostWorker(loss.consumer, loss.kind, loss.at, ids, len(taken), settled))
    return tuple(found)


def wasted_seconds(ledger: Ledger) -> float:
    """Return for how long consumers worked at what did not count."""
    return math.fsum(map(ledger.worked, ledger.wasted))


def duplicate_effects(effects: dict[str, int]) -> int:
    """Return how often an effect happened once more than it should have, as a sink's ledger says."""
    return sum(n - 1 for n in effects.values() if n > 1)


def _held(ledger: Ledger, deliveries: list[Delivery], loss: Loss, back: float) -> tuple[str, ...]:
    """Return what was pending for a consumer when it was lost, or was given to it while it stood still.

    The latter it cannot tell: it counts if another one took it over before the consumer went on.
    """
    # Ascending: they are in the order of the log.
    until = bisect.bisect_right(deliveries, loss.at, key=lambda delivery: delivery.delivered)
    held = {d.id: None for d in deliveries[:until] if math.isnan(d.over) or d.over > loss.at}
    if loss.kind == PAUSED:
        overtaken = ledger.consumers[loss.consumer].overtaken
        held |= {entry_id: None for entry_id, at in overtaken.items() if loss.at <= at <= back}
    return tuple(held)


def _back(ledger: Ledger, loss: Loss) -> float:
    """Return when a paused consumer went on; infinity for one that died."""
    pauses = ledger.pauses.get(loss.consumer, ()) if loss.kind != CRASHED else ()
    return next((end for start, end in pauses if start == loss.at), math.inf)


def _is_taken(deliveries: Iterable[Delivery], loss: Loss, back: float) -> bool:
    return any(loss.at <= d.delivered <= back and d.consumer != loss.consumer for d in deliveries)


def _settled(
    entry_id: str, after: float, ledger: Ledger, deliveries: Iterable[Delivery], still_pending: Collection[str]
) -> float:
    """Return when an entry that was held at a moment was settled; NaN if it never was."""
    times = [d.over for d in deliveries if d.outcome in _SETTLES]
    times += [when[entry_id] for when in (ledger.dead_lettered, ledger.trimmed) if entry_id in when]
    later = [at for at in times if at >= after]
    if later:
        return min(later)
    if entry_id in ledger.processed and entry_id not in still_pending:
        # It was acknowledged, and the worker never told: its reply was lost, or it died before.
        return max(ledger.processed[entry_id], after)
    if entry_id in ledger.trimmed:  # before the loss: there was nothing left to be done
        return after
    return math.nan
