"""`Work`: what a consumer does between two looks at the clock, in small steps."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from redis.exceptions import ResponseError

from . import scripts
from .events import CLAIMED, DELIVERED, DISCONNECTED, RECREATED, REMOVED, TRIMMED, Report
from .line import Line
from .processing import BytesHandler, Handler, OnError, Processing
from .reading import Reader
from .recovery import NOTE_AFTER, NOTE_EVERY, Recovery
from .redis_calls import ensure_group, ignore, name_of_server, run_script
from .replies import entries_of
from .trouble import (
    Patience,
    RedisLost,
    Unsupported,
    explain,
    is_connection_lost,
    is_group_gone,
    is_hopeless,
    is_refused_for_now,
    may_have_moved,
    passes,
)
from .watch import Watch

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Entries looked at in one ``XPENDING … IDLE``.
_PAGE = 100


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


class Work(Processing):
    """What a consumer does: it looks for entries, processes them, and meets what goes wrong."""

    def __init__(
        self,
        client: Redis,
        stream: str,
        group: str,
        consumer: str,
        handler: Handler | BytesHandler,
        recovery: Recovery,
        *,
        patience: float,
        on_error: OnError,
        report: Report,
        block: float = 0.0,
        ack: Literal["each", "batch"] = "each",
        stop: asyncio.Event | None = None,
        advice: Advice | None = None,
    ) -> None:
        # An entry is processed, then acknowledged; of that, then of what is read next, an answer has to come.
        self.watch = Watch(block + patience, lambda: (self.n_processed, self.is_acking))
        reader = Reader(client, stream, group, consumer, self.watch)
        super().__init__(reader, self.watch, handler, recovery, on_error, report, acks_each=ack == "each")
        self.patience, self.tries = patience, Patience(patience, client)
        self.stop, self.advice = stop, advice
        #: Whether the group was there once: one that never was is a mistake, and not ours to make.
        self.has_read = False
        self.is_group_gone = False

    @property
    def is_stopping(self) -> bool:
        return self.stop is not None and self.stop.is_set()

    @property
    def is_advised(self) -> bool:
        return self.advice is not None and self.advice.is_new

    def follow_advice(self) -> bool:
        """Take in what was said from outside; return whether there was anything."""
        if self.advice is None or not self.advice.is_new:
            return False
        self.advice.is_new = False
        if self.advice.recovery is not None and self.advice.recovery != self.recovery:
            if self.heart is not None:
                self.heart.cancel()
                self.heart = None
            self.adopt(self.advice.recovery)
            self.start_heart()
        return True

    # ---- where entries come from ---------------------------------------------------------------

    async def own_history(self, count: int) -> None:
        """Process what was delivered to this consumer and never acknowledged (``XREADGROUP … 0``)."""
        # Always "0" would give the same entries again and again, so it moves on.
        last_id, count = "0", self.count_of_redelivered(count)
        while not self.is_stopping:
            # Of its own history, a consumer claims nothing: but here a server says whether it knows CLAIM.
            command = self.reader.command(count, last_id, *self.claim_option)
            entries = await self.reader.read(command, notes_place=self.notes_place)
            if not entries:
                return
            last_id = entries[-1][0]
            await self.process_again(DELIVERED, entries)
            await self.settle()

    @property
    def claim_option(self) -> tuple[str, int] | tuple[()]:
        """The option by which reads take over idle entries, if they do."""
        return ("CLAIM", self.min_idle_ms) if self.recovery.strategy == "read-claim" else ()

    async def see_that_it_can_nack(self) -> None:
        """Ask the server whether it knows ``XNACK``; raise `Unsupported` if not."""
        try:
            await self.reader.ask("XNACK")
        except ResponseError as error:
            if "unknown command" in str(error):
                raise await self.unsupported() from error
            if passes(error):
                raise
            # It says what is missing: it knows the command.
        self.must_ask_for_nack = False

    async def unsupported(self) -> Unsupported:
        """Return the error that says what the server has not got."""
        return Unsupported(self.recovery.complaint(await name_of_server(self.client)))

    @property
    def notes_place(self) -> bool:
        """Whether this consumer asks, beside its reads, where a lost group could begin again.

        Those that often look for what others left ask at each of these looks.
        """
        looks = self.recovery.claims and self.recovery.looks_every <= NOTE_EVERY
        return self.reader.may_ask_for_place and not looks

    async def new_entries(self, count: int, block_ms: int) -> None:
        """Process new entries until told to stop, and from time to time look for what others left."""
        client, group, consumer = self.client, self.group, self.consumer
        streams: Any = {self.stream: ">"}
        report, recovery, reader = self.report, self.recovery, self.reader
        entries_in = entries_of if self.replies.give_text else self.replies.read
        claim = self.claim_option
        options: dict[str, Any] = {"claim_min_idle_time": self.min_idle_ms} if claim else {}
        if options or recovery.max_deliveries == 1:
            # Nothing may use up its only try by waiting in line.
            count = self.count_of_redelivered(count)
        line, notes_given = self.line, self.keeps_track or report is not ignore
        clock = asyncio.get_running_loop().time
        next_look = clock() if recovery.claims else None
        longest_ms, is_endless = block_ms, block_ms == 0 and not recovery.claims
        longest_wait = block_ms / 1000 if block_ms or is_endless else recovery.looks_every
        self.watch.allow(longest_wait + self.patience)
        # From where a lost group could begin again has been noted with the own history.
        notes_place, n_noted, next_note = self.notes_place, self.n_processed, clock() + NOTE_EVERY
        worth_a_look = n_noted + NOTE_AFTER if notes_place else math.inf
        is_due = False
        advice, is_unusual = self.advice, True
        has_stopped = self.stop.is_set if self.stop is not None else None
        while (has_stopped is None or not has_stopped()) and (advice is None or not advice.is_new):
            if next_look is not None:
                if clock() >= next_look:
                    await self.look_around(count)
                    next_look = clock() + recovery.looks_every
                left_ms = max(round((next_look - clock()) * 1000), 1)
                longest_ms = min(block_ms, left_ms) if block_ms else left_ms
            entries: Sequence[Any] = ()
            if self.n_processed >= worth_a_look:
                worth_a_look = self.n_processed + NOTE_AFTER
                if clock() >= next_note:
                    next_note, n_noted = clock() + NOTE_EVERY, self.n_processed
                    is_due = is_unusual = True
            if line is None and self.done:
                entries = await self.acknowledge_and_read(count, is_due, *claim, **options)
                is_due = is_due and recovery.fenced
            if not entries:
                read: Awaitable[Any]
                if is_unusual:
                    self.watch.is_at_work = is_endless  # no answer has to come
                    entries = await self.read_in_any_case(count, longest_ms, is_due, *claim, **options)
                    is_due, is_unusual = False, reader.is_careful or is_endless or bool(claim)
                elif line is not None:
                    entries = await self.acknowledge_and_wait(line, count, longest_ms)
                else:
                    read = client.xreadgroup(group, consumer, streams, count, longest_ms)
                    entries = entries_in(await read)
            if options:
                await self.claimed_and_new(entries)
                continue
            if notes_given and entries:
                self.note_new(entries)
            if entries:
                await self.process(entries)
                continue
            self.watch.n_answers += 1
            if notes_place:  # there is time, and what was processed is acknowledged
                worth_a_look, next_note = n_noted + 1, -math.inf

    async def read_in_any_case(
        self, count: int, block_ms: int, notes_place: bool, *claim: str | int, **options: Any
    ) -> list[Any]:
        """Return new entries by a read that is the first, lasts for ever, is careful, claims, or notes the place."""
        await self.settle()
        reader = self.reader
        if notes_place or reader.is_careful:
            command = reader.command(count, ">", "BLOCK", block_ms, *claim)
            entries = await reader.read(command, notes_place=notes_place, **options)
        else:
            streams: Any = {self.stream: ">"}
            reply = await self.client.xreadgroup(self.group, self.consumer, streams, count, block_ms, **options)
            entries = reader.entries_in(reply)
        self.watch.expect_answer()
        self.tries.restore()
        self.has_read = True
        return entries

    async def acknowledge_and_read(self, count: int, notes_place: bool, *claim: str | int, **options: Any) -> list[Any]:
        """Acknowledge what is done; return new entries, if there are any. Fenced, only acknowledge.

        The acknowledgement travels with a read that does not block: a blocked one would hold back the news of
        the acknowledgement until the next entry comes.
        """
        if self.recovery.fenced:
            await self.settle()
            return []
        self.is_acking = True
        command = self.reader.command(count, ">", *claim)
        entries = await self.reader.acknowledge_and_read(self.done, command, notes_place=notes_place, **options)
        self.note_acked()
        return entries

    async def acknowledge_and_wait(self, line: Line, count: int, block_ms: int) -> list[Any]:
        """Acknowledge what is done, and wait for new entries: what becomes of the first is heard before."""
        self.is_acking = bool(self.done)
        await line.send(self.done, *self.reader.command(count, ">", "BLOCK", block_ms))
        await self.hear_acks()
        return self.reader.entries_in(await line.reply("XREADGROUP"))

    async def look_around(self, count: int) -> None:
        """Take over what others left, and do the housekeeping that belongs to it."""
        recovery = self.recovery
        await self.settle()
        if self.heart is not None and self.heart.done():
            self.heart.result()  # it ends only by an error
        if recovery.strategy in ("autoclaim", "nack"):
            await self.autoclaim(count)
        elif recovery.strategy == "claim":
            await self.claim(count, self.min_idle_ms)
        elif recovery.strategy == "read-claim":
            # XREADGROUP … CLAIM passes over entries that are gone from the stream, and they would stay
            # pending for ever: XCLAIM drops them. By then, reads have taken the others.
            await self.claim(count, 2 * self.min_idle_ms)
        await self.reader.look_for_place()
        if recovery.remove_after is not None:
            args: list[str | int] = [self.group, self.consumer, round(recovery.remove_after * 1000)]
            script = scripts.REMOVE_IDLE_CONSUMERS
            for name in await run_script(self.client, script, [self.stream], args):
                self.report(REMOVED, name)
            self.watch.n_answers += 1

    async def autoclaim(self, count: int) -> None:
        """Process what has been idle for long, with one walk through the whole list (``XAUTOCLAIM``).

        A page may be empty before the list has ended (Redis looks at ten times `count` entries at the
        most): only the cursor ``0-0`` ends the walk.
        """
        cursor, count = "0-0", self.count_of_redelivered(count)
        who = self.stream, self.group, self.consumer, self.min_idle_ms
        while True:
            found = await self.reader.ask("XAUTOCLAIM", *who, cursor, "COUNT", count)
            self.tries.note_answer()
            cursor, entries = self.replies.text(found[0]), self.replies.entries(found[1])
            for entry_id in self.replies.texts(found[2]) if len(found) > 2 else ():
                self.report(TRIMMED, self.consumer, entry_id)
            # Redis 6.2 gives those that were deleted, without fields.
            await self.process_again(CLAIMED, [entry for entry in entries if entry[1]])
            await self.settle()
            if cursor == "0-0" or self.is_stopping:
                return

    async def claim(self, count: int, min_idle_ms: int) -> None:
        """Process what has been idle for long: look first, then take it (``XPENDING``, ``XCLAIM``)."""
        start, count = "-", self.count_of_redelivered(count)
        key, group, ask = self.stream, self.group, self.reader.ask
        while not self.is_stopping:
            idle = "IDLE", min_idle_ms
            rows = await ask("XPENDING", key, group, *idle, start, "+", _PAGE, parse_detail=True)
            ids = self.replies.texts(row["message_id"] for row in rows)
            for at in range(0, len(ids), count):
                few = ids[at : at + count]
                found = await ask("XCLAIM", key, group, self.consumer, min_idle_ms, *few)
                # Another consumer may have been faster: then there is less than was asked for.
                claimed = self.replies.entries(found)
                await self.process_again(CLAIMED, [entry for entry in claimed if entry[1]])
                await self.settle()
            if len(rows) < _PAGE:
                return
            start = f"({ids[-1]}"

    async def claimed_and_new(self, entries: Sequence[Any]) -> None:
        """Process what ``XREADGROUP … CLAIM`` gave: entries with their idle times and delivery counts."""
        self.watch.n_answers += 1
        claimed = [(i, fields) for i, fields, _, count in entries if count]
        new = [(i, fields) for i, fields, _, count in entries if not count]
        counts = [count + 1 for *_, count in entries if count]
        # All of it is held from now on, also what has to wait.
        self.note_given(CLAIMED, claimed, counts)
        self.note_given(DELIVERED, new, [1] * len(new))
        await self.process_fit(claimed, counts)
        if claimed:
            await self.settle()
        await self.process(new)

    def count_of_redelivered(self, count: int) -> int:
        """Return how many entries to take at once that have been delivered before.

        With a limit for deliveries, one at a time: each is counted as delivered the moment it is fetched,
        and those that wait behind an entry that kills the worker would use up their tries with it.
        """
        return count if self.recovery.max_deliveries is None else 1

    async def wait(self, reason: BaseException | None) -> None:
        """Wait before the next try, if there is a reason to; raise that if patience has come to its end."""
        self.watch.expect_answer()
        if reason is not None:
            await self.tries.wait(reason)
        self.watch.n_answers += 1

    def lacks_claim(self, error: Exception) -> bool:
        """Return whether the server did not know what the option CLAIM is."""
        return (
            bool(self.claim_option)
            and error is not self.error_of_handler
            and isinstance(error, ResponseError)
            and "syntax error" in str(error)
        )

    def reason_to_wait(self, error: Exception) -> BaseException | None:
        """Return what is to be waited out, and what patience ends with: `error`, or what caused it.

        None if there is nothing to wait for, but something to be done in another way. Raises `error` if trying
        again would not help, or if it came from the handler.
        """
        if error is self.error_of_handler:
            raise error
        reason: BaseException = error
        has_moved = may_have_moved(self.client, error)
        is_lost = is_connection_lost(error)
        if isinstance(error, RedisLost):
            reason = error.__cause__ or error
            is_lost = not is_hopeless(reason)
        if is_lost:
            self.report(DISCONNECTED, self.consumer)
        elif isinstance(error, UnicodeDecodeError) and not self.reader.is_careful:
            # The server has given what the client could not decode: it is in the own history.
            self.reader.is_careful = True
        elif is_group_gone(error) and self.has_read:
            self.is_group_gone = not has_moved
        elif not is_refused_for_now(error):
            explain(reason, self.stream, self.group)
            raise reason
        if self.is_acking:  # what was being acknowledged may be or not
            self.in_doubt.update(self.done)
            self.is_acking = False
        return None if has_moved or isinstance(error, UnicodeDecodeError) else reason

    async def recreate_group(self) -> None:
        """Make a group again that is gone. What it had pending comes again, as new entries do."""
        start = await self.reader.place_of_new_group()
        if await ensure_group(self.client, self.stream, self.group, start=start):
            self.report(RECREATED, self.consumer, start)
        self.is_group_gone = False
        self.done.clear()
        self.held.clear()
