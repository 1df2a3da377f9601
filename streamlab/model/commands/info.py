"""XINFO: what Redis tells about a stream, its groups and its consumers."""

from __future__ import annotations

from collections.abc import Sequence

from streamlab.model import Consumer, Group, StreamModel, format_id

from .arguments import CommandError, Reply, integer, wrong_subcommand
from .groups import no_such_group, sorted_names
from .keyspace import Keyspace
from .reading import entries_reply


def _stream(db: Keyspace, key: str) -> StreamModel:
    stream = db.stream(key)
    if stream is None:
        raise CommandError("ERR no such key")
    return stream


def _flat(**values: Reply) -> list[Reply]:
    """Lay out a map as RESP2 does; underscores in the names stand for hyphens."""
    flat: list[Reply] = []
    for name, value in values.items():
        flat += (name.replace("_", "-"), value)
    return flat


def _idle(since_ms: int, now_ms: int) -> int:
    return max(now_ms - since_ms, 0)


def xinfo_groups(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Describe the groups of a stream."""
    stream = _stream(db, args[2])
    groups = [stream.groups[name] for name in sorted_names(stream.groups)]
    return [
        _flat(
            name=group.name,
            consumers=len(group.consumers),
            pending=len(group.pending),
            last_delivered_id=format_id(group.last_id),
            entries_read=group.entries_read,
            lag=stream.lag(group.name),
        )
        for group in groups
    ]


def xinfo_consumers(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Describe the consumers of a group."""
    key, name = args[2:]
    stream = _stream(db, key)
    group = stream.groups.get(name)
    if group is None:
        raise no_such_group(key, name)
    reply: list[Reply] = []
    for consumer_name in sorted_names(group.consumers):
        consumer = group.consumers[consumer_name]
        line = _flat(name=consumer.name, pending=len(consumer.pending), idle=_idle(consumer.seen_at_ms, now_ms))
        if db.behaviour.inactive_time:
            active = consumer.active_at_ms
            line += ("inactive", -1 if active is None else _idle(active, now_ms))
        reply.append(line)
    return reply


def xinfo_stream(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Describe a stream, in FULL with its entries, groups and pending entries."""
    stream = _stream(db, args[2])
    count = _full_count(args)
    reply = _flat(
        length=len(stream),
        radix_tree_keys=stream.entries.n_nodes,
        radix_tree_nodes=stream.entries.n_nodes + 1,
        last_generated_id=format_id(stream.last_id),
        max_deleted_entry_id=format_id(stream.max_deleted_id),
        entries_added=stream.entries_added,
        recorded_first_entry_id=format_id(stream.first_id),
    )
    if db.behaviour.idempotent_adding:
        reply += _flat(
            idmp_duration=100, idmp_maxsize=100, pids_tracked=0, iids_tracked=0, iids_added=0, iids_duplicates=0
        )
    if count is None:
        first, last = stream.entries.first, stream.entries.last
        return reply + _flat(groups=len(stream.groups), first_entry=_entry(first), last_entry=_entry(last))
    groups = [stream.groups[name] for name in sorted_names(stream.groups)]
    limit = count or None
    return reply + _flat(
        entries=entries_reply(stream.range(count=limit)),
        groups=[_group_in_full(db, stream, group, limit) for group in groups],
    )


def _entry(entry: tuple[tuple[int, int], tuple[str, ...]] | None) -> Reply:
    return None if entry is None else [format_id(entry[0]), list(entry[1])]


def _full_count(args: Sequence[str]) -> int | None:
    """Read ``[FULL [COUNT n]]``: None without FULL; 0 is no limit."""
    options = args[3:]
    if not options:
        return None
    if len(options) not in (1, 3) or options[0].upper() != "FULL":
        raise wrong_subcommand(args[0], args[1])
    if len(options) == 1:
        return 10
    if options[1].upper() != "COUNT":
        raise wrong_subcommand(args[0], args[1])
    count = integer(options[2])
    return count if count >= 0 else 10


def _group_in_full(db: Keyspace, stream: StreamModel, group: Group, limit: int | None) -> Reply:
    consumers = [group.consumers[name] for name in sorted_names(group.consumers)]
    pel: list[Reply] = [
        [format_id(entry_id), p.consumer.name, p.delivered_at_ms, p.delivery_count]
        for entry_id, p in stream.pending(group.name, 0, count=limit)
    ]
    return _flat(
        name=group.name,
        last_delivered_id=format_id(group.last_id),
        entries_read=group.entries_read,
        lag=stream.lag(group.name),
        pel_count=len(group.pending),
        pending=pel,
        consumers=[_consumer_in_full(db, stream, group, c, limit) for c in consumers],
    )


def _consumer_in_full(db: Keyspace, stream: StreamModel, group: Group, consumer: Consumer, limit: int | None) -> Reply:
    pel: list[Reply] = [
        [format_id(entry_id), p.delivered_at_ms, p.delivery_count]
        for entry_id, p in stream.pending(group.name, 0, count=limit, consumer_name=consumer.name)
    ]
    line = _flat(name=consumer.name, seen_time=consumer.seen_at_ms)
    if db.behaviour.inactive_time:
        active = consumer.active_at_ms
        line += ("active-time", -1 if active is None else active)
    return line + _flat(pel_count=len(consumer.pending), pending=pel)
