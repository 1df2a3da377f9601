"""`Variants`: a scenario with more producers or consumers, at other paces: a copy, in which all else is as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from streamlab.actors import Recovery
from streamlab.scenario.actors import ArrivalKind, Arrivals, Consumer, Producer, Service, ServiceKind, producers
from streamlab.scenario.values import Record, choose_from, finite, located, require, whole


class Variants(Record):
    """The part of a `Scenario` that makes others of it (see also `replace`)."""

    __slots__ = ()
    if TYPE_CHECKING:
        name: str
        producers: tuple[Producer, ...]
        consumers: tuple[Consumer, ...]
        duration: float | None
        recovery: Recovery

    def with_producers(self, n: int) -> Self:
        """Return the scenario with producers P1 … Pn, all like its first; constant ones take turns."""
        whole(1).check(n, "the number of producers")
        first = self.producers[0].arrivals
        require(first.kind != "replay" or n == 1, "a replay cannot be given to several producers")
        return self.replace(producers=producers(n, first))

    def with_consumers(self, n: int) -> Self:
        """Return the scenario with consumers C1 … Cn, all like its first."""
        whole(1).check(n, "the number of consumers")
        return self.replace(consumers=tuple(self.consumers[0].replace(name=f"C{i}") for i in range(1, n + 1)))

    def with_rate(self, rate: float) -> Self:
        """Return the scenario with each producer adding `rate` entries per second."""
        require(
            all(p.arrivals.kind != "replay" for p in self.producers),
            f"{self.name} replays recorded times and has no rate: give a speed",
        )

        def at_that_rate(arrivals: Arrivals) -> Arrivals:
            # The start is part of how constant producers take turns: it keeps its share of the interval.
            return arrivals.replace(rate=rate).replace(start=arrivals.start * arrivals.rate / rate)

        return self._with_arrivals(at_that_rate)

    def with_arrivals(self, kind: ArrivalKind, **fields: Any) -> Self:
        """Return the scenario with all producers adding entries in this way (`Arrivals`); constant ones take turns."""
        alike = producers(len(self.producers), Arrivals(kind, **fields))
        every = zip(self.producers, alike, strict=True)
        return self.replace(producers=tuple(each.replace(arrivals=new.arrivals) for each, new in every))

    def with_service(self, mean: float, *, kind: ServiceKind | None = None) -> Self:
        """Return the scenario with every consumer taking `mean` seconds on average, and of this `kind` from now on."""
        changes = {"mean": mean} if kind is None else {"mean": mean, "kind": kind}
        return self._with_each_consumer(lambda consumer: _serving(consumer, lambda service: service.replace(**changes)))

    def with_consumer(self, name: str, *, service: Service | float | None = None, **changes: Any) -> Self:
        """Return the scenario with some fields of one consumer changed; `service` may be a mean."""
        known = [c.name for c in self.consumers]
        require(name in known, f"there is no consumer {name!r}: {choose_from(name, known)}")

        def change(consumer: Consumer) -> Consumer:
            if consumer.name != name:
                return consumer
            if isinstance(service, int | float):
                consumer = _serving(consumer, lambda old: old.replace(mean=service))
            elif service is not None:
                consumer = consumer.replace(service=service)
            return consumer.replace(**changes)

        return self._with_each_consumer(change)

    def with_keys(self, n: int) -> Self:
        """Return the scenario with entries that have keys, so many different ones."""
        return self.replace(keys=n)

    def with_shards(self, n: int) -> Self:
        """Return the scenario with so many shards; who owns one recovers by "autoclaim", if nobody claims yet."""
        if self.recovery.claims:
            return self.replace(shards=n)
        return self.replace(shards=n, recovery=dataclasses.replace(self.recovery, strategy="autoclaim"))

    def with_count(self, count: int) -> Self:
        """Return the scenario with every consumer asking for `count` entries at once."""
        return self._with_each_consumer(lambda consumer: consumer.replace(count=count))

    def faster(self, factor: float) -> Self:
        """Return the scenario with arrivals and service `factor` times faster."""
        finite(above=True).check(factor, "speed")
        return (
            self._with_arrivals(lambda arrivals: arrivals.faster(factor))
            ._with_each_consumer(lambda consumer: _serving(consumer, lambda service: service.faster(factor)))
            .replace(duration=None if self.duration is None else self.duration / factor)
        )

    def _with_arrivals(self, change: Callable[[Arrivals], Arrivals]) -> Self:
        changed = []
        for i, producer in enumerate(self.producers):
            with located("producers", i, "arrivals"):
                changed.append(producer.replace(arrivals=change(producer.arrivals)))
        return self.replace(producers=tuple(changed))

    def _with_each_consumer(self, change: Callable[[Consumer], Consumer]) -> Self:
        changed = []
        for i, consumer in enumerate(self.consumers):
            with located("consumers", i):
                changed.append(change(consumer))
        return self.replace(consumers=tuple(changed))


def _serving(consumer: Consumer, change: Callable[[Service], Service]) -> Consumer:
    """Return the consumer with its service changed."""
    with located("service"):
        return consumer.replace(service=change(consumer.service))
