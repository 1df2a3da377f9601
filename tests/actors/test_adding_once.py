"""Nothing is added twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from streamlab.actors import consume, ensure_group, produce
from streamlab.servers.embedded import EmbeddedServer
from tests.actors.world import RAW, collecting, unlucky

#: Whatever redis-py accepts as a value or as a name.
VALUES = [
    1, -7, 10**30, 1.5, -0.0, 1e300, float("inf"), "text", "ü", "", b"bytes", RAW, b"",
    bytearray(b"array"), memoryview(b"view"),
]  # fmt: skip


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("as_text", [True, False], ids=["text", "bytes"])
def test_nothing_is_added_twice(world, as_text, every):
    """The producer finds what it added, whatever that looked like when it was sent, and whatever came before."""

    async def main():
        client = unlucky(world.client(decode_responses=as_text), every)
        hashable = [value for value in VALUES if not isinstance(value, bytearray | memoryview)]
        values = {f"field {n}": value for n, value in enumerate(VALUES)}
        names = {value: f"value {n}" for n, value in enumerate(hashable)}
        arrivals: list[Any] = [(0.0, values), (0.0, names), (0.0, values | {"n": 2}), (0.0, {"n": "3"})]
        n = await produce(client, "s", arrivals, report=world.report, patience=0.1)
        return n, await client.xlen("s")

    assert world.run(main()) == (4, 4)
    assert len(world.of("disconnected")) == 4 // every
    assert {type(id) for id in world.of("added")} == {str}


def test_what_differs_is_added(world):
    """A lost reply to one is no reason to leave out another that looks much like it."""

    async def main():
        client = unlucky(world.client())
        likely: list[Any] = [{"a": 1}, {"a": "1 "}, {"a": 1.0}, {"b": 1}, {"a": 1, "b": 1}, {"a": 10}]
        n = await produce(client, "s", [(0.0, fields) for fields in likely], patience=0.1)
        return n, await client.xlen("s")

    assert world.run(main()) == (6, 6)


@pytest.mark.parametrize("retries", [0, 3])
def test_who_sends_again_by_itself_is_told_so(caplog, retries):
    """redis-py's default: an XADD that is sent again is added twice, and nobody else hears of it."""

    async def main():
        client = EmbeddedServer().async_client(retry=Retry(NoBackoff(), retries))
        await produce(client, "s", [(0.0, {"n": "1"})])
        await ensure_group(client, "s", "g")
        stop = asyncio.Event()
        stop.set()
        await consume(client, "s", "g", "C1", collecting([]), stop=stop)
        await client.aclose()

    asyncio.run(main())
    told = [record.getMessage() for record in caplog.records if "Retry(NoBackoff(), 0)" in record.getMessage()]
    assert len(told) == (2 if retries else 0)
