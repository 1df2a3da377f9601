"""Blocked reads of the embedded server: interrupted, cancelled, cut off, unblocked, each in its turn."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from streamlab.servers.embedded import EmbeddedServer
from tests.conftest import Eventually
from tests.redis_targets import Client
from tests.servers.embedded_helpers import blocked, run


def test_interrupted_in_the_notebook(server: EmbeddedServer, eventually: Eventually) -> None:
    """Ctrl-C ends a blocking read or pop; the client is given nothing any more, and goes on."""
    with server.client() as client, server.client() as other:
        client.xgroup_create("s", "g", mkstream=True)
        main = threading.get_ident()

        def interrupt() -> None:
            eventually(lambda: server._server.n_blocked == 1, "the reader should be blocked")
            signal.pthread_kill(main, signal.SIGINT)

        waits = (lambda: client.xreadgroup("g", "c", {"s": ">"}, block=0), lambda: client.blpop(["list"]))
        for wait in waits:
            thread = threading.Thread(target=interrupt)
            thread.start()
            with pytest.raises(KeyboardInterrupt):
                wait()
            thread.join()
        assert server._server.n_blocked == 0
        other.rpush("list", "x")
        assert client.llen("list") == 1
        other.xadd("s", {"f": "1"}, id="1-1")
        assert client.xpending("s", "g")["pending"] == 0
        assert client.xreadgroup("g", "c", {"s": ">"}) == [["s", [("1-1", {"f": "1"})]]]


def test_a_cancelled_reader_is_given_nothing(server: EmbeddedServer) -> None:
    """A task that is cancelled while it reads takes no entry with it."""

    async def scenario() -> None:
        async with server.async_client() as client:
            await client.xgroup_create("s", "g", mkstream=True)
            reading = asyncio.ensure_future(client.xreadgroup("g", "c", {"s": ">"}, block=0))
            await blocked(server, 1)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert server._server.n_blocked == 0
            await client.xadd("s", {"f": "1"})
            assert (await client.xpending("s", "g"))["pending"] == 0

    run(scenario())


def test_a_closed_asyncio_client_is_given_nothing(server: EmbeddedServer) -> None:
    """A connection that is closed by another task while it reads takes no entry with it, and its reader is told."""

    async def scenario() -> None:
        async with server.async_client() as other, server.async_client() as client:
            await other.xgroup_create("s", "g", mkstream=True)
            reading = asyncio.ensure_future(client.xreadgroup("g", "c", {"s": ">"}, block=0))
            await blocked(server, 1)
            await client.connection_pool.disconnect()
            with pytest.raises(redis.ConnectionError):
                await reading
            await other.xadd("s", {"f": "1"})
            assert (await other.xpending("s", "g"))["pending"] == 0

    run(scenario())


def test_a_closed_client_is_given_nothing(server: EmbeddedServer, eventually: Eventually) -> None:
    """The same with threads."""
    with server.client() as other:
        other.xgroup_create("s", "g", mkstream=True)
        client = server.client()
        errors: list[BaseException] = []

        def read() -> None:
            try:
                client.xreadgroup("g", "c", {"s": ">"}, block=0)
            except redis.ConnectionError as error:
                errors.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        eventually(lambda: server._server.n_blocked == 1, "the reader should be blocked")
        client.connection_pool.disconnect()
        eventually(lambda: server._server.n_blocked == 0, "the reader should be gone")
        other.xadd("s", {"f": "1"})
        assert other.xpending("s", "g")["pending"] == 0
        thread.join(5)
        assert len(errors) == 1


def test_threads_and_loops_wait_in_one_queue(server: EmbeddedServer, eventually: Eventually) -> None:
    """A reader in a thread and one in an event loop are served in the order in which they came."""
    order: list[str] = []

    async def scenario() -> None:
        async with server.async_client() as client:
            with server.client() as sync:
                await client.xgroup_create("s", "g", mkstream=True)
                reads: list[Any] = []
                for number, name in enumerate("abcd"):
                    if number % 2:
                        call = client.xreadgroup("g", name, {"s": ">"}, count=1, block=0)
                        reads.append(asyncio.ensure_future(call))
                    else:
                        call = asyncio.to_thread(sync.xreadgroup, "g", name, {"s": ">"}, count=1, block=0)
                        reads.append(asyncio.ensure_future(call))
                    await blocked(server, number + 1)
                for n in range(1, 3):
                    await client.xadd("s", {"f": "1"}, id=f"{n}-1")
                for n in range(3, 5):
                    await asyncio.to_thread(sync.xadd, "s", {"f": "1"}, id=f"{n}-1")
                order.extend([(await read)[0][1][0][0] for read in reads])

    run(scenario())
    assert order == ["1-1", "2-1", "3-1", "4-1"]


@pytest.mark.parametrize("is_async", [False, True], ids=["thread", "loop"])
def test_what_stands_behind_a_blocked_read_waits(server: EmbeddedServer, is_async: bool) -> None:
    """In a pipeline, the commands behind a blocked read are executed when it is over."""

    async def scenario() -> None:
        async with server.async_client() as other:
            client: Any = server.async_client() if is_async else server.client()
            pipeline = client.pipeline(transaction=False)
            execute: Any = pipeline.execute if is_async else lambda: asyncio.to_thread(pipeline.execute)
            pipeline.incr("n").xread({"s": "$"}, block=0).incr("n").xread({"s": "$"}, block=20)
            executing = asyncio.create_task(execute())
            await blocked(server, 1)
            assert await other.get("n") == "1"
            await other.xadd("s", {"f": "1"}, id="1-1")
            assert await executing == [1, [["s", [("1-1", {"f": "1"})]]], 2, []]
            if is_async:
                await client.aclose()
            else:
                client.close()

    run(scenario())


@pytest.mark.parametrize("is_async", [False, True], ids=["thread", "loop"])
def test_a_stream_expires_under_its_reader(server: EmbeddedServer, is_async: bool) -> None:
    """A blocked reader is told when its stream expires, though nobody touches it."""

    async def scenario() -> None:
        async with server.async_client() as client:
            with server.client() as sync:
                await client.xgroup_create("s", "g", mkstream=True)
                await client.pexpire("s", 50)
                if is_async:
                    reading = client.xreadgroup("g", "c", {"s": ">"}, block=0)
                else:
                    reading = asyncio.to_thread(sync.xreadgroup, "g", "c", {"s": ">"}, block=0)
                with pytest.raises(redis.ResponseError, match="UNBLOCKED"):
                    await reading

    run(scenario())


@pytest.mark.parametrize("is_async", [False, True], ids=["thread", "loop"])
def test_claim_wakes_when_an_entry_is_old_enough(is_async: bool) -> None:
    """XREADGROUP CLAIM that waits claims an entry as soon as it has been idle for long enough."""
    server = EmbeddedServer(version=(8, 6, 0))

    async def scenario() -> None:
        command = ["XREADGROUP", "GROUP", "g", "b", "BLOCK", "0", "CLAIM", "60", "STREAMS", "s", ">"]
        async with server.async_client() as client:
            with server.client() as sync:
                await client.xadd("s", {"f": "1"}, id="1-1")
                await client.xgroup_create("s", "g", id="0")
                await client.xreadgroup("g", "a", {"s": ">"})
                started = time.monotonic()
                if is_async:
                    reply = await client.execute_command(*command)
                else:
                    reply = await asyncio.to_thread(sync.execute_command, *command)
                assert 0.04 < time.monotonic() - started < 5
                assert reply[0][1][0][0] == "1-1"

    run(scenario())


@pytest.mark.parametrize("is_async", [False, True], ids=["thread", "loop"])
@pytest.mark.parametrize("reason", ["TIMEOUT", "ERROR", "KILL"])
def test_client_unblock_and_kill(server: EmbeddedServer, is_async: bool, reason: str) -> None:
    """CLIENT UNBLOCK ends a read with nil or an error, CLIENT KILL its connection; neither gives it an entry."""

    async def scenario() -> None:
        async with server.async_client() as other, server.async_client() as client:
            with server.client() as sync:
                await other.xgroup_create("s", "g", mkstream=True)
                if is_async:
                    number = await client.client_id()
                    reading = asyncio.ensure_future(client.xreadgroup("g", "c", {"s": ">"}, block=0))
                else:
                    number = sync.client_id()
                    reading = asyncio.ensure_future(asyncio.to_thread(sync.xreadgroup, "g", "c", {"s": ">"}, block=0))
                await blocked(server, 1)
                if reason == "KILL":
                    assert await other.client_kill_filter(_id=str(number)) == 1
                    with pytest.raises(redis.ConnectionError):
                        await reading
                else:
                    await other.client_unblock(number, error=reason == "ERROR")
                    if reason == "ERROR":
                        with pytest.raises(redis.ResponseError, match=r"^UNBLOCKED"):
                            await reading
                    else:
                        assert await reading == []
                await other.xadd("s", {"f": "1"})
                assert (await other.xpending("s", "g"))["pending"] == 0

    run(scenario())


@pytest.mark.parametrize("is_async", [False, True], ids=["thread", "loop"])
def test_socket_timeout_is_a_timeout_here_too(server: EmbeddedServer, is_async: bool) -> None:
    """A client with a socket_timeout raises TimeoutError under a longer BLOCK, as it does on a real server."""

    async def scenario() -> None:
        async with server.async_client(socket_timeout=0.05) as client:
            with server.client(socket_timeout=0.05) as sync:
                if is_async:
                    reading = client.xread({"s": "$"}, block=5000)
                else:
                    reading = asyncio.to_thread(sync.xread, {"s": "$"}, block=5000)
                with pytest.raises(redis.TimeoutError):
                    await reading
        assert server._server.n_blocked == 0

    run(scenario())


def test_quit(clients: Callable[[], Client]) -> None:
    """QUIT is answered, and what stands behind it is not executed."""
    client = clients()
    pipeline = client.pipeline(transaction=False)
    pipeline.execute_command("QUIT")
    with pytest.raises(redis.ConnectionError):
        pipeline.set("k", "v").execute()
    other = clients()
    assert other.execute_command("QUIT") in (True, "OK")
    assert clients().exists("k") == 0


def test_who_was_cut_off_reconnects(server: EmbeddedServer) -> None:
    """After QUIT, or when its connection was killed between two commands, a client goes on with another one."""
    with server.client() as sync, server.client() as other_sync:
        assert sync.execute_command("QUIT")
        assert sync.ping()
        number = sync.client_id()
        other_sync.client_kill_filter(_id=str(number))
        assert sync.client_id() != number

    async def scenario() -> None:
        async with server.async_client() as client, server.async_client() as other:
            assert await client.execute_command("QUIT") in (True, "OK")
            assert await client.ping()
            pipeline: Any = client.pipeline(transaction=False)
            pipeline.execute_command("QUIT")
            with pytest.raises(redis.ConnectionError):
                await pipeline.set("k", "v").execute()
            assert await other.exists("k") == 0
            number = await client.client_id()
            await other.client_kill_filter(_id=str(number))
            assert await client.client_id() != number

    run(scenario())
