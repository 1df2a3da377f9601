"""What shards cost: one stream in 1, 2 and 4 shards on a real Redis and on a cluster, and in 1 to 64 in the simulation.

    python benchmarks/shards.py [--entries N] [--consumers N] [--repeats N] [--rate R] [--seconds S]
                                [--no-live | --no-simulated] [--json]

Live, four consumers are given more than they can do, each entry taking them a millisecond: entries per second, on one
server and on a cluster of three, and what bounds that. Simulated, a crowd of consumers shares the shards, most of them
having none: seconds of processor time for an entry, once all have their shares, compared with one shard. Exit status 1
if that is not flat within 1.3 times.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness import machine, progress

from streamlab import Arrivals, Lab, Producer, Recovery, Scenario, Service
from streamlab.lab.simulated import SimulatedEngine
from streamlab.scenario import consumers
from streamlab.servers.cluster import PrivateCluster
from streamlab.servers.private import PrivateServer
from streamlab.servers.together import ask

LIVE, SIMULATED = (1, 2, 4), (1, 4, 16, 64)
#: Seconds after which all consumers of a simulation have their shares.
SETTLED = 6.0
#: By how much the costliest may exceed one shard.
FLAT = 1.3
#: From when on a processor counts as busy all the time.
FULL = 0.85


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


@dataclass(frozen=True)
class Found:
    """What came of a live run: entries a second, and how many processors its servers and workers kept busy."""

    throughput: float
    busiest_server: float
    servers: float
    workers: float

    @property
    def bound(self) -> str:
        """What would have to be faster."""
        n_processors = len(os.sched_getaffinity(0))
        if self.busiest_server > FULL:
            return "a server, which has one thread"
        if self.servers + self.workers > FULL * n_processors:
            return f"the machine's {n_processors} processors"
        return "waiting: each shard for its one consumer, each process for replies"


def live(n: int, rate: float, seconds: float, url: str, servers: Sequence[PrivateServer]) -> Found:
    """Run so many shards on the servers of a URL. Starting and stopping workers counts as their work, too."""
    servers_before, workers_before, began = list(map(used, servers)), used_by_children(), time.monotonic()
    run = Lab(of_shards(n, 4, rate, 0.001, duration=seconds), engine="live", redis_url=url).run()
    if run.processed != run.added or run.inversions:
        raise AssertionError(f"{run.processed} of {run.added} entries, {len(run.inversions)} out of order")
    wall = time.monotonic() - began
    busy = [used(server) - before for server, before in zip(servers, servers_before, strict=True)]
    return Found(
        run.throughput, max(busy) / run.duration, sum(busy) / wall, (used_by_children() - workers_before) / wall
    )


def used(server: PrivateServer) -> float:
    """Return the seconds of processor time that a server has used (``INFO cpu``)."""
    told = ask(server, "INFO", "cpu")
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


def used_by_children() -> float:
    """Return the seconds of processor time that processes have used which this one started, and which have ended."""
    told = os.times()
    return told.children_user + told.children_system


def all_live(rate: float, seconds: float) -> dict[str, dict[int, Found]]:
    """Return what came of each number of shards, on one server and on a cluster."""
    found: dict[str, dict[int, Found]] = {"one server": {}, "a cluster": {}}
    with PrivateServer() as server, PrivateCluster(n_replicas=0) as cluster:
        for n in LIVE:
            progress(f"live, {n} shards")
            found["one server"][n] = live(n, rate, seconds, server.url, [server])
            found["a cluster"][n] = live(n, rate, seconds, cluster.url, cluster.servers)
    return found


def main() -> int:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=20_000, help="entries of each simulation")
    parser.add_argument("--consumers", type=int, default=1000, help="consumers of each simulation")
    parser.add_argument("--repeats", type=int, default=3, help="simulations of each size, of which the median counts")
    parser.add_argument("--rate", type=float, default=3000.0, help="entries a second of the live runs")
    parser.add_argument("--seconds", type=float, default=4.0, help="for how long entries are added in the live runs")
    parser.add_argument("--no-simulated", action="store_true", help="leave out the simulations")
    parser.add_argument("--no-live", action="store_true", help="leave out what needs a redis-server")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    asked = parser.parse_args()
    costs: dict[int, list[float]] = {n: [] for n in SIMULATED}
    for _ in range(0 if asked.no_simulated else asked.repeats):
        for n in SIMULATED:  # one after the other: what slows the machine down meanwhile befalls all alike
            progress(f"simulated, {n} shards")
            costs[n].append(simulated(n, asked.consumers, asked.entries))
    medians = {n: statistics.median(found) for n, found in costs.items() if found}
    found = {} if asked.no_live else all_live(asked.rate, asked.seconds)
    growth = max(medians.values()) / medians[1] if medians else 1.0
    if asked.json:
        rows = {
            where: {n: asdict(each) | {"bound": each.bound} for n, each in of.items()} for where, of in found.items()
        }
        print(json.dumps({"simulated": medians, "growth": growth, "live": rows, "machine": machine()}))
    else:
        for n, cost in medians.items():
            print(f"simulated  {n:3d} shards  {cost:7.1f} µs an entry  {cost / medians[1]:5.2f} times")
        for where, of in found.items():
            for n, each in of.items():
                print(f"live on {where:10}  {n} shards  {each.throughput:5.0f} entries/s  bound by {each.bound}")
                print(f"    busy processors: {each.servers:.2f} by servers, {each.workers:.2f} by workers")
    return 0 if growth <= FLAT else 1


if __name__ == "__main__":
    sys.exit(main())
