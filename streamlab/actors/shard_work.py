"""`ShardWork`: what a consumer does with a shard that it owns, so that the entries in it keep their order."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from .events import DISCONNECTED, Entry, EventKind, Report
from .processing import OnError
from .recovery import Recovery
from .redis_calls import ignore
from .work import Work

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: How often a lease is renewed, at least, in the time for which it is given.
_LOOKS = 3
#: What is done with an entry: ``await handler(shard, entry_id, fields)``; the shard is a key.
ShardHandler = Callable[[str, str, dict[str, str]], Awaitable[object]]


class _NotYet(Exception):
    """What is behind an entry that failed has to wait for it."""


@dataclass
class ConsumerOfShards:
    """A consumer of shards: how it reads and what it does with entries, whichever of them it owns."""

    client: Redis
    shards: Sequence[str]
    group: str
    name: str
    handler: ShardHandler
    recovery: Recovery
    count: int
    block: float
    ack: Literal["each", "batch"]
    patience: float
    has_read: bool
    stop: asyncio.Event
    on_error: OnError
    report: Report
    #: Of several shards' entries, one at a time is processed: a consumer is one worker, however many shards it has.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: Whether nothing may be begun any more.
    is_over: bool = False

    @property
    def looks_every(self) -> float:
        """Seconds between two looks at the leases, the own ones and those that are free."""
        longest = self.recovery.min_idle / _LOOKS
        return min(self.recovery.interval or longest, longest)

    @property
    def longest_read(self) -> float:
        """Seconds that a read may wait: what it brings after the lease is over would be another one's."""
        return min(self.block or math.inf, self.looks_every)


class ShardWork(Work):
    """What the owner of a shard does: what `consume` does, but in order.

    First comes all that is pending in the shard, whoever was given it: nobody else will come back to it. And behind an
    entry whose handler failed, all others wait.
    """

    def __init__(self, owner: ConsumerOfShards, number: int, stop: asyncio.Event) -> None:
        self._owner, self._number = owner, number
        self.ours_until = 0.0
        self._has_turn = False
        shard, handler = owner.shards[number], owner.handler
        # Nothing is left by others while the shard is ours, but by a read of theirs that was on its way.
        seldom = max(owner.recovery.min_idle, owner.recovery.interval or 0.0)
        super().__init__(
            owner.client,
            shard,
            owner.group,
            owner.name,
            lambda entry_id, fields: handler(shard, entry_id, fields),
            dataclasses.replace(owner.recovery, interval=seldom),
            patience=owner.patience,
            on_error=lambda entry_id, error: owner.on_error(f"{number}/{entry_id}", error),
            report=ignore if owner.report is ignore else self._report,
            block=owner.longest_read,
            ack=owner.ack,
            stop=stop,
        )
        self.has_read = owner.has_read

    def _report(
        self, kind: EventKind, actor: str, id: str = "", delivery_count: int = 0, at: float | None = None
    ) -> None:
        if kind == DISCONNECTED and self._owner.turn.locked():
            return  # it is at work at another shard, and that goes on
        self._owner.report(kind, actor, f"{self._number}/{id}" if id else "", delivery_count, at)

    def adopt(self, recovery: Recovery) -> None:
        """Recover in this way; what is pending is ours without any wait, as the shard is."""
        super().adopt(recovery)
        self.min_idle_ms = 0

    async def own_history(self, count: int) -> None:
        """Process all that is pending in the shard, in the order of ids."""
        if self.recovery.strategy == "claim":
            await self.claim(count, self.min_idle_ms)
        else:
            await self.autoclaim(count)

    # What is taken over counts as delivered once more. So it is taken when it is our turn: behind an entry of another
    # shard that kills the process, it would use up its tries.

    async def autoclaim(self, count: int) -> None:
        """Process what is pending (``XAUTOCLAIM``), in one turn."""
        await self._take_turn()
        try:
            self._see_that_it_is_ours()
            await super().autoclaim(count)
        finally:
            self._end_turn()

    async def claim(self, count: int, min_idle_ms: int) -> None:
        """Process what is pending (``XPENDING``, ``XCLAIM``), in one turn."""
        await self._take_turn()
        try:
            self._see_that_it_is_ours()
            await super().claim(count, min_idle_ms)
        finally:
            self._end_turn()

    async def process(self, entries: Sequence[Entry]) -> None:
        """Process entries when it is their turn."""
        if self._has_turn:
            await self._process_ours(entries)
        elif entries:
            await self._take_turn()
            try:
                await self._process_ours(entries)
            finally:
                self._end_turn()

    async def _process_ours(self, entries: Sequence[Entry]) -> None:
        """Process entries, each only while the shard is ours."""
        for entry in entries:
            self._see_that_it_is_ours()
            try:
                await super().process((entry,))
                await self.send_acks()
            except (Exception, asyncio.CancelledError):
                raise
            except BaseException:  # the process is at its end, and so is all else that it does
                self._owner.is_over = True
                raise

    async def _take_turn(self) -> None:
        """Wait until no other shard of this consumer is worked at."""
        self.watch.is_at_work = True  # until then, no answer has to come
        await self._owner.turn.acquire()
        self._has_turn = True
        self.watch.expect_answer()

    def _end_turn(self) -> None:
        self._has_turn = False
        self._owner.turn.release()

    def _see_that_it_is_ours(self) -> None:
        """Raise `_NotYet` if the lease is over, or all is."""
        if self._owner.is_over or asyncio.get_running_loop().time() >= self.ours_until:
            raise _NotYet

    def note_failed(self, entry_id: str, error: Exception) -> None:
        """Report an error that leaves an entry pending, and do nothing of what is behind it."""
        super().note_failed(entry_id, error)
        raise _NotYet from error

    def reason_to_wait(self, error: Exception) -> BaseException | None:
        """Return what is to be waited out, as `Work` does; the entry that failed as well."""
        return error if isinstance(error, _NotYet) else super().reason_to_wait(error)

    async def wait(self, reason: BaseException | None) -> None:
        """Wait before the next try, with all that is pending."""
        if not isinstance(reason, _NotYet):
            await super().wait(reason)
            return
        self.watch.is_at_work = True
        await asyncio.sleep(self._owner.looks_every)
        self.watch.expect_answer()
