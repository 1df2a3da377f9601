"""The journal of a simulated server: executed once more, what it was told makes the very same keys."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any

import pytest
from redis.exceptions import DataError, ResponseError

from streamlab.virtual.loop import VirtualLoop
from streamlab.virtual.redis import SimulatedRedis, SimulatedServer

STREAM, GROUP = "orders", "workers"
#: Before blocked reads were executed again, after it, and with reads that claim.
VERSIONS = [(7, 0, 15), (7, 2, 0), (8, 4, 0)]


async def _seen(client: SimulatedRedis) -> Any:
    """Return all that can be seen of a server's keys."""
    if not await client.exists(STREAM):
        return None
    effects: Any = client.hgetall("effects")
    return await client.xinfo_stream(STREAM, full=True), await client.xpending(STREAM, GROUP), await effects


async def _act(client: SimulatedRedis, rng: random.Random, name: str, may_claim: bool) -> None:
    """Read, with blocking, in a transaction and by script; acknowledge; claim; make mistakes."""
    for _ in range(30):
        await asyncio.sleep(rng.uniform(0, 0.3))
        options: dict[str, Any] = {"claim_min_idle_time": 100} if may_claim else {}
        with contextlib.suppress(ResponseError):
            match rng.randrange(7):
                case 0:
                    pipe = client.pipeline(transaction=True)
                    pipe.xadd(STREAM, {"from": name})
                    pipe.xlen(STREAM)
                    await pipe.execute()
                case 1:
                    await client.xadd(STREAM, {"from": name}, maxlen=20, approximate=False)
                case 2:
                    found: Any = await client.xreadgroup(GROUP, name, {STREAM: ">"}, count=2, block=200, **options)
                    for entry_id, _ in found[0][1] if found else ():
                        await client.xack(STREAM, GROUP, entry_id)
                case 3:
                    await client.xreadgroup(GROUP, name, {STREAM: ">"}, block=100)
                case 4:
                    await client.xautoclaim(STREAM, GROUP, name, 200)
                case 5:
                    await client.xadd(STREAM, {"from": name}, id="1-1")  # refused
                case _:
                    counting: Any = client.hincrby("effects", name, 1)
                    await counting


def _played(version: tuple[int, int, int], seed: int, kept: Callable[[int], float], until: float) -> Any:
    """Let three clients act for a while, and return what is seen then, and after the server has forgotten."""
    with contextlib.closing(VirtualLoop()) as loop:
        server = SimulatedServer(version=version, loop=loop)
        server.keep_journal(kept)
        clients = [server.client(name=f"C{number}") for number in range(3)]

        async def act() -> Any:
            await clients[0].xgroup_create(STREAM, GROUP, "0", mkstream=True)
            playing = [
                _act(client, random.Random(f"{seed}/{client.name}"), client.name, version >= (8, 4, 0))
                for client in clients
            ]
            tasks = [asyncio.ensure_future(one) for one in playing]
            await asyncio.sleep(until)
            server.go_down()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            looker = server.client(is_lab=True)
            before = await _seen(looker)
            assert server.journal is not None
            server.journal.forget_since(kept(server.now_ms()))
            server.come_up()
            return before, await _seen(looker)

        return loop.run_until_complete(act())


@pytest.mark.parametrize("version", VERSIONS, ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_what_was_told_makes_the_same_keys_once_more(version: tuple[int, int, int], seed: int) -> None:
    """With all idle times and counts: a server that has lost nothing is as it was."""
    before, after = _played(version, seed, lambda ms: ms, 3.0)
    assert before is not None
    assert after == before


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_it_is_as_it_was_at_an_earlier_moment(version: tuple[int, int, int]) -> None:
    """Up to the millisecond until which all was kept."""
    then, _ = _played(version, 7, lambda ms: ms, 1.5)
    epoch = SimulatedServer().epoch_ms
    now, set_back = _played(version, 7, lambda ms: min(ms, epoch + 1500), 3.0)
    assert now != then
    assert [set_back[0]["entries"], set_back[1:]] == [then[0]["entries"], then[1:]]


def test_nothing_is_kept_of_what_was_told_after_the_last_moment() -> None:
    """Not even the key."""
    _, after = _played((7, 0, 15), 1, lambda _: 0, 3.0)
    assert after is None


def test_it_can_write_down_only_what_it_executes_itself() -> None:
    """Other commands are another server's, which has no journal: they are refused, in words."""
    with contextlib.closing(VirtualLoop()) as loop:
        server = SimulatedServer(loop=loop)
        server.keep_journal(lambda ms: ms)
        with pytest.raises(DataError, match="commands on streams, and simple ones on keys"):
            loop.run_until_complete(server.client().rpush("key", "value"))


@pytest.mark.parametrize(("since_ms", "n_left"), [(0, 1), (-1, 0)])
def test_what_is_told_at_the_last_moment_is_kept(since_ms: int, n_left: int) -> None:
    """To the millisecond."""

    async def act() -> int:
        server = SimulatedServer()
        server.keep_journal(lambda ms: ms - 1000)
        await server.client().xadd(STREAM, {"number": 1})
        assert server.journal is not None
        server.journal.forget_since(server.now_ms() + since_ms)
        return int(await server.client().xlen(STREAM))

    with contextlib.closing(VirtualLoop()) as loop:
        assert loop.run_until_complete(act()) == n_left
