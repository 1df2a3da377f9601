"""Consuming and acknowledging from a real Redis: streamlab against hand-written loops and libraries.

    python benchmarks/consumer.py [--entries N] [--repeats N] [--seconds S] [--only PART …] [--json]

One consumer of a group empties a stream in which all entries are waiting. The server is a private one on a
unix socket. Everybody has hiredis, reads 100 entries at a time (but for COUNT 1), and calls a handler that counts for
each entry; one loop, as the fastest there is, counts on the spot.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal, cast

from harness import (
    Miscounted,
    Outcome,
    Result,
    Rival,
    argument_parser,
    as_json,
    available,
    find,
    imported,
    machine,
    measure,
    ratio,
    table,
)

from streamlab import PrivateServer, stream_client, sync_stream_client
from streamlab.actors import Report, consume, ignore

STREAM, GROUP, CONSUMER = "orders", "workers", "C1"
COUNT = 100
FIELDS = {"producer": "P1", "n": "123"}

STREAMLAB = "streamlab, consume()"
INLINE = "hand-written, XACK with the next read, work in the loop"
HANDLER = "hand-written, XACK with the next read, a handler awaited"
EACH, ONE = "streamlab, consume(), XACK each", "streamlab, consume(), COUNT 1, XACK each"
EACH_TOLD, ONE_TOLD = "streamlab, told of each, XACK each", "streamlab, told of each, COUNT 1, XACK each"
HAND_EACH, HAND_ONE = "hand-written, XACK each", "hand-written, COUNT 1, XACK each"
BEST = "best hand-written"
LIBRARIES = ("walrus", "FastStream", "taskiq-redis")

Drain = Callable[[str, int], Awaitable[Outcome]]


def client_of(url: str) -> Any:
    """Return streamlab's client: text, RESP2, no time-out. Typed loosely, as replies have many types."""
    return stream_client(url)


class Counter:
    """What is done with an entry: it is counted. `finished` is set with the last one."""

    def __init__(self, n_entries: int) -> None:
        self.n_entries = n_entries
        self.n = 0
        self.finished = asyncio.Event()

    async def handle(self, entry_id: str, fields: dict[str, str]) -> None:
        self.n += 1
        if self.n == self.n_entries:
            self.finished.set()

    async def outcome(self, began: float) -> Outcome:
        """Wait for the last entry, and return how long it all took."""
        await self.finished.wait()
        return Outcome(time.perf_counter() - began, self.n)


# ---- streamlab and what one writes by hand ---------------------------------------------------------------


def streamlab(count: int = COUNT, ack: Literal["each", "batch"] = "each", report: Report = ignore) -> Drain:
    """`consume()`, with an XACK for every entry, or for all that one read gave.

    With a `report` of its own it waits for each answer, by redis-py's own methods: as it did before it had a line.
    """

    async def drain(url: str, n_entries: int) -> Outcome:
        counter = Counter(n_entries)
        async with client_of(url) as client:
            await client.ping()
            began = time.perf_counter()
            n_processed = await consume(
                client, STREAM, GROUP, CONSUMER, counter.handle,
                count=count, ack=ack, stop=counter.finished, report=report,
            )  # fmt: skip
            return Outcome(time.perf_counter() - began, n_processed)

    return drain


def tell_nobody(kind: str, actor: str, id: str = "", delivery_count: int = 0, at: float | None = None) -> None:
    """Be told of everything, and do nothing."""


async def pipelined_inline(url: str, n_entries: int) -> Outcome:
    """The fastest loop: XACK and the next XREADGROUP in one round trip, and the work done on the spot."""
    n = 0
    ids: list[str] = []
    async with client_of(url) as client:
        await client.ping()
        began = time.perf_counter()
        while True:
            pipe = client.pipeline(transaction=False)
            if ids:
                pipe.xack(STREAM, GROUP, *ids)
            pipe.xreadgroup(GROUP, CONSUMER, {STREAM: ">"}, COUNT)
            *_, reply = await pipe.execute()
            if not reply:
                return Outcome(time.perf_counter() - began, n)
            ids = []
            for entry_id, _fields in reply[0][1]:
                n += 1
                ids.append(entry_id)


async def pipelined_handler(url: str, n_entries: int) -> Outcome:
    """The same, with the work in a coroutine: what `consume()` does."""
    counter = Counter(n_entries)
    handle = counter.handle
    ids: list[str] = []
    async with client_of(url) as client:
        await client.ping()
        began = time.perf_counter()
        while True:
            pipe = client.pipeline(transaction=False)
            if ids:
                pipe.xack(STREAM, GROUP, *ids)
            pipe.xreadgroup(GROUP, CONSUMER, {STREAM: ">"}, COUNT)
            *_, reply = await pipe.execute()
            if not reply:
                return Outcome(time.perf_counter() - began, counter.n)
            ids = []
            for entry_id, fields in reply[0][1]:
                await handle(entry_id, fields)
                ids.append(entry_id)


async def ack_per_batch(url: str, n_entries: int) -> Outcome:
    """One XACK for a batch, awaited before the next read."""
    counter = Counter(n_entries)
    async with client_of(url) as client:
        await client.ping()
        began = time.perf_counter()
        while reply := await client.xreadgroup(GROUP, CONSUMER, {STREAM: ">"}, COUNT):
            entries = reply[0][1]
            for entry_id, fields in entries:
                await counter.handle(entry_id, fields)
            await client.xack(STREAM, GROUP, *(entry_id for entry_id, _ in entries))
        return Outcome(time.perf_counter() - began, counter.n)


def ack_per_entry(count: int) -> Drain:
    """One XACK for each entry: a round trip for each."""

    async def drain(url: str, n_entries: int) -> Outcome:
        counter = Counter(n_entries)
        async with client_of(url) as client:
            await client.ping()
            began = time.perf_counter()
            while reply := await client.xreadgroup(GROUP, CONSUMER, {STREAM: ">"}, count):
                for entry_id, fields in reply[0][1]:
                    await counter.handle(entry_id, fields)
                    await client.xack(STREAM, GROUP, entry_id)
            return Outcome(time.perf_counter() - began, counter.n)

    return drain


async def pipelined_one(url: str, n_entries: int) -> Outcome:
    """COUNT 1, and the XACK with the next read in a pipeline: the same promise, if that read does not wait."""
    counter = Counter(n_entries)
    async with client_of(url) as client:
        await client.ping()
        began = time.perf_counter()
        reply = await client.xreadgroup(GROUP, CONSUMER, {STREAM: ">"}, 1)
        while reply:
            ((entry_id, fields),) = reply[0][1]
            await counter.handle(entry_id, fields)
            pipe = client.pipeline(transaction=False)
            pipe.xack(STREAM, GROUP, entry_id)
            pipe.xreadgroup(GROUP, CONSUMER, {STREAM: ">"}, 1)
            _, reply = await pipe.execute()
        return Outcome(time.perf_counter() - began, counter.n)


# ---- libraries -----------------------------------------------------------------------------------------


async def walrus(url: str, n_entries: int) -> Outcome:
    """walrus' consumer group: not asyncio, one XACK for a batch."""
    database = imported("walrus").Database(
        unix_socket_path=url.removeprefix("unix://"), protocol=2, decode_responses=True
    )
    database.ping()
    n = 0

    def handle(entry_id: str, fields: dict[str, str]) -> None:
        nonlocal n
        n += 1

    began = time.perf_counter()
    group = database.consumer_group(GROUP, [STREAM], consumer=CONSUMER)
    stream = group.streams[STREAM]
    while entries := stream.read(count=COUNT):
        for entry_id, fields in entries:
            handle(entry_id, fields)
        stream.ack(*(entry_id for entry_id, _ in entries))
    seconds = time.perf_counter() - began
    database.close()
    return Outcome(seconds, n)


@contextlib.asynccontextmanager
async def _faststream(url: str, subscribe: Callable[[Any, Any], None]) -> AsyncIterator[Any]:
    redis = imported("faststream.redis")
    broker = redis.RedisBroker(url, protocol=2, socket_timeout=None, logger=None)
    subscribe(broker, redis.StreamSub)
    try:
        yield broker
    finally:
        await broker.stop()


async def faststream_batch(url: str, n_entries: int) -> Outcome:
    """FastStream, whole batches handed over; it acknowledges a batch with one XACK."""
    counter = Counter(n_entries)

    def subscribe(broker: Any, stream_sub: Any) -> None:
        sub = stream_sub(STREAM, group=GROUP, consumer=CONSUMER, batch=True, max_records=COUNT)

        @broker.subscriber(stream=sub)  # type: ignore[untyped-decorator]
        async def handle(entries: list[Any]) -> None:
            for entry in entries:
                await counter.handle("", entry)

    async with _faststream(url, subscribe) as broker:
        began = time.perf_counter()
        await broker.start()
        return await counter.outcome(began)


async def faststream_single(url: str, n_entries: int) -> Outcome:
    """FastStream, one entry a call; it acknowledges each by itself."""
    counter = Counter(n_entries)

    def subscribe(broker: Any, stream_sub: Any) -> None:
        sub = stream_sub(STREAM, group=GROUP, consumer=CONSUMER, max_records=COUNT)

        @broker.subscriber(stream=sub)  # type: ignore[untyped-decorator]
        async def handle(entry: dict[str, str]) -> None:
            await counter.handle("", entry)

    async with _faststream(url, subscribe) as broker:
        began = time.perf_counter()
        await broker.start()
        return await counter.outcome(began)


def _taskiq_broker(url: str) -> Any:
    broker = imported("taskiq_redis").RedisStreamBroker(
        url, STREAM, None, GROUP, CONSUMER, xread_count=COUNT, protocol=2, socket_timeout=None
    )
    broker.is_worker_process = True
    return broker


async def taskiq(url: str, n_entries: int) -> Outcome:
    """taskiq-redis: each entry is a task; its receiver calls and acknowledges them one by one."""
    counter = Counter(n_entries)
    broker = _taskiq_broker(url)

    async def handle(producer: str, n: str) -> None:
        await counter.handle("", {})

    broker.register_task(handle, task_name="count")
    receiver = imported("taskiq.receiver").Receiver(broker, max_async_tasks=COUNT)
    finish = asyncio.Event()
    began = time.perf_counter()
    listening = asyncio.create_task(receiver.listen(finish))
    try:
        return await counter.outcome(began)
    finally:
        finish.set()
        await listening
        await broker.shutdown()


def _taskiq_fields() -> dict[Any, Any]:
    """Return the entry that taskiq-redis adds for a task."""
    message = imported("taskiq.message").TaskiqMessage(
        task_id="1", task_name="count", labels={}, args=[], kwargs=FIELDS
    )
    broker = imported("taskiq").InMemoryBroker()
    return {"data": broker.formatter.dumps(message).message}


# ---- the benchmark ---------------------------------------------------------------------------------------


def rivals(url: str) -> list[Rival]:
    """Return everybody who consumes from the server at `url`."""

    def rival(
        name: str,
        drain: Drain,
        needs: tuple[str, ...] = (),
        note: str = "",
        fields: Callable[[], dict[Any, Any]] = lambda: FIELDS,
    ) -> Rival:
        def run(n_entries: int) -> Outcome:
            _fill(url, fields(), n_entries)
            outcome: Outcome = asyncio.run(cast(Any, drain(url, n_entries)))
            _check(url, name)
            return outcome

        return Rival(name, run, needs, note)

    return [
        rival(STREAMLAB, streamlab(ack="batch"), note='ack="batch"'),
        rival(EACH, streamlab(), note="the default"),
        rival(EACH_TOLD, streamlab(report=tell_nobody), note="with a report"),
        rival(ONE, streamlab(1), note="the default"),
        rival(ONE_TOLD, streamlab(1, report=tell_nobody), note="with a report"),
        rival(INLINE, pipelined_inline),
        rival(HANDLER, pipelined_handler),
        rival("hand-written, one XACK a batch", ack_per_batch),
        rival(HAND_EACH, ack_per_entry(COUNT)),
        rival(HAND_ONE, ack_per_entry(1)),
        rival("hand-written, COUNT 1, XACK with the next read", pipelined_one),
        rival("walrus", walrus, ("walrus",), "not asyncio, one XACK a batch"),
        rival("FastStream, batches", faststream_batch, ("faststream",)),
        rival("FastStream, one entry a call", faststream_single, ("faststream",)),
        rival("taskiq-redis", taskiq, ("taskiq", "taskiq_redis"), fields=_taskiq_fields),
    ]


def _fill(url: str, fields: dict[Any, Any], n_entries: int) -> None:
    """Make a stream of `n_entries` and a group that has read none of them."""
    with sync_stream_client(url) as client:
        client.flushall()
        for start in range(0, n_entries, 1000):
            pipe = client.pipeline(transaction=False)
            for _ in range(start, min(start + 1000, n_entries)):
                pipe.xadd(STREAM, fields)
            pipe.execute()
        client.xgroup_create(STREAM, GROUP, id="0")


def _check(url: str, name: str) -> None:
    """See that the group has delivered everything, and all of it was acknowledged."""
    with sync_stream_client(url) as client:
        (group,) = cast(list[dict[str, Any]], client.xinfo_groups(STREAM))
        last = cast(list[Any], client.xrevrange(STREAM, count=1))[0][0]
    if group["pending"] or group["last-delivered-id"] != last:
        raise Miscounted(f"{name} left {group['pending']:,} entries pending")


def best_hand_written(results: list[Result]) -> Result | None:
    """Return the faster of the two loops that pipeline, if one was measured."""
    loops = [r for name in (INLINE, HANDLER) if (r := find(results, name)) is not None]
    return max(loops, key=lambda result: result.median, default=None)


def verdict(results: list[Result], best: Result | None) -> list[str]:
    """Return the goals, and whether they were met."""
    ours = find(results, STREAMLAB)
    if ours is None:
        return []
    lines = []
    if (times := ratio(ours, best)) is not None:
        lines.append(f"{STREAMLAB}: {times:.2f} × {BEST} (goal: 0.95)")
    for name, others in {EACH: (EACH_TOLD, HAND_EACH), ONE: (ONE_TOLD, HAND_ONE)}.items():
        for other in others:
            mine = find(results, name)
            if mine is not None and (times := ratio(mine, find(results, other))) is not None:
                lines.append(f"{name}: {times:.2f} × {other} (goal: 1.5)")
    for result in results:
        if result.name.startswith(LIBRARIES):
            times = ratio(ours, result)
            lines.append(f"{STREAMLAB}: {times:.3g} × {result.name} (goal: above 1)")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argument_parser("Empty a stream on a real Redis, and compare.", n_entries=20_000)
    options = parser.parse_args(arguments)
    for library in ("faststream", "taskiq", "taskiq_redis"):
        logging.getLogger(library).setLevel(logging.WARNING)

    with PrivateServer() as server:
        candidates = available(rivals(server.url), options.only)
        if not candidates:
            parser.error(f"no rival's name holds {' or '.join(options.only)}")
        results = measure(candidates, options.entries, options.repeats, options.seconds)
        kind = str(server.binary)
    best = best_hand_written(results)
    if options.json:
        print(as_json(results, best, server=kind))
        return 0
    print(f"{options.entries:,} entries, {options.repeats} interleaved repetitions, medians")
    print(f"{kind}; {machine()}\n")
    print(table(results, best, BEST))
    print()
    for line in verdict(results, best):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
