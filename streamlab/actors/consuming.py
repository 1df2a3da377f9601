"""`consume`: process a group's entries, acknowledge them, and recover what was not finished."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from redis.exceptions import ResponseError

from streamlab import scripts
from streamlab.events import (
    ACKED,
    CLAIMED,
    DEAD_LETTERED,
    DELIVERED,
    DISCONNECTED,
    FAILED,
    PROCESSED,
    RECREATED,
    REJECTED,
    REMOVED,
    STARTED,
    STOPPED,
    TRIMMED,
    VOID,
    Report,
)

from .recovery import Recovery
from .redis_calls import (
    Entry,
    Patience,
    delivery_counts,
    ensure_group,
    entries_of,
    ignore,
    is_connection_lost,
    is_group_gone,
    run_script,
    safe_start,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: What is done with an entry: ``await handler(entry_id, fields)``. It returns when the effect has happened.
Handler = Callable[[str, dict[str, str]], Awaitable[object]]
#: What is done with an error that left an entry pending: ``on_error(entry_id, error)``.
OnError = Callable[[str, Exception], None]

logger = logging.getLogger(__name__)


class Advice:
    """What a consumer may be told while it runs. It listens before each read.

    To be heard at once, end the read that it may be blocked in as well (``CLIENT UNBLOCK``).
    """

    def __init__(self) -> None:
        self.is_new = False
        self.recovery: Recovery | None = None

    def look_again(self) -> None:
        """Let it read its own history again: what another client has claimed for it lies there."""
        self.is_new = True

    def recover(self, recovery: Recovery) -> None:
        """Let it recover in another way from now on."""
        self.recovery, self.is_new = recovery, True


#: Entries looked at in one ``XPENDING … IDLE``.
_PAGE = 100


def log_error(entry_id: str, error: Exception) -> None:
    """Log an error that left an entry pending, with its traceback."""
    logger.warning("entry %s could not be processed and stays pending", entry_id, exc_info=error)


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
    recovery: Recovery = Recovery(),  # noqa: B008 (frozen)
    patience: float = 30.0,
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
    in the own history, which is read again. A group that is gone is made anew, from a place up to which
    all was acknowledged; what was pending with it is done again.

    Parameters
    ----------
    count
        Entries to ask for at once (``COUNT``). It is prefetch: what one consumer holds, no other can take.
    block
        Seconds to wait for a new entry before looking at `stop` (``BLOCK``); 0 waits for ever.
    ack
        ``"each"`` acknowledges every entry by itself. ``"batch"`` acknowledges all that one read gave, in
        one command that travels with the next read: faster, and more is done again after a crash.
    recovery
        How entries come back that a consumer did not finish. If consumers claim, an entry whose handler
        raises an error stays pending and is tried again later; if they do not, the error ends this consumer.
    patience
        Seconds to go on trying when the server cannot be reached; then its error is raised.
    stop
        Once set, the consumer finishes and acknowledges what it holds, and returns.
    advice
        What it may be told meanwhile: to read its own history again, to recover otherwise.
    on_error
        Is told of errors that left an entry pending; by default they are logged.

    Raises
    ------
    redis.exceptions.ResponseError
        ``NOGROUP`` if the group or the stream is not there at the start: see `ensure_group`.
    """
    work = _Work(
        client, stream, group, consumer, handler, ack, recovery, stop, on_error, report, advice
    )
    tries = Patience(patience)
    report(STARTED, consumer)
    work.start_heart()
    try:
        while True:
            try:
                await work.settle()
                if work.recovery.history or work.is_advised:
                    work.follow_advice()
                    await work.own_history(count)
                    work.has_read = True
                tries.restore()
                await work.new_entries(count, round(block * 1000))
                await work.settle()
                if not work.is_advised or work.is_stopping:
                    break
            except ResponseError as error:
                if not is_group_gone(error) or not work.has_read:
                    raise
                await tries.wait(error)
                await work.recreate_group()
            except Exception as error:
                if not is_connection_lost(error):
                    raise
                work.is_unsure = True
                report(DISCONNECTED, consumer)
                await tries.wait(error)
    finally:
        if work.heart is not None:
            work.heart.cancel()
    report(STOPPED, consumer)
    return work.n_processed


async def reclaim(
    client: Redis,
    stream: str,
    group: str,
    consumer: str,
    handler: Handler,
    *,
    min_idle: float,
    count: int = 100,
    max_deliveries: int | None = None,
    on_error: OnError = log_error,
    report: Report = ignore,
) -> int:
    """Take over, process and acknowledge what others left pending (``XAUTOCLAIM``); return how many.

    One walk through the whole pending entries list. `min_idle` is in seconds and has to exceed the longest
    time that a living consumer takes for an entry, or entries are processed twice.
    """
    recovery = Recovery("autoclaim", min_idle=min_idle, max_deliveries=max_deliveries)
    work = _Work(client, stream, group, consumer, handler, "each", recovery, None, on_error, report)
    await work.autoclaim(count)
    return work.n_processed


class _Work:
    """What a consumer does and remembers."""

    def __init__(
        self,
        client: Redis,
        stream: str,
        group: str,
        consumer: str,
        handler: Handler,
        ack: Literal["each", "batch"],
        recovery: Recovery,
        stop: asyncio.Event | None,
        on_error: OnError,
        report: Report,
        advice: Advice | None = None,
    ) -> None:
        self.client, self.stream, self.group, self.consumer = client, stream, group, consumer
        self.handler, self.on_error, self.report = handler, on_error, report
        self.acks_each = ack == "each"
        self.stop = stop
        self.advice = advice
        self.n_processed = 0
        #: Processed, and still to be acknowledged.
        self.done: list[str] = []
        #: What it holds, with the delivery count; kept only if something depends on it.
        self.held: dict[str, int] = {}
        #: Whether an acknowledgement may have been executed without our hearing of it.
        self.is_unsure = False
        #: Whether the group was there once: one that never was is a mistake, and not ours to make.
        self.has_read = False
        #: From where a lost group could begin again.
        self.safe_id = "0"
        self.heart: asyncio.Task[None] | None = None
        self.adopt(recovery)

    def adopt(self, recovery: Recovery) -> None:
        """Recover in this way from now on."""
        self.recovery = recovery
        self.min_idle_ms = round(recovery.min_idle * 1000)
        self.keeps_track = recovery.fenced or recovery.heartbeat is not None
        self.can_nack = recovery.strategy == "nack"

    def start_heart(self) -> None:
        """Renew what is held from time to time, if that is wanted."""
        if self.recovery.heartbeat is not None:
            self.heart = asyncio.create_task(self.keep_alive(self.recovery.heartbeat))

    @property
    def is_stopping(self) -> bool:
        return self.stop is not None and self.stop.is_set()

    @property
    def is_advised(self) -> bool:
        return self.advice is not None and self.advice.is_new

    def follow_advice(self) -> None:
        """Take in what was said from outside."""
        if self.advice is None or not self.advice.is_new:
            return
        self.advice.is_new = False
        if self.advice.recovery is not None and self.advice.recovery != self.recovery:
            if self.heart is not None:
                self.heart.cancel()
                self.heart = None
            self.adopt(self.advice.recovery)
            self.start_heart()

    # ---- where entries come from ---------------------------------------------------------------

    async def own_history(self, count: int) -> None:
        """Process what was delivered to this consumer and never acknowledged (``XREADGROUP … 0``)."""
        # Always "0" would give the same entries again and again, so it moves on.
        last_id, count = "0", self.count_of_redelivered(count)
        while not self.is_stopping:
            reply = await self.client.xreadgroup(
                self.group, self.consumer, {self.stream: last_id}, count
            )
            entries = entries_of(reply)
            if not entries:
                return
            last_id = entries[-1][0]
            await self.process_again(DELIVERED, entries)
            await self.settle()

    async def new_entries(self, count: int, block_ms: int) -> None:
        """Process new entries until told to stop, and from time to time look for what others left."""
        client, group, consumer = self.client, self.group, self.consumer
        streams: Any = {self.stream: ">"}
        report, recovery = self.report, self.recovery
        options: dict[str, Any] = {}
        if recovery.strategy == "read-claim":
            options["claim_min_idle_time"] = self.min_idle_ms
            count = self.count_of_redelivered(count)
        may_pipeline = not recovery.fenced
        clock = asyncio.get_running_loop().time
        next_look = clock() if recovery.claims else None
        longest_ms = block_ms
        advice = self.advice
        while self.stop is None or not self.stop.is_set():
            if advice is not None and advice.is_new:
                return
            if next_look is not None:
                if clock() >= next_look:
                    await self.look_around(count)
                    next_look = clock() + recovery.looks_every
                left_ms = max(round((next_look - clock()) * 1000), 1)
                longest_ms = min(block_ms, left_ms) if block_ms else left_ms
            entries: list[Any] = []
            if self.done and may_pipeline:
                # The acknowledgement travels with a read that does not block: a blocked one would hold
                # back the news of the acknowledgement until the next entry comes.
                pipe = client.pipeline(transaction=False)
                pipe.xack(self.stream, group, *self.done)
                pipe.xreadgroup(group, consumer, streams, count, **options)
                _, reply = await pipe.execute()
                self.note_acked()
                entries = entries_of(reply)
            elif self.done:
                await self.settle()
            if not entries:
                reply = await client.xreadgroup(
                    group, consumer, streams, count, longest_ms, **options
                )
                entries = entries_of(reply)
            self.has_read = True
            if options:
                entries = await self.take_claimed(entries)
            if self.keeps_track:
                self.held.update((entry_id, 1) for entry_id, _ in entries)
            if report is not ignore:
                for entry_id, _ in entries:
                    report(DELIVERED, consumer, entry_id, 1)
            if entries:
                await self.process(entries)

    async def look_around(self, count: int) -> None:
        """Take over what others left, and do the housekeeping that belongs to it."""
        recovery = self.recovery
        await self.settle()
        if self.heart is not None and self.heart.done():
            self.heart.result()  # it ends only by an error
        if recovery.strategy in ("autoclaim", "nack"):
            await self.autoclaim(count)
        elif recovery.strategy == "claim":
            await self.claim(count)
        self.safe_id = await safe_start(self.client, self.stream, self.group)
        if recovery.remove_after is not None:
            args: list[str | int] = [self.group, self.consumer, round(recovery.remove_after * 1000)]
            script = scripts.REMOVE_IDLE_CONSUMERS
            for name in await run_script(self.client, script, [self.stream], args):
                self.report(REMOVED, name)

    async def autoclaim(self, count: int) -> None:
        """Process what has been idle for long, with one walk through the whole list (``XAUTOCLAIM``).

        A page may be empty before the list has ended (Redis looks at ten times `count` entries at the
        most): only the cursor ``0-0`` ends the walk.
        """
        cursor, count = "0-0", self.count_of_redelivered(count)
        while True:
            cursor, entries, *gone = await self.client.xautoclaim(
                self.stream, self.group, self.consumer, self.min_idle_ms, cursor, count
            )
            for entry_id in gone[0] if gone else ():
                self.report(TRIMMED, self.consumer, entry_id)
            # Redis 6.2 gives those that were deleted, without fields.
            await self.process_again(CLAIMED, [entry for entry in entries if entry[1]])
            await self.settle()
            if cursor == "0-0" or self.is_stopping:
                return

    async def claim(self, count: int) -> None:
        """Process what has been idle for long: look first, then take it (``XPENDING``, ``XCLAIM``)."""
        start, count = "-", self.count_of_redelivered(count)
        while not self.is_stopping:
            rows: list[dict[str, Any]] = await self.client.xpending_range(
                self.stream, self.group, start, "+", _PAGE, idle=self.min_idle_ms
            )
            ids: list[Any] = [row["message_id"] for row in rows]
            counts = {row["message_id"]: row["times_delivered"] + 1 for row in rows}
            for at in range(0, len(ids), count):
                # Another consumer may have been faster: then there is less than was asked for.
                claimed: list[Any] = await self.client.xclaim(
                    self.stream, self.group, self.consumer, self.min_idle_ms, ids[at : at + count]
                )
                entries = [entry for entry in claimed if entry[1]]
                await self.process_again(CLAIMED, entries, [counts[i] for i, _ in entries])
                await self.settle()
            if len(rows) < _PAGE:
                return
            start = f"({ids[-1]}"

    async def take_claimed(self, entries: list[Any]) -> list[Entry]:
        """Process those of a read's entries that were claimed (``XREADGROUP … CLAIM``); return the new ones."""
        claimed = [entry for entry in entries if entry[3]]
        if claimed:
            counts = [entry[3] + 1 for entry in claimed]
            await self.process_again(CLAIMED, [(i, fields) for i, fields, *_ in claimed], counts)
            await self.settle()
        return [(i, fields) for i, fields, _, count in entries if not count]

    def count_of_redelivered(self, count: int) -> int:
        """Return how many entries to take at once that have been delivered before.

        With a limit for deliveries, one at a time: each is counted as delivered the moment it is fetched,
        and those that wait behind an entry that kills the worker would use up their tries with it.
        """
        return count if self.recovery.max_deliveries is None else 1

    # ---- what is done with them ----------------------------------------------------------------

    async def process_again(
        self, kind: str, entries: Sequence[Entry], counts: Sequence[int] | None = None
    ) -> None:
        """Process entries that were delivered before: report them, and give up those with too many tries."""
        if not entries:
            return
        limit, report, consumer = self.recovery.max_deliveries, self.report, self.consumer
        if counts is None:
            if limit is None and not self.keeps_track and report is ignore:
                counts = [1] * len(entries)  # nobody asks
            else:
                ids = [entry_id for entry_id, _ in entries]
                counts = await delivery_counts(self.client, self.stream, self.group, consumer, ids)
        fit: list[Entry] = []
        for (entry_id, fields), n in zip(entries, counts, strict=True):
            if n == 0:
                continue  # another consumer has taken it in the meantime
            report(kind, consumer, entry_id, n)
            if self.keeps_track:
                self.held[entry_id] = n
            if not fields:  # deleted from the stream: there is nothing left to be done
                await self.client.xack(self.stream, self.group, entry_id)
                report(TRIMMED, consumer, entry_id)
                self.held.pop(entry_id, None)
            elif limit is not None and n > limit:
                await self.bury(entry_id, n)
            else:
                fit.append((entry_id, fields))
        await self.process(fit)

    async def process(self, entries: Sequence[Entry]) -> None:
        """Let the handler do its work with each entry, and acknowledge it then."""
        handler, report, consumer, done = self.handler, self.report, self.consumer, self.done
        for entry_id, fields in entries:
            if self.keeps_track and entry_id not in self.held:
                continue  # the heartbeat found that another consumer has taken it
            try:
                await handler(entry_id, fields)
            except Exception as error:
                if not self.recovery.claims or is_connection_lost(error):
                    raise
                await self.give_up_for_now(entry_id, error)
                continue
            report(PROCESSED, consumer, entry_id)
            self.n_processed += 1
            done.append(entry_id)
            if self.acks_each:
                await self.settle()

    async def settle(self) -> None:
        """Acknowledge what is done (``XACK``; fenced: by a script that looks who owns it)."""
        done = self.done
        if not done:
            return
        if self.recovery.fenced:
            await self.settle_fenced()
        elif len(done) == 1:
            n_acked = await self.client.xack(self.stream, self.group, done[0])
            # 0: nobody had it pending any more. After a lost reply that may have been our own doing.
            self.note_acked(ACKED if n_acked or self.is_unsure else VOID)
        else:
            await self.client.xack(self.stream, self.group, *done)
            self.note_acked()
        self.is_unsure = False

    def note_acked(self, kind: str = ACKED) -> None:
        report, consumer = self.report, self.consumer
        if report is not ignore:
            for entry_id in self.done:
                report(kind, consumer, entry_id)
        if self.held:
            for entry_id in self.done:
                self.held.pop(entry_id, None)
        self.done.clear()

    async def settle_fenced(self) -> None:
        args: list[str | int] = [self.group, self.consumer]
        for entry_id in self.done:
            args += [entry_id, self.held.get(entry_id, 0)]
        answers = await run_script(self.client, scripts.FENCED_ACK, [self.stream], args)
        for entry_id, answer in zip(self.done, answers, strict=True):
            kind = ACKED if answer == 1 else REJECTED if answer == 0 else VOID
            self.report(ACKED if kind == VOID and self.is_unsure else kind, self.consumer, entry_id)
            self.held.pop(entry_id, None)
        self.done.clear()

    async def give_up_for_now(self, entry_id: str, error: Exception) -> None:
        """Leave an entry pending whose handler failed; give it back at once where the server can (``XNACK``)."""
        self.report(FAILED, self.consumer, entry_id)
        self.on_error(entry_id, error)
        self.held.pop(entry_id, None)
        if self.can_nack:
            command = ("XNACK", self.stream, self.group, "FAIL", "IDS", 1, entry_id)
            try:
                await self.client.execute_command(*command)  # type: ignore[no-untyped-call]
            except ResponseError as refusal:
                if "unknown command" not in str(refusal):
                    raise
                self.can_nack = (
                    False  # before Redis 8.8 it waits until it has been idle for long enough
                )

    async def bury(self, entry_id: str, n_deliveries: int) -> None:
        """Move an entry that was delivered too often to the dead-letter stream."""
        keys = [self.stream, self.recovery.dead_letter_of(self.stream)]
        args = [self.group, self.consumer, entry_id]
        try:
            letter = await run_script(self.client, scripts.DEAD_LETTER, keys, args)
        except ResponseError as error:
            if is_group_gone(error):
                raise
            # It stays pending, and will be tried again: better a stuck entry than a lost one.
            self.report(FAILED, self.consumer, entry_id)
            self.on_error(entry_id, error)
        else:
            if letter is not None:
                self.report(DEAD_LETTERED, self.consumer, entry_id, n_deliveries)
        self.held.pop(entry_id, None)

    async def keep_alive(self, every: float) -> None:
        """Renew what is held, again and again, and forget what another consumer has taken."""
        while True:
            await asyncio.sleep(every)
            ids = list(self.held)
            if not ids:
                continue
            args = [self.group, self.consumer, *ids]
            try:
                own = set(await run_script(self.client, scripts.RENEW, [self.stream], args))
            except Exception as error:
                gone = isinstance(error, ResponseError) and is_group_gone(error)
                if not gone and not is_connection_lost(error):
                    raise
                continue  # the consumer itself meets the same error, and deals with it
            for entry_id in ids:
                if entry_id not in own:
                    self.held.pop(entry_id, None)

    async def recreate_group(self) -> None:
        """Make a group that is gone anew. What it had pending comes again, as new entries do."""
        if await ensure_group(self.client, self.stream, self.group, start=self.safe_id):
            self.report(RECREATED, self.consumer, self.safe_id)
        self.done.clear()
        self.held.clear()
