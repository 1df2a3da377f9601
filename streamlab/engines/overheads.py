"""What commands and timers cost: nothing, a fixed time, or what they cost in a real run.

A simulation in which both cost nothing is right about the order of things, and too fast by a fraction of a
millisecond an entry. On a real machine a command takes a round trip and a timer fires late, now more and
now less, as other work comes and goes. To compare the two, the simulation is charged, actor by actor and
moment by moment, with what the machine cost in that very run.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamlab.metrics import Stint

if TYPE_CHECKING:
    from streamlab.run import Run


class Trace:
    """A cost that changes over time: what was measured last before a moment is what it is then."""

    __slots__ = ("_at", "_seconds")

    def __init__(self, measured: list[tuple[float, float]]) -> None:
        measured = sorted(
            (at, seconds) for at, seconds in measured if at == at and seconds == seconds
        )
        self._at = [at for at, _ in measured]
        self._seconds = [max(seconds, 0.0) for _, seconds in measured]

    def at(self, moment: float) -> float:
        """Return the cost in seconds at a moment of the run."""
        if not self._at:
            return 0.0
        return self._seconds[max(bisect(self._at, moment) - 1, 0)]

    @classmethod
    def constant(cls, seconds: float) -> Trace:
        """Return a cost that is always the same."""
        if not seconds >= 0:
            raise ValueError(f"a cost is {seconds!r}: give seconds, 0 or more")
        return cls([(0.0, seconds)])


_NOTHING = Trace([])


@dataclass(frozen=True, slots=True)
class Overheads:
    """By actor: how long its commands take (`round_trips`), how late its timers fire (`delays`)."""

    round_trips: dict[str, Trace] = field(default_factory=dict)
    delays: dict[str, Trace] = field(default_factory=dict)

    def round_trip(self, actor: str) -> Trace | None:
        """Return what this actor's commands take; None: nothing."""
        return self.round_trips.get(actor)

    def delay(self, actor: str) -> Trace:
        """Return how late this actor's timers fire."""
        return self.delays.get(actor, _NOTHING)

    @classmethod
    def of(cls, run: Run) -> Overheads:
        """Find the overheads in the events of a live run.

        - A consumer's round trip: from an entry's being processed to its XACK's being answered; and from that
          to the next delivery, if the entry was there already. (So only consumers that acknowledge each
          entry show theirs.)
        - A producer's: an entry that was added while its consumer waited for it was delivered after half of
          the producer's round trip and half of the consumer's.
        - A consumer's timer is as late as processing took longer than the service time that was drawn for
          it, which the seed tells.
        - A producer's timer is as late as its XADD was sent later than planned.
        """
        scenario = run.scenario
        trips: dict[str, Trace] = {}
        delays: dict[str, Trace] = {}
        ways: dict[str, list[tuple[float, float]]] = {p.name: [] for p in scenario.producers}
        for consumer in scenario.consumers:
            sample = consumer.service.sampler(scenario.rng(consumer.name))
            stints = _processed_by(run, consumer.name)
            delays[consumer.name] = Trace(
                [(stint.begun, stint.processed - stint.begun - sample()) for stint in stints]
            )
            waited: list[tuple[float, Stint]] = []
            measured: list[tuple[float, float]] = []
            for before, stint in itertools.pairwise(stints):
                measured.append((before.processed, before.acked - before.processed))
                sent = run.lives.added.get(stint.id, math.inf)
                if before.acked < sent < stint.delivered:
                    waited.append((sent, stint))
                elif sent < before.acked < stint.delivered:
                    measured.append((before.acked, stint.delivered - before.acked))
            trip = trips[consumer.name] = Trace(measured if consumer.ack == "each" else [])
            for sent, stint in waited:
                way = stint.delivered - sent - trip.at(stint.delivered) / 2
                ways[run.lives.producer[stint.id]].append((sent, 2 * way))
        for producer in scenario.producers:
            trips[producer.name] = Trace(ways[producer.name])
            sent_at = sorted(
                at for i, at in run.lives.added.items() if run.lives.producer[i] == producer.name
            )
            planned = (at for at, _ in scenario.arrivals(producer))
            late = [(at, sent - at) for at, sent in zip(planned, sent_at, strict=False)]
            delays[producer.name] = Trace(late)
        return cls(trips, delays)


def _processed_by(run: Run, consumer: str) -> list[Stint]:
    """Return what a consumer processed, in the order in which it did."""
    stints = (s for s in run.lives.stints if s.consumer == consumer and s.processed == s.processed)
    return sorted(stints, key=lambda stint: stint.processed)
