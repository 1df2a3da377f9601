"""`consume_shards`: process the entries of a stream that is spread over several, those of each key in their order.

Of a group, one consumer at a time reads a shard: the one that has its lease. So a shard's entries are processed one
after the other, whoever comes, goes or dies. See `ShardWork` for what that asks of a consumer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from . import leases
from .consuming import log_error, perform
from .events import STARTED, STOPPED, Report
from .processing import OnError
from .recovery import Recovery
from .redis_calls import ignore
from .shard_work import ConsumerOfShards, ShardHandler, ShardWork
from .shards import from_on
from .trouble import Patience, explain, passes, warn_of_sending_again
from .watch import Watch

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def consume_shards(
    client: Redis,
    shards: Sequence[str],
    group: str,
    consumer: str,
    handler: ShardHandler,
    *,
    count: int = 1,
    block: float = 5.0,
    ack: Literal["each", "batch"] = "each",
    recovery: Recovery = Recovery("autoclaim", min_idle=5.0),  # noqa: B008 (frozen)
    patience: float = 30.0,
    must_exist: bool = True,
    stop: asyncio.Event | None = None,
    on_error: OnError = log_error,
    report: Report = ignore,
) -> int:
    """Process the entries of those shards that fall to this consumer, as `consume` does; return how many.

    The consumers of a group share the shards among themselves: nobody tells them. Each says from time to time that it
    is there, takes as many shards as are its share, by leases, and gives back what is more. A shard whose owner has
    died, or cannot reach Redis, is another one's as soon as its lease is over.

    Parameters
    ----------
    client
        One that decodes replies to text, and sends nothing again by itself (see `consume`).
    shards
        The keys of all shards, for all consumers the same and in the same order: see `shard_keys` and `shard_of`. Each
        has the group: see `ensure_group`.
    block
        As for `consume`; but no read lasts longer than until the next look at the leases.
    recovery
        One that claims, by ``"claim"`` or ``"autoclaim"``. `min_idle` is for how many seconds a lease is given: so
        long after its last word a consumer is taken for dead. `interval` is how often leases are renewed and the own
        share is looked at; a third of `min_idle` at the most. An entry whose handler fails is tried again every so
        often, and those behind it in its shard wait: give `max_deliveries`, or one that always fails holds up its
        shard for ever. At least 2: what was delivered may have waited for its turn when its consumer died.
    report, on_error
        Are told ids with the number of the shard before them: ``"3/1767225600000-0"``.

    Raises
    ------
    ValueError
        If the recovery does not claim, or gives entries one try only; or there is no shard.
    """
    if recovery.strategy not in ("claim", "autoclaim") or recovery.max_deliveries == 1 or not shards:
        raise ValueError(
            "consume_shards needs a shard, and a recovery by 'claim' or 'autoclaim' with more than one try"
        )
    warn_of_sending_again(client)
    owner = Owner(
        client,
        shards,
        group,
        consumer,
        handler,
        recovery,
        count=count,
        block=block,
        ack=ack,
        patience=patience,
        has_read=not must_exist,
        stop=stop or asyncio.Event(),
        on_error=on_error,
        report=report,
    )
    report(STARTED, consumer)
    await owner.perform()
    report(STOPPED, consumer)
    return owner.n_processed


@dataclass
class Owner(ConsumerOfShards):
    """A consumer of shards: it says that it is there, takes, renews and gives back leases, and works meanwhile."""

    def __post_init__(self) -> None:
        self.n_processed = 0
        self._owned: dict[int, _Shard] = {}
        self._watch = Watch(self.patience)
        self._tries = Patience(self.patience, self.client)
        self._failure: BaseException | None = None  # what has ended the work at a shard

    async def perform(self) -> None:
        """Own shards until it is to stop; then finish what is begun, and give all of them back."""
        stopped = asyncio.create_task(self.stop.wait())
        loop, looks_every = asyncio.get_running_loop(), self.looks_every
        due, is_over = loop.time(), True
        try:
            async with self._watch:
                while await self._looks_again():
                    waiting: set[asyncio.Task[Any]] = {shard.task for shard in self._owned.values()}
                    if not self.stop.is_set():
                        waiting.add(stopped)
                    self._watch.is_at_work = True
                    now = loop.time()
                    if is_over:
                        # One look a period, however late or long the one before was: else they would drift, and on a
                        # real server in another way than in a simulation.
                        due = max(due + looks_every, now + looks_every / 2)
                    ended, _ = await asyncio.wait(waiting, timeout=due - now, return_when=asyncio.FIRST_COMPLETED)
                    is_over = not ended  # else it is looked early, besides
                    self._watch.expect_answer()
                await self._say_goodbye()
        except GeneratorExit:  # nobody runs it any more
            raise
        except BaseException:
            await self._leave_all()
            raise
        finally:
            stopped.cancel()

    async def _looks_again(self) -> bool:
        """Look after the shards, and try again while the server cannot be reached; return whether to do so later."""
        while True:
            try:
                await self._look_after_shards()
            except Exception as error:
                if error is self._failure or not passes(error):
                    explain(error, self.shards[0], self.group)
                    raise
                reason = error
            else:
                self._tries.restore()
                return bool(self._owned) or not self.stop.is_set()
            await self._tries.wait(reason)
            self._watch.n_answers += 1

    async def _look_after_shards(self) -> None:
        """Renew the leases, and see that there are as many as are this consumer's share."""
        await self._give_back()
        for number, shard in self._owned.items():
            await self._hold(number, shard)
        if self.stop.is_set():
            return
        n_shards, who = len(self.shards), (self.shards[0], self.group, self.name)
        share, first = await leases.share_of(self.client, *who, self.recovery.min_idle, n_shards)
        self._watch.n_answers += 1
        kept = [number for number, shard in self._owned.items() if not shard.stop.is_set()]
        if len(kept) > share:
            # Those that it would look at first are kept, not those that it got first: that may be a matter of moments.
            kept.sort(key=lambda number: (number - first) % n_shards)
            for number in kept[share:]:
                self._owned[number].stop.set()
        if len(self._owned) < share:
            for number in from_on(first, n_shards):
                if number not in self._owned:
                    await self._hold(number)
                    if len(self._owned) >= share:
                        break

    async def _hold(self, number: int, shard: _Shard | None = None) -> None:
        """Renew the lease of a shard; or take it, if another one has not got it, and begin to work."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.recovery.min_idle  # by the server it is later: it hears of it later
        is_ours = await leases.hold(self.client, self.shards[number], self.group, self.name, self.recovery.min_idle)
        self._watch.n_answers += 1
        if not is_ours:
            if shard is not None:
                shard.task.cancel()
            return
        if shard is None:
            shard = self._owned[number] = _Shard(self, number)
        shard.hold_until(until)

    async def _give_back(self) -> None:
        """Give back the shards at which work has ended; raise what has ended it, if that was an error."""
        for number, shard in [*self._owned.items()]:
            if not shard.task.done():
                continue
            del self._owned[number]
            shard.forget_timer()
            self.n_processed += shard.work.n_processed
            if shard.task.cancelled():  # the lease is over
                continue
            self._failure = shard.task.exception()
            if self._failure is not None:
                raise self._failure
            await leases.hold(self.client, self.shards[number], self.group, self.name, 0)
            self._watch.n_answers += 1

    async def _say_goodbye(self) -> None:
        """Say that this consumer has gone; who cannot is forgotten when its time is over."""
        try:
            await leases.leave(self.client, self.shards[0], self.group, self.name)
        except Exception as error:
            if not passes(error):
                raise

    async def _leave_all(self) -> None:
        """Leave everything where it stands."""
        self.is_over = True
        for shard in self._owned.values():
            shard.forget_timer()
            shard.task.cancel()
        await asyncio.gather(*(shard.task for shard in self._owned.values()), return_exceptions=True)


class _Shard:
    """A shard that a consumer owns: its work, the task that does it, and the timer that ends it with the lease."""

    def __init__(self, owner: Owner, number: int) -> None:
        self.stop = _EitherStop(owner.stop)
        self.work = ShardWork(owner, number, self.stop)
        self.task = asyncio.create_task(perform(self.work, owner.count, owner.longest_read))
        self._timer: asyncio.TimerHandle | None = None

    def hold_until(self, until: float) -> None:
        """Note until when it is ours: then work at it is left where it stands."""
        self.work.ours_until = until
        self.forget_timer()
        self._timer = asyncio.get_running_loop().call_at(until, self.task.cancel)

    def forget_timer(self) -> None:
        """Do not end with the lease: it has been renewed, or is not needed any more."""
        if self._timer is not None:
            self._timer.cancel()


class _EitherStop(asyncio.Event):
    """Set by itself, or with another one."""

    def __init__(self, outer: asyncio.Event) -> None:
        super().__init__()
        self._outer = outer

    def is_set(self) -> bool:
        """Return whether one of the two is set."""
        return self._outer.is_set() or super().is_set()
