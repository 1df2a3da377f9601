"""Entries that are no text, and clients that do not decode."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streamlab.actors import Recovery, consume, reclaim
from streamlab.servers.client import stream_client, sync_stream_client
from streamlab.servers.embedded import EmbeddedServer
from tests.actors.world import ESCAPED, RAW, SOON, collecting, half_dead

MIXED = ["a", RAW, "b", RAW, "c", RAW, "d"]


@pytest.mark.parametrize("options", [{}, {"ack": "batch"}, {"count": 5}], ids=["each", "batch", "5"])
@pytest.mark.parametrize("strategy", ["none", "claim", "autoclaim"])
def test_what_is_no_text_stops_nobody(world, strategy, options):
    """In the own history, among what a dead consumer held, among new entries: the handler has it escaped."""
    found: list[Any] = []

    async def main():
        client = world.client()
        await half_dead(client, MIXED, 2)
        recovery = Recovery(strategy, min_idle=0.1)
        worker = world.consume(client, collecting(found), recovery=recovery, **options)
        n = 5 if strategy == "none" else 7
        await worker.until(lambda: len(found) >= n, "all was done")
        await client.xadd("s", {"v": "e"})
        await client.xadd("s", {RAW: "f"})
        await worker.until(lambda: len(found) >= n + 2, "what came later was done")
        await worker.end()
        return (await client.xpending("s", "g"))["pending"]

    left = world.run(main())
    values = [value for _, fields in found for value in (fields.get("v"), *fields.keys())]
    assert values.count(ESCAPED) == (3 if strategy == "none" else 4)
    assert {"c", "d", "e"} <= set(values)
    assert left == (2 if strategy == "none" else 0)
    assert world.of("disconnected") == []
    assert [entry_id for entry_id in world.of("acked") if not isinstance(entry_id, str)] == []


@pytest.mark.parametrize("wire", ["embedded"], indirect=True)
@pytest.mark.parametrize("ack", ["each", "batch"])
def test_what_is_no_text_may_be_claimed_by_a_read(wire, ack):
    """XREADGROUP … CLAIM brings it with idle times and delivery counts."""
    wire.server = EmbeddedServer(version=(8, 6, 0))
    found: list[Any] = []

    async def main():
        client = wire.client()
        await half_dead(client, MIXED, 2)
        recovery = Recovery("read-claim", min_idle=0.1)
        worker = wire.consume(client, collecting(found), recovery=recovery, count=3, ack=ack)
        await worker.until(lambda: len(found) >= 7, "all was done")
        await worker.end()
        return (await client.xpending("s", "g"))["pending"]

    assert wire.run(main()) == 0
    assert [fields["v"] for _, fields in found].count(ESCAPED) == 3


def test_poison_that_is_no_text_is_dead_lettered(world):
    """As any other: byte for byte, after exactly the limit, and what lies behind it is done."""
    tries: list[Any] = []

    async def handle(entry_id, fields):
        tries.append(entry_id)
        if fields["v"] == ESCAPED:
            raise LookupError

    async def main():
        client = await world.stream("a", RAW, "b")
        recovery = Recovery("autoclaim", min_idle=0.1, max_deliveries=2)
        worker = world.consume(client, handle, recovery=recovery, count=3)
        await worker.until(lambda: world.of("dead_lettered"), "it was given up")
        await worker.end()
        _, letter = (await client.execute_command("XRANGE", "{s}:dead", "-", "+", NEVER_DECODE=[]))[0]
        return letter, (await client.xpending("s", "g"))["pending"]

    letter, pending = world.run(main())
    assert letter.get(b"v", letter.get("v")) in (RAW, ESCAPED)
    assert pending == 0
    assert world.of("dead_lettered") == ["2-0"]
    assert {"1-0", "3-0"} <= set(tries)


def test_reclaim_gives_what_is_no_text_to_the_handler(world):
    found: list[Any] = []

    async def main():
        client = world.client()
        await half_dead(client, MIXED, 2)
        await asyncio.sleep(0.02)
        return await reclaim(client, "s", "g", "C2", collecting(found), min_idle=0.01, count=3)

    assert world.run(main()) == 4
    assert [fields["v"] for _, fields in found] == ["a", ESCAPED, "b", ESCAPED]


def test_a_group_whose_stream_ends_with_what_is_no_text_is_recreated(world):
    """To find out where it begins, the last entry is looked at; and a consumer may be called anything."""
    found: list[Any] = []

    async def main():
        client = await world.stream("a", RAW)
        await client.xgroup_createconsumer("s", "g", RAW)
        recovery = Recovery("autoclaim", min_idle=0.1, remove_after=0.1)
        worker = world.consume(client, collecting(found), recovery=recovery)
        await worker.until(lambda: len(world.of("acked")) == 2, "both were done")
        await worker.until(lambda: world.of("removed"), "who held nothing was removed")
        await asyncio.sleep(0.2)  # it looks where all is done
        await client.xgroup_create("s", RAW, "0")
        await client.xgroup_destroy("s", "g")
        await worker.until(lambda: world.of("recreated"), "the group was recreated")
        await client.xadd("s", {"v": "c"}, "3-0")
        await worker.until(lambda: len(found) > 2, "the third was done")
        await worker.end()

    world.run(main())
    assert [entry_id for entry_id, _ in found] == ["1-0", "2-0", "3-0"]
    assert world.of("recreated") == ["2-0"]


def test_our_own_clients_escape_what_is_no_text(redis_url):
    """Nothing is delivered in vain, and nothing is read twice."""

    async def main():
        async with stream_client(redis_url) as client:
            await client.xadd("s", {"v": RAW}, "1-0")
            return await client.xrange("s")

    assert asyncio.run(main()) == [("1-0", {"v": ESCAPED})]
    with sync_stream_client(redis_url) as client:
        assert client.xrange("s") == [("1-0", {"v": ESCAPED})]


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("ack", ["each", "batch"])
@pytest.mark.parametrize("strategy", ["none", "claim", "autoclaim"])
def test_a_client_of_bytes_works(wire, strategy, ack, protocol):
    """As redis-py makes it by default: handlers have what it gives, reports are text, a walk has an end."""
    found: list[Any] = []

    async def main():
        client = wire.client(decode_responses=False, protocol=protocol)
        await half_dead(client, MIXED, 2)
        recovery = Recovery(strategy, min_idle=0.1, heartbeat=0.04, fenced=True, max_deliveries=5, remove_after=0.2)
        worker = wire.consume(client, collecting(found), recovery=recovery, ack=ack, count=2)
        n = 5 if strategy == "none" else 7
        await worker.until(lambda: len(wire.of("acked")) >= n, "all was done")
        if strategy != "none":
            await worker.until(lambda: wire.of("removed"), "the dead one was removed")
            await asyncio.sleep(0.1)
        await client.xgroup_destroy("s", "g")
        await worker.until(lambda: wire.of("recreated"), "the group was recreated")
        await worker.end()

    wire.run(main())
    assert all(type(i) is bytes and set(fields) == {b"v"} for i, fields in found)
    assert [fields[b"v"] for _, fields in found].count(RAW) >= (2 if strategy == "none" else 3)
    assert all(type(id) is str for _, id in wire.events)
    if strategy != "none":
        assert wire.of("recreated") == ["7-0"]


def test_errors_of_a_client_of_bytes_are_told_by_text(wire):
    async def handle(entry_id, fields):
        raise LookupError

    async def main():
        client = await wire.stream("a", client=wire.client(decode_responses=False))
        worker = wire.consume(client, handle, recovery=Recovery("autoclaim"))
        await worker.until(lambda: wire.errors, "it was told")
        await worker.end()

    wire.run(main())
    assert wire.errors[0][0] == "1-0"


def test_names_may_be_bytes_as_well(world):
    """Whoever has bytes everywhere has them here."""

    async def main():
        client = await world.stream("a")
        recovery = Recovery("autoclaim", max_deliveries=2, fenced=True)
        consuming: Any = consume
        done = consuming(
            client, b"s", b"g", b"C1", collecting([]), recovery=recovery, block=0.05,
            report=lambda kind, actor, *more: world.events.append((kind, actor)),
        )  # fmt: skip
        task = asyncio.ensure_future(done)
        while "acked" not in dict(world.events):
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])

    world.run(asyncio.wait_for(main(), SOON))
    assert {actor for _, actor in world.events} == {"C1"}
