"""What schedules are drawn from, and how one that fails is made small."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from streamlab.checks import schedules
from streamlab.checks.schedules import Schedule, graded
from streamlab.scenario.actions import GroupDestroyed, Kill, LostReply
from streamlab.testing.plan import Plan, plan
from streamlab.testing.shrinking import shrunk
from streamlab.testing.surviving import DEFAULTS


def asked(**options: Any) -> Plan:
    return plan(**{name: options.get(name, value) for name, value in DEFAULTS.items() if name != "handler"})


def test_without_a_word_the_schedules_are_those_of_the_course() -> None:
    """But for the work, which is not on the server."""
    for seed in range(1, 21):
        course, drawn = schedules.schedule(seed), asked().schedule(seed)
        assert drawn == dataclasses.replace(course, scenario=course.scenario.replace(sink="none"))


@pytest.mark.parametrize("faults", ["kill", Kill, ["kill", LostReply], ("group-destroyed",)])
def test_kinds_of_faults_are_drawn_and_no_others(faults: Any) -> None:
    """The dead are started again at odd seeds; at every fourth another program holds much, if nothing takes it away."""
    kinds = {"kill": Kill, Kill: Kill}
    listed = [faults] if isinstance(faults, str | type) else [*faults]
    wanted = {kinds.get(one, GroupDestroyed if one == "group-destroyed" else one) for one in listed}
    drawn = {seed: asked(faults=faults).schedule(seed) for seed in range(1, 41)}
    assert {type(fault) for one in drawn.values() for fault in one.scenario.faults} == wanted
    for seed, one in drawn.items():
        assert (one.scenario.recovery.restarts_after is not None) == (seed % 2 == 1)
        is_long = seed % 4 == 0 and not any(isinstance(fault, GroupDestroyed) for fault in one.scenario.faults)
        assert (one.n_crowd > 100) == is_long
        assert one == asked(faults=faults).schedule(seed)


def test_faults_to_the_letter() -> None:
    """Those, at every seed."""
    for faults in ("kill C2 at 0.3s", [Kill("C2", 0.3)]):
        drawn = [asked(faults=faults).schedule(seed).scenario.faults for seed in range(1, 5)]
        assert drawn == [(Kill("C2", 0.3),)] * 4


@pytest.mark.parametrize(("given", "version"), [("8.6", "8.6.0"), ("7.2.4", "7.2.4"), ((8, 0), "8.0.0")])
def test_a_version(given: Any, version: str) -> None:
    assert asked(version=given).schedule(1).scenario.redis_version == version


def test_entries_are_so_many_or_hold_what_is_said() -> None:
    """Fewer than 200 come within the same second; what poisons one is kept."""
    scenario = asked(entries=40, faults="kill").schedule(1).scenario
    assert (scenario.entries, scenario.expected_duration()) == (40, 1.0)
    for entries in ([{"order": 7}, {"order": 8}], lambda n: {"order": 6 + n}):
        scenario = asked(entries=entries, faults="poison P1 nth 2", stream="shop", group="billing").schedule(1).scenario
        fields = [fields for _, fields in scenario.arrivals(scenario.producers[0])]
        assert fields[:2] == [{"order": "7"}, {"order": "8", "poison": "1"}]
        assert (len(fields), scenario.stream, scenario.group) == (200, "shop", "billing")


def test_a_schedule_is_made_as_small_as_it_gets() -> None:
    """One fault of three, the fewest entries and consumers that it takes; nothing that is not wrong is taken."""
    scenario = graded().with_faults("kill C1 at 0.1s", "kill C2 at 0.2s", "pause C3 at 0.3s for 1s")
    tried: list[Schedule] = []

    def is_wrong(schedule: Schedule) -> bool:
        tried.append(schedule)
        faults = [str(fault) for fault in schedule.scenario.faults]
        return "kill C2 at 0.2s" in faults and (schedule.scenario.entries or 0) >= 23

    small = shrunk(Schedule(scenario, {"C4": 3}, n_crowd=120), is_wrong)
    assert is_wrong(small)
    assert [str(fault) for fault in small.scenario.faults] == ["kill C2 at 0.2s"]
    assert {consumer.name for consumer in small.scenario.consumers} > {"C2"}  # somebody survives
    assert len(small.scenario.consumers) == 2
    assert 23 <= (small.scenario.entries or 0) < 30
    assert (small.impossible, small.n_crowd) == ({}, 0)
    assert len(tried) < 40


def test_what_is_small_already_stays() -> None:
    schedule = Schedule(graded())
    assert shrunk(schedule, lambda _: False) is schedule
