"""Who had which shard, and when: as far as deliveries tell, for nobody writes down who has a lease."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from typing import NamedTuple

from streamlab.actors.events import CRASHED, STOPPED
from streamlab.results.events import EventLog
from streamlab.results.ledger import Ledger
from streamlab.scenario.shards import place_of


class Tenure(NamedTuple):
    """A time during which one consumer was given a shard's entries, in seconds.

    It begins with the first of them, and ends when another consumer is given one or this one is gone, whichever comes
    first; at the end of the run, otherwise.
    """

    shard: int
    consumer: str
    start: float
    end: float


def tenures(events: EventLog, ledger: Ledger) -> tuple[Tenure, ...]:
    """Return all tenures of a sharded run, by shard and time."""
    gone: defaultdict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.kind in (CRASHED, STOPPED):
            gone[event.actor].append(event.at)
    begun: defaultdict[int, list[tuple[float, str, float]]] = defaultdict(list)
    for delivery in sorted(ledger.deliveries, key=lambda delivery: delivery.delivered):
        of_shard = begun[int(place_of(delivery.id)[0][:-1])]
        at, name = delivery.delivered, delivery.consumer
        if not of_shard or of_shard[-1][1] != name or of_shard[-1][2] < at:
            ends = gone[name]
            later = bisect_left(ends, at)  # it may die as it is given something
            of_shard.append((at, name, ends[later] if later < len(ends) else math.inf))
    found = []
    for shard, of_shard in sorted(begun.items()):
        nexts = [at for at, _, _ in of_shard[1:]] + [ledger.end]
        found += [
            Tenure(shard, name, start, min(ended, following))
            for (start, name, ended), following in zip(of_shard, nexts, strict=True)
        ]
    return tuple(found)
