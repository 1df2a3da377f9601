"""The scenario that was asked for: a named one or a file, and what the options change in it."""

from __future__ import annotations

from typing import Any

from streamlab.cli.options import ScenarioOptions
from streamlab.scenario import Scenario, ScenarioError, load_scenario
from streamlab.scenario.action import Action, ActionError
from streamlab.scenario.action_texts import seconds
from streamlab.scenario.variations import PARAMETERS, varied


def scenario_of(options: ScenarioOptions) -> Scenario:
    """Return the scenario that was asked for, with what the options change in it."""
    changes: dict[str, Any] = {}
    for name, kind in PARAMETERS.items():
        value = getattr(options, name)
        if value is not None:
            is_text = kind == "time" and isinstance(value, str)
            changes[name] = time_of(value, f"--{name.replace('_', '-')}") if is_text else value
    scenario = varied(load_scenario(options.scenario), changes)
    if options.seed is not None:
        scenario = scenario.replace(seed=options.seed)
    if options.fenced:
        scenario = scenario.with_recovery(fenced=True)
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
