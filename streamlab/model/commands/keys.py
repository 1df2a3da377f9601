"""The few commands on keys, strings and hashes that a lesson on streams needs."""

from __future__ import annotations

from collections.abc import Sequence

from .arguments import WRONG_TYPE, CommandError, Reply, integer, syntax_error, wrong_arity
from .keyspace import Keyspace
from .sorted_set import SortedSet


def ping(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Answer."""
    if len(args) > 2:
        raise wrong_arity("ping")
    return args[1] if len(args) == 2 else "PONG"


def delete(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Remove keys."""
    return sum(map(db.delete, args[1:]))


def exists(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Count the keys that exist."""
    return sum(key in db.keys for key in args[1:])


def key_type(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Name the type of a key's value."""
    value = db.keys.get(args[1])
    if value is None:
        return "none"
    if isinstance(value, str):
        return "string"
    return "hash" if isinstance(value, dict) else "zset" if isinstance(value, SortedSet) else "stream"


def set_string(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Set a key to a string, whatever it held."""
    if len(args) > 3:
        raise syntax_error()
    db.delete(args[1])
    db.keys[args[1]] = args[2]
    return "OK"


def get_string(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Return a string."""
    value = db.keys.get(args[1])
    if value is None or isinstance(value, str):
        return value
    raise CommandError(WRONG_TYPE)


def _hash(db: Keyspace, key: str) -> dict[str, str] | None:
    value = db.keys.get(key)
    if value is None or isinstance(value, dict):
        return value
    raise CommandError(WRONG_TYPE)


def _hash_or_new(db: Keyspace, key: str) -> dict[str, str]:
    found = _hash(db, key)
    if found is None:
        found = db.keys[key] = {}
    return found


def hash_set_new(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Set a field of a hash, unless it is there."""
    values = _hash_or_new(db, args[1])
    if args[2] in values:
        return 0
    values[args[2]] = args[3]
    return 1


def hash_increment(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Add to a number in a hash."""
    step = integer(args[3])
    values = _hash(db, args[1]) or {}
    number = integer(values.get(args[2], "0"), "ERR hash value is not an integer") + step
    _hash_or_new(db, args[1])[args[2]] = str(number)
    return number


def hash_all(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Return all fields and values of a hash."""
    return [text for pair in (_hash(db, args[1]) or {}).items() for text in pair]


def flush(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Remove all keys."""
    if len(args) > 1 and (len(args) > 2 or args[1].upper() not in ("SYNC", "ASYNC")):
        raise syntax_error()
    for key in list(db.keys):
        db.delete(key)
    return "OK"
