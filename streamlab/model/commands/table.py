"""The command table: names, handlers and numbers of arguments, as in Redis' own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from streamlab.model import Behaviour

from . import entries, groups, info, keys, known_scripts, references
from .arguments import Reply
from .keyspace import Keyspace

Handler = Callable[[Keyspace, Sequence[str], int], Reply]


class Command(NamedTuple):
    """A line of the table."""

    handler: Handler | None  # None: reads, which may block
    fewest: int  # arguments, the name included
    most: int
    name: str  # as in error messages


# How many arguments, the name included; negative: at least so many.
_ARITIES: dict[str, tuple[Handler | None, int]] = {
    "XADD": (entries.xadd, -5),
    "XLEN": (entries.xlen, 2),
    "XRANGE": (entries.xrange, -4),
    "XREVRANGE": (entries.xrevrange, -4),
    "XDEL": (entries.xdel, -3),
    "XTRIM": (entries.xtrim, -4),
    "XSETID": (entries.xsetid, -3),
    "XREAD": (None, -4),
    "XREADGROUP": (None, -7),
    "XGROUP CREATE": (groups.xgroup_create, -5),
    "XGROUP SETID": (groups.xgroup_setid, -5),
    "XGROUP DESTROY": (groups.xgroup_destroy, 4),
    "XGROUP CREATECONSUMER": (groups.xgroup_createconsumer, 5),
    "XGROUP DELCONSUMER": (groups.xgroup_delconsumer, 5),
    "XACK": (groups.xack, -4),
    "XPENDING": (groups.xpending, -3),
    "XCLAIM": (groups.xclaim, -6),
    "XAUTOCLAIM": (groups.xautoclaim, -6),
    "XINFO STREAM": (info.xinfo_stream, -3),
    "XINFO GROUPS": (info.xinfo_groups, 3),
    "XINFO CONSUMERS": (info.xinfo_consumers, 4),
    "PING": (keys.ping, -1),
    "DEL": (keys.delete, -2),
    "UNLINK": (keys.delete, -2),
    "EXISTS": (keys.exists, -2),
    "TYPE": (keys.key_type, 2),
    "SET": (keys.set_string, -3),
    "GET": (keys.get_string, 2),
    "HSETNX": (keys.hash_set_new, 4),
    "HINCRBY": (keys.hash_increment, 4),
    "HGETALL": (keys.hash_all, 2),
    "EVAL": (known_scripts.run_text, -3),
    "EVALSHA": (known_scripts.run_digest, -3),
    "FLUSHALL": (keys.flush, -1),
    "FLUSHDB": (keys.flush, -1),
}

_WITH_REFERENCE_POLICIES: dict[str, tuple[Handler | None, int]] = {
    "XACKDEL": (references.xackdel, -6),
    "XDELEX": (references.xdelex, -5),
}


def commands_of(behaviour: Behaviour) -> dict[str, Command]:
    """Return the commands that a version has; those of two words under both, with a blank."""
    arities = _ARITIES
    if behaviour.reference_policies:
        arities = arities | _WITH_REFERENCE_POLICIES
    return {
        name: Command(handler, abs(arity), arity if arity > 0 else sys.maxsize, name.lower().replace(" ", "|"))
        for name, (handler, arity) in arities.items()
    }


def words_of(commands: dict[str, Command]) -> frozenset[str]:
    """Return the first words of all commands but those on keys of any type."""
    return frozenset(
        name.split(" ")[0]
        for name, command in commands.items()
        if command.handler is None or command.handler.__module__ != keys.__name__
    )
