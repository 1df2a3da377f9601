"""See a schedule again that a consumer did not survive: as a `Run`, to be drawn, or in a `Lab`, for a panel."""

from __future__ import annotations

from typing import Any

from streamlab.checks.consumer_life import OwnConsumer
from streamlab.checks.consumer_watch import Watch
from streamlab.checks.crowd import Crowd
from streamlab.lab.lab import Lab
from streamlab.lab.simulated import SimulatedEngine
from streamlab.results.run import Run
from streamlab.results.verdict import Objection
from streamlab.scenario import Scenario
from streamlab.testing.calling import Called
from streamlab.testing.clients import replace_clients
from streamlab.testing.plan import plan
from streamlab.testing.surviving import DEFAULTS
from streamlab.testing.trying import Trial, ready_for, smallest, trial


def replay(consumer: Any, *, seed: int, **options: Any) -> Run:
    """Return the run that `assert_survives` has told of: that of the smallest schedule which fails as this seed's does.

    `options` are those of `assert_survives`. If the schedule does not fail, its own run is returned.

    Raises
    ------
    RuntimeError
        If the run never comes to an end.
    """
    made = _tried(Called(consumer, options.get("handler")), seed, options)
    if made.run is None:
        raise RuntimeError(
            f"there is no run to look at: {made.found.words if made.found else 'it never came to an end'}"
        )
    return made.run


def replay_lab(consumer: Any, *, seed: int, **options: Any) -> Lab:
    """Return a lab that runs what `replay` does, to be stepped through or shown by a ``Panel``.

    Until the process ends, clients that the consumer makes itself are the simulation's.
    """
    called = Called(consumer, options.get("handler"))
    schedule = _tried(called, seed, options).schedule
    replace_clients()

    def engine_of(scenario: Scenario) -> SimulatedEngine:
        watch = _Lenient()
        page = 10 if schedule.n_crowd else None
        own = OwnConsumer(called, watch, impossible=schedule.impossible, page=page)
        engine = SimulatedEngine(scenario, act=own.act)
        if schedule.n_crowd:
            Crowd(engine, watch, schedule.n_crowd)
        return engine

    return Lab(schedule.scenario, engine_of=engine_of)


class _Lenient(Watch):
    """Watches, and lets the run go on, whatever it sees."""

    def refuse(self, objection: Objection, culprit: str = "", error: BaseException | None = None) -> None:
        """Say nothing."""


def _tried(called: Called, seed: int, options: dict[str, Any]) -> Trial:
    unknown = options.keys() - DEFAULTS.keys()
    if unknown:
        raise TypeError(f"there is no option {min(unknown)}: known are seed, {', '.join(DEFAULTS)}")
    planned = plan(**{name: options.get(name, DEFAULTS[name]) for name in DEFAULTS if name != "handler"})
    with ready_for(called):
        return smallest(called, trial(called, planned.schedule(seed)))
