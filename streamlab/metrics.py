"""From events to figures: pure functions over an `EventLog`.

Queueing's words: the *sojourn time* of an entry is from its XADD until it has first been processed; the
*waiting time* is the part of it before its processing began; *backlog* is what has been added and not yet
delivered; *pending* what has been delivered and not yet acknowledged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from streamlab.events import (
    ACKED,
    ADDED,
    CLAIMED,
    CRASHED,
    DEAD_LETTERED,
    DELIVERED,
    DISCONNECTED,
    FAILED,
    GROUP_DESTROYED,
    PAUSED,
    PROCESSED,
    RECREATED,
    REJECTED,
    RESUMED,
    STARTED,
    STOPPED,
    STREAM_DELETED,
    TRIMMED,
    VOID,
    Event,
)

#: Who is said to have trimmed a stream behind everybody's back.
_LAB: Final = "lab"


@dataclass(slots=True)
class Stint:
    """An entry with a consumer, from its delivery on; in seconds, NaN for never.

    `begun` and `left` are when the consumer began to work at it and when it stopped: it was `processed`,
    or the handler failed, or the consumer died or lost its connection over it. `over` is when the entry was
    no longer pending for this consumer, and `outcome` the kind of event by which that came: acknowledged
    (by whomever), delivered or claimed once more, dead-lettered, trimmed, void, or the group was gone.
    """

    id: str
    consumer: str
    delivered: float
    delivery_count: int
    claimed: bool
    begun: float = math.nan
    processed: float = math.nan
    acked: float = math.nan
    left: float = math.nan
    over: float = math.nan
    outcome: str = ""

    @property
    def is_pending(self) -> bool:
        """Whether, as far as events tell, it was pending for this consumer at the end."""
        return not self.outcome


class Spread(NamedTuple):
    """Where times lie, in seconds; all NaN if there are none."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: float


class Loss(NamedTuple):
    """A consumer died (``crashed``) or stood still (``paused``), at so many seconds."""

    at: float
    kind: str
    consumer: str


class ZombieAck(NamedTuple):
    """An entry was acknowledged by a consumer that did not own it: `owner` did ("": nobody)."""

    at: float
    id: str
    consumer: str
    owner: str


@dataclass(frozen=True, slots=True)
class ConsumerMetrics:
    """What one consumer did. `utilisation` is the part of the run's time that it was processing."""

    delivered: int
    processed: int
    acked: int
    claimed: int
    pending: int
    utilisation: float


class Lives:
    """The events of a run, sorted by entry: when each was added, and its stints with consumers."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.added: dict[str, float] = {}
        self.producer: dict[str, str] = {}  #: by whom it was added
        self.processed: dict[str, float] = {}  #: when it was first processed
        self.acked: set[str] = set()
        self.stints: list[Stint] = []
        self.last: dict[str, Stint] = {}  #: the latest stint of each entry
        self.dead_lettered: dict[str, float] = {}
        self.trimmed: dict[str, float] = {}  #: when it was removed, or first found to be
        self.recreated: list[
            tuple[float, str]
        ] = []  #: when the group was made anew, and from which id
        self.losses: list[Loss] = []
        self.pauses: dict[str, list[tuple[float, float]]] = {}
        self.n_processed = 0
        self.n_redelivered = 0
        self.n_void = 0
        self.n_rejected = 0
        self.zombie_acks: list[ZombieAck] = []
        self.end = 0.0
        self.ack_without_effect: list[str] = []
        self._earlier: dict[tuple[str, str], Stint] = {}
        self._in_hand: dict[str, dict[str, Stint]] = {}  # of each consumer, what it has yet to do
        self._free_at: dict[str, float] = {}  # when the consumer was last done with something
        self._read(events)

    def _read(self, events: Iterable[Event]) -> None:
        added, producer, last, in_hand = self.added, self.producer, self.last, self._in_hand
        for at, kind, actor, entry_id, delivery_count in events:
            if kind == ADDED:
                added[entry_id] = at
                producer[entry_id] = actor
            elif kind in (DELIVERED, CLAIMED):
                stint = Stint(entry_id, actor, at, delivery_count, kind == CLAIMED)
                self.stints.append(stint)
                before = last.get(entry_id)
                if before is not None:
                    self.n_redelivered += 1
                    _end(before, at, kind)
                    self._earlier[entry_id, before.consumer] = before
                elif kind == CLAIMED or delivery_count > 1:
                    self.n_redelivered += 1
                last[entry_id] = stint
                in_hand.setdefault(actor, {})[entry_id] = stint
            elif kind == PROCESSED:
                self.n_processed += 1
                self.processed.setdefault(entry_id, at)
                done = self._leave(entry_id, actor, at)
                if done is not None:
                    done.processed = at
                self._free_at[actor] = at
            elif kind == ACKED:
                self._acked(entry_id, actor, at)
            elif not self._read_rare(at, kind, actor, entry_id):
                continue
            self.end = max(self.end, at)
        for name, waiting in in_hand.items():
            if waiting:  # it was at work when the run ended
                stint = next(iter(waiting.values()))
                stint.begun = max(stint.delivered, self._free_at.get(name, 0.0))

    def _acked(self, entry_id: str, actor: str, at: float) -> None:
        self.acked.add(entry_id)
        stint = self._stint(entry_id, actor)
        if stint is not None:
            stint.acked = at
        owned = self.last.get(entry_id)
        if owned is not None:
            if owned.consumer != actor:
                owner = owned.consumer if owned.is_pending else ""
                self.zombie_acks.append(ZombieAck(at, entry_id, actor, owner))
            _end(owned, at, ACKED)
        if entry_id not in self.processed and entry_id not in self.dead_lettered:
            self.ack_without_effect.append(entry_id)
        self._free_at[actor] = at

    def _read_rare(self, at: float, kind: str, actor: str, entry_id: str) -> bool:
        """Read an event that is not of every entry's life; return whether it is of any entry's."""
        if kind in (VOID, REJECTED):
            if kind == VOID:
                self.n_void += 1
                owned = self.last.get(entry_id)
            else:
                self.n_rejected += 1
                owned = self._earlier.get((entry_id, actor))
            if owned is not None:
                _end(owned, at, kind)
            self._free_at[actor] = at
        elif kind == FAILED:
            self._leave(entry_id, actor, at)
            self._free_at[actor] = at
        elif kind in (DEAD_LETTERED, TRIMMED):
            (self.trimmed if kind == TRIMMED else self.dead_lettered).setdefault(entry_id, at)
            owned = self.last.get(entry_id)
            # What is trimmed behind everybody's back stays pending until a consumer finds it gone.
            if owned is not None and actor != _LAB:
                _end(owned, at, kind)
                if owned.consumer == actor:
                    self._in_hand[actor].pop(entry_id, None)
        else:
            self._read_of_actors(at, kind, actor, entry_id)
            return False
        return True

    def _read_of_actors(self, at: float, kind: str, actor: str, entry_id: str) -> None:
        if kind in (GROUP_DESTROYED, STREAM_DELETED):
            for stint in self.last.values():
                _end(stint, at, kind)
        elif kind == RECREATED:
            self.recreated.append((at, entry_id))
        elif kind == PAUSED:
            self.losses.append(Loss(at, kind, actor))
            self.pauses.setdefault(actor, []).append((at, math.inf))
        elif kind in (RESUMED, STARTED, CRASHED, STOPPED, DISCONNECTED):
            pauses = self.pauses.get(actor, [])
            if kind != DISCONNECTED and pauses and pauses[-1][1] == math.inf:
                pauses[-1] = (pauses[-1][0], at)
            if kind == CRASHED:
                self.losses.append(Loss(at, kind, actor))
            if kind != RESUMED:
                # It comes to nothing that it has in hand, and will be given it anew.
                in_hand = self._in_hand.get(actor)
                if in_hand:
                    self._leave(next(iter(in_hand)), actor, at)
                    in_hand.clear()
                    self.end = max(self.end, at)  # until then it worked
            if kind == STARTED:
                self._free_at[actor] = at

    def _leave(self, entry_id: str, actor: str, at: float) -> Stint | None:
        """Note that a consumer stops working at an entry; return its stint, if it had one.

        One after the other: what was prefetched waits for what came before it. What it passed over it will
        not come to any more.
        """
        waiting = self._in_hand.get(actor)
        if not waiting or entry_id not in waiting:
            return self._stint(entry_id, actor)
        first = ""
        while first != entry_id:
            first = next(iter(waiting))
            stint = waiting.pop(first)
        stint.begun = max(stint.delivered, self._free_at.get(actor, 0.0))
        stint.left = at
        return stint

    def _stint(self, entry_id: str, actor: str) -> Stint | None:
        stint = self.last.get(entry_id)
        if stint is not None and stint.consumer == actor:
            return stint
        return self._earlier.get((entry_id, actor))

    def sojourns(self) -> list[float]:
        """Return, for every entry that was processed, the seconds from XADD to its first processing."""
        added = self.added
        return [
            at - added[entry_id] for entry_id, at in self.processed.items() if entry_id in added
        ]

    def waits(self) -> list[float]:
        """Return, for every stint that was processed, the seconds from XADD to the begin of processing."""
        added = self.added
        return [
            stint.begun - added[stint.id]
            for stint in self.stints
            if stint.id in added and not math.isnan(stint.processed)
        ]

    def consumers(self, names: Iterable[str]) -> dict[str, ConsumerMetrics]:
        """Return what each consumer did; those of `names` that did nothing are there as well."""
        by_name: dict[str, list[Stint]] = {name: [] for name in names}
        for stint in self.stints:
            by_name.setdefault(stint.consumer, []).append(stint)
        pending: dict[str, int] = dict.fromkeys(by_name, 0)
        for stint in self.last.values():
            pending[stint.consumer] += stint.is_pending
        return {
            name: ConsumerMetrics(
                delivered=sum(not stint.claimed for stint in stints),
                processed=sum(not math.isnan(stint.processed) for stint in stints),
                acked=sum(not math.isnan(stint.acked) for stint in stints),
                claimed=sum(stint.claimed for stint in stints),
                pending=pending[name],
                utilisation=math.fsum(map(self.worked, stints)) / self.end if self.end else 0.0,
            )
            for name, stints in by_name.items()
        }

    def worked(self, stint: Stint) -> float:
        """Return for how many seconds its consumer worked at an entry; while it is paused it does not."""
        if math.isnan(stint.left):
            return 0.0
        seconds = stint.left - stint.begun
        for start, end in self.pauses.get(stint.consumer, ()):
            seconds -= max(min(end, stint.left) - max(start, stint.begun), 0.0)
        return seconds

    def mean_in_system(self) -> float:
        """Return how many entries were in the system on average: added, and not yet processed or given up.

        Found by adding up areas under the curve, not by Little's law, which says that it equals the
        arrival rate times the mean sojourn time.
        """
        gone = self.trimmed | self.dead_lettered | self.processed
        changes = sorted(
            [(at, 1) for at in self.added.values()] + [(at, -1) for at in gone.values()]
        )
        area, inside, before = 0.0, 0, 0.0
        for at, change in changes:
            area += inside * (at - before)
            inside += change
            before = at
        return area / self.end if self.end else 0.0


def id_key(entry_id: str) -> tuple[int, int]:
    """Return what entry ids are sorted by: milliseconds, then sequence number."""
    ms, _, seq = entry_id.partition("-")
    return int(ms), int(seq)


def _end(stint: Stint, at: float, kind: str) -> None:
    """Note how a stint ended, unless it is known."""
    if not stint.outcome:
        stint.over, stint.outcome = at, kind


def quantile(ordered: Sequence[float], q: float) -> float:
    """Return the `q` quantile of ascending values, interpolated linearly; NaN if there are none."""
    if not ordered:
        return math.nan
    at = q * (len(ordered) - 1)
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


def spread(times: Iterable[float]) -> Spread:
    """Return mean, median, 95th and 99th percentile and maximum."""
    ordered = sorted(times)
    if not ordered:
        return Spread(math.nan, math.nan, math.nan, math.nan, math.nan)
    return Spread(
        math.fsum(ordered) / len(ordered),
        quantile(ordered, 0.5),
        quantile(ordered, 0.95),
        quantile(ordered, 0.99),
        ordered[-1],
    )
