"""What shards cost: one stream in 1, 2 and 4 shards on a real Redis, and in 1 to 64 shards in the simulation.

    python benchmarks/shards.py [--entries N] [--consumers N] [--repeats N] [--rate R] [--no-live] [--json]

Live, four consumers are given more than they can do, each entry taking them a millisecond: entries per second, and the
processor time of one. Simulated, a crowd of consumers shares the shards, most of them having none: seconds of processor
time for an entry, once all have their shares, compared with one shard. Exit status 1 if that is not flat
within 1.3 times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import Any

from harness import machine, progress

from streamlab import Arrivals, Lab, Producer, Recovery, Scenario, Service
from streamlab.lab.simulated import SimulatedEngine
from streamlab.scenario import consumers

LIVE, SIMULATED = (1, 2, 4), (1, 4, 16, 64)
#: Seconds after which all consumers of a simulation have their shares.
SETTLED = 6.0
#: By how much the costliest may exceed one shard.
FLAT = 1.3


def of_shards(n: int, n_consumers: int, rate: float, service: float, start: float = 0.0, **limits: Any) -> Scenario:
    """Return a scenario with so many shards; leases are long, so that a crowd has little to say to each other."""
    return Scenario(
        name=f"{n} shards",
        producers=(Producer("P1", Arrivals("constant", rate=rate, start=start)),),
        consumers=consumers(n_consumers, Service("constant", mean=service)),
        recovery=Recovery("autoclaim", min_idle=5.0),
        shards=n,
        keys=10_000,
        **limits,
    )


def simulated(n: int, n_consumers: int, n_entries: int) -> float:
    """Return the microseconds of processor time for an entry; one consumer could do all of them."""
    scenario = of_shards(n, n_consumers, 2000.0, 0.0001, start=SETTLED, entries=n_entries, duration=None)
    engine = SimulatedEngine(scenario)
    engine.run_until(SETTLED - 0.001)
    began = time.process_time()
    run = engine.run()
    seconds = time.process_time() - began
    engine.close()
    if run.processed != n_entries or run.inversions:
        raise AssertionError(f"{run.processed} of {n_entries} entries, {len(run.inversions)} out of order")
    return seconds / n_entries * 1e6


def live(n: int, rate: float) -> float:
    """Return how many entries a second are processed."""
    run = Lab(of_shards(n, 4, rate, 0.001, duration=4.0), engine="live").run()
    if run.processed != run.added or run.inversions:
        raise AssertionError(f"{run.processed} of {run.added} entries, {len(run.inversions)} out of order")
    return run.throughput


def main() -> int:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=20_000, help="entries of each simulation")
    parser.add_argument("--consumers", type=int, default=1000, help="consumers of each simulation")
    parser.add_argument("--repeats", type=int, default=3, help="simulations of each size, of which the median counts")
    parser.add_argument("--rate", type=float, default=3000.0, help="entries a second of the live runs")
    parser.add_argument("--no-live", action="store_true", help="leave out what needs a redis-server")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    asked = parser.parse_args()
    costs: dict[int, list[float]] = {n: [] for n in SIMULATED}
    for _ in range(asked.repeats):
        for n in SIMULATED:  # one after the other: what slows the machine down meanwhile befalls all alike
            progress(f"simulated, {n} shards")
            costs[n].append(simulated(n, asked.consumers, asked.entries))
    medians = {n: statistics.median(found) for n, found in costs.items()}
    throughput = {n: live(n, asked.rate) for n in (() if asked.no_live else LIVE)}
    growth = max(medians.values()) / medians[1]
    if asked.json:
        print(json.dumps({"simulated": medians, "growth": growth, "live": throughput, "machine": machine()}))
    else:
        for n, cost in medians.items():
            print(f"simulated  {n:3d} shards  {cost:7.1f} µs an entry  {cost / medians[1]:5.2f} times")
        for n, rate in throughput.items():
            print(f"live       {n:3d} shards  {rate:7.0f} entries/s")
    return 0 if growth <= FLAT else 1


if __name__ == "__main__":
    sys.exit(main())
