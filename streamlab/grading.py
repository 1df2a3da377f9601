"""Grade a recovery, or a consumer that a learner wrote, under random faults.

    checks.recovery(Recovery("autoclaim", min_idle=0.2))

    async def my_consume(client, stream, group, consumer, handler, stop): ...
    checks.recovery(my_consume)

A learner's own consumer need not report anything: its client and its handler are watched.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
import random
from collections.abc import Awaitable, Callable
from typing import Any

from streamlab.actors import Handler, Recovery
from streamlab.engines.simulated import SimulatedEngine
from streamlab.events import (
    ACKED,
    CLAIMED,
    DELIVERED,
    FAILED,
    PROCESSED,
    STARTED,
    STOPPED,
    VOID,
    Report,
)
from streamlab.faults import CrashBeforeAck, CrashBeforeEffect, Kill, Poison, Weights, random_faults
from streamlab.invariants import examine, summary
from streamlab.scenario import Arrivals, Scenario, Service, consumers, producers
from streamlab.verdict import Verdict
from streamlab.virtual_time import Deadlock, TimeStandsStill

#: ``await answer(client, stream, group, consumer, handler, stop)``
Answer = Callable[..., Awaitable[object]]

_DEADLY = (Kill, CrashBeforeEffect, CrashBeforeAck)
_CALLBACKS = 200_000


def graded() -> Scenario:
    """Return the scenario that answers are tried on: 200 entries, 4 consumers that take 8 ms each."""
    return Scenario(
        name="graded",
        producers=producers(1, Arrivals("constant", rate=200)),
        consumers=tuple(
            dataclasses.replace(consumer, block=1.0)
            for consumer in consumers(4, Service("constant", 0.008))
        ),
        duration=None,
        entries=200,
        drain=10.0,
        sink="idempotent",
        recovery=Recovery("autoclaim", min_idle=0.2),
    )


def recovery(
    answer: object,
    scenario: Scenario | None = None,
    *,
    schedules: int = 20,
    seed: int = 1,
    poison: bool = False,
) -> Verdict:
    """Check that a `Recovery`, or a consumer of one's own, breaks no invariant under random faults.

    Parameters
    ----------
    answer
        A `Recovery`; or ``async def answer(client, stream, group, consumer, handler, stop)``, which processes
        entries as `consume` does until the event `stop` is set. The scenario's own recovery says then
        whether dead workers are started again, and how fast entries should be taken over.
    scenario
        What it is tried on: `graded()` if not given. Somebody always survives.
    schedules, seed
        How many schedules of faults, and the seed of the first; a failure tells its own.
    poison
        Whether there are entries that kill whoever touches them.
    """
    if answer is ...:
        return Verdict(False, "There is no answer yet.", "replace the … in the cell above.")
    is_own = inspect.iscoroutinefunction(answer)
    if not isinstance(answer, Recovery) and not is_own:
        return Verdict(
            False, f"{answer!r} is no Recovery, and no async function.", 'Recovery("autoclaim")'
        )
    base = scenario or graded()
    if isinstance(answer, Recovery):
        base = dataclasses.replace(base, recovery=answer)
    for number in range(seed, seed + schedules):
        tried = with_random_faults(base, number, poison=poison)
        verdict = _try(tried, answer if is_own else None)  # type: ignore[arg-type]
        if not verdict:
            faults = "; ".join(map(str, tried.faults))
            return dataclasses.replace(
                verdict,
                words=f"With seed {number} ({faults}): {verdict.words} "
                f"To see it again: seed={number}, schedules=1.",
            )
    return Verdict(True, f"No invariant is broken in {schedules} random fault schedules.")


def with_random_faults(scenario: Scenario, seed: int, *, poison: bool = False) -> Scenario:
    """Return a scenario with faults from a seed, of which some consumer survives."""
    weights = Weights()
    if not poison:
        weights.of.pop(Poison)
    rng = random.Random(f"grading {seed}")
    rate = sum(producer.arrivals.rate for producer in scenario.producers)
    entries = scenario.entries or round(rate * (scenario.duration or 1.0))
    names = [consumer.name for consumer in scenario.consumers]
    faults = random_faults(
        rng,
        consumers=names,
        producers=[producer.name for producer in scenario.producers],
        duration=entries / rate,
        entries=entries,
        weights=weights,
    )
    survivor = rng.choice(names)
    restarts = scenario.recovery.restarts_after is not None
    kept = (f for f in faults if restarts or not isinstance(f, _DEADLY) or f.target != survivor)
    return dataclasses.replace(scenario, seed=seed, faults=tuple(kept))


def _try(scenario: Scenario, answer: Answer | None) -> Verdict:
    act = None if answer is None else _watched(answer)
    try:
        with contextlib.closing(
            SimulatedEngine(scenario, act=act, callbacks_per_instant=_CALLBACKS)
        ) as engine:
            run = engine.run()
    except (TimeStandsStill, Deadlock) as error:
        return Verdict(
            False, str(error), "wait for entries with BLOCK, and do not ask in a circle."
        )
    for actor, words in run.crashes.items():
        return Verdict(
            False, f"{actor} ended by itself: {words}.", "a lost connection is to be waited out."
        )
    verdicts = examine(scenario, run.events, run.final)
    if answer is not None:
        # What a pipeline brought was not seen.
        verdicts = [verdict for verdict in verdicts if verdict.rule != "given"]
    return summary(verdicts)


# ---- watching a consumer that reports nothing ---------------------------------------------------------


def _watched(answer: Answer) -> Answer:
    """Return a consumer like `consume` that reports what `answer` does."""

    async def act(
        client: Any,
        stream: str,
        group: str,
        consumer: str,
        handler: Handler,
        *,
        stop: asyncio.Event,
        report: Report,
        **_: object,
    ) -> int:
        n_processed = 0

        async def handle(entry_id: str, fields: dict[str, str]) -> None:
            nonlocal n_processed
            try:
                await handler(entry_id, fields)
            except Exception:
                report(FAILED, consumer, entry_id)
                raise
            report(PROCESSED, consumer, entry_id)
            n_processed += 1

        report(STARTED, consumer)
        _watch(client, consumer, report)
        await answer(client, stream, group, consumer, handle, stop)
        report(STOPPED, consumer)
        return n_processed

    return act


def _watch(client: Any, consumer: str, report: Report) -> None:
    """Let a client report what it is given and what it acknowledges."""
    counts: dict[str, int] = {}
    read, claim, autoclaim, ack = client.xreadgroup, client.xclaim, client.xautoclaim, client.xack

    def given(kind: str, entries: Any) -> None:
        for entry_id, *_ in entries:
            counts[entry_id] = counts.get(entry_id, 0) + 1
            report(kind, consumer, entry_id, counts[entry_id] + (kind == CLAIMED))

    async def xreadgroup(*args: Any, **options: Any) -> Any:
        reply = await read(*args, **options)
        for _, entries in reply or ():
            given(DELIVERED, entries)
        return reply

    async def xclaim(*args: Any, **options: Any) -> Any:
        reply = await claim(*args, **options)
        if not options.get("justid"):
            given(CLAIMED, reply)
        return reply

    async def xautoclaim(*args: Any, **options: Any) -> Any:
        reply = await autoclaim(*args, **options)
        if not options.get("justid"):
            given(CLAIMED, reply[1])
        return reply

    async def xack(name: Any, group: Any, *ids: Any) -> Any:
        n = await ack(name, group, *ids)
        for entry_id in ids:
            report(ACKED if n else VOID, consumer, entry_id)
        return n

    client.xreadgroup, client.xclaim = xreadgroup, xclaim
    client.xautoclaim, client.xack = xautoclaim, xack
