"""The benchmark of libraries: it finds what a loop leaves and what ours does twice, and says when its runs differ."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from streamlab.actors.events import ADDED
from streamlab.results.events import EventLog
from streamlab.results.final_state import FinalState
from streamlab.results.run import Run
from streamlab.scenario import Scenario

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
#: By this seed two of the three consumers die in this second, each with an acknowledgement on its way.
SEED, ORDERS, DEATHS = "210", 60, 2


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("libraries")


def put_to_torture(part: str, drain: str) -> dict[str, Any]:
    """Run the benchmark for a second, and return the one row of its one library."""
    size = ("--seeds", SEED, "--repeats", "1", "--duration", "1", "--rate", str(ORDERS), "--every", "0.4")
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "libraries.py", "--only", part, *size, "--drain", drain, "--json"],
        env=os.environ | {"PYTHONPATH": str(BENCHMARKS.parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ((row,),) = [[run for each in json.loads(done.stdout)["results"] for run in each["runs"]]]
    assert not row["refused"]
    assert row["added"] == ORDERS
    assert row["lost"] == 0
    return dict(row)


@pytest.mark.redis
def test_a_loop_without_recovery_leaves_what_the_dead_had() -> None:
    """What was pending for a consumer that died stays so, and nothing is done twice."""
    row = put_to_torture("a loop over", drain="1")
    assert row["stuck"] >= DEATHS
    assert row["undone"] <= row["stuck"] - DEATHS  # those two had been done
    assert row["never"] == DEATHS
    assert (row["twice"], row["times"]) == (0, [])


@pytest.mark.redis
def test_our_consumer_finishes_and_does_again_what_was_not_acknowledged() -> None:
    """Nothing is left, within seconds; what was done and not acknowledged is done a second time."""
    row = put_to_torture("ours", drain="60")
    assert (row["stuck"], row["undone"], row["never"]) == (0, 0, 0)
    assert row["twice"] >= DEATHS
    assert len(row["times"]) == DEATHS


def test_what_came_of_a_run_is_counted(libraries: Any) -> None:
    """An entry that is nowhere is lost; one that is pending is stuck, whether it was done or not."""
    ids = [f"{n}-0" for n in range(1, 7)]
    events = EventLog()
    for at, entry_id in enumerate(ids):
        events.report(ADDED, "P1", entry_id, 0, float(at))
    final = FinalState(pending={"3-0": "C1", "4-0": "C1"}, undelivered=("5-0",), length=6)
    run = Run(Scenario(), "live", "Redis", events, final)
    found = libraries.tally(run, Counter({"order-1": 1, "order-2": 3, "order-4": 1}))
    assert (found.added, found.lost, found.twice, found.again, found.stuck, found.undone) == (6, 1, 1, 2, 3, 2)


def test_it_is_said_when_runs_differ(libraries: Any) -> None:
    """Counts that differ are all shown; a verdict that differs is named with its library."""
    one, other = libraries.LIBRARIES[:2]
    tally = libraries.Tally
    found = {one: [tally(stuck=3), tally(stuck=4)], other: [tally(times=[1.0]), tally(times=[3.0], never=1)]}
    assert "were the same each time" in libraries.agreement(found)
    first, second = libraries.table(found).splitlines()[2:]
    assert "| 0 | 0 | 3 / 4 | 0 | – | – | 0 of 0 |" in first
    assert "| 0 | 0 | 0 | 0 | 2.0 s | 3.0 s | 1 of 3 |" in second
    found[other] = [tally(twice=1), tally()]
    assert libraries.agreement(found).endswith(f"differed for {other.name} (twice).")
    found[other] = [tally(refused="it could not publish: no\nTraceback"), tally()]
    assert "it could not publish: no |" in libraries.table(found)
