"""`Scenario`: who produces and who consumes, how fast, for how long. Data, and nothing else.

The same scenario runs on both engines. Everything random in it comes from `seed`, by the actor's name, so
that a run can be repeated and an actor's arrivals do not change when another one is added.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from streamlab.actors import (
    Effect,
    Fields,
    Recovery,
    idempotent_sink,
    naive_sink,
)
from streamlab.faults import (
    POISON_FIELD,
    Fault,
    FaultError,
    Poison,
    ServerDown,
    parse_fault,
    random_faults,
    random_kills,
)
from streamlab.replay import replay
from streamlab.virtual_time import DEFAULT_EPOCH_MS

if TYPE_CHECKING:
    from redis.asyncio import Redis

ArrivalKind = Literal["constant", "poisson", "bursts", "replay"]
ServiceKind = Literal["constant", "exponential", "lognormal"]
AckKind = Literal["each", "batch"]
SinkKind = Literal["none", "naive", "idempotent"]

T = TypeVar("T")


class ScenarioError(ValueError):
    """A scenario that makes no sense. The message says which value, and what to write instead."""


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ScenarioError(message)


def _require_number(value: object, what: str, least: float, *, above: bool = False) -> None:
    """Require a finite number that is at least (or above) `least`."""
    fine = (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (value > least or (value == least and not above))
    )
    bound = f"{'above' if above else 'of at least'} {least:g}"
    _require(fine, f"{what} is {value!r}: give a number {bound}")


def _require_count(value: object, what: str) -> None:
    _require(
        isinstance(value, int) and not isinstance(value, bool) and value >= 1,
        f"{what} is {value!r}: give a whole number of at least 1",
    )


def _require_kind(value: object, what: str, kinds: object) -> None:
    known = get_args(kinds)
    _require(value in known, f"{what} is {value!r}: known are {', '.join(known)}")


def _require_name(value: object, what: str) -> None:
    fine = isinstance(value, str) and value != "" and value.isprintable()
    _require(fine, f"{what} is {value!r}: give a printable name that is not empty")


@dataclass(frozen=True, slots=True)
class Arrivals:
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

    kind: ArrivalKind = "constant"
    rate: float = 100.0
    start: float = 0.0
    burst: int = 10
    source: str = ""
    speed: float = 1.0

    def __post_init__(self) -> None:
        _require_kind(self.kind, "arrivals.kind", ArrivalKind)
        _require_number(self.rate, "arrivals.rate (entries per second)", 0, above=True)
        _require_number(self.start, "arrivals.start (seconds)", 0)
        _require_count(self.burst, "arrivals.burst")
        _require_number(self.speed, "arrivals.speed", 0, above=True)
        _require(
            (self.kind == "replay") == bool(self.source),
            f"arrivals.source is {self.source!r} and arrivals.kind {self.kind!r}: a replay needs a source, "
            "and only a replay has one",
        )

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
        return (start + at / self.speed for at, _ in replay(self.source))

    def entries(self, producer: str, rng: random.Random) -> Iterator[tuple[float, Fields]]:
        """Yield pairs of a time and the fields of the entry that `producer` adds then."""
        if self.kind == "replay":
            return ((self.start + at / self.speed, fields) for at, fields in replay(self.source))
        return (
            (at, {"producer": producer, "n": str(number)})
            for number, at in enumerate(self.times(rng), 1)
        )

    def faster(self, factor: float) -> Arrivals:
        """Return the same arrivals, `factor` times faster."""
        return dataclasses.replace(
            self, rate=self.rate * factor, start=self.start / factor, speed=self.speed * factor
        )


@dataclass(frozen=True, slots=True)
class Service:
    """How long a consumer takes for an entry.

    `mean` is in seconds. A ``"lognormal"`` service has the coefficient of variation `cv` (standard
    deviation over mean), which the other kinds ignore: it is 0 for constant, 1 for exponential.
    """

    kind: ServiceKind = "constant"
    mean: float = 0.004
    cv: float = 1.0

    def __post_init__(self) -> None:
        _require_kind(self.kind, "service.kind", ServiceKind)
        _require_number(self.mean, "service.mean (seconds)", 0)
        _require_number(self.cv, "service.cv", 0, above=True)
        _require(self.cv <= 1000, f"service.cv is {self.cv:g}: give at most 1,000")

    def sampler(self, rng: random.Random) -> Callable[[], float]:
        """Return a function that draws a service time in seconds."""
        mean = self.mean
        if self.kind == "constant" or mean == 0:
            return lambda: mean
        if self.kind == "exponential":
            return lambda: rng.expovariate(1 / mean)
        variance = math.log1p(self.cv**2)
        location, scale = math.log(mean) - variance / 2, math.sqrt(variance)
        return lambda: rng.lognormvariate(location, scale)

    def with_mean(self, mean: float) -> Service:
        """Return the same kind of service with another mean, in seconds."""
        return dataclasses.replace(self, mean=mean)

    def faster(self, factor: float) -> Service:
        """Return the same service, `factor` times faster."""
        return dataclasses.replace(self, mean=self.mean / factor)


@dataclass(frozen=True, slots=True)
class Producer:
    """A process that adds entries."""

    name: str = "P1"
    arrivals: Arrivals = field(default_factory=Arrivals)

    def __post_init__(self) -> None:
        _require_name(self.name, "a producer's name")


@dataclass(frozen=True, slots=True)
class Consumer:
    """A process that reads, processes and acknowledges entries.

    `count` is how many entries it asks for at once, `ack` whether it acknowledges ``"each"`` by itself or
    a ``"batch"`` with the next read, `block` for how many seconds a read waits (0 for ever; a real worker
    looks up once a second at the latest).
    """

    name: str = "C1"
    service: Service = field(default_factory=Service)
    count: int = 1
    ack: AckKind = "each"
    block: float = 5.0

    def __post_init__(self) -> None:
        _require_name(self.name, "a consumer's name")
        _require_count(self.count, f"consumer {self.name}: count")
        _require_kind(self.ack, f"consumer {self.name}: ack", AckKind)
        _require_number(self.block, f"consumer {self.name}: block (seconds)", 0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Producers, a stream, a consumer group, and for how long.

    Attributes
    ----------
    duration, entries
        Entries are produced for `duration` seconds, or until there are `entries` of them, all producers
        together; whichever comes first. None is no limit: a replay ends by itself.
    drain
        Seconds that consumers are given, after production has ended, to finish what is left; what they
        hold at the end of it, they still finish if it takes them no more than a second.
    maxlen
        Trim the stream to about this many entries as they are added (``MAXLEN ~``), read or not.
    epoch_ms
        The simulated server's clock at the start of the run, in milliseconds since 1970.
    redis_version
        The version that the simulated server behaves as, ``"7.0.15"`` for instance.
    sink
        Where effects go: ``"none"`` (an entry's service time is all there is to it), ``"naive"`` or
        ``"idempotent"``: a hash on the server that counts each entry's effects. See `ledger_key`.
    recovery
        How entries come back that a consumer did not finish.
    faults
        What goes wrong. In TOML and on the command line each is a text, ``"kill C2 at 3s"``.
    """

    name: str = "my-scenario"
    producers: tuple[Producer, ...] = (Producer(),)
    consumers: tuple[Consumer, ...] = (Consumer(),)
    duration: float | None = 10.0
    entries: int | None = None
    seed: int = 1
    stream: str = "orders"
    group: str = "workers"
    drain: float = 60.0
    maxlen: int | None = None
    epoch_ms: int = DEFAULT_EPOCH_MS
    redis_version: str = "7.0.15"
    sink: SinkKind = "none"
    recovery: Recovery = Recovery()  # noqa: RUF009 (frozen)
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        for what in ("name", "stream", "group"):
            _require_name(getattr(self, what), what)
        _require_kind(self.sink, "sink", SinkKind)
        _require(
            len(_version(self.redis_version)) == 3,
            f"redis_version is {self.redis_version!r}: write it as 7.0.15",
        )
        _require(len(self.producers) >= 1, "there are 0 producers: give at least one")
        _require(len(self.consumers) >= 1, "there are 0 consumers: give at least one")
        names = [p.name for p in self.producers] + [c.name for c in self.consumers]
        twice = sorted({name for name in names if names.count(name) > 1})
        _require(
            not twice, f"the name {', '.join(twice)} is given twice: every actor needs its own"
        )
        if self.duration is not None:
            _require_number(self.duration, "duration (seconds)", 0, above=True)
        if self.entries is not None:
            _require_count(self.entries, "entries")
        if self.maxlen is not None:
            _require_count(self.maxlen, "maxlen")
        _require_number(self.drain, "drain (seconds)", 0)
        for what in ("seed", "epoch_ms"):
            value = getattr(self, what)
            _require(
                isinstance(value, int) and not isinstance(value, bool) and value >= 0,
                f"{what} is {value!r}: give a whole number of at least 0",
            )
        endless = [p.name for p in self.producers if p.arrivals.kind != "replay"]
        _require(
            self.duration is not None or self.entries is not None or not endless,
            f"producer {', '.join(endless)} never ends: give a duration or a number of entries",
        )
        for fault in self.faults:
            self._check_target(fault)

    def _check_target(self, fault: Fault) -> None:
        """Require that a fault is aimed at somebody who is there."""
        target = getattr(fault, "target", None)
        if target is None:
            return
        consumers, producers = [c.name for c in self.consumers], [p.name for p in self.producers]
        at_a_producer = isinstance(fault, Poison) or getattr(fault, "command", "") == "XADD"
        known = producers if at_a_producer else consumers
        _require(
            target in known,
            f"the fault {str(fault)!r} is aimed at {target}, and only {', '.join(known)} can be its target",
        )

    @property
    def ledger_key(self) -> str:
        """The key of the hash in which a sink counts effects."""
        return f"{{{self.stream}}}:effects"

    @property
    def dead_letter_key(self) -> str:
        """The key of the dead-letter stream."""
        return self.recovery.dead_letter_of(self.stream)

    @property
    def version(self) -> tuple[int, int, int]:
        """The simulated server's version, as three numbers."""
        major, minor, patch = _version(self.redis_version)
        return major, minor, patch

    @property
    def needs_persistence(self) -> bool:
        """Whether a real server has to keep what it had when it goes down."""
        return any(isinstance(fault, ServerDown) for fault in self.faults)

    def rng(self, actor: str) -> random.Random:
        """Return the source of an actor's random numbers."""
        return random.Random(f"{self.seed}/{actor}")

    def arrivals(self, producer: Producer) -> Iterable[tuple[float, Fields]]:
        """Return what a producer adds in this scenario, and when, its limits applied."""
        entries = producer.arrivals.entries(producer.name, self.rng(producer.name))
        if self.duration is not None:
            duration = self.duration
            entries = itertools.takewhile(lambda entry: entry[0] < duration, entries)
        if self.entries is not None:
            entries = itertools.islice(entries, self._share_of(producer))
        poisoned = {
            f.nth for f in self.faults if isinstance(f, Poison) and f.target == producer.name
        }
        return _poisoned(entries, poisoned) if poisoned else entries

    def effect(self, client: Redis) -> Effect | None:
        """Return what has the effect of an entry in this scenario; None if there is none."""
        if self.sink == "none":
            return None
        return (naive_sink if self.sink == "naive" else idempotent_sink)(client, self.ledger_key)

    def _share_of(self, producer: Producer) -> int:
        """Return how many of the first `entries` arrivals, all producers together, are this one's."""
        assert self.entries is not None
        if len(self.producers) == 1:
            return self.entries
        arrivals = heapq.merge(
            *(
                zip(p.arrivals.times(self.rng(p.name)), itertools.repeat(number))
                for number, p in enumerate(self.producers)
            )
        )
        mine = self.producers.index(producer)
        return sum(number == mine for _, number in itertools.islice(arrivals, self.entries))

    # ---- variations ----------------------------------------------------------------------------

    def with_faults(self, *faults: Fault | str) -> Scenario:
        """Return the scenario with more faults; texts are read by `parse_fault`."""
        try:
            more = tuple(parse_fault(f) if isinstance(f, str) else f for f in faults)
        except FaultError as error:
            raise ScenarioError(str(error)) from None
        return dataclasses.replace(self, faults=self.faults + more)

    def random_faults(self, *, most: int = 6) -> tuple[Fault, ...]:
        """Draw one to `most` faults for this scenario, by its seed."""
        return random_faults(
            self.rng("faults"),
            consumers=[c.name for c in self.consumers],
            producers=[p.name for p in self.producers],
            duration=self.expected_duration(),
            entries=self.expected_entries(),
            most=most,
        )

    def random_kills(self, every: float) -> tuple[Fault, ...]:
        """Draw a consumer to be killed every so many seconds of this scenario, by its seed."""
        _require_number(every, "kill random every (seconds)", 0, above=True)
        names = [c.name for c in self.consumers]
        duration = self.expected_duration()
        return random_kills(self.rng("kills"), consumers=names, every=every, duration=duration)

    def expected_duration(self) -> float:
        """Return for how many seconds entries are produced, about."""
        rate = self._expected_rate()
        by_entries = math.inf if self.entries is None else self.entries / rate
        return min(math.inf if self.duration is None else self.duration, by_entries)

    def expected_entries(self) -> int:
        return math.ceil(self._expected_rate() * self.expected_duration())

    def _expected_rate(self) -> float:
        _require(
            all(p.arrivals.kind != "replay" for p in self.producers),
            f"{self.name} replays recorded times: name its faults one by one",
        )
        return sum(p.arrivals.rate for p in self.producers)

    def with_recovery(self, strategy: str | None = None, **changes: object) -> Scenario:
        """Return the scenario with another strategy of recovery, or other fields of it."""
        if strategy is not None:
            changes["strategy"] = strategy
        try:
            recovery = dataclasses.replace(self.recovery, **changes)  # type: ignore[arg-type]
        except ValueError as error:
            raise ScenarioError(str(error)) from None
        return dataclasses.replace(self, recovery=recovery)

    def with_producers(self, n: int) -> Scenario:
        """Return the scenario with producers P1 … Pn, all like its first; constant ones take turns."""
        _require(n >= 1, f"there are {n} producers: give at least one")
        first = self.producers[0].arrivals
        _require(first.kind != "replay" or n == 1, "a replay cannot be given to several producers")
        return dataclasses.replace(self, producers=producers(n, first))

    def with_consumers(self, n: int) -> Scenario:
        """Return the scenario with consumers C1 … Cn, all like its first."""
        _require(n >= 1, f"there are {n} consumers: give at least one")
        copies = (dataclasses.replace(self.consumers[0], name=f"C{i}") for i in range(1, n + 1))
        return dataclasses.replace(self, consumers=tuple(copies))

    def with_rate(self, rate: float) -> Scenario:
        """Return the scenario with each producer adding `rate` entries per second."""
        _require(
            all(p.arrivals.kind != "replay" for p in self.producers),
            f"{self.name} replays recorded times and has no rate: give a speed",
        )
        _require_number(rate, "rate (entries per second)", 0, above=True)
        changed = []
        for producer in self.producers:
            old = producer.arrivals
            # The start is part of how constant producers take turns: it keeps its share of the interval.
            arrivals = dataclasses.replace(old, rate=rate, start=old.start * old.rate / rate)
            changed.append(dataclasses.replace(producer, arrivals=arrivals))
        return dataclasses.replace(self, producers=tuple(changed))

    def with_service(self, mean: float) -> Scenario:
        """Return the scenario with every consumer taking `mean` seconds on average."""
        changed = (
            dataclasses.replace(c, service=dataclasses.replace(c.service, mean=mean))
            for c in self.consumers
        )
        return dataclasses.replace(self, consumers=tuple(changed))

    def with_consumer(self, name: str, **changes: object) -> Scenario:
        """Return the scenario with some fields of one consumer changed; ``service`` may be a mean."""
        known = [c.name for c in self.consumers]
        _require(name in known, f"there is no consumer {name!r}: there are {', '.join(known)}")
        if isinstance(changes.get("service"), int | float):
            old = self.consumers[known.index(name)].service
            changes["service"] = dataclasses.replace(old, mean=changes["service"])  # type: ignore[arg-type]
        changed = (
            dataclasses.replace(c, **changes) if c.name == name else c  # type: ignore[arg-type]
            for c in self.consumers
        )
        return dataclasses.replace(self, consumers=tuple(changed))

    def with_count(self, count: int) -> Scenario:
        """Return the scenario with every consumer asking for `count` entries at once."""
        return dataclasses.replace(
            self, consumers=tuple(dataclasses.replace(c, count=count) for c in self.consumers)
        )

    def faster(self, factor: float) -> Scenario:
        """Return the scenario with arrivals and service `factor` times faster."""
        _require_number(factor, "speed", 0, above=True)
        return dataclasses.replace(
            self,
            producers=tuple(
                dataclasses.replace(p, arrivals=p.arrivals.faster(factor)) for p in self.producers
            ),
            consumers=tuple(
                dataclasses.replace(c, service=c.service.faster(factor)) for c in self.consumers
            ),
            duration=None if self.duration is None else self.duration / factor,
        )


def _poisoned(
    entries: Iterable[tuple[float, Fields]], numbers: set[int]
) -> Iterator[tuple[float, Fields]]:
    """Yield the entries, those with these numbers poisoned."""
    for number, (at, fields) in enumerate(entries, 1):
        yield (at, {**fields, POISON_FIELD: "1"}) if number in numbers else (at, fields)


def _version(text: object) -> tuple[int, ...]:
    """Return a version as numbers; none if it is not one."""
    parts = text.split(".") if isinstance(text, str) else []
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else ()


def producers(n: int, arrivals: Arrivals) -> tuple[Producer, ...]:
    """Return producers P1 … Pn. Constant ones start one after the other, and so take turns."""
    gap = 1 / (arrivals.rate * n) if arrivals.kind == "constant" else 0.0
    return tuple(
        Producer(f"P{i + 1}", dataclasses.replace(arrivals, start=i * gap)) for i in range(n)
    )


def consumers(
    n: int, service: Service, count: int = 1, ack: AckKind = "each"
) -> tuple[Consumer, ...]:
    """Return consumers C1 … Cn, all alike."""
    return tuple(Consumer(f"C{i}", service, count, ack) for i in range(1, n + 1))
