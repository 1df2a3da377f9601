"""What the whole command takes: processor time beside that of its simulation, and memory.

    python benchmarks/command.py [--entries N …] [--no-departures] [--json]
    python benchmarks/command.py --sweep [--seeds N] [--repeats N] [--json]

Runs ``streamlab run departures`` and ``streamlab run one-to-many --entries N``, each in a process of its own, and tells
how much processor time the whole of it took, how much of that the simulation, and how much memory it had at its peak.
The ratio hardly depends on what else the machine does. At the end, what an entry costs in the last against the first.

With ``--sweep``: how long a sweep of 320 runs takes over two processes, against one. These are seconds of the wall's
clock, so that the machine has to have two processors with nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import median
from typing import NamedTuple

from harness import machine, progress

#: Runs the command, and writes what its simulation took on standard error.
_CHILD = """
import sys, time
from streamlab.__main__ import main
from streamlab.lab.lab import Lab
run = Lab.run
def timed(self, *args):
    began = time.process_time()
    found = run(self, *args)
    print(time.process_time() - began, file=sys.stderr)
    return found
Lab.run = timed
sys.exit(main())
"""


class Cost(NamedTuple):
    """Of one command: entries, seconds of processor time, those of its simulation, and the most memory (MB)."""

    command: str
    n_entries: int
    seconds: float
    simulation: float
    megabytes: float

    @property
    def ratio(self) -> float:
        return self.seconds / self.simulation


def cost_of(*arguments: str) -> Cost:
    """Run a command, and return what it took."""
    progress(f"streamlab {' '.join(arguments)}")
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        told, simulation = child.stdout.read(), child.stderr.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"streamlab {' '.join(arguments)} failed: {simulation}")
    seconds = used.ru_utime + used.ru_stime
    n_entries = json.loads(told)["processed"]
    return Cost(" ".join(arguments), n_entries, seconds, float(simulation), used.ru_maxrss / 1024)


def seconds_of_sweep(jobs: int, n_seeds: int, n_entries: int) -> tuple[float, str]:
    """Sweep over sixteen numbers of consumers; return how long that took, and what it told."""
    progress(f"a sweep over {jobs} {'process' if jobs == 1 else 'processes'}")
    over = ("--over", "consumers=1..16", "--seeds", str(n_seeds), "--entries", str(n_entries))
    began = time.perf_counter()
    told = subprocess.run(
        [sys.executable, "-m", "streamlab", "sweep", "one-to-many", *over, "--jobs", str(jobs), "--json"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    return time.perf_counter() - began, told


def sweeps(n_seeds: int, n_entries: int, repeats: int, as_json: bool) -> None:
    """Measure sweeps over one process and over two by turns, and tell what came of it."""
    pairs = [tuple(seconds_of_sweep(jobs, n_seeds, n_entries) for jobs in (1, 2)) for _ in range(repeats)]
    progress("")
    if any(one[1] != two[1] for one, two in pairs):
        raise SystemExit("two processes came to other numbers than one")
    one, two = (median(seconds for seconds, _ in column) for column in zip(*pairs, strict=True))
    if as_json:
        print(
            json.dumps(
                {"machine": machine(), "runs": 16 * n_seeds, "one": one, "two": two, "ratio": two / one}, indent=2
            )
        )
        return
    print(
        f"{16 * n_seeds} runs: {one:.1f} s over one process, {two:.1f} s over two: {two / one:.2f} (goal: at most 0.6)"
    )
    print(machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[10_000, 200_000, 1_000_000], metavar="N")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--no-departures", action="store_true", help="leave that one out")
    parser.add_argument("--sweep", action="store_true", help="measure a sweep over one process and over two instead")
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="of a sweep: sixteen times as many runs")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="of a sweep")
    options = parser.parse_args()
    if options.sweep:
        sweeps(options.seeds, options.entries[0], options.repeats, options.json)
        return
    costs = [cost_of("run", "one-to-many", "--entries", str(n)) for n in options.entries]
    growth = (costs[-1].simulation / costs[-1].n_entries) / (costs[0].simulation / costs[0].n_entries)
    if not options.no_departures:
        costs.append(cost_of("run", "departures"))
    progress("")
    if options.json:
        rows = [cost._asdict() | {"ratio": cost.ratio} for cost in costs]
        print(json.dumps({"machine": machine(), "growth": growth, "results": rows}, indent=2))
        return
    print("| command | entries | processor time (s) | of that, simulation (s) | × simulation | memory, at most (MB) |")
    print("|---|--:|--:|--:|--:|--:|")
    for c in costs:
        print(
            f"| `streamlab {c.command}` | {c.n_entries:,} | {c.seconds:.1f} | {c.simulation:.1f} | {c.ratio:.2f} | "
            f"{c.megabytes:.0f} |"
        )
    print(f"\nAn entry costs {growth:.2f} times as much in the last of `--entries` as in the first. {machine()}")


if __name__ == "__main__":
    main()
