"""`MMc`: what queueing theory says of random arrivals, random service, and a number of consumers that are alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from streamlab.scenario import Scenario


@dataclass(frozen=True, slots=True)
class MMc:
    """Consumers that share one queue of random arrivals, after a long time: the queue M/M/c.

    Arrivals are Poisson, service times exponential, and entries are begun in their order. What grows without end is
    infinite.

    Parameters
    ----------
    arrival_rate
        Entries per second, all producers together.
    service_time
        Mean seconds of work on an entry.
    consumers
        How many there are.
    """

    arrival_rate: float
    service_time: float
    consumers: int

    def __post_init__(self) -> None:
        for name in ("arrival_rate", "service_time"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is {value!r}: give a number above 0")
        if self.consumers != int(self.consumers) or self.consumers < 1:
            raise ValueError(f"consumers is {self.consumers!r}: give a whole number of at least 1")

    @classmethod
    def of(cls, scenario: Scenario) -> MMc:
        """Return the queue that a scenario is.

        Raises
        ------
        ValueError
            If it is none: its arrivals or its service are of another kind, or its consumers not alike.
        """
        arrivals = [producer.arrivals for producer in scenario.producers]
        services = {consumer.service for consumer in scenario.consumers}
        if any(each.kind != "poisson" for each in arrivals):
            raise ValueError(f"{scenario.name} is no M/M/c queue: its arrivals are not Poisson")
        if len(services) > 1 or any(each.kind != "exponential" for each in services):
            raise ValueError(f"{scenario.name} is no M/M/c queue: its service is not the same exponential one for all")
        return cls(math.fsum(each.rate for each in arrivals), services.pop().mean, len(scenario.consumers))

    @property
    def utilisation(self) -> float:
        """The part of the time for which a consumer is busy: at most 1."""
        return min(self.arrival_rate * self.service_time / self.consumers, 1.0)

    @property
    def chance_of_waiting(self) -> float:
        """The part of the entries that have to wait: Erlang's C."""
        if self.utilisation == 1:
            return 1.0
        load, blocked = self.arrival_rate * self.service_time, 1.0
        for n in range(1, self.consumers + 1):  # Erlang's B; its factorials, written out, overflow
            blocked = load * blocked / (n + load * blocked)
        return blocked / (1 - self.utilisation * (1 - blocked))

    @property
    def waiting_mean(self) -> float:
        """Mean seconds until work on an entry begins."""
        return self.chance_of_waiting / self._spare if self._spare > 0 else math.inf

    @property
    def sojourn_mean(self) -> float:
        """Mean seconds until an entry is done."""
        return self.waiting_mean + self.service_time

    def waiting_quantile(self, q: float) -> float:
        """Return the seconds within which work on a part `q` of the entries begins."""
        waits = self.chance_of_waiting
        return self._quantile(q, lambda t: waits * math.exp(-self._spare * t))

    def sojourn_quantile(self, q: float) -> float:
        """Return the seconds within which a part `q` of the entries is done."""
        waits = self.chance_of_waiting
        return self._quantile(q, lambda t: self._still_there(t, waits))

    @property
    def _spare(self) -> float:
        """How many more entries per second all consumers could do."""
        return self.consumers / self.service_time - self.arrival_rate

    def _still_there(self, t: float, waits: float) -> float:
        """Return the part of the entries not done after so many seconds, if a part `waits` of them has to wait."""
        mu, spare = 1 / self.service_time, self._spare
        work = math.exp(-mu * t)
        if math.isclose(mu, spare, rel_tol=1e-6):
            both = (1 + mu * t) * work
        else:
            both = (spare * work - mu * math.exp(-spare * t)) / (spare - mu)
        return work + waits * (both - work)

    def _quantile(self, q: float, beyond: Callable[[float], float]) -> float:
        """Return where no more than 1 - q of the entries is beyond, by halving."""
        if not 0 <= q < 1:
            raise ValueError(f"q is {q!r}: give a part of 1, such as 0.99")
        if self._spare <= 0:
            return math.inf
        low, high = 0.0, self.service_time
        while beyond(high) > 1 - q:
            low, high = high, 2 * high
        if beyond(low) <= 1 - q:
            return low
        while high - low > 1e-12 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if beyond(middle) > 1 - q else (low, middle)
        return high
