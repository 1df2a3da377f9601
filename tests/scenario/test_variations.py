"""A scenario's parameters changed by name, and the values of a sweep as text."""

from __future__ import annotations

from typing import Any

import pytest

from streamlab.scenario import Scenario, ScenarioError, load_scenario
from streamlab.scenario.variations import PARAMETERS, combinations, read_over, varied

BASE = load_scenario("one-to-one")


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, BASE),
        ({"consumers": 3, "producers": 2}, BASE.with_producers(2).with_consumers(3)),
        # In the order of the shell's options, whatever the order in which they are named.
        ({"service": 0.01, "rate": 50.0, "count": 4}, BASE.with_rate(50).with_service(0.01).with_count(4)),
        ({"duration": 5.0, "speed": 2.0}, BASE.faster(2).replace(duration=5.0)),
        # One limit that is given alone is the only one.
        ({"entries": 7}, BASE.replace(entries=7, duration=None)),
        ({"entries": 7, "duration": 3.0}, BASE.replace(entries=7, duration=3.0)),
        # All of a recovery at once: a heartbeat alone would be too long for the old min-idle.
        (
            {"heartbeat": 4.0, "min_idle": 10.0, "recovery": "autoclaim"},
            BASE.with_recovery("autoclaim", min_idle=10.0, heartbeat=4.0),
        ),
        ({"recovery": "read-claim"}, BASE.with_recovery("read-claim").replace(redis_version="8.4.0")),
        (
            {"interval": 1.0, "restart_after": 0.5, "max_deliveries": 3},
            BASE.with_recovery(interval=1.0, restart_after=0.5, max_deliveries=3),
        ),
    ],
)
def test_changed_by_name(changes: dict[str, Any], same: Scenario) -> None:
    assert varied(BASE, changes) == same


@pytest.mark.parametrize("name", PARAMETERS)
def test_each_parameter_changes_something(name: str) -> None:
    words = {"recovery": "claim", "persistence": "rdb"}
    value = words.get(name, 0.25 if PARAMETERS[name] == "time" else 3)
    base = BASE.replace(replicas=1) if name == "replication_delay" else BASE
    assert varied(base, {name: value}) != base


def test_all_combinations_the_last_going_fastest() -> None:
    assert combinations({"consumers": range(1, 3), "service": iter([0.1, 0.2])}) == [
        {"consumers": 1, "service": 0.1},
        {"consumers": 1, "service": 0.2},
        {"consumers": 2, "service": 0.1},
        {"consumers": 2, "service": 0.2},
    ]


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({}, "nothing is swept over: name a parameter and its values"),
        ({"consmers": [1]}, "consmers is no parameter of a scenario: did you mean consumers?"),
        ({"consumers": 3}, "consumers is 3: give several values, as a list or a range"),
        ({"recovery": "claim"}, "recovery is 'claim': give several values"),
        ({"rate": []}, "rate has no values: give one at least"),
        ({"rate": [1, 2, 1.0]}, "rate has the value 1.0 twice"),
    ],
)
def test_no_combinations(over: dict[str, Any], words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        combinations(over)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "over"),
    [
        (["consumers=1..4"], {"consumers": [1, 2, 3, 4]}),
        (["consumers=2..2"], {"consumers": [2]}),
        (["consumers=1..16..5"], {"consumers": [1, 6, 11, 16]}),
        (["consumers=1..3,8, 16"], {"consumers": [1, 2, 3, 8, 16]}),
        (["service=2ms,4ms"], {"service": [0.002, 0.004]}),
        (["service=100ms..0.3s..100ms"], {"service": [0.1, 0.2, 0.3]}),
        (["rate=0.1..0.4..0.1"], {"rate": [0.1, 0.2, 0.3, 0.4]}),
        (["rate=100..450..100"], {"rate": [100, 200, 300, 400]}),
        (["min-idle=1s,2min"], {"min_idle": [1, 120]}),
        (["recovery=claim,read-claim", "count=1"], {"recovery": ["claim", "read-claim"], "count": [1]}),
    ],
)
def test_what_is_swept_over_as_text(texts: list[str], over: dict[str, list[Any]]) -> None:
    read = read_over(texts)
    assert read == over
    assert all(type(value) is int for value in read.get("consumers", ()))  # a float is no number of consumers


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["consumers"], "'consumers' says no values: write consumers=1..16"),
        (["consumers="], "'consumers=' says no values"),
        (["consmers=1"], "did you mean consumers? known are producers, consumers, rate"),
        (["consumers=1", "consumers=2"], "consumers is given twice"),
        (["consumers=1.5"], "consumers=1.5: '1.5' is not a whole number"),
        (["consumers=1,"], "'' is not a whole number"),
        (["consumers=4..1"], "4..1 goes down"),
        (["consumers=1..9..0"], "1..9..0 has a step of 0"),
        (["consumers=1..9..2..3"], "1..9..2..3 is no range"),
        (["consumers=1..100000000000"], "is 100,000,000,000 values: at most 10,000"),
        (["rate=fast"], "'fast' is not a number"),
        (["rate=100..500"], "does not say in which steps: write 100..500..10"),
        (["service=1ms..9ms"], "write 1ms..9ms..1ms for steps of 1 ms"),
        (["service=2h"], "'2h' is not a time: write 3s, 250ms or 2min"),
    ],
)
def test_no_values(texts: list[str], words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_over(texts)
    assert words in str(caught.value)
