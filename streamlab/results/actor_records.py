"""What each actor of a run does and is: `Actors`, and a `ConsumerRecord` for each consumer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from streamlab.actors.events import CLAIMED, CRASHED, DELIVERED, DISCONNECTED, PAUSED, RESUMED, STARTED, STOPPED
from streamlab.results.columns import Times
from streamlab.results.deliveries import OUTCOME, Deliveries, Loss
from streamlab.scenario import Scenario


class State(StrEnum):
    """What a consumer is doing."""

    WAITING = "waiting"  #: it runs, and has nothing to do
    WORKING = "working"
    PAUSED = "paused"
    DEAD = "dead"
    STOPPED = "stopped"  #: it ended in good order, or has not been started yet


@dataclass(slots=True, eq=False)
class ConsumerRecord:
    """What a consumer has done so far, and what it has yet to do.

    Attributes
    ----------
    delivered, claimed, processed, acked
        How many deliveries it read, took over, processed and acknowledged.
    processed_again
        How often it processed what had been processed before.
    busy
        Seconds during which it worked; while it is paused it does not.
    in_hand
        What it was given in this life and is not done with, in the order in which it comes to it: the numbers of
        deliveries, by those of their entries.
    free_at
        When it was last done with something.
    idle_since
        Since when it has had nothing to do; NaN while it has.
    pauses, troubles
        From when to when it stood still (until infinity if it still does); when anything happened to it.
    overtaken
        What it was given while it stood still, and others took over before it could tell: when, by entry id.
    """

    name: str
    deliveries: Deliveries
    number: int  #: of its name, in these
    life: State = State.STOPPED  #: never `WORKING`: see `state`
    delivered: int = 0
    claimed: int = 0
    processed: int = 0
    processed_again: int = 0
    acked: int = 0
    busy: float = 0.0
    free_at: float = 0.0
    idle_since: float = math.nan
    in_hand: dict[int, int] = field(default_factory=dict)
    pauses: list[tuple[float, float]] = field(default_factory=list)
    troubles: list[float] = field(default_factory=list)
    overtaken: dict[str, float] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        """Whether it is neither dead nor paused nor stopped."""
        return self.life == State.WAITING

    @property
    def state(self) -> State:
        """What it is doing."""
        return State.WORKING if self.is_running and self._is_at_work() else self.life

    @property
    def owned(self) -> tuple[str, ...]:
        """The ids of what it has in hand and no other consumer has been given since."""
        outcome = self.deliveries.outcome
        return self.deliveries.ids_of(d for d in self.in_hand.values() if outcome[d] not in TAKEN)

    @property
    def holding(self) -> tuple[str, ...]:
        """The ids of what it was given in this life, is not done with, and still owns."""
        outcome = self.deliveries.outcome
        return self.deliveries.ids_of(d for d in self.in_hand.values() if not outcome[d])

    def _is_at_work(self) -> bool:
        """Return whether it has something to do: what was taken from it counts if that came in the midst of it."""
        first = next(iter(self.in_hand.values()), None)
        if first is not None and self.deliveries.over[first] >= self._begins(first):
            return True
        outcome = self.deliveries.outcome
        return any(not outcome[delivery] for delivery in self.in_hand.values())

    def take(self, entry: int, delivery: int, at: float) -> None:
        """Put a delivery behind what it has in hand, but for one that it did not live to tell of."""
        if self.life is State.DEAD and at <= self.troubles[-1]:
            return
        if entry in self.in_hand:
            del self.in_hand[entry]
        self.in_hand[entry] = delivery

    def leave(self, entry: int, at: float) -> int | None:
        """Stop working on an entry; return its delivery, or None if it was not in hand.

        One after the other: what was prefetched waits for what came before it. What it passed over it will
        not come to any more.
        """
        in_hand = self.in_hand
        delivery = in_hand.get(entry)
        if delivery is None:
            return None
        while True:
            first = next(iter(in_hand))
            del in_hand[first]
            if first == entry:
                break
        deliveries = self.deliveries
        begun = deliveries.delivered[delivery]
        if begun < self.free_at:
            begun = self.free_at
        deliveries.begun[delivery] = begun
        deliveries.left[delivery] = at
        self.busy += self.between(begun, at) if self.pauses else at - begun
        return delivery

    def begin(self) -> None:
        """Note since when it has been working on what comes first."""
        if self.in_hand:
            first = next(iter(self.in_hand.values()))
            self.deliveries.begun[first] = self._begins(first)

    def _begins(self, delivery: int) -> float:
        return max(self.deliveries.delivered[delivery], self.free_at)

    def worked(self, delivery: int) -> float:
        """Return for how many seconds it worked on an entry; 0 if it is still at it, or never came to it."""
        left = self.deliveries.left[delivery]
        return 0.0 if math.isnan(left) else self.between(self.deliveries.begun[delivery], left)

    def between(self, begun: float, left: float) -> float:
        """Return the seconds from one moment to another at which it did not stand still."""
        seconds = left - begun
        for start, end in reversed(self.pauses):
            if end <= begun:
                break
            seconds -= max(min(end, left) - max(start, begun), 0.0)
        return seconds


#: How a delivery ends whose entry another one is given.
TAKEN: Final = (OUTCOME[DELIVERED], OUTCOME[CLAIMED])
_LIVES: Final[dict[str, State]] = {
    STARTED: State.WAITING, RESUMED: State.WAITING, PAUSED: State.PAUSED, CRASHED: State.DEAD, STOPPED: State.STOPPED,
}  # fmt: skip


class Actors:
    """The producers and consumers of a run: who lives, who stands still, who is idle, who left what.

    Attributes
    ----------
    consumers
        What each consumer has done. Those of the scenario are there from the beginning.
    losses, pauses
        Who died or was paused, and when; from when to when each actor stood still.
    wasted
        The numbers of deliveries that were worked on and did not count: the consumer died or failed in the midst of
        it, or the entry had been processed before.
    tried_in_vain
        The numbers of entries at which a handler failed, or with which a consumer died or lost its connection.
    abandoned
        (entry, consumer, when): what a consumer held and had not processed when it died.
    dead_producers
        Who has died, and has not been started again.
    removed
        (consumer, when, entries): what a consumer seemed to hold when it was removed.
    idle
        (consumer, from, until): when one had nothing to do, since the first died that left something.
    last_trouble
        When anything last happened to an actor.
    """

    def __init__(self, scenario: Scenario, deliveries: Deliveries, processed: Times) -> None:
        self._deliveries = deliveries
        self.consumers: dict[str, ConsumerRecord] = {}
        for consumer in scenario.consumers:
            self.consumer(consumer.name)
        self.losses: list[Loss] = []
        self.pauses: dict[str, list[tuple[float, float]]] = {}
        self.wasted: list[int] = []
        self.tried_in_vain: set[int] = set()
        self.abandoned: list[tuple[str, str, float]] = []
        self.removed: list[tuple[str, float, tuple[str, ...]]] = []
        self.idle: list[tuple[str, float, float]] = []
        self.last_trouble = 0.0
        self.dead_producers: set[str] = set()
        self._producers = {producer.name for producer in scenario.producers}
        self._processed = processed
        self._have_heartbeats = scenario.recovery.heartbeat is not None

    def consumer(self, name: str) -> ConsumerRecord:
        """Return the record of a consumer, which may be new."""
        record = self.consumers.get(name)
        if record is None:
            record = self.consumers[name] = ConsumerRecord(name, self._deliveries, self._deliveries.names[name])
        return record

    def taken_away(self, consumer: ConsumerRecord) -> tuple[str, ...]:
        """Return the ids of what a consumer is working through though another one has been given it since."""
        in_hand = consumer.in_hand.values()
        return self._deliveries.ids_of(d for d in in_hand if self.is_unaware_of(consumer, d))

    def is_unaware_of(self, consumer: ConsumerRecord, delivery: int) -> bool:
        """Return whether a consumer goes on with what another one has been given since; a heartbeat would tell."""
        is_taken = self._deliveries.outcome[delivery] in TAKEN and not self._have_heartbeats
        return is_taken and consumer.is_running and consumer.in_hand.get(self._deliveries.entry[delivery]) == delivery

    def befell(self, at: float, kind: str, actor: str) -> bool:
        """Note what happened to an actor; return whether it was in the midst of something."""
        if kind in (CRASHED, PAUSED):
            self.losses.append(Loss(at, kind, actor))
        if kind in (CRASHED, PAUSED, RESUMED, DISCONNECTED):
            self.last_trouble = max(self.last_trouble, at)
        self._change_pauses(at, kind, actor)
        if actor not in self._producers:
            return self._change_life(at, kind, self.consumer(actor))
        if kind == CRASHED:
            self.dead_producers.add(actor)
        elif kind == STARTED:
            self.dead_producers.discard(actor)
        return False

    def _change_pauses(self, at: float, kind: str, actor: str) -> None:
        pauses = self.pauses.setdefault(actor, []) if kind == PAUSED else self.pauses.get(actor, [])
        if kind == PAUSED:
            pauses.append((at, math.inf))
        elif kind != DISCONNECTED and pauses and pauses[-1][1] == math.inf:
            pauses[-1] = (pauses[-1][0], at)

    def _change_life(self, at: float, kind: str, consumer: ConsumerRecord) -> bool:
        consumer.pauses = self.pauses.get(consumer.name, consumer.pauses)
        consumer.life = _LIVES.get(kind, consumer.life)
        self.is_busy(consumer, at)
        if kind in (CRASHED, PAUSED, RESUMED, DISCONNECTED):
            consumer.troubles.append(at)
        was_at_work = kind in (CRASHED, DISCONNECTED, STARTED, STOPPED) and bool(consumer.in_hand)
        if was_at_work:
            self._let_go(at, kind, consumer)
        if kind == STARTED:
            consumer.free_at = consumer.idle_since = at
        return was_at_work

    def _let_go(self, at: float, kind: str, consumer: ConsumerRecord) -> None:
        """Note that a consumer comes to nothing that it has in hand, and will be given it again."""
        first = next(iter(consumer.in_hand))
        if kind == CRASHED:
            mine = (entry_id for entry_id in consumer.owned if entry_id not in self._processed)
            self.abandoned += [(entry_id, consumer.name, at) for entry_id in mine]
        if kind in (CRASHED, DISCONNECTED):
            self.tried_in_vain.add(first)
        delivery = consumer.leave(first, at)
        if delivery is not None:
            self.wasted.append(delivery)
        consumer.in_hand.clear()

    def failed(self, consumer: ConsumerRecord, entry: int, at: float) -> None:
        """Note that a handler raised an error; its consumer is free for the next entry."""
        self.tried_in_vain.add(entry)
        delivery = consumer.leave(entry, at)
        if delivery is not None:
            self.wasted.append(delivery)
            self.is_idle(consumer, at)
        consumer.free_at = at

    def done_with(self, consumer: ConsumerRecord, entry: int, at: float) -> None:
        """Note that a consumer has no longer anything to do with an entry."""
        if consumer.in_hand.pop(entry, None) is not None:
            self.is_idle(consumer, at)

    def is_busy(self, consumer: ConsumerRecord, at: float) -> None:
        """Note that a consumer has had nothing to do until now."""
        since, consumer.idle_since = consumer.idle_since, math.nan
        if self.abandoned and at > since:
            self.idle.append((consumer.name, since, at))

    def is_idle(self, consumer: ConsumerRecord, at: float) -> None:
        """Note that a consumer is done with something: with all, if it has nothing else in hand."""
        if not consumer.in_hand:
            consumer.idle_since = at

    def the_one_paused(self, besides: str) -> ConsumerRecord | None:
        """Return the consumer that stands still if there is one only, and nothing has happened to others meanwhile."""
        others = [consumer for consumer in self.consumers.values() if consumer.name != besides]
        paused = [consumer for consumer in others if consumer.life == State.PAUSED]
        if len(paused) != 1:
            return None
        since = paused[0].pauses[-1][0]
        others.remove(paused[0])
        return None if any(other.troubles and other.troubles[-1] >= since for other in others) else paused[0]
