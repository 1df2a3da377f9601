"""Clients that wait for an element of a list or a sorted set on the embedded server, and go before it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio

from streamlab.servers.embedded import EmbeddedServer

ON_LISTS = (*("BLPOP a 0", "BRPOP a 0", "BRPOPLPUSH a b 0", "BLMOVE a b LEFT RIGHT 0", "BLMPOP 0 1 a LEFT"),)
ON_SORTED_SETS = ("BZPOPMIN a 0", "BZPOPMAX a 0", "BZMPOP 0 1 a MIN")
PATIENCE = 20.0  # seconds after which a test fails that would hang


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    server = EmbeddedServer()
    yield server
    server.close()


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, PATIENCE))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


class Waiter:
    """A client, of one of four kinds, that waits in a task of its own."""

    def __init__(self, server: EmbeddedServer, kind: str, line: str, **settings: Any) -> None:
        self.words = line.split()
        make: Callable[..., Any]
        self.is_async = "async" in kind
        client_class: Any = redis.asyncio.Redis if self.is_async else redis.Redis
        if "socket" in kind:
            usual = {"decode_responses": True, "protocol": 2, "socket_timeout": None}
            self.client = client_class.from_url(server.url, **{**usual, **settings})
        else:
            make = server.async_client if self.is_async else server.client
            self.client = make(**settings)

    async def ask(self, *words: Any) -> Any:
        asked = (
            self.client.execute_command(*words)
            if self.is_async
            else asyncio.to_thread(self.client.execute_command, *words)
        )
        return await asked

    def wait(self) -> asyncio.Task[Any]:
        return asyncio.create_task(self.ask(*self.words))

    async def close(self) -> None:
        await (self.client.aclose() if self.is_async else asyncio.to_thread(self.client.close))


ENDINGS: dict[str, type[Exception] | None] = {
    "CLIENT UNBLOCK TIMEOUT": None,
    "CLIENT UNBLOCK ERROR": redis.ResponseError,
    "CLIENT KILL": redis.ConnectionError,
    "socket_timeout": redis.TimeoutError,
}


@pytest.mark.parametrize("kind", ["sync", "async", "sync socket", "async socket"])
def test_who_has_gone_takes_nothing(server: EmbeddedServer, kind: str) -> None:
    """Whoever ended a wait, and by whatever command it waited: the next element is for those who wait now.

    The client goes on, and waits again; then it is given what comes.
    """

    async def scenario(line: str, ending: str) -> None:
        settings = {"socket_timeout": 0.05} if ending == "socket_timeout" else {}
        other = server.client()
        other.flushall()
        waiter = Waiter(server, kind, line, **settings)
        number = await waiter.ask("CLIENT", "ID")
        waiting = waiter.wait()
        await until(lambda: server._server.n_blocked == 1)
        if ending == "cancelled":
            waiting.cancel()
        elif ending == "CLIENT KILL":
            assert other.client_kill_filter(_id=number) == 1
        elif ending != "socket_timeout":
            assert other.client_unblock(number, error="ERROR" in ending) == 1
        await asyncio.wait([waiting])
        if ending == "cancelled":
            assert waiting.cancelled()
        elif (expected := ENDINGS[ending]) is None:
            assert waiting.result() is None
        else:
            assert isinstance(waiting.exception(), expected)
        is_list = line in ON_LISTS
        (other.rpush("a", "1") if is_list else other.zadd("a", {"1": 1}))
        assert (other.lrange("a", 0, -1) if is_list else other.zrange("a", 0, -1)) == ["1"]
        other.delete("a")
        await until(lambda: server._server.n_blocked == 0)
        assert await waiter.ask("PING")
        if ending != "socket_timeout":
            again = waiter.wait()
            await until(lambda: server._server.n_blocked == 1)
            (other.rpush("a", "2") if is_list else other.zadd("a", {"2": 2}))
            assert "2" in str(await again)
        await waiter.close()
        other.close()

    endings = [*ENDINGS, *(["cancelled"] if "async" in kind else [])]
    for line in (*ON_LISTS, *ON_SORTED_SETS):
        for ending in endings:
            run(scenario(line, ending))


@pytest.mark.parametrize("line", [*ON_LISTS, *ON_SORTED_SETS])
def test_who_was_forgotten_takes_nothing(server: EmbeddedServer, line: str) -> None:
    """Nobody has closed the connection, and its client is gone: all that the garbage collector does is enough."""
    with server.client() as client:
        waiting = server.client().client()
        assert waiting.connection is not None
        waiting.connection.send_command(*line.split())
        assert server._server.n_blocked == 1
        waiting.connection._sock.close()
        if line in ON_LISTS:
            client.rpush("a", "1")
            assert client.lrange("a", 0, -1) == ["1"]
        else:
            client.zadd("a", {"1": 1})
            assert client.zrange("a", 0, -1) == ["1"]
        waiting.close()
