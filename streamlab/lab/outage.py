"""`Outage`: a server that is gone for a while."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Callable, Coroutine
from typing import Any

from streamlab.actors.events import SERVER_DOWN, SERVER_UP
from streamlab.lab.stage import Stage
from streamlab.results.events import EventLog
from streamlab.results.ledger import LAB


class Outage:
    """Takes a stage's server down and up again. Of several outages that overlap the last to end counts."""

    def __init__(
        self, stage: Stage, log: EventLog, do: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    ) -> None:
        self._stage, self._log, self._do = stage, log, do
        self._until = -math.inf
        self.is_down = False
        self.up = asyncio.Event()
        self.up.set()

    async def begin(self, duration: float) -> None:
        """Let the server be gone for so many seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + duration
        if self.is_down:
            self._until = max(self._until, until)
            return
        self.is_down, self._until = True, until
        self.up.clear()
        await self._stage.go_down()
        self._log.report(SERVER_DOWN, LAB)
        loop.call_at(until, self._end_if_due, loop, context=contextvars.Context())

    def _end_if_due(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop.time() < self._until:
            loop.call_at(self._until, self._end_if_due, loop, context=contextvars.Context())
        else:
            self._do(self._end())

    async def _end(self) -> None:
        await self._stage.come_up()
        self._log.report(SERVER_UP, LAB)
        self.is_down = False
        self.up.set()
