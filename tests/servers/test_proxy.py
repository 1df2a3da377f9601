"""The proxy passes everything on, and loses exactly the reply that it is told to lose."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import stat
import warnings
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st

from streamlab.servers.client import stream_client, sync_stream_client
from streamlab.servers.private import PrivateServer
from streamlab.servers.proxy import Proxy, close_listener
from streamlab.servers.resp_frames import Commands, Frames, ProtocolError


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine, and fail rather than wait for ever."""
    asyncio.run(asyncio.wait_for(coroutine, 20))


@asynccontextmanager
async def proxy_and_client(url: str, **settings: Any) -> AsyncIterator[tuple[Proxy, redis.asyncio.Redis]]:
    async with Proxy(url) as proxy:
        client = redis.asyncio.Redis.from_url(
            proxy.url,
            retry=redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0),
            decode_responses=True,
            socket_timeout=None,
            **settings,
        )
        async with client:
            yield proxy, client


async def poll(condition: Any) -> None:
    """Wait until a coroutine gives something true."""
    async with asyncio.timeout(5):
        while not await condition():
            await asyncio.sleep(0.01)


# ---- finding the frames ------------------------------------------------------------------------

REPLIES = [
    (b"+OK\r\n", b"+"),
    (b"-ERR no $5 here\r\n", b"-"),
    (b":12\r\n", b":"),
    (b"$-1\r\n", b"$"),
    (b"*-1\r\n", b"*"),
    (b"$0\r\n\r\n", b"$"),
    (b"$7\r\n+a\r\n*9\r\r\n", b"$"),
    (b"*0\r\n", b"*"),
    (b"*2\r\n*2\r\n$1\r\na\r\n*0\r\n*1\r\n:1\r\n", b"*"),
    (b"_\r\n", b"_"),
    (b"#t\r\n", b"#"),
    (b",1.5\r\n", b","),
    (b"(123456789012345678901234567890\r\n", b"("),
    (b"=7\r\ntxt:a\r\n\r\n", b"="),
    (b"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n%1\r\n:1\r\n:2\r\n", b"%"),
    (b"~2\r\n:1\r\n:2\r\n", b"~"),
    (b">2\r\n+moved\r\n:1\r\n", b">"),
    (b"|1\r\n+ttl\r\n:1\r\n", b"|"),
]


@given(st.lists(st.sampled_from(REPLIES), max_size=6), st.data())
def test_frames_are_found_however_they_come(replies: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    """Each reply of RESP2 and RESP3 is found where it begins, in whatever pieces the bytes come."""
    stream = b"".join(raw for raw, _ in replies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    frames, found = Frames(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += [(start + at, kind) for at, kind in frames.begun(stream[start:end])]
    places = [len(b"".join(raw for raw, _ in replies[:n])) for n in range(len(replies))]
    assert found == list(zip(places, [kind for _, kind in replies], strict=True))


@given(st.integers(1, 200))
def test_commands_are_named_however_they_come(size: int) -> None:
    """The names of commands are found, in capitals, and never taken from their arguments."""
    stream = (
        b"*2\r\n$4\r\nxadd\r\n$4\r\nXDEL\r\n"
        b"*1\r\n$4\r\nPING\r\n"
        b"\r\nget key\r\n"  # by hand
        b"*3\r\n$3\r\nSet\r\n$9\r\n*1\r\n$1\r\na\r\n$0\r\n\r\n"
    )
    commands, names = Commands(), []
    for at in range(0, len(stream), size):
        names += commands.names(stream[at : at + size])
    assert names == [b"XADD", b"PING", b"GET", b"SET"]


def test_what_is_no_resp_is_refused() -> None:
    """Bytes in which no frame can be found end the search, rather than be waited for."""
    with pytest.raises(ProtocolError, match="not RESP"):
        list(Frames().begun(b"*x\r\n"))
    with pytest.raises(ProtocolError, match="without end"):
        list(Frames().begun(b"+" * (1 << 21)))


# ---- passing on --------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3])
def test_passes_everything_on(redis_url: str, protocol: int) -> None:
    """Through the proxy a client sees what it would see without: also big values, errors, pipelines."""

    async def scenario() -> None:
        async with proxy_and_client(redis_url, protocol=protocol) as (proxy, client):
            big = "x" * 3_000_000
            assert await client.set("a", big)
            assert await client.get("a") == big
            with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
                await client.xlen("a")
            assert await client.hset("h", mapping={"f": "1"}) == 1
            assert await client.hgetall("h") == {"f": "1"}
            async with client.pipeline() as pipeline:
                for n in range(500):
                    pipeline.rpush("list", n)
                assert await pipeline.execute() == list(range(1, 501))
            subscriber = client.pubsub()
            await subscriber.subscribe("channel")
            await client.publish("channel", "said")
            said = [await subscriber.get_message(timeout=5) for _ in range(2)]
            assert said[1] is not None
            assert said[1]["data"] == "said"
            await subscriber.aclose()
            assert proxy.n_lost == 0

    run(scenario())


def test_blocking_reads(redis_url: str) -> None:
    """A blocked read is answered when there is something, while other connections go on."""

    async def scenario() -> None:
        async with proxy_and_client(redis_url) as (_, client):
            reading = asyncio.ensure_future(client.xread({"s": "$"}, block=0))

            async def is_blocked() -> bool:
                return bool((await client.info("clients"))["blocked_clients"] == 1)

            await poll(is_blocked)
            await client.xadd("s", {"f": "1"}, id="1-1")
            assert await reading == [["s", [("1-1", {"f": "1"})]]]
            assert not await client.xread({"s": "$"}, block=20)

    run(scenario())


def test_does_not_hoard(redis_url: str) -> None:
    """What a client does not read stays with the server: the proxy holds little of it."""

    async def scenario() -> None:
        async with Proxy(redis_url) as proxy:
            async with stream_client(redis_url) as direct:
                await direct.set("a", "x" * 50_000_000)
            reader, writer = await asyncio.open_unix_connection(
                redis.connection.parse_url(proxy.url)["path"], limit=1000
            )
            writer.write(b"GET a\r\nPING\r\n")
            received = await reader.readexactly(100)
            async with stream_client(redis_url) as direct:
                for _ in range(200):  # time enough for a proxy that reads ahead
                    await direct.ping()
            (connection,) = proxy._connections
            back = connection._client[1].transport
            assert back.get_write_buffer_size() < 500_000
            n = len(received)
            while not received.endswith(b"+PONG\r\n"):
                received = (await reader.read(1 << 20))[-10:] or pytest.fail("closed")
                n += 1
            assert n > 100
            writer.close()
            await writer.wait_closed()

    run(scenario())


@pytest.mark.redis
def test_user_password_and_database_are_kept() -> None:
    """Clients log in, and land in the database, as the server's URL says; no repr shows the password."""

    async def scenario() -> None:
        with PrivateServer(password="s3cr/et:") as server:
            url = f"{server.url}?db=3"
            async with Proxy(url) as proxy, stream_client(proxy.url) as client:
                await client.set("a", "1")
                info = await client.client_info()
                assert (info["db"], info["user"]) == (3, "default")
                assert "s3cr" not in repr(proxy)
            with sync_stream_client(url) as direct:
                assert direct.get("a") == "1"

    run(scenario())


def test_a_server_on_tcp(redis_url: str) -> None:
    """The server may be on TCP; the name and password of its URL are for clients to send."""

    async def scenario() -> None:
        # A proxy's way to a server on TCP is tried on a relay: the private server has no port.
        async with Proxy(redis_url) as inner:
            path = redis.connection.parse_url(inner.url)["path"]

            async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                up_reader, up_writer = await asyncio.open_unix_connection(path)
                up_writer.write(await reader.read(1000))
                writer.write(await up_reader.read(1000))
                for each in (writer, up_writer):
                    each.close()
                    await each.wait_closed()

            listener = await asyncio.start_server(relay, "127.0.0.1", 0)
            port = listener.sockets[0].getsockname()[1]
            async with Proxy(f"redis://127.0.0.1:{port}/") as proxy:
                reader, writer = await asyncio.open_unix_connection(redis.connection.parse_url(proxy.url)["path"])
                writer.write(b"PING\r\n")
                assert await reader.read() == b"+PONG\r\n"
                writer.close()
                await writer.wait_closed()
            await close_listener(listener)
        with pytest.raises(ValueError, match=r"TLS: rediss://:\*\*\*@host is no"):
            Proxy("rediss://:secret@host")

    run(scenario())


@pytest.mark.parametrize("tcp", [True, False])
def test_a_connection_that_comes_as_it_closes_is_closed(redis_url: str, tcp: bool) -> None:
    """At whichever turn of the loop: accepted and not handed over yet, or just handed over."""

    async def connected(turns: int) -> socket.socket:
        async with Proxy(redis_url, tcp=tcp) as proxy:
            target = redis.connection.parse_url(proxy.url)
            client = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
            client.settimeout(10)
            client.connect(("127.0.0.1", target["port"]) if tcp else target["path"])
            for _ in range(turns):
                await asyncio.sleep(0)
        return client

    for turns in range(7):
        with warnings.catch_warnings(record=True) as left_open, asyncio.run(connected(turns)) as client:
            warnings.simplefilter("always")
            with contextlib.suppress(ConnectionError):
                assert client.recv(1) == b""
            gc.collect()
        assert [str(warning.message) for warning in left_open] == [], turns


# ---- losing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_reply_is_lost_the_command_executed(redis_url: str, protocol: int) -> None:
    """The nth command of the name is executed, its client finds the connection closed; no other does."""

    async def scenario() -> None:
        async with (
            proxy_and_client(redis_url, protocol=protocol) as (proxy, client),
            stream_client(redis_url) as direct,
        ):
            await client.xadd("s", {"n": 0})
            proxy.lose_reply("xadd", 2)
            await client.xadd("s", {"n": 1})
            await client.xlen("s")
            with pytest.raises(redis.ConnectionError):
                await client.xadd("s", {"n": 2})
            entries: Any = await direct.xrange("s")
            assert [fields["n"] for _, fields in entries] == ["0", "1", "2"]
            await client.xadd("s", {"n": 3})  # on a new connection
            assert proxy.n_lost == 1

    run(scenario())


def test_within_a_pipeline(redis_url: str) -> None:
    """The server executes the whole pipeline, though the client sees the replies before the lost one only."""

    async def scenario() -> None:
        async with Proxy(redis_url) as proxy, stream_client(redis_url) as direct:
            n = 2400  # in one piece for the proxy, in several for the server
            proxy.lose_reply("INCR", 2)
            reader, writer = await asyncio.open_unix_connection(redis.connection.parse_url(proxy.url)["path"])
            writer.write(b"*2\r\n$4\r\nincr\r\n$1\r\na\r\n" * n)
            assert await reader.read() == b":1\r\n"  # and then it is closed

            async def all_executed() -> bool:
                return await direct.get("a") == str(n)

            await poll(all_executed)
            writer.close()
            await writer.wait_closed()

    run(scenario())


def test_within_a_transaction(redis_url: str) -> None:
    """EXEC's reply is one like others: it is lost, and the transaction happened."""

    async def scenario() -> None:
        async with proxy_and_client(redis_url) as (proxy, client), stream_client(redis_url) as direct:
            proxy.lose_reply("EXEC")
            async with client.pipeline(transaction=True) as pipeline:
                pipeline.incr("a")
                pipeline.incr("a")
                with pytest.raises(redis.ConnectionError):
                    await pipeline.execute()
            assert await direct.get("a") == "2"
            assert proxy.n_lost == 1

    run(scenario())


def test_the_reply_of_a_blocked_read(redis_url: str) -> None:
    """A blocked read waits as ever; what it was given when it woke is lost, and pending."""

    async def scenario() -> None:
        async with proxy_and_client(redis_url) as (proxy, client), stream_client(redis_url) as direct:
            await direct.xgroup_create("s", "g", mkstream=True)
            proxy.lose_reply("XREADGROUP")
            reading = asyncio.ensure_future(client.xreadgroup("g", "c", {"s": ">"}, block=0))

            async def is_blocked() -> bool:
                return bool((await direct.info("clients"))["blocked_clients"] == 1)

            await poll(is_blocked)
            assert proxy.n_lost == 0
            await direct.xadd("s", {"f": "1"})
            with pytest.raises(redis.ConnectionError):
                await reading
            assert (await direct.xpending("s", "g"))["pending"] == 1

    run(scenario())


def test_several_are_lost(redis_url: str) -> None:
    """Of two wishes each is fulfilled; names are counted apart."""

    async def scenario() -> None:
        async with proxy_and_client(redis_url) as (proxy, client):
            proxy.lose_reply("PING", 1)
            proxy.lose_reply("PING", 3)
            proxy.lose_reply("ECHO", 1)
            lost = []
            for command in ("PING", "PING", "PING", "PING", "ECHO x", "ECHO x"):
                try:
                    await client.execute_command(*command.split())
                    lost.append(False)
                except redis.ConnectionError:
                    lost.append(True)
            assert lost == [True, False, True, False, True, False]
            assert proxy.n_lost == 3
        with pytest.raises(ValueError, match="nth is 0"):
            proxy.lose_reply("PING", 0)

    run(scenario())


# ---- cutting and refusing ----------------------------------------------------------------------


def test_cut(redis_url: str) -> None:
    """Cutting ends what is under way with an error; the next command goes over a new connection."""

    async def scenario() -> None:
        async with proxy_and_client(redis_url) as (proxy, client):
            reading = asyncio.ensure_future(client.xread({"s": "$"}, block=0))
            await poll(lambda: _blocked(redis_url))
            proxy.cut()
            with pytest.raises(redis.ConnectionError):
                await reading
            await poll(lambda: _none_blocked(redis_url))  # the server has noticed, too
            assert await client.ping()

    run(scenario())


async def _blocked(url: str) -> bool:
    async with stream_client(url) as direct:
        return bool((await direct.info("clients"))["blocked_clients"])


async def _none_blocked(url: str) -> bool:
    return not await _blocked(url)


def test_refuse(redis_url: str) -> None:
    """While it refuses, no command gets through; afterwards they do again."""

    async def scenario() -> None:
        async with proxy_and_client(redis_url) as (proxy, client):
            await client.ping()
            proxy.refuse()
            for _ in range(2):
                with pytest.raises(redis.ConnectionError):
                    await client.ping()
            proxy.refuse(False)
            assert await client.ping()

    run(scenario())


@pytest.mark.redis
def test_a_server_that_is_gone() -> None:
    """A client finds its connection closed when the server ends, and as long as there is none."""

    async def scenario() -> None:
        with PrivateServer() as server:
            async with proxy_and_client(server.url) as (proxy, client):
                await client.ping()
                server.kill()
                for _ in range(2):
                    with pytest.raises(redis.ConnectionError):
                        await client.ping()
                server.restart()
                assert await client.ping()
                assert proxy.n_lost == 0

    run(scenario())


def test_its_socket_is_private_and_goes(redis_url: str) -> None:
    """The socket and its folder are for their owner alone, and are gone when the proxy closes."""

    async def scenario() -> None:
        proxy = Proxy(redis_url)
        with pytest.raises(RuntimeError, match="not been started"):
            _ = proxy.url
        await proxy.start()
        path = Path(redis.connection.parse_url(proxy.url)["path"])
        folder = path.parent
        for each in (path, folder):
            assert stat.S_IMODE(each.stat().st_mode) == 0o700
        async with stream_client(proxy.url) as client:
            await client.ping()
            assert repr(proxy).endswith("1 connections, 0 replies lost>")
            await proxy.close()
            await proxy.close()
        assert not folder.exists()

    run(scenario())
