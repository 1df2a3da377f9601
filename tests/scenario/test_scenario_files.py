"""Scenarios in files: there and back unchanged; each mistake refused with its path, in the same words everywhere."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from streamlab.actors import Recovery
from streamlab.cli import main
from streamlab.lab.lab import Lab
from streamlab.results.run import Run
from streamlab.results.run_file import RunFileError
from streamlab.scenario import (
    Arrivals,
    Consumer,
    Producer,
    Scenario,
    ScenarioError,
    Service,
    from_dict,
    from_toml,
    load_scenario,
    to_dict,
    to_toml,
)
from streamlab.scenario.actions import Kill

# ---- any scenario ----------------------------------------------------------------------------------

NUMBERS = st.floats(0.001, 1e9)
NAMES = st.text(min_size=1, max_size=8).filter(str.isprintable)
ARRIVALS = st.builds(
    Arrivals, kind=st.sampled_from(["constant", "poisson", "bursts"]), rate=NUMBERS, start=NUMBERS, burst=st.integers(1)
) | st.builds(Arrivals, kind=st.just("replay"), source=st.text(st.characters(codec="utf-8"), min_size=1), speed=NUMBERS)
SERVICES = st.builds(
    Service,
    kind=st.sampled_from(["constant", "exponential", "lognormal"]),
    mean=st.integers(0, 9) | NUMBERS,
    cv=st.floats(0.01, 1000),
)
RECOVERIES = st.builds(
    Recovery,
    strategy=st.sampled_from(["none", "restart", "claim", "autoclaim", "read-claim", "nack"]),
    min_idle=NUMBERS,
    interval=st.none() | NUMBERS,
    max_deliveries=st.none() | st.integers(1),
    dead_letter=st.text(st.characters(codec="utf-8")),
    fenced=st.booleans(),
    restart_after=st.none() | NUMBERS,
    history=st.booleans(),
)
FAULTS = [
    "kill A at 3s",
    "poison P nth 4",
    "server-down at 1s for 2s",
    "lost-reply P XADD nth 3",
    "fail B nth 2 times 3",
]


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    names = draw(st.lists(NAMES.filter(lambda name: name not in "PAB"), max_size=2, unique=True))
    consumers = st.builds(
        Consumer, service=SERVICES, count=st.integers(1), ack=st.sampled_from(["each", "batch"]), block=NUMBERS
    )
    return Scenario(
        name=draw(NAMES),
        producers=(Producer("P", draw(ARRIVALS)), *(Producer(name, draw(ARRIVALS)) for name in names)),
        consumers=tuple(draw(consumers).replace(name=name) for name in "AB"),
        duration=draw(NUMBERS),
        entries=draw(st.none() | st.integers(1)),
        seed=draw(st.integers(0)),
        maxlen=draw(st.none() | st.integers(1)),
        sink=draw(st.sampled_from(["none", "naive", "idempotent"])),
        recovery=draw(RECOVERIES),
    ).with_faults(*draw(st.lists(st.sampled_from(FAULTS))))


@given(scenarios())
def test_any_scenario_survives_its_files(scenario: Scenario) -> None:
    """TOML, and what a saved run's header holds."""
    assert from_toml(to_toml(scenario)) == scenario
    assert from_dict(json.loads(json.dumps(to_dict(scenario)))) == scenario


# ---- any single mistake ----------------------------------------------------------------------------

FULL = (
    load_scenario("crash")
    .with_producers(2)
    .with_faults("kill C1 at 1s")
    .with_recovery(interval=0.1, heartbeat=0.2, max_deliveries=3, restart_after=0.5, remove_after=9.0)
    .replace(entries=9, maxlen=100)
)
VALID = tomllib.loads(to_toml(from_toml(to_toml(FULL))))  # twice: a rate of 100 is 100.0 when it is read
Path_ = tuple[str | int, ...]


def leaves(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Give whatever is in a table, tables and lists themselves included, with its path."""
    if path:
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from leaves(item, (*path, key))


def tables(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Give the paths of all tables."""
    if isinstance(value, dict):
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from tables(item, (*path, key))


def mistakes_for(value: Any) -> list[Any]:
    """List what must not stand in the place of a value."""
    wrong: list[Any] = [math.nan, math.inf, -math.inf, -1, -0.5, {}, {"x": 1}, [[]], [1]]
    if not isinstance(value, bool):
        wrong += [True, False]
    if not isinstance(value, str):
        wrong += ["5", "", "true"]
    if isinstance(value, str | bool | list | dict):
        wrong += [3, 0.5]
    if isinstance(value, int):
        wrong += [1.5]
    if isinstance(value, dict):  # an empty one has its defaults
        wrong.remove({})
    return wrong


MISTAKES = [(path, wrong) for path, value in leaves(VALID) for wrong in mistakes_for(value)]
NUMBERED = [path for path, value in leaves(VALID) if type(value) in (int, float)]
NO_NUMBERS = st.floats(max_value=-1e-300) | st.integers(max_value=-1) | st.sampled_from([math.nan, math.inf, "1", True])


def test_each_single_mistake_is_refused_with_its_path() -> None:
    """A wrong type, a bool for a number, nan, infinity, a negative number: in the place of each value of a table."""
    assert len(MISTAKES) > 800
    for path, wrong in MISTAKES:
        refused_with_its_path(path, wrong)


@given(st.sampled_from(NUMBERED), NO_NUMBERS)
def test_what_is_no_number_is_refused_with_its_path(path: Path_, wrong: Any) -> None:
    refused_with_its_path(path, wrong)


@given(st.sampled_from(list(tables(VALID))), st.text("abcdefghijklmnopqrstuvwxyz_-", min_size=1))
def test_an_unknown_key_is_refused_with_its_path(table: Path_, key: str) -> None:
    """In whichever table; TOML's and Python's own names are none that a record has."""
    if not any(path == (*table, key) for path, _ in leaves(VALID)) and key != "source":
        refused_with_its_path((*table, key), 1)


def test_every_bool_in_the_place_of_a_number_is_refused() -> None:
    """For sure, not by chance: True is an int in Python, and would count as 1."""
    assert len(NUMBERED) > 30
    for path in NUMBERED:
        refused_with_its_path(path, True)


def refused_with_its_path(path: Path_, wrong: Any) -> None:
    table = copy.deepcopy(VALID)
    place: Any = table
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = wrong
    with pytest.raises(ScenarioError) as caught:
        from_toml(tomli_w.dumps(table))
    where = ".".join(map(str, path))
    # In the place of a table or a list, what is wrong may be what is in it.
    assert str(caught.value).startswith((f"{where} ", f"{where}.")), f"{where} = {wrong!r}: {caught.value}"


# ---- the same words --------------------------------------------------------------------------------


def test_the_same_words_from_a_file_a_run_the_shell_and_python(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the place in the scenario is unknown to a part that was made on its own."""
    words = "arrivals.rate is -5.0: give a number of entries per second above 0"
    with pytest.raises(ScenarioError) as in_python:
        Arrivals(rate=-5.0)
    assert str(in_python.value) == words
    with pytest.raises(ScenarioError) as in_toml:
        from_toml("[[producers]]\narrivals = { rate = -5.0 }")
    assert str(in_toml.value) == f"producers.0.{words}"
    assert main(["run", "one-to-one", "--rate", "-5"]) == 2
    assert capsys.readouterr().err == f"streamlab: producers.0.{words}\n"
    saved = tmp_path / "run.jsonl"
    Lab(load_scenario("one-to-one").replace(entries=3)).run().save(saved)
    header, *events = saved.read_text().splitlines(keepends=True)
    row = json.loads(header)
    row["scenario"]["producers"][0]["arrivals"]["rate"] = -5.0
    saved.write_text("".join([json.dumps(row) + "\n", *events]))
    with pytest.raises(RunFileError) as in_header:
        Run.load(saved)
    assert str(in_header.value).endswith(f"scenario.producers.0.{words}")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.replace(durration=3), "durration is an unknown key: did you mean duration? known are name, "),
        (lambda s: s.with_recovery(min_idel=3), "recovery.min_idel is an unknown key: did you mean min_idle?"),
        (lambda s: s.with_recovery("autoclam"), "recovery.strategy is 'autoclam': did you mean autoclaim?"),
        (lambda s: s.with_recovery(fenced=1), "recovery.fenced is 1: give true or false"),
        (lambda s: s.with_consumer("C1", cuont=3), "consumers.0.cuont is an unknown key: did you mean count?"),
        (lambda s: s.with_consumer("C1", service=-1), "consumers.0.service.mean is -1: give a number of seconds"),
        (lambda s: s.with_consumer("C1", service="x"), "consumers.0.service is 'x': give a Service (in TOML, a table)"),
        (lambda s: s.with_consumer("C", count=2), "there is no consumer 'C': did you mean C1? known are C1"),
        (lambda s: s.with_service(math.nan), "consumers.0.service.mean is nan: give a number of seconds"),
        (lambda s: s.with_count(True), "consumers.0.count is True: give a whole number"),
        (lambda s: s.with_rate("5"), "producers.0.arrivals.rate is '5': give a number"),
        (lambda s: s.with_consumers(0), "the number of consumers is 0: give a whole number of at least 1"),
        (lambda s: s.faster(math.inf), "speed is inf: give a number above 0"),
        (lambda s: s.replace(consumers=[]), "consumers is []: give a tuple of consumers"),
        (
            lambda s: s.replace(faults=("kill C7 at 1s",)),
            "faults.0 is 'kill C7 at 1s': kill: there is no 'C7': there are C1, P1",
        ),
        (lambda s: s.replace(faults=(3,)), "faults.0 is 3: give a text, as 'kill C2 at 3s'"),
        (lambda s: s.replace(seed=10**5000), None),
        (lambda s: s.replace(seed=-(10**5000)), "seed is a number of thousands of digits: give a whole number"),
        (lambda s: s.replace(duration=10**400), "duration is 1000"),
        (lambda s: s.producers[0].replace(nam="x"), "producer.nam is an unknown key: did you mean name?"),
        (lambda s: s.producers[0].arrivals.replace(burst=1.0), "arrivals.burst is 1.0: give a whole number"),
    ],
)
def test_variations_are_checked(change: Any, words: str | None) -> None:
    """By `replace` and by each ``with_…``: the path, the value, what is allowed, and the nearest known name."""
    if words is None:
        assert change(Scenario())
        return
    with pytest.raises(ScenarioError) as caught:
        change(Scenario())
    assert str(caught.value).startswith(words)


def test_replace_leaves_the_rest_as_it_is() -> None:
    """In a scenario, and in each part of it."""
    scenario = load_scenario("crash")
    shorter = scenario.replace(duration=1.0, seed=7)
    assert (shorter.duration, shorter.seed) == (1.0, 7)
    assert shorter.replace(duration=scenario.duration, seed=scenario.seed) == scenario
    assert scenario.consumers[1].replace(count=9) == Consumer("C2", scenario.consumers[1].service, count=9)
    assert Service("lognormal", 3, 0.5).replace(mean=1) == Service("lognormal", 1, 0.5)


def test_kills_at_random_are_one_text_everywhere(tmp_path: Path) -> None:
    """In a file, in Python and in the shell: the same kills, drawn by the seed."""
    plain = load_scenario("crash").replace(faults=())
    kills = plain.with_faults("kill random every 1s")
    assert [fault.at for fault in kills.faults if isinstance(fault, Kill)] == [1, 2, 3, 4]
    assert kills.faults == plain.random_kills(1.0)
    table = to_dict(plain) | {"faults": ["kill random every 1s"]}
    assert from_dict(table) == kills
    file, saved = tmp_path / "plain.toml", tmp_path / "run"
    file.write_text(to_toml(plain), "utf-8")
    main(["run", str(file), "--fault", "kill random every 1s", "--save", str(saved)])
    assert Run.load(saved).scenario == kills
    with pytest.raises(ScenarioError, match=r"^faults\.0\.every is 0\.0: give a number of seconds above 0"):
        plain.with_faults("kill random every 0s")
    with pytest.raises(ScenarioError, match=r"^faults\.0 is 'kill random every now': 'now' is not a time"):
        plain.with_faults("kill random every now")


def test_errors_survive_another_process() -> None:
    """As joblib sends them: pickled."""
    with pytest.raises(ScenarioError) as caught:
        Scenario().with_rate(-1)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


# ---- light -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("from streamlab.scenario import *", ["redis", "asyncio", "cattrs", "zipfile"]),
        ("import streamlab.scenario.named as n; [n.load_scenario(name) for name in n.SCENARIOS]", ["redis", "asyncio"]),
        ("from streamlab.scenario import *; from_toml(to_toml(load_scenario('crash')))", ["redis", "asyncio"]),
        # A worker gets its scenario checked: what reads files would only make it slower to start.
        ("import streamlab.lab.worker", ["cattrs", "tomllib", "tomli_w"]),
    ],
)
def test_a_scenario_needs_little(code: str, absent: list[str]) -> None:
    """No Redis client and no event loop; nothing that reads files, until one is read."""
    program = f"import sys; {code}; print(*sys.modules)"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "attrs" in loaded
    assert not loaded & set(absent)
