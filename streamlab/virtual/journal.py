"""`Journal`: what a simulated server was told, and when, so that it can come back as it was at an earlier moment.

That is what an append-only file is, and what a replica is sent: commands, each with its time. They are executed once
more on keys of their own, as far as they are known to have been written or to have arrived. The model is told the time
and has no chance in it, so that the same commands make the same keys.
"""

from __future__ import annotations

import contextlib
import copy
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from streamlab.model.commands import BlockedCommand, CommandError, ReadRequest, Reply, StreamCommands, Waiter

#: What changes nothing, and is not worth being written down.
_READS: Final = frozenset(
    {"XRANGE", "XREVRANGE", "XLEN", "XREAD", "XPENDING", "XINFO", "EXISTS", "TYPE", "GET", "HGETALL", "PING"}
)


class Journal(StreamCommands):
    """The keys and commands of a server that writes down what it is told, and can be as it was at a moment.

    Parameters
    ----------
    kept
        Up to which moment a server that dies at a given one has kept what it was told: both in ms of the day.
    """

    def __init__(self, *, version: tuple[int, int, int], kept: Callable[[int], float]) -> None:
        super().__init__(version=version)
        self._told: deque[tuple[int, list[str]]] = deque()
        self._copy = StreamCommands(version=version)
        self._kept = kept

    def execute(self, args: Sequence[str], now_ms: int, *, may_block: bool = True) -> Reply | BlockedCommand:
        """Write a command down, and execute it."""
        if args[0].partition(" ")[0].upper() not in _READS:
            self._note(args, now_ms)
        return super().execute(args, now_ms, may_block=may_block)

    def noting(
        self, waiter: Waiter, now_ms: Callable[[], int], deliver: Callable[[Any], None]
    ) -> Callable[[Any], None]:
        """Return what hands a reply to a read that waited, and writes down what it was given."""

        def note_and_deliver(reply: Any) -> None:
            if waiter.request.group is not None and not isinstance(reply, CommandError):
                self._note(_as_words(waiter.request, sum(len(entries) for _, entries in reply)), now_ms())
            deliver(reply)

        return note_and_deliver

    def forget_since(self, when_ms: float) -> None:
        """Be as at a moment: all that came after it is forgotten."""
        self._settle(when_ms)
        self._told.clear()
        self.keys.clear()
        self.keys.update(copy.deepcopy(self._copy.keys))

    def _note(self, words: Sequence[str], now_ms: int) -> None:
        self._told.append((now_ms, [*words]))
        self._settle(self._kept(now_ms))

    def _settle(self, until_ms: float) -> None:
        """Execute once more what was told up to a moment: it cannot be lost any more."""
        told = self._told
        while told and told[0][0] <= until_ms:
            now_ms, words = told.popleft()
            with contextlib.suppress(CommandError):  # as when it was executed first
                self._copy.execute(words, now_ms, may_block=False)


def _as_words(request: ReadRequest, count: int) -> list[str]:
    """Return a read of a group that has waited as one that need not wait, and is given the same."""
    assert request.group is not None
    words = ["XREADGROUP", "GROUP", request.group, request.consumer, "COUNT", str(count)]
    words += ["NOACK"] if request.noack else []
    words += ["CLAIM", str(request.claim_ms)] if request.claim_ms is not None else []
    return [*words, "STREAMS", *(key for key, _ in request.places), *(place for _, place in request.places)]
