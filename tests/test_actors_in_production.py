"""The actors as code that people lift into their services: what goes wrong around them, on each kind of client."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable

import pytest
import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from streamlab.actors import Recovery, RedisLost, consume, ensure_group, produce, reclaim
from streamlab.connection import stream_client, sync_stream_client
from streamlab.embedded import EmbeddedServer
from streamlab.simulated_redis import SimulatedServer
from streamlab.virtual_time import VirtualLoop

#: Seconds of the event loop within which something has to happen.
SOON = 5.0


class World:
    """A server, simulated, embedded or real: clients of it, consumers, and what they report."""

    def __init__(
        self, kind: str, url: str | None = None, version: tuple[int, int, int] = (7, 0, 15)
    ):
        self.kind, self.url, self.version = kind, url, version
        if kind == "simulated":
            self.server = SimulatedServer(version=version)
        elif kind == "embedded":
            self.server = EmbeddedServer(version=version)
        self.events: list[tuple] = []
        self.errors: list[tuple[str, Exception]] = []
        self._clients: list[redis.asyncio.Redis] = []

    def client(self, **settings) -> redis.asyncio.Redis:
        """Return a strict client of text, as redis-py makes it, unless told otherwise."""
        settings = {"decode_responses": True, "socket_timeout": None} | settings
        if self.kind == "simulated":
            client = self.server.client()
        elif self.kind == "embedded":
            client = self.server.async_client(**settings)
        else:
            retry = Retry(NoBackoff(), 0)
            client = redis.asyncio.Redis.from_url(self.url, retry=retry, **settings)
        self._clients.append(client)
        return client

    def run(self, main):
        """Run a coroutine, in virtual time if the server is simulated; then close all clients."""

        async def closing():
            try:
                return await main
            finally:
                for client in self._clients:
                    await client.aclose()

        if self.kind != "simulated":
            return asyncio.run(closing())
        loop = VirtualLoop()
        try:
            return loop.run_until_complete(closing())
        finally:
            loop.close()

    async def stream(self, *values, client=None) -> redis.asyncio.Redis:
        """Make the stream `s` of entries 1-0, 2-0 … with a group at its begin; return a client."""
        client = client or self.client()
        await ensure_group(client, "s", "g")
        for number, value in enumerate(values, 1):
            await client.xadd("s", {"v": value}, f"{number}-0")
        return client

    def consume(self, client, handler, name="C1", **options) -> Consumer:
        """Begin to consume `s`, looking up often."""
        return Consumer(self, client, handler, name, options)

    def report(self, kind, actor, id="", delivery_count=0, at=None):
        self.events.append((kind, id))

    def of(self, kind: str) -> list[str]:
        return [id for what, id in self.events if what == kind]


class Consumer:
    """A consumer that works in the background."""

    def __init__(self, world, client, handler, name, options):
        self.stop = asyncio.Event()
        options = {
            "block": 0.05, "report": world.report,
            "on_error": lambda entry_id, error: world.errors.append((entry_id, error)),
        } | options  # fmt: skip
        self.task = asyncio.ensure_future(
            consume(client, "s", "g", name, handler, stop=self.stop, **options)
        )

    async def until(self, condition: Callable[[], object], what: str):
        """Let it work until something has happened."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SOON
        while not condition():
            if self.task.done():
                self.task.result()
                pytest.fail(f"the consumer has ended before {what}")
            if loop.time() > deadline:
                await self.end()
                pytest.fail(f"within {SOON:g} s, {what}: it did not happen")
            await asyncio.sleep(0.01)

    async def end(self) -> int:
        self.stop.set()
        return await self.task

    async def error(self) -> Exception:
        """Let it work until it ends with an error, soon."""
        done, _ = await asyncio.wait([self.task], timeout=SOON)
        if not done:
            self.task.cancel()
            pytest.fail("the consumer goes on for ever")
        error = self.task.exception()
        assert error is not None, "it ended without an error"
        return error


KINDS = ["simulated", "embedded", pytest.param("real", marks=pytest.mark.redis)]


def make_world(request, **options) -> World:
    url = request.getfixturevalue("redis_url") if request.param == "real" else None
    return World(request.param, url, **options)


@pytest.fixture(params=KINDS)
def world(request):
    return make_world(request)


@pytest.fixture(params=KINDS[1:])
def wire(request):
    """A world whose clients may be given settings: bytes, strictness."""
    return make_world(request)


# ---- 1. a handler's errors are the handler's -----------------------------------------------------------------


#: What looks like a lost Redis, or a lost group, and is not.
FOREIGN = [
    ConnectionRefusedError("the payment service is down"),
    TimeoutError("the database is slow"),
    redis.exceptions.ConnectionError("another Redis is down"),
    redis.exceptions.ResponseError("NOGROUP another stream's"),
]


def failing(error: Exception, tries: list[str]):
    async def handle(entry_id, fields):
        tries.append(entry_id)
        if entry_id == "2-0":
            raise error

    return handle


@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)
def test_a_handlers_error_holds_nobody_up(world, error):
    """The entry stays pending until it is idle; the others are done, and nothing is called a lost connection."""
    tries = []

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
    tries = []

    async def main():
        client = await world.stream(*"abcd")
        ended = await world.consume(client, failing(error, tries)).error()
        return ended, (await client.xpending("s", "g"))["pending"]

    ended, pending = world.run(main())
    assert ended is error
    assert "handle" in [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert (tries, pending) == (["1-0", "2-0"], 1)
    assert world.of("disconnected") == world.of("recreated") == []


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
    tries = []

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


# ---- 2. entries that are no text, 3. clients that do not decode ------------------------------------------------


#: What no client of UTF-8 can decode, and what a handler is given for it.
RAW, ESCAPED = b"\xff\xfe", "\udcff\udcfe"


def collecting(found: list):
    async def handle(entry_id, fields):
        found.append((entry_id, fields))

    return handle


async def half_dead(client, values, n_dead):
    """Make a stream of which a dead consumer holds the first entries, and the consumer C1 the next."""
    await ensure_group(client, "s", "g")
    for number, value in enumerate(values, 1):
        await client.xadd("s", {"v": value}, f"{number}-0")
    for name in ("dead", "C1"):
        await client.execute_command(
            "XREADGROUP", "GROUP", "g", name, "COUNT", n_dead, "STREAMS", "s", ">", NEVER_DECODE=[]
        )


MIXED = ["a", RAW, "b", RAW, "c", RAW, "d"]


@pytest.mark.parametrize(
    "options", [{}, {"ack": "batch"}, {"count": 5}], ids=["each", "batch", "5"]
)
@pytest.mark.parametrize("strategy", ["none", "claim", "autoclaim"])
def test_what_is_no_text_stops_nobody(world, strategy, options):
    """In the own history, among what a dead consumer held, among new entries: the handler has it escaped."""
    found = []

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
    found = []

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
    tries = []

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
        _, letter = (await client.execute_command("XRANGE", "{s}:dead", "-", "+", NEVER_DECODE=[]))[
            0
        ]
        return letter, (await client.xpending("s", "g"))["pending"]

    letter, pending = world.run(main())
    assert letter.get(b"v", letter.get("v")) in (RAW, ESCAPED)
    assert pending == 0
    assert world.of("dead_lettered") == ["2-0"]
    assert {"1-0", "3-0"} <= set(tries)


def test_reclaim_gives_what_is_no_text_to_the_handler(world):
    found = []

    async def main():
        client = world.client()
        await half_dead(client, MIXED, 2)
        await asyncio.sleep(0.02)
        return await reclaim(client, "s", "g", "C2", collecting(found), min_idle=0.01, count=3)

    assert world.run(main()) == 4
    assert [fields["v"] for _, fields in found] == ["a", ESCAPED, "b", ESCAPED]


def test_a_group_whose_stream_ends_with_what_is_no_text_is_made_anew(world):
    """To find out where it begins, the last entry is looked at; and a consumer may be called anything."""
    found = []

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
        await worker.until(lambda: world.of("recreated"), "the group was made anew")
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
    found = []

    async def main():
        client = wire.client(decode_responses=False, protocol=protocol)
        await half_dead(client, MIXED, 2)
        recovery = Recovery(
            strategy, min_idle=0.1, heartbeat=0.04, fenced=True, max_deliveries=5, remove_after=0.2
        )
        worker = wire.consume(client, collecting(found), recovery=recovery, ack=ack, count=2)
        n = 5 if strategy == "none" else 7
        await worker.until(lambda: len(wire.of("acked")) >= n, "all was done")
        if strategy != "none":
            await worker.until(lambda: wire.of("removed"), "the dead one was removed")
            await asyncio.sleep(0.1)
        await client.xgroup_destroy("s", "g")
        await worker.until(lambda: wire.of("recreated"), "the group was made anew")
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
        done = consume(
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


# ---- 4. nothing is added twice --------------------------------------------------------------------------------


def unlucky(client):
    """Let every XADD of a client be executed, and its reply get lost."""
    send = client.execute_command

    async def execute_command(*args, **options):
        reply = await send(*args, **options)
        if args[0] == "XADD":
            raise redis.exceptions.ConnectionError("the reply was lost")
        return reply

    client.execute_command = execute_command
    return client


#: Whatever redis-py accepts as a value or as a name.
VALUES = [
    1, -7, 10**30, 1.5, -0.0, 1e300, float("inf"), "text", "ü", "", b"bytes", RAW, b"",
    bytearray(b"array"), memoryview(b"view"),
]  # fmt: skip


@pytest.mark.parametrize("as_text", [True, False], ids=["text", "bytes"])
def test_nothing_is_added_twice(world, as_text):
    """The producer finds what it added, whatever that looked like when it was sent."""

    async def main():
        client = unlucky(world.client(decode_responses=as_text))
        hashable = [value for value in VALUES if not isinstance(value, bytearray | memoryview)]
        values = {f"field {n}": value for n, value in enumerate(VALUES)}
        names = {value: f"value {n}" for n, value in enumerate(hashable)}
        arrivals = [(0.0, values), (0.0, names), (0.0, values | {"n": 2}), (0.0, {"n": 3})]
        n = await produce(client, "s", arrivals, report=world.report, patience=0.1)
        return n, await client.xlen("s")

    assert world.run(main()) == (4, 4)
    assert len(world.of("disconnected")) == 4
    assert {type(id) for id in world.of("added")} == {str}


def test_what_differs_is_added(world):
    """A lost reply to one is no reason to leave out another that looks much like it."""

    async def main():
        client = unlucky(world.client())
        likely = [{"a": 1}, {"a": "1 "}, {"a": 1.0}, {"b": 1}, {"a": 1, "b": 1}, {"a": 10}]
        n = await produce(client, "s", [(0.0, fields) for fields in likely], patience=0.1)
        return n, await client.xlen("s")

    assert world.run(main()) == (6, 6)


@pytest.mark.parametrize("retries", [0, 3])
def test_who_sends_again_by_itself_is_told_so(caplog, retries):
    """redis-py's default: an XADD that is sent again is added twice, and nobody else hears of it."""

    async def main():
        client = EmbeddedServer().async_client(retry=Retry(NoBackoff(), retries))
        await produce(client, "s", [(0.0, {"n": 1})])
        await ensure_group(client, "s", "g")
        stop = asyncio.Event()
        stop.set()
        await consume(client, "s", "g", "C1", collecting([]), stop=stop)
        await client.aclose()

    asyncio.run(main())
    told = [
        record.getMessage()
        for record in caplog.records
        if "Retry(NoBackoff(), 0)" in record.getMessage()
    ]
    assert len(told) == (2 if retries else 0)
