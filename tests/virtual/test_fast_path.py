"""The plain forms of XADD, XREADGROUP and XACK do what the grammar does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import DataError, RedisError

from streamlab.virtual.fast_path import FastPath
from streamlab.virtual.loop import VirtualLoop
from streamlab.virtual.redis import SimulatedRedis, SimulatedServer
from tests.schedules import trial
from tests.schedules.draw import draw


class Grammatical(SimulatedRedis):
    """A client on which redis-py builds the arguments of every command, and the grammar parses them."""

    xadd: Any = redis.asyncio.Redis.xadd
    xreadgroup: Any = redis.asyncio.Redis.xreadgroup
    xack: Any = redis.asyncio.Redis.xack


async def attempt(command: Any) -> Any:
    try:
        return await command
    except RedisError as error:
        return type(error), str(error)


async def story(client: SimulatedRedis) -> list[Any]:
    """Add, read, wait, time out and acknowledge, rightly and wrongly; return all that was answered."""

    def read(**options: Any) -> Any:
        return client.xreadgroup("workers", "C1", {"orders": ">"}, **{"count": 1, "block": 50} | options)

    told = [await attempt(read())]  # no such key
    told.append(await client.xgroup_create("orders", "workers", "0", mkstream=True))
    told.append(await attempt(client.xadd("orders", {"a": "1", "b": "zwei"})))
    told.append(await attempt(client.xadd("orders", {"a": 2, "b": b"bytes"})))
    told.append(await attempt(client.xadd("orders", {str(n): "many" for n in range(40)})))
    told += [await read(), await read(count=5), await read()]  # the last one times out
    waiting = [asyncio.create_task(read()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    told += [await client.xadd("orders", {"c": str(n)}) for n in range(3)]
    told += await asyncio.gather(*waiting[1:])
    pending_id = told[-1][0][1][0][0]
    told.append(await attempt(client.xack("orders", "workers", pending_id, "seven")))
    told.append(await client.xack("orders", "workers", told[2]))
    told += [await client.xack("orders", "workers", told[2], told[3], "7-7")]
    told += [await client.xack("orders", "nobody", "7-7"), await client.xack("nothing", "workers", "7-7")]
    told.append(await attempt(client.xack("orders", "workers", "seven")))
    told += await handed_over(client)
    await client.set("text", "no stream")
    told.append(await attempt(client.xadd("text", {"a": "1"})))
    told.append(await attempt(client.xack("text", "workers", "7-7")))
    told.append(await attempt(client.xreadgroup("workers", "C1", {"text": ">"}, 1, 50)))
    told.append(await attempt(client.xreadgroup("nobody", "C1", {"orders": ">"}, 1, 50)))
    with pytest.raises(DataError, match="non-empty"):
        await client.xadd("orders", {})
    told.append(await client.xinfo_stream("orders", full=True))
    return [*told, asyncio.get_running_loop().time()]


async def handed_over(client: SimulatedRedis) -> list[Any]:
    """Let readers of several groups, and of none, wait while entries come, go and come again."""
    told: list[Any] = []
    await client.xgroup_create("orders", "others", "$")

    async def add_while_they_wait(*between: Any) -> None:
        readers = [
            asyncio.create_task(
                client.xreadgroup(group, consumer, {"orders": ">"}, 2, 1000)  # as they come
            )
            for group, consumer in [("workers", "C1"), ("others", "C2"), ("others", "C3")]
        ]
        readers.append(asyncio.ensure_future(client.xread({"orders": "$"}, block=1000)))
        await asyncio.sleep(0.01)
        for command in between:
            told.append(await attempt(command))
        fields = {"n": "1", "m": "2"}
        told.append(await client.xadd("orders", fields))
        fields["n"] = "changed by the producer when it was sent"
        told.append(await client.xadd("orders", fields))
        told.extend(await asyncio.gather(*readers))
        told.append(await client.xinfo_stream("orders", full=True))

    await add_while_they_wait()
    await add_while_they_wait(client.xgroup_setid("orders", "others", "0"))
    await add_while_they_wait(client.xdel("orders", told[0]))
    await add_while_they_wait(client.xgroup_delconsumer("orders", "others", "C2"))
    await add_while_they_wait(client.xgroup_setid("orders", "workers", "0", entries_read=3))
    return told


@pytest.mark.parametrize("version", [(6, 2, 0), (7, 0, 15), (7, 2, 0), (8, 6, 3)])
def test_plain_commands_answer_as_the_grammar_does(version: tuple[int, int, int]) -> None:
    """Every reply, error text, time and the final state are the same; with fakeredis holding the keys, too."""
    told = []
    for kind in (SimulatedRedis, Grammatical):
        for has_opened in (False, True):
            loop = VirtualLoop()
            server = SimulatedServer(version=version, loop=loop)
            if has_opened:
                server.open()
            told.append(loop.run_until_complete(story(kind(server))))
    assert told == [told[0]] * 4


def test_time_outs_of_one_length_share_a_timer() -> None:
    """Each reader still times out at its own time."""

    async def main() -> list[float]:
        client = SimulatedServer(loop=virtual).client()
        await client.xgroup_create("orders", "workers", "0", mkstream=True)
        loop = asyncio.get_running_loop()

        async def wait(start: float) -> float:
            await asyncio.sleep(start)
            assert await client.xreadgroup("workers", "C1", {"orders": ">"}, 1, 5000) == []
            return loop.time()

        return await asyncio.gather(*map(wait, (0.0, 1.5, 4.0, 30.0)))

    virtual = VirtualLoop()
    assert virtual.run_until_complete(main()) == [5.0, 6.5, 9.0, 35.0]


async def troubles(kind: type[SimulatedRedis], server: SimulatedServer) -> list[Any]:
    """Do something to commands that are under way; return what became of them, and when."""
    now = asyncio.get_running_loop().time
    told: list[Any] = []

    async def follow(name: str, command: Any) -> None:
        try:
            reply: Any = await command
        except (RedisError, asyncio.CancelledError) as error:
            reply = type(error), error.args
        told.append((name, now(), reply))

    def start(name: str, command: Any) -> asyncio.Task[None]:
        return asyncio.create_task(follow(name, command))

    def read(client: SimulatedRedis, group: str = "workers", count: int = 1, block: int = 50) -> Any:
        return client.xreadgroup(group, "C1", {"orders": ">"}, count, block)

    first, second, late = kind(server), kind(server), kind(server, wake=lambda: 0.01)
    producer = kind(server)
    await producer.xgroup_create("orders", "workers", "0", mkstream=True)
    await producer.xgroup_create("orders", "others", "0")
    # Each has read before; who waits first now is served first, and hears first of a lost connection.
    await producer.xadd("orders", {"n": "0"})
    await follow("first", read(first))
    await follow("second", read(second, "others"))
    for what in (lambda: producer.xadd("orders", {"n": "1"}), server.go_down):
        waiting = [start("second", read(second, "others")), start("first", read(first))]
        await asyncio.sleep(0.001)
        if (command := what()) is not None:
            await command
        await asyncio.gather(*waiting)
    server.come_up()
    # A reply that has to travel, one that is lost on its way, and one that nobody waits for any more.
    waiting = [start("late", read(late))]
    await asyncio.sleep(0.001)
    await producer.xadd("orders", {"n": "2"})
    await asyncio.gather(*waiting)
    waiting = [start("lost", read(first))]
    await asyncio.sleep(0.001)
    first.lose_reply("XREADGROUP")
    await producer.xadd("orders", {"n": "3"})
    await asyncio.gather(*waiting)
    waiting = [start("cancelled", read(second))]
    await asyncio.sleep(0.001)
    waiting[0].cancel("since nobody waits")
    await asyncio.gather(*waiting)
    waiting = [start("added", producer.xadd("orders", {"n": str(n)})) for n in range(4, 6)]
    await asyncio.sleep(0)
    producer.lose_reply("XADD")
    await asyncio.gather(*waiting)
    # What Redis refuses, and what redis-py takes by position as well.
    refused: list[Any] = [{"count": 2**64}, {"block": 2**63 - 1}, {"block": 2**63}, {"block": 10**400}]
    for numbers in refused:
        reading = start("refused", read(second, **numbers))
        await asyncio.sleep(0.01)
        reading.cancel()
        await reading
    await follow("trimmed", second.xadd("orders", {"n": "6"}, "*", 2, False))
    await follow("not kept", second.xreadgroup("workers", "C1", {"orders": ">"}, 9, 50, True))
    told.append((server.n_commands, await second.xinfo_stream("orders", full=True)))
    return told


@pytest.mark.parametrize("version", [(6, 2, 0), (7, 0, 15), (7, 2, 0), (8, 6, 3)])
def test_what_befalls_a_command_under_way_befalls_a_short_one(version: tuple[int, int, int]) -> None:
    """Lost replies, cancellations, a server that goes down; and numbers beyond all bounds."""
    told = []
    for kind in (SimulatedRedis, Grammatical):
        for has_opened in (False, True):
            loop = VirtualLoop()
            server = SimulatedServer(version=version, loop=loop)
            if has_opened:
                server.open()
            told.append(loop.run_until_complete(troubles(kind, server)))
    fast = told[0]
    assert told == [fast] * 4
    assert {name for name, *_ in fast[:-1]} >= {"late", "lost", "cancelled", "added", "refused"}


@pytest.mark.parametrize("seed", range(12))
def test_a_run_with_faults_is_the_same_without_the_fast_path(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event comes at the same time and in the same order, whoever gets a turn when."""
    fast = list(trial.run(draw(seed)).events)
    for name in ("xadd", "xreadgroup", "xack"):
        monkeypatch.delattr(FastPath, name)
    assert fast == list(trial.run(draw(seed)).events)
