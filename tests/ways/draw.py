"""Draw scenarios in which nothing can go wrong, and tell whether both ways make the same run of one."""

from __future__ import annotations

from pathlib import Path
from random import Random

from streamlab import Arrivals, Consumer, Lab, Producer, Run, Scenario, Service

#: Ninety entries in seventy seconds, some of them at one moment.
ORDERS = Path(__file__).parent / "orders.csv"
VERSIONS = ("6.2.0", "7.0.15", "7.2.0", "7.4.1", "8.2.0", "8.6.0")


def draw(seed: int) -> Scenario:
    """Return the scenario of a seed: up to three producers, twenty consumers and three groups.

    Most times are multiples of one, so that much happens at one moment.
    """
    rng = Random(f"plain {seed}")
    unit = rng.choice([0.001, 0.0025, 0.01, 0.125])
    groups = rng.choice([[""], [""], [""], ["", "b"], ["z", "", "a"]])
    n = rng.choice([1, 2, 3, 4, 4, 8, 20])
    consumers = [_consumer(rng, unit).replace(name=f"C{i}", group=rng.choice(groups)) for i in range(1, n + 1)]
    if rng.random() < 0.4:  # all are alike
        consumers = [consumers[0].replace(name=each.name, group=each.group) for each in consumers]
    return Scenario(
        name=f"plain {seed}",
        producers=tuple(Producer(f"P{i}", _arrivals(rng, unit)) for i in range(1, rng.choice([1, 1, 2, 3]) + 1)),
        consumers=tuple(consumers),
        duration=rng.choice([None, None, _times(rng, unit, 100), rng.uniform(0.1, 3)]),
        entries=rng.choice([1, 7, 50, 200, 500]),
        seed=rng.randrange(10**6),
        drain=rng.choice([0, _times(rng, unit, 20), 1.0, 5.0, 60.0]),
        maxlen=rng.choice([None, None, 1, 50, 150]),
        redis_version=rng.choice(VERSIONS),
    )


def _times(rng: Random, unit: float, most: int) -> float:
    return rng.randint(1, most) * unit


def _arrivals(rng: Random, unit: float) -> Arrivals:
    start = rng.choice([0.0, 0.0, _times(rng, unit, 8), rng.random()])
    if rng.random() < 0.1:
        return Arrivals("replay", source=str(ORDERS), start=start, speed=rng.choice([1.0, 0.25 / unit, 10**5]))
    return Arrivals(
        rng.choice(["constant", "poisson", "bursts"]),
        rate=rng.choice([1 / _times(rng, unit, 4), rng.uniform(20, 800), 10 ** rng.uniform(0, 6)]),
        start=start,
        burst=rng.choice([1, 2, 3, 10, 40]),
    )


def _consumer(rng: Random, unit: float) -> Consumer:
    means = [0, _times(rng, unit, 1), _times(rng, unit, 8), _times(rng, unit, 30), rng.uniform(0, 0.05), 1e-16]
    return Consumer(
        service=Service(
            rng.choice(["constant", "exponential", "lognormal"]), mean=rng.choice(means), cv=rng.choice([0.1, 1, 3])
        ),
        count=rng.choice([1, 1, 1, 2, 3, 10, 200]),
        block=rng.choice([5.0, 0.0, 1.0, unit, _times(rng, unit, 5), 0.5, 0.0004, 2]),
    )


def told_of(run: Run) -> dict[str, object]:
    """Return all that a run tells, but how long it took."""
    return {
        "events": [repr([*event]) for event in run.events],
        "final states": repr((run.final, run.finals)),
        "commands": (run.n_commands, run.n_round_trips),
        "the rest": (run.scenario, run.engine, run.server, run.errors, run.waits),
    }


def difference(scenario: Scenario) -> str:
    """Return what is not the same if a scenario is run in both ways; "" if all is."""
    plain, other = Lab(scenario), Lab(scenario, way="coroutines")
    told, expected = told_of(plain.run()), told_of(other.run())
    told["end"], expected["end"] = plain.now, other.now
    different = [what for what in told if told[what] != expected[what]]
    return ", ".join(different)
