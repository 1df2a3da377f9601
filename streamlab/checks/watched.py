"""`WatchedRedis`: the client that a learner's function is given, which takes note of what it asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import redis
from redis.client import Pipeline

from streamlab.checks.attempts import Stop, call, cut_short
from streamlab.results.verdict import Objection

#: More commands than any answer needs: one that sends them will go on for ever.
MOST_COMMANDS: Final = 300


@dataclass(slots=True)
class Command:
    """A command that was sent: its words, the first in capitals; and what was answered."""

    words: tuple[str, ...]
    reply: Any = None
    #: All its words in capitals, to look for options.
    upper: list[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.upper = [word.upper() for word in self.words]

    @property
    def name(self) -> str:
        return self.words[0]

    def position(self, option: str) -> int:
        """Return where an option stands, counted from the end; 0 if it is not there."""
        upper = self.upper
        return upper.index(option) - len(upper) if option in upper else 0

    def option(self, name: str) -> str | None:
        """Return the word after an option, such as ``COUNT``; None if there is none."""
        at = self.position(name)
        return self.words[at + 1] if at < -1 else None

    def with_count(self, args: Sequence[Any], most: int) -> Sequence[Any]:
        """Return its arguments with a COUNT of at most `most`, so that lists need not be very long to be long."""
        count = self.option("COUNT")
        if count is None:
            return [*args, "COUNT", most]
        at = self.position("COUNT") + 1 + len(args)
        is_large = count.isdecimal() and int(count) > most
        return [*args[:at], most, *args[at + 1 :]] if is_large else args


class WatchedRedis(redis.Redis):
    """A client that remembers its commands, in pipelines as well, and objects to some of them.

    What it objects to ends the learner's function, and is remembered: see `Stop`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.commands: list[Command] = []  #: those that were sent, with their replies
        #: Called with each command before it is sent; returns the arguments to send instead, or objects.
        self.before: Callable[[Command, Sequence[Any]], Sequence[Any]] = lambda command, args: args
        self.most_commands = MOST_COMMANDS  #: after so many it is ended, with this hint:
        self.endless = "it begins again where it was before: what makes the next command another one?"
        #: The first; raised at each command from then on, in case that the function has swallowed it.
        self.objection: Objection | None = None

    def call(self, answer: object, case: str, *args: object, may_raise: type[BaseException] | tuple[()] = ()) -> Any:
        """Call a learner's function with this client first; see `streamlab.checks.attempts.call`."""
        try:
            said = call(answer, case, self, *args, may_raise=may_raise)
        except Exception:
            if self.objection is not None:
                raise self.objection from None
            raise
        if self.objection is not None:
            raise self.objection
        return said

    def refuse(self, objection: Objection) -> NoReturn:
        """End the learner's function, with what to say about it."""
        if self.objection is not None:
            cut_short()
        self.objection = self.objection or objection
        raise Stop(self.objection)

    def is_used(self, *names: str) -> bool:
        """Return whether one of these commands was sent."""
        return any(command.name in names for command in self.commands)

    def note(self, args: Sequence[Any]) -> tuple[Command, Sequence[Any]]:
        """Take note of a command that is about to be sent; return what to send."""
        if self.objection is not None:
            self.refuse(self.objection)
        command = Command(words_of(args))
        self.commands.append(command)
        if len(self.commands) > self.most_commands:
            words = f"After {self.most_commands} commands it was still asking."
            self.refuse(Objection(words, self.endless))
        return command, self.before(command, args)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        command, args_sent = self.note(args)
        execute: Any = super().execute_command
        command.reply = execute(*args_sent, **options)
        return command.reply

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        pool, callbacks = self.connection_pool, self.response_callbacks
        pipe = _WatchedPipeline(pool, callbacks, transaction, shard_hint)
        pipe.watched = self
        return pipe


# What an AttributeError says: to the learner it is a client like any other.
WatchedRedis.__name__ = WatchedRedis.__qualname__ = "Redis"


class _WatchedPipeline(Pipeline):
    watched: WatchedRedis

    def execute(self, raise_on_error: bool = True) -> Any:
        commands = []
        for number, (args, options) in enumerate(self.command_stack):
            command, args_sent = self.watched.note(args)
            commands.append(command)
            self.command_stack[number] = (tuple(args_sent), options)
        execute: Any = super().execute
        replies = execute(raise_on_error)
        for command, reply in zip(commands, replies, strict=True):
            command.reply = reply
        return replies

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        command, args_sent = self.watched.note(args)
        execute: Any = super().immediate_execute_command
        command.reply = execute(*args_sent, **options)
        return command.reply


def text_of(arg: object) -> str:
    return arg.decode(errors="replace") if isinstance(arg, bytes) else str(arg)


def words_of(args: Sequence[Any]) -> tuple[str, ...]:
    """Return a command's arguments as text, its name in capitals; ``XGROUP CREATE`` in one is two words."""
    first, *rest = map(text_of, args)
    name, *more = first.split(" ")
    return (name.upper(), *more, *rest)
