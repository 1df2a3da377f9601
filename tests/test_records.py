"""The records that are made from redis-py's replies, of either protocol."""

from __future__ import annotations

import pytest

from streamlab.records import (
    Claimed,
    ConsumerState,
    Entry,
    GroupState,
    PendingEntry,
    PendingSummary,
    parse_autoclaim,
    parse_consumers,
    parse_entry,
    parse_groups,
    parse_pending_range,
    parse_pending_summary,
    parse_read,
    parse_stream,
)


@pytest.mark.parametrize(
    "reply", [("1-1", {"f": "v"}), (b"1-1", {b"f": b"v"}), ["1-1", ["f", "v"]]]
)
def test_entry(reply: object) -> None:
    """An entry is the same whether redis-py decoded it or not."""
    assert parse_entry(reply) == Entry("1-1", {"f": "v"})


@pytest.mark.parametrize("reply", [("1-1", {}), ("1-1", None)])
def test_deleted_entry(reply: object) -> None:
    """An entry that was deleted while it was pending has no fields."""
    assert parse_entry(reply) == Entry("1-1", None)


@pytest.mark.parametrize("reply", [[["s", [("1-1", {"f": "v"})]]], {"s": [[("1-1", {"f": "v"})]]}])
def test_read(reply: object) -> None:
    """RESP2 and RESP3 give the same entries by key."""
    assert parse_read(reply) == {"s": (Entry("1-1", {"f": "v"}),)}


@pytest.mark.parametrize("reply", [None, [], {}])
def test_nothing_read(reply: object) -> None:
    """A read that found nothing gives no keys."""
    assert parse_read(reply) == {}


def test_autoclaim() -> None:
    """XAUTOCLAIM tells where to go on, what was claimed, and what no longer exists."""
    reply = [b"2-0", [(b"1-1", {b"f": b"v"})], [b"1-2"]]
    assert parse_autoclaim(reply) == Claimed("2-0", (Entry("1-1", {"f": "v"}),), ("1-2",))


def test_autoclaim_of_redis_6_2() -> None:
    """Before Redis 7.0 XAUTOCLAIM has two elements."""
    assert parse_autoclaim(["0-0", []]) == Claimed("0-0", (), ())


def test_pending_summary() -> None:
    """What is pending sums up by consumer."""
    reply = {"pending": 2, "min": "1-1", "max": "1-2", "consumers": [{"name": "a", "pending": 2}]}
    assert parse_pending_summary(reply) == PendingSummary(2, "1-1", "1-2", {"a": 2})


def test_nothing_pending() -> None:
    """A group with nothing pending has no first and last id."""
    reply: dict[str, object] = {"pending": 0, "min": None, "max": None, "consumers": []}
    assert parse_pending_summary(reply) == PendingSummary(0, None, None, {})


def test_pending_range() -> None:
    """A pending entry has an owner, an idle time and a delivery count."""
    line = {
        "message_id": b"1-1",
        "consumer": b"a",
        "time_since_delivered": 50,
        "times_delivered": 2,
    }
    assert parse_pending_range([line]) == (PendingEntry("1-1", "a", 50, 2),)


def test_consumer_never_active() -> None:
    """A consumer that was never given anything has been inactive for ever: None."""
    line = {"name": "a", "pending": 0, "idle": 7, "inactive": -1}
    assert parse_consumers([line]) == (ConsumerState("a", 0, 7, None),)


def test_group_before_redis_7() -> None:
    """Before Redis 7.0 the server tells no lag."""
    line = {"name": b"g", "consumers": 1, "pending": 2, "last-delivered-id": b"1-1"}
    assert parse_groups([line]) == (GroupState("g", 1, 2, "1-1", None, None),)


def test_empty_stream() -> None:
    """An empty stream has no first and no last entry."""
    line = {
        "length": 0,
        "last-generated-id": "5-1",
        "groups": 1,
        "first-entry": None,
        "last-entry": None,
    }
    assert parse_stream(line).first_entry is None
