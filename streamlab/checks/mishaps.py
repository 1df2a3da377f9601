"""What an exercise's function is run as: a process that may die, or lose a reply, at any of its commands.

What is right holds wherever that happens. Each trial has an embedded server of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn

import redis
from redis.client import Pipeline

from streamlab.checks import attempts
from streamlab.checks.attempts import Stop
from streamlab.checks.watched import text_of
from streamlab.results.verdict import Objection
from streamlab.servers.embedded import EmbeddedServer

#: More steps than any answer needs in one call: one that takes them will go on for ever.
MOST_STEPS: Final = 300
KEY, GROUP = "{orders}", "kitchen"

Fields = dict[str, str]
#: Called ``"before"`` and ``"after"`` each step, with its words; raises what goes wrong there.
Mishap = Callable[[str, str], None]


class Died(BaseException):
    """What ends a process where it stands: no ``except Exception`` sees it, as none sees a SIGKILL."""


def no_mishap(when: str, words: str) -> None:
    """Let all go well."""


def dies_at(nth: int, when: str) -> Mishap:
    """Return a mishap: death before or after the nth step, counted from 1."""
    numbers = {"before": itertools.count(1), "after": itertools.count(1)}

    def mishap(now: str, words: str) -> None:
        if next(numbers[now]) == nth and now == when:
            raise Died

    return mishap


def each_step() -> Iterator[tuple[int, str]]:
    """Yield places to die at, without end: before and after step 1, before and after step 2 …"""
    for nth in itertools.count(1):
        yield nth, "before"
        yield nth, "after"


class Life:
    """The steps of a process, which are its commands or statements; and what goes wrong at one of them."""

    def __init__(self) -> None:
        self.mishap: Mishap = no_mishap
        self.n_steps = 0
        self.is_over = False
        self.objection: Objection | None = None

    def refuse(self, words: str, hint: str) -> NoReturn:
        """End the learner's function, with what to say about it; also if it catches errors."""
        self.objection = Objection(words, hint)
        raise Stop(self.objection)

    def step(self, words: str, do: Callable[[], Any], at_death: Callable[[], None] | None = None) -> Any:
        """Do something, with what goes wrong before or after it. The dead do nothing more."""
        if self.objection is not None:
            raise Stop(self.objection)
        if self.is_over:
            raise Died
        self.n_steps += 1
        if self.n_steps > MOST_STEPS:
            hint = "what ends its loop? Each round has to leave less to do."
            self.refuse(f"After {MOST_STEPS} commands it was still going on.", hint)
        try:
            self.mishap("before", words)
            said = do()
            self.mishap("after", words)
        except Died:
            self.is_over = True
            if at_death is not None:
                at_death()
            raise
        return said


# ---- processes that talk to Redis ------------------------------------------------------------------


class MortalClient(redis.Redis):
    """A client for the learner's function. Each command, pipeline and transaction is a step of its life."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.life = Life()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        words = " ".join(map(text_of, args))
        if " BLOCK " in words.upper():
            hint = "leave out block=: it is to return when there are none left."
            self.life.refuse("It waits for entries (BLOCK).", hint)
        execute: Any = super().execute_command
        return self.life.step(words, lambda: execute(*args, **options))

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        pool, callbacks = self.connection_pool, self.response_callbacks
        pipe = _MortalPipeline(pool, callbacks, transaction, shard_hint)
        pipe.life = self.life
        return pipe


class _MortalPipeline(Pipeline):
    """A pipeline or transaction: all of it goes wrong, or nothing."""

    life: Life

    def execute(self, raise_on_error: bool = True) -> Any:
        execute: Any = super().execute
        return self.life.step("EXEC", lambda: execute(raise_on_error))


class Streams:
    """A server, a client to look at it, and a client for each process that is started."""

    def __init__(self) -> None:
        self._server = EmbeddedServer()
        self.client: Any = self._server.client()

    def process(self, mishap: Mishap = no_mishap) -> MortalClient:
        """Return the client of a process that has just been started."""
        client = self._server.client(MortalClient)
        assert isinstance(client, MortalClient)
        client.life.mishap = mishap
        return client

    def entries(self, key: str = KEY) -> list[tuple[str, Fields]]:
        return list(_look(lambda: self.client.xrange(key)))

    def orders(self, key: str = KEY) -> list[Fields]:
        return [fields for _, fields in self.entries(key)]

    def has_deletions(self) -> bool:
        """Return whether an entry of the stream was ever deleted."""
        info = _look(lambda: self.client.xinfo_stream(KEY))
        return bool(info["max-deleted-entry-id"] != "0-0")

    def pending(self) -> dict[str, str]:
        """Return who has which entry pending."""
        rows = _look(lambda: self.client.xpending_range(KEY, GROUP, "-", "+", 1000))
        return {row["message_id"]: row["consumer"] for row in rows}


def _look(ask: Callable[[], Any]) -> Any:
    """Ask the server; object if the learner's function has left no stream, or no group, to be looked at."""
    try:
        return ask()
    except redis.ResponseError as error:
        hint = "leave keys and groups that are there as they are."
        raise Objection(f"Afterwards Redis says: {error}.", hint) from error


# ---- trying an answer ------------------------------------------------------------------------------


def call(answer: object, case: str, *args: object, may_raise: type[BaseException] | tuple[()] = ()) -> Any:
    """Call the learner's function as `attempts.call` does, with hints for what goes wrong here. Death passes."""
    passing: Any = (Died, may_raise) if may_raise else Died
    try:
        return attempts.call(answer, case, *args, may_raise=passing)
    except Objection as objection:
        error = objection.__cause__
        hint = next((hint for part, hint in _HINTS.items() if part in str(error)), "")
        if not hint:
            raise
        raise Objection(objection.verdict.words, hint) from error


def comes_through(
    answer: object, case: str, life: Life, *args: object, may_raise: type[BaseException] | tuple[()] = ()
) -> bool:
    """Call the learner's function as a process with this life; return whether it comes to its end alive."""
    try:
        call(answer, case, *args, may_raise=may_raise)
    except Died:
        return False
    return not life.is_over  # it may have caught even that


_NO_LUA: Final = "the server that it is tried on is a Redis 7.0 without Lua of yours: take single commands."
_TABLES: Final = "the tables are accounts (customer, total) and booked (number)."
#: What to think of, by what the errors say that these exercises bring about.
_HINTS: Final = {
    "equal or smaller": "the stream has gone on since then: let Redis give the id (*).",
    "no Lua": _NO_LUA,
    "unknown command": _NO_LUA,
    "Invalid stream ID": _NO_LUA,
    "is locked": "this connection has begun a transaction already: one connection, one transaction.",
    "UNIQUE constraint": "an order that is booked already is no error, and nothing is left to be done: catch "
    "sqlite3.IntegrityError around the transaction, or INSERT OR IGNORE and look at rowcount.",
    "no such table": _TABLES,
    "no such column": _TABLES,
    "BUSYGROUP": "a group that an earlier call has made is there already: that is no error, go on.",
    "NOGROUP": "there is a group, on the stream key: mind the order of the arguments.",
}
