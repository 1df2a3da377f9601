"""Run many differential sequences: ``python -m tests.differential --sequences 20000``."""

from __future__ import annotations

import argparse
import sys
import time
from random import Random

from .compare import Pair, random_steps, run, shrink
from .wire import Server


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first sequence")
    parser.add_argument("--server", default="redis-server", help="its program")
    parser.add_argument("--keep-going", type=int, default=1, help="divergences to report")
    options = parser.parse_args()
    n_found = 0
    n_commands = 0
    started = time.monotonic()
    with Server(options.server) as server:
        name = f"{server.kind} {'.'.join(map(str, server.version))}"
        pair = Pair(server)
        for n in range(options.sequences):
            seed = options.seed + n
            steps = random_steps(Random(seed), server.as_redis)
            n_commands += sum(len(step.commands) for step in steps)
            divergence = run(pair, steps)
            if divergence is not None:
                pair.close()
                n_found += 1
                try:
                    _, divergence = shrink(server, pair.done)
                except AssertionError as error:
                    print(f"not reproduced: {error}")
                print(f"seed {seed}: {divergence}\n", flush=True)
                if n_found >= options.keep_going:
                    break
                pair = Pair(server)
            if (n + 1) % 1000 == 0:
                print(f"{name}: {n + 1} sequences, {n_commands} commands", flush=True)
        else:
            n += 1
        pair.close()
    seconds = time.monotonic() - started
    print(
        f"{name}: {n} sequences from seed {options.seed}, {n_commands} commands,"
        f" {n_found} divergences, {seconds:.0f} s"
    )
    return 1 if n_found else 0


sys.exit(main())
