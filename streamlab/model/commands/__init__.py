"""The command grammar: arguments as a client sends them → `StreamModel` → replies as on the wire.

What Redis' own command table and parsers do, with Redis' own error texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from . import blocking
from .arguments import CommandError, Reply, entry_id, shown, wrong_arity
from .blocking import serve
from .keyspace import BlockedCommand, Keyspace, ReadRequest, Value, Waiter
from .sorted_set import SortedSet
from .table import Command, commands_of, words_of

__all__ = [
    "BlockedCommand",
    "CommandError",
    "ReadRequest",
    "Reply",
    "SortedSet",
    "StreamCommands",
    "Value",
    "Waiter",
    "entry_id",
    "serve",
]

_CONTAINERS = frozenset({"XGROUP", "XINFO"})


class StreamCommands(Keyspace):
    """A keyspace and the commands on it.

    ``version`` is the version of Redis to behave as.
    """

    def __init__(self, *, version: tuple[int, int, int] = (7, 0, 15)) -> None:
        super().__init__(version=version)
        self._commands = commands_of(self.behaviour)
        self._words = words_of(self._commands)
        self._in_transaction = False
        self._now_ms = 0

    def execute(self, args: Sequence[str], now_ms: int, *, may_block: bool = True) -> Reply | BlockedCommand:
        """Execute one command at a time of day in ms; serve the blocked readers it makes ready.

        ``args`` are the command's name and its arguments; ``XINFO STREAM`` and the like may come as
        one argument or as two. Returns the reply, or a `BlockedCommand` if the command blocks, which it
        may not (``may_block``) inside MULTI.

        Raises
        ------
        CommandError
            With the text of the server's error reply.
        """
        self._now_ms = now_ms
        command = self._commands.get(args[0])
        if command is None or " " in args[0]:
            args, command = self._look_up(args)
        handler, fewest, most, name = command
        if not fewest <= len(args) <= most:
            raise wrong_arity(name)
        if handler is None:
            return blocking.xread(self, args, now_ms, may_block)
        reply = handler(self, args, now_ms)
        if self._ready and not self._in_transaction:
            self._serve_ready()
        return reply

    def knows(self, name: str) -> bool:
        """Tell whether a word, in capitals, is a command of this grammar on something else than keys."""
        return name in self._words

    def has(self, name: str) -> bool:
        """Tell whether a word, in capitals, is a command of this grammar, a container of subcommands among them."""
        return name in self._commands or name in _CONTAINERS

    @property
    def is_in_transaction(self) -> bool:
        """Whether blocked readers are served only when a transaction ends."""
        return self._in_transaction

    def check(self, args: Sequence[str]) -> None:
        """Raise the `CommandError` with which a server refuses to queue a command: no such one, wrong arity."""
        args, (_, fewest, most, name) = self._look_up(args)
        if not fewest <= len(args) <= most:
            raise wrong_arity(name)

    @contextmanager
    def transaction(self, now_ms: int | None = None) -> Iterator[None]:
        """Execute several commands as MULTI does: blocked readers are served when it ends.

        They are served at the time of the last command, or at ``now_ms`` if there is none.
        """
        if now_ms is not None:
            self._now_ms = now_ms
        self._in_transaction = True
        try:
            yield
        finally:
            self._in_transaction = False
            self._serve_ready()

    def retry(self, waiter: Waiter, now_ms: int) -> None:
        """Look again what a blocked XREADGROUP CLAIM may claim (see `Waiter`)."""
        if self.is_blocked(waiter):
            blocking.rerun(self, waiter.keys[0], waiter, now_ms)

    def _serve_ready(self) -> None:
        while self._ready:
            key = self._ready.pop(0)
            serve(self, key, self.queues[key], self._now_ms)

    def _look_up(self, args: Sequence[str]) -> tuple[Sequence[str], Command]:
        """Find a command that is spelled otherwise than in the table; return its words, too."""
        words = [*args[0].split(" "), *args[1:]]
        name = words[0].upper()
        if name not in _CONTAINERS:
            command = self._commands.get(name)
            if command is None:
                raise self.unknown_command(args)
            return words, command
        if len(words) == 1:
            raise wrong_arity(name.lower())
        command = self._commands.get(f"{name} {words[1].upper()}")
        if command is None:
            raise CommandError(f"ERR unknown subcommand '{shown(words[1], 128)}'. Try {name} HELP.")
        return words, command

    def unknown_command(self, args: Sequence[str]) -> CommandError:
        """Return the error for a command that does not exist."""
        error = f"ERR unknown command '{shown(args[0], 128)}'"
        if len(args) > 1 or not self.behaviour.unknown_command_is_terse:
            error += ", with args beginning with: "
        n_left = 128  # bytes
        for word in args[1:]:
            if n_left > 0:
                part = f"'{shown(word, n_left)}' "
                n_left -= len(part.encode("utf-8", "surrogateescape"))
                error += part
        return CommandError(error)
