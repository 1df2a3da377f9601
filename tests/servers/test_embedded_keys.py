"""Streams among the other keys of the embedded server, and as fakeredis never sees them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from random import Random
from typing import Any

import pytest
import redis

from streamlab.actors import scripts
from streamlab.servers.embedded import EmbeddedServer
from tests.conftest import Eventually
from tests.differential.compare import random_steps
from tests.redis_targets import Client


@pytest.fixture
def client(clients: Callable[[], Client]) -> Client:
    return clients()


# ---- among the other keys ----------------------------------------------------------------------


def test_a_stream_is_a_key_like_others(client: Client) -> None:
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


def test_rename(client: Client) -> None:
    """RENAME takes entries and groups along; RENAMENX overwrites nothing."""
    client.xadd("s", {"f": "1"}, id="1-1")
    client.xgroup_create("s", "g", id="0")
    client.rename("s", "t")
    assert client.exists("s") == 0
    assert client.xreadgroup("g", "c", {"t": ">"}) == [["t", [("1-1", {"f": "1"})]]]
    client.xadd("s", {"f": "2"})
    assert client.renamenx("s", "t") is False


def test_copies_are_apart(client: Client) -> None:
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


def test_databases(clients: Callable[[], Client]) -> None:
    """Each database has streams of its own; MOVE and SWAPDB take them from one to another."""
    client = clients()
    client.xadd("s", {"f": "1"})
    client.move("s", 3)
    assert client.xlen("s") == 0
    client.swapdb(0, 3)
    assert client.xlen("s") == 1


def test_expiry(client: Client, eventually: Eventually) -> None:
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


def test_wrong_types(client: Client) -> None:
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


def test_pipelines_and_transactions(client: Client) -> None:
    """Commands on streams and others mix in pipelines and transactions; an error does not stop the others."""
    for is_transaction in (True, False):
        client.flushall()
        pipeline = client.pipeline(transaction=is_transaction)
        pipeline.set("a", "1").xadd("s", {"f": "1"}, id="1-1").xlen("a").xlen("s").incr("a")
        replies = pipeline.execute(raise_on_error=False)
        assert [replies[n] for n in (0, 1, 3, 4)] == [True, "1-1", 1, 2]
        assert "WRONGTYPE" in str(replies[2])


def test_a_transaction_that_cannot_be_queued(client: Client) -> None:
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
def test_watch(clients: Callable[[], Client], command: str, is_noticed: bool) -> None:
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


def test_bytes_in_an_error(clients: Callable[[], Client]) -> None:
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


def test_bytes_where_text_has_to_be(client: Client) -> None:
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


def test_info(client: Client) -> None:
    """INFO tells the version, the clients and the keys."""
    client.xadd("s", {"f": "1"})
    assert client.info("server")["redis_version"]
    assert client.info("clients")["connected_clients"] >= 1
    assert client.info()["db0"]["keys"] == 1


def test_scripts_of_this_package_run(client: Client) -> None:
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


def test_users_who_may_not(clients: Callable[[], Client]) -> None:
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


def test_replies_that_are_not_wanted(clients: Callable[[], Client]) -> None:
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


def test_a_subscriber_may_not_ask_for_streams(clients: Callable[[], Client]) -> None:
    """With RESP2 a connection that has subscribed is refused anything else."""
    with clients().client() as client:
        connection = client.connection
        assert connection is not None
        connection.send_command("SUBSCRIBE", "c")
        assert connection.read_response() == ["subscribe", "c", 1]
        connection.send_command("XLEN", "s")
        with pytest.raises(redis.ResponseError, match="allowed in this context"):
            connection.read_response()
