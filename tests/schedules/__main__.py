"""Run many random fault schedules: ``python -m tests.schedules --schedules 10000``."""

from __future__ import annotations

import argparse
import sys
import time

from streamlab.scenario import to_toml

from .draw import draw
from .trial import shrunk, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first schedule")
    parser.add_argument("--keep-going", type=int, default=1, help="failures to report")
    parser.add_argument("--as-drawn", action="store_true", help="do not make failures smaller")
    options = parser.parse_args()
    n_found, n_faults, n = 0, 0, 0
    started = time.monotonic()
    for n in range(1, options.schedules + 1):
        seed = options.seed + n - 1
        scenario = draw(seed)
        n_faults += len(scenario.faults)
        found = wrong(scenario)
        if found:
            n_found += 1
            print(f"seed {seed}: {', '.join(verdict.rule for verdict in found)}")
            if not options.as_drawn:
                scenario = shrunk(scenario)
                found = wrong(scenario)
            print(found[0])
            print(f"its scenario, for `streamlab run FILE.toml`:\n{to_toml(scenario)}", flush=True)
            if n_found >= options.keep_going:
                break
        if n % 1000 == 0:
            print(f"{n} schedules, {n_faults} faults, {n_found} broken", flush=True)
    seconds = time.monotonic() - started
    print(f"{n} schedules from seed {options.seed}, {n_faults} faults, {n_found} broken, {seconds:.0f} s")
    return 1 if n_found else 0


sys.exit(main())
