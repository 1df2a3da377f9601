"""What passes through a proxy, in the words of consumer groups: whatever the protocol, the shape or the pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import redis
import redis.asyncio

from streamlab.servers.proxy import Proxy
from streamlab.servers.proxy_events import GroupWatcher
from tests.conftest import Eventually


class Notes:
    """A witness that writes down what it hears; it lets no acknowledgement of what is `refused` pass."""

    def __init__(self, refused: str = "") -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.refused = refused

    def is_to_ack(self, ids: Sequence[str]) -> bool:
        return self.refused not in ids

    def is_to_have_effect(self, ids: Sequence[str]) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return lambda *values: self.heard.append((name, *values))

    def take(self) -> list[tuple[Any, ...]]:
        heard, self.heard = self.heard, []
        return [each for each in heard if each[0] != "cut"]


def run(program: Any, url: str, notes: Notes, **settings: Any) -> None:
    """Run a program with a client behind a proxy that is watched."""

    async def main() -> None:
        def watch() -> GroupWatcher:
            return GroupWatcher("orders", "billing", "effects", notes)

        async with Proxy(url, tcp=True, watch=watch) as proxy:
            client = redis.asyncio.Redis.from_url(proxy.url, decode_responses=True, **settings)
            try:
                await asyncio.wait_for(program(client), 10)
            finally:
                await client.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("protocol", [2, 3])
def test_what_a_program_does(redis_url: str, protocol: int) -> None:
    """Reads, histories, claims, acknowledgements, effects and groups are told, and those of other groups are not."""
    notes = Notes()

    async def program(client: redis.asyncio.Redis) -> None:
        await client.xgroup_create("orders", "billing", "0", mkstream=True)
        await client.xgroup_create("orders", "other", "0")
        assert notes.take() == [("recreated", "0")]
        for n in range(1, 4):
            await client.xadd("orders", {"n": n}, id=f"{n}-1")
        await client.xreadgroup("other", "C1", {"orders": ">"})
        assert notes.take() == []
        await client.xreadgroup("billing", "C1", {"orders": ">"}, count=2)
        assert notes.take() == [("asks", "C1", "new", 0), ("given", [("1-1", None), ("2-1", None)], "new")]
        await client.xreadgroup("billing", "C1", {"orders": "1-1"})
        assert notes.take() == [("asks", "C1", "history", 0), ("given", [("2-1", None)], "history")]
        await client.xautoclaim("orders", "billing", "C2", 0, count=1)
        assert notes.take() == [("asks", "C2", "claimed", 0), ("given", [("1-1", None)], "claimed")]
        await client.xclaim("orders", "billing", "C2", 60_000, ["2-1"])
        assert notes.take() == [("asks", "C2", "claimed", 60_000)]
        await client.xclaim("orders", "billing", "C2", 0, ["2-1"], justid=True)
        assert notes.take()[1:] == [("given", [("2-1", None)], "renamed")]
        await client.hincrby("effects", "1-1", 1)
        await client.hset("effects", "1-1", 2)
        await client.hsetnx("effects", "2-1", 1)
        await client.xadd("somewhere", {"id": "2-1"})
        assert notes.take() == [("effect", "1-1"), ("effect", "2-1")]
        assert await client.xack("orders", "billing", "1-1", "9-9") == 1
        await client.xack("orders", "other", "1-1")
        assert notes.take() == [("acked", ["1-1", "9-9"], 1)]
        await client.xdel("orders", "2-1")
        await client.xreadgroup("billing", "C2", {"orders": "0"})
        assert notes.take()[1:] == [("found_gone", ["2-1"])]
        await client.xreadgroup("billing", "C1", {"orders": ">"}, noack=True)
        assert notes.take()[1:] == [("given", [("3-1", None)], "new"), ("acked", ["3-1"], 1)]
        await client.xgroup_delconsumer("orders", "billing", "C2")
        assert notes.take() == [("removed", "C2", 1)]
        assert await client.xreadgroup("billing", "C1", {"orders": ">"}, block=10) in ([], {})
        with pytest.raises(redis.ResponseError):
            await client.xgroup_create("orders", "billing", "0")
        assert notes.take() == [("asks", "C1", "new", 0)]

    run(program, redis_url, notes, protocol=protocol)


def test_pipelines_transactions_and_scripts(redis_url: str) -> None:
    """In a transaction, effects come before acknowledgements; what is discarded is not told."""
    notes = Notes()

    async def program(client: redis.asyncio.Redis) -> None:
        await client.xgroup_create("orders", "billing", "0", mkstream=True)
        for n in range(1, 5):
            await client.xadd("orders", {"n": n, "padding": "x" * 100_000}, id=f"{n}-1")  # comes in many pieces
        await client.xreadgroup("billing", "C1", {"orders": ">"})
        assert notes.take()[-1] == ("given", [(f"{n}-1", None) for n in range(1, 5)], "new")
        for transaction in (False, True):
            async with client.pipeline(transaction=transaction) as pipe:
                pipe.xack("orders", "billing", "1-1")
                pipe.hincrby("effects", "1-1", 1)
                await pipe.execute()
        expected = [("acked", ["1-1"], 1), ("effect", "1-1"), ("effect", "1-1"), ("acked", ["1-1"], 0)]
        assert notes.take() == expected
        async with client.pipeline(transaction=True) as pipe:
            await pipe.watch("effects")
            await client.hset("effects", "x", 1)
            pipe.multi()
            pipe.xack("orders", "billing", "2-1")
            with pytest.raises(redis.WatchError):
                await pipe.execute()
        assert notes.take() == []
        await client.eval("return redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])", 1, "orders", "billing", "3-1")
        await client.eval("return 1", 1, "elsewhere", "4-1")
        assert notes.take() == [("unheard", ["3-1"])]
        await client.xadd("orders", {"n": 5}, id="5-1")
        read = "redis.call('XREADGROUP', 'GROUP', ARGV[1], 'C1', 'STREAMS', ARGV[2], '>')"
        for script in (f"return {read}", "return {{ARGV[2], {{'6-1', 'no fields'}}, {'x', {'n'}}}, {'a', 'b'}, 'c'}"):
            await client.eval(script, 1, "keys of", "billing", "orders")
        assert notes.take() == [("given", [("5-1", None)], "by a script")]

    run(program, redis_url, notes)


def test_a_command_that_is_not_passed_on(redis_url: str, eventually: Eventually) -> None:
    """What came before it in the same pipeline is executed, and told; it and what is behind it are not."""
    notes = Notes(refused="2-1")

    async def program(client: redis.asyncio.Redis) -> None:
        await client.xgroup_create("orders", "billing", "0", mkstream=True)
        for n in (1, 2):
            await client.xadd("orders", {"n": n}, id=f"{n}-1")
        await client.xreadgroup("billing", "C1", {"orders": ">"})
        notes.take()
        async with client.pipeline(transaction=False) as pipe:
            pipe.xack("orders", "billing", "1-1")
            pipe.hincrby("effects", "2-1", 1)
            pipe.xack("orders", "billing", "2-1")
            pipe.set("behind", 1)
            with pytest.raises(redis.ConnectionError):
                await pipe.execute()
        while len(notes.heard) < 3:
            await asyncio.sleep(0.01)
        assert notes.take() == [("acked", ["1-1"], 1), ("effect", "2-1")]

    run(program, redis_url, notes, retry=None)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert [row["message_id"] for row in client.xpending_range("orders", "billing", "-", "+", 9)] == ["2-1"]
        assert not client.exists("behind")


def test_a_lost_reply_is_told(redis_url: str) -> None:
    """The server has given the entry, and so it is told; and that the connection was lost is, too."""
    notes = Notes()

    async def main() -> None:
        def watch() -> GroupWatcher:
            return GroupWatcher("orders", "billing", None, notes)

        async with Proxy(redis_url, watch=watch) as proxy:
            client = redis.asyncio.Redis.from_url(proxy.url, decode_responses=True, retry=None)
            await client.xgroup_create("orders", "billing", "0", mkstream=True)
            await client.xadd("orders", {"n": 1}, id="1-1")
            proxy.lose_reply("XREADGROUP")
            with pytest.raises(redis.ConnectionError):
                await client.xreadgroup("billing", "C1", {"orders": ">"})
            while ("cut",) not in notes.heard:
                await asyncio.sleep(0.01)
            await client.aclose()

    asyncio.run(asyncio.wait_for(main(), 10))
    assert ("given", [("1-1", None)], "new") in notes.heard


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_walk_that_ends_at_an_empty_page(redis_url: str, goes_on: bool) -> None:
    """Of ten entries looked at, none is idle for long enough: who begins again at the first never comes further."""
    notes = Notes()

    async def program(client: redis.asyncio.Redis) -> None:
        await client.xgroup_create("orders", "billing", "0", mkstream=True)
        for n in range(20):
            await client.xadd("orders", {"n": n})
        await client.xreadgroup("billing", "C1", {"orders": ">"})
        cursor, entries, *_ = await client.xautoclaim("orders", "billing", "C2", 60_000, count=1)
        assert (cursor != "0-0", entries) == (True, [])
        await client.xautoclaim("orders", "billing", "C2", 60_000, cursor if goes_on else "0-0", count=1)

    run(program, redis_url, notes, single_connection_client=True)
    assert (("stops_at_empty_page",) in notes.heard) == (not goes_on)


@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize(
    "command",
    [
        "XACK {} billing 1-1", "XACKDEL {} billing KEEPREF IDS 1 1-1",
        "EVAL ack 1 {} billing 1-1", "EVALSHA 0123 1 {} billing 1-1", "FCALL ack 1 {} billing 1-1",
    ],
)  # fmt: skip
def test_an_acknowledgement_without_a_reply_may_have_been_granted(command: str, in_transaction: bool) -> None:
    """It is told when the connection has ended, whoever has ended it: of a command and of a script alike."""
    notes = Notes()
    watcher = GroupWatcher("orders", "billing", None, notes)
    if in_transaction:
        watcher.sent([b"MULTI"])
        watcher.answered(b"OK")
    watcher.sent(command.format("orders").encode().split())
    if in_transaction:
        watcher.answered(b"QUEUED")
        watcher.sent([b"EXEC"])
    watcher.sent(command.format("others").replace("1-1", "2-1").encode().split())
    assert notes.heard == []
    watcher.closed(by_client=True)
    assert notes.heard == [("unheard", ["1-1"])]
