"""What commands and timers cost: nothing, a fixed time, or what they cost in a real run.

A simulation in which both cost nothing is right about the order of things, and too fast by a fraction of a
millisecond an entry. On a real machine a command takes a round trip and a timer fires late, now more and now less, as
other work comes and goes; on a busy one, a process waits for a processor at each of them. To compare the two, the
simulation is charged, actor by actor and moment by moment, with what the machine cost in that very run: with all of
it, since near saturation a backlog adds up every hundredth that is left out.
"""

from __future__ import annotations

import itertools
import math
import statistics
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from streamlab.actors import Fields
from streamlab.actors.events import CRASHED, DISCONNECTED, PAUSED, RESUMED, SERVER_DOWN, SERVER_UP, STARTED, STOPPED
from streamlab.results.deliveries import Delivery
from streamlab.results.run import Run
from streamlab.scenario import Consumer, Scenario
from streamlab.scenario.actions import AddConsumer, Restart, Slow

#: Seconds by which a simulated actor may be ahead of the live one, or behind it, and be held up by the same delay.
_SLIP = 0.010


class Measured(NamedTuple):
    """What something cost at a moment of a run: `seconds`, until the moment `end`."""

    at: float
    seconds: float
    end: float


class Trace:
    """A cost that changes over time, as measured at moments of a run."""

    __slots__ = ("_at", "measured", "usual")

    def __init__(self, measured: Iterable[Measured]) -> None:
        self.measured = sorted(item for item in measured if item.at == item.at and item.seconds == item.seconds)
        self._at = [item.at for item in self.measured]
        #: The median, in seconds.
        self.usual = max(statistics.median(item.seconds for item in self.measured), 0.0) if self._at else 0.0

    @classmethod
    def constant(cls, seconds: float) -> Trace:
        """Return a cost that is always the same."""
        if not seconds >= 0:
            raise ValueError(f"a cost is {seconds!r}: give seconds, 0 or more")
        return cls([Measured(0.0, seconds, seconds)])

    def reader(self, clock: Callable[[], float]) -> Callable[[], float]:
        """Return a function that gives the cost now, in seconds: what was measured last before now.

        Each measurement is given once, and the median after that: a machine that stood still for a moment
        held up what was going on then, and not also what came next.
        """
        last = -1

        def read() -> float:
            nonlocal last
            index = bisect(self._at, clock()) - 1
            if index <= last:
                return self.usual
            last = index
            return max(self.measured[index].seconds, 0.0)

        return read

    def account(self, clock: Callable[[], float], *, paid: float = 0.0) -> Callable[[], float]:
        """Return a function that gives the cost now, in seconds: the median, and by how much more was measured since.

        For what keeps an actor from its work. Nothing that was measured is left out if the actor comes to it a little
        later, or to two at once; what cost less than the median is taken off. But a delay that ended a while ago
        holds up nobody. Of each cost, so many seconds are `paid` already.
        """
        n_read, credit = 0, 0.0

        def read() -> float:
            nonlocal n_read, credit
            now = clock()
            n_known = max(bisect(self._at, now), n_read)
            cost = self.usual - paid - credit
            for _, seconds, end in self.measured[n_read:n_known]:
                if end + _SLIP > now:
                    cost += min(max(seconds, 0.0) - self.usual, end + _SLIP - now)
            n_read, credit = n_known, max(-cost, 0.0)
            return max(cost, 0.0)

        return read


@dataclass(frozen=True, slots=True)
class Overheads:
    """What things cost each actor: its commands (`round_trips`), its timers (`delays`), its waking (`wakes`).

    On its way to the server a command takes half of the usual round trip; the rest is paid on the way back. After a
    read that had to wait, the way back costs what `wakes` says, if it says anything. A timer is late by its delay.
    """

    round_trips: dict[str, Trace] = field(default_factory=dict)
    delays: dict[str, Trace] = field(default_factory=dict)
    wakes: dict[str, Trace] = field(default_factory=dict)
    #: By how many seconds a life of an actor, counted from 1, begins later than it was to.
    starts: dict[tuple[str, int], float] = field(default_factory=dict)
    #: When a consumer that is there from the beginning began: from then on it counts the time between its looks at who
    #: is there and who has died.
    begins: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> Overheads:
        """Find the overheads in the events of a live run.

        - A consumer's round trip: from an entry's being processed to its XACK's being answered; and from
          that to the next delivery, if the entry was there already. (So only consumers that acknowledge
          each entry show theirs.) A producer's is the median of the consumers', or less if it was faster.
        - A consumer's waking: from an entry's being added to its delivery, if the consumer waited for it,
          less half of the producer's round trip.
        - A consumer's timer is as late as processing took longer than the service time that was drawn for
          it, which the seed tells.
        - A producer's timer is as late as its XADD was sent later than planned.
        - Who is there from the beginning begins before time 0, when its process did.
        - A life is as late as its process took longer to start than there was time for: since a supervisor was to
          start it, or somebody asked for it.

        What an actor met while it was paused or slowed down, or the server was gone, is left out: that happens in the
        simulation as well, and there its own time passes with it.
        """
        whole = cls()
        for group in reversed(run.groups.values()):  # what producers paid, by the measure of the first
            part = cls._of_one_group(group)
            for name in ("round_trips", "delays", "wakes", "starts", "begins"):
                getattr(whole, name).update(getattr(part, name))
        return whole

    @classmethod
    def _of_one_group(cls, run: Run) -> Overheads:
        scenario, added, faults = run.scenario, run.ledger.added, _Faults(run)
        overheads = cls()
        trips: dict[str, list[Measured]] = {}
        waits: dict[str, list[tuple[str, Measured]]] = {}
        for consumer in scenario.consumers:
            name, deliveries = consumer.name, _processed_by(run, consumer.name)
            trips[name], waits[name] = [], []
            for before, delivery in itertools.pairwise(deliveries):
                if not faults.spare(name, before.processed, delivery.delivered):
                    continue
                trips[name].append(Measured(before.processed, before.acked - before.processed, before.acked))
                sent = added.get(delivery.id, math.inf)
                if before.acked < sent < delivery.delivered:
                    waits[name].append((delivery.id, Measured(sent, delivery.delivered - sent, delivery.delivered)))
                elif sent < before.acked < delivery.delivered:
                    trips[name].append(Measured(before.acked, delivery.delivered - before.acked, delivery.delivered))
            of_effect = 0.0
            if consumer.ack == "each":
                overheads.round_trips[name] = Trace(trips[name])
                # The effect is a command, which the simulated consumer pays for.
                of_effect = overheads.round_trips[name].usual if scenario.sink != "none" else 0.0
            drawn = _drawn(scenario, consumer, deliveries, faults.starts[name])
            overheads.delays[name] = Trace(
                Measured(delivery.begun, delivery.processed - delivery.begun - seconds - of_effect, delivery.processed)
                for delivery, seconds in zip(deliveries, drawn, strict=True)
                if faults.spare(name, delivery.begun, delivery.processed, at_work=True)
            )
        usual = Trace(itertools.chain.from_iterable(trips[name] for name in overheads.round_trips)).usual
        for producer in scenario.producers:
            sent_at = sorted(at for i, at in added.items() if run.ledger.producer[i] == producer.name)
            # However busy the machine: it had one answer before it sent the next entry.
            least = min((after - before for before, after in itertools.pairwise(sent_at)), default=usual)
            overheads.round_trips[producer.name] = Trace.constant(min(usual, least))
            planned = (at for at, _ in scenario.arrivals(producer))
            overheads.delays[producer.name] = Trace(
                Measured(at, sent - at, sent)
                for at, sent in zip(planned, sent_at, strict=False)
                if faults.spare(producer.name, at, sent)
            )
        for name, measured in waits.items():
            trips_of = ((overheads.round_trips.get(run.ledger.producer[i]), item) for i, item in measured)
            ways = ((trip.usual / 2, item) for trip, item in trips_of if trip is not None)  # None: added by hand
            overheads.wakes[name] = Trace(item._replace(seconds=item.seconds - way) for way, item in ways)
        overheads.starts.update(_late_starts(run))
        there = {consumer.name for consumer in scenario.consumers if not scenario.joins(consumer)}
        overheads.begins.update((name, min(faults.starts[name][0], 0.0)) for name in there if faults.starts[name])
        return overheads


def _processed_by(run: Run, consumer: str) -> list[Delivery]:
    """Return what a consumer processed, in the order in which it did."""
    deliveries = (s for s in run.ledger.deliveries if s.consumer == consumer and s.processed == s.processed)
    return sorted(deliveries, key=lambda delivery: delivery.processed)


def _drawn(
    scenario: Scenario, consumer: Consumer, deliveries: Iterable[Delivery], starts: list[float]
) -> Iterator[float]:
    """Yield the service times that were drawn for what a consumer processed, starting afresh in each of its lives."""
    life = 0
    for delivery in deliveries:
        at_least = max(bisect(starts, delivery.delivered), 1)
        if at_least > life:
            life = at_least
            sample = consumer.service.sampler(scenario.rng(consumer.name, life))
        yield sample()


def _late_starts(run: Run) -> Iterator[tuple[tuple[str, int], float]]:
    """Yield who, in which life, began later than it was to, and by how many seconds.

    The first lives of those who are there from the beginning are left out: the run waits for them.
    """
    asked: dict[str | None, list[float]] = defaultdict(list)
    for action in run.scenario.actions:
        if isinstance(action, Restart | AddConsumer):
            asked[action.target].append(action.when)
    lives: dict[str, int] = defaultdict(int)
    #: When a life ended, and when the next one is to begin.
    ended: dict[str, float] = defaultdict(float)
    due: dict[str, float] = defaultdict(lambda: math.inf)
    for at, kind, actor, *_ in run.events:
        if kind == CRASHED:
            delay = run.scenario.recovery.restarts_after
            ended[actor], due[actor] = at, math.inf if delay is None else at + delay
        elif kind == STOPPED:
            ended[actor] = due[actor] = at
        elif kind == STARTED:
            lives[actor] += 1
            begin = min([due[actor], *(when for when in asked[actor] if when >= ended[actor])])
            if begin <= at:
                yield (actor, lives[actor]), at - begin


class _Faults:
    """When a run's actors were held up by its faults, and when each life of theirs began."""

    def __init__(self, run: Run) -> None:
        self.starts: dict[str, list[float]] = defaultdict(list)
        #: From when until when; the server's are under "".
        self._held_up: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._slowed: dict[str, list[tuple[float, float]]] = defaultdict(list)
        since: dict[str, float] = {}
        for at, kind, actor, *_ in run.events:
            name = "" if kind in (SERVER_DOWN, SERVER_UP) else actor
            if kind in (PAUSED, SERVER_DOWN):
                since[name] = at
            elif kind == DISCONNECTED:
                self._held_up[name].append((at, at))
            elif kind in (RESUMED, SERVER_UP, CRASHED, STOPPED):
                self._held_up[name].append((since.pop(name, at), at))
            elif kind == STARTED:
                self.starts[name].append(at)
        for name, at in since.items():
            self._held_up[name].append((at, math.inf))
        for fault in run.scenario.faults:
            if isinstance(fault, Slow):
                self._slowed[fault.target].append((fault.when, fault.when + fault.duration))

    def spare(self, actor: str, begin: float, end: float, *, at_work: bool = False) -> bool:
        """Return whether no fault held up an actor in this time, nor slowed it down if it was `at_work`."""
        spans = self._held_up[actor] + self._held_up[""] + (self._slowed[actor] if at_work else [])
        return not any(since < end and begin < until for since, until in spans)


def late(arrivals: Iterable[tuple[float, Fields]], delays: Trace) -> Iterator[tuple[float, Fields]]:
    """Yield the arrivals, each as late as the timer for it was."""
    planned = 0.0
    delay = delays.reader(lambda: planned)
    for planned, fields in arrivals:  # read by the clock above
        yield planned + delay(), fields
