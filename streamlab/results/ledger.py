"""`Ledger`: what the events of a run come to, added up as they come.

Queueing's words: the *sojourn time* of an entry is from its XADD until it has first been processed; the
*waiting time* is the part of it before its processing began; *backlog* is what has been added and not yet
delivered; *pending* what has been delivered and not yet acknowledged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Self

from streamlab.actors.events import (
    ACKED,
    ADDED,
    CLAIMED,
    DEAD_LETTERED,
    DELIVERED,
    FAILED,
    GROUP_DESTROYED,
    PROCESSED,
    RECREATED,
    REJECTED,
    REMOVED,
    SERVER_DOWN,
    SERVER_UP,
    STREAM_DELETED,
    TRIMMED,
    VOID,
)
from streamlab.results.actor_records import Actors
from streamlab.results.backlog import Backlog, Changes, ShardedBacklog
from streamlab.results.deliveries import Delivery, Reset, ZombieAck
from streamlab.results.events import Event
from streamlab.scenario import Scenario
from streamlab.scenario.action import LAB


class Ledger:
    """The books of a run: its entries, their deliveries, the consumers, and what befell them.

    Each event is applied once, in amortised constant time, so that looking at a run is as cheap at its end as at its
    beginning. What was heard late (the consumer was paused, or another process's news came first) is told by delivery
    counts: an entry belongs to the consumer of its latest delivery, which need not be the one that was heard of last.

    Attributes
    ----------
    added, producer
        When and by whom each entry was added, by id.
    processed, acked, dead_lettered
        When each entry first was.
    trimmed
        When each entry was removed from the stream, or was first found to be.
    deliveries
        All of them, in the order in which they were heard of.
    last
        The latest delivery of each entry.
    pending
        The deliveries that are pending, by entry id, as far as events tell; the server may know better.
    actors
        What they did and what happened to them; of that, `consumers`, `losses`, `pauses` and `wasted` are here as well.
    processed_again, processed_unasked
        Entries that were processed more than once; by a consumer that was not given them, and that event.
    acked_early
        Entries that were acknowledged before they were processed.
    redelivered
        Entries that were delivered more than once.
    outages
        From when to when the server was down (until infinity if it still is).
    longest_hold
        The longest time from a delivery until it was processed.
    end, last_event, last_work
        When anything last happened to an entry; anything at all; when an entry was last processed.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.added: dict[str, float] = {}
        self.producer: dict[str, str] = {}
        self.processed: dict[str, float] = {}
        self.acked: dict[str, float] = {}
        self.dead_lettered: dict[str, float] = {}
        self.trimmed: dict[str, float] = {}
        self.deliveries: list[Delivery] = []
        self.last: dict[str, Delivery] = {}
        self.pending: dict[str, Delivery] = {}
        self.actors = Actors(scenario, self.processed)
        self.consumers, self.losses = self.actors.consumers, self.actors.losses
        self.pauses, self.wasted = self.actors.pauses, self.actors.wasted
        self.processed_again: dict[str, None] = {}
        self.processed_unasked: dict[str, Event] = {}
        self.acked_early: dict[str, None] = {}
        self.redelivered: dict[str, None] = {}
        self.zombie_acks: list[ZombieAck] = []
        self.resets: list[Reset] = []
        self.outages: list[tuple[float, float]] = []
        self.n_processed = self.n_redelivered = self.n_void = self.n_rejected = 0
        self.end = self.last_event = self.last_work = self.longest_hold = 0.0
        self.changes = Changes()
        backlog = Backlog if scenario.shards is None else ShardedBacklog
        self.backlog = backlog(self.trimmed, self.changes)
        self._earlier: dict[tuple[str, str], Delivery] = {}  # that are not the last of their entries
        self._reset_at = -math.inf
        self._went: Reset | None = None  # when the group last went
        self._uncounted: dict[str, int] = {}  # the count of an entry whose last claim told none (JUSTID)
        self._of_entries: dict[str, Callable[[float, str, str, str], None]] = {
            VOID: self._void, REJECTED: self._rejected, FAILED: self._failed,
            DEAD_LETTERED: self._gone, TRIMMED: self._gone,
        }  # fmt: skip

    @classmethod
    def of(cls, scenario: Scenario, events: Iterable[Event]) -> Self:
        """Return the ledger of these events."""
        ledger = cls(scenario)
        ledger.read(events)
        return ledger

    def read(self, events: Iterable[Event]) -> None:
        """Apply events, and note what each consumer is in the midst of now."""
        apply = self.apply
        for event in events:
            apply(event)
        self.begin()

    def begin(self) -> None:
        """Note since when each consumer has been at what it is in the midst of."""
        for consumer in self.consumers.values():
            consumer.begin()

    def apply(self, event: Event) -> None:
        """Enter an event."""
        at, kind, actor, entry_id, delivery_count = event
        if at > self.last_event:
            self.last_event = at
        if kind == ADDED:
            self.added[entry_id] = at
            self.producer[entry_id] = actor
            self.backlog.add(entry_id, at)
        elif kind in (DELIVERED, CLAIMED):
            self._given(at, kind, actor, entry_id, delivery_count)
        elif kind == PROCESSED:
            self._processed(event)
        elif kind == ACKED:
            self._acked(at, actor, entry_id)
        elif kind in self._of_entries:
            self._of_entries[kind](at, kind, actor, entry_id)
        else:
            self._befell(at, kind, actor, entry_id, delivery_count)
            return
        if at > self.end:
            self.end = at

    # ---- what happens to entries ---------------------------------------------------------------

    def _given(self, at: float, kind: str, actor: str, entry_id: str, delivery_count: int) -> None:
        delivery = Delivery(entry_id, actor, at, delivery_count, kind == CLAIMED)
        self.deliveries.append(delivery)
        consumer = self.consumers.get(actor) or self.actors.consumer(actor)
        if delivery.claimed:
            consumer.claimed += 1
        else:
            consumer.delivered += 1
        consumer.take(delivery)
        self.actors.is_busy(consumer, at)
        before = self.last.get(entry_id)
        is_late = before is not None and self._is_late(before, delivery_count)
        if delivery.is_again or (before is not None and not is_late):
            self.n_redelivered += 1
            self.redelivered[entry_id] = None
        if before is not None:
            if is_late:
                self._overtaken(delivery, before)
                return
            self._end(before, at, kind)
            self._earlier[entry_id, before.consumer] = before
            if not delivery_count:
                self._uncounted[entry_id] = self._count(before)
        if delivery.claimed and delivery_count > 1:
            self._look_for_unheard(delivery, before)
        self.last[entry_id] = self.pending[entry_id] = delivery
        # A reply may overtake the news of its own XADD, but no entry is read before it is added.
        when = max(at, self.added.get(entry_id, 0.0))
        own = self.backlog.reach(entry_id, when, self.added) if before is None or self.resets else 0
        self.changes.add(when, -own, 1)
        if self._went is not None and at < self._went.at:  # heard of only after the group had gone
            self._end(delivery, self._went.at, self._went.kind)

    def _is_late(self, before: Delivery, delivery_count: int) -> bool:
        """Return whether a delivery came before one that has been heard of already."""
        return 0 < delivery_count < self._count(before) and before.delivered > self._reset_at

    def _count(self, delivery: Delivery) -> int:
        return delivery.delivery_count or self._uncounted.get(delivery.id, 0)

    def _overtaken(self, delivery: Delivery, by: Delivery) -> None:
        """Note that a consumer was given something that another one had taken by the time it told."""
        delivery.over, delivery.outcome = delivery.delivered, CLAIMED
        self._earlier[delivery.id, delivery.consumer] = delivery
        if delivery.consumer != by.consumer:
            self.consumers[delivery.consumer].overtaken.setdefault(delivery.id, by.delivered)

    def _look_for_unheard(self, delivery: Delivery, before: Delivery | None) -> None:
        """Find from whom an entry was taken that nobody told to have been given it.

        One that stands still waiting for entries is given the next one, and cannot tell; if it never goes on, nothing
        but the delivery count betrays it. It is said only where it can have been nobody else.
        """
        known = self._count(before) if before is not None and before.delivered > self._reset_at else 0
        if known + 1 >= delivery.delivery_count:
            return
        holder = self.actors.the_one_paused(delivery.consumer)
        if holder is not None:
            holder.overtaken.setdefault(delivery.id, delivery.delivered)

    def _processed(self, event: Event) -> None:
        at, _, actor, entry_id, _ = event
        self.n_processed += 1
        if at > self.last_work:
            self.last_work = at
        consumer = self.consumers.get(actor) or self.actors.consumer(actor)
        delivery = consumer.leave(entry_id, at)
        if delivery is not None:
            self.actors.is_idle(consumer, at)
            if at - delivery.delivered > self.longest_hold:
                self.longest_hold = at - delivery.delivered
        else:
            delivery = self._delivery(entry_id, actor)
        if delivery is None:
            self.processed_unasked.setdefault(entry_id, event)
        else:
            if delivery.processed != delivery.processed:  # NaN
                consumer.processed += 1
            delivery.processed = at
        if entry_id not in self.processed:
            self.processed[entry_id] = at
        else:
            self.processed_again[entry_id] = None
            consumer.processed_again += 1
            if delivery is not None and delivery.left == delivery.left:
                self.wasted.append(delivery)
        consumer.free_at = at

    def _acked(self, at: float, actor: str, entry_id: str) -> None:
        self.acked.setdefault(entry_id, at)
        owned = self.last.get(entry_id)
        if actor != LAB:
            consumer = self.consumers.get(actor) or self.actors.consumer(actor)
            consumer.free_at = at
            delivery = self._delivery(entry_id, actor)
            if delivery is not None:
                if delivery.acked != delivery.acked:  # NaN
                    consumer.acked += 1
                delivery.acked = at
        if owned is not None:
            if owned.consumer != actor != LAB:
                owner = owned.consumer if owned.is_pending else ""
                self.zombie_acks.append(ZombieAck(at, entry_id, actor, owner))
            self._end(owned, at, ACKED)
        if entry_id not in self.processed and entry_id not in self.dead_lettered:
            self.acked_early[entry_id] = None

    def _void(self, at: float, kind: str, actor: str, entry_id: str) -> None:
        self.n_void += 1
        owned = self.last.get(entry_id)
        if owned is not None:
            self._end(owned, at, kind)
        consumer = self.actors.consumer(actor)
        self.actors.done_with(consumer, entry_id, at)
        consumer.free_at = at

    def _rejected(self, at: float, kind: str, actor: str, entry_id: str) -> None:
        self.n_rejected += 1
        consumer = self.actors.consumer(actor)
        self.actors.done_with(consumer, entry_id, at)
        consumer.free_at = at

    def _failed(self, at: float, kind: str, actor: str, entry_id: str) -> None:
        self.actors.failed(self.actors.consumer(actor), entry_id, at)

    def _gone(self, at: float, kind: str, actor: str, entry_id: str) -> None:
        if kind == DEAD_LETTERED:
            self.dead_lettered.setdefault(entry_id, at)
        elif entry_id not in self.trimmed:
            self.trimmed[entry_id] = at
            self.backlog.trim(entry_id, at, self.added)
        # What is trimmed behind everybody's back stays pending until a consumer finds it gone.
        if actor != LAB:
            owned = self.last.get(entry_id)
            if owned is not None:
                self._end(owned, at, kind)
            self.actors.done_with(self.actors.consumer(actor), entry_id, at)

    def _end(self, delivery: Delivery, at: float, kind: str) -> None:
        """Note how a delivery ended, unless it is known."""
        if not delivery.outcome:
            delivery.over, delivery.outcome = at, kind
            del self.pending[delivery.id]
            self.changes.add(max(at, self.added.get(delivery.id, 0.0)), 0, -1)

    def _delivery(self, entry_id: str, actor: str) -> Delivery | None:
        """Return an entry's latest delivery to a consumer."""
        delivery = self.last.get(entry_id)
        if delivery is not None and delivery.consumer == actor:
            return delivery
        return self._earlier.get((entry_id, actor))

    # ---- what happens to actors, to the server and to the group --------------------------------

    def _befell(self, at: float, kind: str, actor: str, entry_id: str, n: int) -> None:
        if kind in (GROUP_DESTROYED, STREAM_DELETED, RECREATED):
            self._reset(at, kind, entry_id)
        elif kind == REMOVED:
            self._removed(at, actor, n)
        elif kind == SERVER_DOWN:
            self.outages.append((at, math.inf))
        elif kind == SERVER_UP:
            self.outages[-1:] = [(begin, at) for begin, _ in self.outages[-1:]]
        elif self.actors.befell(at, kind, actor):
            self.end = max(self.end, at)  # until then it worked

    def _removed(self, at: float, name: str, n: int) -> None:
        """Note that a consumer was removed from the group, with `n` entries that were pending for it."""
        record = self.consumers.get(name)
        held = record.owned if record is not None else ()
        if n:
            lost = [delivery for delivery in self.pending.values() if delivery.consumer == name]
            held = tuple(delivery.id for delivery in lost)
            for delivery in lost:
                self._end(delivery, at, REMOVED)
        self.actors.removed.append((name, at, held))

    def _reset(self, at: float, kind: str, entry_id: str) -> None:
        reset = Reset(at, kind, entry_id)
        self.resets.append(reset)
        self._reset_at = at
        if kind == RECREATED:
            self.backlog.move(entry_id, at)
            return
        self._went = reset
        for delivery in list(self.pending.values()):
            self._end(delivery, at, kind)
        if kind == STREAM_DELETED:
            self.backlog.delete(at)

    # ---- questions -----------------------------------------------------------------------------

    @property
    def duplicates(self) -> int:
        """Times that an entry was processed again."""
        return self.n_processed - len(self.processed)

    @property
    def lost(self) -> int:
        """Entries that nobody has processed or will: they were removed with a consumer, or acknowledged."""
        gone = {*self.acked_early, *(entry_id for _, _, held in self.actors.removed for entry_id in held)}
        for places in (self.processed, self.dead_lettered, self.trimmed, self.pending):
            gone = {entry_id for entry_id in gone if entry_id not in places}
        in_hand = {entry_id for record in self.consumers.values() for entry_id in record.in_hand} if gone else ()
        return sum(entry_id not in in_hand for entry_id in gone)

    def is_duplicate(self, delivery: Delivery) -> bool:
        """Return whether a delivery was processed though its entry had been; or its consumer is about to do so."""
        if delivery.processed == delivery.processed:  # not NaN
            return self.processed[delivery.id] != delivery.processed
        return self.actors.is_unaware_of(delivery)

    def owner(self, entry_id: str) -> str:
        """Return for which consumer an entry is pending; "" for none."""
        delivery = self.pending.get(entry_id)
        return delivery.consumer if delivery is not None else ""

    def was_tried(self, entry_id: str) -> bool:
        """Return whether a handler ever had an entry, as far as it mattered.

        It was processed or failed, or it was the one that was being processed when its consumer died or lost its
        connection.
        """
        return entry_id in self.processed or entry_id in self.actors.tried_in_vain

    def worked(self, delivery: Delivery) -> float:
        """Return for how many seconds its consumer worked on an entry; while it is paused it does not."""
        return self.consumers[delivery.consumer].worked(delivery)

    def sojourns(self) -> list[float]:
        """Return, for every entry that was processed, the seconds from XADD to its first processing."""
        added = self.added
        return [at - added[entry_id] for entry_id, at in self.processed.items() if entry_id in added]

    def waits(self) -> Iterator[float]:
        """Yield, for every delivery that was processed, the seconds from XADD to the begin of processing."""
        added = self.added
        for delivery in self.deliveries:
            if delivery.id in added and not math.isnan(delivery.processed):
                yield delivery.begun - added[delivery.id]
