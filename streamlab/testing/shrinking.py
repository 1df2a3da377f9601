"""Make a schedule that goes wrong as small as it gets: the fewest entries, then faults, then consumers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TypeVar

from streamlab.checks.schedules import DEADLY, Schedule
from streamlab.scenario import Scenario

T = TypeVar("T")
_Smaller = Callable[[T], Iterator[T]]


def shrunk(schedule: Schedule, is_wrong: Callable[[Schedule], object]) -> Schedule:
    """Return a schedule that is still wrong, and nothing smaller is that is made of it by one step."""
    of_scenarios = [_of_schedules(smaller) for smaller in (_fewer_entries, _fewer_faults, _fewer_consumers)]
    return _shrunk(schedule, [_plainer, *of_scenarios], is_wrong)


def _shrunk(thing: T, ways: list[_Smaller[T]], is_wrong: Callable[[T], object]) -> T:
    """Go one way as far as it leads, then the next, until none leads any further."""
    n_in_vain = 0
    while n_in_vain < len(ways):
        for smaller in ways:
            n_in_vain += 1
            while (found := next((one for one in smaller(thing) if is_wrong(one)), None)) is not None:
                thing, n_in_vain = found, 1
            if n_in_vain == len(ways):
                break
    return thing


def _fewer_entries(scenario: Scenario) -> Iterator[Scenario]:
    entries = scenario.entries or 0
    for fewer in dict.fromkeys((entries // 8, entries // 2, entries * 3 // 4, entries - 10)):
        if 0 < fewer < entries:
            yield scenario.replace(entries=fewer)


def _fewer_faults(scenario: Scenario) -> Iterator[Scenario]:
    faults = scenario.faults
    for i in range(len(faults)):
        yield scenario.replace(faults=faults[:i] + faults[i + 1 :])


def _fewer_consumers(scenario: Scenario) -> Iterator[Scenario]:
    aimed_at = {getattr(fault, "target", "") for fault in scenario.faults}
    for consumer in scenario.consumers:
        if consumer.name not in aimed_at and len(scenario.consumers) > 1:
            yield scenario.replace(consumers=tuple(c for c in scenario.consumers if c is not consumer))


def _somebody_survives(scenario: Scenario, names: set[str]) -> bool:
    """Whether the dead are started again, or there is one whom nothing kills."""
    struck = {getattr(fault, "target", "") for fault in scenario.faults if fault.word in DEADLY}
    return scenario.recovery.restarts_after is not None or not names <= struck


def _plainer(schedule: Schedule) -> Iterator[Schedule]:
    if schedule.n_crowd:
        yield dataclasses.replace(schedule, n_crowd=0)
    if schedule.impossible:
        yield dataclasses.replace(schedule, impossible={})


def _of_schedules(smaller: _Smaller[Scenario]) -> _Smaller[Schedule]:
    def smaller_schedules(schedule: Schedule) -> Iterator[Schedule]:
        for scenario in smaller(schedule.scenario):
            names = {consumer.name for consumer in scenario.consumers}
            if schedule.impossible.keys() <= names and _somebody_survives(scenario, names):
                yield dataclasses.replace(schedule, scenario=scenario)

    return smaller_schedules
