"""What a stream, its groups, its consumers and its pending entries look like from outside.

Plain records, and pure functions that make them from the replies of redis-py (either protocol,
decoded or not). Ids are text, ``"ms-seq"``; times and idle times are in ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry. ``fields`` is None if it was deleted while it was pending."""

    id: str
    fields: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class PendingEntry:
    """An entry that was delivered and not acknowledged."""

    id: str
    consumer: str
    idle_ms: int
    delivery_count: int


@dataclass(frozen=True, slots=True)
class PendingSummary:
    """What is pending in a group; the ids are None if nothing is."""

    total: int
    first_id: str | None
    last_id: str | None
    by_consumer: dict[str, int]


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """A consumer. ``inactive_ms`` is None before Redis 7.2, and if it was never given anything."""

    name: str
    pending: int
    idle_ms: int
    inactive_ms: int | None = None


@dataclass(frozen=True, slots=True)
class GroupState:
    """A consumer group. ``entries_read`` and ``lag`` are None if the server cannot tell."""

    name: str
    consumers: int
    pending: int
    last_delivered_id: str
    entries_read: int | None = None
    lag: int | None = None


@dataclass(frozen=True, slots=True)
class StreamState:
    """A stream."""

    length: int
    last_generated_id: str
    groups: int
    first_entry: Entry | None = None
    last_entry: Entry | None = None
    entries_added: int | None = None
    max_deleted_id: str | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """What one XAUTOCLAIM found; ``cursor`` is where to go on, ``"0-0"`` at the end."""

    cursor: str
    entries: tuple[Entry, ...]
    deleted_ids: tuple[str, ...]


def text(value: bytes | str) -> str:
    """Return a value of a reply as text, whether redis-py decoded it or not."""
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else value


def parse_entry(reply: Any) -> Entry:
    """Read an entry of XRANGE, XREADGROUP …: ``(id, fields)``.

    redis-py shows a deleted entry as ``(id, {})``; a live one has at least one field.
    """
    entry_id, fields = reply[0], reply[1]
    if not isinstance(fields, Mapping):  # a flat list: field, value, field, value …
        fields = dict(zip(fields[::2], fields[1::2], strict=True)) if fields else {}
    return Entry(text(entry_id), {text(k): text(v) for k, v in fields.items()} or None)


def parse_entries(reply: Iterable[Any]) -> tuple[Entry, ...]:
    """Read the entries of XRANGE, XREVRANGE or XCLAIM."""
    return tuple(parse_entry(entry) for entry in reply)


def parse_read(reply: Any) -> dict[str, tuple[Entry, ...]]:
    """Read the reply of XREAD or XREADGROUP: entries by key. It is empty when there were none."""
    if not reply:
        return {}
    if isinstance(reply, Mapping):  # RESP3, which wraps the entries of a key once more
        return {
            text(key): parse_entries(batches[0] if len(batches) == 1 else batches)
            for key, batches in reply.items()
        }
    return {text(key): parse_entries(entries) for key, entries in reply}


def parse_autoclaim(reply: Any) -> Claimed:
    """Read the reply of XAUTOCLAIM. (Before Redis 7.0 it does not tell deleted ids.)"""
    cursor, entries, *rest = reply
    deleted = rest[0] if rest else ()
    return Claimed(text(cursor), parse_entries(entries), tuple(map(text, deleted)))


def parse_pending_summary(reply: Mapping[str, Any]) -> PendingSummary:
    """Read the reply of XPENDING for a whole group."""
    first, last = reply["min"], reply["max"]
    return PendingSummary(
        total=reply["pending"],
        first_id=None if first is None else text(first),
        last_id=None if last is None else text(last),
        by_consumer={text(c["name"]): int(c["pending"]) for c in reply["consumers"] or ()},
    )


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


def parse_consumers(reply: Iterable[Mapping[Any, Any]]) -> tuple[ConsumerState, ...]:
    """Read the reply of XINFO CONSUMERS."""
    return tuple(_parse_consumer(_named(line)) for line in reply)


def _parse_consumer(line: dict[str, Any]) -> ConsumerState:
    inactive = line.get("inactive")
    return ConsumerState(
        name=text(line["name"]),
        pending=line["pending"],
        idle_ms=line["idle"],
        inactive_ms=None if inactive == -1 else inactive,
    )


def parse_groups(reply: Iterable[Mapping[Any, Any]]) -> tuple[GroupState, ...]:
    """Read the reply of XINFO GROUPS."""
    return tuple(_parse_group(_named(line)) for line in reply)


def _parse_group(line: dict[str, Any]) -> GroupState:
    return GroupState(
        name=text(line["name"]),
        consumers=line["consumers"],
        pending=line["pending"],
        last_delivered_id=text(line["last-delivered-id"]),
        entries_read=line.get("entries-read"),
        lag=line.get("lag"),
    )


def parse_stream(reply: Mapping[Any, Any]) -> StreamState:
    """Read the reply of XINFO STREAM (without FULL)."""
    line = _named(reply)
    first, last = line["first-entry"], line["last-entry"]
    deleted = line.get("max-deleted-entry-id")
    return StreamState(
        length=line["length"],
        last_generated_id=text(line["last-generated-id"]),
        groups=line["groups"],
        first_entry=parse_entry(first) if first else None,
        last_entry=parse_entry(last) if last else None,
        entries_added=line.get("entries-added"),
        max_deleted_id=None if deleted is None else text(deleted),
    )


def _named(line: Mapping[Any, Any]) -> dict[str, Any]:
    return {text(name): value for name, value in line.items()}
