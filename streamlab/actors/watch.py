"""`Watch`: ends an actor whose server takes a command and never answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from types import TracebackType
from typing import Self

import redis.exceptions

#: How often it is looked, in the time that an answer may take, whether there was one.
_LOOKS = 10
#: Seconds that every server is given.
_LEAST = 1.0


class Watch:
    """Ends what it guards with a ``redis.exceptions.TimeoutError`` if the server has not answered for so long.

    A server that stands still, or whose cable was pulled, leaves the connection as it is: a command waits for ever.
    A timer for each command would cost more than many of them do; this is one for all. It looks now and then
    whether there was an answer since the last time. What counts are looks and not seconds: a process that stood still
    itself looks once when it goes on, and then takes in the answer that has come meanwhile.

    While the actor does something else it is not looked at all, and there is no timer until it expects an answer.

    Parameters
    ----------
    seconds
        For how long a server may be silent.
    progress
        Returns what changes with each answer; or note it in `n_answers`.
    """

    def __init__(self, seconds: float, progress: Callable[[], object] = int) -> None:
        self.allow(seconds)
        self._progress = progress
        self.n_answers = 0
        #: Whether the actor waits for something else than an answer that has to come.
        self.is_at_work = False
        #: Whether it was found at work, so that there is no timer.
        self.is_dozing = False
        self._seen: object = None
        self._n_in_vain = 0
        self._timer: asyncio.TimerHandle | None = None
        self._limit: asyncio.Timeout | None = None

    def allow(self, seconds: float) -> None:
        """Let a server be silent for so long, from now on."""
        self._seconds = max(seconds, _LEAST)
        self._n_in_vain = 0

    async def __aenter__(self) -> Self:
        self._limit = asyncio.timeout(None)
        await self._limit.__aenter__()
        self.wake()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        assert self._limit is not None
        try:
            await self._limit.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise redis.exceptions.TimeoutError(
                f"the server has not answered for {self._seconds:g} s, though it may have done what it was asked for"
            ) from None

    def expect_answer(self) -> None:
        """Look again: from now on, it is the server that is waited for."""
        self.is_at_work = False
        if self.is_dozing:
            self.wake()

    def wake(self) -> None:
        """Set the timer again."""
        self.is_dozing = False
        self._seen, self._n_in_vain = None, 0
        self._set_timer()

    def _set_timer(self) -> None:
        if self._seconds < math.inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._seconds / _LOOKS, self._look)

    def _look(self) -> None:
        if self.is_at_work:
            self.is_dozing = True
            return
        seen = self._progress(), self.n_answers
        self._n_in_vain = self._n_in_vain + 1 if seen == self._seen else 0
        self._seen = seen
        if self._n_in_vain < _LOOKS:
            self._set_timer()
        elif self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())
