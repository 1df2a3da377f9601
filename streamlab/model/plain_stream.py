"""The entries of a stream, without its groups."""

from __future__ import annotations

from collections.abc import Iterable

from .entry_log import EntryLog, Fields, StoredEntry
from .ids import MAX_ID, MAX_U64, MIN_ID, StreamId
from .versions import OLDEST, Behaviour

_NOT_ABOVE = "The ID specified in XADD is equal or smaller than the target stream top item"


class StreamError(Exception):
    """A request that the stream refuses, in Redis' words."""


class PlainStream:
    """A stream without groups: ids that only rise, and the entries that are still there."""

    def __init__(self, behaviour: Behaviour = OLDEST) -> None:
        self.behaviour = behaviour
        self.entries = EntryLog()
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
            if self.behaviour.full_sequence_is_smaller:
                raise StreamError(_NOT_ABOVE)
            raise StreamError("Elements are too large to be stored")  # so Redis puts it
        return ms, last_seq + 1

    def add(self, fields: Fields, now_ms: int, entry_id: StreamId | None = None) -> StreamId:
        """Append an entry (``XADD``) and return its id, which must be above all that ever were."""
        if entry_id is None and self.last_id[0] < now_ms:
            entry_id = now_ms, 0  # the usual case: nothing to look at
        else:
            if entry_id is None:
                entry_id = self.next_id(now_ms)
            if entry_id <= self.last_id or entry_id > MAX_ID:
                raise StreamError(_NOT_ABOVE)
        self.entries.new.append((entry_id, fields))
        self.last_id = entry_id
        self.entries_added += 1
        return entry_id

    def range(self, start: StreamId = MIN_ID, end: StreamId = MAX_ID, count: int | None = None) -> list[StoredEntry]:
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

    def set_id(self, last_id: StreamId, *, entries_added: int | None = None, max_deleted_id: StreamId = MIN_ID) -> None:
        """Set the last id, and what is remembered of the past (``XSETID``)."""
        if last_id < self.max_deleted_id and self.behaviour.setid_minds_deleted:
            raise StreamError("The ID specified in XSETID is smaller than current max_deleted_entry_id")
        last = self.entries.last
        if last is not None and last_id < last[0]:
            raise StreamError("The ID specified in XSETID is smaller than the target stream top item")
        if last is not None and entries_added is not None and entries_added < len(self):
            raise StreamError("The entries_added specified in XSETID is smaller than the target stream length")
        self.last_id = last_id
        self.entries.may_have_gaps = True
        if entries_added is not None:
            self.entries_added = entries_added
        if max_deleted_id != MIN_ID:
            self.max_deleted_id = max_deleted_id
