"""Clients for streams: the settings that keep entries safe, and plain words about unusable servers."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest
import redis
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st

from streamlab.servers.client import (
    ServerInfo,
    ServerUnusable,
    check_server,
    check_stream_key,
    redact,
    stream_client,
    sync_stream_client,
)
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerBinary
from streamlab.servers.proxy import Proxy, close_listener

PASSWORD = "s3cr3t/@"
Handler = Callable[[list[str]], bytes | None]


@pytest.fixture(scope="module")
def guarded_server(default_server_binary: ServerBinary) -> Iterator[PrivateServer]:
    """A real server that wants a password."""
    with PrivateServer(default_server_binary, password=PASSWORD) as server:
        yield server


@asynccontextmanager
async def fake_server(handler: Handler) -> AsyncIterator[tuple[str, list[list[str]]]]:
    """Serve RESP on a port of 127.0.0.1: each command goes to ``handler``; None drops the connection.

    Gives the URL and the list of commands as they come.
    """
    commands: list[list[str]] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while header := await reader.readline():
            command = []
            for _ in range(int(header[1:])):
                size = int((await reader.readline())[1:])
                command.append((await reader.readexactly(size + 2))[:-2].decode())
            commands.append(command)
            reply = handler(command)
            if reply is None:
                break
            writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"redis://127.0.0.1:{port}/0", commands
    finally:
        await close_listener(server)
        for writer in writers:
            writer.close()
        await server.wait_closed()


def info(text: str) -> Handler:
    """Answer INFO with a text, and everything else with OK."""

    def handler(command: list[str]) -> bytes:
        return b"$%d\r\n%s\r\n" % (len(text), text.encode()) if command[0] == "INFO" else b"+OK\r\n"

    return handler


def complaint(url: str, within: float = 2.0) -> str:
    """Return what `check_server` says against a URL, having seen that it is one line without password."""
    text = asyncio.run(_complaint(url, within))
    assert "\n" not in text
    assert "s3cr3t" not in text
    return text


async def _complaint(url: str, within: float = 2.0) -> str:
    with pytest.raises(ServerUnusable) as caught:
        async with stream_client(url) as client:
            await check_server(client, within=within)
    return str(caught.value)


def complaint_about_fake(handler: Handler, within: float = 2.0) -> tuple[str, list[list[str]]]:
    """Return what is said about a fake server, and the commands it was sent."""

    async def main() -> tuple[str, list[list[str]]]:
        async with fake_server(handler) as (url, commands):
            return await _complaint(url, within), commands

    return asyncio.run(main())


def test_check_server_tells_kind_and_version(server_binary: ServerBinary) -> None:
    """A usable server is described as it describes itself."""

    async def main(url: str) -> ServerInfo:
        async with stream_client(url) as client:
            return await check_server(client)

    with PrivateServer(server_binary) as server:
        found = asyncio.run(main(server.url))
    assert found == ServerInfo(server_binary.kind, server_binary.version)
    assert str(found) == str(server_binary).partition(" (")[0]


@pytest.mark.redis
def test_text_resp2_and_name(redis_url: str) -> None:
    """Both clients speak RESP2 and text, and carry the name they were given."""

    async def main() -> tuple[object, object]:
        async with stream_client(redis_url, name="worker-1") as client:
            return await client.xadd("s", {"f": "é"}, "1-1"), await client.client_info()

    entry_id, about = asyncio.run(main())
    assert entry_id == "1-1"
    assert isinstance(about, dict)
    assert (about["name"], about["resp"]) == ("worker-1", "2")
    with sync_stream_client(redis_url, name="worker-2") as client:
        assert client.xrange("s") == [("1-1", {"f": "é"})]
        about = client.client_info()
        assert (about["name"], about["resp"]) == ("worker-2", "2")


async def add_one(url: str) -> object:
    """Send XADD once through the asyncio client."""
    async with stream_client(url) as client:
        return await client.xadd("s", {"f": "1"}, "1-1")


async def sync_add_one(url: str) -> object:
    """Send XADD once through the client without asyncio."""

    def add() -> object:
        with sync_stream_client(url) as client:
            return client.xadd("s", {"f": "1"}, "1-1")

    return await asyncio.to_thread(add)


async def add_one_by_default(url: str) -> object:
    """Send XADD once through redis-py as it comes."""
    host, _, port = url.removeprefix("redis://").removesuffix("/0").partition(":")
    async with redis.asyncio.Redis(host=host, port=int(port)) as client:
        return await client.xadd("s", {"f": "1"}, "1-1")


def sent_with_first_reply_lost(add: Callable[[str], Awaitable[object]]) -> tuple[int, object]:
    """Lose the reply to the first XADD; return how many were sent, and the outcome."""
    seen: list[list[str]] = []

    def handler(command: list[str]) -> bytes | None:
        if command[0] != "XADD":
            return b"+OK\r\n"
        seen.append(command)
        return b"$3\r\n1-1\r\n" if len(seen) > 1 else None

    async def main() -> object:
        async with fake_server(handler) as (url, _):
            try:
                return await add(url)
            except redis.ConnectionError:
                return "the caller knows"

    outcome = asyncio.run(main())
    return len(seen), outcome


@pytest.mark.parametrize("add", [add_one, sync_add_one])
def test_nothing_is_sent_twice(add: Callable[[str], Awaitable[object]]) -> None:
    """When a reply is lost the caller is told."""
    assert sent_with_first_reply_lost(add) == (1, "the caller knows")


def test_redis_py_by_default_sends_twice() -> None:
    """This is the trap that `stream_client` defuses, and what the test above would see if it did not."""
    assert sent_with_first_reply_lost(add_one_by_default) == (2, b"1-1")


@pytest.mark.redis
def test_cancelling_a_blocked_read_is_not_lost(redis_url: str) -> None:
    """A task in BLOCK ends when it is cancelled, each time; a read timeout loses that before Python 3.12."""

    async def main() -> int:
        cancelled = 0
        async with stream_client(redis_url) as client:
            for _ in range(30):
                task: asyncio.Future[object] = asyncio.ensure_future(client.xread({"s": "$"}, block=60_000))
                await asyncio.sleep(0.001)
                task.cancel()
                await asyncio.wait([task], timeout=1)
                if not task.cancelled():
                    break
                cancelled += 1
        return cancelled

    assert asyncio.run(main()) == 30


def test_settings() -> None:
    """BLOCK may last for ever; connecting may not. RESP3's notifications and second attempts are off."""
    for client in (stream_client("redis://host"), sync_stream_client("redis://host")):
        settings = client.connection_pool.connection_kwargs
        assert settings["socket_timeout"] is None
        assert settings["socket_connect_timeout"] == 5
        assert settings["socket_keepalive"] is True
        assert settings["protocol"] == 2
        # Set in so many words: what redis-py does without changes between versions and ways to make a client.
        assert settings["retry"].get_retries() == 0


def test_nothing_listens() -> None:
    """The address that cannot be reached is named, and what to do."""
    assert complaint("redis://:s3cr3t@127.0.0.1:1/0").startswith("no Redis server can be reached at 127.0.0.1:1 (")
    assert "start one, or correct the URL" in complaint("unix:///no/such.sock")
    assert "no Redis server can be reached at nowhere.invalid:6379" in complaint("redis://:s3cr3t@nowhere.invalid")


def test_wrong_password_is_tried_once(guarded_server: PrivateServer) -> None:
    """A refused password is refused for good: one attempt, no storm."""
    with sync_stream_client(guarded_server.url) as client:
        client.acl_log_reset()
        text = complaint(guarded_server.url.replace("s3cr3t", "s3cr3t-wrong"))
        assert f"{guarded_server.socket_path} refuses this user and password" in text
        assert [entry["count"] for entry in client.acl_log()] == [1]


def test_a_missing_password_is_asked_for(guarded_server: PrivateServer) -> None:
    """NOAUTH says how the URL should look, with and without a client name."""
    url = f"unix://{guarded_server.socket_path}"
    assert "wants a password: write redis://:PASSWORD@host:port/0" in complaint(url)

    async def named() -> None:
        async with stream_client(url, name="worker-1") as client:
            await check_server(client)

    with pytest.raises(ServerUnusable, match="wants a password"):
        asyncio.run(named())


@pytest.mark.redis
def test_a_password_where_none_is_set(redis_server: PrivateServer) -> None:
    """A server that knows no password refuses ours."""
    assert "refuses this user and password" in complaint(f"unix://:s3cr3t@{redis_server.socket_path}")


def test_a_user_without_info(guarded_server: PrivateServer) -> None:
    """A user restricted by ACL is told what is missing."""
    with sync_stream_client(guarded_server.url) as client:
        client.acl_setuser("narrow", enabled=True, passwords=["+s3cr3t"], categories=["-@all"], commands=["+xadd"])
    text = complaint(f"unix://narrow:s3cr3t@{guarded_server.socket_path}")
    assert "may not run INFO" in text


def test_an_old_server() -> None:
    """Before 6.2 there is no XAUTOCLAIM; the answer says what to do, after one question."""
    text, commands = complaint_about_fake(info("redis_version:5.0.7\r\n"))
    assert "Redis 5.0.7 at 127.0.0.1:" in text
    assert "too old: consumer groups need 6.2" in text
    assert [command[0] for command in commands].count("INFO") == 1
    assert "Redis 6.0.16" in complaint_about_fake(info("redis_version:6.0.16\r\n"))[0]


def test_the_oldest_server_is_good() -> None:
    """6.2 itself passes, and Valkey is told by its own version, not by the Redis one it also gives."""

    async def main(text: str) -> ServerInfo:
        async with fake_server(info(text)) as (url, _), stream_client(url) as client:
            return await check_server(client)

    assert asyncio.run(main("redis_version:6.2.0\r\n")) == ServerInfo("redis", (6, 2, 0))
    both = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n"
    assert asyncio.run(main(both)) == ServerInfo("valkey", (9, 1, 2))


def test_a_loading_server() -> None:
    """A server that loads its data is asked once; waiting is the reader's decision."""
    text, commands = complaint_about_fake(lambda _: b"-LOADING Redis is loading the dataset in memory\r\n")
    assert "still loading its data: try again in a moment" in text
    assert len(commands) <= 1 + [command[0] for command in commands].count("CLIENT")


def test_a_silent_server(guarded_server: PrivateServer) -> None:
    """A paused server accepts and says nothing: there is a limit to that."""
    guarded_server.pause()
    try:
        started = time.monotonic()
        assert "did not answer within 0.2 s" in complaint(guarded_server.url, within=0.2)
        assert time.monotonic() - started < 2
    finally:
        guarded_server.resume()


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n", b"$3\r\n\xff\xfe\xfd\r\n", b"$2\r\nhi\r\n"]
)
def test_something_else_answers(reply: bytes) -> None:
    """A web server, or anything else that is no Redis, is called so."""
    text, _ = complaint_about_fake(lambda _: reply)
    assert "is no Redis server: check the URL" in text


def test_a_connection_that_drops() -> None:
    """A server that closes the connection is not asked again."""
    text, commands = complaint_about_fake(lambda _: None)
    assert "no Redis server can be reached" in text
    assert len(commands) == 1


@pytest.mark.redis
def test_a_key_that_holds_something_else(redis_url: str) -> None:
    """Streams and free keys pass; a string is named, with what to do."""

    async def main() -> None:
        async with stream_client(redis_url) as client:
            await check_stream_key(client, "orders")
            await client.xadd("orders", {"f": "1"})
            await check_stream_key(client, "orders")
            await client.set("greeting", "hello")
            await check_stream_key(client, "greeting")

    with pytest.raises(ServerUnusable, match=r"the key 'greeting' holds a string, not a stream.*DEL greeting"):
        asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("localhost:6379", "localhost:6379"),
        ("http://host", "http://host"),
        ("redis://:s3cr3t@host:port", "redis://***"),
        ("redis://:s3cr3t/x@host:1", "redis://***"),
        ("redis://:s3cr3t@host?no_such_thing=1", "redis://:***@host?no_such_thing=1"),
        ("redis://host?socket_keepalive=x&db=y", "redis://host?socket_keepalive=x&db=y"),
        (":s3cr3t@host", "***"),
    ],
)
@pytest.mark.parametrize("factory", [stream_client, sync_stream_client])
def test_a_url_that_cannot_be_read(factory: Callable[[str], object], url: str, shown: str) -> None:
    """One line says how to write it; nothing of a password is in it, nor in what caused it."""
    with pytest.raises(ServerUnusable) as caught:
        factory(url)
    assert str(caught.value).startswith(f"not a Redis URL: {shown} (write redis://host:port/0")
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("parameter", ["protocol=3", "decode_responses=no", "socket_timeout=5"])
def test_a_url_cannot_undo_the_settings(parameter: str) -> None:
    """redis-py lets a URL's parameters win; those that would break streams are refused."""
    with pytest.raises(ServerUnusable, match=f"sets {parameter.partition('=')[0]} itself"):
        stream_client(f"redis://host?{parameter}")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:s3cr3t@host:1/2", "redis://:***@host:1/2"),
        ("rediss://user:s3cr3t@[::1]:1", "rediss://user:***@[::1]:1"),
        ("redis://s3cr3t@host", "redis://***@host"),
        ("redis://user:s3cr3t@s3cr3t@host", "redis://user:***@host"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("unix://:s3cr3t@/run/redis.sock", "unix://:***@/run/redis.sock"),
        ("unix:///run/redis.sock?db=1&password=s3cr3t", "unix:///run/redis.sock?db=1&password=***"),
        ("redis://h?ssl_password=s3cr3t", "redis://h?ssl_password=***"),
        ("redis://:s3cr3t/@host", "redis://***"),
        ("redis://:s3cr3t?@host", "redis://***"),
        ("redis://:s3cr3t#@host", "redis://***"),
        ("redis://:12/s3cr3t@host", "redis://***"),
        ("redis://:12#s3cr3t@host", "redis://***"),
        ("redis://[s3cr3t@host", "redis://***"),
        ("s3cr3t@host", "***"),
        ("s3cr3t://x@host", "***"),
        ("http://user:s3cr3t@host", "***"),
    ],
)
def test_redact(url: str, shown: str) -> None:
    """A URL is shown without its password, and with nothing at all where it is in doubt."""
    assert redact(url) == shown


@given(st.text(min_size=6, alphabet=st.characters(exclude_characters="*", codec="utf-8")))
def test_redact_hides_every_password(password: str) -> None:
    """Percent-encoded as it should be, or pasted as it is: no password is shown."""
    encoded = quote(password, safe="")
    if encoded in "redis://user@host.example:6379/0?db=1":
        return
    assert encoded not in redact(f"redis://user:{encoded}@host.example:6379/0?db=1")
    assert password not in redact(f"redis://user:{password}@host.example:6379/0?db=1")


@pytest.mark.parametrize("factory", [stream_client, sync_stream_client, Proxy])
@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3@cr3t/x@host.example:6379/0",
        "redis://user:s3@cr3t?x@host.example",
        "redis://user:s3@cr3t#x@host.example",
        "redis://user:s3@cr3t?client_name=x@host.example",
        "redis://:12/s3cr3t@host.example",
        "redis://:12?s3cr3t@host.example",
        "redis://:12#s3cr3t@host.example",
        "redis://host.example?password=s3#cr3t",
        "unix://:s3/cr3t@/run/redis.sock",
        "unix://:s3@cr3t/x@/run/redis.sock",
        "unix://:s3@/cr3t@/run/redis.sock",
    ],
)
def test_a_password_that_cuts_its_url_is_refused(factory: Callable[[str], object], url: str) -> None:
    """redis-py would take a piece of it for the host, the port, the database or the path."""
    with pytest.raises(ServerUnusable, match="must be percent-encoded") as caught:
        factory(url)
    assert not re.search("s3|cr3t|12", str(caught.value))


@pytest.mark.parametrize(
    "url", ["unix:///run/a@b.sock", "redis://host?username=a@b&password=c@d", "redis://u:p@q@host"]
)
def test_an_at_sign_is_no_offence(url: str) -> None:
    """It is only refused where it tells that something else has gone wrong."""
    stream_client(url)


@given(st.text(alphabet=st.characters(codec="utf-8")), st.sampled_from(["redis", "rediss"]))
def test_no_piece_of_a_password_becomes_the_host(password: str, scheme: str) -> None:
    """Pasted as it is, a password leaves the address alone, or the URL is refused; so no error can quote a piece."""
    try:
        client = sync_stream_client(f"{scheme}://user:{password}@host.example:6399/3")
    except ServerUnusable:
        return
    told = client.connection_pool.connection_kwargs
    assert (told["host"], told["port"], told["db"]) == ("host.example", 6399, 3)


def test_no_repr_shows_the_password(guarded_server: PrivateServer) -> None:
    """Neither the clients nor their pools show it."""
    for client in (stream_client(guarded_server.url), sync_stream_client(guarded_server.url)):
        assert "s3cr3t" not in repr(client)
        assert "s3cr3t" not in repr(client.connection_pool)
