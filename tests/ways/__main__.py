"""Run many random scenarios in both ways: ``python -m tests.ways --scenarios 2000``."""

from __future__ import annotations

import argparse
import sys
import time

from streamlab.scenario import to_toml

from .draw import difference, draw


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenarios", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the first scenario")
    options = parser.parse_args()
    began = time.process_time()
    for seed in range(options.seed, options.seed + options.scenarios):
        found = difference(scenario := draw(seed))
        if found:
            print(f"seed {seed}, not the same: {found}\nits scenario:\n{to_toml(scenario)}")
            return 1
    print(f"{options.scenarios} scenarios from seed {options.seed} identical, {time.process_time() - began:.0f} s")
    return 0


sys.exit(main())
