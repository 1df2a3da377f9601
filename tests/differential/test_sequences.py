"""Random sequences of commands: the model's replies are the server's, error texts included.

More of them: ``STREAMLAB_SEQUENCES=20000 pytest tests/differential``.
"""

from __future__ import annotations

import os
from functools import partial
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from .compare import N_READERS, Pair, Step, pipelined, random_steps, run, shrink
from .embedded import WAYS, EmbeddedPair
from .generate import Args, Generator
from .wire import Server

pytestmark = pytest.mark.redis

N_SEQUENCES = int(os.environ.get("STREAMLAB_SEQUENCES", "200"))

randoms = st.randoms(use_true_random=False)
readers = st.integers(0, N_READERS - 1)


class Commands(RuleBasedStateMachine):
    """Each rule is a command; each makes its own arguments, mostly sensible ones."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair(self.server)
        self.make = Generator(Random(0), self.server.as_redis)

    def teardown(self) -> None:
        self.pair.close()

    def do(self, rng: Random, *makers: str) -> None:
        """Make a command of each kind, and execute it, or all as a transaction."""
        self.make.rng = rng
        commands: list[Args] = []
        for maker in makers:
            commands.append(getattr(self.make, maker)())
            self.make.imagine(commands[-1])
        self.pair.do(Step(tuple(map(tuple, commands))))

    @rule(rng=randoms)
    def xadd(self, rng: Random) -> None:
        self.do(rng, "xadd")

    @rule(rng=randoms)
    def xgroup(self, rng: Random) -> None:
        self.do(rng, "xgroup")

    @rule(rng=randoms)
    def xreadgroup(self, rng: Random) -> None:
        self.do(rng, "xreadgroup")

    @rule(rng=randoms)
    def xread(self, rng: Random) -> None:
        self.do(rng, "xread")

    @rule(rng=randoms)
    def xack(self, rng: Random) -> None:
        self.do(rng, "xack")

    @rule(rng=randoms)
    def xpending(self, rng: Random) -> None:
        self.do(rng, "xpending")

    @rule(rng=randoms)
    def xclaim(self, rng: Random) -> None:
        self.do(rng, "xclaim")

    @rule(rng=randoms)
    def xautoclaim(self, rng: Random) -> None:
        self.do(rng, "xautoclaim")

    @rule(rng=randoms)
    def xinfo(self, rng: Random) -> None:
        self.do(rng, "xinfo")

    @rule(rng=randoms)
    def xdel(self, rng: Random) -> None:
        self.do(rng, "xdel")

    @rule(rng=randoms)
    def xtrim(self, rng: Random) -> None:
        self.do(rng, "xtrim")

    @rule(rng=randoms)
    def xrange(self, rng: Random) -> None:
        self.do(rng, "xrange")

    @rule(rng=randoms)
    def xlen(self, rng: Random) -> None:
        self.do(rng, "xlen")

    @rule(rng=randoms)
    def xsetid(self, rng: Random) -> None:
        self.do(rng, "xsetid")

    @rule(rng=randoms)
    def xackdel(self, rng: Random) -> None:
        self.do(rng, "xackdel")

    @rule(rng=randoms)
    def xdelex(self, rng: Random) -> None:
        self.do(rng, "xdelex")

    @rule(rng=randoms)
    def keys(self, rng: Random) -> None:
        self.do(rng, "keys")

    @rule(rng=randoms)
    def anything(self, rng: Random) -> None:
        self.do(rng, "command")

    @rule(rng=randoms)
    def transaction(self, rng: Random) -> None:
        self.do(rng, "command", "command", "command")

    @rule(rng=randoms, reader=readers)
    def blocking_read(self, rng: Random, reader: int) -> None:
        self.make.rng = rng
        self.pair.do(Step((tuple(self.make.blocking()),), reader))


def test_state_machine(real_server: Server) -> None:
    """Whatever commands Hypothesis thinks of, model and server give the same replies."""
    machine = type("Commands", (Commands,), {"server": real_server})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=N_SEQUENCES,
            stateful_step_count=40,
            derandomize=True,  # the same in every run; other ones are what the module is for
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_random_sequences(real_server: Server) -> None:
    """Random sequences, with runs of entries that fill several nodes, give the same replies."""
    pair = Pair(real_server)
    for seed in range(N_SEQUENCES):
        steps = random_steps(Random(seed), real_server.as_redis)
        divergence = run(pair, steps)
        if divergence is not None:
            done = pair.done
            pair.close()
            raise shrink(lambda: Pair(real_server), done)[1]
    pair.close()


def test_random_sequences_on_the_embedded_server(real_server: Server) -> None:
    """So does the embedded server: through redis-py, with threads and asyncio, and over its socket byte for byte.

    By RESP2 and 3, with and without pipelines.
    """
    for first, way in enumerate(WAYS):
        pair = EmbeddedPair(real_server, way)
        for seed in range(first, N_SEQUENCES * 3 // 2, len(WAYS)):
            steps = random_steps(Random(seed), real_server.as_redis)
            divergence = run(pair, pipelined(steps) if way.is_pipelined else steps)
            if divergence is not None:
                done = pair.done
                pair.close()
                raise shrink(partial(EmbeddedPair, real_server, way), done)[1]
        pair.close()
