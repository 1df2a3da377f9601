"""`Job`: what a consumer of a scenario does with an entry, and what goes wrong with it there.

It takes its service time, then has its effect. Counted faults are carried out here, at the entry that they
are about. How a worker dies is its engine's: a real one kills itself with SIGKILL, a simulated one is left
by an exception that nothing catches.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator

import redis.exceptions

from streamlab.actors import Effect, Fields, Handler, RedisLost
from streamlab.events import PROCESSED, Report
from streamlab.faults import (
    POISON_FIELD,
    CountedFault,
    CrashBeforeAck,
    CrashBeforeEffect,
    Fail,
    LostReply,
    PauseInWork,
)
from streamlab.scenario import Consumer, Scenario

#: What an effect ends with if the server of the ledger cannot be reached, which is the stream's as well.
_LOST = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)
#: Seconds after which a consumer is in the middle of an entry.
_AT_WORK = 0.001


class InjectedError(Exception):
    """What a handler raises because a `Fail` says so."""


def told_by_events(entry_id: str, error: Exception) -> None:
    """Do nothing more about a handler's error: that it failed is among the events."""


class Job:
    """A consumer's work in a scenario.

    Parameters
    ----------
    die
        Ends the process; it does not return.
    pause
        Lets the process stand still for so many seconds.
    n_handled
        How many entries earlier lives of this consumer have begun: counted faults count on.
    """

    def __init__(
        self,
        scenario: Scenario,
        consumer: Consumer,
        rng: random.Random,
        die: Callable[[], object],
        pause: Callable[[float], object],
        *,
        n_handled: int = 0,
    ) -> None:
        mine = [fault for fault in scenario.faults if getattr(fault, "target", "") == consumer.name]
        self._before_effect = {f.nth for f in mine if isinstance(f, CrashBeforeEffect)}
        self._before_ack = {f.nth for f in mine if isinstance(f, CrashBeforeAck)}
        self._failing = {
            n for f in mine if isinstance(f, Fail) for n in range(f.nth, f.nth + f.times)
        }
        self._pauses = {f.nth: f.duration for f in mine if isinstance(f, PauseInWork)}
        #: Whose replies get lost: for who holds the connection to see to.
        self.lost_replies = [f for f in mine if isinstance(f, LostReply)]
        self._counts = any(isinstance(fault, CountedFault) for fault in scenario.faults)
        self._die = die
        self._pause = pause
        self._rng = rng
        self._service = consumer.service
        self._sample = consumer.service.sampler(rng)
        self.n_handled = n_handled
        #: What service times are multiplied by.
        self.slowness = 1.0

    def set_service(self, mean: float) -> None:
        """Take `mean` seconds for an entry from now on."""
        self._service = self._service.with_mean(mean)
        self._sample = self._service.sampler(self._rng)

    def handler(
        self,
        effect: Effect | None,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> Handler:
        """Return the handler: the service time, by `sleep`, then the effect; and what goes wrong."""

        def serve(entry_id: str, fields: dict[str, str]) -> Awaitable[object]:
            return sleep(self._sample() * self.slowness)

        if not self._counts and effect is None:
            return serve

        async def handle(entry_id: str, fields: dict[str, str]) -> None:
            self.n_handled = n = self.n_handled + 1
            if POISON_FIELD in fields:
                self._die()
            if n in self._failing:
                raise InjectedError(f"the handler fails at entry {entry_id}, as the scenario says")
            if n in self._pauses:  # once it is at work
                asyncio.get_running_loop().call_later(_AT_WORK, self._pause, self._pauses[n])
            await serve(entry_id, fields)
            if n in self._before_effect:
                self._die()
            if effect is not None:
                try:
                    await effect(entry_id)
                except _LOST as error:
                    raise RedisLost from error

        return handle

    def report(self, report: Report) -> Report:
        """Return a report that dies after the effect, before the acknowledgement, when it is time."""
        if not self._before_ack:
            return report

        def report_and_die(
            kind: str, actor: str, id: str = "", delivery_count: int = 0, at: float | None = None
        ) -> None:
            report(kind, actor, id, delivery_count, at)
            if kind == PROCESSED and self.n_handled in self._before_ack:
                self._die()

        return report_and_die


class Pace:
    """By what factor a producer is faster than planned, from now on."""

    __slots__ = ("factor",)

    def __init__(self) -> None:
        self.factor = 1.0


def paced(arrivals: Iterable[tuple[float, Fields]], pace: Pace) -> Iterator[tuple[float, Fields]]:
    """Yield a producer's arrivals, the gaps between them as much shorter as its pace is at the time."""
    planned = actual = 0.0
    for arrival in arrivals:
        factor = pace.factor
        if factor == 1 and actual == planned:  # nobody has changed it
            actual = planned = arrival[0]
            yield arrival
            continue
        at, fields = arrival
        # As long after the last one as planned: no sum of rounded gaps.
        actual = at + (actual - planned) if factor == 1 else actual + (at - planned) / factor
        planned = at
        yield actual, fields
