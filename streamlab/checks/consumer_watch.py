"""What is known of a learner's consumers in one run beyond the events: for the hints, and for what ends a run early."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter, deque
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from streamlab.checks.attempts import Stop
from streamlab.checks.watched import Command
from streamlab.results.verdict import Objection

_N_REMEMBERED: Final = 400
_MOST_OPEN_CALLS: Final = 1_000


@dataclass(slots=True)
class Sent(Command):
    """A command that a consumer sent, and when."""

    consumer: str = ""
    at: float = 0.0

    def __str__(self) -> str:
        words = " ".join(self.words)
        return f"{self.at:8.3f} s  {self.consumer}: {words if len(words) < 90 else words[:88] + ' …'}"


@dataclass(frozen=True, slots=True)
class Walk:
    """An XAUTOCLAIM: where it began, the cursor that it returned, and how many entries it brought."""

    start: str
    cursor: str
    n_entries: int


@dataclass(eq=False, slots=True)
class Life:
    """One life of a consumer, from its start to its end or its death.

    `histories` and `losses` are the times at which it read its own history, and met a lost connection; `ghosts` are
    entries that came to it without fields, since they are gone from the stream; `waits_in` is the learner's line in
    which it waited when it was ended; `last_error` and `n_errors` are the last error that a command was
    answered with, and how many in a row; `names` are those by which it read, which may be others than its own.
    """

    consumer: str
    began: float
    is_over: bool = False
    is_cut_off: bool = False
    last_error: str = ""
    n_errors: int = 0
    names: dict[str, None] = field(default_factory=dict)
    histories: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    ghosts: set[str] = field(default_factory=set)
    walk: Walk | None = None
    waits_in: str = ""
    n_after_stop: int = 0
    last_at: float = 0.0
    task: asyncio.Task[Any] | None = None


@dataclass(eq=False, slots=True)
class Lock:
    """A key that was set if it was not there (``SET … NX``): by which life, and whom it has kept out since.

    `left_ms` is what PTTL says of it at the end: -1 if it never expires, -2 if it is gone.
    """

    key: str
    life: Life
    kept_out: dict[str, None] = field(default_factory=dict)
    left_ms: int = -2


@dataclass(eq=False, slots=True)
class Watch:
    """What a learner's consumers did in one run."""

    objection: Objection | None = None  #: what ended the run early, and is to be said
    culprit: str = ""  #: about whom
    error: BaseException | None = None  #: the error that it is about, if it is
    is_untouched: bool = False  #: whether the exercise is as it was given
    #: How often each command was sent; also ``NOACK``, ``>`` and ``history`` (reads with an id).
    uses: Counter[str] = field(default_factory=Counter)
    unknown: dict[str, None] = field(default_factory=dict)  #: commands that the simulated server does not have
    created_at: list[str] = field(default_factory=list)  #: the ids at which the group was made again
    #: Those that were given to XCLAIM and XAUTOCLAIM, in ms; they may be fractions.
    min_idles: set[float] = field(default_factory=set)
    lives: dict[str, list[Life]] = field(default_factory=dict)
    sent: deque[Sent] = field(default_factory=lambda: deque(maxlen=_N_REMEMBERED))
    handled: Counter[str] = field(default_factory=Counter)  #: how often an entry was given to a handler
    failed: dict[str, list[str]] = field(default_factory=dict)  #: for whom an entry's handler failed
    not_awaited: dict[str, None] = field(default_factory=dict)  #: what was called and never awaited
    fields: dict[str, dict[str, str]] = field(default_factory=dict)  #: by entry: what it was delivered with
    locks: dict[str, Lock] = field(default_factory=dict)  #: by key: who has set it last if it was not there
    #: Errors that ended tasks which a consumer had started and did not wait for.
    background: list[BaseException] = field(default_factory=list)
    dead_letters: list[dict[str, str]] = field(default_factory=list)
    _calls: list[tuple[str, Coroutine[Any, Any, Any]]] = field(default_factory=list)

    def refuse(self, objection: Objection, culprit: str = "", error: BaseException | None = None) -> None:
        """End the run: this is to be said, unless something was before."""
        if self.objection is None:
            self.objection, self.culprit, self.error = objection, culprit, error
            asyncio.get_running_loop().stop()

    def last_life(self, consumer: str) -> Life | None:
        lives = self.lives.get(consumer)
        return lives[-1] if lives else None

    def life_named(self, name: str) -> Life | None:
        """Return the last life that has read by a name."""
        lives = [life for lives in self.lives.values() for life in lives if name in life.names]
        return max(lives, key=lambda life: life.began, default=None)

    def last_commands(self, consumer: str, n: int) -> list[Sent]:
        """Return the last commands of a consumer; of all of them, if it is ``""``."""
        return [sent for sent in self.sent if consumer in ("", sent.consumer)][-n:]

    def undone_tasks(self) -> list[asyncio.Task[Any]]:
        """Return the tasks of all lives that have not ended."""
        tasks = [life.task for lives in self.lives.values() for life in lives]
        return [task for task in tasks if task is not None and not task.done()]

    # ---- what is awaited -----------------------------------------------------------------------

    def call(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        """Remember a call, to find out whether it was awaited."""
        self._calls.append((name, coroutine))
        if len(self._calls) > 2 * _MOST_OPEN_CALLS:
            self._calls = list(self._open_calls())
            if len(self._calls) > _MOST_OPEN_CALLS:
                self.close()
                raise Stop(self.about_await())
        return coroutine

    def _open_calls(self) -> Iterator[tuple[str, Coroutine[Any, Any, Any]]]:
        for name, coroutine in self._calls:
            if inspect.getcoroutinestate(coroutine) != inspect.CORO_CLOSED:
                yield name, coroutine

    def close(self) -> None:
        """Note what was never awaited; without a warning, since it will be said."""
        for name, coroutine in self._calls:
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                self.not_awaited[name] = None
                coroutine.close()
        self._calls.clear()

    def about_await(self) -> Objection:
        """Return what to say where something was called and never awaited."""
        name = next(iter(self.not_awaited))
        hint = f"write await before it: {'await handler(entry_id, fields)' if name == 'handler' else 'await client.…'}."
        return Objection(f"{name} was called without await, and so never ran.", hint)
