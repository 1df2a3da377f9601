"""Consumer groups."""

from __future__ import annotations

from collections.abc import Generator

from .delivery_times import DeliveryTimes
from .ids import StreamId
from .pending import Consumer, Pending, PendingList


class Group:
    """A position in the stream, shared by consumers, and the list of what they hold."""

    __slots__ = ("consumers", "delivery_times", "entries_read", "last_id", "name", "pending")

    def __init__(self, name: str, last_id: StreamId, entries_read: int | None) -> None:
        self.name = name
        self.last_id = last_id  # the last delivered id
        self.entries_read = entries_read  # None: unknown
        self.pending = PendingList()  # of all consumers; the same Pending objects as theirs
        self.consumers: dict[str, Consumer] = {}
        self.delivery_times: DeliveryTimes | None = None  # nobody needs it before XREADGROUP CLAIM

    def asking(self, name: str, now_ms: int) -> Consumer:
        """Return the consumer that asks for entries now, created if it is new."""
        consumer = self.consumers.get(name)
        if consumer is None:
            consumer = self.consumers[name] = Consumer(name, now_ms)
        else:
            consumer.seen_at_ms = now_ms
        return consumer

    def deliver(self, entry_id: StreamId, consumer: Consumer, now_ms: int) -> None:
        """Enter a newly delivered entry in the pending lists of the group and of the consumer."""
        if entry_id in self.pending:  # delivered before: XGROUP SETID moved the group back
            self.redeliver(entry_id, consumer, now_ms, 1)
        else:
            self.enter(entry_id, Pending(consumer, now_ms))

    def enter(self, entry_id: StreamId, pending: Pending) -> None:
        """Put an entry on the pending lists."""
        self.pending.add(entry_id, pending)
        pending.consumer.pending.add(entry_id, pending)
        if self.delivery_times is not None:
            self.delivery_times.note(entry_id, pending.delivered_at_ms)

    def ack_one(self, entry_id: StreamId) -> int:
        """Take one entry off the pending lists; return whether it was on them, as 1 or 0."""
        pending = self.pending.pop(entry_id, None)
        if pending is None:
            return 0
        del pending.consumer.pending[entry_id]
        return 1

    def redeliver(self, entry_id: StreamId, consumer: Consumer, delivered_at_ms: int, delivery_count: int) -> None:
        """Make a pending entry a consumer's, and note when and how often it was delivered."""
        pending = self.pending[entry_id]
        if pending.consumer is not consumer:
            del pending.consumer.pending[entry_id]
            pending.consumer = consumer
            consumer.pending.add(entry_id, pending)
        pending.delivered_at_ms = delivered_at_ms
        pending.delivery_count = delivery_count
        self.pending.move_to_end(entry_id)
        if self.delivery_times is not None:
            self.delivery_times.note(entry_id, delivered_at_ms)

    def delivered_by(self, time_ms: int) -> Generator[StreamId]:
        """Yield the pending entries delivered by a time, the longest idle ones first.

        Those that are delivered again meanwhile are not met again.
        """
        if self.delivery_times is None:
            self.delivery_times = DeliveryTimes(self.pending)
        return self.delivery_times.walk(time_ms)
