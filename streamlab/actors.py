"""The actors: `produce`, `consume` and `reclaim`, over any ``redis.asyncio`` client.

This is the code that the course develops and that you may lift into your own service. It knows nothing of
laboratories: the client may be a real one or a simulated one, and the only clock is the event loop's.

    async def handle(entry_id: str, fields: dict[str, str]) -> None:
        ...                                     # the effect; make it idempotent by entry_id

    await ensure_group(client, "orders", "billing")
    await consume(client, "orders", "billing", "billing-1", handle)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from redis.exceptions import ResponseError

from streamlab.events import (
    ACKED,
    ADDED,
    CLAIMED,
    DELIVERED,
    PROCESSED,
    STARTED,
    STOPPED,
    Report,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis

Fields = Mapping[str, str]
Entry = tuple[str, dict[str, str]]
#: What is done with an entry: ``await handler(entry_id, fields)``. It returns when the effect has happened.
Handler = Callable[[str, dict[str, str]], Awaitable[object]]


def ignore(
    kind: str, actor: str, id: str = "", delivery_count: int = 0, at: float | None = None
) -> None:
    """Report to nobody."""


async def ensure_group(client: Redis, stream: str, group: str, *, start: str = "0") -> bool:
    """Create a consumer group, and the stream if need be (``XGROUP CREATE … MKSTREAM``).

    `start` is the last-delivered id: ``"0"`` delivers everything that the stream holds, ``"$"`` only what
    comes. Return whether the group is new; an existing one stays as it is.
    """
    try:
        await client.xgroup_create(stream, group, id=start, mkstream=True)
    except ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise
        return False
    return True


async def produce(
    client: Redis,
    stream: str,
    arrivals: Iterable[tuple[float, Fields]],
    *,
    name: str = "P1",
    maxlen: int | None = None,
    stop: asyncio.Event | None = None,
    report: Report = ignore,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> int:
    """Add entries at their times (``XADD``), and return how many were added.

    Parameters
    ----------
    arrivals
        Pairs of a time and the entry's fields; times in seconds after the call, ascending. Times are kept
        against the start, not against the entry before: a late entry does not delay all that follow.
    maxlen
        Trim the stream to about this many entries (``MAXLEN ~``).
    stop
        Once set, no further entry is added.
    sleep
        How to wait, in seconds of the event loop's time.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    n_added = 0
    report(STARTED, name)
    for at, fields in arrivals:
        delay = start + at - loop.time()
        if delay > 0:
            await sleep(delay)
        if stop is not None and stop.is_set():
            break
        sent_at = loop.time()
        entry_id = await client.xadd(stream, fields, maxlen=maxlen)  # type: ignore[arg-type]
        report(ADDED, name, entry_id, 0, sent_at)
        n_added += 1
    report(STOPPED, name)
    return n_added


async def consume(
    client: Redis,
    stream: str,
    group: str,
    consumer: str,
    handler: Handler,
    *,
    count: int = 1,
    block: float = 5.0,
    ack: Literal["each", "batch"] = "each",
    stop: asyncio.Event | None = None,
    report: Report = ignore,
) -> int:
    """Process a group's entries as one of its consumers (``XREADGROUP``, ``XACK``); return how many.

    First come the entries that were delivered to an earlier life of this consumer and never acknowledged,
    then new ones. An entry is acknowledged after its handler has returned, never before: one that was
    being processed when the process died stays pending.

    Parameters
    ----------
    count
        Entries to ask for at once (``COUNT``). It is prefetch: what one consumer holds, no other can take.
    block
        Seconds to wait for a new entry before looking at `stop` (``BLOCK``); 0 waits for ever.
    ack
        ``"each"`` acknowledges every entry by itself. ``"batch"`` acknowledges all that one read gave, in
        one command that travels with the next read: faster, and more is done again after a crash.
    stop
        Once set, the consumer finishes and acknowledges what it holds, and returns.

    Raises
    ------
    redis.exceptions.ResponseError
        ``NOGROUP`` if the group or the stream is gone: see `ensure_group`.
    """
    block_ms = round(block * 1000)
    done: list[str] = []  # processed, and to be acknowledged with the next read ("batch" only)
    n_processed = 0

    async def process(entries: list[Entry]) -> None:
        nonlocal n_processed
        for entry_id, fields in entries:
            if fields:  # a pending entry that was deleted from the stream comes without fields
                await handler(entry_id, fields)
                report(PROCESSED, consumer, entry_id)
                n_processed += 1
            if ack == "each":
                await client.xack(stream, group, entry_id)
                report(ACKED, consumer, entry_id)
            else:
                done.append(entry_id)

    async def ack_done() -> None:
        if done:
            await client.xack(stream, group, *done)
            _report_acked(report, consumer, done)

    report(STARTED, consumer)
    last_id = (
        "0"  # own history: always "0" would give the same entries again and again, so it moves on
    )
    while entries := _entries(await client.xreadgroup(group, consumer, {stream: last_id}, count)):
        await _report_delivered(report, DELIVERED, client, stream, group, consumer, entries)
        last_id = entries[-1][0]
        await process(entries)
        await ack_done()

    while stop is None or not stop.is_set():
        if done:
            # The acknowledgement travels with a read that does not block: a blocked one would hold back
            # the news of the acknowledgement until the next entry comes.
            pipe = client.pipeline(transaction=False)
            pipe.xack(stream, group, *done)
            pipe.xreadgroup(group, consumer, {stream: ">"}, count)
            _, reply = await pipe.execute()
            _report_acked(report, consumer, done)
            entries = _entries(reply)
        if not entries:
            reply = await client.xreadgroup(group, consumer, {stream: ">"}, count, block_ms)
            entries = _entries(reply)
        if report is not ignore:
            for entry_id, _ in entries:
                report(DELIVERED, consumer, entry_id, 1)
        await process(entries)
        entries = []
    await ack_done()
    report(STOPPED, consumer)
    return n_processed


async def reclaim(
    client: Redis,
    stream: str,
    group: str,
    consumer: str,
    handler: Handler,
    *,
    min_idle: float,
    count: int = 100,
    report: Report = ignore,
) -> int:
    """Take over, process and acknowledge what others left pending (``XAUTOCLAIM``); return how many.

    One walk through the whole pending entries list. `min_idle` is in seconds and has to exceed the longest
    time that a living consumer takes for an entry, or entries are processed twice. A page may be empty
    before the list has ended (Redis looks at ten times `count` entries at the most): only the cursor
    ``0-0`` ends the walk.
    """
    cursor, n_claimed = "0-0", 0
    while True:
        cursor, entries, *_ = await client.xautoclaim(
            stream, group, consumer, round(min_idle * 1000), cursor, count
        )
        entries = [
            (entry_id, fields) for entry_id, fields in entries if fields
        ]  # 6.2 gives deleted ones
        await _report_delivered(report, CLAIMED, client, stream, group, consumer, entries)
        for entry_id, fields in entries:
            await handler(entry_id, fields)
            report(PROCESSED, consumer, entry_id)
            await client.xack(stream, group, entry_id)
            report(ACKED, consumer, entry_id)
            n_claimed += 1
        if cursor == "0-0":
            return n_claimed


def _entries(reply: Any) -> list[Entry]:
    """Return the entries in a reply to a read of one stream; none if the read timed out."""
    if not reply:
        return []
    entries: list[Any] = next(iter(reply.values())) if isinstance(reply, dict) else reply[0][1]
    # Some versions of redis-py wrap a RESP3 reply once more.
    return entries[0] if entries and isinstance(entries[0], list) else entries


def _report_acked(report: Report, consumer: str, done: list[str]) -> None:
    if report is not ignore:
        for entry_id in done:
            report(ACKED, consumer, entry_id)
    done.clear()


async def _report_delivered(
    report: Report,
    kind: str,
    client: Redis,
    stream: str,
    group: str,
    consumer: str,
    entries: list[Entry],
) -> None:
    """Report entries that are not new, with the delivery counts that only ``XPENDING`` tells."""
    if report is ignore or not entries:
        return
    pipe = client.pipeline(transaction=False)
    for entry_id, _ in entries:
        pipe.xpending_range(stream, group, entry_id, entry_id, 1, consumer)
    for (entry_id, _), rows in zip(entries, await pipe.execute(), strict=True):
        report(kind, consumer, entry_id, rows[0]["times_delivered"] if rows else 0)
