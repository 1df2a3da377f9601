"""Draw a scenario with a right recovery, and what goes wrong in it, from a seed."""

from __future__ import annotations

import dataclasses
from random import Random
from typing import Any

import attrs

from streamlab.actors import Recovery
from streamlab.scenario import Arrivals, Consumer, Producer, Scenario, Service
from streamlab.scenario.action import Action
from streamlab.scenario.actions import (
    CrashBeforeAck,
    CrashBeforeEffect,
    GroupDestroyed,
    Kill,
    LostReply,
    Poison,
    StreamDeleted,
)
from streamlab.scenario.random_faults import random_faults

ENTRIES = 500
STRATEGIES = ("claim", "autoclaim", "read-claim", "nack", "restart")


def draw(seed: int) -> Scenario:
    """Return the scenario of a seed: 500 entries, 4 consumers, one to eight faults."""
    rng = Random(f"schedule {seed}")
    scenario = _hoarder(rng, seed) if rng.random() < 0.1 else _usual(rng, seed)
    return _with_poison_precautions(rng, scenario)


def _usual(rng: Random, seed: int) -> Scenario:
    count = rng.choice((1, 1, 10))
    kind: Any = rng.choice(("constant", "exponential"))
    service = Service(kind, rng.uniform(0.005, 0.011))
    names = [f"C{i}" for i in range(1, 5)]
    rate = rng.uniform(150, 350)
    producers = _producers(rng, rate)
    duration = ENTRIES / rate
    faults = random_faults(
        rng, consumers=names, producers=[producer.name for producer in producers], duration=duration, entries=ENTRIES
    )
    strategy = rng.choice(STRATEGIES)
    faults += _more(rng, names, duration, strategy)
    ack: Any = rng.choice(("each", "batch"))
    return Scenario(
        name=f"schedule-{seed}",
        producers=producers,
        consumers=tuple(Consumer(name, service, count, ack, block=1.0) for name in names),
        duration=None,
        entries=ENTRIES,
        seed=seed,
        drain=10.0,
        redis_version="8.6.0" if strategy == "read-claim" else rng.choice(("7.0.15", "7.2.0")),
        sink=rng.choice(("idempotent", "idempotent", "naive", "none")),
        recovery=_recovery(rng, strategy, service, count),
        faults=faults,
    )


def _producers(rng: Random, rate: float) -> tuple[Producer, ...]:
    n = rng.choice((1, 1, 2))
    kind: Any = rng.choice(("constant", "poisson", "bursts"))
    return tuple(Producer(f"P{i}", Arrivals(kind, rate=rate / n)) for i in range(1, n + 1))


def _recovery(rng: Random, strategy: str, service: Service, count: int) -> Recovery:
    # Whatever a consumer holds at once must be done within min_idle, or be renewed.
    longest = service.mean * (20 + 3 * count if service.kind == "exponential" else 1.2 * count)
    heartbeat = rng.random() < 0.5
    min_idle = rng.uniform(0.15, 0.3) if heartbeat else longest + rng.uniform(0.05, 0.2)
    return Recovery(
        strategy,  # type: ignore[arg-type]
        min_idle=round(min_idle, 3),
        heartbeat=round(min_idle / rng.uniform(2.1, 4), 3) if heartbeat else None,
        max_deliveries=rng.choice((None, None, 4, 6)),
        fenced=rng.random() < 0.4,
        restart_after=round(rng.uniform(0, 0.5), 3) if strategy == "restart" or rng.random() < 0.4 else None,
        # Some are shorter than min_idle: a dead consumer is looked at while it still holds something.
        remove_after=round(min_idle * rng.uniform(0.6, 2), 3) if rng.random() < 0.35 else None,
    )


def _more(rng: Random, names: list[str], duration: float, strategy: str) -> tuple[Action[Any], ...]:
    """Draw what only this strategy may stumble over, and a group that is destroyed more than once."""
    more: list[Action[Any]] = []
    if rng.random() < 0.2:
        command = "XCLAIM" if strategy == "claim" else "XAUTOCLAIM"
        command = rng.choice((command, "EVALSHA"))
        more.append(LostReply(rng.choice(names), command, rng.randint(1, 12)))
    if rng.random() < 0.1:
        more += [GroupDestroyed(round(rng.uniform(0.2, 1) * duration, 3)) for _ in range(2)]
    return tuple(more)


def _hoarder(rng: Random, seed: int) -> Scenario:
    """Draw a consumer that prefetches so much that others look at pages of what it holds, and find nothing."""
    slow = Consumer("C1", Service("constant", 0.02), count=150, block=1.0)
    quick = Consumer("C2", Service("constant", 0.008), block=1.0)
    victims = [quick.replace(name=f"C{i}") for i in range(2, 5)]
    nth = rng.randint(60, 130)
    crash: Action[Any] = rng.choice(
        (Kill("C2", round(rng.uniform(1.05, 1.6), 3)), CrashBeforeEffect("C2", nth), CrashBeforeAck("C2", nth))
    )
    strategy: Any = rng.choice(("claim", "autoclaim", "autoclaim", "nack"))
    return Scenario(
        name=f"schedule-{seed}",
        producers=(Producer("P1", Arrivals("bursts", rate=250, burst=250)),),
        consumers=(slow, *victims),
        duration=None,
        entries=ENTRIES,
        seed=seed,
        drain=10.0,
        sink="idempotent",
        recovery=Recovery(strategy, min_idle=0.2, heartbeat=0.08, fenced=rng.random() < 0.5),
        faults=(crash,),
    )


def _with_poison_precautions(rng: Random, scenario: Scenario) -> Scenario:
    """See to it that somebody is left, that poison comes to an end, and that some of it cannot be buried."""
    recovery, faults = scenario.recovery, scenario.faults
    poisons = [fault for fault in faults if isinstance(fault, Poison)]
    if poisons and recovery.max_deliveries is None:
        recovery = dataclasses.replace(recovery, max_deliveries=rng.randint(3, 5))
    n_deaths = sum(isinstance(f, Kill | CrashBeforeEffect | CrashBeforeAck) for f in faults)
    # With its group, an entry's delivery count goes too: poison begins to kill again.
    n_resets = sum(isinstance(fault, GroupDestroyed | StreamDeleted) for fault in faults)
    n_deaths += len(poisons) * (recovery.max_deliveries or 0) * (1 + n_resets)
    if n_deaths >= len(scenario.consumers) and recovery.restart_after is None:
        recovery = dataclasses.replace(recovery, restart_after=round(rng.uniform(0.02, 0.3), 3))
    if poisons and rng.random() < 0.4:
        # A key of another type: what must not be processed cannot be put anywhere else.
        recovery = dataclasses.replace(recovery, dead_letter=scenario.ledger_key_of(scenario.group))
        late = tuple(attrs.evolve(f, nth=max(f.nth, 40)) if isinstance(f, Poison) else f for f in faults)
        return scenario.replace(sink="idempotent", recovery=recovery, faults=late)
    return scenario.replace(recovery=recovery)
