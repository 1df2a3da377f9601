"""`Ledger`: what the events of a run come to, added up as they come.

Queueing's words: the *sojourn time* of an entry is from its XADD until it has first been processed; the
*waiting time* is the part of it before its processing began; *backlog* is what has been added and not yet
delivered; *pending* what has been delivered and not yet acknowledged.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable
from typing import Self

from streamlab.actors.events import (
    ACKED,
    ADDED,
    CLAIMED,
    DEAD_LETTERED,
    DELIVERED,
    FAILED,
    GROUP_DESTROYED,
    LOST,
    PROCESSED,
    RECREATED,
    REJECTED,
    REMOVED,
    SERVER_DOWN,
    SERVER_UP,
    SET_BACK,
    STREAM_DELETED,
    TRIMMED,
    VOID,
    EventKind,
)
from streamlab.results.actor_records import Actors, ConsumerRecord
from streamlab.results.answers import Answers
from streamlab.results.backlog import Backlog, Changes, ShardedBacklog
from streamlab.results.columns import Numbers, Times, lengthened
from streamlab.results.deliveries import OUTCOME, Deliveries, Latest, Pending, Producers, Reset, ZombieAck
from streamlab.results.events import CODES, Event, EventLog, Row
from streamlab.scenario import Scenario
from streamlab.scenario.action import LAB


class Ledger(Answers):
    """The books of a run: its entries, their deliveries, the consumers, and what befell them.

    Each event is applied once, in amortised constant time, so that looking at a run is as cheap at its end as at its
    beginning. What was heard late is told by delivery counts: an entry belongs to the consumer of its latest delivery,
    which need not be the one that was heard of last.

    Attributes
    ----------
    added, producer
        When and by whom each entry was added, by id.
    processed, acked, dead_lettered, trimmed
        When each entry first was; trimmed is also what was first found to be, or was forgotten by its server.
    deliveries, last
        All of them, in the order in which they were heard of; the latest of each entry.
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
        self.ids = ids = Numbers()
        self.n_known = 0  # entries for which there is room in the columns
        self.added, self.processed, self.acked = Times(ids), Times(ids), Times(ids)
        producer, last = array("H"), array("I")  # by entry: a name of `deliveries`; its number and one more
        self.dead_lettered: dict[str, float] = {}
        self.trimmed: dict[str, float] = {}
        self.deliveries = Deliveries(ids)
        self.producer = Producers(self.added, ids, self.deliveries.names, producer)
        self.last = Latest(ids, self.deliveries, last)
        self.pending = Pending(ids, self.deliveries)
        self.actors = Actors(scenario, self.deliveries, self.processed)
        self.consumers, self.losses, self.pauses = self.actors.consumers, self.actors.losses, self.actors.pauses
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
        self.backlog = backlog(ids, self.added.at, self.trimmed, self.changes)
        self._earlier: dict[tuple[int, int], int] = {}  # by entry and consumer, if not the last of their entries
        self._reset_at = -math.inf
        self._went: Reset | None = None  # when the group last went
        self._uncounted: dict[int, int] = {}  # the count of an entry whose last claim told none (JUSTID)
        self._of_entries: dict[str, Callable[[float, EventKind, str, int, int], None]] = {
            ADDED: self._was_added, DELIVERED: self._given, CLAIMED: self._given, PROCESSED: self._was_processed,
            ACKED: self._was_acked, VOID: self._void, REJECTED: self._rejected, FAILED: self._failed,
            DEAD_LETTERED: self._gone, TRIMMED: self._gone, LOST: self._gone,
        }  # fmt: skip

    @classmethod
    def of(cls, scenario: Scenario, events: Iterable[Event]) -> Self:
        """Return the ledger of these events."""
        ledger = cls(scenario)
        ledger.read(events)
        return ledger

    def read(self, events: Iterable[Event]) -> None:
        """Apply events, and note what each consumer is in the midst of now."""
        for event in events:
            self.apply(event)
        self.begin()

    def read_from(self, log: EventLog, first: int) -> None:
        """Apply a log's events from a number on, as `read` does."""
        self._make_room_for(log.columns(first).kinds)
        for row in log.rows(first):
            self.apply(row)
        self.begin()

    def begin(self) -> None:
        """Note since when each consumer has been at what it is in the midst of."""
        for consumer in self.consumers.values():
            consumer.begin()

    def apply(self, event: Row) -> None:
        """Enter an event, or what it consists of."""
        at, kind, actor, entry_id, delivery_count = event
        if at > self.last_event:
            self.last_event = at
        enter = self._of_entries.get(kind)
        if enter is None:
            self._befell(at, kind, actor, entry_id, delivery_count)
            return
        entry = self.ids[entry_id]
        if entry >= self.n_known:
            self.make_room(entry)
        enter(at, kind, actor, entry, delivery_count)
        if at > self.end:
            self.end = at

    def make_room(self, entry: int) -> None:
        """Make the columns longer, so that an entry has a place in them."""
        times, numbers = (self.added.at, self.processed.at, self.acked.at), (self.producer.numbers, self.last.numbers)
        self.n_known = lengthened(self.n_known, *times, *numbers, least=entry)

    def _make_room_for(self, kinds: bytes) -> None:
        """Make the columns as long as events of these kinds need them: little by little, it would take more memory."""
        n_added, n_given = kinds.count(CODES[ADDED]), kinds.count(CODES[DELIVERED]) + kinds.count(CODES[CLAIMED])
        if n_added:
            self.make_room(self.n_known + n_added)
        if n_given:
            self.deliveries.make_room(len(self.deliveries) + n_given)

    # ---- what happens to entries ---------------------------------------------------------------

    def _was_added(self, at: float, kind: EventKind, actor: str, entry: int, delivery_count: int) -> None:
        if not self.added.note(entry, at):
            self.added.at[entry] = at
        self.producer.numbers[entry] = self.deliveries.names[actor]
        self.backlog.add(entry, at)

    def _given(self, at: float, kind: EventKind, actor: str, entry: int, delivery_count: int) -> None:
        consumer = self.consumers.get(actor) or self.actors.consumer(actor)
        is_claimed = kind == CLAIMED
        delivery = self.deliveries.add(entry, consumer.number, at, delivery_count, is_claimed)
        if is_claimed:
            consumer.claimed += 1
        else:
            consumer.delivered += 1
        consumer.take(entry, delivery, at)
        if self.actors.abandoned:
            self.actors.is_busy(consumer, at)
        else:
            consumer.idle_since = math.nan
        before = self.last.numbers[entry] - 1
        is_again = before >= 0 or is_claimed or delivery_count > 1
        if is_again and self._given_again(at, kind, entry, delivery, before):
            return
        self.last.numbers[entry] = delivery + 1
        self.pending.numbers[entry] = delivery
        # A reply may overtake the news of its own XADD, but no entry is read before it is added.
        added = self.added.at[entry]
        when = added if added > at else at
        own = self.backlog.reach(entry, when) if before < 0 or self.resets else 0
        self.changes.add(when, -own, 1)
        went = self._went
        if went is not None and at < went.at and went.concerns(self.ids.texts[entry]):  # heard of only afterwards
            self._end(entry, delivery, went.at, went.kind)

    def _given_again(self, at: float, kind: EventKind, entry: int, delivery: int, before: int) -> bool:
        """Note that an entry has been given before; return whether this was overtaken by what has been heard of."""
        delivery_count = self.deliveries.delivery_count[delivery]
        is_late = before >= 0 and self._is_late(before, delivery_count)
        if self.deliveries.is_again(delivery) or (before >= 0 and not is_late):
            self.n_redelivered += 1
            self.redelivered[self.ids.texts[entry]] = None
        if is_late:
            self._overtaken(delivery, before)
            return True
        if before >= 0:
            self._end(entry, before, at, kind)
            self._earlier[entry, self.deliveries.consumer[before]] = before
            if not delivery_count:
                self._uncounted[entry] = self._count(before)
        if kind == CLAIMED and delivery_count > 1:
            self._look_for_unheard(delivery, before)
        return False

    def _is_late(self, before: int, delivery_count: int) -> bool:
        """Return whether a delivery came before one that has been heard of already."""
        return 0 < delivery_count < self._count(before) and self.deliveries.delivered[before] > self._reset_at

    def _count(self, delivery: int) -> int:
        return self.deliveries.delivery_count[delivery] or self._uncounted.get(self.deliveries.entry[delivery], 0)

    def _overtaken(self, delivery: int, by: int) -> None:
        """Note that a consumer was given something that another one had taken by the time it told."""
        deliveries = self.deliveries
        entry, consumer = deliveries.entry[delivery], deliveries.consumer[delivery]
        deliveries.over[delivery], deliveries.outcome[delivery] = deliveries.delivered[delivery], OUTCOME[CLAIMED]
        self._earlier[entry, consumer] = delivery
        if consumer != deliveries.consumer[by]:
            overtaken = self.consumers[deliveries.names.texts[consumer]].overtaken
            overtaken.setdefault(self.ids.texts[entry], deliveries.delivered[by])

    def _look_for_unheard(self, delivery: int, before: int) -> None:
        """Find from whom an entry was taken that nobody told to have been given it.

        One that stands still waiting for entries is given the next one, and cannot tell; if it never goes on, nothing
        but the delivery count betrays it. It is said only where it can have been nobody else.
        """
        deliveries = self.deliveries
        known = self._count(before) if before >= 0 and deliveries.delivered[before] > self._reset_at else 0
        if known + 1 >= deliveries.delivery_count[delivery]:
            return
        holder = self.actors.the_one_paused(deliveries.names.texts[deliveries.consumer[delivery]])
        if holder is not None:
            entry_id = self.ids.texts[deliveries.entry[delivery]]
            holder.overtaken.setdefault(entry_id, deliveries.delivered[delivery])

    def _was_processed(self, at: float, kind: EventKind, actor: str, entry: int, delivery_count: int) -> None:
        self.n_processed += 1
        if at > self.last_work:
            self.last_work = at
        consumer = self.consumers.get(actor) or self.actors.consumer(actor)
        deliveries = self.deliveries
        delivery = consumer.leave(entry, at)
        if delivery is not None:
            if not consumer.in_hand:
                consumer.idle_since = at
            held = at - deliveries.delivered[delivery]
            if held > self.longest_hold:
                self.longest_hold = held
        else:
            delivery = self._delivery(entry, consumer)
        if delivery is None:
            entry_id = self.ids.texts[entry]
            self.processed_unasked.setdefault(entry_id, Event(at, kind, actor, entry_id, delivery_count))
        else:
            before = deliveries.processed[delivery]
            if before != before:  # NaN
                consumer.processed += 1
            deliveries.processed[delivery] = at
        if not self.processed.note(entry, at):
            self.processed_again[self.ids.texts[entry]] = None
            consumer.processed_again += 1
            if delivery is not None and not math.isnan(deliveries.left[delivery]):
                self.actors.wasted.append(delivery)
        consumer.free_at = at

    def _was_acked(self, at: float, kind: EventKind, actor: str, entry: int, delivery_count: int) -> None:
        self.acked.note(entry, at)
        deliveries = self.deliveries
        owned = self.last.numbers[entry] - 1
        consumer = None
        if actor != LAB:
            consumer = self.consumers.get(actor) or self.actors.consumer(actor)
            consumer.free_at = at
            delivery = self._delivery(entry, consumer)
            if delivery is not None:
                before = deliveries.acked[delivery]
                if before != before:  # NaN
                    consumer.acked += 1
                deliveries.acked[delivery] = at
        if owned >= 0:
            if consumer is not None and deliveries.consumer[owned] != consumer.number:
                owner = "" if deliveries.outcome[owned] else deliveries.names.texts[deliveries.consumer[owned]]
                self.zombie_acks.append(ZombieAck(at, self.ids.texts[entry], actor, owner))
            self._end(entry, owned, at, kind)
        processed = self.processed.at[entry]
        if processed != processed and self.ids.texts[entry] not in self.dead_lettered:
            self.acked_early[self.ids.texts[entry]] = None

    def _void(self, at: float, kind: EventKind, actor: str, entry: int, delivery_count: int) -> None:
        self.n_void += 1
        self._end_last(at, kind, entry)
        self._is_free(at, actor, entry)

    def _rejected(self, at: float, kind: EventKind, actor: str, entry: int, delivery_count: int) -> None:
        self.n_rejected += 1
        self._is_free(at, actor, entry)

    def _is_free(self, at: float, actor: str, entry: int) -> None:
        consumer = self.actors.consumer(actor)
        self.actors.done_with(consumer, entry, at)
        consumer.free_at = at

    def _failed(self, at: float, kind: EventKind, actor: str, entry: int, delivery_count: int) -> None:
        self.actors.failed(self.actors.consumer(actor), entry, at)

    def _gone(self, at: float, kind: EventKind, actor: str, entry: int, delivery_count: int) -> None:
        entry_id = self.ids.texts[entry]
        if kind == DEAD_LETTERED:
            self.dead_lettered.setdefault(entry_id, at)
        elif entry_id not in self.trimmed:
            self.trimmed[entry_id] = at
            self.backlog.trim(entry, at)
        # What is trimmed behind everybody's back stays pending until a consumer finds it gone.
        if actor != LAB:
            self._end_last(at, kind, entry)
            self.actors.done_with(self.actors.consumer(actor), entry, at)

    def _end_last(self, at: float, kind: EventKind, entry: int) -> None:
        owned = self.last.numbers[entry] - 1
        if owned >= 0:
            self._end(entry, owned, at, kind)

    def _end(self, entry: int, delivery: int, at: float, kind: str) -> None:
        """Note how a delivery ended, unless it is known."""
        deliveries = self.deliveries
        if not deliveries.outcome[delivery]:
            deliveries.over[delivery], deliveries.outcome[delivery] = at, OUTCOME[kind]
            del self.pending.numbers[entry]
            added = self.added.at[entry]
            self.changes.add(added if added > at else at, 0, -1)

    def _delivery(self, entry: int, consumer: ConsumerRecord) -> int | None:
        """Return an entry's latest delivery to a consumer."""
        delivery = self.last.numbers[entry] - 1
        if delivery >= 0 and self.deliveries.consumer[delivery] == consumer.number:
            return delivery
        return self._earlier.get((entry, consumer.number))

    # ---- what happens to actors, to the server and to the group --------------------------------

    def _befell(self, at: float, kind: EventKind, actor: str, entry_id: str, n: int) -> None:
        if kind in (GROUP_DESTROYED, STREAM_DELETED, RECREATED, SET_BACK):
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
            number = self.deliveries.names[name]
            lost = [item for item in self.pending.numbers.items() if self.deliveries.consumer[item[1]] == number]
            held = self.deliveries.ids_of(delivery for _, delivery in lost)
            for entry, delivery in lost:
                self._end(entry, delivery, at, REMOVED)
        self.actors.removed.append((name, at, held))

    def _reset(self, at: float, kind: EventKind, entry_id: str) -> None:
        self.resets.append(reset := Reset(at, kind, entry_id))
        self._reset_at = at
        if kind == RECREATED:
            self.backlog.move(entry_id, at)
            return
        self._went = reset
        for entry, delivery in list(self.pending.numbers.items()):
            if reset.concerns(self.ids.texts[entry]):
                self._end(entry, delivery, at, kind)
        if kind == STREAM_DELETED:
            self.backlog.delete(at)
        elif kind == SET_BACK and reset.position:
            self.backlog.move(entry_id, at)
