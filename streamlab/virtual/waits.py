"""The reads that wait in a simulation: how long at the most, and what ends them."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from streamlab.model.commands import CommandError, Reply, StreamCommands, Waiter

if TYPE_CHECKING:
    from streamlab.servers.embedded.fake.virtual import VirtualServer


class WaitingReads:
    """What a `SimulatedServer` knows of those who wait. Who is served first is the model's affair."""

    commands: StreamCommands
    beside: VirtualServer | None
    #: The server's own timers are not those of the client that happened to cause them.
    context: contextvars.Context

    def __init__(self) -> None:
        self._waiting: dict[int, _Waiting] = {}

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the clients run on now."""
        raise NotImplementedError

    def now_ms(self) -> int:
        """Return the server's time in milliseconds since 1970."""
        raise NotImplementedError

    def waiting(self, timeout_ms: int) -> _Waiting:
        """Return the reads that wait that long at the most (0: for ever)."""
        found = self._waiting.get(timeout_ms)
        if found is None:
            timeout = timeout_ms / 1000 if timeout_ms else math.inf
            found = self._waiting[timeout_ms] = _Waiting(self, timeout)
        return found

    def line_up(self, client: Any, waiter: Waiter, future: Any) -> None:
        """Let a read wait; `future` is given the reply, the error, or None when its time is out."""
        waiting = self.waiting(waiter.timeout_ms)
        if not waiting.has_timer:
            waiting.set_timer()
        waiting.reads[waiter] = self.loop.time(), client, future, waiter
        self._look_again(waiter, future)
        if self.beside is not None:
            self.beside.mind_expiry(waiter.keys)

    def leave(self, waiter: Waiter) -> None:
        """Let a read wait no more."""
        self.waiting(waiter.timeout_ms).reads.pop(waiter, None)

    def _look_again(self, waiter: Waiter, future: Any) -> None:
        """Let a blocked ``XREADGROUP … CLAIM`` look when an entry will have been idle for long enough."""
        if waiter.retry_at_ms is None:
            return

        def look() -> None:
            if not future.done():
                self.commands.retry(waiter, self.now_ms())
                if not future.done():
                    self._look_again(waiter, future)

        # At least a millisecond on: an entry that cannot be claimed yet is not asked for in a circle.
        delay = max(waiter.retry_at_ms - self.now_ms(), 1) / 1000
        self.loop.call_later(delay, look, context=self.context)

    def blocked(self, client: Any = None) -> list[Blocked]:
        """Return all reads that wait, or those of a client; the first is the one that has waited longest."""
        reads = [
            read
            for waiting in self._waiting.values()
            for read in waiting.reads.values()
            if not read[2].done() and client in (None, read[1])
        ]
        return sorted(reads, key=lambda read: read[0])

    def end(self, reads: Iterable[Blocked], answer: object) -> None:
        """End reads that wait, with None (their time is out) or an error."""
        for _, _, future, waiter in reads:
            self.commands.cancel(waiter)
            future.set_result(answer)


#: A read that waits: since when, whose it is, who is woken, and what the model knows of it.
Blocked = tuple[float, Any, Any, Waiter]


class _Waiting:
    """The reads that all wait equally long at the most: one timer is enough for them.

    Most are served long before. A timer for each would be set only to be cancelled.
    """

    def __init__(self, server: WaitingReads, timeout: float) -> None:
        self._server = server
        self.timeout = timeout
        self.reads: dict[Waiter, Blocked] = {}  # the first to time out first
        self.has_timer = timeout == math.inf  # or needs none

    def set_timer(self) -> None:
        """Look in time what is to be ended."""
        self.has_timer = True
        self._server.loop.call_later(self.timeout, self._check, context=self._server.context)

    def _check(self) -> None:
        loop = self._server.loop
        for read in [*self.reads.values()]:
            if read[2].done():
                continue  # it has only not noticed yet
            when = read[0] + self.timeout
            if when > loop.time():
                loop.call_at(when, self._check, context=self._server.context)
                return
            self._server.end([read], None)
        self.has_timer = False


def deliver(future: asyncio.Future[Any], reply: Reply | CommandError) -> None:
    """Hand a reply to the reader that waits for it, unless that has been cancelled meanwhile."""
    if not future.done():
        future.set_result(reply)
