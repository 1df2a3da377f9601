"""The embedded server: streams among the other keys, blocked reads, threads and event loops."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from random import Random
from typing import Any

import pytest
import redis

from streamlab.actors import scripts
from streamlab.servers.client import sync_stream_client
from streamlab.servers.embedded import DIVERGENCES, Divergence, EmbeddedServer
from streamlab.servers.embedded.fake import contract
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerBinary
from tests.conftest import Eventually
from tests.differential.compare import random_steps
from tests.redis_targets import Target, embedded, real


@pytest.fixture(params=["embedded", "socket", pytest.param("real", marks=pytest.mark.redis)])
def target(request: pytest.FixtureRequest, server: EmbeddedServer) -> Iterator[Target]:
    """The embedded server, from within and as others reach it, and a real one: what holds here holds on all."""
    if request.param == "real":
        yield real(request.getfixturevalue("redis_url"))
    elif request.param == "socket":
        url = server.url
        yield Target(lambda: sync_stream_client(url), lambda: server._server.n_blocked)
        server.close()
    else:
        yield embedded()


@pytest.fixture
def clients(target: Target) -> Iterator[Callable[[], redis.Redis]]:
    """Make clients that are closed at the end."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(target.connect())


@pytest.fixture
def client(clients: Callable[[], redis.Redis]) -> redis.Redis:
    return clients()


@pytest.fixture
def server() -> EmbeddedServer:
    return EmbeddedServer()


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine, and fail rather than wait for ever."""
    asyncio.run(asyncio.wait_for(coroutine, 20))


async def blocked(server: EmbeddedServer, n: int) -> None:
    """Wait until so many clients are blocked."""
    async with asyncio.timeout(5):
        while server._server.n_blocked != n:
            await asyncio.sleep(0.001)


# ---- among the other keys ----------------------------------------------------------------------


def test_a_stream_is_a_key_like_others(client: redis.Redis) -> None:
    """DEL, EXISTS, TYPE, DBSIZE, KEYS, SCAN, RANDOMKEY and FLUSHALL know streams, empty ones included."""
    client.xgroup_create("s", "g", mkstream=True)
    assert client.exists("s", "s", "t") == 2
    assert client.type("s") == "stream"
    client.set("text", "1")
    assert client.dbsize() == 2
    assert sorted(client.keys("*")) == ["s", "text"]
    assert list(client.scan_iter(_type="stream")) == ["s"]
    assert client.delete("s", "t") == 1
    assert client.exists("s") == 0
    client.xadd("s", {"f": "1"})
    assert client.randomkey() in ("s", "text")
    client.flushall()
    assert (client.dbsize(), client.xlen("s")) == (0, 0)


def test_rename(client: redis.Redis) -> None:
    """RENAME takes entries and groups along; RENAMENX overwrites nothing."""
    client.xadd("s", {"f": "1"}, id="1-1")
    client.xgroup_create("s", "g", id="0")
    client.rename("s", "t")
    assert client.exists("s") == 0
    assert client.xreadgroup("g", "c", {"t": ">"}) == [["t", [("1-1", {"f": "1"})]]]
    client.xadd("s", {"f": "2"})
    assert client.renamenx("s", "t") is False


def test_copies_are_apart(client: redis.Redis) -> None:
    """COPY makes a second stream, with groups and pending entries of its own."""
    client.xadd("s", {"f": "1"}, id="1-1")
    client.xgroup_create("s", "g", id="0")
    client.xreadgroup("g", "c", {"s": ">"})
    assert client.copy("s", "t") is True
    client.xack("t", "g", "1-1")
    client.xadd("t", {"f": "2"}, id="2-1")
    assert (client.xlen("s"), client.xlen("t")) == (1, 2)
    assert client.xpending("s", "g")["pending"] == 1
    assert client.copy("s", "t") is False
    assert client.copy("s", "t", replace=True) is True
    assert client.xlen("t") == 1


def test_databases(clients: Callable[[], redis.Redis]) -> None:
    """Each database has streams of its own; MOVE and SWAPDB take them from one to another."""
    client = clients()
    client.xadd("s", {"f": "1"})
    client.move("s", 3)
    assert client.xlen("s") == 0
    client.swapdb(0, 3)
    assert client.xlen("s") == 1


def test_expiry(client: redis.Redis, eventually: Eventually) -> None:
    """EXPIRE, TTL and PERSIST work on streams; a write does not take the expiry away; then it is gone."""
    client.xadd("s", {"f": "1"})
    client.expire("s", 100)
    client.xadd("s", {"f": "2"})
    assert 98 <= client.ttl("s") <= 100
    client.persist("s")
    assert client.ttl("s") == -1
    client.pexpire("s", 30)
    eventually(lambda: not client.exists("s"), "s should expire")
    assert client.xlen("s") == 0
    client.xadd("s", {"f": "3"})
    assert (client.xlen("s"), client.ttl("s")) == (1, -1)


def test_wrong_types(client: redis.Redis) -> None:
    """Commands on other types refuse a stream, and those on streams refuse other types."""
    client.xadd("s", {"f": "1"})
    client.rpush("list", "1")
    for command in ("GET s", "LPUSH s 1", "HGETALL s", "XADD list * f 1", "XLEN list"):
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            client.execute_command(*command.split())
    with pytest.raises(redis.ResponseError, match="value is not an integer"):
        client.execute_command("HINCRBY", "s", "f", "x")  # the number is looked at first
    assert [client.hincrby("hash", "f", 2), client.hincrby("hash", "f", -3)] == [2, -1]
    client.set("s", "text")
    assert client.get("s") == "text"


def test_pipelines_and_transactions(client: redis.Redis) -> None:
    """Commands on streams and others mix in pipelines and transactions; an error does not stop the others."""
    for is_transaction in (True, False):
        client.flushall()
        pipeline = client.pipeline(transaction=is_transaction)
        pipeline.set("a", "1").xadd("s", {"f": "1"}, id="1-1").xlen("a").xlen("s").incr("a")
        replies = pipeline.execute(raise_on_error=False)
        assert [replies[n] for n in (0, 1, 3, 4)] == [True, "1-1", 1, 2]
        assert "WRONGTYPE" in str(replies[2])


def test_a_transaction_that_cannot_be_queued(client: redis.Redis) -> None:
    """An unknown command or a wrong number of arguments in MULTI: nothing of it is executed."""
    for wrong in ("XLEN", "XGROUP NOSUCH s", "NOSUCH"):
        pipeline = client.pipeline().xadd("s", {"f": "1"})
        pipeline.execute_command(*wrong.split())
        with pytest.raises(redis.ResponseError, match=r"wrong number|unknown"):
            pipeline.execute()
    assert client.exists("s") == 0


@pytest.mark.parametrize(
    ("command", "is_noticed"),
    [
        ("XADD s * f 1", True),
        ("XADD missing * f 1", True),
        ("XDEL s 1-1", True),
        ("XDEL s 9-9", False),
        ("XTRIM s MAXLEN 0", True),
        ("XTRIM s MAXLEN 10", False),
        ("XSETID s 9-9", False),
        ("XSETID s 9-9 ENTRIESADDED 9 MAXDELETEDID 5-5", False),
        ("XACK s g 1-1", False),
        ("XREADGROUP GROUP g c STREAMS s >", False),
        ("XAUTOCLAIM s g d 0 0", False),
        ("XGROUP CREATE s h 0", False),
        ("XGROUP CREATE missing g 0 MKSTREAM", True),
        ("XGROUP DESTROY s g", False),
        ("DEL s", True),
        ("EXPIRE s 100", True),
        ("RENAME other s", True),
        ("COPY other s REPLACE", True),
        ("SET s text", True),
        ("FLUSHALL", True),
        ("SWAPDB 0 1", True),
    ],
)
def test_watch(clients: Callable[[], redis.Redis], command: str, is_noticed: bool) -> None:
    """WATCH notices what changes the entries of a stream; what changes only its groups, it does not notice."""
    client, other = clients(), clients()
    for n in (1, 2):
        client.xadd("s", {"f": "1"}, id=f"{n}-1")
    client.xgroup_create("s", "g", id="0")
    client.xreadgroup("g", "c", {"s": ">"}, count=1)
    client.xadd("other", {"f": "1"})
    with client.pipeline() as pipeline:
        pipeline.watch("s", "missing")
        other.execute_command(*command.split())
        pipeline.multi()
        pipeline.ping()
        if is_noticed:
            with pytest.raises(redis.WatchError):
                pipeline.execute()
        else:
            assert pipeline.execute() == [True]


def test_binary_names_and_values() -> None:
    """Whatever bytes a key, a group, a field or a value is, it comes back as it was."""
    raw = bytes(range(256))
    with EmbeddedServer().client(decode_responses=False) as client:
        client.xadd(raw, {raw: raw}, id="1-1")
        client.xgroup_create(raw, raw, id="0")
        assert client.xreadgroup(raw, raw, {raw: b">"}) == [[raw, [(b"1-1", {raw: raw})]]]
        assert client.keys() == [raw]
        assert client.xinfo_groups(raw)[0]["name"] == raw


def test_bytes_in_an_error(clients: Callable[[], redis.Redis]) -> None:
    """Where an error names what is no text, the text that redis-py gives has replacements, and can be printed."""
    client = clients()
    command = ("XPENDING", b"s\xff", "g\xfc".encode())
    pipeline = client.pipeline()
    pipeline.execute_command(*command)
    errors = []
    for ask in (lambda: client.execute_command(*command), pipeline.execute):
        with pytest.raises(redis.ResponseError) as raised:
            ask()
        errors.append(str(raised.value).rpartition("caused error: ")[2])
    assert set(errors) == {"NOGROUP No such key 's\ufffd' or consumer group 'g\xfc'"}


def test_bytes_where_text_has_to_be(client: redis.Redis) -> None:
    """A name of a client that is no text is refused, and the connection goes on."""
    for command in ("CLIENT SETNAME", "CLIENT KILL TYPE", "HELLO 3 SETNAME"):
        with pytest.raises(redis.ResponseError):
            client.execute_command(*command.split(), b"\xff")
    assert client.client_list(_type="normal")
    assert client.client_list(_type="pubsub") == []
    with pytest.raises(redis.ResponseError, match="Unknown client type"):
        client.execute_command("CLIENT", "LIST", "TYPE", b"\xff")


@pytest.mark.parametrize("protocol", [2, 3])
def test_each_client_reads_in_its_own_encoding(server: EmbeddedServer, protocol: int) -> None:
    """Bytes, text in any encoding, and what to do with bytes that are none: as the client says, before and after."""

    def read(**settings: Any) -> Any:
        with server.client(protocol=protocol, **settings) as client:
            return client.xrevrange("s", count=1)[0][1]

    with server.client() as client:
        client.xadd("s", {"f": "ü".encode("latin-1")}, id="1-1")
    assert read() == {"f": "\udcfc"}
    with pytest.raises(UnicodeDecodeError):
        read(encoding_errors="strict")
    assert read(encoding_errors="replace") == {"f": "\ufffd"}
    assert read(encoding="latin-1") == {"f": "ü"}
    assert read(decode_responses=False) == {b"f": b"\xfc"}
    with server.client() as client:
        client.xadd("s", {"f": "ü"}, id="1-2")
    assert read() == {"f": "ü"}
    assert read(encoding="UTF8") == {"f": "ü"}
    assert read(encoding="latin-1") == {"f": "Ã¼"}
    assert read(decode_responses=False) == {b"f": "ü".encode()}


def test_text_is_not_read_as_utf_8_by_others(server: EmbeddedServer) -> None:
    """Where all is text in UTF-8, a client that takes it for something else gets just that."""
    with server.client() as client, server.client(encoding="latin-1") as other:
        client.xadd("s", {"f": "ü"}, id="1-1")
        assert client.xrange("s") == [("1-1", {"f": "ü"})]
        assert other.xrange("s") == [("1-1", {"f": "Ã¼"})]


def test_info(client: redis.Redis) -> None:
    """INFO tells the version, the clients and the keys."""
    client.xadd("s", {"f": "1"})
    assert client.info("server")["redis_version"]
    assert client.info("clients")["connected_clients"] >= 1
    assert client.info()["db0"]["keys"] == 1


def test_scripts_of_this_package_run(client: redis.Redis) -> None:
    """EVAL, EVALSHA and redis-py's registered scripts run the package's own scripts, through the pool of keys."""
    client.xadd("s", {"f": "1"}, id="1-1")
    client.xgroup_create("s", "g", id="0")
    client.xreadgroup("g", "c", {"s": ">"})
    assert client.eval(scripts.FENCED_ACK, 1, "s", "g", "another", "1-1", "1") == [0]
    acked = client.register_script(scripts.FENCED_ACK)(keys=["s"], args=["g", "c", "1-1", "1"])
    assert acked == [1]
    client.xgroup_setid("s", "g", "0")
    client.xreadgroup("g", "c", {"s": ">"})
    dead_id = client.eval(scripts.DEAD_LETTER, 2, "s", "dead", "g", "c", "1-1")
    assert [entry_id for entry_id, _ in client.xrange("dead")] == [dead_id]


# ---- commands on streams, past fakeredis -------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3])
def test_past_fakeredis_and_through_it_is_the_same(protocol: int) -> None:
    """A command on a stream has the same reply where fakeredis looks at it first."""
    n_past = 0
    for seed in range(60):
        answers = []
        for through in (False, True):
            server = EmbeddedServer(now_ms=lambda: 1_700_000_000_000)
            server._server.has_rules = through  # as if there were users
            answers.append(answers_to(server, Random(seed), protocol))
        assert answers[0] == answers[1]
        n_past += len(answers[0])
    assert n_past > 1000


def answers_to(server: EmbeddedServer, rng: Random, protocol: int) -> list[object]:
    """Return what a random sequence of commands is answered."""
    answers: list[object] = []
    with server.client(protocol=protocol, encoding_errors="surrogateescape") as client:
        client.response_callbacks.clear()
        for step in random_steps(rng, server.version):
            for name, *args in step.commands if step.reader is None else ():
                words = [arg.encode(errors="surrogateescape") for arg in args]
                try:
                    answers.append(client.execute_command(name, *words))
                except redis.ResponseError as error:
                    answers.append((type(error), str(error)))
    return answers


def blocked_connection(server: EmbeddedServer, stack: ExitStack) -> Any:
    """Return a connection that is blocked on ``s``, and whose client does not even wait for the reply."""
    client = stack.enter_context(server.client().client())
    assert client.connection is not None
    client.connection.send_command("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", ">")
    return client.connection


def test_who_finds_that_a_key_has_expired_tells_its_readers(server: EmbeddedServer, eventually: Eventually) -> None:
    """Even if the command that finds it fails."""
    with server.client() as client, ExitStack() as stack:
        client.xgroup_create("s", "g", mkstream=True)
        connection = blocked_connection(server, stack)
        client.pexpire("s", 20)
        expired_at = time.time() + 0.022  # the clock of keys goes by whole milliseconds
        assert not connection._sock.read.is_over
        eventually(lambda: time.time() > expired_at, "the key has expired")
        with pytest.raises(redis.ResponseError, match="NOGROUP"):
            client.xpending("s", "g")
        assert connection._sock.read.is_over


def test_a_forgotten_connection_is_given_nothing(server: EmbeddedServer) -> None:
    """Nobody has closed it; the next command on the stream minds that it is gone."""
    with server.client() as client:
        client.xgroup_create("s", "g", mkstream=True)
        with ExitStack() as stack:
            connection = blocked_connection(server, stack)
            connection._sock.close()  # all that the garbage collector does
            client.xadd("s", {"f": "1"})
            assert client.xpending("s", "g")["pending"] == 0


def test_users_who_may_not(clients: Callable[[], redis.Redis]) -> None:
    """A user is refused the commands on streams that are not granted, before and after the connection was used."""
    client, other = clients(), clients()
    client.xadd("s", {"f": "1"})
    client.acl_setuser("u", enabled=True, nopass=True, keys=["*"], commands=["+xlen"])
    try:
        with other.client() as connection:
            assert connection.xadd("s", {"f": "2"})
            connection.execute_command("AUTH", "u", "")
            assert connection.xlen("s") == 2
            with pytest.raises(redis.exceptions.NoPermissionError):
                connection.xadd("s", {"f": "3"})
    finally:
        client.acl_deluser("u")
    assert client.xlen("s") == 2


def test_replies_that_are_not_wanted(clients: Callable[[], redis.Redis]) -> None:
    """CLIENT REPLY SKIP and OFF hold for commands on streams."""
    with clients().client() as client:
        connection = client.connection
        assert connection is not None
        for words in (
            *(("CLIENT", "REPLY", "SKIP"), ("XLEN", "s"), ("PING",)),
            *(("CLIENT", "REPLY", "OFF"), ("XLEN", "s"), ("CLIENT", "REPLY", "ON"), ("PING",)),
        ):
            connection.send_command(*words)
        assert [connection.read_response() for _ in range(3)] == ["PONG", "OK", "PONG"]


def test_a_subscriber_may_not_ask_for_streams(clients: Callable[[], redis.Redis]) -> None:
    """With RESP2 a connection that has subscribed is refused anything else."""
    with clients().client() as client:
        connection = client.connection
        assert connection is not None
        connection.send_command("SUBSCRIBE", "c")
        assert connection.read_response() == ["subscribe", "c", 1]
        connection.send_command("XLEN", "s")
        with pytest.raises(redis.ResponseError, match="allowed in this context"):
            connection.read_response()


# ---- blocked reads -----------------------------------------------------------------------------


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
            reading = asyncio.create_task(client.xreadgroup("g", "c", {"s": ">"}, block=0))
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
            reading = asyncio.create_task(client.xreadgroup("g", "c", {"s": ">"}, block=0))
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
                        reads.append(asyncio.create_task(call))
                    else:
                        call = asyncio.to_thread(sync.xreadgroup, "g", name, {"s": ">"}, count=1, block=0)
                        reads.append(asyncio.create_task(call))
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
            if is_async:
                client = server.async_client()
                pipeline = client.pipeline(transaction=False)
                execute = pipeline.execute
            else:
                client = server.client()
                pipeline = client.pipeline(transaction=False)
                execute = lambda: asyncio.to_thread(pipeline.execute)  # noqa: E731
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
                    assert await other.client_kill_filter(_id=number) == 1
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


def test_quit(clients: Callable[[], redis.Redis]) -> None:
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
        other_sync.client_kill_filter(_id=number)
        assert sync.client_id() != number

    async def scenario() -> None:
        async with server.async_client() as client, server.async_client() as other:
            assert await client.execute_command("QUIT") in (True, "OK")
            assert await client.ping()
            pipeline = client.pipeline(transaction=False)
            pipeline.execute_command("QUIT")
            with pytest.raises(redis.ConnectionError):
                await pipeline.set("k", "v").execute()
            assert await other.exists("k") == 0
            number = await client.client_id()
            await other.client_kill_filter(_id=number)
            assert await client.client_id() != number

    run(scenario())


# ---- event loops -------------------------------------------------------------------------------


def test_others_have_their_turn(server: EmbeddedServer) -> None:
    """A task that sends command after command does not keep others from running."""

    async def scenario() -> None:
        async with server.async_client() as client:
            n_turns = 0

            async def count() -> None:
                nonlocal n_turns
                while True:
                    n_turns += 1
                    await asyncio.sleep(0)

            counting = asyncio.create_task(count())
            for _ in range(100):
                await client.xadd("s", {"f": "1"})
            counting.cancel()
            assert n_turns >= 100

    run(scenario())


def test_one_loop_after_another(server: EmbeddedServer) -> None:
    """What was added in one event loop is there in the next."""

    async def add() -> None:
        async with server.async_client() as client:
            await client.xadd("s", {"f": "1"})

    run(add())
    run(add())
    with server.client() as client:
        assert client.xlen("s") == 2


def test_connections_are_forgotten(server: EmbeddedServer, eventually: Eventually) -> None:
    """The server keeps nothing of clients that have gone."""

    async def visit() -> None:
        async with server.async_client() as client:
            await client.ping()

    for _ in range(3):
        run(visit())
        with server.client() as client:
            client.ping()
    gc.collect()
    with server.client() as client:
        assert client.info("clients")["connected_clients"] == 1


def test_closed(server: EmbeddedServer) -> None:
    """Clients of a server that was closed raise ConnectionError, and what it held is not to be had."""
    with server.client() as client:
        client.ping()
        server.close()
        with pytest.raises(redis.ConnectionError):
            client.ping()
    with server.client() as client, pytest.raises(redis.ConnectionError):
        client.ping()


# ---- how long it takes -------------------------------------------------------------------------


def quickest(call: Callable[[], object]) -> float:
    """Return the least time of many calls: what the machine does besides makes none of them quicker."""
    times = []
    for _ in range(60):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


@pytest.mark.alone("compares times")
def test_nothing_grows_with_the_pending_list() -> None:
    """XACK, XCLAIM, XAUTOCLAIM, XPENDING take no longer with 20,000 pending entries than with 2,000.

    (In fakeredis as shipped they take ten times as long.)
    """
    costs: list[list[float]] = []
    for n_pending in (2_000, 20_000):
        with EmbeddedServer().client() as client:
            client.xgroup_create("s", "g", mkstream=True)
            pipeline = client.pipeline(transaction=False)
            for n in range(1, n_pending + 1):
                pipeline.xadd("s", {"f": "1"}, id=f"1-{n}")
            pipeline.execute()
            client.xreadgroup("g", "c", {"s": ">"}, count=n_pending)
            numbers = iter(range(n_pending, 0, -1))
            costs.append(
                [
                    quickest(lambda: client.xack("s", "g", f"1-{next(numbers)}")),  # noqa: B023
                    quickest(lambda: client.xautoclaim("s", "g", "d", 0, count=10)),
                    quickest(lambda: client.xclaim("s", "g", "c", 0, ["1-1500"])),
                    quickest(lambda: client.xpending("s", "g")),
                    quickest(lambda: client.xpending_range("s", "g", "-", "+", 10)),
                ]
            )
    assert [many < 3 * few for few, many in zip(*costs, strict=True)] == [True] * 5, costs


# ---- safety ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ("EVAL", "return 1", "0"),
        ("EVAL_RO", "return 1", "0"),
        ("SCRIPT", "LOAD", "return 1"),
        ("FUNCTION", "LOAD", "#!lua name=x"),
        ("FCALL", "f", "0"),
        ("RESTORE", "k", "0", "x"),
        ("DUMP", "k"),
    ],
    ids=lambda command: command[0],
)
def test_no_code_is_run(server: EmbeddedServer, command: tuple[str, ...]) -> None:
    """Scripts and serialised values are refused, with a word on what to do: fakeredis would run them as Python."""
    with server.client() as client:
        client.set("k", "1")
        with pytest.raises(redis.ResponseError, match="real server"):
            client.execute_command(*command)


def test_no_lua_even_if_there_is_one() -> None:
    """With the package that lets fakeredis run scripts, the embedded server refuses them all the same."""
    program = (
        "from streamlab.servers.embedded import EmbeddedServer\n"
        "from fakeredis._socket import FakeSocket\n"
        "from fakeredis._commands import command\n"
        "@command(name='EVAL', fixed=(bytes, bytes), repeat=(bytes,))\n"
        "def evaluate(self, script, *_):\n"
        "    exec(script)\n"
        "FakeSocket.evaluate = evaluate\n"
        "import fakeredis\n"
        "fakeredis.FakeRedis(protocol=2).execute_command('EVAL', 'print(1234)', 0)\n"
        "try:\n"
        "    EmbeddedServer().client().eval('print(5678)', 0)\n"
        "except Exception as error:\n"
        "    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "1234" in said.stdout  # so the test would notice
    assert "5678" not in said.stdout
    assert "no Lua" in said.stdout


# ---- what it rests on, and what it is not ------------------------------------------------------


def test_fakeredis_is_one_that_was_tried() -> None:
    """Nothing of fakeredis' insides that the embedded server uses has changed.

    If this fails, a new fakeredis is installed: `streamlab.servers.embedded.fake.contract` says what to do.
    """
    assert contract.changes() == [], contract.__doc__


def test_a_changed_fakeredis_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that reads differently or is gone, and a missing attribute, are named."""
    name, attribute = "FakeSocket._run_command", "_watches"
    monkeypatch.setitem(contract.DIGESTS, name, "0")
    monkeypatch.setitem(contract.DIGESTS, "Database.gone", "0")
    monkeypatch.setitem(contract.ATTRIBUTES, "Database", (attribute, "_nothing"))
    said = "; ".join(contract.changes())
    assert f"{name} reads differently" in said
    assert "Database.gone" in said
    assert "Database has no attribute _nothing" in said
    assert attribute not in said


SHOWN = [each for each in DIVERGENCES if each.try_it]


def outcome(client: redis.Redis, commands: tuple[str, ...]) -> object:
    """Return the kind of outcome of the last command, and what there is of it."""
    client.response_callbacks.clear()
    client.flushall()
    try:
        for command in commands:
            reply = client.execute_command(*command.split())
    except redis.ResponseError:
        return "error"
    return "reply" if reply else "nothing"


@pytest.mark.redis
@pytest.mark.parametrize("divergence", SHOWN, ids=[each.what for each in SHOWN])
def test_divergences_are_real(divergence: Divergence, server_binary: ServerBinary) -> None:
    """Each divergence that commands can show is one: it is taken off the list when it is mended."""
    version = server_binary.version
    if divergence.since is not None and (server_binary.kind, version) < ("redis", divergence.since):
        pytest.skip(f"came with Redis {divergence.since}")
    if server_binary.kind != "redis" or (divergence.what.startswith("commands newer") and version >= (7, 4, 0)):
        pytest.skip("about Redis 7.0")
    with (
        PrivateServer(server_binary) as server,
        redis.Redis.from_url(server.url) as real_client,
        EmbeddedServer(version=version).client() as client,
    ):
        assert outcome(real_client, divergence.try_it) != outcome(client, divergence.try_it)


def test_divergences_say_something() -> None:
    """The list is what users read: complete sentences' worth, each subject once."""
    assert len({each.what for each in DIVERGENCES}) == len(DIVERGENCES)
    assert all(each.real and each.embedded for each in DIVERGENCES)
    assert EmbeddedServer.divergences is DIVERGENCES
