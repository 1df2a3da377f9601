"""From events to figures: pure functions over an `EventLog`.

Queueing's words: the *sojourn time* of an entry is from its XADD until it has first been processed; the
*waiting time* is the part of it before its processing began; *backlog* is what has been added and not yet
delivered; *pending* what has been delivered and not yet acknowledged.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streamlab.events import ACKED, ADDED, CLAIMED, DEAD_LETTERED, DELIVERED, PROCESSED, Event

#: Seconds within which two events are of one moment: sums of binary fractions that should be equal differ.
_SAME_MOMENT = 1e-9


@dataclass(slots=True)
class Stint:
    """An entry with a consumer: delivered, begun, processed, acknowledged; in seconds, NaN for never."""

    id: str
    consumer: str
    delivered: float
    delivery_count: int
    claimed: bool
    begun: float = math.nan
    processed: float = math.nan
    acked: float = math.nan


class Spread(NamedTuple):
    """Where times lie, in seconds; all NaN if there are none."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: float


class Series(NamedTuple):
    """Counts over time: `backlog[i]` and `pending[i]` hold from `at[i]` (seconds) until `at[i + 1]`."""

    at: list[float]
    backlog: list[int]
    pending: list[int]


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
        self.stints: list[Stint] = []
        self.dead_lettered: set[str] = set()
        self.n_processed = 0
        self.n_redelivered = 0
        self.end = 0.0
        self.ack_without_effect: list[str] = []
        acked: set[str] = set()
        held: dict[tuple[str, str], Stint] = {}
        free_at: dict[str, float] = {}  # when the consumer was last done with something
        for at, kind, actor, entry_id, delivery_count in events:
            if kind == ADDED:
                self.added[entry_id] = at
                self.producer[entry_id] = actor
            elif kind in (DELIVERED, CLAIMED):
                stint = Stint(entry_id, actor, at, delivery_count, kind == CLAIMED)
                self.stints.append(stint)
                held[entry_id, actor] = stint
                if kind == CLAIMED or delivery_count > 1:
                    self.n_redelivered += 1
            elif kind == PROCESSED:
                self.n_processed += 1
                self.processed.setdefault(entry_id, at)
                done = held.get((entry_id, actor))
                if done is not None:
                    # One after the other: what was prefetched waits for what came before it.
                    done.begun = max(done.delivered, free_at.get(actor, 0.0))
                    done.processed = at
                free_at[actor] = at
            elif kind == ACKED:
                acked.add(entry_id)
                done = held.pop((entry_id, actor), None)
                if done is not None:
                    done.acked = at
                if entry_id not in self.processed and entry_id not in self.dead_lettered:
                    self.ack_without_effect.append(entry_id)
                free_at[actor] = at
            elif kind == DEAD_LETTERED:
                self.dead_lettered.add(entry_id)
            else:
                continue
            self.end = max(self.end, at)
        self.acked = acked

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
            if stint.id in added and not math.isnan(stint.begun)
        ]

    def consumers(self, names: Iterable[str]) -> dict[str, ConsumerMetrics]:
        """Return what each consumer did; those of `names` that did nothing are there as well."""
        by_name: dict[str, list[Stint]] = {name: [] for name in names}
        for stint in self.stints:
            by_name.setdefault(stint.consumer, []).append(stint)
        # Owned at the end: an entry belongs to whoever had it last, until anyone acknowledged it.
        owner = {stint.id: stint.consumer for stint in self.stints}
        pending: dict[str, int] = dict.fromkeys(by_name, 0)
        for entry_id, name in owner.items():
            if entry_id not in self.acked:
                pending[name] += 1
        return {
            name: ConsumerMetrics(
                delivered=sum(not stint.claimed for stint in stints),
                processed=sum(not math.isnan(stint.processed) for stint in stints),
                acked=sum(not math.isnan(stint.acked) for stint in stints),
                claimed=sum(stint.claimed for stint in stints),
                pending=pending[name],
                utilisation=_busy(stints) / self.end if self.end else 0.0,
            )
            for name, stints in by_name.items()
        }

    def series(self) -> Series:
        """Return how backlog and pending went; one point for every moment at which one of them changed.

        An entry that was trimmed before anybody was given it leaves the backlog when a later one is
        delivered: a group's position only moves on, so from then on it cannot be delivered any more.
        """
        changes: list[tuple[float, int, int]] = [(at, 1, 0) for at in self.added.values()]
        in_line = deque(sorted(self.added, key=id_key))
        last = {stint.id: stint for stint in self.stints}
        seen: set[str] = set()
        for stint in self.stints:
            if stint.id not in seen:
                seen.add(stint.id)
                # A reply may overtake the news of its own XADD, but no entry is read before it is added.
                at = max(stint.delivered, self.added.get(stint.id, 0.0))
                changes.append((at, 0, 1))
                while in_line and id_key(in_line[0]) <= id_key(stint.id):
                    gone = in_line.popleft()
                    changes.append((max(at, self.added[gone]), -1, 0))
            if not math.isnan(stint.acked) and stint is last[stint.id]:
                changes.append((stint.acked, 0, -1))
        changes.sort(key=lambda change: change[0])
        series = Series([0.0], [0], [0])
        backlog = pending = 0
        for at, more_backlog, more_pending in changes:
            backlog += more_backlog
            pending += more_pending
            if at - series.at[-1] < _SAME_MOMENT:
                series.backlog[-1], series.pending[-1] = backlog, pending
            else:
                series.at.append(at)
                series.backlog.append(backlog)
                series.pending.append(pending)
        return series

    def mean_in_system(self) -> float:
        """Return how many entries were in the system on average: added, and not yet processed.

        Found by adding up areas under the curve, not by Little's law, which says that it equals the
        arrival rate times the mean sojourn time.
        """
        changes = sorted(
            [(at, 1) for at in self.added.values()] + [(at, -1) for at in self.processed.values()]
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


def _busy(stints: Iterable[Stint]) -> float:
    return sum(stint.processed - stint.begun for stint in stints if not math.isnan(stint.processed))


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
