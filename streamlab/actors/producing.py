"""`produce`: add entries at their times, and none of them twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .events import ADDED, DISCONNECTED, STARTED, STOPPED, Fields, Report
from .redis_calls import ignore
from .replies import Replies
from .shards import shard_of
from .trouble import Patience, explain, is_connection_lost, passes, warn_of_sending_again
from .watch import Watch

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Entries fetched at once when a producer looks for its own.
_PAGE = 1000


def sleep_of_loop() -> Callable[[float], Awaitable[object]]:
    """Return how to sleep on the running event loop, which is the clock: some have a way of their own."""
    sleep: Callable[[float], Awaitable[object]] = getattr(asyncio.get_running_loop(), "sleep", asyncio.sleep)
    return sleep


async def produce(
    client: Redis,
    stream: str | Sequence[str],
    arrivals: Iterable[tuple[float, Fields]],
    *,
    name: str = "P1",
    shard_by: str = "",
    maxlen: int | None = None,
    patience: float = 30.0,
    stop: asyncio.Event | None = None,
    report: Report = ignore,
) -> int:
    """Add entries at their times (``XADD``), and return how many were added.

    If the connection is lost before the reply has come, nobody knows whether the entry was added. Then the
    producer looks for it in the stream before it sends it again; so no two entries may have the same fields, as
    they lie on the server: there, 1 and "1" and b"1" are the same. (One that has been trimmed by then is not found.)

    Parameters
    ----------
    client
        One that sends nothing again by itself: ``Redis(…, retry=Retry(NoBackoff(), 0))``. By default, redis-py's
        does, and then an entry may be added twice all the same; a warning is logged.
    stream
        Its key; or the keys of all of its shards (see `shard_keys`). Then `shard_by` is the field whose value decides
        to which of them an entry goes (see `shard_of`), and ids are reported with the shard's number: ``"3/1767-0"``.
    arrivals
        Pairs of a time and the entry's fields; times in seconds after the call, ascending. Times are kept
        against the start, not against the entry before: a late entry does not delay all that follow.
    maxlen
        Trim the stream to about this many entries (``MAXLEN ~``).
    patience
        Seconds to go on trying when the server cannot be reached, or refuses entries for now (as a replica, without
        memory or replicas, while it loads); then its error is raised. What will not pass, a missing permission, is
        raised at once. A server that takes an entry and does not answer is given so long as well, and a second at
        least; then it is a ``redis.exceptions.TimeoutError``, and the entry may have been added.
    stop
        Once set, no further entry is added.
    """
    warn_of_sending_again(client)
    clock, sleep = asyncio.get_running_loop().time, sleep_of_loop()
    start = clock()
    n_added, prefix = 0, ""
    last_ids: dict[str, str] = {}  # by stream
    shards = () if isinstance(stream, str) else stream
    key = stream if isinstance(stream, str) else ""
    added: Any
    report(STARTED, name)
    async with Watch(patience, lambda: n_added) as watch:
        watch.is_at_work = True
        for at, fields in arrivals:
            delay = start + at - clock()
            if delay > 0:
                await sleep(delay)
            if stop is not None and stop.is_set():
                break
            if shards:
                number = shard_of(fields[shard_by], len(shards))
                key, prefix = shards[number], f"{number}/"
            sent_at = clock()
            watch.is_at_work = False
            if watch.is_dozing:
                watch.wake()
            try:
                added = await client.xadd(key, fields, "*", maxlen)  # type: ignore[arg-type]
            except Exception as error:
                if is_connection_lost(error):
                    report(DISCONNECTED, name)
                tries = Patience(patience, client)
                added = await _add_again(client, key, fields, maxlen, last_ids.get(key, ""), tries, watch, error)
            last_ids[key] = last_id = added.decode() if isinstance(added, bytes) else added
            watch.is_at_work = True
            report(ADDED, name, prefix + last_id if shards else last_id, 0, sent_at)
            n_added += 1
    report(STOPPED, name)
    return n_added


async def _add_again(
    client: Redis,
    stream: str,
    fields: Fields,
    maxlen: int | None,
    after: str,
    patience: Patience,
    watch: Watch,
    error: Exception,
) -> Any:
    """Add an entry that was refused, or whose reply was lost, so that it may have been added; return its id."""
    is_in_doubt = False
    while True:
        if not passes(error):
            explain(error, stream)
            raise error
        is_in_doubt = is_in_doubt or is_connection_lost(error)
        await patience.wait(error)
        watch.n_answers += 1
        try:
            found = await _find(client, stream, fields, after, watch) if is_in_doubt else ""
            is_in_doubt = False
            return found or await client.xadd(stream, fields, maxlen=maxlen)  # type: ignore[arg-type]
        except Exception as again:
            error = again


async def _find(client: Redis, stream: str, fields: Fields, after: str, watch: Watch) -> str:
    """Return the id of the entry with these fields, among those after an id; "" if there is none."""
    replies = Replies(client)
    wanted = _as_sent(client, fields)
    start = f"({after}" if after else "-"
    while True:
        page = await replies.ask("XRANGE", stream, start, "+", "COUNT", _PAGE)
        watch.n_answers += 1
        for entry_id, found in page:
            if len(found) == len(wanted) and _as_sent(client, found) == wanted:
                return str(replies.text(entry_id))
        if len(page) < _PAGE:
            return ""
        start = f"({replies.text(page[-1][0])}"


def _as_sent(client: Redis, fields: Mapping[Any, Any]) -> dict[bytes, bytes]:
    """Return fields as they are sent, and lie on the server: redis-py writes numbers as text."""
    encode = client.get_encoder().encode  # type: ignore[no-untyped-call]

    def as_bytes(value: Any) -> bytes:
        try:
            return bytes(encode(value))
        except UnicodeEncodeError:  # a simulated server holds text, with surrogate escapes
            return str(value).encode(errors="surrogateescape")

    return {as_bytes(name): as_bytes(value) for name, value in fields.items()}
