"""Simulating one producer and four consumers: streamlab against other simulators.

    python benchmarks/simulation.py [--entries N] [--repeats N] [--seconds S] [--random] [--no-growth] [--json]

streamlab goes both ways: through one loop, as `Lab` does where nothing can go wrong, and by coroutines.
Everybody simulates the same load: 800 entries a second for four consumers that take one entry at a time
and 4 ms for it, always (the scenario ``one-to-many``), or with ``--random`` on average, exponentially
distributed, as the gaps between the arrivals are then (M/M/4).
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import selectors
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from statistics import median
from typing import Any

from harness import (
    Outcome,
    Result,
    Rival,
    argument_parser,
    as_json,
    available,
    find,
    imported,
    machine,
    measure,
    progress,
    ratio,
    run_checked,
    table,
)

from streamlab import Arrivals, Lab, Producer, Scenario, Service, SimulatedServer, VirtualLoop
from streamlab.actors import Handler, consume, ensure_group, produce
from streamlab.actors.events import ACKED, ADDED, DELIVERED, PROCESSED
from streamlab.lab.timeline import Way
from streamlab.scenario import SCENARIOS
from streamlab.scenario.actors import ServiceKind, consumers

N_CONSUMERS = 4
RATE = 800.0  # entries per second
SERVICE = 0.004  # seconds
STREAM, GROUP = "orders", "workers"

SMALL, LARGE = (10_000, 1_000_000)  # entries: what an entry costs must not depend on how many there are
MANY = 256  # consumers: nor on how many these are

BASE = "SimPy, Store"
BOOKS = "SimPy with books kept"
CIW = "Ciw, a node with 4 servers"
FAKEREDIS = "same actors, fakeredis"
STREAMLAB = "streamlab, Lab"
COROUTINES = "streamlab, Lab by coroutines"


class Load:
    """The work that everybody is given."""

    def __init__(self, *, is_random: bool, n_consumers: int = N_CONSUMERS) -> None:
        kind: ServiceKind = "exponential" if is_random else "constant"
        rate = RATE * n_consumers / N_CONSUMERS  # as busy as four
        self.is_random = is_random
        self.scenario = SCENARIOS["one-to-many"]().replace(
            producers=(Producer("P1", Arrivals("poisson" if is_random else "constant", rate)),),
            consumers=consumers(n_consumers, Service(kind, SERVICE)),
            stream=STREAM,
            group=GROUP,
            duration=None,
            entries=1,
        )

    def of(self, n_entries: int) -> Scenario:
        """Return the load as a scenario with that many entries."""
        return self.scenario.replace(entries=n_entries)

    def arrivals(self, n_entries: int) -> Iterator[tuple[float, Any]]:
        """Yield the time and the fields of each entry."""
        return iter(self.of(n_entries).arrivals(self.scenario.producers[0]))

    def service(self, number: int) -> Callable[[], float]:
        """Return a function that draws how long a consumer takes for an entry."""
        consumer = self.scenario.consumers[number]
        return consumer.service.sampler(self.scenario.rng(consumer.name))


# ---- streamlab -------------------------------------------------------------------------------------


def streamlab_lab(load: Load, n_entries: int, way: Way = "quickest") -> Outcome:
    """A scenario as a user runs it: every event recorded, the final state asked for."""
    scenario = load.of(n_entries)
    began = time.perf_counter()
    run = Lab(scenario, way=way).run()
    seconds = time.perf_counter() - began
    return Outcome(seconds, sum(event.kind == PROCESSED for event in run.events))


def streamlab_coroutines(load: Load, n_entries: int) -> Outcome:
    """The same, as it is run where something may go wrong."""
    return streamlab_lab(load, n_entries, "coroutines")


def streamlab_actors(load: Load, n_entries: int) -> Outcome:
    """The same actors on the same loop, and nothing recorded."""
    loop = VirtualLoop()
    server = SimulatedServer(loop=loop)
    return _run_actors(loop, lambda _: server.client(), load, n_entries)


def _run_actors(
    loop: asyncio.AbstractEventLoop, client_for: Callable[[int], Any], load: Load, n_entries: int
) -> Outcome:
    """Run streamlab's actors on any loop and over any client, until every entry is processed."""
    n_processed = 0

    async def main() -> None:
        finished = asyncio.Event()

        def handler(number: int) -> Handler:
            sample, sleep = load.service(number), asyncio.sleep

            async def handle(entry_id: str, fields: dict[str, str]) -> None:
                nonlocal n_processed
                await sleep(sample())
                n_processed += 1
                if n_processed == n_entries:
                    finished.set()

            return handle

        clients = [client_for(number) for number in range(N_CONSUMERS + 1)]
        await ensure_group(clients[-1], STREAM, GROUP)
        consumers = [
            asyncio.create_task(consume(clients[number], STREAM, GROUP, f"C{number + 1}", handler(number)))
            for number in range(N_CONSUMERS)
        ]
        await produce(clients[-1], STREAM, load.arrivals(n_entries))
        await finished.wait()
        for consumer in consumers:
            consumer.cancel()
        await asyncio.wait(consumers)
        for client in clients:
            await client.aclose()

    began = time.perf_counter()
    loop.run_until_complete(main())
    seconds = time.perf_counter() - began
    loop.close()
    return Outcome(seconds, n_processed)


# ---- the same actors, other loops and another server ---------------------------------------------------


class _JumpingSelector(selectors.SelectSelector):
    """A selector that does not wait: it tells by how much the clock has to jump."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is left that could ever happen")
        self.now += max(0.0, timeout)
        return super().select(0)


class _JumpingLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop with a clock that jumps: what one writes in ten lines."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def selector_loop(load: Load, n_entries: int) -> Outcome:
    """streamlab's actors and model on asyncio's selector loop with a virtual clock."""
    server = SimulatedServer()
    return _run_actors(_JumpingLoop(), lambda _: server.client(), load, n_entries)


def fakeredis(load: Load, n_entries: int) -> Outcome:
    """streamlab's actors over fakeredis' asyncio client, in virtual time.

    fakeredis 2.40 answers XREADGROUP with COUNT and BLOCK at once, so that a waiting consumer would turn
    into a busy loop and the clock never move. The client below reads without BLOCK and, if there is
    nothing, waits until the next XADD wakes it: nothing cheaper would be right.
    """
    fake = imported("fakeredis")
    waiting: deque[asyncio.Future[None]] = deque()

    class Client(fake.FakeAsyncRedis):  # type: ignore[misc, name-defined]
        async def xadd(self, *args: Any, **options: Any) -> Any:
            entry_id = await super().xadd(*args, **options)
            if waiting:
                waiting.popleft().set_result(None)
            return entry_id

        async def xreadgroup(
            self, group: str, consumer: str, streams: Any, count: int, block: int | None = None
        ) -> Any:
            while True:
                reply = await super().xreadgroup(group, consumer, streams, count)
                if reply or block is None:
                    return reply
                waiting.append(asyncio.get_running_loop().create_future())
                await waiting[-1]

    server = fake.FakeServer()

    def client_for(_: int) -> Any:
        return Client(server=server, decode_responses=True, protocol=2, socket_timeout=None)

    return _run_actors(VirtualLoop(), client_for, load, n_entries)


# ---- other simulators --------------------------------------------------------------------------------


def simpy_store(load: Load, n_entries: int) -> Outcome:
    """SimPy: processes that put into and get from a Store."""
    simpy = imported("simpy")
    n_processed = 0

    def producer(env: Any, store: Any) -> Generator[Any, Any, None]:
        for at, fields in load.arrivals(n_entries):
            delay = at - env.now
            if delay > 0:
                yield env.timeout(delay)
            yield store.put(fields)

    def consumer(env: Any, store: Any, sample: Callable[[], float]) -> Generator[Any, Any, None]:
        nonlocal n_processed
        while True:
            yield store.get()
            yield env.timeout(sample())
            n_processed += 1
            if n_processed == n_entries:
                finished.succeed()

    began = time.perf_counter()
    env = simpy.Environment()
    finished = env.event()
    store = simpy.Store(env)
    for number in range(N_CONSUMERS):
        env.process(consumer(env, store, load.service(number)))
    env.process(producer(env, store))
    env.run(finished)
    return Outcome(time.perf_counter() - began, n_processed)


def simpy_with_books(load: Load, n_entries: int) -> Outcome:
    """SimPy's Store again, and of each entry what `Lab` keeps: an id, who has it pending, four events."""
    simpy = imported("simpy")
    events: list[tuple[float, str, str, str, int]] = []
    stored: dict[str, Any] = {}
    pending: dict[str, tuple[str, float, int]] = {}
    n_processed = 0

    def producer(env: Any, store: Any) -> Generator[Any, Any, None]:
        epoch_ms = load.scenario.epoch_ms
        for at, fields in load.arrivals(n_entries):
            delay = at - env.now
            if delay > 0:
                yield env.timeout(delay)
            entry_id = f"{epoch_ms + int(env.now * 1000)}-{len(stored)}"
            stored[entry_id] = fields
            events.append((env.now, ADDED, "P1", entry_id, 0))
            yield store.put((entry_id, fields))

    def consumer(env: Any, store: Any, name: str, sample: Callable[[], float]) -> Generator[Any, Any, None]:
        nonlocal n_processed
        while True:
            entry_id, _ = yield store.get()
            pending[entry_id] = name, env.now, 1
            events.append((env.now, DELIVERED, name, entry_id, 1))
            yield env.timeout(sample())
            events.append((env.now, PROCESSED, name, entry_id, 0))
            del pending[entry_id]
            events.append((env.now, ACKED, name, entry_id, 0))
            n_processed += 1
            if n_processed == n_entries:
                finished.succeed()

    began = time.perf_counter()
    env = simpy.Environment()
    finished = env.event()
    store = simpy.Store(env)
    for number in range(N_CONSUMERS):
        env.process(consumer(env, store, f"C{number + 1}", load.service(number)))
    env.process(producer(env, store))
    env.run(finished)
    return Outcome(time.perf_counter() - began, n_processed)


def simpy_resource(load: Load, n_entries: int) -> Outcome:
    """SimPy: an entry is a process that asks for one of four servers."""
    simpy = imported("simpy")
    n_processed = 0
    sample = load.service(0)

    def entry(env: Any, servers: Any) -> Generator[Any, Any, None]:
        nonlocal n_processed
        with servers.request() as request:
            yield request
            yield env.timeout(sample())
        n_processed += 1

    def producer(env: Any, servers: Any) -> Generator[Any, Any, None]:
        for at, _ in load.arrivals(n_entries):
            delay = at - env.now
            if delay > 0:
                yield env.timeout(delay)
            env.process(entry(env, servers))

    began = time.perf_counter()
    env = simpy.Environment()
    servers = simpy.Resource(env, N_CONSUMERS)
    env.process(producer(env, servers))
    env.run()
    return Outcome(time.perf_counter() - began, n_processed)


def ciw_node(load: Load, n_entries: int) -> Outcome:
    """Ciw: one node with four servers, until that many customers have left."""
    ciw = imported("ciw")
    dists = ciw.dists
    began = time.perf_counter()
    network = ciw.create_network(
        arrival_distributions=[dists.Exponential(RATE) if load.is_random else dists.Deterministic(1 / RATE)],
        service_distributions=[dists.Exponential(1 / SERVICE) if load.is_random else dists.Deterministic(SERVICE)],
        number_of_servers=[N_CONSUMERS],
    )
    ciw.seed(load.scenario.seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(n_entries, method="Finish")
    seconds = time.perf_counter() - began
    return Outcome(seconds, simulation.nodes[-1].number_of_individuals)


# ---- the benchmark -----------------------------------------------------------------------------------


def rivals(load: Load) -> list[Rival]:
    """Return everybody who simulates the load."""

    def rival(name: str, run: Callable[[Load, int], Outcome], needs: tuple[str, ...] = (), note: str = "") -> Rival:
        return Rival(name, lambda n_entries: run(load, n_entries), needs, note)

    return [
        rival(STREAMLAB, streamlab_lab, note="events recorded"),
        rival(COROUTINES, streamlab_coroutines, note="events recorded"),
        rival("streamlab, actors alone", streamlab_actors, note="nothing recorded"),
        rival(BASE, simpy_store, ("simpy",)),
        rival(BOOKS, simpy_with_books, ("simpy",), note="ids, pending, events"),
        rival("SimPy, Resource", simpy_resource, ("simpy",)),
        rival(CIW, ciw_node, ("ciw",)),
        rival("same actors and model, asyncio's loop with a virtual clock", selector_loop),
        rival(FAKEREDIS, fakeredis, ("fakeredis",)),
    ]


@dataclasses.dataclass(frozen=True)
class Growth:
    """What an entry costs in a small run and in a large one, in microseconds."""

    way: str
    small: str
    large: str
    small_us: float
    large_us: float
    most: float  #: how many times as much it may cost in the large one

    @property
    def ratio(self) -> float:
        return self.large_us / self.small_us

    def __str__(self) -> str:
        return (
            f"{self.way}: an entry costs {self.small_us:.1f} µs with {self.small} and {self.large_us:.1f} µs with "
            f"{self.large}: {self.ratio:.2f} × (goal: {self.most:g} at the most)"
        )


def measure_growth(is_random: bool, n_small: int, n_large: int, repeats: int) -> Iterator[Growth]:
    """Compare the cost of an entry in a short run (the median of some) and a long one, with few consumers and many."""
    few, many = Load(is_random=is_random), Load(is_random=is_random, n_consumers=MANY)

    def cost_us(way: str, load: Load, n_entries: int) -> float:
        rival = next(rival for rival in rivals(load) if rival.name == way)
        return run_checked(rival, n_entries).seconds / n_entries * 1e6

    for way in (STREAMLAB, COROUTINES):
        progress(f"{way}: {n_small:,} and {n_large:,} entries")
        # Short runs before and after the long one: the machine may have changed its pace meanwhile.
        small = [cost_us(way, few, n_small) for _ in range(repeats)]
        large_us = cost_us(way, few, n_large)
        small += [cost_us(way, few, n_small) for _ in range(repeats)]
        yield Growth(way, f"{n_small:,} entries", f"{n_large:,}", median(small), large_us, 1.1)
        progress(f"{way}: {N_CONSUMERS} and {MANY} consumers")
        # Enough for each: in the 39 of 10,000 entries, one would see what it costs to start a consumer.
        n = 4 * n_small
        pairs = [(cost_us(way, few, n), cost_us(way, many, n)) for _ in range(2 * repeats)]
        small_us, large_us = (median(costs) for costs in zip(*pairs, strict=True))
        yield Growth(way, f"{N_CONSUMERS} consumers", str(MANY), small_us, large_us, 1.5)
        progress("")


def verdict(results: list[Result], base: Result | None) -> Iterator[str]:
    """Yield the goals, and whether they were met."""
    goals = [
        (STREAMLAB, BASE, "goal: at least 2"),
        (COROUTINES, BASE, "at the least 0.5"),
        (COROUTINES, BOOKS, "which keeps of an entry what Lab keeps"),
        (COROUTINES, CIW, "goal: above 1"),
        (COROUTINES, FAKEREDIS, "goal: above 15"),
    ]
    for name, rival, goal in goals:
        ours = find(results, name)
        times = None if ours is None else ratio(ours, base if rival == BASE else find(results, rival))
        if times is not None:
            yield f"{name}: {times:.2f} × {rival} ({goal})"


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argument_parser("Simulate one producer and four consumers, and compare.", n_entries=20_000)
    parser.add_argument("--random", action="store_true", help="M/M/4 instead of constant times")
    parser.add_argument(
        "--no-growth",
        action="store_true",
        help="leave out the long run, which shows that an entry's cost does not grow",
    )
    parser.add_argument("--large", type=int, default=LARGE, metavar="N", help="entries in the long run (%(default)s)")
    options = parser.parse_args(arguments)
    logging.getLogger("fakeredis").setLevel(logging.WARNING)

    load = Load(is_random=options.random)
    candidates = available(rivals(load), options.only)
    if not candidates:
        parser.error(f"no rival's name holds {' or '.join(options.only)}")
    results = measure(candidates, options.entries, options.repeats, options.seconds)
    base = find(results, BASE)
    growth: list[Growth] = []
    if not options.no_growth:
        n_small, repeats = min(SMALL, options.large), min(options.repeats, 3)
        growth = [*measure_growth(options.random, n_small, options.large, repeats)]
    if options.json:
        facts: dict[str, object] = {
            "load": "random" if options.random else "constant",
            "growth": [{**dataclasses.asdict(each), "ratio": each.ratio} for each in growth],
        }
        print(as_json(results, base, **facts))
        return 0
    print(f"{options.entries:,} entries, {options.repeats} interleaved repetitions, medians")
    print(f"{'M/M/4' if options.random else 'constant arrivals and service'}; {machine()}\n")
    print(table(results, base, BASE))
    print()
    for line in verdict(results, base):
        print(line)
    for each in growth:
        print(each)
    return 0


if __name__ == "__main__":
    sys.exit(main())
