"""`StreamModel`: one stream with its consumer groups, as Redis keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import partial
from typing import Literal

from .counting import lag, note_read
from .entry_log import Fields, StoredEntry
from .groups import Group
from .ids import MAX_ID, MIN_ID, StreamId, next_id
from .pending import MANY, Consumer, Pending, PendingList
from .plain_stream import PlainStream, StreamError
from .versions import OLDEST, Behaviour

References = Literal["KEEPREF", "DELREF", "ACKED"]
"""What becomes of groups' references to a deleted entry: they stay, they go, or it is kept."""

_new_object = object.__new__

AUTOCLAIM_SCAN_FACTOR = 10
"""XAUTOCLAIM looks at this many pending entries for each one it may claim."""


class _Groups(dict[str, Group]):
    """The groups of a stream by name."""

    def __missing__(self, name: str) -> Group:
        raise StreamError(f"There is no consumer group {name!r}: create it first")


class StreamModel(PlainStream):
    """A stream and its consumer groups: a state machine without clock, network or threads.

    The time is an argument (``now_ms``), ids are pairs ``(ms, seq)``, an entry is the pair of its
    id and its fields (field, value, field, value …). Methods are named after the commands.
    """

    def __init__(self, behaviour: Behaviour = OLDEST) -> None:
        super().__init__(behaviour)
        self.groups = _Groups()

    # --- groups and consumers -----------------------------------------------------------------

    def create_group(self, name: str, last_id: StreamId = MIN_ID, entries_read: int | None = None) -> Group | None:
        """Create a group that has read up to an id (``XGROUP CREATE``); None if it exists."""
        if name in self.groups:
            return None
        group = self.groups[name] = Group(name, last_id, self._entries_read(entries_read))
        return group

    def destroy_group(self, name: str) -> bool:
        """Remove a group with all it holds (``XGROUP DESTROY``); False if there was none."""
        return self.groups.pop(name, None) is not None

    def set_group_id(self, name: str, last_id: StreamId, entries_read: int | None = None) -> None:
        """Move a group to another place in the stream (``XGROUP SETID``)."""
        group = self.groups[name]
        group.last_id = last_id
        group.entries_read = self._entries_read(entries_read)

    def _entries_read(self, given: int | None) -> int | None:
        if given is None or not self.behaviour.lag_minds_trimming:
            return given
        return min(given, self.entries_added)

    def create_consumer(self, group_name: str, name: str, now_ms: int) -> bool:
        """Add a consumer (``XGROUP CREATECONSUMER``); False if it exists."""
        group = self.groups[group_name]
        if name in group.consumers:
            return False
        group.consumers[name] = Consumer(name, now_ms)
        return True

    def delete_consumer(self, group_name: str, name: str) -> int:
        """Remove a consumer *and what is pending for it* (``XGROUP DELCONSUMER``).

        Returns how many pending entries were lost: they are never delivered again.
        """
        group = self.groups[group_name]
        consumer = group.consumers.pop(name, None)
        if consumer is None:
            return 0
        for entry_id in consumer.pending:
            del group.pending[entry_id]
        return len(consumer.pending)

    # --- reading as a consumer ----------------------------------------------------------------

    def read_group(
        self, group_name: str, consumer_name: str, now_ms: int, count: int | None = None, *, noack: bool = False
    ) -> list[StoredEntry]:
        """Deliver new entries to a consumer (``XREADGROUP … >``).

        They become pending for it (but for ``noack``), and the group will not give them again.
        """
        group = self.groups[group_name]
        delivered: list[StoredEntry] = []
        if group.last_id < self.last_id:
            delivered = self.entries.after(group.last_id, count)
        if not delivered and not self.behaviour.consumers_made_early:
            return delivered
        consumer = group.asking(consumer_name, now_ms)
        note_read(self, group, delivered)
        if delivered and not noack:
            consumer.active_at_ms = now_ms
            for entry_id, _ in delivered:
                group.deliver(entry_id, consumer, now_ms)
        return delivered

    def deliver_one(self, group: Group, consumer_name: str, entry_id: StreamId, now_ms: int) -> None:
        """Give a consumer the one entry that comes next for its group.

        What `read_group` does in the usual case, without its calls: a simulation comes here for every entry.
        """
        consumer = group.consumers.get(consumer_name)
        held = group.pending
        if (
            consumer is None
            or group.entries_read is None
            or group.delivery_times is not None
            or entry_id <= self.max_deleted_id
            or entry_id in held
            or self.behaviour.lag_minds_trimming
        ):
            self.read_group(group.name, consumer_name, now_ms, 1)
            return
        group.last_id = entry_id
        group.entries_read += 1
        consumer.seen_at_ms = consumer.active_at_ms = now_ms
        pending = _new_object(Pending)
        pending.consumer, pending.delivered_at_ms, pending.delivery_count = consumer, now_ms, 1
        own = consumer.pending
        held[entry_id] = own[entry_id] = pending
        own.new.append(entry_id)
        held.new.append(entry_id)
        if len(held.new) >= MANY:
            held.settle()
        if len(own.new) >= MANY:
            own.settle()

    def oldest_delivery_ms(self, group_name: str, now_ms: int) -> int | None:
        """Return when the longest idle pending entry was delivered, of those that still exist."""
        group = self.groups[group_name]
        with closing(group.delivered_by(now_ms)) as ids:
            existing = (group.pending[i].delivered_at_ms for i in ids if i in self.entries)
            return next(existing, None)

    def claim_idle(
        self, group_name: str, consumer_name: str, min_idle_ms: int, now_ms: int, count: int | None = None
    ) -> list[tuple[StreamId, Fields, int, int]]:
        """Claim pending entries while reading (``XREADGROUP CLAIM``), the longest idle ones first.

        Returns id, fields, idle time in ms and delivery count, both as they were before.
        """
        group = self.groups[group_name]
        consumer = group.asking(consumer_name, now_ms)
        claimed: list[tuple[StreamId, Fields, int, int]] = []
        with closing(group.delivered_by(now_ms - min_idle_ms)) as idle_ids:
            for entry_id in idle_ids:
                fields = self.entries.get(entry_id)
                if fields is None:
                    continue
                pending = group.pending[entry_id]
                idle_ms = now_ms - pending.delivered_at_ms
                claimed.append((entry_id, fields, idle_ms, pending.delivery_count))
                group.redeliver(entry_id, consumer, now_ms, pending.delivery_count + 1)
                consumer.active_at_ms = now_ms
                if len(claimed) == count:
                    break
        return claimed

    def history(
        self, group_name: str, consumer_name: str, after: StreamId, now_ms: int, count: int | None = None
    ) -> list[tuple[StreamId, Fields | None]]:
        """Return the consumer's own pending entries above an id (``XREADGROUP … id``).

        Each counts as delivered again, now. An entry that was deleted meanwhile has None for its
        fields, and keeps its count and time.
        """
        found: list[tuple[StreamId, Fields | None]] = []
        group = self.groups[group_name]
        consumer = group.asking(consumer_name, now_ms)
        start = next_id(after)
        if start is None:
            return found
        for entry_id in consumer.pending.walk(start):
            if count is not None and len(found) == count:
                break
            fields = self.entries.get(entry_id)
            if fields is not None:
                pending = consumer.pending[entry_id]
                group.redeliver(entry_id, consumer, now_ms, pending.delivery_count + 1)
            found.append((entry_id, fields))
        return found

    def ack(self, group_name: str, ids: Iterable[StreamId]) -> int:
        """Take entries off the group's pending list (``XACK``), whoever holds them."""
        group = self.groups[group_name]
        n_acked = 0
        for entry_id in ids:
            pending = group.pending.pop(entry_id, None)
            if pending is not None:
                del pending.consumer.pending[entry_id]
                n_acked += 1
        return n_acked

    # --- pending entries ----------------------------------------------------------------------

    def pending(
        self,
        group_name: str,
        now_ms: int,
        start: StreamId = MIN_ID,
        end: StreamId = MAX_ID,
        count: int | None = None,
        *,
        consumer_name: str | None = None,
        min_idle_ms: int = 0,
    ) -> list[tuple[StreamId, Pending]]:
        """Return pending entries of the group, or of one consumer (``XPENDING``)."""
        group = self.groups[group_name]
        held = group.pending
        if consumer_name is not None:
            consumer = group.consumers.get(consumer_name)
            held = PendingList() if consumer is None else consumer.pending
        found: list[tuple[StreamId, Pending]] = []
        for entry_id in held.walk(start):
            if entry_id > end or (count is not None and len(found) >= count):
                break
            pending = held[entry_id]
            if min_idle_ms and now_ms - pending.delivered_at_ms < min_idle_ms:
                continue
            found.append((entry_id, pending))
        return found

    def claim(
        self,
        group_name: str,
        consumer_name: str,
        ids: Sequence[StreamId],
        now_ms: int,
        min_idle_ms: int = 0,
        *,
        delivered_at_ms: int | None = None,
        delivery_count: int | None = None,
        force: bool = False,
        justid: bool = False,
    ) -> list[StoredEntry]:
        """Give pending entries that are idle long enough to a consumer (``XCLAIM``).

        Entries that were deleted meanwhile are dropped from the pending list. ``force`` also
        creates those that are not pending at all; ``justid`` leaves the delivery count alone.
        """
        group = self.groups[group_name]
        claimed: list[StoredEntry] = []
        if self.behaviour.consumers_made_early:
            group.asking(consumer_name, now_ms)
        for entry_id in ids:
            pending = group.pending.get(entry_id)
            fields = self.entries.get(entry_id)
            if fields is None:
                self.ack(group_name, [entry_id])
                continue
            if pending is None:
                if not force:
                    continue
                pending = Pending(group.asking(consumer_name, now_ms), now_ms)
                group.enter(entry_id, pending)
            elif min_idle_ms and now_ms - pending.delivered_at_ms < min_idle_ms:
                continue
            consumer = group.asking(consumer_name, now_ms)
            n_deliveries = pending.delivery_count + (not justid)
            group.redeliver(
                entry_id,
                consumer,
                now_ms if delivered_at_ms is None else delivered_at_ms,
                n_deliveries if delivery_count is None else delivery_count,
            )
            consumer.active_at_ms = now_ms
            claimed.append((entry_id, fields))
        return claimed

    def autoclaim(
        self,
        group_name: str,
        consumer_name: str,
        min_idle_ms: int,
        start: StreamId,
        now_ms: int,
        count: int = 100,
        *,
        justid: bool = False,
    ) -> tuple[StreamId, list[StoredEntry], list[StreamId]]:
        """Claim whatever is idle long enough, from an id on (``XAUTOCLAIM``).

        Returns where to go on (``(0, 0)``: this was all), what was claimed, and which pending
        entries were dropped because they no longer exist. A call looks at no more than ten
        entries for each one asked for, so it may find nothing although there is something
        further on.
        """
        group = self.groups[group_name]
        claimed: list[StoredEntry] = []
        deleted: list[StreamId] = []
        if self.behaviour.consumers_made_early:
            group.asking(consumer_name, now_ms)
        attempts = count * AUTOCLAIM_SCAN_FACTOR
        cursor, whole_from = MIN_ID, self.entries.whole_from
        for entry_id in group.pending.walk(start):
            if attempts == 0 or count == 0:
                cursor = entry_id
                break
            attempts -= 1
            if entry_id < whole_from and entry_id not in self.entries:
                self.ack(group_name, [entry_id])
                deleted.append(entry_id)
                count -= 1
                continue
            pending = group.pending[entry_id]
            if min_idle_ms and now_ms - pending.delivered_at_ms < min_idle_ms:
                continue
            consumer = group.asking(consumer_name, now_ms)
            group.redeliver(entry_id, consumer, now_ms, pending.delivery_count + (not justid))
            consumer.active_at_ms = now_ms
            claimed.append((entry_id, self.entries[entry_id]))
            count -= 1
        return cursor, claimed, deleted

    def lag(self, group_name: str) -> int | None:
        """Return how many entries the group has not been given yet; None if it cannot be told."""
        return lag(self, self.groups[group_name])

    # --- deleting with regard to the groups ---------------------------------------------------

    def trim(
        self,
        *,
        max_length: int | None = None,
        min_id: StreamId = MIN_ID,
        approximate: bool = False,
        limit: int = 0,
        references: References = "KEEPREF",
    ) -> int:
        """Remove the oldest entries (``XTRIM MAXLEN``, or else ``MINID``); return how many went.

        An approximate trim removes whole nodes only (see `EntryLog`), and no more than ``limit``
        entries (0: any number). What groups still need goes too, unless told otherwise.
        """
        return self.entries.trim(
            max_length=max_length,
            min_id=min_id,
            whole_nodes=approximate,
            limit=limit,
            may_remove=None if references == "KEEPREF" else partial(self._release, references),
        )

    def delete_ex(self, ids: Iterable[StreamId], references: References) -> list[int]:
        """Delete entries with regard to the groups (``XDELEX``).

        Returns for each id -1 (no such entry), 1 (deleted) or 2 (kept: a group needs it).
        """
        results: list[int] = []
        for entry_id in ids:
            if not self._release(references, entry_id):
                results.append(2)
            else:
                results.append(1 if self.delete([entry_id]) else -1)
        return results

    def ack_delete(self, group_name: str, ids: Iterable[StreamId], references: References) -> list[int]:
        """Acknowledge entries and delete them (``XACKDEL``).

        Returns for each id -1 (not pending), 1 (deleted) or 2 (kept: a group needs it).
        """
        results: list[int] = []
        for entry_id in ids:
            if not self.ack(group_name, [entry_id]):
                results.append(-1)
            elif self._release(references, entry_id):
                self.delete([entry_id])
                results.append(1)
            else:
                results.append(2)
        return results

    def is_referenced(self, entry_id: StreamId) -> bool:
        """Tell whether a group has not read an entry yet, or has it pending."""
        return any(group.last_id < entry_id or entry_id in group.pending for group in self.groups.values())

    def _release(self, references: References, entry_id: StreamId) -> bool:
        """Tell whether an entry may be deleted; with DELREF, make sure that it may."""
        if references == "DELREF":
            for name in self.groups:
                self.ack(name, [entry_id])
        return references != "ACKED" or not self.is_referenced(entry_id)
