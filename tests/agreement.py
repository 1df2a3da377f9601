"""Run scenarios live beside busy loops, and compare each run with the simulation, and with wrong ones.

    python -m tests.agreement --runs 20 --load 2                # one-to-many beside two busy loops
    python -m tests.agreement --scenario one-to-one many-to-many --wrong service

Prints how often each simulation agreed, differed, or was inconclusive. Exit status 1 if a right one differed, or a
wrong one was not found.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from streamlab.actors.events import ADDED
from streamlab.lab.lab import Lab
from streamlab.lab.overheads import Overheads
from streamlab.results.comparison import Agreement, Comparison
from streamlab.results.events import EventLog
from streamlab.results.run import Run

#: How much longer a wrong simulation serves, and which part of all entries it gives to another consumer.
_LONGER, _MOVED = 1.2, 0.05


def right(live: Run) -> Run:
    """Simulate what was run live, as `run_both` does."""
    return Lab(live.scenario, overheads=Overheads.of(live)).run()


def slower(live: Run) -> Run:
    """Simulate it with service times that are a fifth too long."""
    consumers = [(c.name, c.service.replace(mean=c.service.mean * _LONGER)) for c in live.scenario.consumers]
    scenario = live.scenario
    for name, service in consumers:
        scenario = scenario.with_consumer(name, service=service)
    return Lab(scenario, overheads=Overheads.of(live)).run()


def uneven(live: Run) -> Run:
    """Simulate it, and give 5 % of all entries to the first consumer that were another's."""
    run = right(live)
    first, *_, last = run.consumers
    others = [entry_id for entry_id, delivery in run.ledger.last.items() if delivery.consumer == last]
    moved = set(others[: round(_MOVED * run.added)])
    events = (
        event._replace(actor=first) if event.id in moved and event.kind != ADDED else event for event in run.events
    )
    return Run(run.scenario, run.engine, run.server, EventLog.of(events), run.final)


SIMULATIONS: dict[str, Callable[[Run], Run]] = {"right": right, "service": slower, "shares": uneven}


@contextlib.contextmanager
def busy_loops(n: int) -> Iterator[None]:
    """Keep so many processors busy."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


class Trial:
    """Live runs of a scenario beside busy loops, and what comes of comparing each with simulations of it."""

    def __init__(self, name: str, load: int, which: Sequence[str]) -> None:
        self.name, self.load = name, load
        self.found: dict[str, Counter[Agreement]] = {simulation: Counter() for simulation in which}
        #: Of each run, the part for which the machine kept a worker waiting, and its load average then.
        self.waited: list[float] = []
        self.averages: list[float] = []
        #: The comparisons that did not come out as they should.
        self.odd: list[str] = []

    def run(self) -> None:
        """Run it once more."""
        with busy_loops(self.load):
            live = Lab(self.name, engine="live").run()
            self.averages.append(os.getloadavg()[0])
        self.waited.append(max(wait.total for wait in live.waits.values()) / live.duration)
        for which, count in self.found.items():
            if which == "shares" and len(live.consumers) == 1:
                continue
            comparison = Comparison(SIMULATIONS[which](live), live)
            count[comparison.verdict] += 1
            if comparison.verdict != _right_verdict(which):
                self.odd.append(f"{which}:\n{comparison}")

    @property
    def is_fine(self) -> bool:
        """Whether no right simulation was said to differ, and each wrong one was."""
        wrong = [count for which, count in self.found.items() if which != "right"]
        return not (self.found["right"][Agreement.DIFFERS] or any(set(count) - {Agreement.DIFFERS} for count in wrong))

    def __str__(self) -> str:
        if not self.waited:
            return f"{self.name}: no run"
        lines = [
            f"{self.name}, {len(self.waited)} runs beside {self.load} busy loops (load average "
            f"{min(self.averages):.0f} to {max(self.averages):.0f} on {os.cpu_count()} processors); a worker was kept "
            f"waiting for up to {min(self.waited):.0%} to {max(self.waited):.0%} of the run"
        ]
        for which, count in self.found.items():
            lines.append(f"  {which:<8}" + ", ".join(f"{verdict} {count[verdict]}" for verdict in Agreement))
        return "\n".join(lines)


def _right_verdict(which: str) -> Agreement:
    return Agreement.AGREES if which == "right" else Agreement.DIFFERS


def main() -> int:
    """Do as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", nargs="+", default=["one-to-many"])
    parser.add_argument("--runs", type=int, default=20, help="live runs of each scenario (20)")
    parser.add_argument("--load", type=int, default=0, help="busy loops beside them (0)")
    parser.add_argument("--wrong", nargs="*", choices=["service", "shares"], default=["service", "shares"])
    arguments = parser.parse_args()
    is_fine = True
    for name in arguments.scenario:
        trial = Trial(name, arguments.load, ["right", *arguments.wrong])
        try:
            while len(trial.waited) < arguments.runs:
                trial.run()
                print(f"{len(trial.waited)}: {dict(trial.found)}", file=sys.stderr, flush=True)
        finally:  # also when it is interrupted
            print(*trial.odd, trial, sep="\n", flush=True)
        is_fine &= trial.is_fine
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
