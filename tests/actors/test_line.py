"""What is acknowledged when: a consumer's own connection, by which it need not wait for each reply."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from streamlab.actors import RedisLost, ignore, line
from streamlab.actors.line import line_of
from streamlab.servers.client import stream_client
from tests.actors.world import SOON, busy, collecting


async def comes_true(condition, what):
    """Wait until a coroutine returns something true."""
    deadline = asyncio.get_running_loop().time() + SOON
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.01)


CLIENTS: dict[str, dict[str, Any]] = {"text": {}, "bytes": {"decode_responses": False}, "RESP3": {"protocol": 3}}


@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("settings", CLIENTS.values(), ids=CLIENTS)
def test_no_acknowledgement_is_held_back(world, settings, count, told):
    """A second client sees it while the next entry is worked at, and while the consumer waits for what may come."""
    seen: list[str] = []

    async def main():
        witness = await world.stream(*"abcde")

        async def pending():
            return (await witness.xpending("s", "g"))["pending"]

        async def handle(entry_id, fields):
            # Of what was read together, this one and those behind it.
            n_held = min(count - len(seen) % count, 5 - len(seen))

            async def is_all():
                return await pending() == n_held

            await comes_true(is_all, f"entries before {entry_id} are not acknowledged")
            seen.append(entry_id)

        told_of = {} if told else {"report": ignore}
        worker = world.consume(world.client(**settings), handle, count=count, block=100, **told_of)
        await worker.until(lambda: len(seen) == 5, "all was done")

        async def is_none():
            return await pending() == 0

        await comes_true(is_none, "the last one is not acknowledged while the consumer waits")
        worker.task.cancel()
        await asyncio.wait([worker.task])
        assert worker.task.cancelled()

    world.run(main())


def traced(method):
    @functools.wraps(method)
    async def execute(self, *args, **options):
        return await method(self, *args, **options)

    return execute


def with_own(client):
    client.xack = client.xack
    return client


class Counting(redis.asyncio.Redis):
    async def execute_command(self, *args, **options):
        return await super().execute_command(*args, **options)


def retrying(**settings):
    return redis.asyncio.Redis(retry=Retry(NoBackoff(), 1), **settings)


def plain(**settings):
    return redis.asyncio.Redis(retry=Retry(NoBackoff(), 0), **settings)


WAYS = {
    "ours": (lambda: stream_client("redis://localhost"), True),
    "unix": (lambda: stream_client("unix:///tmp/redis.sock", decode_responses=False), True),
    "Sentinels": (lambda: stream_client("redis+sentinel://one,two/lab"), True),
    "redis-py": (plain, True),
    "RESP3": (lambda: plain(protocol=3), True),
    "sends again": (retrying, False),
    "one connection": (lambda: plain(single_connection_client=True), False),
    "renews its password": (lambda: plain(credential_provider=redis.CredentialProvider()), False),
    "few connections": (lambda: plain(max_connections=32), False),
    "another class": (lambda: Counting(retry=Retry(NoBackoff(), 0)), False),
    "a method replaced": (lambda: with_own(plain()), False),
    "cluster": (lambda: stream_client("redis+cluster://one,two"), False),
}


@pytest.mark.parametrize(("make", "has_line"), WAYS.values(), ids=WAYS)
def test_which_clients_have_a_line(make, has_line):
    """Those that do nothing but redis-py's usual; all others go on to do what they do."""

    async def main():
        assert (line_of(make(), "s", "g") is not None) == has_line

    asyncio.run(main())


def test_servers_of_ours_have_none(world):
    """A simulated and an embedded one are asked by redis-py's own methods."""

    async def main():
        return line_of(world.client(), "s", "g")

    assert (world.run(main()) is not None) == (world.kind == "real")


def test_a_class_that_is_traced_has_none(monkeypatch):
    """What traces commands puts a function of its own around redis-py's."""
    monkeypatch.setattr(redis.asyncio.Redis, "execute_command", traced(redis.asyncio.Redis.execute_command))

    async def main():
        assert line_of(plain(), "s", "g") is None

    asyncio.run(main())


ACKS = pytest.mark.parametrize("ack", ["each", "batch"])


@pytest.mark.redis
@ACKS
@pytest.mark.parametrize("is_lost", [True, False], ids=["lost", "cancelled"])
def test_no_connection_goes_back_with_replies_unread(own, ack, is_lost):
    """Cancelled or out of Redis' reach in the middle: the next command of the client gets its own reply."""

    async def main():
        client = await own.stream(*"abc")
        tries: list[str] = []

        async def handle(entry_id, fields):
            tries.append(entry_id)
            if is_lost and len(tries) == 2:
                raise RedisLost
            if not is_lost and len(tries) == 3:
                await asyncio.sleep(SOON)

        worker = own.consume(client, handle, count=3, ack=ack, block=SOON, report=ignore)
        if is_lost:
            await worker.until(lambda: len(tries) == 4, "all was done")  # one of them twice
        else:
            await worker.until(lambda: len(tries) == 3, "the last one was begun")
        if not is_lost:
            worker.task.cancel()
            await asyncio.wait([worker.task])
        assert await client.echo("mine") == "mine"
        if is_lost:
            await worker.end()
        pending = (await client.xpending("s", "g"))["pending"]
        assert pending == (0 if is_lost else 1 if ack == "each" else 3)

    own.run(main())


@pytest.mark.redis
def test_a_reply_that_comes_late_is_nobody_elses(own):
    """Cancelled while the server has yet to answer an acknowledgement: no later command is given that answer."""

    async def main():
        client, admin = own.client(), await own.stream("a", "b", "c")
        tries: list[str] = []

        async def handle(entry_id, fields):
            tries.append(entry_id)
            if len(tries) == 2:
                await admin.execute_command("CLIENT", "PAUSE", 200, "WRITE")
            elif len(tries) == 3:
                await asyncio.sleep(SOON)

        worker = own.consume(client, handle, count=3, report=ignore)
        await worker.until(lambda: len(tries) == 3, "the last one was begun")
        worker.task.cancel()
        await asyncio.wait([worker.task])
        assert await client.echo("mine") == "mine"

    own.run(main())


@pytest.mark.redis
def test_a_blocked_read_that_is_cancelled_takes_nothing(own):
    """Its connection is closed: the server gives what comes later to others."""
    found: list[Any] = []

    async def main():
        client = await own.stream("a", "b")
        worker = own.consume(client, collecting(found), block=SOON, report=ignore)
        await worker.until(lambda: len(found) == 2, "all was done")
        await comes_true(lambda: is_blocked(client), "the consumer waits")
        worker.task.cancel()
        await asyncio.wait([worker.task])
        await comes_true(lambda: is_free(client), "its read has ended")
        await client.xadd("s", {"v": "c"})
        assert (await client.xpending("s", "g"))["pending"] == 0

    own.run(main())


async def is_blocked(client):
    return (await client.info("clients"))["blocked_clients"] == 1


async def is_free(client):
    return (await client.info("clients"))["blocked_clients"] == 0


@pytest.mark.redis
@ACKS
@pytest.mark.parametrize("by", ["server", "pool"])
def test_what_was_not_heard_of_is_acknowledged_again(own, ack, by):
    """The connection is closed with acknowledgements on their way: nothing is done twice, nothing stays pending."""
    found: list[str] = []

    async def main():
        client, admin = own.client(), await own.stream(*"abcdef")

        async def handle(entry_id, fields):
            found.append(entry_id)
            if len(found) == 3 and by == "pool":
                await client.connection_pool.disconnect()
            elif len(found) == 3:
                await admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

        worker = own.consume(client, handle, count=6, ack=ack, report=ignore)
        await worker.until(lambda: len(found) == 6, "all was done")
        await worker.end()
        assert (await admin.xpending("s", "g"))["pending"] == 0

    own.run(main())
    assert found == [f"{n}-0" for n in range(1, 7)]


@pytest.mark.redis
@pytest.mark.parametrize("count", [1, 3])
def test_a_refused_acknowledgement_is_an_error(own, count):
    """Whoever may read and not acknowledge hears so, though nobody waits for that reply at once."""

    async def main():
        admin = await own.stream(*"abc")
        await admin.execute_command("ACL", "SETUSER", "poor", "on", ">secret", "~*", "+@all", "-xack")
        poor = own.client(username="poor", password="secret")
        worker = own.consume(poor, collecting([]), count=count, report=ignore)
        return await worker.error()

    assert isinstance(own.run(main()), redis.exceptions.NoPermissionError)


@pytest.mark.redis
def test_work_does_not_run_ahead_of_its_acknowledgements(own):
    """While the server answers no write, no more is begun than what is done in a moment."""
    n_done: list[int] = []

    async def main():
        client, admin = own.client(), await own.stream(*"abcdefgh")

        async def handle(entry_id, fields):
            n_done.append(1)
            await asyncio.sleep(line._HEARD_WITHIN * 2)

        worker = own.consume(client, handle, count=8, report=ignore)
        await worker.until(lambda: len(n_done) == 2, "it has begun")
        await admin.execute_command("CLIENT", "PAUSE", 400, "WRITE")
        before = len(n_done)
        await asyncio.sleep(0.3)
        n_meanwhile = len(n_done) - before
        await worker.until(lambda: len(n_done) == 8, "all was done")
        await worker.end()
        return n_meanwhile

    assert own.run(main()) <= 1


@pytest.mark.redis
def test_who_is_told_hears_of_each_before_the_next(own):
    """Events come as in a simulation: an entry is acknowledged, then the next is processed."""

    async def main():
        client = await own.stream(*"abc")
        worker = own.consume(client, busy(0), count=3)
        await worker.until(lambda: len(own.of("acked")) == 3, "all was done")
        await worker.end()

    own.run(main())
    kinds = [kind for kind, _ in own.events if kind in ("processed", "acked")]
    assert kinds == ["processed", "acked"] * 3
