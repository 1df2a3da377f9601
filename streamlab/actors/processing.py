"""`Processing`: what a consumer does with the entries that it has, and what it remembers of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.exceptions import ResponseError

from . import scripts
from .events import (
    ACKED,
    DEAD_LETTERED,
    DELIVERED,
    FAILED,
    PROCESSED,
    REJECTED,
    TRIMMED,
    VOID,
    Entry,
    EventKind,
    Report,
)
from .line import Line, line_of
from .reading import Reader
from .recovery import Recovery
from .redis_calls import delivery_counts, ignore, run_script
from .trouble import RedisLost, is_group_gone, leave_replica, passes
from .watch import Watch

#: What is done with an entry: ``await handler(entry_id, fields)``. It returns when the effect has happened.
Handler = Callable[[str, dict[str, str]], Awaitable[object]]
#: The same for a client that does not decode: such a handler is given what the client gives, the id as well.
BytesHandler = Callable[[bytes, dict[bytes, bytes]], Awaitable[object]]
#: What is done with an error that left an entry pending: ``on_error(entry_id, error)``.
OnError = Callable[[str, Exception], None]


class Processing:
    """Processes entries, acknowledges them, and gives up what has failed too often."""

    def __init__(
        self,
        reader: Reader,
        watch: Watch,
        handler: Handler | BytesHandler,
        recovery: Recovery,
        on_error: OnError,
        report: Report,
        acks_each: bool,
    ) -> None:
        self.reader, self.watch, self.replies, self.client = reader, watch, reader.replies, reader.client
        self.stream, self.group, self.consumer = reader.stream, reader.group, reader.consumer
        #: Called with ids as text, as everything here is.
        self.handler: Any = handler if self.replies.give_text else _given_bytes(handler)
        self.on_error, self.report = on_error, report
        self.acks_each = acks_each
        self.n_processed = 0
        #: Processed, and still to be acknowledged.
        self.done: list[str] = []
        #: What it holds, with the delivery count; kept only if something depends on it.
        self.held: dict[str, int] = {}
        #: Acknowledged without an answer: nobody knows whether that was executed.
        self.in_doubt: set[str] = set()
        self.is_acking = False
        #: By what it acknowledges without waiting for each reply; None: by the client.
        self.line: Line | None = None
        #: What a handler or `on_error` raised: whatever it is, nothing was lost between us and the server.
        self.error_of_handler: Exception | None = None
        self.heart: asyncio.Task[None] | None = None
        self.adopt(recovery)

    def adopt(self, recovery: Recovery) -> None:
        """Recover in this way from now on."""
        self.recovery = recovery
        self.min_idle_ms = round(recovery.min_idle * 1000)
        self.keeps_track = recovery.fenced or recovery.heartbeat is not None
        self.can_nack = recovery.strategy == "nack"
        #: What the server has to be asked before anything is read.
        self.must_ask_for_nack = self.can_nack
        if not self.keeps_track:
            self.held.clear()

    def start_heart(self) -> None:
        """Renew what is held from time to time, if that is wanted."""
        if self.recovery.heartbeat is not None:
            self.heart = asyncio.create_task(self.keep_alive(self.recovery.heartbeat))

    async def process_again(self, kind: EventKind, entries: Sequence[Entry]) -> None:
        """Process entries that were delivered before: report them, and give up those with too many tries."""
        if not entries:
            return
        if self.recovery.max_deliveries is None and not self.keeps_track and self.report is ignore:
            counts = [1] * len(entries)  # nobody asks
        else:
            ids = [entry_id for entry_id, _ in entries]
            counts = await delivery_counts(self.client, self.stream, self.group, self.consumer, ids)
            self.watch.n_answers += 1
        self.note_given(kind, entries, counts)
        await self.process_fit(entries, counts)

    def note_given(self, kind: EventKind, entries: Sequence[Entry], counts: Sequence[int]) -> None:
        """Report what was given, and hold it; a count of 0 is what another consumer has taken meanwhile."""
        for (entry_id, _), n in zip(entries, counts, strict=True):
            if n:
                self.report(kind, self.consumer, entry_id, n)
                if self.keeps_track:
                    self.held[entry_id] = n

    def note_new(self, entries: Sequence[Entry]) -> None:
        """Report entries that nobody was given before, and hold them."""
        if self.keeps_track:
            self.held.update((entry_id, 1) for entry_id, _ in entries)
        report, consumer = self.report, self.consumer
        for entry_id, _ in entries:
            report(DELIVERED, consumer, entry_id, 1)

    async def process_fit(self, entries: Sequence[Entry], counts: Sequence[int]) -> None:
        """Process what is still ours and there, and was not delivered too often."""
        limit, fit = self.recovery.max_deliveries, []
        for (entry_id, fields), n in zip(entries, counts, strict=True):
            if not n:
                continue
            if not fields:  # deleted from the stream: there is nothing left to be done
                await self.client.xack(self.stream, self.group, entry_id)
                self.watch.n_answers += 1
                self.report(TRIMMED, self.consumer, entry_id)
                self.held.pop(entry_id, None)
            elif limit is not None and n > limit:
                await self.bury(entry_id, n)
            else:
                fit.append((entry_id, fields))
        await self.process(fit)

    async def process(self, entries: Sequence[Entry]) -> None:
        """Let the handler do its work with each entry, and acknowledge it then."""
        handler, report, consumer, done = self.handler, self.report, self.consumer, self.done
        keeps_track, watch = self.keeps_track, self.watch
        line, acks_at_once = self.line, self.acks_each and not keeps_track
        for entry_id, fields in entries:
            if line is not None and done and acks_at_once:
                await self.send_acks()
            if keeps_track and entry_id not in self.held:
                watch.n_answers += 1
                continue  # the heartbeat found that another consumer has taken it
            watch.is_at_work = True
            try:
                await handler(entry_id, fields)
            except (Exception, asyncio.CancelledError) as error:
                watch.expect_answer()
                failure = _failure(error)
                await self.hear_acks()
                if not self.recovery.claims:
                    self.error_of_handler = failure
                    raise failure  # noqa: B904 (it is `error`, or has it as its cause)
                await self.give_up_for_now(entry_id, failure)
                continue
            watch.is_at_work = False
            if watch.is_dozing:
                watch.wake()
            if report is not ignore:
                report(PROCESSED, consumer, entry_id)
            self.n_processed += 1
            if line is not None:
                done.append(entry_id)
                continue
            if done or not acks_at_once or self.in_doubt:
                done.append(entry_id)
                if self.acks_each:
                    await self.settle()
                continue
            # The usual case, written out: there is nothing to remember.
            done.append(entry_id)
            self.is_acking = True
            n_acked = await self.client.xack(self.stream, self.group, entry_id)
            self.is_acking = False
            report(ACKED if n_acked else VOID, consumer, done.pop())

    def take_line(self) -> None:
        """Keep a connection for acknowledgements and reads, if these are plain and nobody is told of each."""
        is_plain = not self.keeps_track and self.recovery.strategy != "read-claim" and not self.reader.is_careful
        if is_plain and self.report is ignore:
            self.line = line_of(self.client, self.stream, self.group)

    async def hang_up(self) -> None:
        """Give that connection back; what was sent by it and not heard of stays to be acknowledged."""
        line, self.line = self.line, None
        if line is not None:
            await line.give_back()

    async def send_acks(self) -> None:
        """Send the acknowledgement of what is done before anything else is begun; now and then, hear the answers."""
        if self.line is not None and self.done:
            self.is_acking = True
            await self.line.send(self.done)
            if self.line.is_to_hear:
                await self.hear_acks()

    async def hear_acks(self) -> None:
        """Wait for the answers to what has been acknowledged, if there are any to come."""
        if self.line is not None and self.line.n_acks:
            await self.line.hear()
            self.watch.n_answers += 1
            self.note_acked()

    async def settle(self) -> None:
        """Acknowledge what is done (``XACK``; fenced: by a script that looks who owns it)."""
        done = self.done
        if self.line is not None:
            await self.send_acks()
            await self.hear_acks()
            await self.line.give_back()
        if not done:
            return
        self.is_acking = True
        if self.recovery.fenced:
            await self.settle_fenced()
        else:
            n_acked = await self.client.xack(self.stream, self.group, *done)
            # Of several, nobody tells which were not pending any more.
            self.note_acked(ACKED if n_acked or len(done) > 1 else VOID)
        self.watch.n_answers += 1

    async def settle_fenced(self) -> None:
        """Acknowledge what this consumer still owns by the delivery that it was given it with."""
        args: list[str | int] = [self.group, self.consumer]
        for entry_id in self.done:
            args += [entry_id, self.held.get(entry_id, 0)]
        answers = await run_script(self.client, scripts.FENCED_ACK, [self.stream], args)
        self.note_acked(*(ACKED if answer == 1 else REJECTED if answer == 0 else VOID for answer in answers))

    def note_acked(self, *kinds: EventKind) -> None:
        """Report how an acknowledgement was answered: all that is done alike, or one kind for each."""
        report, consumer, done = self.report, self.consumer, self.done
        self.is_acking = False
        if report is not ignore:
            each = kinds if len(kinds) == len(done) else (kinds or (ACKED,)) * len(done)
            for entry_id, kind in zip(done, each, strict=True):
                # In vain, if we did it ourselves the first time and never heard of it.
                is_ours = kind == VOID and entry_id in self.in_doubt
                report(ACKED if is_ours else kind, consumer, entry_id)
        if self.held:
            for entry_id in done:
                self.held.pop(entry_id, None)
        self.in_doubt.clear()
        done.clear()

    async def give_up_for_now(self, entry_id: str, error: Exception) -> None:
        """Leave an entry pending whose handler failed; give it back at once where the server can (``XNACK``)."""
        self.note_failed(entry_id, error)
        if self.can_nack:
            command = ("XNACK", self.stream, self.group, "FAIL", "IDS", 1, entry_id)
            try:
                await self.client.execute_command(*command)  # type: ignore[no-untyped-call]
            except ResponseError as refusal:
                if "unknown command" not in str(refusal):
                    raise
                # Before Redis 8.8 it waits until it has been idle for long enough.
                self.can_nack = False

    async def bury(self, entry_id: str, n_deliveries: int) -> None:
        """Move an entry that was delivered too often to the dead-letter stream."""
        keys = [self.stream, self.recovery.dead_letter_of(self.stream)]
        args = [self.group, self.consumer, entry_id]
        try:
            letter = await run_script(self.client, scripts.DEAD_LETTER, keys, args)
            self.watch.n_answers += 1
        except ResponseError as error:
            if is_group_gone(error):
                raise
            # It stays pending, and will be tried again: better a stuck entry than a lost one.
            self.note_failed(entry_id, error)
        else:
            if letter is not None:
                self.report(DEAD_LETTERED, self.consumer, entry_id, n_deliveries)
        self.held.pop(entry_id, None)

    def note_failed(self, entry_id: str, error: Exception) -> None:
        """Report an error that leaves an entry pending, and tell of it."""
        self.watch.n_answers += 1
        self.report(FAILED, self.consumer, entry_id)
        try:
            self.on_error(entry_id, error)
        except Exception as own:
            self.error_of_handler = own
            raise
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
                if not is_group_gone(error) and not passes(error):
                    raise
                await leave_replica(self.client, error)
                continue  # the consumer itself meets the same error, and deals with it
            for entry_id in ids:
                if entry_id not in own:
                    self.held.pop(entry_id, None)


def _failure(error: Exception | asyncio.CancelledError) -> Exception:
    """Return what is wrong with a handler; raise what is not its own affair."""
    if isinstance(error, RedisLost):
        raise error
    if isinstance(error, Exception):
        return error
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error
    failure = RuntimeError("something that the handler was waiting for has been cancelled")
    failure.__cause__ = error
    return failure


def _given_bytes(handler: Any) -> Any:
    """Return a handler that may be called with an id of text, for one that takes it as bytes."""

    def handle(entry_id: str, fields: dict[bytes, bytes]) -> Awaitable[object]:
        awaitable: Awaitable[object] = handler(entry_id.encode(), fields)
        return awaitable

    return handle
