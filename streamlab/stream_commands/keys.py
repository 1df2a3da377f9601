"""The few commands on keys and strings that a lesson on streams needs."""

from __future__ import annotations

from collections.abc import Sequence

from .arguments import WRONG_TYPE, CommandError, Reply, syntax_error, wrong_arity
from .keyspace import Keyspace


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
    return "none" if value is None else "string" if isinstance(value, str) else "stream"


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


def flush(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Remove all keys."""
    if len(args) > 1 and (len(args) > 2 or args[1].upper() not in ("SYNC", "ASYNC")):
        raise syntax_error()
    for key in list(db.keys):
        db.delete(key)
    return "OK"
