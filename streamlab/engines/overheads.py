"""What commands and timers cost: nothing, a fixed time, or what they cost in a real run.

A simulation in which both cost nothing is right about the order of things, and too fast by a fraction of a
millisecond an entry. On a real machine a command takes a round trip and a timer fires late, now more and
now less, as other work comes and goes. To compare the two, the simulation is charged, actor by actor and
moment by moment, with what the machine cost in that very run.
"""

from __future__ import annotations

import itertools
import math
import statistics
from bisect import bisect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamlab.metrics import Stint

if TYPE_CHECKING:
    from streamlab.run import Run


class Trace:
    """A cost that changes over time, as measured at moments of a run."""

    __slots__ = ("_at", "_seconds", "_usual")

    def __init__(self, measured: Iterable[tuple[float, float]]) -> None:
        known = sorted((at, seconds) for at, seconds in measured if at == at and seconds == seconds)
        self._at = [at for at, _ in known]
        self._seconds = [max(seconds, 0.0) for _, seconds in known]
        self._usual = statistics.median(self._seconds) if known else 0.0

    @classmethod
    def constant(cls, seconds: float) -> Trace:
        """Return a cost that is always the same."""
        if not seconds >= 0:
            raise ValueError(f"a cost is {seconds!r}: give seconds, 0 or more")
        return cls([(0.0, seconds)])

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
                return self._usual
            last = index
            return self._seconds[index]

        return read


@dataclass(frozen=True, slots=True)
class Overheads:
    """What things cost each actor: its commands (`round_trips`), its timers (`delays`), its waking (`wakes`).

    A round trip is paid half on the way to the server and half on the way back. After a read that had to
    wait, the way back costs what `wakes` says, if it says anything. A timer is late by its delay.
    """

    round_trips: dict[str, Trace] = field(default_factory=dict)
    delays: dict[str, Trace] = field(default_factory=dict)
    wakes: dict[str, Trace] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> Overheads:
        """Find the overheads in the events of a live run.

        - A consumer's round trip: from an entry's being processed to its XACK's being answered; and from
          that to the next delivery, if the entry was there already. (So only consumers that acknowledge
          each entry show theirs.) A producer's is the median of the consumers'.
        - A consumer's waking: from an entry's being added to its delivery, if the consumer waited for it,
          less half of the producer's round trip.
        - A consumer's timer is as late as processing took longer than the service time that was drawn for
          it, which the seed tells.
        - A producer's timer is as late as its XADD was sent later than planned.
        """
        scenario, added = run.scenario, run.lives.added
        overheads, all_trips = cls(), []
        waits: dict[str, list[tuple[float, float]]] = {}
        for consumer in scenario.consumers:
            name, sample = consumer.name, consumer.service.sampler(scenario.rng(consumer.name))
            stints = _processed_by(run, name)
            overheads.delays[name] = Trace(
                (s.begun, s.processed - s.begun - sample()) for s in stints
            )
            trips: list[tuple[float, float]] = []
            waits[name] = []
            for before, stint in itertools.pairwise(stints):
                trips.append((before.processed, before.acked - before.processed))
                sent = added.get(stint.id, math.inf)
                if before.acked < sent < stint.delivered:
                    waits[name].append((sent, stint.delivered - sent))
                elif sent < before.acked < stint.delivered:
                    trips.append((before.acked, stint.delivered - before.acked))
            if consumer.ack == "each":
                overheads.round_trips[name] = Trace(trips)
                all_trips += trips
        usual = statistics.median(trip for _, trip in all_trips) if all_trips else 0.0
        for name, measured in waits.items():
            overheads.wakes[name] = Trace((at, wait - usual / 2) for at, wait in measured)
        for producer in scenario.producers:
            overheads.round_trips[producer.name] = Trace.constant(usual)
            sent_at = sorted(
                at for i, at in added.items() if run.lives.producer[i] == producer.name
            )
            planned = (at for at, _ in scenario.arrivals(producer))
            overheads.delays[producer.name] = Trace(
                (at, sent - at) for at, sent in zip(planned, sent_at, strict=False)
            )
        return overheads


def _processed_by(run: Run, consumer: str) -> list[Stint]:
    """Return what a consumer processed, in the order in which it did."""
    stints = (s for s in run.lives.stints if s.consumer == consumer and s.processed == s.processed)
    return sorted(stints, key=lambda stint: stint.processed)
