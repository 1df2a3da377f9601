"""Compare strategies of recovery: the same 20 random schedules of faults under each, simulated.

    python benchmarks/recovery.py           # a minute; writes the table into benchmarks/RECOVERY.md
    python benchmarks/recovery.py --check   # says whether the table there is what would be written

The same seed gives the same table, on every machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import sys
from pathlib import Path
from typing import Any

from harness import written

from streamlab import Arrivals, Lab, Producer, Run, Scenario, Service, compare, consumers, plots
from streamlab.actors import Recovery
from streamlab.lab.strategies import RecoveryTable, as_dicts
from streamlab.scenario.action import Action
from streamlab.scenario.actions import (
    CrashBeforeAck,
    CrashBeforeEffect,
    Disconnect,
    Fail,
    Kill,
    LostReply,
    Pause,
    Poison,
    Slow,
)
from streamlab.scenario.random_faults import Weights, random_faults

PAGE = Path(__file__).parent / "RECOVERY.md"
BEGIN, END = "<!-- table: python benchmarks/recovery.py -->", "<!-- end of table -->"
N_SCHEDULES = 20
N_ENTRIES = 500
RATE = 100.0  # entries a second
SERVICE = 0.02  # seconds for an entry
MIN_IDLE = 0.5  # seconds
LIMIT = 3  # deliveries, then an entry is given up

STRATEGIES = {
    "none": Recovery("none"),
    "restart": Recovery("restart"),
    "claim": Recovery("claim"),
    "autoclaim": Recovery("autoclaim"),
    "read-claim (Redis 8.4)": Recovery("read-claim"),
    "autoclaim + heartbeat": Recovery("autoclaim", heartbeat=MIN_IDLE / 5),
    "autoclaim + restart": Recovery("autoclaim", restart_after=0.5),
    "autoclaim + restart + heartbeat + fenced": Recovery(
        "autoclaim", restart_after=0.5, heartbeat=MIN_IDLE / 5, fenced=True
    ),
}
#: What befalls workers. What befalls the stream or the server hits all strategies alike.
WEIGHTS = Weights(
    {
        Kill: 4, Pause: 2, Slow: 1, Disconnect: 2, CrashBeforeEffect: 2, CrashBeforeAck: 3, Fail: 2,
        LostReply: 3, Poison: 1,
    }
)  # fmt: skip


def schedule(seed: int) -> tuple[Action[Any], ...]:
    """Return the faults of a schedule: one to five, drawn from its seed."""
    return random_faults(
        random.Random(f"recovery/{seed}"),
        consumers=["C1", "C2", "C3", "C4"],
        producers=["P1"],
        duration=N_ENTRIES / RATE,
        entries=N_ENTRIES,
        most=5,
        weights=WEIGHTS,
    )


def run_one(recovery: Recovery, seed: int) -> Run:
    """Run a schedule under a strategy."""
    scenario = Scenario(
        name="recovery",
        producers=(Producer("P1", Arrivals(rate=RATE)),),
        consumers=consumers(4, Service(mean=SERVICE)),
        duration=None,
        entries=N_ENTRIES,
        seed=seed,
        drain=30.0,
        sink="naive",
        redis_version="8.6.0" if recovery.strategy == "read-claim" else "7.0.15",
        recovery=dataclasses.replace(recovery, min_idle=MIN_IDLE, max_deliveries=LIMIT),
        faults=schedule(seed),
    )
    return Lab(scenario).run()


def table(n_schedules: int = N_SCHEDULES) -> RecoveryTable:
    """Run all schedules under all strategies."""
    return compare(
        {name: [run_one(recovery, seed) for seed in range(1, n_schedules + 1)] for name, recovery in STRATEGIES.items()}
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if it differs")
    parser.add_argument("--json", action="store_true", help="print JSON, and write nothing")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw it as well (PNG, SVG …)")
    args = parser.parse_args()
    result = table()
    if args.figure is not None:
        plots.strategies(result).savefig(args.figure, dpi=130)
    if args.json:
        print(json.dumps(as_dicts(result)))
        return 0
    new = written(PAGE, BEGIN, END, result.to_markdown())
    print(result)
    if args.check:
        return int(new != PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
