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
from streamlab.actors.events import PROCESSED, EventKind, Report
from streamlab.actors.producing import sleep_of_loop
from streamlab.scenario import Consumer
from streamlab.scenario.action import POISON_FIELD, CountedAction
from streamlab.scenario.actions import CrashBeforeAck, CrashBeforeEffect, Fail, PauseInWork

#: What an effect ends with if the server of the ledger cannot be reached, which is the stream's as well.
_LOST = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)
#: Seconds after which a consumer is in the middle of an entry.
_AT_WORK = 0.001


class InjectedError(Exception):
    """What a handler raises because a `Fail` says so."""


def ignore_error(entry_id: str, error: Exception) -> None:
    """Do nothing more about a handler's error: that it failed is among the events."""


class Job:
    """A consumer's work in a scenario, in one of its lives.

    Parameters
    ----------
    counted
        What happens at an entry that is counted, through all lives: see `count`.
    counts
        Whether entries are counted; else nothing counted can be added later.
    die
        Ends the process; it does not return.
    pause
        Lets the process stand still for so many seconds.
    n_begun
        How many entries earlier lives of this consumer have begun: counting goes on, and each fault comes once.
    note_begun
        Called with their number whenever an entry is begun.
    """

    def __init__(
        self,
        counted: Iterable[CountedAction],
        consumer: Consumer,
        rng: random.Random,
        die: Callable[[], object],
        pause: Callable[[float], object],
        *,
        counts: bool = True,
        n_begun: int = 0,
        note_begun: Callable[[int], object] | None = None,
    ) -> None:
        self._before_effect: set[int] = set()
        self._before_ack: set[int] = set()
        self._failing: set[int] = set()
        self._pauses: dict[int, float] = {}
        self._counts = counts
        for action in counted:
            self.count(action)
        self._die = die
        self._pause = pause
        self._rng = rng
        self._service = consumer.service
        self._sample = consumer.service.sampler(rng)
        self.n_begun = n_begun
        self._note_begun = note_begun
        #: What service times are multiplied by.
        self.slowness = 1.0

    def count(self, action: CountedAction) -> None:
        """Let something happen at an entry: the nth of all that this consumer begins, in whichever life."""
        match action:
            case CrashBeforeEffect(nth=nth):
                self._before_effect.add(nth)
            case CrashBeforeAck(nth=nth):
                self._before_ack.add(nth)
            case Fail(nth=nth, times=times):
                self._failing.update(range(nth, nth + times))
            case PauseInWork(nth=nth, duration=duration):
                self._pauses[nth] = duration

    def set_service(self, mean: float) -> None:
        """Take `mean` seconds for an entry from now on."""
        self._service = self._service.replace(mean=mean)
        self._sample = self._service.sampler(self._rng)

    def handler(self, effect: Effect | None) -> Handler:
        """Return the handler: the service time, then the effect; and what goes wrong."""
        sleep = sleep_of_loop()

        def serve(entry_id: str, fields: dict[str, str]) -> Awaitable[object]:
            return sleep(self._sample() * self.slowness)

        if not self._counts and effect is None:
            return serve

        async def handle(entry_id: str, fields: dict[str, str]) -> None:
            self.n_begun = n = self.n_begun + 1
            if self._note_begun is not None:
                self._note_begun(n)
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
        if not self._counts:
            return report

        def report_and_die(
            kind: EventKind, actor: str, id: str = "", delivery_count: int = 0, at: float | None = None
        ) -> None:
            report(kind, actor, id, delivery_count, at)
            if kind == PROCESSED and self.n_begun in self._before_ack:
                self._die()

        return report_and_die


class Pace:
    """What becomes of a producer's plan: by what `factor` it is faster, which entries are poisoned (1 is the next)."""

    __slots__ = ("factor", "to_poison")

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        self.to_poison: list[int] = []

    def poisoned(self, fields: Fields) -> Fields:
        """Return the next entry's fields, poisoned if it is its turn."""
        is_poisoned = 1 in self.to_poison
        self.to_poison = [nth - 1 for nth in self.to_poison if nth > 1]
        return {**fields, POISON_FIELD: "1"} if is_poisoned else fields


def paced(arrivals: Iterable[tuple[float, Fields]], pace: Pace) -> Iterator[tuple[float, Fields]]:
    """Yield a producer's arrivals, the gaps between them as much shorter as its pace is at the time."""
    planned = actual = 0.0
    for arrival in arrivals:
        factor = pace.factor
        if factor == 1 and actual == planned and not pace.to_poison:  # nobody has changed it
            actual = planned = arrival[0]
            yield arrival
            continue
        at, fields = arrival
        # As long after the last one as planned: no sum of rounded gaps.
        actual = at + (actual - planned) if factor == 1 else actual + (at - planned) / factor
        planned = at
        yield actual, pace.poisoned(fields)
