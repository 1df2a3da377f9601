"""`Simulation`: a Redis in virtual time, with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import redis.asyncio

from streamlab.testing.clients import TWIN, clients_replaced, pool_like
from streamlab.virtual.loop import VirtualLoop
from streamlab.virtual.redis import SimulatedRedis, SimulatedServer

T = TypeVar("T")


class Simulation:
    """A simulated server and its clients. Its clock stands still but for what `run` awaits: an hour passes in a moment.

    `version` is what the server behaves as; `server` is a `SimulatedServer`, which can `go_down` and `come_up`.
    """

    def __init__(self, version: str = "7.0.15") -> None:
        major, minor, patch = [*map(int, version.split(".")), 0, 0][:3]
        self.loop = VirtualLoop()
        self.server = SimulatedServer(version=(major, minor, patch), loop=self.loop)
        self._twins: dict[int, tuple[Any, redis.asyncio.Redis]] = {}

    @property
    def now(self) -> float:
        """Seconds of virtual time since the simulation was made."""
        return self.loop.time()

    def client(self) -> SimulatedRedis:
        """Return a client of the server: a ``redis.asyncio.Redis`` of text, which can also be cut off (`cut`)."""
        return self.server.client()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, in virtual time."""
        return self.loop.run_until_complete(coroutine)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Let any ``redis.asyncio.Redis`` be a client of this server, however it was made."""
        token = TWIN.set(self._twin_of)
        try:
            with clients_replaced():
                yield
        finally:
            TWIN.reset(token)

    def _twin_of(self, given: redis.asyncio.Redis) -> redis.asyncio.Redis:
        if id(given) not in self._twins:
            self._twins[id(given)] = given, redis.asyncio.Redis(connection_pool=pool_like(given, self.client()))
        return self._twins[id(given)][1]

    def close(self) -> None:
        """End all tasks that are left, and the loop."""
        if self.loop.is_closed():
            return
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
