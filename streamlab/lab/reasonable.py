"""Whether a run is worth beginning: looked at before it, not after it."""

from __future__ import annotations

import itertools
import math

from streamlab.lab.errors import LabError
from streamlab.lab.simulated_server import check_recovery
from streamlab.results.run import EngineName
from streamlab.scenario import Scenario, ScenarioError
from streamlab.scenario.replay import is_departures, replay
from streamlab.servers.in_browser import IN_BROWSER, why_not

#: A run longer than this is a mistake: nobody waits a week for a notebook, or for a simulation of a century.
LONGEST_RUN = {"live": 24 * 3600.0, "simulated": 10 * 366 * 24 * 3600.0}


def check_engine(engine: str) -> None:
    """See that there is such an engine, here: a browser has no processes for the live one."""
    if engine not in ("simulated", "live"):
        raise ScenarioError(f"there is no engine {engine!r}: known are simulated, live")
    if engine == "live" and IN_BROWSER:
        raise LabError(why_not("the live engine", "processes", "leave engine out, and the run is simulated"))


def check_run(scenario: Scenario, engine: EngineName) -> None:
    """Raise `ScenarioError` if a scenario cannot be run on an engine, or not in any reasonable time."""
    _check_replays(scenario)
    _check_length(scenario, engine)
    if engine == "simulated":
        check_recovery(scenario.recovery, scenario)


def _check_replays(scenario: Scenario) -> None:
    """Read what is to be replayed, so that an error in it is found now and not in the midst of a run."""
    for producer in scenario.producers:
        if producer.arrivals.kind == "replay":
            arrivals = replay(producer.arrivals.source)
            # The flights are the package's own: only which of them are wanted may be wrong.
            for _ in itertools.islice(arrivals, 1 if is_departures(producer.arrivals.source) else None):
                pass


def _check_length(scenario: Scenario, engine: EngineName) -> None:
    """Refuse to wait for a year."""
    length = 0.0
    for producer in scenario.producers:
        arrivals = producer.arrivals
        a_year = arrivals.start + 366 * 86_400 / arrivals.speed
        if arrivals.kind == "replay" and is_departures(arrivals.source) and a_year <= LONGEST_RUN[engine]:
            last = a_year  # at the most: they need not be gone through
        elif arrivals.kind == "replay":
            times = arrivals.times(scenario.rng(producer.name))
            last = max(itertools.islice(times, scenario.entries), default=0.0)
        elif scenario.duration is None:
            assert scenario.entries is not None
            total = sum(p.arrivals.rate for p in scenario.producers if p.arrivals.kind != "replay")
            last = arrivals.start + scenario.entries / total
        else:
            last = math.inf
        if scenario.duration is not None:
            last = min(last, scenario.duration)
        length = max(length, last)
    if length > LONGEST_RUN[engine]:
        days = f"{length / 86_400:,.0f}" if length < 1e12 else f"{length / 86_400:.0e}"
        raise ScenarioError(
            f"{scenario.name} lasts {days} days: give a higher rate or speed (--rate, --speed), fewer entries "
            "or a shorter duration" + (", or run it on the simulated engine" * (engine == "live"))
        )
