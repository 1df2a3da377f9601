"""`Outage`: a server that is gone for a while."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from streamlab.actors.events import SERVER_DOWN, SERVER_UP
from streamlab.lab.stage import Left, Stage
from streamlab.results.events import EventLog
from streamlab.scenario.action import LAB


class Outage:
    """Takes a stage's server down and up again. Of several outages that overlap the last to end counts."""

    def __init__(
        self,
        stage: Stage,
        log: EventLog,
        do: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        forgot: Callable[[Left, int, float], None],
    ) -> None:
        self._stage, self._log, self._do, self._forgot = stage, log, do, forgot
        self._until = -math.inf
        self.up = asyncio.Event()
        self.up.set()

    @property
    def is_down(self) -> bool:
        """Whether the server is gone."""
        return not self.up.is_set()

    async def begin(self, duration: float) -> None:
        """Let the server be gone for so many seconds."""
        loop = asyncio.get_running_loop()
        self._until = max(self._until, loop.time() + duration)
        if self.is_down:
            return
        self.up.clear()
        await self._stage.go_down()
        self._log.report(SERVER_DOWN, LAB)
        loop.call_at(self._until, self._end_if_due, loop, context=contextvars.Context())

    def _end_if_due(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop.time() < self._until:
            loop.call_at(self._until, self._end_if_due, loop)
        else:
            self._do(self._end())

    async def until_promoted(self, dying: Awaitable[float]) -> None:
        """Let the server be gone as soon as it is dead, until another one has taken its place."""
        duration = await dying
        self.up.clear()
        self._log.report(SERVER_DOWN, LAB)
        loop = asyncio.get_running_loop()
        self._until = loop.time() + duration
        loop.call_at(self._until, self._end_if_due, loop, context=contextvars.Context())

    async def _end(self) -> None:
        await self._stage.come_up()
        heard, at = len(self._log), asyncio.get_running_loop().time()
        left = await self._stage.what_is_left()
        self._log.report(SERVER_UP, LAB)
        if left is not None:
            self._forgot(left, heard, at)
        self.up.set()
