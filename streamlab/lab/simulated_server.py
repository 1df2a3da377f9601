"""What the simulated server is, and has not."""

from __future__ import annotations

import dataclasses

from streamlab.actors import Recovery
from streamlab.scenario import Scenario, ScenarioError


def check_recovery(recovery: Recovery, scenario: Scenario) -> None:
    """Refuse a recovery that needs what the simulated server has not got; raise `ScenarioError`."""
    if not as_simulated(recovery).works_on("redis", scenario.version):
        raise ScenarioError(f"{recovery.complaint(name_of_model(scenario))}, or a newer model (redis_version)")


def as_simulated(recovery: Recovery) -> Recovery:
    """Return how consumers recover in the simulation: the model has no XNACK."""
    if recovery.strategy != "nack":
        return recovery
    return dataclasses.replace(recovery, strategy="autoclaim")


def name_of_model(scenario: Scenario) -> str:
    """Return what the simulated server is called, and what is different on it for this scenario."""
    name = f"model of Redis {'.'.join(map(str, scenario.version))}"
    if scenario.recovery.strategy == "nack":
        name += ", without XNACK: nack recovers as autoclaim"
    return name
