"""How far a group has come: its lag, and how many entries it has read.

Redis counts what was ever added to a stream, and for each group what it has read. Their difference
is the lag, unless entries were deleted that the group had not read: then nobody knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .groups import Group
from .ids import MIN_ID, StreamId

if TYPE_CHECKING:
    from .model import StreamModel


def lag(stream: StreamModel, group: Group) -> int | None:
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


def entries_read_after(stream: StreamModel, group: Group, entry_id: StreamId) -> int | None:
    """Return the group's count of entries read once it is given this entry, too."""
    if group.entries_read is not None:
        if stream.max_deleted_id == MIN_ID and not stream.behaviour.lag_minds_trimming:
            return group.entries_read + 1
        if not stream.behaviour.lag_minds_trimming:
            is_valid = not _has_hole_from(stream, entry_id)
        else:
            is_valid = group.last_id >= stream.first_id and not _has_hole_from(
                stream, group.last_id
            )
        if is_valid:
            return group.entries_read + 1
    elif stream.entries_added == 0:
        return None
    return entries_up_to(stream, entry_id)


def entries_up_to(stream: StreamModel, entry_id: StreamId) -> int | None:
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


def _has_hole_from(stream: StreamModel, entry_id: StreamId) -> bool:
    """Tell whether an entry was deleted at an id or behind it."""
    deleted = stream.max_deleted_id
    if not stream.entries or deleted == MIN_ID:
        return False
    if not stream.behaviour.lag_minds_trimming and deleted < stream.first_id:
        return False
    return entry_id <= deleted
