"""How far a group has come: its lag, and how many entries it has read.

Redis counts what was ever added to a stream, and for each group what it has read. Their difference
is the lag, unless entries were deleted that the group had not read: then nobody knows.
"""

from __future__ import annotations

from collections.abc import Sequence

from .entry_log import StoredEntry
from .groups import Group
from .ids import MIN_ID, StreamId
from .plain_stream import PlainStream


def lag(stream: PlainStream, group: Group) -> int | None:
    """Return how many entries the group has not been given yet; None if it cannot be told."""
    if stream.entries_added == 0:
        return 0
    if stream.behaviour.lag_minds_trimming:
        if not stream.entries:
            return 0
        if max(group.last_id, stream.max_deleted_id) < stream.first_id:
            return len(stream)
    entries_read = group.entries_read
    if entries_read is None or _has_hole_from(stream, group.last_id):
        entries_read = entries_up_to(stream, group.last_id)
    return None if entries_read is None else stream.entries_added - entries_read


def note_read(stream: PlainStream, group: Group, delivered: Sequence[StoredEntry]) -> None:
    """Move a group on to the entries that it is given now, and count them."""
    for n, (entry_id, _) in enumerate(delivered):
        if group.entries_read is not None:
            # Once a count is right and there is no hole ahead, it stays right to the end.
            if stream.behaviour.lag_minds_trimming:
                before = group.last_id
                is_right = before >= stream.first_id and not _has_hole_from(stream, before)
            else:
                is_right = stream.max_deleted_id == MIN_ID or not _has_hole_from(stream, entry_id)
            if is_right:
                group.entries_read += len(delivered) - n
                group.last_id = delivered[-1][0]
                return
        if stream.entries_added:
            group.entries_read = entries_up_to(stream, entry_id)
        group.last_id = entry_id


def entries_up_to(stream: PlainStream, entry_id: StreamId) -> int | None:
    """Return how many entries were ever added up to an id; None if it cannot be told.

    It can be told for the end of the stream, and for its beginning unless an entry behind that was
    deleted.
    """
    added, deleted = stream.entries_added, stream.max_deleted_id
    if added == 0:
        return 0
    if not stream.entries and entry_id <= stream.last_id:
        return added
    if stream.behaviour.lag_minds_trimming and MIN_ID < entry_id < deleted:
        return None
    if entry_id >= stream.last_id:
        return added if entry_id == stream.last_id else None
    first_id = stream.first_id
    if deleted == MIN_ID or deleted < first_id:
        if entry_id < first_id:
            return added - len(stream)
        if entry_id == first_id:
            return added - len(stream) + 1
    return None


def _has_hole_from(stream: PlainStream, entry_id: StreamId) -> bool:
    """Tell whether an entry was deleted at an id or behind it."""
    deleted = stream.max_deleted_id
    if not stream.entries or deleted == MIN_ID:
        return False
    if not stream.behaviour.lag_minds_trimming and deleted < stream.first_id:
        return False
    return entry_id <= deleted
