"""Run a scenario and look at its invariants; make a schedule that breaks one as small as it gets."""

from __future__ import annotations

import contextlib

from streamlab.checks.schedules import Schedule
from streamlab.lab.simulated import SimulatedEngine
from streamlab.results.run import Run
from streamlab.results.verdict import Verdict
from streamlab.scenario import Scenario
from streamlab.testing import shrinking
from streamlab.virtual.loop import Deadlock, TimeStandsStill

#: More than this at one virtual moment is a loop that never waits.
_CALLBACKS = 50_000


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


def shrunk(scenario: Scenario) -> Scenario:
    """Return a scenario that is still wrong, with the fewest entries, faults and consumers."""
    return shrinking.shrunk(Schedule(scenario), lambda schedule: wrong(schedule.scenario)).scenario
