"""The scenario that was asked for: a named one or a file, and what the options change in it."""

from __future__ import annotations

from typing import Any

from streamlab.cli.options import RunOptions
from streamlab.scenario import Scenario, ScenarioError, load_scenario
from streamlab.scenario.action import Action, ActionError
from streamlab.scenario.action_texts import seconds


def scenario_of(options: RunOptions) -> Scenario:
    """Return the scenario that was asked for, with what the options change in it."""
    scenario = load_scenario(options.scenario)
    if options.producers is not None:
        scenario = scenario.with_producers(options.producers)
    if options.consumers is not None:
        scenario = scenario.with_consumers(options.consumers)
    if options.rate is not None:
        scenario = scenario.with_rate(options.rate)
    if options.service is not None:
        scenario = scenario.with_service(options.service)
    if options.count is not None:
        scenario = scenario.with_count(options.count)
    if options.speed is not None:
        scenario = scenario.faster(options.speed)
    if options.entries is not None:  # the one limit that is given is the only one
        scenario = scenario.replace(entries=options.entries, duration=options.duration)
    elif options.duration is not None:
        scenario = scenario.replace(duration=options.duration)
    if options.seed is not None:
        scenario = scenario.replace(seed=options.seed)
    return _with_failures(scenario, options)


def _with_failures(scenario: Scenario, options: RunOptions) -> Scenario:
    """Return the scenario with what is to go wrong in it, and how it is to recover."""
    changes: dict[str, object] = {
        name: time_of(value, f"--{name.replace('_', '-')}")
        for name in ("min_idle", "interval", "heartbeat", "restart_after")
        if (value := getattr(options, name)) is not None
    }
    if options.max_deliveries is not None:
        changes["max_deliveries"] = options.max_deliveries
    if options.fenced:
        changes["fenced"] = True
    if options.recovery is not None or changes:
        scenario = scenario.with_recovery(options.recovery, **changes)
    if options.recovery == "read-claim" and scenario.version < (8, 4, 0):
        # The simulated server has to be one that knows XREADGROUP … CLAIM; a real one says so itself.
        scenario = scenario.replace(redis_version="8.4.0")
    if options.sink is not None:
        scenario = scenario.replace(sink=options.sink)
    for text in options.fault or ():
        scenario = scenario.with_faults(*expanded(text, scenario))
    if options.faults == "random":
        scenario = scenario.with_faults(*scenario.random_faults())
    return scenario


_RANDOM_KILLS = "kill random every "


def expanded(text: str, scenario: Scenario) -> tuple[Action[Any] | str, ...]:
    """Return a fault; or, for ``kill random every 1s``, one for each time."""
    if not text.startswith(_RANDOM_KILLS):
        return (text,)
    return scenario.random_kills(time_of(text.removeprefix(_RANDOM_KILLS), "every"))


def time_of(text: str, what: str) -> float:
    """Read an option's time; raise `ScenarioError` if it is none."""
    try:
        return seconds(text)
    except ActionError as error:
        raise ScenarioError(f"{what}: {error}") from None
