"""Where the actors are tried: a server of some kind, clients of it, and consumers in the background."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from streamlab.actors import consume, ensure_group
from streamlab.servers.embedded import EmbeddedServer
from streamlab.virtual.loop import VirtualLoop
from streamlab.virtual.redis import SimulatedServer

#: What no client of UTF-8 can decode, and what a handler is given for it.
RAW, ESCAPED = b"\xff\xfe", "\udcff\udcfe"
#: Seconds of the event loop within which something has to happen.
SOON = 5.0
#: And within which a test has to end, if time is real.
LIMIT = 20.0


class World:
    """A server, simulated, embedded or real: clients of it, consumers, and what they report."""

    def __init__(self, kind: str, url: str | None = None, version: tuple[int, int, int] = (7, 0, 15)):
        self.kind, self.url, self.version = kind, url, version
        self.server: Any
        if kind == "simulated":
            self.server = SimulatedServer(version=version)
        elif kind == "embedded":
            self.server = EmbeddedServer(version=version)
        self.events: list[tuple[str, str]] = []
        self.errors: list[tuple[str, Exception]] = []
        self._clients: list[redis.asyncio.Redis] = []

    def client(self, **settings: Any) -> Any:
        """Return a strict client of text, as redis-py makes it, unless told otherwise."""
        settings = {"decode_responses": True, "socket_timeout": None} | settings
        client: Any
        if self.kind == "simulated":
            client = self.server.client()
        elif self.kind == "embedded":
            client = self.server.async_client(**settings)
        else:
            retry = Retry(NoBackoff(), 0)
            client = redis.asyncio.Redis.from_url(str(self.url), retry=retry, **settings)
        self._clients.append(client)
        return client

    def run(self, main):
        """Run a coroutine, in virtual time if the server is simulated; then close all clients."""

        async def closing():
            try:
                async with asyncio.timeout(200_000 if self.kind == "simulated" else LIMIT):
                    return await main
            finally:
                for client in self._clients:
                    await client.aclose()

        if self.kind != "simulated":
            return asyncio.run(closing())
        loop = VirtualLoop()
        try:
            return loop.run_until_complete(closing())
        finally:
            loop.close()

    async def stream(self, *values, client=None) -> Any:
        """Make the stream `s` of entries 1-0, 2-0 … with a group at its begin; return a client."""
        client = client or self.client()
        await ensure_group(client, "s", "g")
        for number, value in enumerate(values, 1):
            await client.xadd("s", {"v": value}, f"{number}-0")
        return client

    def consume(self, client, handler, name="C1", **options) -> Consumer:
        """Begin to consume `s`, looking up often."""
        return Consumer(self, client, handler, name, options)

    def report(self, kind, actor, id="", delivery_count=0, at=None):
        self.events.append((kind, id))

    def of(self, kind: str) -> list[str]:
        return [id for what, id in self.events if what == kind]


class Consumer:
    """A consumer that works in the background."""

    def __init__(self, world, client, handler, name, options):
        self.stop = asyncio.Event()
        options = {
            "block": 0.05, "report": world.report,
            "on_error": lambda entry_id, error: world.errors.append((entry_id, error)),
        } | options  # fmt: skip
        self.task = asyncio.ensure_future(consume(client, "s", "g", name, handler, stop=self.stop, **options))

    async def until(self, condition: Callable[[], object], what: str):
        """Let it work until something has happened."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SOON
        while not condition():
            if self.task.done():
                self.task.result()
                pytest.fail(f"the consumer has ended before {what}")
            if loop.time() > deadline:
                self.task.cancel()
                pytest.fail(f"within {SOON:g} s, {what}: it did not happen")
            await asyncio.sleep(0.01)

    async def end(self) -> int:
        self.stop.set()
        return await self.task

    async def error(self) -> Exception:
        """Let it work until it ends with an error, soon."""
        done, _ = await asyncio.wait([self.task], timeout=SOON)
        if not done:
            self.task.cancel()
            pytest.fail("the consumer goes on for ever")
        error = self.task.exception()
        assert error is not None, "it ended without an error"
        return error  # type: ignore[return-value]


KINDS = ["simulated", "embedded", pytest.param("real", marks=pytest.mark.redis)]


def make_world(request, **options) -> World:
    url = request.getfixturevalue("redis_url") if request.param == "real" else None
    return World(request.param, url, **options)


def failing(error: Exception, tries: list[str]):
    async def handle(entry_id, fields):
        tries.append(entry_id)
        if entry_id == "2-0":
            raise error

    return handle


def busy(seconds: float):
    async def handle(entry_id, fields):
        await asyncio.sleep(seconds)

    return handle


def collecting(found: list[Any]):
    async def handle(entry_id, fields):
        found.append((entry_id, fields))

    return handle


async def half_dead(client, values, n_dead):
    """Make a stream of which a dead consumer holds the first entries, and the consumer C1 the next."""
    await ensure_group(client, "s", "g")
    for number, value in enumerate(values, 1):
        await client.xadd("s", {"v": value}, f"{number}-0")
    for name in ("dead", "C1"):
        await client.execute_command(
            "XREADGROUP", "GROUP", "g", name, "COUNT", n_dead, "STREAMS", "s", ">", NEVER_DECODE=[]
        )


def unlucky(client, every=1):
    """Let every XADD of a client be executed, or every second one …, and its reply get lost."""
    send, n_sent = client.execute_command, itertools.count(1)

    async def execute_command(*args, **options):
        reply = await send(*args, **options)
        if args[0] == "XADD" and next(n_sent) % every == 0:
            raise redis.exceptions.ConnectionError("the reply was lost")
        return reply

    client.execute_command = execute_command
    return client
