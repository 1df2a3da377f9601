"""A read that waits for entries, from its beginning to its end."""

from __future__ import annotations

import time
from collections.abc import Callable

from streamlab.stream_commands import BlockedCommand, CommandError, Reply, StreamCommands

TICK = 0.1
"""Seconds between two looks whether a key has expired: as often as Redis' own."""


class Blocked:
    """A blocked read of one connection. All is done with the server's lock held, but for reading `result`.

    ``when_over`` is called when the wait is over, once, with the lock held.
    """

    def __init__(self, waiter: BlockedCommand, streams: StreamCommands, command: str) -> None:
        self.command = command
        self.result: Reply | Exception = None
        self.is_over = False
        self.when_over: Callable[[], object] = lambda: None
        self._waiter = waiter
        self._streams = streams
        timeout = waiter.timeout_ms / 1000
        self._deadline = time.monotonic() + timeout if timeout else None
        waiter.on_ready = self.end

    def end(self, result: Reply | CommandError | Exception) -> None:
        """End the wait with a reply or an error."""
        if not self.is_over:
            self.is_over = True
            self.result = result
            self.when_over()

    def cancel(self) -> None:
        """Take the reader out of the queue: its client has gone, or its time is up."""
        self._streams.cancel(self._waiter)

    def look(self, now_ms: int) -> float:
        """Look whether time has ended the wait; return in how many seconds to look again."""
        wait = TICK
        if self._waiter.retry_at_ms is not None and not self.is_over:
            if self._waiter.retry_at_ms <= now_ms:
                self._streams.retry(self._waiter, now_ms)
            if self._waiter.retry_at_ms is not None:
                # At least a millisecond: an entry that cannot be claimed yet is not asked for in a circle.
                wait = min(wait, max(self._waiter.retry_at_ms - now_ms, 1) / 1000)
        if self._deadline is not None and not self.is_over:
            remaining = self._deadline - time.monotonic()
            if remaining <= 0:
                self.cancel()
                self.end(None)
            wait = min(wait, remaining)
        return max(wait, 0.0)
