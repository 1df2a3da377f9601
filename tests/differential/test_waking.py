"""What wakes a blocked reader: every way in which a key can change is tried on a server and on the embedded one.

The group has been set back before: whoever is looked at is given old entries, and else nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from streamlab.servers.embedded import EmbeddedServer

from .embedded import EmbeddedPair, Way
from .test_blocking import block, do
from .wire import Connection, Server

pytestmark = pytest.mark.redis

READERS = (
    "XREADGROUP GROUP g c BLOCK 0 STREAMS s >",
    "XREADGROUP GROUP g c BLOCK 0 STREAMS w s > >",
    "XREAD BLOCK 0 STREAMS s 3-0",
)
BEFORE = (
    *("XADD s 1-1 f 1", "XADD s 1-2 f 1", "XGROUP CREATE s g $", "XGROUP CREATE w g 0 MKSTREAM"),
    *("XADD t 5-1 f t", "XGROUP CREATE t g 0", "XADD u 5-1 f u", "SET k v", "RPUSH l 1", "SADD z 1", "HSET h f 1"),
)  # fmt: skip
# In a line with ";", a transaction; with "|", one after the other.
ACTS = """
PING / DEL s / UNLINK s / SET s x / SETEX s 10 x / GETSET s x / HSET s f 1 / TYPE s / EXISTS s / GETDEL s
RENAME s q / RENAME t s / RENAME u s / RENAME k s / RENAMENX t s / RENAMENX s q / RENAME s s | PING
COPY t s REPLACE / COPY u s REPLACE / COPY k s REPLACE / COPY t s / COPY s t REPLACE / COPY s q
MOVE s 1 | SELECT 1 | FLUSHDB | SELECT 0 / MOVE s 1 | SELECT 1 | MOVE s 0 | SELECT 0
MOVE t 1 | SELECT 1 | FLUSHDB | SELECT 0 / EXPIRE s 100 / PEXPIRE s 100000
EXPIREAT s 9999999999 / EXPIRE s 100 | PERSIST s / EXPIRE s 100 NX / EXPIRE s -1
EXPIRE s 0 / PEXPIREAT s 1 / EXPIRE s -1 XX / EXPIRE s -1 NX / EXPIRE k 100 / EXPIRE k -1 / EXPIRE t -1 / GETEX k EX 10
XGROUP DESTROY s g / XGROUP CREATE s h 0 / XGROUP CREATE s h 0 | XGROUP DESTROY s h / XGROUP DESTROY s nosuch
XGROUP CREATECONSUMER s g d / XGROUP DELCONSUMER s g c / XGROUP SETID s g 1-1 / XACK s g 1-1 / XCLAIM s g d 0 1-1 FORCE
XAUTOCLAIM s g d 0 0 / XREADGROUP GROUP g d COUNT 1 STREAMS s > / XPENDING s g / XINFO STREAM s
XDEL s 1-1 / XDEL s 1-1 1-2 / XTRIM s MAXLEN 1 / XTRIM s MAXLEN 0 / XSETID s 9-9 / XADD s 1-1 f 1 / XADD t 9-1 f 1
XADD s 9-1 f 1 / XADD s NOMKSTREAM 9-1 f 1 / XADD s MAXLEN 0 9-1 f 1 / XADD s MAXLEN 1 9-1 f 1 / XADD w 9-1 f 1
FLUSHALL / FLUSHDB / FLUSHALL ASYNC / SELECT 1 | FLUSHDB | SELECT 0 / SWAPDB 0 1 | FLUSHALL / SWAPDB 0 1 | SWAPDB 0 1
SWAPDB 2 3 / SORT l STORE s / SUNIONSTORE s z / SINTERSTORE s z nosuch / ZUNIONSTORE s 1 z / BITOP NOT s k
LMOVE l s LEFT LEFT / SMOVE z s 1 / ZADD s 1 a / SET k 2 / DEL k t / APPEND s x / PFADD s x / SETBIT s 1 1
DEL s ; XADD s 7-1 f 1 / DEL s ; XGROUP CREATE s g 0 MKSTREAM / XGROUP DESTROY s g ; XGROUP CREATE s g 0
RENAME s q ; RENAME q s / SET s x ; DEL s / EXPIRE s 100 ; PERSIST s / EXPIRE s -1 ; XADD s 9-9 f 1
XADD s 9-1 f 1 ; XDEL s 9-1
""".strip().replace("\n", " / ")


@pytest.fixture
def pair(real_server: Server) -> Iterator[EmbeddedPair]:
    pair = EmbeddedPair(real_server, Way("socket", 2, False))
    yield pair
    pair.close()


def test_whatever_happens_to_a_key(pair: EmbeddedPair) -> None:
    """A reader is woken by what wakes it on a server, with the same reply, and by nothing else."""
    n_woken = 0
    for act in ACTS.split(" / "):
        for reader in READERS:
            pair.reset()
            do(pair, *BEFORE)
            block(pair, 0, reader)
            do(pair, "XGROUP SETID s g 0", *act.split(" | "))
            n_woken += 0 in pair.woken
    assert n_woken > 50


@pytest.mark.parametrize(("key", "is_told"), [("s", True), ("k", False), ("t", False)])
def test_a_key_that_expires(real_server: Server, key: str, is_told: bool) -> None:
    """When nobody touches it, a key that expires wakes those who are blocked on it, and nobody else."""
    embedded = EmbeddedServer(version=real_server.as_redis)
    paths = (str(real_server.socket_path), embedded.url.removeprefix("unix://"))
    told = [reply_when_it_expires(path, key, is_told=is_told) for path in paths]
    embedded.close()
    assert told[0] == told[1]


def reply_when_it_expires(path: str, key: str, *, is_told: bool) -> str:
    """Return what a blocked reader is told when a key has expired; see that it waits on if it is told nothing."""
    main, reader = Connection(path), Connection(path)
    try:
        main.ask("FLUSHALL")
        for line in BEFORE:
            main.ask(*line.split())
        reader.send(READERS[0].split())
        deadline = time.monotonic() + 10
        while "blocked_clients:0" in str(main.ask("INFO", "clients")):
            assert time.monotonic() < deadline
        main.ask("XGROUP", "SETID", "s", "g", "0")
        n_keys = main.ask("DBSIZE")
        main.ask("PEXPIRE", key, "10")
        while main.ask("DBSIZE") == n_keys:
            assert time.monotonic() < deadline
        if is_told:
            return str(reader.receive())
        assert "blocked_clients:1" in str(main.ask("INFO", "clients"))
        assert reader.poll() is False
        return ""
    finally:
        main.close()
        reader.close()
