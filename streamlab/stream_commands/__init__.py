"""The command grammar: arguments as a client sends them → `StreamModel` → replies as on the wire.

What Redis' own command table and parsers do, with Redis' own error texts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from streamlab.stream_model import Behaviour

from . import entries, groups, info, keys, reading, references
from .arguments import CommandError, Reply, shown, wrong_arity
from .keyspace import Keyspace, Waiter

__all__ = ["CommandError", "Reply", "StreamCommands", "Waiter"]

Handler = Callable[[Keyspace, Sequence[str], int], Reply]


class Command(NamedTuple):
    """A line of the command table."""

    handler: Handler | None  # None: reads, which may block
    fewest: int  # arguments, the name included
    most: int
    name: str  # as in error messages


# As in Redis' own table: how many arguments, the name included; negative: at least so many.
_TABLE: dict[str, tuple[Handler | None, int]] = {
    "XADD": (entries.xadd, -5),
    "XLEN": (entries.xlen, 2),
    "XRANGE": (entries.xrange, -4),
    "XREVRANGE": (entries.xrevrange, -4),
    "XDEL": (entries.xdel, -3),
    "XDELEX": (references.xdelex, -5),
    "XTRIM": (entries.xtrim, -4),
    "XSETID": (entries.xsetid, -3),
    "XREAD": (None, -4),
    "XREADGROUP": (None, -7),
    "XGROUP|CREATE": (groups.xgroup_create, -5),
    "XGROUP|SETID": (groups.xgroup_setid, -5),
    "XGROUP|DESTROY": (groups.xgroup_destroy, 4),
    "XGROUP|CREATECONSUMER": (groups.xgroup_createconsumer, 5),
    "XGROUP|DELCONSUMER": (groups.xgroup_delconsumer, 5),
    "XACK": (groups.xack, -4),
    "XACKDEL": (references.xackdel, -6),
    "XPENDING": (groups.xpending, -3),
    "XCLAIM": (groups.xclaim, -6),
    "XAUTOCLAIM": (groups.xautoclaim, -6),
    "XINFO|STREAM": (info.xinfo_stream, -3),
    "XINFO|GROUPS": (info.xinfo_groups, 3),
    "XINFO|CONSUMERS": (info.xinfo_consumers, 4),
    "PING": (keys.ping, -1),
    "DEL": (keys.delete, -2),
    "UNLINK": (keys.delete, -2),
    "EXISTS": (keys.exists, -2),
    "TYPE": (keys.key_type, 2),
    "SET": (keys.set_string, -3),
    "GET": (keys.get_string, 2),
    "FLUSHALL": (keys.flush, -1),
    "FLUSHDB": (keys.flush, -1),
}


_SINCE: dict[str, Callable[[Behaviour], bool]] = {
    "XACKDEL": lambda behaviour: behaviour.reference_policies,
    "XDELEX": lambda behaviour: behaviour.reference_policies,
}

_CONTAINERS = frozenset({"XGROUP", "XINFO"})


class StreamCommands(Keyspace):
    """A keyspace and the commands on it.

    ``version`` is the version of Redis to behave as.
    """

    def __init__(self, *, version: tuple[int, int, int] = (7, 0, 15)) -> None:
        super().__init__(version=version)
        self._table = {
            name: Command(handler, abs(arity), arity if arity > 0 else sys.maxsize, name.lower())
            for name, (handler, arity) in _TABLE.items()
            if name not in _SINCE or _SINCE[name](self.behaviour)
        }
        self._now_ms = 0

    def execute(
        self, args: Sequence[str], now_ms: int, *, may_block: bool = True
    ) -> Reply | Waiter:
        """Execute one command at a time of day in ms; serve the blocked readers it makes ready.

        ``args`` are the command's name and its arguments; ``XINFO STREAM`` and the like may come as
        one argument or as two. Returns the reply, or a `Waiter` if the command blocks, which it
        may not (``may_block``) inside MULTI.

        Raises
        ------
        CommandError
            With the text of the server's error reply.
        """
        self._now_ms = now_ms
        command = self._table.get(args[0])
        if command is None:
            args, command = self._look_up(args)
        handler, fewest, most, name = command
        if not fewest <= len(args) <= most:
            raise wrong_arity(name)
        if handler is not None:
            reply = handler(self, args, now_ms)
            if self._ready and not self._in_transaction:
                self._serve_ready()
            return reply
        return reading.xread(self, args, now_ms, may_block)

    def _look_up(self, args: Sequence[str]) -> tuple[Sequence[str], Command]:
        """Find a command that is not spelled as in the table; split or join its two words."""
        first = args[0].split(" ") if " " in args[0] else [args[0]]
        words = [*first, *args[1:]]
        name = words[0].upper()
        if name in _CONTAINERS:
            if len(words) == 1:
                raise wrong_arity(name.lower())
            command = self._table.get(f"{name}|{words[1].upper()}")
            if command is None:
                raise CommandError(
                    f"ERR unknown subcommand '{shown(words[1])[:128]}'. Try {name} HELP."
                )
            return words, command
        command = self._table.get(name)
        if command is None:
            raise self._unknown_command(args)
        return words, command

    def _unknown_command(self, args: Sequence[str]) -> CommandError:
        error = f"ERR unknown command '{shown(args[0])[:128]}'"
        if len(args) > 1 or not self.behaviour.unknown_command_is_terse:
            error += ", with args beginning with: "
        beginning = ""
        for word in args[1:]:
            if len(beginning) < 128:
                beginning += f"'{shown(word)[: 128 - len(beginning)]}' "
        return CommandError(error + beginning)

    def _serve_ready(self) -> None:
        """Serve the readers of the keys that changed, in the order in which they blocked."""
        while self._ready:
            key = self._ready.pop(0)
            reading.serve(self, key, self._waiting[key], self._now_ms)

    def retry(self, waiter: Waiter, now_ms: int) -> None:
        """Look again what a blocked XREADGROUP CLAIM may claim (see `Waiter`)."""
        if self.is_blocked(waiter):
            reading.rerun(self, waiter.keys[0], waiter, now_ms)
