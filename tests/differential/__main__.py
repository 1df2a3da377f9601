"""Run many differential sequences: ``python -m tests.differential --sequences 20000``.

With ``--embedded`` the embedded server is compared instead of the model, through redis-py: in one way
(``--embedded async-resp3-pipelined``), or in all of them in turn (``--embedded all``).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from random import Random

from .compare import Pair, pipelined, random_steps, run, shrink
from .embedded import WAYS, EmbeddedPair
from .wire import Server


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first sequence")
    parser.add_argument("--server", default="redis-server", help="its program")
    parser.add_argument("--keep-going", type=int, default=1, help="divergences to report")
    parser.add_argument("--embedded", choices=["all", *map(str, WAYS)], help="how to ask it")
    options = parser.parse_args()
    n_found = 0
    n_commands = 0
    started = time.monotonic()
    with Server(options.server) as server:
        name = f"{server.kind} {'.'.join(map(str, server.version))}"
        makers: list[Callable[[], Pair]] = [partial(Pair, server)]
        joins = [False]
        if options.embedded:
            ways = [way for way in WAYS if options.embedded in ("all", str(way))]
            makers = [partial(EmbeddedPair, server, way) for way in ways]
            joins = [way.is_pipelined for way in ways]
            name += f", embedded ({options.embedded})"
        pairs = [make() for make in makers]
        for n in range(options.sequences):
            seed = options.seed + n
            way = seed % len(pairs)
            steps = random_steps(Random(seed), server.as_redis)
            if joins[way]:
                steps = pipelined(steps)
            n_commands += sum(len(step.commands) for step in steps)
            divergence = run(pairs[way], steps)
            if divergence is not None:
                done = pairs[way].done
                n_found += 1
                try:
                    _, divergence = shrink(makers[way], done)
                except AssertionError as error:
                    print(f"not reproduced: {error}")
                print(f"seed {seed}: {divergence}\n", flush=True)
                if n_found >= options.keep_going:
                    break
                pairs[way].close()
                pairs[way] = makers[way]()  # a divergence leaves readers in any state
            pairs[way].reset()  # the next pair is one of the same server
            if (n + 1) % 1000 == 0:
                print(f"{name}: {n + 1} sequences, {n_commands} commands", flush=True)
        else:
            n += 1
        for pair in pairs:
            pair.close()
    seconds = time.monotonic() - started
    print(
        f"{name}: {n} sequences from seed {options.seed}, {n_commands} commands, {n_found} divergences, {seconds:.0f} s"
    )
    return 1 if n_found else 0


sys.exit(main())
