"""The embedded server's socket: bytes, connections, and a real server's answers beside its own."""

from __future__ import annotations

import gc
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import redis
import redis.asyncio
from fakeredis._socket import FakeSocket

from streamlab.servers.embedded import EmbeddedServer
from streamlab.servers.private import PrivateServer
from tests.conftest import Eventually
from tests.differential.wire import Connection
from tests.redis_targets import Client

# ---- bytes -------------------------------------------------------------------------------------
from tests.servers.embedded_helpers import PATIENCE, READ, assert_nothing_left, held, path_of, until_blocked


def test_commands_come_in_pieces(server: EmbeddedServer, reach: Callable[..., Connection]) -> None:
    """A command that arrives byte by byte is the same command; nothing happens before its end."""
    connection, other = reach(), reach()
    command = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\na\r\nb\n\r\n*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"
    for n in range(len(command)):
        connection._socket.sendall(command[n : n + 1])
        if n == 31:
            assert other.ask("EXISTS", "key") == 0
    assert [connection.receive(), connection.receive()] == ["OK", "a\r\nb\n"]


def test_large_values(server: EmbeddedServer, client: Client) -> None:
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
    server: EmbeddedServer, client: Client, reach: Callable[..., Connection]
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
    server: EmbeddedServer, client: Client, reach: Callable[..., Connection]
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
    server: EmbeddedServer, client: Client, reach: Callable[..., Connection], eventually: Eventually
) -> None:
    """CLIENT UNBLOCK and CLIENT KILL end a read in another process, which is given nothing; BLPOP, too."""
    client.xgroup_create("s", "g", mkstream=True)
    for command in (READ, ["BLPOP", "list", "0"]):
        reader = reach()
        number = int(str(reader.ask("CLIENT", "ID")))
        for error in (False, True):
            reader.send(command)
            until_blocked(server, 1, eventually)
            assert client.client_unblock(number, error=error) == 1
            reply = reader.receive()
            assert str(reply).startswith("UNBLOCKED") if error else reply == []
        reader.send(command, ("SET", "late", "1"))
        until_blocked(server, 1, eventually)
        assert client.client_kill_filter(_id=number) == 1
        with pytest.raises(ConnectionError):
            reader.receive()
    client.xadd("s", {"f": "1"})
    client.rpush("list", "x")
    assert client.xpending("s", "g")["pending"] == 0
    assert (client.llen("list"), client.exists("late")) == (1, 0)


def test_quit(reach: Callable[..., Connection], client: Client) -> None:
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
    before = held()
    for n in range(50):
        with redis.Redis.from_url(server.url, decode_responses=bool(n % 2)) as client:
            client.xadd("s", {"f": "1"})
            with client.pubsub() as subscriber:
                subscriber.subscribe("c")
    gc.collect()
    eventually(lambda: not server._server.sockets, "all should be forgotten")
    assert_nothing_left(before)


def test_no_more_handles(
    server: EmbeddedServer, reach: Callable[..., Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this process may open no more files, who connects waits until it may."""
    reach()
    accept = socket.socket.accept
    n_refused = 0

    def refused(self: Any) -> Any:
        nonlocal n_refused
        n_refused += 1
        if n_refused < 3:
            raise OSError(24, "Too many open files")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", refused)
    assert reach().ask("PING") == "PONG"
    assert n_refused >= 3


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


@pytest.mark.real_time("compares times")
def test_it_is_quick_enough(server: EmbeddedServer, eventually: Eventually) -> None:
    """A reader in another process that waits is told at once, not when somebody looks at it the next time."""
    with redis.Redis.from_url(server.url) as reader, server.client() as client, ThreadPoolExecutor() as threads:
        took = []
        for _ in range(5):
            reading = threads.submit(reader.xread, {"s": "$"}, block=4000)
            # "$" is where the stream ends when the command arrives, however late that is.
            until_blocked(server, 1, eventually)
            client.xadd("s", {"f": "1"})
            assert reading.result(PATIENCE)
            added_ms = int(client.xinfo_stream("s")["last-generated-id"].split("-")[0])
            took.append(time.time() - added_ms / 1000)
        assert min(took) < 0.05, took
