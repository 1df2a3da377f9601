"""A handler's errors are the handler's: they hold nobody up, and are no lost connection."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest
import redis.asyncio
import redis.exceptions

from streamlab.actors import Recovery, RedisLost
from tests.actors.world import failing

#: What looks like a lost Redis, or a lost group, and is not.
FOREIGN = [
    ConnectionRefusedError("the payment service is down"),
    TimeoutError("the database is slow"),
    redis.exceptions.ConnectionError("another Redis is down"),
    redis.exceptions.ResponseError("NOGROUP another stream's"),
]


@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)
def test_a_handlers_error_holds_nobody_up(world, error):
    """The entry stays pending until it is idle; the others are done, and nothing is called a lost connection."""
    tries: list[Any] = []

    async def main():
        client = await world.stream(*"abcd")
        recovery = Recovery("autoclaim", min_idle=0.15, max_deliveries=2)
        worker = world.consume(client, failing(error, tries), recovery=recovery, patience=0.1)
        await worker.until(lambda: "4-0" in tries, "the fourth was done")
        first_round = list(tries)
        await worker.until(lambda: world.of("dead_lettered"), "it was given up")
        await worker.end()
        return first_round, (await client.xpending("s", "g"))["pending"]

    assert world.run(main()) == (["1-0", "2-0", "3-0", "4-0"], 0)
    assert tries.count("2-0") == 2
    assert world.errors == [("2-0", error)] * 2
    assert world.of("disconnected") == world.of("recreated") == []


@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)
def test_where_nobody_claims_a_handlers_error_ends_the_consumer(world, error):
    """At once, with that very error, raised where it was raised; the entry stays pending."""
    tries: list[Any] = []

    async def main():
        client = await world.stream(*"abcd")
        ended = await world.consume(client, failing(error, tries)).error()
        return ended, (await client.xpending("s", "g"))["pending"]

    ended, pending = world.run(main())
    assert ended is error
    assert "handle" in [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert (tries, pending) == (["1-0", "2-0"], 1)
    assert world.of("disconnected") == world.of("recreated") == []


@pytest.mark.parametrize("claims", [True, False])
def test_what_is_cancelled_in_a_handler_does_not_cancel_the_consumer(world, claims):
    """It fails with that entry, as by any other error; a cancellation of the consumer itself is one."""
    found: list[Any] = []

    async def handle(entry_id, fields):
        if entry_id == "1-0":
            task = asyncio.ensure_future(asyncio.sleep(60))
            asyncio.get_running_loop().call_soon(task.cancel)
            await task
        if entry_id == "3-0":
            await asyncio.sleep(60)
        found.append(entry_id)

    async def main():
        recovery = Recovery("autoclaim" if claims else "none", min_idle=60)
        worker = world.consume(await world.stream(*"abc"), handle, recovery=recovery)
        if not claims:
            return await worker.error()
        await worker.until(lambda: "3-0" in world.of("delivered"), "it is in the third")
        worker.task.cancel()
        await asyncio.wait([worker.task])
        assert worker.task.cancelled()
        return world.errors[0][1]

    error = world.run(main())
    assert isinstance(error, RuntimeError)
    assert isinstance(error.__cause__, asyncio.CancelledError)
    assert found == (["2-0"] if claims else [])


def test_an_error_in_on_error_is_no_lost_connection_either(world):
    """It ends the consumer: who is told of errors must not make new ones."""

    def tell(entry_id, error):
        raise ConnectionResetError("the log server is down")

    async def main():
        client = await world.stream(*"abcd")
        handler, recovery = failing(LookupError(), []), Recovery("autoclaim")
        return await world.consume(client, handler, recovery=recovery, on_error=tell).error()

    assert isinstance(world.run(main()), ConnectionResetError)
    assert world.of("disconnected") == []


def test_a_handler_may_say_that_it_was_the_same_redis(world):
    """Then it is waited out, and the entry is given to it again; or patience ends, with what caused it."""
    tries: list[Any] = []

    async def handle(entry_id, fields):
        tries.append(entry_id)
        if len(tries) < 3:
            raise RedisLost from redis.exceptions.ConnectionError("the ledger cannot be reached")

    async def main(patience):
        tries.clear()
        client = await world.stream(*"a") if patience else world.client()
        worker = world.consume(client, handle, patience=patience)
        if not patience:
            await client.xadd("s", {"v": "b"}, "2-0")
            return await worker.error()
        await worker.until(lambda: world.of("acked"), "it was done")
        await worker.end()
        return list(tries)

    assert world.run(main(5.0)) == ["1-0"] * 3
    assert len(world.of("disconnected")) == 2
    ended = world.run(main(0.0))
    assert isinstance(ended, redis.exceptions.ConnectionError)
    assert ended.__context__ is None  # and no story of our own behind it


def test_a_password_that_the_ledger_refuses_is_not_waited_for(world):
    """Also if the handler calls it a lost Redis: it would be refused again and again."""

    async def handle(entry_id, fields):
        raise RedisLost from redis.exceptions.AuthenticationError("WRONGPASS")

    async def main():
        return await world.consume(await world.stream("a"), handle).error()

    assert isinstance(world.run(main()), redis.exceptions.AuthenticationError)
