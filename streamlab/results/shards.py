"""`Shards`: who owns which shard of a run, what waits in it, and what is pending.

A lease lies in Redis, and no event tells of it: where the server can be asked, it says who has it, and until when. Of a
run that is over, an owner is who was last given an entry of the shard; and of one that died meanwhile it is known that
its lease is over `min_idle` seconds later, at the latest.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from streamlab.actors.events import ADDED, CLAIMED, DELIVERED
from streamlab.results.actor_records import State
from streamlab.results.events import Event
from streamlab.results.ledger import Ledger
from streamlab.scenario import Scenario
from streamlab.scenario.shards import place_of


class ShardView(NamedTuple):
    """A shard as a group has it at one moment.

    `owner` is who has, or last had, its lease: "" if nobody ever had. `lease` is for how many seconds that is good yet,
    0 if it is over or was given back; None if that is not known. `backlog` is what waits in it.
    """

    number: int
    group: str
    owner: str
    lease: float | None
    backlog: int
    pending: int


class Lease(NamedTuple):
    """What a lease says: whose it is, since when by the server's clock and for how long, in milliseconds."""

    owner: str
    since: int
    ms: int


class Shards:
    """What is known of the shards of one run."""

    def __init__(self, scenario: Scenario) -> None:
        self._n = scenario.shards or 0
        self._min_idle = scenario.recovery.min_idle
        self._owner: dict[tuple[str, int], str] = {}  # by group and shard
        self._ahead = math.inf  # seconds by which the server's clock is ahead of the run's

    def enter(self, event: Event, group: str) -> None:
        """Take in an event."""
        if event.kind in (DELIVERED, CLAIMED):
            self._owner[group, _number(event.id)] = event.actor
        elif event.kind == ADDED:  # its time is when it was sent, its id's when it arrived
            _, plain = place_of(event.id)
            self._ahead = min(self._ahead, int(plain.partition("-")[0]) / 1000 - event.at)

    def asked(
        self, group: str, ledger: Ledger, now: float, leases: Mapping[int, Lease], pending: Mapping[int, int]
    ) -> Iterator[ShardView]:
        """Yield a group's shards, as the server was asked about them: leases and what is pending, by their numbers."""
        for number in range(self._n):
            owner, since, ms = leases.get(number, Lease("", 0, 0))
            is_known = not ms or self._ahead < math.inf
            # By another clock, and it may have been prolonged since `now`: what is left is no more than was given.
            left = min(max((since + ms) / 1000 - self._ahead - now, 0.0), ms / 1000) if is_known else None
            yield ShardView(number, group, owner, left, ledger.backlog.size_of(number), pending.get(number, 0))

    def told(self, group: str, ledger: Ledger, now: float) -> Iterator[ShardView]:
        """Yield a group's shards, as far as events tell."""
        pending = Counter(map(_number, ledger.pending))
        for number in range(self._n):
            owner = self._owner.get((group, number), "")
            left = self._left(ledger, owner, now)
            yield ShardView(number, group, owner, left, ledger.backlog.size_of(number), pending[number])

    def _left(self, ledger: Ledger, owner: str, now: float) -> float | None:
        if not owner:
            return 0.0
        record = ledger.consumers[owner]
        if record.state == State.STOPPED:  # it has given back what it had
            return 0.0
        if record.state not in (State.DEAD, State.PAUSED):
            return None
        return max(record.troubles[-1] + self._min_idle - now, 0.0)


def _number(entry_id: str) -> int:
    return int(place_of(entry_id)[0][:-1])
