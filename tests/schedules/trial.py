"""Run a scenario and look at its invariants; make a schedule that breaks one as small as it gets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from streamlab.lab.simulated import SimulatedEngine
from streamlab.results.run import Run
from streamlab.results.verdict import Verdict
from streamlab.scenario import Scenario
from streamlab.virtual.loop import Deadlock, TimeStandsStill

#: More than this at one virtual moment is a loop that never waits.
_CALLBACKS = 300_000


def run(scenario: Scenario) -> Run:
    """Run a scenario in virtual time."""
    with contextlib.closing(SimulatedEngine(scenario, callbacks_per_instant=_CALLBACKS)) as engine:
        return engine.run()


def wrong(scenario: Scenario) -> list[Verdict]:
    """Run a scenario, and return what is broken in it: an end that never comes, or an invariant."""
    try:
        came = run(scenario)
    except (TimeStandsStill, Deadlock) as error:
        return [Verdict(False, str(error), rule="the end")]
    found = [verdict for verdict in came.verdicts if not verdict]
    for actor, words in came.errors.items():
        found.append(Verdict(False, f"{actor} ended by itself: {words}", rule="crash"))
    return found


def shrunk(scenario: Scenario, is_wrong: Callable[[Scenario], object] = wrong) -> Scenario:
    """Return a scenario that is still wrong, with the fewest faults, then entries, then consumers."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(scenario):
            if is_wrong(candidate):
                scenario, smaller = candidate, True
                break
    return scenario


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    faults = scenario.faults
    for i in range(len(faults)):
        yield scenario.replace(faults=faults[:i] + faults[i + 1 :])
    entries = scenario.entries or 0
    for fewer in (entries // 2, entries * 3 // 4, entries - 10):
        if 0 < fewer < entries:
            yield scenario.replace(entries=fewer)
    aimed_at = {getattr(fault, "target", "") for fault in faults}
    for consumer in scenario.consumers:
        if consumer.name not in aimed_at and len(scenario.consumers) > 1:
            rest = tuple(c for c in scenario.consumers if c is not consumer)
            yield scenario.replace(consumers=rest)
