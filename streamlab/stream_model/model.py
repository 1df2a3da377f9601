"""`StreamModel`: one stream with its consumer groups, as Redis keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .entry_log import EntryLog, Fields, StoredEntry
from .groups import Consumer, Group
from .ids import MAX_ID, MAX_U64, MIN_ID, StreamId, next_id
from .pending import Pending
from .versions import OLDEST, Behaviour

AUTOCLAIM_SCAN_FACTOR = 10
"""XAUTOCLAIM looks at this many pending entries for each one it may claim."""


class StreamError(Exception):
    """A request that the stream refuses, in Redis' words."""


class StreamModel:
    """A stream and its consumer groups: a state machine without clock, network or threads.

    The time is an argument (``now_ms``), ids are pairs ``(ms, seq)``, an entry is the pair of its
    id and its fields (field, value, field, value …). Methods are named after the commands.
    """

    def __init__(self, behaviour: Behaviour = OLDEST) -> None:
        self.behaviour = behaviour
        self.entries = EntryLog()
        self.groups: dict[str, Group] = {}
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
        return (ms, last_seq + 1) if ms == last_ms else (ms, 0)

    def add(self, fields: Fields, entry_id: StreamId) -> StreamId:
        """Append an entry (``XADD``); its id must be above all that ever were."""
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
        start = next_id(after)
        return self.entries.range(start, MAX_ID, count) if start else []

    def delete(self, ids: Iterable[StreamId]) -> int:
        """Delete entries (``XDEL``), pending or not; return how many there were."""
        n_deleted = 0
        for entry_id in ids:
            if self.entries.remove(entry_id):
                self.max_deleted_id = max(self.max_deleted_id, entry_id)
                n_deleted += 1
        return n_deleted

    def trim_to_length(self, max_length: int, *, approximate: bool = False, limit: int = 0) -> int:
        """Remove the oldest entries (``XTRIM MAXLEN``); return how many went."""
        return self.entries.trim_to_length(max_length, whole_nodes=approximate, limit=limit)

    def trim_below(self, min_id: StreamId, *, approximate: bool = False, limit: int = 0) -> int:
        """Remove the entries below an id (``XTRIM MINID``); return how many went."""
        return self.entries.trim_below(min_id, whole_nodes=approximate, limit=limit)

    def set_id(
        self,
        last_id: StreamId,
        *,
        entries_added: int | None = None,
        max_deleted_id: StreamId = MIN_ID,
    ) -> None:
        """Set the last id, and what is remembered of the past (``XSETID``)."""
        if last_id < self.max_deleted_id:
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
        group = self.groups[name] = Group(name, last_id, entries_read)
        return group

    def destroy_group(self, name: str) -> bool:
        """Remove a group with all it holds (``XGROUP DESTROY``); False if there was none."""
        return self.groups.pop(name, None) is not None

    def create_consumer(self, group: Group, name: str, now_ms: int) -> bool:
        """Add a consumer (``XGROUP CREATECONSUMER``); False if it exists."""
        if name in group.consumers:
            return False
        group.consumers[name] = Consumer(name, now_ms)
        return True

    def delete_consumer(self, group: Group, name: str) -> int:
        """Remove a consumer *and what is pending for it* (``XGROUP DELCONSUMER``).

        Returns how many pending entries were lost: they are never delivered again.
        """
        consumer = group.consumers.pop(name, None)
        if consumer is None:
            return 0
        for entry_id in consumer.pending:
            del group.pending[entry_id]
        return len(consumer.pending)

    def consumer(self, group: Group, name: str, now_ms: int) -> Consumer:
        """Return the consumer that asks, created if it is new."""
        consumer = group.consumers.get(name)
        if consumer is None:
            consumer = group.consumers[name] = Consumer(name, now_ms)
        else:
            consumer.seen_at_ms = now_ms
        return consumer

    # --- reading as a consumer ----------------------------------------------------------------

    def has_new(self, group: Group) -> bool:
        """Tell whether there are entries that the group has not been given."""
        last = self.entries.last
        return last is not None and last[0] > group.last_id

    def read_group(
        self,
        group: Group,
        consumer: Consumer,
        now_ms: int,
        count: int | None = None,
        *,
        noack: bool = False,
    ) -> list[StoredEntry]:
        """Deliver new entries to a consumer (``XREADGROUP … >``).

        They become pending for it (but for ``noack``), and the group will not give them again.
        """
        delivered = self.read(group.last_id, count)
        for entry_id, _ in delivered:
            group.entries_read = self._entries_read_after(group, entry_id)
            group.last_id = entry_id
            if not noack:
                group.deliver(entry_id, consumer, now_ms)
                consumer.active_at_ms = now_ms
        return delivered

    def history(
        self, consumer: Consumer, after: StreamId, now_ms: int, count: int | None = None
    ) -> list[tuple[StreamId, Fields | None]]:
        """Return the consumer's own pending entries above an id (``XREADGROUP … id``).

        Each counts as delivered again, now. An entry that was deleted meanwhile has None for its
        fields, and keeps its count and time.
        """
        found: list[tuple[StreamId, Fields | None]] = []
        start = next_id(after)
        if start is None:
            return found
        for entry_id in consumer.pending.walk(start):
            if count is not None and len(found) == count:
                break
            fields = self.entries.get(entry_id)
            if fields is not None:
                pending = consumer.pending[entry_id]
                pending.delivered_at_ms = now_ms
                pending.delivery_count += 1
            found.append((entry_id, fields))
        return found

    def ack(self, group: Group, ids: Iterable[StreamId]) -> int:
        """Take entries off the group's pending list (``XACK``), whoever holds them."""
        return sum(map(group.settle, ids))

    # --- pending entries ----------------------------------------------------------------------

    def pending(
        self,
        group: Group,
        now_ms: int,
        start: StreamId = MIN_ID,
        end: StreamId = MAX_ID,
        count: int | None = None,
        *,
        consumer: Consumer | None = None,
        min_idle_ms: int = 0,
    ) -> list[tuple[StreamId, Pending]]:
        """Return pending entries of the group, or of one consumer (``XPENDING``)."""
        held = consumer.pending if consumer else group.pending
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
        group: Group,
        consumer: Consumer,
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
        claimed: list[StoredEntry] = []
        for entry_id in ids:
            pending = group.pending.get(entry_id)
            fields = self.entries.get(entry_id)
            if fields is None:
                group.settle(entry_id)
                continue
            if pending is None:
                if not force:
                    continue
                pending = Pending(consumer, now_ms)
                group.pending.add(entry_id, pending)
                consumer.pending.add(entry_id, pending)
            elif min_idle_ms and now_ms - pending.delivered_at_ms < min_idle_ms:
                continue
            group.hand_over(entry_id, pending, consumer)
            pending.delivered_at_ms = now_ms if delivered_at_ms is None else delivered_at_ms
            if delivery_count is not None:
                pending.delivery_count = delivery_count
            elif not justid:
                pending.delivery_count += 1
            consumer.active_at_ms = now_ms
            claimed.append((entry_id, fields))
        return claimed

    def autoclaim(
        self,
        group: Group,
        consumer: Consumer,
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
        claimed: list[StoredEntry] = []
        deleted: list[StreamId] = []
        attempts = count * AUTOCLAIM_SCAN_FACTOR
        cursor = MIN_ID
        for entry_id in group.pending.walk(start):
            if attempts == 0 or count == 0:
                cursor = entry_id
                break
            attempts -= 1
            fields = self.entries.get(entry_id)
            if fields is None:
                group.settle(entry_id)
                deleted.append(entry_id)
                count -= 1
                continue
            pending = group.pending[entry_id]
            if min_idle_ms and now_ms - pending.delivered_at_ms < min_idle_ms:
                continue
            group.hand_over(entry_id, pending, consumer)
            pending.delivered_at_ms = now_ms
            if not justid:
                pending.delivery_count += 1
            consumer.active_at_ms = now_ms
            claimed.append((entry_id, fields))
            count -= 1
        return cursor, claimed, deleted

    # --- how far a group has come -------------------------------------------------------------

    def lag(self, group: Group) -> int | None:
        """Return how many entries the group has not been given yet; None if it cannot be told."""
        if self.entries_added == 0:
            return 0
        entries_read = group.entries_read
        if entries_read is None or self._deleted_at_or_above(group.last_id):
            entries_read = self.entries_up_to(group.last_id)
        return None if entries_read is None else self.entries_added - entries_read

    def entries_up_to(self, entry_id: StreamId) -> int | None:
        """Return how many entries were ever added up to an id; None if it cannot be told.

        It can be told for the end of the stream, and for its beginning unless an entry behind
        that was deleted.
        """
        if self.entries_added == 0:
            return 0
        if not self.entries and entry_id <= self.last_id:
            return self.entries_added
        if entry_id != MIN_ID and entry_id < self.max_deleted_id:
            return None
        if entry_id >= self.last_id:
            return self.entries_added if entry_id == self.last_id else None
        first_id = self.first_id
        if self.max_deleted_id == MIN_ID or self.max_deleted_id < first_id:
            if entry_id < first_id:
                return self.entries_added - len(self)
            if entry_id == first_id:
                return self.entries_added - len(self) + 1
        return None

    def _entries_read_after(self, group: Group, entry_id: StreamId) -> int | None:
        """Return the group's count of entries read once it is given this entry too."""
        if group.entries_read is not None and not self._deleted_at_or_above(entry_id):
            return group.entries_read + 1
        return self.entries_up_to(entry_id)

    def _deleted_at_or_above(self, entry_id: StreamId) -> bool:
        """Tell whether the stream has a hole at an id or behind it."""
        deleted = self.max_deleted_id
        return bool(self.entries) and deleted != MIN_ID and entry_id <= deleted
