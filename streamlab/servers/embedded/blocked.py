"""A command that waits, from its beginning to its end."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from streamlab.model.commands import BlockedCommand, StreamCommands

TICK = 0.1
"""Seconds between two looks whether a key has expired: as often as Redis' own."""


class Blocked(ABC):
    """A blocked command of one connection. All is done with the server's lock held, but for reading `result`.

    ``when_over`` is called when the wait is over, once, with the lock held.
    """

    def __init__(self, command: str, timeout_ms: int) -> None:
        self.command = command
        self.timeout_ms = timeout_ms  # 0: for ever
        self.result: Any = None  # a reply, or an exception; None: nothing came in time
        self.is_over = False
        self.when_over: Callable[[], object] = lambda: None
        self._deadline = time.monotonic() + timeout_ms / 1000 if timeout_ms else None

    def end(self, result: Any) -> None:
        """End the wait with a reply or an error."""
        if not self.is_over:
            self.is_over = True
            self.result = result
            self.when_over()

    def give_up(self) -> None:
        """End the wait as if its time were over, unless it has ended already."""
        if not self.is_over:
            self.cancel()
            self.end(None)

    @abstractmethod
    def cancel(self) -> None:
        """Take the client out of the queue: it has gone, or its time is up."""

    def look(self, now_ms: int) -> float:
        """Look whether time has ended the wait; return in how many seconds to look again."""
        wait = TICK
        if self._deadline is not None and not self.is_over:
            remaining = self._deadline - time.monotonic()
            if remaining <= 0:
                self.give_up()
            wait = min(wait, remaining)
        return max(wait, 0.0)


class BlockedRead(Blocked):
    """A blocked XREAD or XREADGROUP."""

    def __init__(self, waiter: BlockedCommand, streams: StreamCommands, command: str) -> None:
        super().__init__(command, waiter.timeout_ms)
        self.waiter = waiter
        self._streams = streams
        waiter.on_ready = self.end

    def cancel(self) -> None:
        self._streams.cancel(self.waiter)

    def look(self, now_ms: int) -> float:
        wait = TICK
        if self.waiter.retry_at_ms is not None and not self.is_over:
            if self.waiter.retry_at_ms <= now_ms:
                self._streams.retry(self.waiter, now_ms)
            if self.waiter.retry_at_ms is not None:
                # At least a millisecond: an entry that cannot be claimed yet is not asked for in a circle.
                wait = min(wait, max(self.waiter.retry_at_ms - now_ms, 1) / 1000)
        return min(wait, super().look(now_ms))
