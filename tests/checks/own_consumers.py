"""Consumers as learners write them, for test_grading.py: right ones in many styles, and one mistake at a time.

They are put together from parts, so that a mistake stands in a consumer that is right but for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import redis.asyncio as redis
from redis.exceptions import LockError

Work = Callable[..., Awaitable[None]]
Consumer = Callable[..., Awaitable[object]]

MIN_IDLE_MS = 200


async def one_by_one(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    """Acknowledge each; what fails stays pending."""
    for entry_id, fields in entries:
        try:
            if fields:
                await handler(entry_id, fields)
        except redis.ConnectionError:
            raise
        except Exception:
            continue
        await client.xack(stream, group, entry_id)


async def history(client: Any, stream: str, group: str, consumer: str, work: Work) -> None:
    last_id = "0"
    while True:
        ((_, entries),) = await client.xreadgroup(group, consumer, {stream: last_id}, count=10)
        if not entries:
            return
        await work(entries)
        last_id = entries[-1][0]


async def no_history(client: Any, stream: str, group: str, consumer: str, work: Work) -> None:
    """Go on with what is new."""


async def claim(client: Any, stream: str, group: str, consumer: str, work: Work, min_idle: float = MIN_IDLE_MS) -> None:
    cursor = "0-0"
    while True:
        cursor, entries, _ = await client.xautoclaim(stream, group, consumer, min_idle, cursor, count=10)
        await work(entries)
        if cursor == "0-0":
            return


async def no_claim(client: Any, stream: str, group: str, consumer: str, work: Work) -> None:
    """Leave to others what others left."""


async def make_group(client: Any, stream: str, group: str, start: str = "0") -> None:
    with contextlib.suppress(redis.ResponseError):  # BUSYGROUP: another one was faster
        await client.xgroup_create(stream, group, id=start, mkstream=True)


def consumer_of(
    *,
    work: Any = one_by_one,
    history: Any = history,
    again: Any = history,
    claim: Any = claim,
    start: str = "0",
    count: int = 1,
    block: int | None = 100,
    lost: tuple[type[Exception], ...] = (redis.ConnectionError, redis.TimeoutError),
    gone: tuple[str, ...] = ("NOGROUP", "UNBLOCKED"),
    at_exit: Any = None,
    **read: Any,
) -> Consumer:
    """Return a consumer of these parts; `again` is how it reads its history after a lost connection."""

    async def my_consumer(
        client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event
    ) -> None:
        worked = functools.partial(work, client, stream, group, handler)
        look = history
        try:
            while not stop.is_set():
                try:
                    if look is not None:
                        await look(client, stream, group, consumer, worked)
                        look = None
                    await claim(client, stream, group, consumer, worked)
                    reply = await client.xreadgroup(group, consumer, {stream: ">"}, count=count, block=block, **read)
                    await worked(reply[0][1] if reply else [])
                except lost:
                    look = again
                    await asyncio.sleep(0.1)
                except redis.ResponseError as error:
                    if not str(error).startswith(gone):
                        raise
                    look = again
                    with contextlib.suppress(redis.ConnectionError):
                        await make_group(client, stream, group, start)
        finally:
            if at_exit is not None:
                await at_exit(client, stream, group, consumer)

    return my_consumer


# ---- right in other styles -------------------------------------------------------------------------


async def in_batches(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    """One XACK for all that was done."""
    done = []
    for entry_id, fields in entries:
        with contextlib.suppress(RuntimeError, ValueError, Exception):
            if fields:
                await handler(entry_id, fields)
            done.append(entry_id)
    if done:
        await client.xack(stream, group, *done)


async def by_pipeline(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    """All acknowledgements in one round trip."""
    pipe = client.pipeline(transaction=False)
    for entry_id, fields in entries:
        try:
            if fields:
                await handler(entry_id, fields)
        except Exception:
            continue
        pipe.xack(stream, group, entry_id)
    await pipe.execute()


async def at_once(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    """All entries of a read at the same time."""

    async def one(entry_id: str, fields: Any) -> None:
        if fields:
            await handler(entry_id, fields)
        await client.xack(stream, group, entry_id)

    results = await asyncio.gather(*(one(*entry) for entry in entries), return_exceptions=True)
    for result in results:
        if isinstance(result, redis.ConnectionError):
            raise result


async def in_a_task_group(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    """All at the same time, and the first error ends the consumer, as a crash does."""

    async def one(entry_id: str, fields: Any) -> None:
        if fields:
            await handler(entry_id, fields)
        await client.xack(stream, group, entry_id)

    try:
        async with asyncio.TaskGroup() as tasks:
            for entry in entries:
                tasks.create_task(one(*entry))
    except* redis.ConnectionError:
        raise redis.ConnectionError("one of them") from None


async def tries_again(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    """Three tries, with a pause; then it stays pending."""
    for entry_id, fields in entries:
        for pause in (0.01, 0.05, None):
            try:
                if fields:
                    await handler(entry_id, fields)
            except redis.ConnectionError:
                raise
            except Exception:
                if pause is not None:
                    await asyncio.sleep(pause)
            else:
                await client.xack(stream, group, entry_id)
                break


async def dies_of_errors(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    """An error of the handler ends the consumer: others, or the next life, do the rest."""
    for entry_id, fields in entries:
        if fields:
            await handler(entry_id, fields)
        await client.xack(stream, group, entry_id)


async def deletes(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    """What is done goes out of the stream."""
    for entry_id, fields in entries:
        try:
            if fields:
                await handler(entry_id, fields)
        except Exception:
            continue
        await client.xack(stream, group, entry_id)
        await client.xdel(stream, entry_id)


async def buries(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    """What was delivered too often goes to a stream of its own."""
    for entry_id, fields in entries:
        rows = await client.xpending_range(stream, group, entry_id, entry_id, 1)
        if fields and rows and rows[0]["times_delivered"] > 3:
            await client.xadd(f"{stream}:dead", {"id": entry_id, **fields})
        elif fields:
            try:
                await handler(entry_id, fields)
            except Exception:
                continue
        await client.xack(stream, group, entry_id)


async def guarded(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    """What has been done is known by a key of its own, which expires; noted and acknowledged at once."""
    for entry_id, fields in entries:
        try:
            if fields and not await client.exists(f"done:{entry_id}"):
                await handler(entry_id, fields)
        except redis.ConnectionError:
            raise
        except Exception:
            continue
        pipe = client.pipeline()
        pipe.set(f"done:{entry_id}", 1, nx=True, ex=3600).xack(stream, group, entry_id)
        await pipe.execute()


async def one_at_a_time(client: Any, stream: str, group: str, consumer: str, work: Work) -> None:
    """One consumer claims, the others go on: brokers take redis-py's lock so."""
    lock = client.lock(f"{stream}:autoclaim", timeout=0.5)
    if await lock.acquire(blocking=False):
        try:
            await claim(client, stream, group, consumer, work)
        finally:
            with contextlib.suppress(LockError):  # it has expired meanwhile
                await lock.release()


async def by_xclaim(client: Any, stream: str, group: str, consumer: str, work: Work) -> None:
    """Look first, then take, page by page."""
    start = "-"
    while rows := await client.xpending_range(stream, group, start, "+", 10, idle=MIN_IDLE_MS):
        ids = [row["message_id"] for row in rows]
        await work(await client.xclaim(stream, group, consumer, MIN_IDLE_MS, ids))
        start = f"({ids[-1]}"


async def first_page(client: Any, stream: str, group: str, consumer: str, work: Work) -> None:
    """Some of what is idle now, and more after the next read: with IDLE, the first page is never in vain."""
    for row in await client.xpending_range(stream, group, "-", "+", 10, idle=MIN_IDLE_MS):
        await work(await client.xclaim(stream, group, consumer, MIN_IDLE_MS, [row["message_id"]]))


async def all_history(client: Any, stream: str, group: str, consumer: str, work: Work) -> None:
    """All at once."""
    reply = await client.xreadgroup(group, consumer, {stream: "0"})
    await work(reply[0][1])


async def two_tasks(client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event) -> None:
    """One that reads, one that claims, one entry at a time."""
    at_work = asyncio.Lock()
    worked = functools.partial(one_by_one, client, stream, group, handler)

    async def work(entries: Any) -> None:
        for entry in entries:
            async with at_work:
                await worked([entry])

    async def read() -> None:
        reply = await client.xreadgroup(group, consumer, {stream: ">"}, count=1, block=200)
        await work(reply[0][1] if reply else [])

    async def look() -> None:
        await claim(client, stream, group, consumer, work)
        await asyncio.sleep(0.1)

    async def again(step: Any) -> None:
        while not stop.is_set():
            try:
                await step()
            except redis.ConnectionError:
                await asyncio.sleep(0.1)
            except redis.ResponseError:
                with contextlib.suppress(redis.RedisError):
                    await make_group(client, stream, group)

    await asyncio.gather(again(read), again(look))


async def with_a_heartbeat(
    client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event
) -> None:
    """A short min-idle, and what is held is renewed."""
    held: dict[str, None] = {}

    async def beat() -> None:
        while True:
            await asyncio.sleep(0.02)
            with contextlib.suppress(redis.RedisError):
                if held:
                    await client.xclaim(stream, group, consumer, 0, [*held], justid=True)

    async def work(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
        held.update((entry_id, None) for entry_id, _ in entries)
        try:
            await one_by_one(client, stream, group, handler, entries)
        finally:
            held.clear()

    heart = asyncio.create_task(beat())
    quick = functools.partial(claim, min_idle=100)
    await consumer_of(work=work, claim=quick)(client, stream, group, consumer, handler, stop)
    heart.cancel()


class Worker:
    """A consumer as an object."""

    def __init__(self, count: int) -> None:
        self.consume = consumer_of(count=count)

    async def __call__(self, *args: Any) -> None:
        await self.consume(*args)


async def configured(count: int, *args: Any) -> None:
    await consumer_of(count=count)(*args)


def wrapped(*args: Any) -> Awaitable[object]:
    """An ordinary function that returns a coroutine."""
    return consumer_of()(*args)


RIGHT: dict[str, Consumer] = {
    "one by one": consumer_of(),
    "in batches": consumer_of(work=in_batches, count=5),
    "by pipeline": consumer_of(work=by_pipeline, count=5),
    "at once": consumer_of(work=at_once, count=4),
    "in a task group": consumer_of(work=in_a_task_group, count=2),
    "tries again": consumer_of(work=tries_again),
    "dies of errors": consumer_of(work=dies_of_errors),
    "deletes what is done": consumer_of(work=deletes),
    "dead letters": consumer_of(work=buries),
    "XPENDING and XCLAIM": consumer_of(claim=by_xclaim),
    "the first page of XPENDING with IDLE": consumer_of(claim=first_page),
    "history in one read": consumer_of(history=all_history, again=all_history),
    "no history, but claims": consumer_of(history=no_history, again=no_history),
    "blocks for less": consumer_of(block=20),
    "a guard with SET NX": consumer_of(work=guarded),
    "claims under a lock": consumer_of(claim=one_at_a_time),
    "two tasks": two_tasks,
    "a heartbeat": with_a_heartbeat,
    "an object": Worker(3),
    "a partial": functools.partial(configured, 2),
    "wrapped": wrapped,
}


# ---- one mistake at a time -------------------------------------------------------------------------


async def acks_first(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    for entry_id, fields in entries:
        await client.xack(stream, group, entry_id)
        if fields:
            with contextlib.suppress(Exception):
                await handler(entry_id, fields)


async def acks_whatever(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    for entry_id, fields in entries:
        with contextlib.suppress(Exception):
            if fields:
                await handler(entry_id, fields)
        await client.xack(stream, group, entry_id)


async def acks_only(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    for entry_id, _ in entries:
        await client.xack(stream, group, entry_id)


async def acks_never(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    for entry_id, fields in entries:
        with contextlib.suppress(Exception):
            if fields:
                await handler(entry_id, fields)


async def does_it_twice(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    for entry_id, fields in entries:
        with contextlib.suppress(Exception):
            if fields:
                await handler(entry_id, fields)
                await handler(entry_id, fields)
            await client.xack(stream, group, entry_id)


async def forgets_await(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    for entry_id, fields in entries:
        handler(entry_id, fields)
        await client.xack(stream, group, entry_id)


async def forgets_to_await_xack(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    for entry_id, fields in entries:
        if fields:
            await handler(entry_id, fields)
        client.xack(stream, group, entry_id)


async def leaves_ghosts(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    for entry_id, fields in entries:
        if fields:
            with contextlib.suppress(Exception):
                await handler(entry_id, fields)
                await client.xack(stream, group, entry_id)


async def handles_ghosts(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    for entry_id, fields in entries:
        await handler(entry_id, fields)
        await client.xack(stream, group, entry_id)


async def tries_for_ever(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    for entry_id, fields in entries:
        while fields:
            try:
                await handler(entry_id, fields)
                break
            except redis.ConnectionError:
                raise
            except Exception:
                await asyncio.sleep(0.02)
        await client.xack(stream, group, entry_id)


async def tries_at_once(client: Any, stream: str, group: str, handler: Any, entries: Any) -> None:
    for entry_id, fields in entries:
        while fields:
            with contextlib.suppress(Exception):
                await handler(entry_id, fields)
                break
        await client.xack(stream, group, entry_id)


async def until_an_empty_page(client: Any, stream: str, group: str, consumer: str, work: Work) -> None:
    cursor = "0-0"
    while True:
        cursor, entries, _ = await client.xautoclaim(stream, group, consumer, MIN_IDLE_MS, cursor)
        if not entries:
            return
        await work(entries)


async def only_one_page(client: Any, stream: str, group: str, consumer: str, work: Work) -> None:
    _, entries, _ = await client.xautoclaim(stream, group, consumer, MIN_IDLE_MS, "0-0", 1000)
    await work(entries)


async def ten_of_xpending(client: Any, stream: str, group: str, consumer: str, work: Work) -> None:
    rows = await client.xpending_range(stream, group, "-", "+", 10)
    ids = [row["message_id"] for row in rows]
    if ids:
        await work(await client.xclaim(stream, group, consumer, MIN_IDLE_MS, ids))


async def history_from_0(client: Any, stream: str, group: str, consumer: str, work: Work) -> None:
    """Until it is empty, which it is only once all is acknowledged."""
    while True:
        ((_, entries),) = await client.xreadgroup(group, consumer, {stream: "0"}, count=10)
        if not entries:
            return
        await work(entries)


async def only_history(client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(redis.ConnectionError):
            for _, entries in await client.xreadgroup(group, consumer, {stream: "0"}, 10, 100):
                await one_by_one(client, stream, group, handler, entries)
        await asyncio.sleep(0.1)


async def history_before_each_read(
    client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event
) -> None:
    """Nothing that it fails at is ever idle."""

    async def claims_after_history(*args: Any) -> None:
        await all_history(*args)
        await claim(*args)

    consume = consumer_of(claim=claims_after_history)
    await consume(client, stream, group, consumer, handler, stop)


async def leaves_the_group(client: Any, stream: str, group: str, consumer: str) -> None:
    with contextlib.suppress(redis.RedisError):
        await client.xgroup_delconsumer(stream, group, consumer)


async def ends_when_empty(
    client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event
) -> None:
    with contextlib.suppress(redis.ConnectionError):
        while reply := await client.xreadgroup(group, consumer, {stream: ">"}, 1, 50):
            await one_by_one(client, stream, group, handler, reply[0][1])


async def ends_when_cut_off(
    client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event
) -> None:
    with contextlib.suppress(redis.ConnectionError):
        await consumer_of(lost=())(client, stream, group, consumer, handler, stop)


def impatient(*, again: bool) -> Consumer:
    """Tries again at once what failed: when the server cannot be reached, or else when the group is gone."""

    async def my_consumer(
        client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event
    ) -> None:
        worked = functools.partial(one_by_one, client, stream, group, handler)
        while not stop.is_set():
            try:
                await claim(client, stream, group, consumer, worked)
                reply = await client.xreadgroup(group, consumer, {stream: ">"}, 1, 100)
                await worked(reply[0][1] if reply else [])
            except redis.ConnectionError:
                if not again:
                    await asyncio.sleep(0.1)
            except redis.ResponseError:
                continue

    return my_consumer


async def is_deaf(client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event) -> None:
    await consumer_of()(client, stream, group, consumer, handler, asyncio.Event())


async def without_block(client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event) -> None:
    await consumer_of(block=None)(client, stream, group, consumer, handler, stop)


async def wrong_name(client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event) -> None:
    await client.xreadgruop(group, consumer, {stream: ">"})


async def no_await(client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event) -> None:
    for _, entries in client.xreadgroup(group, consumer, {stream: ">"}):
        await handler(*entries[0])


async def asks_for_settings(
    client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event
) -> None:
    await client.config_get()


async def in_a_thread(client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event) -> None:
    await asyncio.to_thread(print, "working")


async def leaves(client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event) -> None:
    raise SystemExit(1)


async def waits_for_itself(
    client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event
) -> None:
    never = asyncio.Event()
    await never.wait()


async def spins(client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event) -> None:
    while not stop.is_set():
        pass


async def yields_and_spins(
    client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event
) -> None:
    while not stop.is_set():
        await asyncio.sleep(0)


async def calls_itself(client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event) -> None:
    await calls_itself(client, stream, group, consumer, handler, stop)


async def catches_everything(
    client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event
) -> None:
    """Swallows also what is to end it, and never claims."""
    while True:
        try:
            reply = await client.xreadgroup(group, consumer, {stream: ">"}, 1, 100)
            await one_by_one(client, stream, group, handler, reply[0][1] if reply else [])
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            await asyncio.sleep(0.1)


def in_order(client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event) -> None:
    while not stop.is_set():
        client.xreadgroup(group, consumer, {stream: ">"})


async def hands_out(client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event) -> Any:
    yield await client.xreadgroup(group, consumer, {stream: ">"})


async def stub(client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event) -> Any:
    return ...


@dataclass(frozen=True)
class Mistake:
    """A consumer with a mistake; a piece of the verdict's words and of its hint; the first schedule to try."""

    consumer: Any
    words: str
    hint: str
    seed: int = 1


MISTAKES: dict[str, Mistake] = {
    "its own history only, and from 0": Mistake(only_history, "never delivered", "New entries come with >"),
    "its own history before each read": Mistake(history_before_each_read, "for the 50th time", "resets its idle time"),
    "its own history from 0 until it is empty": Mistake(
        consumer_of(history=history_from_0, again=history_from_0, work=leaves_ghosts), "never waited", "Acknowledge it"
    ),
    "until an empty page": Mistake(
        consumer_of(claim=until_an_empty_page), "still pending", "a page may be empty before the list has ended"
    ),
    "only one page": Mistake(consumer_of(claim=only_one_page), "still pending", "until it is 0-0"),
    "ten of XPENDING": Mistake(consumer_of(claim=ten_of_xpending), "still pending", "go on after the last id"),
    "XACK before the effect": Mistake(consumer_of(work=acks_first), "are lost", "XACK after the effect"),
    "XACK though it failed": Mistake(consumer_of(work=acks_whatever), "are lost", "its handler had failed"),
    "XACK without work": Mistake(consumer_of(work=acks_only), "are lost", "await handler("),
    "no XACK": Mistake(consumer_of(work=acks_never), "", "XACK"),
    "NOACK": Mistake(consumer_of(noack=True), "are lost", "with NOACK"),
    "no history after a restart": Mistake(
        consumer_of(history=no_history, claim=no_claim), "still pending", "was started again, and never asked", seed=2
    ),
    "no history after a lost connection": Mistake(
        consumer_of(again=no_history, claim=no_claim),
        "still pending",
        "after a lost connection read that again",
        seed=3,
    ),
    "the group again at $": Mistake(consumer_of(start="$"), "lost", "made again at $"),
    "a min-idle that is shorter than the work": Mistake(
        consumer_of(claim=functools.partial(claim, min_idle=5)), "was taken from", "min-idle"
    ),
    "a min-idle in seconds": Mistake(
        consumer_of(claim=functools.partial(claim, min_idle=0)), "was taken from", "min-idle"
    ),
    "a min-idle that is too long": Mistake(
        consumer_of(claim=functools.partial(claim, min_idle=200_000)), "still pending", "200000 ms"
    ),
    "prefetched for longer than min-idle": Mistake(consumer_of(count=100), "was taken from", "COUNT"),
    "dies of a ConnectionError": Mistake(
        consumer_of(lost=()), "ConnectionError", "a lost connection is to be waited out"
    ),
    "dies of NOGROUP": Mistake(consumer_of(gone=("UNBLOCKED",)), "NOGROUP", "make it again"),
    "dies of UNBLOCKED": Mistake(consumer_of(gone=("NOGROUP",)), "UNBLOCKED", "Redis 7.2"),
    "leaves the group with entries pending": Mistake(
        consumer_of(claim=no_claim, at_exit=leaves_the_group), "XGROUP DELCONSUMER", "destroys what is pending"
    ),
    "leaves the group when it is asked to stop": Mistake(
        consumer_of(at_exit=leaves_the_group), "XGROUP DELCONSUMER", "destroys what is pending"
    ),
    "never claims": Mistake(consumer_of(claim=no_claim), "still pending", "nothing starts it again", seed=4),
    "never claims, and its handler fails": Mistake(
        consumer_of(claim=no_claim), "still pending", "claim what has been idle for long (XAUTOCLAIM), one's own"
    ),
    "does it twice": Mistake(consumer_of(work=does_it_twice), "processed twice", "once for each time"),
    "calls the handler without await": Mistake(
        consumer_of(work=forgets_await), "handler was called without await", "await handler"
    ),
    "acknowledges without await": Mistake(
        consumer_of(work=forgets_to_await_xack), "XACK was called without await", "await client"
    ),
    "leaves ghosts": Mistake(consumer_of(work=leaves_ghosts, claim=no_claim), "", ""),
    "handles ghosts": Mistake(consumer_of(work=handles_ghosts), "KeyError", "Acknowledge it"),
    "tries for ever": Mistake(consumer_of(work=tries_for_ever), "for the 50th time", "after a few tries"),
    "tries again at once": Mistake(consumer_of(work=tries_at_once), "for the 50th time", "with a pause"),
    "ends when there is nothing": Mistake(ends_when_empty, "returned", "while not stop.is_set()"),
    "ends when it is cut off": Mistake(ends_when_cut_off, "returned", "no connection, is not the end"),
    "tries to connect again at once": Mistake(
        impatient(again=True), "never waited", "cannot be reached, and it tries again at once"
    ),
    "reads again from a group that is gone": Mistake(
        impatient(again=False), "never waited", "it catches NOGROUP, and tries the same again"
    ),
    "does not look at stop": Mistake(is_deaf, "went on reading new entries", "look at stop"),
    "no BLOCK": Mistake(without_block, "the clock never moved", "without BLOCK"),
    "BLOCK for long": Mistake(consumer_of(block=5000), "had nothing to do", "BLOCK"),
    "BLOCK for ever": Mistake(consumer_of(block=0), "", "BLOCK"),
    "a name that is no command": Mistake(wrong_name, "AttributeError", "small letters"),
    "no await": Mistake(no_await, "TypeError", "await is missing"),
    "a command that is not simulated": Mistake(asks_for_settings, "unknown command", "CONFIG: the simulated server"),
    "a thread": Mistake(in_a_thread, "ended by itself", "no sockets, threads"),
    "sys.exit": Mistake(leaves, "ended the whole program", "return"),
    "waits for itself": Mistake(waits_for_itself, "never delivered", "await never.wait()"),
    "never awaits": Mistake(spins, "in the line 'while not stop", "nothing is awaited"),
    "sleeps for no time": Mistake(yields_and_spins, "the clock never moved", "asyncio.sleep(0)"),
    "calls itself": Mistake(calls_itself, "RecursionError", "what makes it stop"),
    "catches everything": Mistake(catches_everything, "went on reading new entries", "look at stop"),
    "an ordinary function": Mistake(in_order, "no async function", "it has to be a coroutine"),
    "a generator": Mistake(hands_out, "has a yield", "hands nothing out"),
    "the stub": Mistake(stub, "There is no answer yet", "replace"),
}
