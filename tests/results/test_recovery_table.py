"""Strategies of recovery side by side: figures worked out by hand, and the table in the documentation."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from streamlab.lab.strategies import compare
from streamlab.results.events import EventLog
from streamlab.results.run import FinalState, Run
from streamlab.scenario import Scenario, Service, consumers
from tests.events import event

ROOT = Path(__file__).parents[2]


def loss(recovered_after: float, strategy: str = "autoclaim", **counts: Any) -> Run:
    """Return a run in which C1 dies over its only entry at 1 s, and C2 has done it so many seconds later."""
    events = [event(0.0, "added", "P1", "1-0"), event(0.5, "delivered", "C1", "1-0", 1), event(1.0, "crashed", "C1")]
    final = FinalState()
    if math.isfinite(recovered_after):
        done = 1.0 + recovered_after
        events += [
            event(done, "claimed", "C2", "1-0", 2),
            event(done, "processed", "C2", "1-0"),
            event(done, "acked", "C2", "1-0"),
        ]
    else:
        final = FinalState(pending={"1-0": "C1"})
    scenario = Scenario(name="written", consumers=consumers(2, Service()))
    scenario = scenario.with_recovery(strategy)
    return Run(scenario, "simulated", "a test", EventLog.of(events), final, **counts)


def test_times_are_those_within_which_so_many_losses_were_made_good() -> None:
    """Of 20 losses 19 took 0.1 … 1.9 s and one was never made good: half within 1 s, 95 % within 1.9 s."""
    runs = [loss(n / 10) for n in range(1, 20)] + [loss(math.inf)]
    (row,) = compare({"claim": runs}).rows
    assert (row.n_runs, row.n_entries, row.n_losses, row.n_unrecovered) == (20, 20, 20, 1)
    assert (row.time_p50, row.time_p95) == pytest.approx((1.0, 1.9))
    assert row.left == 1
    assert row.wasted == pytest.approx(20 * 0.5)
    # With a second one that never was, 95 % never come.
    (row,) = compare({"claim": [*runs, loss(math.inf)]}).rows
    assert (row.time_p50, row.time_p95) == pytest.approx((1.1, math.inf))


def test_of_few_losses_95_percent_are_all() -> None:
    """Of two, half is the faster, and 95 % are not fewer than both: no time in between that nobody took."""
    (row,) = compare({"claim": [loss(5.0), loss(0.1)]}).rows
    assert (row.time_p50, row.time_p95) == pytest.approx((0.1, 5.0))


def test_runs_are_told_apart_by_their_strategies() -> None:
    """Round trips are those of an entry; where nobody counted, there is none."""
    table = compare([loss(1.0, n_round_trips=7), loss(2.0, n_round_trips=8), loss(math.inf, "none")])
    assert [(row.strategy, row.n_runs) for row in table.rows] == [("autoclaim", 2), ("none", 1)]
    assert table.rows[0].round_trips == 7.5
    assert math.isnan(table.rows[1].round_trips)


def test_the_table_in_words() -> None:
    """As plain text and as Markdown: a row each, "never" for what never came."""
    table = compare({"claim": [loss(0.5, n_round_trips=4)], "none": [loss(math.inf)]})
    lines = table.to_markdown().splitlines()
    assert lines[0].startswith("| strategy | time to recover p50 | p95 | never recovered |")
    assert lines[1].count("--:") == 10
    assert lines[2] == "| claim | 0.50 s | 0.50 s | 0 of 1 | 0 | 0 | 0 | 0 | 0 | 4.00 | 0.50 s |"
    assert lines[3].startswith("| none | never | never | 1 of 1 | 0 | 0 | 1 |")
    head, first, _ = str(table).splitlines()
    assert first.split()[:3] == ["claim", "0.50", "s"]
    assert len(head) == len(first)


def test_nothing_cannot_be_compared() -> None:
    """Neither no runs, nor a strategy without any."""
    with pytest.raises(ValueError, match="there are no runs"):
        compare([])
    with pytest.raises(ValueError, match="strategy none has no runs"):
        compare({"claim": [loss(1.0)], "none": []})


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark, found as Python finds it when it is run."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("recovery")


@pytest.mark.further("hundreds of runs")
def test_the_documented_table_is_what_the_command_gives(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the letter: the same seeds give the same table. If this fails, run the command and read what changed."""
    monkeypatch.setattr(sys, "argv", ["recovery.py", "--check"])
    assert benchmark.main() == 0, f"benchmarks/RECOVERY.md is not what the command gives:\n{capsys.readouterr().out}"


def test_a_table_that_was_changed_by_hand_is_noticed(benchmark: ModuleType, tmp_path: Path) -> None:
    """Only what lies between the markers is the command's."""
    begin, end, page = benchmark.BEGIN, benchmark.END, tmp_path / "page.md"
    page.write_text(f"before\n{begin}\n\n| old |\n\n{end}\nafter\n")
    assert benchmark.written(page, begin, end, "| new |") == page.read_text().replace("old", "new")
    page.write_text("nothing")
    with pytest.raises(SystemExit, match="no place for the table"):
        benchmark.written(page, begin, end, "| new |")
