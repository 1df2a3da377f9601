"""What a consumer group and its pending entries look like from outside.

Plain records, and pure functions that make them from the replies of redis-py (either protocol,
decoded or not). Ids are text, ``"ms-seq"``; idle times are in ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PendingEntry:
    """An entry that was delivered and not acknowledged."""

    id: str
    consumer: str
    idle_ms: int
    delivery_count: int


@dataclass(frozen=True, slots=True)
class GroupState:
    """A consumer group. ``entries_read`` and ``lag`` are None if the server cannot tell."""

    name: str
    consumers: int
    pending: int
    last_delivered_id: str
    entries_read: int | None = None
    lag: int | None = None


def text(value: bytes | str) -> str:
    """Return a value of a reply as text, whether redis-py decoded it or not."""
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else value


def parse_pending_range(reply: Iterable[Mapping[str, Any]]) -> tuple[PendingEntry, ...]:
    """Read the reply of XPENDING for a range."""
    return tuple(
        PendingEntry(
            id=text(line["message_id"]),
            consumer=text(line["consumer"]),
            idle_ms=line["time_since_delivered"],
            delivery_count=line["times_delivered"],
        )
        for line in reply
    )


def parse_groups(reply: Iterable[Mapping[Any, Any]]) -> tuple[GroupState, ...]:
    """Read the reply of XINFO GROUPS."""
    return tuple(_parse_group({text(name): value for name, value in line.items()}) for line in reply)


def _parse_group(line: dict[str, Any]) -> GroupState:
    return GroupState(
        name=text(line["name"]),
        consumers=line["consumers"],
        pending=line["pending"],
        last_delivered_id=text(line["last-delivered-id"]),
        entries_read=line.get("entries-read"),
        lag=line.get("lag"),
    )
