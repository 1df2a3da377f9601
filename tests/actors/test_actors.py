"""`produce`, `consume`, `reclaim`: what they send, in which order, and what they report."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.exceptions import ResponseError

from streamlab.actors import consume, ensure_group, produce, reclaim
from streamlab.results.events import EventLog
from streamlab.virtual.loop import VirtualLoop
from streamlab.virtual.redis import SimulatedRedis, SimulatedServer

Handler = Callable[[str, dict[str, str]], Awaitable[None]]


class World:
    """A simulated server, its loop and a log."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.server = SimulatedServer(epoch_ms=0)
        self.log = EventLog(clock=self.loop)
        self.client = self.server.client()

    def run(self, main: Awaitable[object]) -> object:
        return self.loop.run_until_complete(main)

    def story(self, *kinds: str) -> list[tuple[float, str, str, str]]:
        return [(round(e.at, 9), e.kind, e.actor, e.id) for e in self.log if not kinds or e.kind in kinds]


@pytest.fixture
def world():
    world = World()
    yield world
    world.loop.close()


def busy_for(seconds: float) -> Handler:
    async def handle(entry_id: str, fields: dict[str, str]) -> None:
        await asyncio.sleep(seconds)

    return handle


async def until(loop_time: float, stop: asyncio.Event) -> None:
    await asyncio.sleep(loop_time)
    stop.set()


def test_producer_keeps_its_times_even_if_an_entry_is_late(world):
    """A command of 0.4 s makes the second of two close entries late, and not the third."""
    client = world.server.client(round_trip=0.4)
    arrivals = [(0.0, {"n": "1"}), (0.1, {"n": "2"}), (2.0, {"n": "3"})]
    assert world.run(produce(client, "s", arrivals, name="P1", report=world.log.report)) == 3
    assert world.story() == [
        (0, "started", "P1", ""),
        (0, "added", "P1", "200-0"),
        (0.4, "added", "P1", "600-0"),
        (2, "added", "P1", "2200-0"),
        (2.4, "stopped", "P1", ""),
    ]


def test_producer_stops_when_told(world):
    """No entry is added once `stop` is set."""

    async def main() -> int:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(2.5, stop.set)
        return await produce(world.client, "s", ((float(n), {"n": "x"}) for n in range(9)), stop=stop)

    assert world.run(main()) == 3


def test_producer_trims(world):
    """``MAXLEN ~``: whole nodes go, so that no more than a node's worth too many stay."""

    async def main() -> int:
        await produce(world.client, "s", ((0.0, {"n": "x"}) for _ in range(1000)), maxlen=100)
        length: int = await world.client.xlen("s")
        return length

    assert 100 <= world.run(main()) < 300


def test_consumer_acknowledges_after_the_effect(world):
    """Delivered, then processed, then acknowledged; each at its time."""

    async def main() -> None:
        await ensure_group(world.client, "s", "g")
        await world.client.xadd("s", {"n": 1})
        await world.client.xadd("s", {"n": 2})
        stop = asyncio.Event()
        consumer = consume(world.client, "s", "g", "C1", busy_for(1), block=1, stop=stop, report=world.log.report)
        await asyncio.gather(consumer, until(1.5, stop))

    world.run(main())
    assert world.story() == [
        (0, "started", "C1", ""),
        (0, "delivered", "C1", "0-1"),
        (1, "processed", "C1", "0-1"),
        (1, "acked", "C1", "0-1"),
        (1, "delivered", "C1", "0-2"),
        (2, "processed", "C1", "0-2"),
        (2, "acked", "C1", "0-2"),
        (2, "stopped", "C1", ""),
    ]


@pytest.mark.parametrize("ack", ["each", "batch"])
def test_a_stopped_consumer_finishes_and_acknowledges_all_it_holds(world, ack):
    """Told to stop in the middle of ten prefetched entries, it leaves nothing pending."""

    async def main() -> tuple[int, int]:
        await ensure_group(world.client, "s", "g")
        for n in range(15):
            await world.client.xadd("s", {"n": n})
        stop = asyncio.Event()
        consumer = consume(world.client, "s", "g", "C1", busy_for(1), count=10, ack=ack, stop=stop)
        n_done, _ = await asyncio.gather(consumer, until(3.5, stop))
        return n_done, (await world.client.xpending("s", "g"))["pending"]

    assert world.run(main()) == (10, 0)


def test_batched_acknowledgement_travels_with_the_next_read(world):
    """With a backlog, one round trip for ten entries; and it is not held back by a read that blocks."""

    async def main() -> list[int]:
        await ensure_group(world.client, "s", "g")
        for n in range(30):
            await world.client.xadd("s", {"n": n})
        client = world.server.client(round_trip=1.0)
        task = asyncio.create_task(
            consume(client, "s", "g", "C1", busy_for(0), count=10, ack="batch", block=100, report=world.log.report)
        )
        await asyncio.sleep(20)
        task.cancel()
        return [len([e for e in world.log if e.kind == "acked" and e.at == at]) for at in (3, 4, 5)]

    # t=1: history is empty; t=2: ten delivered; then ten are acknowledged and ten delivered each second.
    assert world.run(main()) == [10, 10, 10]


def test_consumer_takes_up_what_its_earlier_life_left(world):
    """Own history first, one page after the other, with the true delivery counts; then new entries."""

    async def main() -> None:
        client = world.client
        await ensure_group(client, "s", "g")
        for n in range(5):
            await client.xadd("s", {"n": n})
        await client.xreadgroup("g", "C1", {"s": ">"}, 3)
        await client.xdel("s", "0-2")  # of this one only its pending entry is left
        stop = asyncio.Event()
        consumer = consume(client, "s", "g", "C1", busy_for(1), count=2, block=1, stop=stop, report=world.log.report)
        await asyncio.gather(consumer, until(3.5, stop))

    world.run(main())
    delivered = [(e.id, e.delivery_count) for e in world.log if e.kind == "delivered"]
    assert delivered == [("0-1", 2), ("0-2", 1), ("0-3", 2), ("0-4", 1), ("0-5", 1)]
    assert [e.id for e in world.log if e.kind == "processed"] == ["0-1", "0-3", "0-4", "0-5"]
    assert world.run(world.client.xpending("s", "g"))["pending"] == 0


def test_reclaim_walks_to_the_cursors_end_over_empty_pages(world):
    """1,200 pending, of which only the last is idle long enough: pages before it are empty."""

    async def main() -> tuple[int, int]:
        client = world.client
        await ensure_group(client, "s", "g")
        for n in range(1200):
            await client.xadd("s", {"n": n})
        await client.xreadgroup("g", "C1", {"s": ">"}, 1200)
        await asyncio.sleep(60)
        ids = [row["message_id"] for row in await client.xpending_range("s", "g", "-", "+", 1200)]
        await client.xclaim("s", "g", "C1", 0, ids[:-1])  # all but the last are fresh again
        n = await reclaim(client, "s", "g", "C2", busy_for(0), min_idle=30, count=10, report=world.log.report)
        return n, (await client.xpending("s", "g"))["pending"]

    assert world.run(main()) == (1, 1199)
    assert world.story("claimed", "acked") == [(60, "claimed", "C2", "0-1200"), (60, "acked", "C2", "0-1200")]


def test_a_group_is_made_once_and_an_existing_one_left_alone(world):
    """BUSYGROUP is fine; any other error is not."""

    async def main() -> list[object]:
        client: SimulatedRedis = world.client
        made = [await ensure_group(client, "s", "g"), await ensure_group(client, "s", "g", start="$")]
        await client.set("text", "x")
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await ensure_group(client, "text", "g")
        return made  # type: ignore[return-value]

    assert world.run(main()) == [True, False]


def test_a_missing_group_is_an_error_and_not_a_silent_loop(world):
    """NOGROUP reaches the caller."""
    with pytest.raises(ResponseError, match="NOGROUP"):
        world.run(consume(world.client, "s", "g", "C1", busy_for(0)))


def test_the_actors_know_neither_lab_nor_loop():
    """They can be lifted out, into a package of any name: they import redis, asyncio and each other."""
    import ast
    from pathlib import Path

    import streamlab.actors

    imported = {
        node.module
        for file in Path(streamlab.actors.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and not node.level and node.module is not None
    }
    assert not {module for module in imported if module.startswith("streamlab")}
