"""The embedded server's socket: other processes share it, whoever goes is noticed, and nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from fakeredis._socket import FakeSocket

from streamlab.servers.client import ServerUnusable
from streamlab.servers.embedded import EmbeddedServer, listening
from streamlab.servers.private import PrivateServer
from tests.conftest import Eventually
from tests.differential.wire import Connection

PATIENCE = 20.0  # seconds after which a test fails that would hang


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    server = EmbeddedServer()
    yield server
    server.close()


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[redis.Redis]:
    """A client within this process."""
    with server.client() as client:
        yield client


@pytest.fixture
def reach(server: EmbeddedServer) -> Iterator[Callable[..., Connection]]:
    """Make raw connections over the socket, which are closed at the end."""
    with ExitStack() as stack:

        def connect(protocol: int = 2) -> Connection:
            connection = Connection(path_of(server), protocol, exact=True)
            stack.callback(connection.close)
            return connection

        yield connect


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start programs of one's own, with arguments; they end with the test."""
    with ExitStack() as stack:

        def run(program: str, *args: str) -> subprocess.Popen[str]:
            process = stack.enter_context(
                subprocess.Popen([sys.executable, "-c", program, *args], stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            return process

        yield run


def path_of(server: EmbeddedServer) -> str:
    return server.url.removeprefix("unix://")


def blocked(server: EmbeddedServer, n: int, eventually: Eventually) -> None:
    eventually(lambda: server._server.n_blocked == n, f"{n} clients should be blocked")


def n_handles() -> int:
    gc.collect()  # what earlier tests have left is not ours
    return len(os.listdir("/proc/self/fd"))


# ---- other processes ---------------------------------------------------------------------------

PRODUCER = """
import sys
import redis
r = redis.Redis.from_url(sys.argv[1])
r.xgroup_create("orders", "billing", id="0", mkstream=True)
for n in range(60):
    r.xadd("orders", {"n": n})
"""
# Text or bytes, as sys.argv says; stands still with four entries when it has been given the one that is named.
CONSUMER = """
import sys, time
import redis
url, name, settings, until = sys.argv[1:]
r = redis.Redis.from_url(url, **eval(settings))
done = 0
while True:
    reply = r.xreadgroup("billing", name, {"orders": ">"}, count=4, block=200)
    for _, entries in reply.items() if isinstance(reply, dict) else reply or []:
        if done >= int(until):
            print("holds", *(str(i) for i, _ in entries), flush=True)
            time.sleep(60)
        for entry_id, fields in entries:
            r.xack("orders", "billing", entry_id)
            done += 1
    if not reply:
        print("done", done, flush=True)
        break
"""


def test_one_produces_two_consume_one_is_killed(
    server: EmbeddedServer, client: redis.Redis, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """Plain redis-py programs share the server with this process; what a killed one held is recovered by others."""
    url = server.url
    assert start(PRODUCER, url).wait(PATIENCE) == 0
    assert client.xlen("orders") == 60
    doomed = start(CONSUMER, url, "doomed", "{}", "8")
    assert doomed.stdout is not None
    held = doomed.stdout.readline().split()
    assert held[0] == "holds"
    assert len(held) == 5
    other = start(CONSUMER, url, "other", "{'decode_responses': True}", "1000")
    assert other.stdout is not None
    assert other.stdout.readline() == "done 48\n"
    doomed.kill()
    doomed.wait(PATIENCE)
    pending = client.xpending_range("orders", "billing", "-", "+", 10)
    assert {each["consumer"] for each in pending} == {"doomed"}
    # Two of the four by their own history, as the consumer would that is started again; the others by XAUTOCLAIM.
    with redis.Redis.from_url(url) as again:
        history = again.xreadgroup("billing", "doomed", {"orders": "0"}, count=2)
        for entry_id, _ in history[0][1] if isinstance(history, list) else history[b"orders"][0]:
            assert again.xack("orders", "billing", entry_id) == 1
    with redis.Redis.from_url(url, decode_responses=True) as rescuer:
        _, claimed, _ = rescuer.xautoclaim("orders", "billing", "rescuer", 0)
        assert [fields["n"] for _, fields in claimed] == [fields["n"] for _, fields in client.xrange("orders")[10:12]]
        assert rescuer.xack("orders", "billing", *(entry_id for entry_id, _ in claimed)) == 2
    assert client.xpending("orders", "billing")["pending"] == 0


BLOCKED = """
import sys
import redis
r = redis.Redis.from_url(sys.argv[1], socket_timeout=None)
r.xreadgroup("g", "killed", {"s": ">"}, block=0)
"""


def test_a_killed_reader_is_given_nothing(
    server: EmbeddedServer, client: redis.Redis, start: Callable[..., subprocess.Popen[str]], eventually: Eventually
) -> None:
    """A process that is killed while it waits is gone for the very next entry, as it is on a real server."""
    client.xgroup_create("s", "g", mkstream=True)
    reader = start(BLOCKED, server.url)
    eventually(lambda: server._server.n_blocked == 1, "it should be blocked", timeout=PATIENCE)
    reader.send_signal(signal.SIGKILL)
    reader.wait(PATIENCE)
    client.xadd("s", {"f": "1"})
    assert client.xpending("s", "g")["pending"] == 0


READ = ["XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "BLOCK", "0", "STREAMS", "s", ">"]


@pytest.mark.parametrize("by", ["within", "over the socket", "in a transaction"])
def test_whoever_hangs_up_is_given_nothing(
    server: EmbeddedServer, client: redis.Redis, reach: Callable[..., Connection], eventually: Eventually, by: str
) -> None:
    """The same, at once and time and again, whoever adds; also if more commands of the reader's are under way."""
    client.xgroup_create("s", "g", mkstream=True)
    other = reach()
    for n in range(30):
        reader = Connection(path_of(server))
        reader.send(READ, ("PING",))
        blocked(server, 1, eventually)
        reader.close()
        if by == "within":
            client.xadd("s", {"f": "1"})
        elif by == "over the socket":
            other.ask("XADD", "s", "*", "f", "1")
        else:
            client.pipeline().xadd("s", {"f": "1"}).execute()
        assert client.xpending("s", "g")["pending"] == 0, n
        client.xgroup_setid("s", "g", "$")


def test_a_list_loses_nothing_to_the_dead(
    server: EmbeddedServer, client: redis.Redis, reach: Callable[..., Connection], eventually: Eventually
) -> None:
    """BLPOP by somebody who has hung up takes nothing; by somebody who waits it does, whoever pushes."""
    for n in range(10):
        dead = Connection(path_of(server))
        dead.send(("BLPOP", "list", "0"), ("SET", "late", "1"))
        blocked(server, 1, eventually)
        dead.close()
        client.rpush("list", n)
        assert client.lpop("list") == str(n)
    blocked(server, 0, eventually)
    living, pusher = reach(), reach()
    living.send(("BLPOP", "list", "0"), ("GET", "late"))
    blocked(server, 1, eventually)
    pusher.ask("RPUSH", "list", "x")
    assert [living.receive(), living.receive()] == [["list", "x"], None]
    living.send(("BLPOP", "list", "0"))
    blocked(server, 1, eventually)
    client.rpush("list", "y")
    assert living.receive() == ["list", "y"]


def test_a_list_loses_nothing_to_who_has_just_died(
    server: EmbeddedServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """Not even if the client goes, and the element comes, after the loop has looked and before it acts."""
    dead = Connection(path_of(server))
    dead.send(("BLPOP", "list", "0"))
    blocked(server, 1, eventually)
    listener = server._listener
    assert listener is not None
    select = listener._selector.select

    def look_and_be_late(_: float | None = None) -> Any:
        monkeypatch.undo()
        found = select(0)
        dead.close()
        client.rpush("list", "x")
        return found

    monkeypatch.setattr(listener._selector, "select", look_and_be_late)
    listener.loop.call_soon_threadsafe(lambda: None)
    blocked(server, 0, eventually)
    assert client.lpop("list") == "x"


def test_all_wait_in_one_queue(
    server: EmbeddedServer, client: redis.Redis, reach: Callable[..., Connection], eventually: Eventually
) -> None:
    """Readers in threads, in event loops and in other processes are served in the order in which they came."""
    client.xgroup_create("s", "g", mkstream=True)
    got: dict[int, str] = {}

    def first_id(reply: Any) -> str:
        return str(reply[0][1][0][0])

    async def scenario() -> None:
        async with server.async_client() as looping:
            tasks: list[asyncio.Task[Any]] = []
            remote: dict[int, Connection] = {}
            for number in range(9):
                if number % 3 == 0:
                    remote[number] = reach()
                    remote[number].send(READ)
                else:
                    within = looping if number % 3 == 1 else client
                    read = within.xreadgroup
                    arguments = ("g", "c", {"s": ">"}, 1, 0)
                    waiting = read(*arguments) if within is looping else asyncio.to_thread(read, *arguments)
                    task = asyncio.create_task(waiting)
                    task.add_done_callback(
                        lambda done, number=number: got.update({number: first_id(done.result())})  # type: ignore[misc]
                    )
                    tasks.append(task)
                async with asyncio.timeout(PATIENCE):
                    while server._server.n_blocked != number + 1:
                        await asyncio.sleep(0.001)
            adder = reach()
            for n in range(9):
                if n % 2:
                    adder.ask("XADD", "s", f"{n + 1}-0", "f", "1")
                else:
                    await looping.xadd("s", {"f": "1"}, id=f"{n + 1}-0")
            await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
            got.update({number: first_id(each.receive()) for number, each in remote.items()})

    asyncio.run(scenario())
    assert got == {n: f"{n + 1}-0" for n in range(9)}


def test_asyncio_clients(server: EmbeddedServer, client: redis.Redis) -> None:
    """redis-py's asyncio clients of the URL read, wait, pipeline and subscribe."""

    async def scenario() -> None:
        async with (
            redis.asyncio.Redis.from_url(server.url, decode_responses=True) as one,
            redis.asyncio.Redis.from_url(server.url, decode_responses=True, protocol=2) as two,
        ):
            await one.xgroup_create("s", "g", mkstream=True)
            reading = asyncio.create_task(two.xreadgroup("g", "c", {"s": ">"}, block=2000))
            async with asyncio.timeout(PATIENCE):
                while not server._server.n_blocked:
                    await asyncio.sleep(0.001)
            replies = await one.pipeline().set("a", 1).xadd("s", {"f": "1"}, id="1-1").execute()
            assert replies == [True, "1-1"]
            assert await reading == [["s", [("1-1", {"f": "1"})]]]
            async with one.pubsub() as subscriber:
                await subscriber.subscribe("c")
                assert (await subscriber.get_message(timeout=PATIENCE))["type"] == "subscribe"
                await asyncio.to_thread(client.publish, "c", "m")
                message = await subscriber.get_message(timeout=PATIENCE)
                assert (message["type"], message["data"]) == ("message", "m")

    asyncio.run(scenario())


# ---- messages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3])
def test_messages_keep_their_order(
    server: EmbeddedServer, client: redis.Redis, reach: Callable[..., Connection], protocol: int
) -> None:
    """A subscriber gets what this and other processes publish, in that order; with RESP3 as pushes."""
    subscriber, publisher = reach(protocol), reach()
    subscriber.ask("SUBSCRIBE", "c")
    for n in range(200):
        if n % 2:
            client.publish("c", str(n))
        else:
            publisher.ask("PUBLISH", "c", str(n))
    subscriber.send(("PING",))
    got = [subscriber.receive() for _ in range(201)]
    assert got[:200] == [["message", "c", str(n)] for n in range(200)]
    assert {type(each).__name__ for each in got[:200]} == {"Push" if protocol == 3 else "list"}
    assert got[200] == (["pong", ""] if protocol == 2 else "PONG")


def test_a_subscriber_that_does_not_read_is_cut(
    server: EmbeddedServer,
    client: redis.Redis,
    reach: Callable[..., Connection],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
) -> None:
    """What it leaves unread does not fill the memory: there is a limit, as there is in Redis."""
    monkeypatch.setattr(listening, "_PUBSUB_LIMIT", 1 << 20)
    reach().ask("SUBSCRIBE", "c")
    eventually(lambda: client.publish("c", "x" * 100_000) == 0, "it should be cut", timeout=PATIENCE)


# ---- bytes -------------------------------------------------------------------------------------


def test_commands_come_in_pieces(server: EmbeddedServer, reach: Callable[..., Connection]) -> None:
    """A command that arrives byte by byte is the same command; nothing happens before its end."""
    connection, other = reach(), reach()
    command = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\na\r\nb\n\r\n*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"
    for n in range(len(command)):
        connection._socket.sendall(command[n : n + 1])
        if n == 31:
            assert other.ask("EXISTS", "key") == 0
    assert [connection.receive(), connection.receive()] == ["OK", "a\r\nb\n"]


def test_large_values(server: EmbeddedServer, client: redis.Redis) -> None:
    """A megabyte, of any bytes, goes in and comes out as it is; so does a pipeline of many replies."""
    big = bytes(range(256)) * 4096
    with redis.Redis.from_url(server.url) as other:
        other.xadd("s", {"f": big}, id="1-1")
        assert other.xrange("s") == [(b"1-1", {b"f": big})]
        pipeline = other.pipeline(transaction=False)
        for n in range(20_000):
            pipeline.echo(n)
        assert pipeline.execute() == [b"%d" % n for n in range(20_000)]
    with server.client(decode_responses=False) as within:
        assert within.xrange("s") == [(b"1-1", {b"f": big})]


def test_a_slow_reader_keeps_nobody_waiting(
    server: EmbeddedServer, client: redis.Redis, reach: Callable[..., Connection]
) -> None:
    """Who asks for much and does not read it gets it later; meanwhile others are served, and it may ask for more."""
    client.set("big", "x" * (1 << 20))
    slow, other = reach(), reach()
    slow.send(*[("GET", "big")] * 20, ("PING",))
    for n in range(100):
        assert other.ask("INCR", "n") == n + 1
    assert client.get("n") == "100"
    slow.send(("INCR", "n"))
    assert [len(str(slow.receive())) for _ in range(20)] == [1 << 20] * 20
    assert [slow.receive(), slow.receive()] == ["PONG", 101]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"*1\r\n+PING\r\n", "ERR Protocol error: expected '$', got '+'"),
        (b"*x\r\n", "ERR Protocol error: invalid multibulk length"),
        (b"*9999999999\r\n", "ERR Protocol error: invalid multibulk length"),
        (b"*1\r\n$-1\r\n", "ERR Protocol error: invalid bulk length"),
        (b"*1\r\n$9999999999\r\n", "ERR Protocol error: invalid bulk length"),
        (b'PING "x\r\n', "ERR Protocol error: unbalanced quotes in request"),
        (b"x" * 70_000, "ERR Protocol error: too big inline request"),
        (b"*1" + b"1" * 70_000, "ERR Protocol error: too big mbulk count string"),
        (b"*1\r\n$" + b"1" * 70_000, "ERR Protocol error: too big bulk count string"),
    ],
    ids=lambda value: value[:12].decode() if isinstance(value, bytes) else "",
)
@pytest.mark.parametrize("kind", ["embedded", pytest.param("real", marks=pytest.mark.redis)])
def test_what_is_no_command(
    request: pytest.FixtureRequest, server: EmbeddedServer, kind: str, sent: bytes, said: str
) -> None:
    """Bad protocol ends its connection with Redis' own words, after what came before; others go on."""
    path = path_of(server)
    if kind == "real":
        path = request.getfixturevalue("redis_url").removeprefix("unix://")
    connection, other = Connection(path), Connection(path)
    connection._socket.sendall(b"*1\r\n$4\r\nPING\r\n" + sent)
    assert connection.receive() == "PONG"
    assert str(connection.receive()) == said
    with pytest.raises(ConnectionError):
        connection.receive()
    assert other.ask("PING") == "PONG"
    connection.close()
    other.close()


def test_typed_by_hand(reach: Callable[..., Connection]) -> None:
    """A line is a command, too, as with netcat; empty lines and empty commands are none."""
    connection = reach()
    connection._socket.sendall(b"\r\n*0\r\n*-1\r\nset key 'a b'\nGET key\r\n*1\r\n$4\r\nPING\r\n")
    assert [connection.receive() for _ in range(3)] == ["OK", "a b", "PONG"]


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="no redis-cli here")
def test_redis_cli(server: EmbeddedServer) -> None:
    """redis-cli speaks to it, by RESP2 and RESP3."""
    for protocol in ("-2", "-3"):
        words = ["redis-cli", "-s", path_of(server), protocol, "XADD", "s", "*", "f", "1"]
        said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=PATIENCE)
        assert said.stdout.strip().endswith("-0"), said.stdout
    assert server.client().xlen("s") == 2


# ---- connections -------------------------------------------------------------------------------


def test_the_server_names_itself(reach: Callable[..., Connection]) -> None:
    """HELLO tells version and protocol, keeps the protocol if none is named, and refuses others."""
    connection = reach(3)
    told = connection.ask("HELLO")
    assert isinstance(told, list)
    figures = dict(zip(told[::2], told[1::2], strict=True))
    assert (figures["server"], figures["version"], figures["proto"]) == ("redis", "7.0.15", 3)
    assert str(connection.ask("HELLO", "4")) == "NOPROTO unsupported protocol version"
    assert "not an integer" in str(connection.ask("HELLO", "x"))
    assert connection.ask("INCRBYFLOAT", "x", "1.5") == "1.5"


def test_clients_are_listed_and_killed(
    server: EmbeddedServer, client: redis.Redis, reach: Callable[..., Connection]
) -> None:
    """CLIENT LIST names those of other processes; CLIENT KILL ends one, or its own after the reply."""
    with redis.Redis.from_url(server.url, client_name="visitor") as visitor:
        visitor.ping()
        listed = {each["id"]: each for each in client.client_list()}
        mine = listed[str(visitor.client_id())]
        assert (mine["name"], mine["lib-name"]) == ("visitor", "redis-py")
        assert mine["addr"] == f"{path_of(server)}:0"
    victim, other = reach(), reach()
    number = str(victim.ask("CLIENT", "ID"))
    assert other.ask("CLIENT", "KILL", "ID", number) == 1
    with pytest.raises(ConnectionError):
        victim.receive()
    own = str(other.ask("CLIENT", "ID"))
    other.send(("CLIENT", "KILL", "ID", own, "SKIPME", "no"), ("SET", "k", "v"))
    assert other.receive() == 1
    with pytest.raises(ConnectionError):
        other.receive()
    assert client.exists("k") == 0


def test_a_blocked_reader_is_killed_or_unblocked(
    server: EmbeddedServer, client: redis.Redis, reach: Callable[..., Connection], eventually: Eventually
) -> None:
    """CLIENT UNBLOCK and CLIENT KILL end a read in another process, which is given nothing; BLPOP, too."""
    client.xgroup_create("s", "g", mkstream=True)
    for command in (READ, ["BLPOP", "list", "0"]):
        reader = reach()
        number = int(str(reader.ask("CLIENT", "ID")))
        for error in (False, True):
            reader.send(command)
            blocked(server, 1, eventually)
            assert client.client_unblock(number, error=error) == 1
            reply = reader.receive()
            assert str(reply).startswith("UNBLOCKED") if error else reply == []
        reader.send(command, ("SET", "late", "1"))
        blocked(server, 1, eventually)
        assert client.client_kill_filter(_id=number) == 1
        with pytest.raises(ConnectionError):
            reader.receive()
    client.xadd("s", {"f": "1"})
    client.rpush("list", "x")
    assert client.xpending("s", "g")["pending"] == 0
    assert (client.llen("list"), client.exists("late")) == (1, 0)


def test_quit(reach: Callable[..., Connection], client: redis.Redis) -> None:
    """QUIT is answered, and what stands behind it is not executed."""
    connection = reach()
    connection.send(("QUIT",), ("SET", "k", "v"))
    assert connection.receive() == "OK"
    with pytest.raises(ConnectionError):
        connection.receive()
    assert client.exists("k") == 0


def test_a_mistake_of_the_servers_is_told(reach: Callable[..., Connection], monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that breaks something inside is answered with an error; its connection and others go on."""

    def breaks(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(FakeSocket, "echo", breaks)
    connection = reach()
    assert "made a mistake" in str(connection.ask("ECHO", "x"))
    assert connection.ask("PING") == "PONG"


def test_who_is_gone_leaves_nothing(server: EmbeddedServer, eventually: Eventually) -> None:
    """Fifty clients that come and go leave no thread, no handle and no connection behind."""
    with redis.Redis.from_url(server.url) as first:
        first.ping()
    eventually(lambda: not server._server.sockets, "it should be forgotten")
    before = n_handles(), threading.active_count()
    for n in range(50):
        with redis.Redis.from_url(server.url, decode_responses=bool(n % 2)) as client:
            client.xadd("s", {"f": "1"})
            with client.pubsub() as subscriber:
                subscriber.subscribe("c")
    gc.collect()
    eventually(lambda: not server._server.sockets, "all should be forgotten")
    assert (n_handles(), threading.active_count()) == before


def test_no_more_handles(
    server: EmbeddedServer, reach: Callable[..., Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this process may open no more files, who connects waits until it may."""
    reach()
    accept = listening.socket.socket.accept
    n_refused = 0

    def refused(self: Any) -> Any:
        nonlocal n_refused
        n_refused += 1
        if n_refused < 3:
            raise OSError(24, "Too many open files")
        return accept(self)

    monkeypatch.setattr(listening.socket.socket, "accept", refused)
    assert reach().ask("PING") == "PONG"
    assert n_refused >= 3


# ---- from the first use to the end -------------------------------------------------------------


def test_opened_on_first_use(eventually: Eventually) -> None:
    """Nothing is opened before it is asked for; folder and socket are its owner's; with close() all of it is gone."""
    before = n_handles(), threading.active_count()
    server = EmbeddedServer()
    assert (n_handles(), threading.active_count()) == before
    url = server.url
    assert server.url == url
    folder = Path(path_of(server)).parent
    assert [stat.S_IMODE(each.stat().st_mode) for each in (folder, *folder.iterdir())] == [0o700] * 2
    reader = Connection(path_of(server))
    reader.send(("XREAD", "BLOCK", "0", "STREAMS", "s", "$"))
    blocked(server, 1, eventually)
    server.close()
    with pytest.raises(ConnectionError):
        reader.receive()
    reader.close()
    assert not folder.exists()
    assert (n_handles(), threading.active_count()) == before
    server.close()
    with pytest.raises(ServerUnusable, match="has been closed"):
        server.url  # noqa: B018


def test_closed_while_a_list_is_waited_for(eventually: Eventually) -> None:
    """A server that is closed under a BLPOP ends as well."""
    server = EmbeddedServer()
    waiting = Connection(path_of(server))
    waiting.send(("BLPOP", "list", "0"))
    blocked(server, 1, eventually)
    thread = threading.Thread(target=server.close, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    with pytest.raises(ConnectionError):
        waiting.receive()
    waiting.close()


def test_a_dropped_server_is_closed(eventually: Eventually) -> None:
    """It goes with its object, even if the garbage collector finds that while a command is executed."""
    server = EmbeddedServer()
    connection = Connection(path_of(server))
    folder, inside = Path(path_of(server)).parent, server._server
    owners = [server]
    del server

    def drop() -> None:
        with inside.lock:
            connection.send(("PING",))  # its thread waits for the lock
            owners.clear()
            gc.collect()

    n_threads = threading.active_count()
    within(PATIENCE, drop)
    assert not folder.exists()
    eventually(lambda: threading.active_count() == n_threads - 1, "its thread should end")
    connection.close()


@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise RuntimeError", "os._exit(1)", "os.kill(os.getpid(), 9)"])
def test_it_goes_with_its_process(ending: str, eventually: Eventually) -> None:
    """However the process ends, even if it is killed, the folder is removed, and whoever waits is told."""
    program = (
        "import os, sys\n"
        "from streamlab.servers.embedded import EmbeddedServer\n"
        "server = EmbeddedServer()\n"
        "print(server.url, flush=True)\n"
        "sys.stdin.readline()\n"
        f"{ending}\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip().removeprefix("unix://"))
        reader = Connection(str(path))
        reader.send(("XREAD", "BLOCK", "0", "STREAMS", "s", "$"))
        assert path.exists()
        process.communicate("\n", timeout=PATIENCE)
        with pytest.raises(ConnectionError):
            reader.receive()
        reader.close()
    eventually(lambda: not path.parent.exists(), "the folder should be gone", timeout=PATIENCE)


FORK = """
import os, sys, threading
from streamlab.servers.client import ServerUnusable
from streamlab.servers.embedded import EmbeddedServer
from tests.differential.wire import Connection

server = EmbeddedServer()
path = server.url.removeprefix("unix://")
client = server.client()
client.xgroup_create("s", "g", mkstream=True)
reader, other = Connection(path), Connection(path)
reader.send("XREADGROUP GROUP g c BLOCK 0 STREAMS s >".split())
while server._server.n_blocked != 1:
    pass
read_end, write_end = os.pipe()
is_set_up, tell = os.pipe()
child = os.fork()
if child == 0:
    os.close(write_end)
    assert threading.active_count() == 1
    try:
        server.url
    except ServerUnusable as error:
        assert "fork" in str(error)
    else:
        raise AssertionError
    own = EmbeddedServer()
    assert Connection(own.url.removeprefix("unix://")).ask("PING") == "PONG"
    copy = server.client()  # a copy of the data, without those who wait
    copy.xadd("s", {"f": "1"})
    assert copy.xpending("s", "g")["pending"] == 0
    reader._socket.close()
    other._socket.close()
    os.write(tell, b".")
    os.read(read_end, 1)  # lives on until the parent has looked
    sys.exit(0)  # with all that is done at exit
os.close(read_end)
os.close(tell)
assert os.read(is_set_up, 1) == b".", "the child failed"
assert other.ask("XLEN", "s") == 0
reader.close()
client.xadd("s", {"f": "1"})
assert client.xpending("s", "g")["pending"] == 0  # the child keeps no end of the connection
late = Connection(path)
assert late.ask("PING") == "PONG"
client.client_kill_filter(_id=late.ask("CLIENT", "ID"))
try:
    late.receive()
except ConnectionError:
    pass
else:
    raise AssertionError
os.close(write_end)
assert os.waitpid(child, 0)[1] == 0
assert other.ask("PING") == "PONG"
assert os.path.exists(path)
print("fine")
"""


def test_a_fork_does_not_serve() -> None:
    """A forked child serves nobody, holds nothing open, and leaves the socket alone when it ends."""
    said = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=False)
    assert said.stdout == "fine\n", said.stderr


def test_no_unix_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are none, the error says what to do; clients within the process work all the same."""
    server = EmbeddedServer()
    with monkeypatch.context() as patch:
        patch.setattr(listening.os, "name", "nt")
        with pytest.raises(ServerUnusable, match=r"connect by URL.*WSL"):
            server.url  # noqa: B018
    with server.client() as client:
        assert client.ping()


def test_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it cannot be opened, the error says why, nothing is left behind, and asking again is allowed."""
    server = EmbeddedServer()
    before = n_handles(), threading.active_count()

    def refuse(*_: object, **__: object) -> Path:
        raise OSError(28, "No space left on device")

    for place, name in ((listening, "private_folder"), (listening.os, "chmod")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, refuse)
            with pytest.raises(ServerUnusable, match="No space left"):
                server.url  # noqa: B018
        assert (n_handles(), threading.active_count()) == before
    assert server.url.startswith("unix://")
    server.close()


# ---- clients that are dropped ------------------------------------------------------------------


def within(seconds: float, call: Callable[[], object]) -> None:
    """Call, in a thread, and fail rather than hang."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"


def test_a_client_may_be_freed_at_any_moment(server: EmbeddedServer) -> None:
    """The garbage collector frees a client in the midst of a command, and its reader is given nothing."""
    with server.client() as other:
        other.xgroup_create("s", "g", mkstream=True)

        def drop() -> None:
            client = server.client().client()
            assert client.connection is not None
            client.connection.send_command(*READ)
            assert server._server.n_blocked == 1
            with server._server.lock:  # as while a command is executed
                del client
                gc.collect()

        within(PATIENCE, drop)
        other.xadd("s", {"f": "1"})
        assert other.xpending("s", "g")["pending"] == 0
        assert other.info("clients")["connected_clients"] == 1


def test_dropped_clients_by_the_hundred(server: EmbeddedServer) -> None:
    """Clients that nobody closes, with errors that hold them for a while, do no harm."""
    url = server.url

    def drop() -> None:
        for n in range(200):
            client = redis.Redis.from_url(url) if n % 4 == 0 else server.client()
            try:
                client.xgroup_create("s", "g", id="0", mkstream=True)
            except redis.ResponseError as error:
                assert "BUSYGROUP" in str(error)  # noqa: PT017
            for _ in range(20):
                client.xadd("s", {"f": "1"}, maxlen=100)

    within(60, drop)


# ---- beside a real server ----------------------------------------------------------------------

ON_KEYS = """
PING;PING hello;ECHO x;SET k v;SET k v NX;SET k w GET;GET k;GET nosuch;APPEND k x;STRLEN k;INCR n;INCR k
INCRBYFLOAT f 1.5;MSET a 1 b 2;MGET a b nosuch;DEL a b;EXISTS k;TYPE k;TYPE nosuch;TTL k;EXPIRE k 100;PERSIST k
RENAME nosuch x;KEYS k*;HSET h f 1 g 2;HGET h f;HGETALL h;HGETALL nosuch;HINCRBYFLOAT h f 0.5;HMGET h f x
LPUSH l a b c;LRANGE l 0 -1;LPOP l;LPOP l 2;LPOP nosuch;LPOP nosuch 2;LSET nosuch 0 y;LMPOP 1 nosuch LEFT
BLPOP nosuch 0.01;BZPOPMIN nosuch 0.01;SADD s a;SMEMBERS s;SMEMBERS nosuch;SINTER s s;SUNION s s;SDIFF s nosuch
SPOP s 2;SPOP s;ZADD z 1 a 2.5 b;ZADD z INCR 1 a;ZADD z NX INCR 1 a;ZSCORE z a;ZSCORE z x;ZRANGE z 0 -1 WITHSCORES
ZINCRBY z 0.1 a;ZPOPMIN z;ZPOPMIN nosuch;ZMPOP 1 nosuch MIN;ZADD z 1 a;BZPOPMIN z 1;SELECT 99;MULTI;SET k v;GET k
NOSUCH;EXEC;MULTI;SET k v;GET k;INCR k;SMEMBERS s;HGETALL h;ZSCORE z a;XADD t 1-1 f 1;XLEN k;EXEC;EXEC;DISCARD
MULTI;DISCARD;WATCH k;SET k 1;MULTI;GET k;EXEC;UNWATCH;CLIENT SETNAME me;CLIENT GETNAME;CLIENT KILL ID 99999
CLIENT UNBLOCK 99999;PUBLISH c m;SUBSCRIBE c;PING;PING x;UNSUBSCRIBE c;UNSUBSCRIBE;PSUBSCRIBE p*;PUNSUBSCRIBE;GET
get k;nosuch;NOSUCH a b c;XLEN;XADD t;XGROUP NOSUCH;HELLO 4;HELLO x;RESET;FLUSHALL;QUIT
""".strip().replace("\n", ";")


@pytest.mark.redis
@pytest.mark.parametrize("protocol", [2, 3])
def test_bytes_are_those_of_a_real_server(protocol: int) -> None:
    """Commands on keys, messages, transactions and errors are answered with the same bytes.

    (Those on streams are compared in `tests.differential`.)
    """
    answers: list[list[tuple[str, str]]] = []
    with PrivateServer() as real, ExitStack() as stack:
        embedded = EmbeddedServer(version=real.version)
        stack.callback(embedded.close)
        for path in (str(real.socket_path), path_of(embedded)):
            connection = Connection(path, protocol, exact=True)
            stack.callback(connection.close)
            got = []
            for line in ON_KEYS.split(";"):
                connection.send(line.split())
                got.append((line, shown(connection.receive_any())))
            answers.append(got)
    assert answers[0] == answers[1]


def shown(reply: object) -> str:
    """Tell a reply with its form."""
    if isinstance(reply, list):
        return f"{type(reply).__name__}[{', '.join(map(shown, reply))}]"
    if isinstance(reply, dict):
        return f"{{{', '.join(f'{shown(key)}: {shown(value)}' for key, value in reply.items())}}}"
    return f"{type(reply).__name__}({reply})"


@pytest.mark.alone("compares times")
def test_it_is_quick_enough(server: EmbeddedServer) -> None:
    """A reader in another process that waits is told at once, not when somebody looks at it the next time."""
    with redis.Redis.from_url(server.url) as reader, server.client() as client:
        took = []
        for _ in range(5):
            threading.Timer(0.02, lambda: client.xadd("s", {"f": "1"})).start()
            reader.xread({"s": "$"}, block=5000)
            added_ms = int(client.xinfo_stream("s")["last-generated-id"].split("-")[0])
            took.append(time.time() - added_ms / 1000)
        assert min(took) < 0.05, took
