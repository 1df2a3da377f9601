"""`StreamModel`: one stream with its consumer groups, as Redis keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import partial
from typing import Literal

from .counting import lag, note_read
from .entry_log import EntryLog, Fields, StoredEntry
from .groups import Consumer, Group
from .ids import MAX_ID, MAX_U64, MIN_ID, StreamId, next_id
from .pending import Pending, PendingList
from .versions import OLDEST, Behaviour

References = Literal["KEEPREF", "DELREF", "ACKED"]
"""What becomes of groups' references to a deleted entry: they stay, they go, or it is kept."""

AUTOCLAIM_SCAN_FACTOR = 10
"""XAUTOCLAIM looks at this many pending entries for each one it may claim."""


class StreamError(Exception):
    """A request that the stream refuses, in Redis' words."""


class _Groups(dict[str, Group]):
    """The groups of a stream by name."""

    def __missing__(self, name: str) -> Group:
        raise StreamError(f"There is no consumer group {name!r}: create it first")


class StreamModel:
    """A stream and its consumer groups: a state machine without clock, network or threads.

    The time is an argument (``now_ms``), ids are pairs ``(ms, seq)``, an entry is the pair of its
    id and its fields (field, value, field, value …). Methods are named after the commands.
    """

    def __init__(self, behaviour: Behaviour = OLDEST) -> None:
        self.behaviour = behaviour
        self.entries = EntryLog()
        self.groups = _Groups()
        self.last_id: StreamId = MIN_ID
        self.max_deleted_id: StreamId = MIN_ID  # the highest id ever taken out by XDEL
        self.entries_added = 0  # ever, deleted and trimmed ones included

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def first_id(self) -> StreamId:
        """The lowest id in the stream; ``(0, 0)`` when it is empty."""
        first = self.entries.first
        return first[0] if first else MIN_ID

    # --- entries ------------------------------------------------------------------------------

    def next_id(self, now_ms: int) -> StreamId:
        """Return the id that ``*`` stands for: the time, or one more if that is taken already."""
        last_ms, last_seq = self.last_id
        if now_ms > last_ms:
            return now_ms, 0
        if last_seq < MAX_U64:
            return last_ms, last_seq + 1
        return last_ms + 1, 0

    def next_seq(self, ms: int) -> StreamId:
        """Return the id that ``ms-*`` stands for."""
        last_ms, last_seq = self.last_id
        if ms != last_ms:
            return ms, 0
        if last_seq == MAX_U64:
            raise StreamError("Elements are too large to be stored")  # so Redis puts it
        return ms, last_seq + 1

    def add(self, fields: Fields, now_ms: int, entry_id: StreamId | None = None) -> StreamId:
        """Append an entry (``XADD``) and return its id, which must be above all that ever were."""
        if entry_id is None:
            entry_id = self.next_id(now_ms)
        if entry_id <= self.last_id or entry_id > MAX_ID:
            raise StreamError(
                "The ID specified in XADD is equal or smaller than the target stream top item"
            )
        self.entries.append(entry_id, fields)
        self.last_id = entry_id
        self.entries_added += 1
        return entry_id

    def range(
        self, start: StreamId = MIN_ID, end: StreamId = MAX_ID, count: int | None = None
    ) -> list[StoredEntry]:
        """Return the entries from ``start`` to ``end``, both included (``XRANGE``)."""
        return self.entries.range(start, end, count)

    def reversed_range(
        self, end: StreamId = MAX_ID, start: StreamId = MIN_ID, count: int | None = None
    ) -> list[StoredEntry]:
        """Return the same, highest id first (``XREVRANGE``)."""
        return self.entries.reversed_range(end, start, count)

    def read(self, after: StreamId, count: int | None = None) -> list[StoredEntry]:
        """Return the entries above an id (``XREAD``)."""
        return self.entries.after(after, count)

    def delete(self, ids: Iterable[StreamId]) -> int:
        """Delete entries (``XDEL``), pending or not; return how many there were."""
        n_deleted = 0
        for entry_id in ids:
            if self.entries.remove(entry_id):
                self.max_deleted_id = max(self.max_deleted_id, entry_id)
                n_deleted += 1
        return n_deleted

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
        return [
            (1 if self.delete([entry_id]) else -1) if self._release(references, entry_id) else 2
            for entry_id in ids
        ]

    def ack_delete(
        self, group_name: str, ids: Iterable[StreamId], references: References
    ) -> list[int]:
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
        return any(
            group.last_id < entry_id or entry_id in group.pending for group in self.groups.values()
        )

    def _release(self, references: References, entry_id: StreamId) -> bool:
        """Tell whether an entry may be deleted; with DELREF, make sure that it may."""
        if references == "DELREF":
            for name in self.groups:
                self.ack(name, [entry_id])
        return references != "ACKED" or not self.is_referenced(entry_id)

    def set_id(
        self,
        last_id: StreamId,
        *,
        entries_added: int | None = None,
        max_deleted_id: StreamId = MIN_ID,
    ) -> None:
        """Set the last id, and what is remembered of the past (``XSETID``)."""
        if last_id < self.max_deleted_id and self.behaviour.setid_minds_deleted:
            raise StreamError(
                "The ID specified in XSETID is smaller than current max_deleted_entry_id"
            )
        last = self.entries.last
        if last is not None and last_id < last[0]:
            raise StreamError(
                "The ID specified in XSETID is smaller than the target stream top item"
            )
        if last is not None and entries_added is not None and entries_added < len(self):
            raise StreamError(
                "The entries_added specified in XSETID is smaller than the target stream length"
            )
        self.last_id = last_id
        if entries_added is not None:
            self.entries_added = entries_added
        if max_deleted_id != MIN_ID:
            self.max_deleted_id = max_deleted_id

    # --- groups and consumers -----------------------------------------------------------------

    def create_group(
        self, name: str, last_id: StreamId = MIN_ID, entries_read: int | None = None
    ) -> Group | None:
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
        self,
        group_name: str,
        consumer_name: str,
        now_ms: int,
        count: int | None = None,
        *,
        noack: bool = False,
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

    def oldest_delivery_ms(self, group_name: str, now_ms: int) -> int | None:
        """Return when the longest idle pending entry was delivered, of those that still exist."""
        group = self.groups[group_name]
        with closing(group.delivered_by(now_ms)) as ids:
            existing = (group.pending[i].delivered_at_ms for i in ids if i in self.entries)
            return next(existing, None)

    def claim_idle(
        self,
        group_name: str,
        consumer_name: str,
        min_idle_ms: int,
        now_ms: int,
        count: int | None = None,
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
                group.hand_over(entry_id, pending, consumer)
                group.redeliver(entry_id, pending, now_ms, pending.delivery_count + 1)
                consumer.active_at_ms = now_ms
                if len(claimed) == count:
                    break
        return claimed

    def history(
        self,
        group_name: str,
        consumer_name: str,
        after: StreamId,
        now_ms: int,
        count: int | None = None,
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
                group.redeliver(entry_id, pending, now_ms, pending.delivery_count + 1)
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
                consumer = group.asking(consumer_name, now_ms)
                pending = Pending(consumer, now_ms)
                group.enter(entry_id, pending)
            elif min_idle_ms and now_ms - pending.delivered_at_ms < min_idle_ms:
                continue
            consumer = group.asking(consumer_name, now_ms)
            group.hand_over(entry_id, pending, consumer)
            n_deliveries = pending.delivery_count + (not justid)
            group.redeliver(
                entry_id,
                pending,
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
        cursor = MIN_ID
        for entry_id in group.pending.walk(start):
            if attempts == 0 or count == 0:
                cursor = entry_id
                break
            attempts -= 1
            fields = self.entries.get(entry_id)
            if fields is None:
                self.ack(group_name, [entry_id])
                deleted.append(entry_id)
                count -= 1
                continue
            pending = group.pending[entry_id]
            if min_idle_ms and now_ms - pending.delivered_at_ms < min_idle_ms:
                continue
            consumer = group.asking(consumer_name, now_ms)
            group.hand_over(entry_id, pending, consumer)
            group.redeliver(entry_id, pending, now_ms, pending.delivery_count + (not justid))
            consumer.active_at_ms = now_ms
            claimed.append((entry_id, fields))
            count -= 1
        return cursor, claimed, deleted

    def lag(self, group_name: str) -> int | None:
        """Return how many entries the group has not been given yet; None if it cannot be told."""
        return lag(self, self.groups[group_name])
