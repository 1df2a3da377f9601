"""EVAL and EVALSHA of the scripts of `streamlab.actors.scripts`, which the model does without Lua."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from streamlab.actors import scripts

from .arguments import CommandError, Reply, entry_id, integer
from .entries import xadd
from .groups import sorted_names
from .keyspace import Keyspace

Script = Callable[[Keyspace, Sequence[str], Sequence[str], int], Reply]

_NO_LUA = (
    "ERR there is no Lua here: only the scripts of streamlab.actors.scripts and of redis-py's Lock are known. "
    "Use a real server for your own"
)


def fenced_ack(db: Keyspace, keys: Sequence[str], args: Sequence[str], now_ms: int) -> Reply:
    """Acknowledge what a consumer owns by the delivery that it names."""
    group_name, consumer, *pairs = args
    stream, group = db.group(keys[0], group_name)
    answers: list[Reply] = []
    for id_text, count in zip(pairs[::2], pairs[1::2], strict=True):
        pending = group.pending.get(entry_id(id_text))
        if pending is None:
            answers.append(-1)
        elif pending.consumer.name == consumer and pending.delivery_count == int(count):
            answers.append(stream.ack(group_name, [entry_id(id_text)]))
        else:
            answers.append(0)
    return answers


def renew(db: Keyspace, keys: Sequence[str], args: Sequence[str], now_ms: int) -> Reply:
    """Set the idle times of what a consumer owns back to 0."""
    group_name, consumer, *ids = args
    stream, group = db.group(keys[0], group_name)
    own: list[Reply] = []
    for id_text in ids:
        pending = group.pending.get(entry_id(id_text))
        if pending is not None and pending.consumer.name == consumer:
            stream.claim(group_name, consumer, [entry_id(id_text)], now_ms, justid=True)
            own.append(id_text)
    return own


def dead_letter(db: Keyspace, keys: Sequence[str], args: Sequence[str], now_ms: int) -> Reply:
    """Move an entry that a consumer owns to the dead-letter stream."""
    group_name, consumer, id_text = args
    stream, group = db.group(keys[0], group_name)
    pending = group.pending.get(entry_id(id_text))
    fields = stream.entries.get(entry_id(id_text))
    if pending is None or pending.consumer.name != consumer or fields is None:
        return None
    origin = ("dead:id", id_text, "dead:group", group_name, "dead:consumer", consumer)
    count = ("dead:deliveries", str(pending.delivery_count))
    new_id = xadd(db, ("XADD", keys[1], "*", *origin, *count, *fields), now_ms)
    stream.ack(group_name, [entry_id(id_text)])
    return new_id


def remove_idle_consumers(db: Keyspace, keys: Sequence[str], args: Sequence[str], now_ms: int) -> Reply:
    """Remove the consumers that hold nothing and have been idle for long."""
    group_name, own_name, idle_ms = args
    stream, group = db.group(keys[0], group_name)
    removed: list[Reply] = []
    for name in sorted_names(group.consumers):
        consumer = group.consumers[name]
        idle = max(now_ms - consumer.seen_at_ms, 0)
        if not consumer.pending and idle >= int(idle_ms) and name != own_name:
            stream.delete_consumer(group_name, name)
            removed.append(name)
    return removed


def lease(db: Keyspace, keys: Sequence[str], args: Sequence[str], now_ms: int) -> Reply:
    """Take, renew or give back a lease."""
    owner, ms = args
    stream = db.stream(keys[0])
    last = stream.entries.last if stream is not None else None
    if last is not None:
        (since_ms, _), (_, holder, _, held_ms) = last
        if holder != owner and since_ms + int(held_ms) > now_ms:
            return 0
    xadd(db, ("XADD", keys[0], "MAXLEN", "1", "*", "owner", owner, "ms", ms), now_ms)
    return 1


def member(db: Keyspace, keys: Sequence[str], args: Sequence[str], now_ms: int) -> Reply:
    """Note that a member is there; count those whose time is not over."""
    name, ms = args[0].encode(errors="surrogateescape"), int(args[1])
    by_name, by_end = db.sorted_set(keys[0]), db.sorted_set(keys[1])
    while (first := by_end.first) is not None and first[0] <= now_ms:
        by_name.discard(first[1])
        by_end.discard(first[1])
    if ms:
        by_name.add(name, 0)
        by_end.add(name, now_ms + ms)
    else:
        by_name.discard(name)
        by_end.discard(name)
    db.put(keys[0], by_name)
    db.put(keys[1], by_end)
    return [len(by_name), by_name.n_before(name)]


_KNOWN: dict[str, Script] = {
    scripts.FENCED_ACK: fenced_ack,
    scripts.RENEW: renew,
    scripts.DEAD_LETTER: dead_letter,
    scripts.REMOVE_IDLE_CONSUMERS: remove_idle_consumers,
    scripts.LEASE: lease,
    scripts.MEMBER: member,
}
_BY_DIGEST = {hashlib.sha1(text.encode()).hexdigest(): script for text, script in _KNOWN.items()}


def run_text(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Run a script given as text (``EVAL``)."""
    script = _KNOWN.get(args[1])
    if script is None:
        raise CommandError(_NO_LUA)
    return _run(script, db, args, now_ms)


def run_digest(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Run a script given by its digest (``EVALSHA``), as if it had been loaded."""
    script = _BY_DIGEST.get(args[1].lower())
    if script is None:
        raise CommandError("NOSCRIPT No matching script. Please use EVAL.")
    return _run(script, db, args, now_ms)


def _run(script: Script, db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    n_keys = integer(args[2])
    if n_keys < 0:
        raise CommandError("ERR Number of keys can't be negative")
    if n_keys > len(args) - 3:
        raise CommandError("ERR Number of keys can't be greater than number of args")
    return script(db, args[3 : 3 + n_keys], args[3 + n_keys :], now_ms)
