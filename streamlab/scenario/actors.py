"""Who produces and who consumes in a scenario, and how fast: `Producer` with its `Arrivals`, `Consumer`, `Service`."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Container, Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

import attrs

from streamlab.scenario.action import POISON_FIELD, is_by_hand
from streamlab.scenario.small_table import length
from streamlab.scenario.values import InvalidValue, Record, a, finite, one_of, printable, text, whole

if TYPE_CHECKING:
    from streamlab.actors import Fields

ArrivalKind = Literal["constant", "poisson", "bursts", "replay"]
ServiceKind = Literal["constant", "exponential", "lognormal"]
AckKind = Literal["each", "batch"]


@attrs.frozen
class Arrivals(Record):
    """When a producer adds its entries, and what they hold.

    Attributes
    ----------
    kind
        ``"constant"``: every 1/rate seconds. ``"poisson"``: exponential gaps of mean 1/rate.
        ``"bursts"``: `burst` entries at once, every burst/rate seconds. ``"replay"``: at the times, and
        with the payloads, of `source`.
    rate
        Entries per second, on average. Not used by a replay.
    start
        Seconds before the first entry (in a replay: before the source's time 0).
    burst
        Entries in a burst.
    source
        A replay's source: the path of a CSV file with a column ``at`` (seconds), the other columns being
        the payload; or ``"departures"``, ``"departures:JFK"``, ``"departures:JFK:2013-02-08"``.
    speed
        How many times faster than its source a replay runs.
    """

    called: ClassVar[str] = "arrivals"

    kind: ArrivalKind = attrs.field(default="constant", validator=one_of(ArrivalKind))
    rate: float = attrs.field(default=100.0, validator=finite(above=True, of="entries per second"))
    start: float = attrs.field(default=0.0, validator=finite(of="seconds"))
    burst: int = attrs.field(default=10, validator=whole(1))
    source: str = attrs.field(default="", validator=text())
    speed: float = attrs.field(default=1.0, validator=finite(above=True))

    def __attrs_post_init__(self) -> None:
        if (self.kind == "replay") != bool(self.source):
            problem = (
                f"is {self.source!r} and the kind {self.kind!r}: a replay needs a source, and only a replay has one"
            )
            raise self.invalid("source", problem)

    def times(self, rng: random.Random) -> Iterator[float]:
        """Yield the seconds, after the start of the run, at which entries arrive; ascending, for ever."""
        start, rate = self.start, self.rate
        if self.kind == "constant":
            # number / rate, not a running sum: the 8,000th entry is where it belongs
            return (start + number / rate for number in itertools.count())
        if self.kind == "bursts":
            burst = self.burst
            return (start + (number // burst) * burst / rate for number in itertools.count())
        if self.kind == "poisson":
            gaps = iter(lambda: rng.expovariate(rate), None)
            return itertools.accumulate(gaps, initial=start + rng.expovariate(rate))
        return (at for at, _ in self._replayed())

    def entries(self, producer: str, rng: random.Random) -> Iterator[tuple[float, Fields]]:
        """Yield pairs of a time and the fields of the entry that `producer` adds then."""
        if self.kind == "replay":
            return self._replayed()
        return ((at, {"producer": producer, "n": str(number)}) for number, at in enumerate(self.times(rng), 1))

    def _replayed(self) -> Iterator[tuple[float, Fields]]:
        from streamlab.scenario.replay import replay  # reads CSV and zipped files: slow to import

        return ((self.start + at / self.speed, fields) for at, fields in replay(self.source))

    def in_words(self) -> str:
        """Say how fast entries arrive."""
        if self.kind == "replay":
            return f"{self.source}, {self.speed:g} times as fast" if self.speed != 1 else self.source
        kind = {"constant": "", "poisson": ", at random", "bursts": f", {self.burst} at once"}[self.kind]
        return f"{self.rate:g} entries/s{kind}"

    def faster(self, factor: float) -> Arrivals:
        """Return the same arrivals, `factor` times faster."""
        return self.replace(rate=self.rate * factor, start=self.start / factor, speed=self.speed * factor)


@attrs.frozen
class Service(Record):
    """How long a consumer takes for an entry.

    `mean` is in seconds. A ``"lognormal"`` service has the coefficient of variation `cv` (standard
    deviation over mean), which the other kinds ignore: it is 0 for constant, 1 for exponential.
    """

    called: ClassVar[str] = "service"

    kind: ServiceKind = attrs.field(default="constant", validator=one_of(ServiceKind))
    mean: float = attrs.field(default=0.004, validator=finite(of="seconds"))
    cv: float = attrs.field(default=1.0, validator=finite(above=True, most=1000))

    def in_words(self) -> str:
        """Say how long an entry takes."""
        return f"{length(self.mean)} an entry{'' if self.kind == 'constant' else f', {self.kind}'}"

    def sampler(self, rng: random.Random) -> Callable[[], float]:
        """Return a function that draws a service time in seconds."""
        mean = self.mean
        if self.kind == "constant" or mean == 0:
            return itertools.repeat(mean).__next__
        if self.kind == "exponential":
            return lambda: rng.expovariate(1 / mean)
        variance = math.log1p(self.cv**2)
        location, scale = math.log(mean) - variance / 2, math.sqrt(variance)
        return lambda: rng.lognormvariate(location, scale)

    def faster(self, factor: float) -> Service:
        """Return the same service, `factor` times faster."""
        return self.replace(mean=self.mean / factor)


@attrs.frozen
class Producer(Record):
    """A process that adds entries."""

    called: ClassVar[str] = "producer"

    name: str = attrs.field(default="P1", validator=printable())
    arrivals: Arrivals = attrs.field(factory=Arrivals, validator=a(Arrivals))


@attrs.frozen
class Consumer(Record):
    """A process that reads, processes and acknowledges entries.

    `count` is how many entries it asks for at once, `ack` whether it acknowledges ``"each"`` by itself or
    a ``"batch"`` with the next read, `block` for how many seconds a read waits (0 for ever; a real worker
    looks up once a second at the latest). `group` is the consumer group that it belongs to; "": the scenario's.
    """

    called: ClassVar[str] = "consumer"

    name: str = attrs.field(default="C1", validator=printable())
    service: Service = attrs.field(factory=Service, validator=a(Service))
    count: int = attrs.field(default=1, validator=whole(1))
    ack: AckKind = attrs.field(default="each", validator=one_of(AckKind))
    block: float = attrs.field(default=5.0, validator=finite(of="seconds"))
    group: str = attrs.field(default="", validator=printable(or_empty=True))


def poisoned(entries: Iterable[tuple[float, Fields]], numbers: Container[int]) -> Iterator[tuple[float, Fields]]:
    """Yield the entries, those with these numbers poisoned."""
    for number, (at, fields) in enumerate(entries, 1):
        yield (at, {**fields, POISON_FIELD: "1"}) if number in numbers else (at, fields)


def check_names(**places: tuple[Producer | Consumer, ...]) -> None:
    """Require that all actors have names of their own; `places` are the fields of the scenario that they are in."""
    taken: set[str] = set()
    for place, actors in places.items():
        for i, actor in enumerate(actors):
            if is_by_hand(actor.name):
                problem = f"is {actor.name!r}, which is who does things by hand"
            elif actor.name in taken:
                problem = f"is {actor.name!r}, given twice: every actor needs its own"
            else:
                taken.add(actor.name)
                continue
            raise InvalidValue(problem, (place, i, "name"))


def producers(n: int, arrivals: Arrivals) -> tuple[Producer, ...]:
    """Return producers P1 … Pn. Constant ones start one after the other, and so take turns."""
    gap = 1 / (arrivals.rate * n) if arrivals.kind == "constant" else 0.0
    return tuple(Producer(f"P{i + 1}", arrivals.replace(start=i * gap)) for i in range(n))


def consumers(n: int, service: Service, count: int = 1, ack: AckKind = "each") -> tuple[Consumer, ...]:
    """Return consumers C1 … Cn, all alike."""
    return tuple(Consumer(f"C{i}", service, count, ack) for i in range(1, n + 1))
