"""The actors as code that people lift into their services: what goes wrong around them, on each kind of client."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import re
import traceback
from collections.abc import Callable
from functools import partial
from random import Random

import pytest
import redis.asyncio
import redis.exceptions
from redis._parsers.base import BaseParser
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from streamlab.actors import Advice, Recovery, RedisLost, Unsupported, consume, ensure_group, produce, reclaim
from streamlab.actors.redis_calls import place_in
from streamlab.actors.replies import Replies
from streamlab.actors.trouble import Patience, explain, is_group_gone, is_hopeless, passes
from streamlab.actors.work import Work
from streamlab.lab.lab import Lab
from streamlab.scenario import ScenarioError, load_scenario
from streamlab.servers.client import ServerUnusable, ask_server, stream_client, sync_stream_client
from streamlab.servers.embedded import EmbeddedServer
from streamlab.servers.private import PrivateServer
from streamlab.virtual.loop import Deadlock, VirtualLoop
from streamlab.virtual.redis import SimulatedServer
from streamlab.virtual.task import PROCESS
from tests.soak.pair import Pair

#: Seconds of the event loop within which something has to happen.
SOON = 5.0
#: And within which a test has to end, if time is real.
LIMIT = 20.0


class World:
    """A server, simulated, embedded or real: clients of it, consumers, and what they report."""

    def __init__(self, kind: str, url: str | None = None, version: tuple[int, int, int] = (7, 0, 15)):
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
                async with asyncio.timeout(200_000 if self.kind == "simulated" else LIMIT):
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
        self.task = asyncio.ensure_future(consume(client, "s", "g", name, handler, stop=self.stop, **options))

    async def until(self, condition: Callable[[], object], what: str):
        """Let it work until something has happened."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SOON
        while not condition():
            if self.task.done():
                self.task.result()
                pytest.fail(f"the consumer has ended before {what}")
            if loop.time() > deadline:
                self.task.cancel()
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
        return error  # type: ignore[return-value]


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


@pytest.mark.parametrize("claims", [True, False])
def test_what_is_cancelled_in_a_handler_does_not_cancel_the_consumer(world, claims):
    """It fails with that entry, as by any other error; a cancellation of the consumer itself is one."""
    found = []

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


def busy(seconds: float):
    async def handle(entry_id, fields):
        await asyncio.sleep(seconds)

    return handle


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


@pytest.mark.parametrize("options", [{}, {"ack": "batch"}, {"count": 5}], ids=["each", "batch", "5"])
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
        _, letter = (await client.execute_command("XRANGE", "{s}:dead", "-", "+", NEVER_DECODE=[]))[0]
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


def test_a_group_whose_stream_ends_with_what_is_no_text_is_recreated(world):
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
    found = []

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


def unlucky(client, every=1):
    """Let every XADD of a client be executed, or every second one …, and its reply get lost."""
    send, n_sent = client.execute_command, itertools.count(1)

    async def execute_command(*args, **options):
        reply = await send(*args, **options)
        if args[0] == "XADD" and next(n_sent) % every == 0:
            raise redis.exceptions.ConnectionError("the reply was lost")
        return reply

    client.execute_command = execute_command
    return client


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
        arrivals = [(0.0, values), (0.0, names), (0.0, values | {"n": 2}), (0.0, {"n": 3})]
        n = await produce(client, "s", arrivals, report=world.report, patience=0.1)
        return n, await client.xlen("s")

    assert world.run(main()) == (4, 4)
    assert len(world.of("disconnected")) == 4 // every
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
    told = [record.getMessage() for record in caplog.records if "Retry(NoBackoff(), 0)" in record.getMessage()]
    assert len(told) == (2 if retries else 0)


# ---- 5. what passes is waited for, and nothing else -------------------------------------------------------------


@pytest.fixture
def server(server_binary):
    with PrivateServer(server_binary) as server:
        yield server


@pytest.fixture
def own(server):
    """A world on a real server of its own, which may be made to refuse what it likes."""
    return World("real", server.url)


def with_errors(client):
    """Return a client, and the list of the errors that its commands end with from now on."""
    errors, send, pipeline = [], client.execute_command, client.pipeline

    async def execute_command(*args, **options):
        try:
            return await send(*args, **options)
        except Exception as error:
            errors.append(error)
            raise

    def watched_pipeline(*args, **options):
        pipe = pipeline(*args, **options)
        execute = pipe.execute

        async def watched_execute(*args, **options):
            replies = await execute(*args, **options)
            errors.extend(reply for reply in replies if isinstance(reply, Exception))
            return replies

        pipe.execute = watched_execute
        return pipe

    client.execute_command, client.pipeline = execute_command, watched_pipeline
    return client, errors


@contextlib.asynccontextmanager
async def a_replica(admin, server):
    await admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        await admin.execute_command("REPLICAOF", "NO", "ONE")


@contextlib.asynccontextmanager
async def a_replica_that_keeps_still(admin, server):
    await admin.config_set("replica-serve-stale-data", "no")
    async with a_replica(admin, server):
        yield


@contextlib.asynccontextmanager
async def configured(admin, server, name, value, usual):
    await admin.config_set(name, value)
    try:
        yield
    finally:
        await admin.config_set(name, usual)


without_replicas = partial(configured, name="min-replicas-to-write", value="1", usual="0")
out_of_memory = partial(configured, name="maxmemory", value="1", usual="0")


@contextlib.asynccontextmanager
async def unable_to_save(admin, server):
    async def saved(status):
        await admin.bgsave()
        while (info := await admin.info("persistence"))["rdb_bgsave_in_progress"]:
            await asyncio.sleep(0.01)
        assert info["rdb_last_bgsave_status"] == status

    (server.folder / "dump.rdb").mkdir()  # which no file can replace
    await admin.config_set("save", "3600 100000")
    await saved("err")
    try:
        yield
    finally:
        (server.folder / "dump.rdb").rmdir()
        await saved("ok")


@contextlib.asynccontextmanager
async def busy_with_a_script(admin, server):
    await admin.config_set("lua-time-limit", "10")
    script = asyncio.ensure_future(admin.eval("while true do end", 0))
    try:
        yield
    finally:
        while not script.done():
            with contextlib.suppress(redis.exceptions.ResponseError):  # not busy for long enough
                await admin.script_kill()
        assert isinstance(script.exception(), redis.exceptions.ResponseError)


STATES = {
    "READONLY": a_replica, "MASTERDOWN": a_replica_that_keeps_still, "NOREPLICAS": without_replicas,
    "OOM": out_of_memory, "MISCONF": unable_to_save, "BUSY": busy_with_a_script,
}  # fmt: skip


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("strategy", ["none", "autoclaim"])
def test_a_state_that_passes_is_waited_out(own, server, state, strategy):
    """Everybody lives, everything is added once and done once; out of memory, consumers go on."""
    found, n = [], 40

    async def main():
        admin = await own.stream()
        client, met = with_errors(own.client())
        source, refused = with_errors(own.client())
        recovery = Recovery(strategy, min_idle=5, interval=0.02, fenced=strategy != "none")
        worker = own.consume(client, collecting(found), recovery=recovery, patience=10)
        arrivals = [(i / 200, {"n": i}) for i in range(n)]
        producer = asyncio.ensure_future(produce(source, "s", arrivals, patience=10))
        await worker.until(lambda: found, "it had begun")
        async with STATES[state](admin, server):
            # Out of memory, consumers read; and one that is blocked when a script begins stays so.
            is_met = state in ("OOM", "BUSY")
            await worker.until(lambda: len(refused) > 1 and (met or is_met), "all were refused")
            assert not producer.done()
        assert await producer == n
        await worker.until(lambda: len(found) >= n, "all was done")
        await worker.end()
        assert [type(error) for error in met if state == "OOM"] in ([], [redis.exceptions.NoScriptError])
        return (await admin.xpending("s", "g"))["pending"], await admin.xlen("s")

    assert own.run(main()) == (0, n)
    assert sorted(int(fields["n"]) for _, fields in found) == [*range(n)]
    assert own.of("disconnected") == own.of("recreated") == []


@pytest.mark.parametrize("actor", ["consume", "produce", "heartbeat"])
def test_after_a_failover_no_connection_stays_with_the_replica(default_server_binary, actor):
    """Also one that was in use when roles changed: what it read later might be old. Nor do heartbeats stay there."""
    with Pair(default_server_binary) as pair:
        world, found = World("real", pair.url), []

        async def main():
            client = await world.stream(client=world.client(client_name="C1"))
            pool = client.connection_pool
            in_use = [await pool.get_connection() for _ in range(2)]
            if actor == "produce":
                await produce(client, "s", [(0.0, {"n": 1})])
            elif actor == "consume":
                worker = world.consume(client, collecting(found), block=1)
                while not pair.master.client.info("clients")["blocked_clients"]:
                    await asyncio.sleep(0.01)
            else:
                # It is given an entry, holds it meanwhile, and learns by its heartbeat alone.
                await client.xadd("s", {"n": 1})
                recovery = Recovery("autoclaim", min_idle=10, heartbeat=0.05)
                may_end = asyncio.Event()

                async def handle(entry_id, fields):
                    found.append(entry_id)
                    await may_end.wait()

                worker = world.consume(client, handle, recovery=recovery)
                await worker.until(lambda: found, "it has begun")
            await asyncio.to_thread(pair.fail_over)
            if actor == "produce":
                await produce(client, "s", [(0.0, {"n": 2})])
            elif actor == "consume":
                await world.client().xadd("s", {"n": 1})
                await worker.until(lambda: found, "it was done")
            else:
                await worker.until(lambda: len(connections(pair.replica)) == 2, "the heartbeat has left")
                may_end.set()
            for connection in in_use:
                await pool.release(connection)
            if actor != "produce":
                await worker.end()
            return len(connections(pair.replica))

        def connections(node):
            return [row for row in node.client.client_list() if row["name"] == "C1"]

        assert world.run(main()) == 0


def test_what_does_not_pass_in_time_is_raised(own, server):
    """Patience has an end: with what the server said."""

    async def main():
        admin = await own.stream("a")
        async with without_replicas(admin, server):
            began = asyncio.get_running_loop().time()
            producing = produce(own.client(), "s", [(0.0, {"n": 1})], patience=0.2)
            reclaiming = reclaim(own.client(), "s", "g", "C2", collecting([]), min_idle=1, patience=0.2)
            ensuring = ensure_group(own.client(), "s", "h", patience=0.2)
            said = await asyncio.gather(
                own.consume(own.client(), collecting([]), patience=0.2).error(),
                producing, reclaiming, ensuring, return_exceptions=True,
            )  # fmt: skip
            return [str(error) for error in said], asyncio.get_running_loop().time() - began

    said, seconds = own.run(main())
    assert [words.partition(" ")[0] for words in said] == ["NOREPLICAS"] * 4
    assert 0.2 <= seconds < SOON


def test_a_walk_begins_again_once_the_server_lets_it(own, server):
    """`reclaim` waits as well; what it has claimed without hearing of it is left for the next one."""
    found = []

    async def main():
        admin = own.client()
        await half_dead(admin, "abcd", 2)
        client, met = with_errors(own.client())
        async with without_replicas(admin, server):
            task = asyncio.ensure_future(
                reclaim(client, "s", "g", "C2", collecting(found), min_idle=0.001, patience=10)
            )
            while not met:
                await asyncio.sleep(0.01)
        return await task

    assert own.run(main()) == 4


def test_a_reader_that_is_blocked_in_a_failover_goes_on(own, server):
    """UNBLOCKED, instance state changed: the group is not gone, and is not recreated."""
    found = []

    async def main():
        admin = await own.stream()
        client, met = with_errors(own.client())
        worker = own.consume(client, collecting(found), block=1, patience=10)
        while not (await admin.info("clients"))["blocked_clients"]:
            await asyncio.sleep(0.01)
        async with a_replica(admin, server):
            await worker.until(lambda: len(met) > 1, "it was refused")
        await admin.xadd("s", {"v": "a"}, "1-0")
        await worker.until(lambda: found, "it was done")
        await worker.end()
        return str(met[0])

    assert own.run(main()).startswith("UNBLOCKED")
    assert own.of("recreated") == own.of("disconnected") == []


def test_out_of_memory_what_cannot_be_buried_stays_pending(own, server):
    """XADD to the dead letters is refused: that is told, the others are done, and later it is buried."""
    tries = []

    async def main():
        admin = await own.stream("a", "b", "c")
        recovery = Recovery("autoclaim", min_idle=0.05, max_deliveries=1, heartbeat=0.02, fenced=True)
        worker = own.consume(own.client(), failing(LookupError(), tries), recovery=recovery)
        async with out_of_memory(admin, server):
            await worker.until(lambda: len(own.errors) > 2, "its burial was refused")
            pending = (await admin.xpending("s", "g"))["pending"]
        await worker.until(lambda: own.of("dead_lettered"), "it was buried")
        await worker.end()
        return pending

    assert own.run(main()) == 1
    assert tries == ["1-0", "2-0", "3-0"]
    assert isinstance(own.errors[1][1], redis.exceptions.OutOfMemoryError)


async def all_actors(world, client, stream="s", **options):
    """Return what each actor ends with."""
    return await asyncio.gather(
        consume(client(), stream, "g", "C1", collecting([]), block=0.05, **options),
        produce(client(), stream, [(0.0, {"n": 1})]),
        reclaim(client(), stream, "g", "C2", collecting([]), min_idle=1),
        ensure_group(client(), stream, "h", patience=30),
        return_exceptions=True,
    )


def test_a_key_that_is_no_stream_ends_everybody_at_once(world):
    """With words that name it, and what to do."""

    async def main():
        await world.client().set("s", "text")
        return await asyncio.wait_for(all_actors(world, world.client), SOON)

    said = [str(error) for error in world.run(main())]
    assert all("WRONGTYPE" in words and "the key 's' holds no stream" in words for words in said)
    assert all(("group 'g'" in words) == (n in (0, 2)) for n, words in enumerate(said))


def test_words_are_added_once():
    """Whoever passes an error on has no need to know who has explained it."""
    error = BaseParser.parse_error("WRONGTYPE Operation against a key")
    for _ in range(2):
        explain(error, "s", "g")
    assert str(error).count("the key 's' holds no stream") == 1


def test_a_missing_permission_ends_everybody_at_once(own):
    """It does not pass; the words say what to allow, and where."""

    async def main():
        admin = await own.stream("a")
        await admin.execute_command("ACL", "SETUSER", "poor", "on", ">secret", "~*", "+@connection")
        poor = partial(own.client, username="poor", password="secret")
        return await asyncio.wait_for(all_actors(own, poor), SOON)

    for error in own.run(main()):
        assert isinstance(error, redis.exceptions.NoPermissionError)
        assert "ACL SETUSER" in str(error)
        assert "stream 's'" in str(error)


def test_a_refused_password_ends_everybody_at_once(own):
    """The words say what to correct; no password is among them."""

    async def main():
        await own.stream("a")
        intruder = partial(own.client, username="nobody", password="wrong")
        return await asyncio.wait_for(all_actors(own, intruder), SOON)

    for error in own.run(main()):
        assert is_hopeless(error)  # redis-py wraps it in a ConnectionError
        assert "correct the user and the password" in str(error)
        assert "wrong'" not in str(error)


@pytest.mark.parametrize(
    ("words", "passing"),
    [
        ("READONLY You can't write against a read only replica.", True),
        ("MASTERDOWN Link with MASTER is down", True),
        ("CLUSTERDOWN The cluster is down", True),
        ("TRYAGAIN Multiple keys request during rehashing of slot", True),
        ("OOM command not allowed when used memory > 'maxmemory'.", True),
        ("NOREPLICAS Not enough good replicas to write.", True),
        ("MISCONF Redis is configured to save RDB snapshots, but it's unable to persist", True),
        ("BUSY Redis is busy running a script.", True),
        ("LOADING Redis is loading the dataset in memory", True),
        ("UNBLOCKED force unblock from blocking operation, instance state changed", True),
        ("UNBLOCKED the stream key no longer exists", False),
        ("ERR Error running script (call to f_1): @user_script:8: @user_script: 8: -OOM command not allowed", True),
        ("NOREPLICAS Not enough good replicas to write. script: 1f, on @user_script:8.", True),
        ("BUSYGROUP Consumer Group name already exists", False),
        ("NOGROUP No such key 'OOM' or consumer group 'BUSY g' in XREADGROUP with GROUP option", False),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", False),
        ("NOPERM this user has no permissions to run the 'xadd' command", False),
        ("ERR unknown command 'XNACK'", False),
    ],
)  # fmt: skip
def test_what_a_server_says_passes_or_does_not(words, passing):
    """As redis-py makes errors of it."""
    error = BaseParser.parse_error(words)
    assert passes(error) == passing
    assert is_group_gone(error) == words.startswith(("NOGROUP", "UNBLOCKED the"))


def test_patience_counts_the_time_that_tries_take(world):
    """A server that is slow to refuse is tried less often, and for no longer."""

    async def main():
        patience, refusal = Patience(0.5), redis.exceptions.ReadOnlyError()
        for n in range(9):
            try:
                await patience.wait(refusal)
            except redis.exceptions.ReadOnlyError:
                return n
            await asyncio.sleep(0.2)

    assert world.run(main()) == 2


def test_a_client_that_gives_up_an_idle_read_is_no_lost_server(world):
    """With a time-out shorter than BLOCK each read fails, and nothing is wrong with the server."""
    found = []

    async def main():
        client = await world.stream()
        send = client.execute_command

        async def execute_command(*args, **options):
            if ">" not in args:
                return await send(*args, **options)
            try:
                async with asyncio.timeout(0.05):
                    return await send(*args, **options)
            except TimeoutError:
                raise redis.exceptions.TimeoutError("Timeout reading") from None

        client.execute_command = execute_command
        worker = world.consume(client, collecting(found), block=0.1, patience=0.2)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await worker.until(lambda: loop.time() > began + 1, "it has had time to lose patience")
        await world.client().xadd("s", {"v": "a"})
        await worker.until(lambda: found, "what came was done")
        await worker.end()

    world.run(main())


def test_what_fails_each_time_after_a_first_answer_is_not_tried_for_ever(world):
    """The own history is answered, new entries never are: patience has an end."""

    async def main():
        client = await world.stream("a")
        send = client.execute_command

        async def execute_command(*args, **options):
            if ">" in args:
                raise redis.exceptions.ConnectionError("cut")
            return await send(*args, **options)

        client.execute_command = execute_command
        return await world.consume(client, collecting([]), patience=0.3).error()

    assert "cut" in str(world.run(main()))


# ---- 6. a group that is destroyed begins where all was acknowledged ----------------------------------------------


@pytest.mark.parametrize("ack", ["each", "batch"])
@pytest.mark.parametrize(
    ("strategy", "interval"),
    [("none", None), ("restart", None), ("claim", 0.05), ("autoclaim", 0.05), ("autoclaim", 600)],
)
def test_what_was_acknowledged_long_before_is_not_done_again(world, strategy, interval, ack):
    """Whatever the strategy, and however seldom it looks for what others left."""
    found = []

    async def main():
        client = await world.stream(*"abcdef")
        recovery = Recovery(strategy, min_idle=60, interval=interval)
        options = {"recovery": recovery, "ack": ack, "count": 4}
        first = world.consume(client, collecting(found), **options)
        await first.until(lambda: len(found) == 6, "all was done")
        await first.until(lambda: len(world.of("acked")) == 6, "all was acknowledged")
        await client.xadd("s", {"v": "g"}, "7-0")
        await first.until(lambda: len(world.of("acked")) == 7, "all was acknowledged")
        began = asyncio.get_running_loop().time()
        await first.until(lambda: asyncio.get_running_loop().time() > began + 0.2, "it has had time to look")
        await client.xgroup_destroy("s", "g")
        await first.until(lambda: world.of("recreated"), "the group was recreated")
        await client.xadd("s", {"v": "h"}, "8-0")
        await first.until(lambda: len(found) > 7, "what came later was done")
        await first.end()

    world.run(main())
    assert [entry_id for entry_id, _ in found] == [f"{n}-0" for n in range(1, 9)]
    assert world.of("recreated") == ["7-0"]


def test_what_was_pending_is_done_again(world):
    """The place lies before what another consumer has not acknowledged, however much came after."""
    found = []

    async def main():
        client = world.client()
        await half_dead(client, "abcd", 1)
        worker = world.consume(client, collecting(found))
        await worker.until(lambda: len(found) == 3, "all was done but what is the dead one's")
        await client.xgroup_destroy("s", "g")
        await worker.until(lambda: len(found) == 7, "all was done")
        await worker.end()

    world.run(main())
    assert world.of("recreated") == [f"0-{2**64 - 1}"]  # just before 1-0
    assert [entry_id for entry_id, _ in found] == ["2-0", "3-0", "4-0", "1-0", "2-0", "3-0", "4-0"]


@pytest.mark.parametrize("block", [0, 5])
@pytest.mark.parametrize("ack", ["each", "batch"])
def test_under_load_no_more_than_some_seconds_are_done_again(ack, block):
    """A read that never comes back empty is no excuse: 60 s of 10 entries each."""
    world, found = World("simulated"), []

    async def main():
        client = await world.stream()
        worker = world.consume(client, collecting(found), ack=ack, block=block)
        producer = asyncio.ensure_future(produce(world.client(), "s", [(n / 10, {"n": n}) for n in range(600)]))
        await asyncio.sleep(47)
        await client.xgroup_destroy("s", "g")
        await producer
        await worker.until(lambda: found[-1][1]["n"] == "599", "all was done")
        worker.task.cancel()
        return len(found) - len({entry_id for entry_id, _ in found})

    assert world.run(main()) <= 60


@pytest.mark.parametrize("ack", ["each", "batch"])
def test_to_note_the_place_costs_no_round_trip(monkeypatch, ack):
    """And changes nothing that happens: it travels with reads."""

    def life():
        world, loop = World("simulated"), VirtualLoop()
        world.server = SimulatedServer(loop=loop)

        async def main():
            client = await world.stream(*"abc")
            workers = [
                world.consume(world.server.client(), busy(0.3), name, ack=ack, block=1, count=2)
                for name in ("C1", "C2", "C3")
            ]
            await produce(client, "s", [(n / 5 + n // 50 * 7, {"n": n}) for n in range(200)])
            await asyncio.sleep(10)
            for worker in workers:
                await worker.end()
            return world.events, world.server.n_round_trips, world.server.n_commands

        return loop.run_until_complete(main())

    events, n_round_trips, n_commands = life()
    monkeypatch.setattr(Work, "notes_place", False)
    assert life()[:2] == (events, n_round_trips)
    assert 3 * 2 * 2 < n_commands - life()[2] < 3 * 2 * 30


def test_who_may_only_read_and_acknowledge_works_all_the_same(own):
    """XINFO and XPENDING are asked for as a precaution: without them, a lost group begins at 0."""
    found = []

    async def main():
        admin = await own.stream(*"abc")
        await admin.execute_command(
            "ACL", "SETUSER", "poor", "on", ">secret", "~*", "+@connection", "+xreadgroup", "+xack", "+xrevrange",
            "+xgroup|create", "+xgroup",
        )  # fmt: skip
        client = own.client(username="poor", password="secret")
        worker = own.consume(client, collecting(found))
        await worker.until(lambda: len(found) == 3, "all was done")
        await admin.xgroup_destroy("s", "g")
        await worker.until(lambda: len(found) == 6, "all was done again")
        await worker.end()

    own.run(main())
    assert own.of("recreated") == ["0"]


@pytest.mark.parametrize("seed", range(4))
def test_the_place_loses_nothing_whatever_comes_between(seed):
    """Between the two commands anything may happen, also to the group itself: what lies before was acknowledged."""
    random = Random(seed)
    for _ in range(150):
        place, settled, story = a_place_of(random)
        lost = [number for number in range(1, place + 1) if number not in settled]
        assert not lost, f"{lost} before {place}: {story}"


def a_place_of(random):
    """Let things happen to a stream of entries 1-1, 2-1 …; return the place that is found, and what was settled."""
    server, settled, story, known = SimulatedServer(), set(), [], "0-0"

    def send(*words):
        story.append(" ".join(map(str, words)))
        return server.commands.execute([str(word) for word in words], 0)

    def number(entry_id):
        return int(entry_id.partition("-")[0])

    def happen(n_times):
        for _ in range(n_times):
            act = random.choice(["add", "read", "read", "ack", "ack", "ack", "recreate", "force"])
            pending = [row[0] for row in send("XPENDING", "s", "g", "-", "+", 100)]
            length = send("XLEN", "s")
            if act == "add":
                send("XADD", "s", f"{length + 1}-1", "n", length)
            elif act == "read":
                send("XREADGROUP", "GROUP", "g", "C", "COUNT", random.randint(1, 3), "STREAMS", "s", ">")
            elif act == "ack" and pending:
                entry_id = random.choice(pending)
                send("XACK", "s", "g", entry_id)
                settled.add(number(entry_id))
            elif act == "force" and length:  # pending, though it never was delivered
                send("XCLAIM", "s", "g", "C", 0, f"{random.randint(1, length)}-1", "FORCE")
            elif act == "recreate" and random.random() < 0.4:
                start = random.choice(["0", known, "$"])
                send("XGROUP", "DESTROY", "s", "g")
                send("XGROUP", "CREATE", "s", "g", start)
                if start == "$":  # whoever does this wants nothing of them
                    settled.update(range(1, length + 1))

    send("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    replies = Replies(server.client())
    for _ in range(3):
        happen(random.randint(0, 12))
        groups = send("XINFO", "GROUPS", "s")
        happen(random.choice([0, 0, 1, 2, 5]))
        pending, first, *_ = send("XPENDING", "s", "g")
        known = place_in(replies, "g", (groups, {"pending": pending, "min": first}), known)
        story.append(f"place {known}")
    # Ids end in 1: a place n-0 lies before n-1, and the last-delivered id n-1 does not.
    return number(known) - known.endswith("-0"), settled, story


# ---- 7. what a server has not got is said before anything runs ----------------------------------------------------


def knows(client, *commands):
    """Let a client's server answer to commands that it does not know; return the client, and what was sent."""
    sent, send = [], client.execute_command

    async def execute_command(*args, **options):
        sent.append(" ".join(map(str, args)))
        if args[0] not in commands:
            return await send(*args, **options)
        if len(args) == 1:
            raise redis.exceptions.ResponseError("wrong number of arguments for 'xnack' command")

    client.execute_command = execute_command
    return client, sent


@pytest.mark.parametrize(("strategy", "needed"), [("read-claim", "XREADGROUP … CLAIM"), ("nack", "XNACK")])
@pytest.mark.parametrize("history", [True, False])
def test_a_server_that_has_not_got_it_is_refused_by_name(world, strategy, needed, history):
    """Before anything is read; the words say what is missing, since when there is one, and what to take."""
    tries = []

    async def main():
        client = world.client()
        await half_dead(client, "abcd", 1)
        recovery = Recovery(strategy, history=history)
        error = await world.consume(client, failing(LookupError(), tries), recovery=recovery).error()
        return error, (await client.xpending("s", "g"))["pending"]

    if world.kind == "real" and works_on(world.url, strategy):
        pytest.skip("this server has it")
    error, pending = world.run(main())
    assert isinstance(error, Unsupported)
    name = r"(Redis|Valkey) \d+\.\d+\.\d+"
    assert re.search(rf"{name}.* has no {needed}, which the recovery '{strategy}' needs", str(error))
    assert "take 'autoclaim'" in str(error)
    assert (tries, pending, world.of("delivered")) == ([], 2, [])


def works_on(url, strategy):
    info = ask_server(url)
    return Recovery(strategy).works_on(info.kind, info.version)


def test_a_server_that_has_it_is_asked_once(world):
    """XNACK without arguments: whoever knows the command says what is missing."""

    async def main():
        client, sent = knows(world.client(), "XNACK")
        await world.stream("a", client=client)
        recovery = Recovery("nack", min_idle=5)
        worker = world.consume(client, failing(LookupError(), []), recovery=recovery)
        await client.xadd("s", {"v": "b"}, "2-0")
        await worker.until(lambda: world.errors, "a handler has failed")
        await worker.end()
        return [words for words in sent if "XNACK" in words]

    assert world.run(main()) == ["XNACK", "XNACK s g FAIL IDS 1 2-0"]


def test_who_is_told_to_recover_by_what_is_not_there_says_so(world):
    """Advice is checked as well, as soon as it is heard."""

    async def main():
        advice = Advice()
        worker = world.consume(await world.stream("a"), collecting([]), advice=advice)
        await worker.until(lambda: world.of("acked"), "it was done")
        advice.recover(Recovery("nack"))
        return await worker.error()

    assert isinstance(world.run(main()), Unsupported)


@pytest.mark.parametrize(
    ("strategy", "kind", "version", "works"),
    [
        ("autoclaim", "redis", (6, 2, 0), True), ("autoclaim", "valkey", (7, 2, 4), True),
        ("read-claim", "redis", (8, 3, 9), False), ("read-claim", "redis", (8, 4, 0), True),
        ("read-claim", "valkey", (9, 1, 2), False), ("nack", "redis", (8, 6, 3), False),
        ("nack", "redis", (8, 8, 0), True), ("nack", "valkey", (9, 1, 2), False),
    ],
)  # fmt: skip
def test_which_servers_have_what_a_strategy_needs(strategy, kind, version, works):
    assert Recovery(strategy).works_on(kind, version) == works


def test_a_simulated_lab_says_it_before_it_runs():
    """read-claim is refused on a model that is too old, also when it is switched on; nack is done otherwise."""
    scenario = load_scenario("crash")
    with pytest.raises(ScenarioError, match=r"model of Redis 7\.0\.15 has no XREADGROUP … CLAIM.*redis_version"):
        Lab(scenario.with_recovery("read-claim"))
    with Lab(scenario) as lab, pytest.raises(ScenarioError, match="has no XREADGROUP … CLAIM"):
        lab.set_recovery("read-claim")
    with Lab(scenario.replace(redis_version="8.4.0")) as lab:
        lab.set_recovery("read-claim")
    nack, autoclaim = (Lab(scenario.with_recovery(name)).run() for name in ("nack", "autoclaim"))
    assert nack.server == "model of Redis 7.0.15, without XNACK: nack recovers as autoclaim"
    assert nack.events == autoclaim.events
    assert autoclaim.server == "model of Redis 7.0.15"


@pytest.mark.parametrize("strategy", ["read-claim", "nack"])
def test_a_live_lab_says_it_before_it_runs(redis_url, strategy):
    """In one line, with nothing started and nothing left on the server; also when it is switched on."""
    if works_on(redis_url, strategy):
        pytest.skip("this server has it")
    scenario = load_scenario("crash").with_recovery(strategy)
    with pytest.raises(ServerUnusable, match=f"has no .*which the recovery '{strategy}' needs"):
        Lab(scenario, engine="live", redis_url=redis_url).run()
    with sync_stream_client(redis_url) as client:
        assert client.keys() == []
    with Lab("kill-and-recover", engine="live", redis_url=redis_url) as lab:
        lab.play()
        with pytest.raises(ServerUnusable, match="has no "):
            lab.set_recovery(strategy)
        assert all(consumer.state != "dead" for consumer in lab.snapshot().consumers)


# ---- 8. a server that accepts and never answers --------------------------------------------------------------------


class Silence:
    """Lets a simulated server fall silent at a command: it is executed or not, and nobody hears of it."""

    def __init__(self, client, command, nth=1):
        self.client, self._command, self._n_left = client, command, nth
        self._send, self._pipeline = client.execute_command, client.pipeline
        self.since = None
        client.execute_command, client.pipeline = self._execute, self._make_pipeline

    async def _hush(self, *commands):
        for words in commands:
            texts = (word.decode() if isinstance(word, bytes) else str(word) for word in words)
            self._n_left -= self._command in " ".join(texts)
        if self._n_left <= 0:
            loop = asyncio.get_running_loop()
            self.since = loop.time()
            await loop.create_future()

    async def _execute(self, *args, **options):
        await self._hush(args)
        return await self._send(*args, **options)

    def _make_pipeline(self, *args, **options):
        pipe = self._pipeline(*args, **options)
        execute = pipe.execute

        async def hushed(*args, **options):
            await self._hush(*(words for words, _ in pipe.command_stack))
            return await execute(*args, **options)

        pipe.execute = hushed
        return pipe


@pytest.fixture
def simulated():
    return World("simulated")


#: A command of each kind, with how often it has been answered, and by what recovery and acknowledging it comes.
COMMANDS = [
    ("STREAMS s 0", 1, "none", "each"), ("STREAMS s >", 1, "none", "each"), ("STREAMS s >", 9, "none", "each"),
    ("XACK", 3, "none", "each"), ("XACK", 2, "none", "batch"), ("XPENDING s g", 1, "none", "each"),
    ("XAUTOCLAIM", 1, "autoclaim", "each"), ("XAUTOCLAIM", 4, "autoclaim", "each"),
    ("XPENDING s g IDLE", 2, "claim", "each"), ("XCLAIM", 1, "claim", "each"), ("EVAL", 2, "autoclaim", "each"),
    ("XINFO", 3, "autoclaim", "each"), ("XNACK", 1, "nack", "each"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "nth", "strategy", "ack"), COMMANDS)
def test_a_server_that_falls_silent_ends_a_consumer(simulated, command, nth, strategy, ack):
    """At whichever command: after what a read may block, and patience; not before, and not much later."""

    async def main():
        client = simulated.client()
        await half_dead(client, "abcdef", 2)
        silence = Silence(simulated.client(), command, nth)
        recovery = Recovery(
            strategy, min_idle=2, remove_after=3 if strategy != "none" else None,
            fenced=ack == "each" and strategy != "none", max_deliveries=3,
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        with pytest.raises(redis.exceptions.TimeoutError, match="has not answered for 7 s"):
            await consume(silence.client, "s", "g", "C1", busy(0.2), block=2, patience=5, ack=ack, recovery=recovery)
        waited = loop.time() - silence.since
        await silence.client.aclose()
        return waited, [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    waited, left = simulated.run(main())
    assert 7 <= waited < 8
    assert left == []


def test_a_server_that_falls_silent_ends_the_others_as_well(simulated):
    """A producer, a walk through what is pending, the making of a group."""

    async def ended(act, seconds):
        began = asyncio.get_running_loop().time()
        with pytest.raises(redis.exceptions.TimeoutError, match=f"has not answered for {seconds} s"):
            await act
        return asyncio.get_running_loop().time() - began

    async def main():
        def silent(command, nth=1):
            return Silence(simulated.client(), command, nth).client

        await half_dead(simulated.client(), "abcd", 2)
        await asyncio.sleep(1)
        arrivals = [(n * 100.0, {"n": n}) for n in range(5)]
        reclaiming = reclaim(silent("XACK"), "s", "g", "C2", busy(0), min_idle=1, patience=7)
        return [
            await ended(produce(silent("XADD"), "s", arrivals, patience=5), 5),
            await ended(produce(silent("XADD", 3), "s", arrivals, patience=5), 5) - 200,
            await ended(produce(unlucky(silent("XRANGE")), "s", arrivals, patience=5), 5),
            await ended(reclaiming, 7) - 2,
            await ended(ensure_group(silent("XGROUP"), "s", "h", patience=9), 9) - 4,
            await ended(ensure_group(silent("XGROUP"), "s", "h"), 5),
            await ended(ensure_group(silent("XGROUP"), "s", "h", patience=2), 2) + 3,
        ]

    assert all(5 <= seconds < 6 for seconds in simulated.run(main()))


@pytest.mark.parametrize("block", [0, 2])
def test_a_server_that_takes_long_is_not_silent(simulated, block):
    """Nor is one whose every answer takes nearly as long as it may."""

    async def main():
        client = await simulated.stream(*"abcdefgh")
        slow = simulated.server.client(round_trip=4.5)
        recovery = Recovery("autoclaim", min_idle=1, fenced=True, max_deliveries=9, remove_after=9)
        for options in ({"recovery": recovery}, {"ack": "batch", "count": 2}, {}):
            worker = simulated.consume(slow, busy(0.1), block=block, patience=5, **options)
            await asyncio.sleep(200)
            worker.task.cancel()
            await asyncio.wait([worker.task])
            assert worker.task.cancelled()
            await client.xadd("s", {"v": "i"})
        arrivals = [(float(n), {"n": n}) for n in range(20)]
        return await produce(slow, "s", arrivals, patience=5)

    assert simulated.run(main()) == 20


@pytest.mark.parametrize("block", [0, 2])
def test_a_handler_may_take_any_time(simulated, block):
    """An hour; and the acknowledgement after it is watched again."""

    async def main():
        await simulated.stream(*"ab")
        silence = Silence(simulated.client(), "XACK", 2)
        options = {"block": block, "patience": 5}
        with pytest.raises(redis.exceptions.TimeoutError):
            await consume(silence.client, "s", "g", "C1", busy(3600), **options)
        return silence.since, asyncio.get_running_loop().time()

    since, ended = simulated.run(main())
    assert since == pytest.approx(7200)
    assert 5 <= ended - since < 5 + block + 1


def test_a_read_without_end_has_none(simulated):
    """BLOCK 0: a day without entries is no silence. What is not read is."""

    async def main():
        client = await simulated.stream("a")
        silence = Silence(simulated.client(), "XACK", 2)
        worker = asyncio.ensure_future(consume(silence.client, "s", "g", "C1", busy(0), block=0, patience=5))
        await asyncio.sleep(86_400)
        assert not worker.done()
        await client.xadd("s", {"v": "b"})
        with pytest.raises(redis.exceptions.TimeoutError):
            await worker
        return asyncio.get_running_loop().time() - 86_400

    assert 5 <= simulated.run(main()) < 6


def test_a_process_that_stood_still_is_not_deceived(simulated):
    """It wakes after an hour: time has passed, and the answer is there, which it has not taken in yet."""
    loop, process = VirtualLoop(), object()
    context = contextvars.copy_context()
    context.run(PROCESS.set, process)

    async def main():
        await simulated.stream("a")
        slow = simulated.server.client(round_trip=1)
        worker = loop.create_task(consume(slow, "s", "g", "C1", busy(0.1), block=2, patience=5), context=context)
        for _ in range(50):
            await asyncio.sleep(0.3)  # less than an answer takes
            loop.hold(process)
            await asyncio.sleep(3600)
            loop.release(process)
        await asyncio.sleep(0)
        assert not worker.done()
        worker.cancel()

    loop.run_until_complete(main())
    loop.close()


async def for_ever(*_):
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    "act",
    [
        lambda client: consume(client, "s", "g", "C1", busy(0), block=0),
        lambda client: consume(client, "s", "g", "C1", for_ever, block=0),
        lambda client: consume(client, "s", "g", "C1", for_ever, block=2),
        lambda client: produce(client, "s", [(1.0, {"n": 1})], sleep=for_ever),
    ],
    ids=["nothing comes", "its handler waits", "its handler waits, block 2", "its time never comes"],
)
def test_who_waits_for_nothing_is_still_found_out(simulated, act):
    """In virtual time, a deadlock is one: no timer of ours goes on for ever."""

    async def main():
        client = await simulated.stream(*(["a"] if act.__code__.co_names.count("for_ever") else []))
        await act(client)

    loop = VirtualLoop()
    with pytest.raises(Deadlock):
        loop.run_until_complete(main())
    loop.close()


def test_no_timer_is_left(simulated):
    """Neither when an actor has ended, nor when it was cancelled."""
    loop = VirtualLoop()

    async def main():
        client = await simulated.stream("a")
        worker = simulated.consume(client, busy(0.1))
        await produce(client, "s", [(0.0, {"n": 1})])
        await reclaim(client, "s", "g", "C2", busy(0), min_idle=1)
        await asyncio.sleep(1)
        await worker.end()
        worker = simulated.consume(client, busy(100))
        await client.xadd("s", {"n": 1})
        await asyncio.sleep(1)
        worker.task.cancel()
        await asyncio.wait([worker.task])

    loop.run_until_complete(main())
    assert loop.next_time() is None
    loop.close()


@pytest.mark.parametrize("as_text", [True, False], ids=["text", "bytes"])
def test_a_real_server_that_stands_still_ends_everybody(own, server, as_text):
    """SIGSTOP: connections stand, and new ones are accepted. Once it goes on, others do."""
    found = []

    async def main():
        await own.stream("a")
        client = partial(own.client, decode_responses=as_text)
        blocked = own.consume(client(), collecting([]), patience=1)
        await blocked.until(lambda: own.of("acked"), "it was done")
        server.pause()
        try:
            began = asyncio.get_running_loop().time()
            ended = await asyncio.gather(
                blocked.error(),
                own.consume(client(), collecting([]), "C2", patience=1).error(),
                produce(client(), "s", [(0.0, {"n": 1})], patience=1),
                reclaim(client(), "s", "g", "C3", collecting([]), min_idle=1, patience=1),
                return_exceptions=True,
            )
            seconds = asyncio.get_running_loop().time() - began
        finally:
            server.resume()
        # It may give things to those that have gone.
        again = own.consume(client(), collecting(found), recovery=Recovery("autoclaim", min_idle=0.1))
        await produce(client(), "s", [(0.0, {"n": 2})])
        await again.until(lambda: found, "what came later was done")
        await again.end()
        return ended, seconds

    ended, seconds = own.run(main())
    assert [type(error) for error in ended] == [redis.exceptions.TimeoutError] * 4
    assert 0.9 < seconds < 3
