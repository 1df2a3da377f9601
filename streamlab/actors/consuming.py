"""`consume`: process a group's entries, acknowledge them, and recover what was not finished."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Literal

from .events import STARTED, STOPPED, Report
from .processing import BytesHandler, Handler, OnError
from .recovery import Recovery
from .redis_calls import ignore
from .trouble import warn_of_sending_again
from .work import Advice, Work

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)


def log_error(entry_id: str, error: Exception) -> None:
    """Log an error that left an entry pending, with its traceback."""
    logger.warning("entry %s could not be processed and stays pending", entry_id, exc_info=error)


async def consume(
    client: Redis,
    stream: str,
    group: str,
    consumer: str,
    handler: Handler | BytesHandler,
    *,
    count: int = 1,
    block: float = 5.0,
    ack: Literal["each", "batch"] = "each",
    recovery: Recovery = Recovery(),  # noqa: B008 (frozen)
    patience: float = 30.0,
    must_exist: bool = True,
    stop: asyncio.Event | None = None,
    advice: Advice | None = None,
    on_error: OnError = log_error,
    report: Report = ignore,
) -> int:
    """Process a group's entries as one of its consumers (``XREADGROUP``, ``XACK``); return how many.

    First come the entries that were delivered to an earlier life of this consumer and never acknowledged,
    then new ones, and from time to time what others left (see `Recovery`). An entry is acknowledged after
    its handler has returned, never before: one that was being processed when the process died stays pending.

    A lost connection is waited out: then whatever may have been delivered without our hearing of it is
    in the own history, which is read again. A group that is gone is made again, from a place up to which
    all was acknowledged when the consumer last asked: at its start, then every few seconds, beside its reads. What
    was pending is done again.

    Parameters
    ----------
    client
        Of text or of bytes, which is redis-py's default. The handler is given what it decodes, the id as well;
        events and `on_error` have text. Where an entry is no text, a client of text gives it with surrogate
        escapes (``value.encode(errors="surrogateescape")`` is what was added). It must send nothing again by itself:
        ``Redis(…, retry=Retry(NoBackoff(), 0))``; a read that is sent again leaves behind what the first one brought.
    count
        Entries to ask for at once (``COUNT``). It is prefetch: what one consumer holds, no other can take.
    block
        Seconds to wait for a new entry before looking at `stop` (``BLOCK``); 0 waits for ever. Then a server that
        never answers that read cannot be told from a stream without entries: give the client a TCP keep-alive.
    ack
        ``"each"`` acknowledges every entry by itself, before the next one is begun. By a plain client of redis-py's
        that is sent, and its answer heard later, after 10 ms of work at the most; if there is a `report`, it waits.
        ``"batch"`` acknowledges all that one read gave, in one command that travels with the next read: faster, and
        more is done again after a crash.
    recovery
        How entries come back that a consumer did not finish. If consumers claim, an entry whose handler
        raises an error, whichever, stays pending and is tried again later; if they do not, the error ends this
        consumer. Only `RedisLost`, from a handler whose effect is on the same Redis, is waited out.
    patience
        Seconds to go on trying when the server cannot be reached, or refuses commands for now (as a replica, without
        its master or its replicas, while it loads its data); then its error is raised. What will not pass, a missing
        permission or a refused password, is raised at once. A server that takes a command and does not answer is
        given so long as well, and a second at least, beyond what the read may block. A handler may take any time.
    must_exist
        Whether a group that is missing at the start is an error, which it is but for a worker that is
        started again: that one makes it again, as it does later on.
    stop
        Once set, the consumer finishes and acknowledges what it holds, and returns.
    advice
        What it may be told meanwhile: to read its own history again, to recover otherwise.
    on_error
        Is told of errors that left an entry pending; by default they are logged.

    Raises
    ------
    redis.exceptions.ResponseError
        ``NOGROUP`` if the group or the stream is not there at the start and must be: see `ensure_group`.
    redis.exceptions.TimeoutError
        If the server takes commands and does not answer.
    Unsupported
        Before anything is read, if the server has not got what the recovery needs.
    """
    work = Work(
        client,
        stream,
        group,
        consumer,
        handler,
        recovery,
        patience=patience,
        on_error=on_error,
        report=report,
        block=block,
        ack=ack,
        stop=stop,
        advice=advice,
    )
    work.has_read = not must_exist
    warn_of_sending_again(client)
    report(STARTED, work.consumer)
    await perform(work, count, block)
    report(STOPPED, work.consumer)
    return work.n_processed


async def perform(work: Work, count: int, block: float) -> None:
    """Do a consumer's work until it is to stop: what it holds already first, then what is new."""
    work.start_heart()
    try:
        async with work.watch:
            while True:
                try:
                    if work.is_group_gone:
                        await work.recreate_group()
                    await work.settle()
                    is_advised = work.follow_advice()
                    if work.must_ask_for_nack:
                        await work.see_that_it_can_nack()
                    if work.recovery.history or is_advised:
                        await work.own_history(count)
                        work.has_read = True
                    work.tries.note_answer()
                    if block:
                        work.take_line()
                    await work.new_entries(count, round(block * 1000))
                    await work.settle()
                    if not work.is_advised or work.is_stopping:
                        break
                    continue
                except Exception as error:
                    if work.lacks_claim(error):
                        raise await work.unsupported() from error
                    reason = work.reason_to_wait(error)
                finally:
                    await work.hang_up()
                await work.wait(reason)
    finally:
        if work.heart is not None:
            work.heart.cancel()


async def reclaim(
    client: Redis,
    stream: str,
    group: str,
    consumer: str,
    handler: Handler | BytesHandler,
    *,
    min_idle: float,
    count: int = 100,
    max_deliveries: int | None = None,
    patience: float = 30.0,
    on_error: OnError = log_error,
    report: Report = ignore,
) -> int:
    """Take over, process and acknowledge what others left pending (``XAUTOCLAIM``); return how many.

    One walk through the whole pending entries list. `min_idle` is in seconds and has to exceed the longest
    time that a living consumer takes for an entry, or entries are processed twice. `patience` is as for `consume`:
    then the walk restarts, and what was claimed without our hearing of it is left for the next one, `min_idle`
    later.
    """
    warn_of_sending_again(client)
    recovery = Recovery("autoclaim", min_idle=min_idle, max_deliveries=max_deliveries)
    work = Work(client, stream, group, consumer, handler, recovery, patience=patience, on_error=on_error, report=report)
    async with work.watch:
        while True:
            try:
                await work.settle()
                await work.autoclaim(count)
                return work.n_processed
            except Exception as error:
                reason = work.reason_to_wait(error)
            await work.wait(reason)
