"""The plain forms of XADD, XREADGROUP and XACK do what the grammar does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import DataError, RedisError

from streamlab.short_cuts import ShortCuts
from streamlab.simulated_redis import SimulatedRedis, SimulatedServer
from streamlab.virtual_time import VirtualLoop
from tests.schedules import trial
from tests.schedules.draw import draw


class Grammatical(SimulatedRedis):
    """A client on which redis-py builds the arguments of every command, and the grammar parses them."""

    xadd = redis.asyncio.Redis.xadd
    xreadgroup = redis.asyncio.Redis.xreadgroup
    xack = redis.asyncio.Redis.xack


async def attempt(command: Any) -> Any:
    try:
        return await command
    except RedisError as error:
        return type(error), str(error)


async def story(client: SimulatedRedis) -> list[Any]:
    """Add, read, wait, time out and acknowledge, rightly and wrongly; return all that was answered."""

    def read(**options: Any) -> Any:
        return client.xreadgroup(
            "workers", "C1", {"orders": ">"}, **{"count": 1, "block": 50} | options
        )

    told = [await attempt(read())]  # no such key
    told.append(await client.xgroup_create("orders", "workers", "0", mkstream=True))
    told.append(await attempt(client.xadd("orders", {"a": "1", "b": "zwei"})))
    told.append(await attempt(client.xadd("orders", {"a": 2, "b": b"bytes"})))
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
    told += [
        await client.xack("orders", "nobody", "7-7"),
        await client.xack("nothing", "workers", "7-7"),
    ]
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
        readers.append(asyncio.create_task(client.xread({"orders": "$"}, block=1000)))
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
    """Every reply, error text, time and the final state are the same."""
    told = []
    for kind in (SimulatedRedis, Grammatical):
        loop = VirtualLoop()
        client = kind(SimulatedServer(version=version, loop=loop))
        told.append(loop.run_until_complete(story(client)))
    plain, parsed = told
    assert plain == parsed


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


@pytest.mark.parametrize("seed", range(12))
def test_a_run_with_faults_is_the_same_without_short_cuts(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every event comes at the same time and in the same order, whoever gets his turn when."""
    short = list(trial.run(draw(seed)).events)
    for name in ("xadd", "xreadgroup", "xack"):
        monkeypatch.delattr(ShortCuts, name)
    assert short == list(trial.run(draw(seed)).events)
