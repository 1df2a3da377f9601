"""Servers that a test may be given, each with a way to connect ordinary redis-py clients to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio

from streamlab.servers.client import stream_client, sync_stream_client
from streamlab.servers.embedded import EmbeddedServer
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerBinary
from streamlab.virtual.loop import VirtualLoop
from streamlab.virtual.redis import SimulatedServer

#: Options for a server with an append-only file that loses nothing by a kill: by "everysec", what was answered may wait
#: for two seconds to be written, while a disk is slow.
KILLED_WITH_ALL: dict[str, str | int] = {"appendfsync": "no"}

#: A client as tests use it: redis-py types each reply as all that it could be, and a test takes it for what it is.
Client = Any


@dataclass
class Target:
    """A server under test: ordinary redis-py clients of it, and how many of them are blocked."""

    connect: Callable[[], Client]
    n_blocked: Callable[[], int]


def embedded(version: tuple[int, int, int] = (7, 0, 15)) -> Target:
    server = EmbeddedServer(version=version)
    return Target(server.client, lambda: server._server.n_blocked)


def as_shipped() -> Target:
    """Give fakeredis as it is."""
    server = fakeredis.FakeServer(version=(7, 0, 15))
    return Target(
        lambda: fakeredis.FakeRedis(server=server, decode_responses=True, protocol=2),
        lambda: sum(socket._blocked for socket in server.sockets),
    )


def real(url: str) -> Target:
    client = sync_stream_client(url)
    return Target(lambda: sync_stream_client(url), lambda: client.info("clients")["blocked_clients"])


# ---- one program on all of them ----------------------------------------------------------------


@dataclass
class AnyServer:
    """A server under test, simulated ones among them: asyncio clients of it, and a loop to use them on."""

    name: str
    version: tuple[int, ...]
    make: Callable[[], Client]
    loop: Callable[[], asyncio.AbstractEventLoop]
    #: How many clients are blocked; None in virtual time, where a moment later all are that will be.
    n_blocked: Callable[[redis.asyncio.Redis], Awaitable[int]] | None
    clients: list[redis.asyncio.Redis] = field(default_factory=list)

    async def until_blocked(self, n: int) -> None:
        """Wait until so many clients are blocked; what `run` allows for is how long that may take."""
        if self.n_blocked is None:
            await asyncio.sleep(0.02)
            return
        asking = self.connect()
        while await self.n_blocked(asking) != n:
            await asyncio.sleep(0.005)

    def connect(self) -> Client:
        """Return a client, which is closed when the program is over."""
        self.clients.append(self.make())
        return self.clients[-1]

    def run(self, program: Callable[[AnyServer], Coroutine[Any, Any, Any]]) -> Any:
        """Run a program with this server, and fail rather than wait for ever."""

        async def main() -> Any:
            try:
                return await asyncio.wait_for(program(self), 20)
            finally:
                for client in self.clients:
                    await client.aclose()

        with asyncio.Runner(loop_factory=self.loop) as runner:
            return runner.run(main())

    @property
    def is_simulated(self) -> bool:
        return self.name.startswith("simulated")

    @property
    def is_embedded(self) -> bool:
        return self.name.startswith("embedded")


_WITHIN = {"": (7, 0, 15), " as of 8.6": (8, 6, 0)}


def each_server(binaries: Sequence[ServerBinary], n: int = 1) -> list[Any]:
    """List programs as parameters of a test that needs one; those behind the first `n` try the same again."""
    again = [pytest.mark.redis, pytest.mark.further("on another server")]
    return [
        pytest.param(
            binary, marks=again[: 1 if at < n else 2], id=f"{binary.kind}-{'.'.join(map(str, binary.version))}"
        )
        for at, binary in enumerate(binaries)
    ]


def names_of_servers(binaries: Sequence[ServerBinary]) -> list[Any]:
    """List what `any_server` knows, as parameters of a test: within the process, and programs that are there."""
    return [*(kind + name for kind in ("simulated", "embedded") for name in _WITHIN), *each_server(binaries)]


async def _n_blocked(client: redis.asyncio.Redis) -> int:
    n_blocked: int = (await client.info("clients"))["blocked_clients"]
    return n_blocked


@contextmanager
def any_server(which: str | ServerBinary) -> Iterator[AnyServer]:
    """Start a server, and close the clients of it at the end."""
    if isinstance(which, ServerBinary):
        with PrivateServer(which) as private:
            make = partial(stream_client, private.url)
            yield AnyServer(str(which), which.version, make, asyncio.new_event_loop, _n_blocked)
        return
    kind, _, _ = which.partition(" ")
    version = _WITHIN[which.removeprefix(kind)]
    if kind == "simulated":
        loop = VirtualLoop()
        server = SimulatedServer(version=version, loop=loop)
        yield AnyServer(which, version, server.client, lambda: loop, None)
    else:
        embedded_server = EmbeddedServer(version=version)
        yield AnyServer(which, version, embedded_server.async_client, asyncio.new_event_loop, _n_blocked)
        embedded_server.close()
