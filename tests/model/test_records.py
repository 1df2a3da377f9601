"""The records that are made from redis-py's replies, of either protocol."""

from __future__ import annotations

from streamlab.model.records import GroupState, PendingEntry, parse_groups, parse_pending_range


def test_pending_range() -> None:
    """A pending entry has an owner, an idle time and a delivery count."""
    line = {"message_id": b"1-1", "consumer": b"a", "time_since_delivered": 50, "times_delivered": 2}
    assert parse_pending_range([line]) == (PendingEntry("1-1", "a", 50, 2),)


def test_group_before_redis_7() -> None:
    """Before Redis 7.0 the server tells no lag."""
    line = {"name": b"g", "consumers": 1, "pending": 2, "last-delivered-id": b"1-1"}
    assert parse_groups([line]) == (GroupState("g", 1, 2, "1-1", None, None),)
