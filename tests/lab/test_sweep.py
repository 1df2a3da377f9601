"""`sweep_over`: a scenario's variations in figures, and how far these can be trusted."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest

from streamlab import Lab, Run, load_scenario, sweep_over
from streamlab.lab import how_far
from streamlab.results.statistics import quantile
from streamlab.results.sweep_table import Estimate, Figures
from streamlab.scenario import ScenarioError

BASE = load_scenario("one-to-one").replace(entries=60, duration=None)


def test_each_combination_with_each_seed() -> None:
    """The figures are those of the runs by themselves; the same seed gives each variation the same arrivals."""
    swept = sweep_over(BASE, consumers=[1, 2], service=[0.002, 0.01], seeds=[5, 3])
    assert (swept.over, swept.seeds, swept.broken) == (("consumers", "service"), (5, 3), ())
    assert repr(swept) == "<SweepTable of one-to-one over consumers, service: 4 rows, 2 seeds>"
    assert [tuple(row.values.values()) for row in swept.rows] == [(1, 0.002), (1, 0.01), (2, 0.002), (2, 0.01)]
    for row in swept.rows:
        scenario = BASE.with_consumers(row.values["consumers"]).with_service(row.values["service"])
        assert row.scenario == scenario
        runs = [Lab(scenario.replace(seed=seed)).run() for seed in (5, 3)]
        assert list(row.runs) == [Figures.of(run) for run in runs]
        times = sorted(time for run in runs for time in run.ledger.sojourns())
        assert row.estimate("sojourn_p99").value == quantile(times, 0.99)
        assert row.estimate("sojourn_mean").value == pytest.approx(math.fsum(times) / 120)
        assert row.estimate("left").value == 0


def test_a_sweep_is_the_same_in_several_processes() -> None:
    """To the letter, what is broken included."""
    asked: dict[str, Any] = {"consumers": [1, 2], "seeds": range(1, 4)}
    assert sweep_over(BASE, **asked, jobs=2) == sweep_over(BASE, **asked)


def test_figures_of_a_run() -> None:
    """With one of two dead from the start: half of the consumers' time is idle, and nothing stays."""
    run = Lab(BASE.with_consumers(2).with_faults("kill C1 at 0s")).run()
    figures = Figures.of(run)
    assert figures.utilisation == run.consumers["C2"].utilisation / 2 > 0
    assert (figures.sojourn_p50, figures.sojourn_max) == (run.sojourn.p50, run.sojourn.max)
    assert (figures.left, figures.lost, figures.duplicates) == (0, 0, 0)
    nothing_done = Figures.of(Lab(BASE.with_faults("kill C1 at 0s").replace(drain=0.5)).run())
    assert nothing_done.left == 60
    assert math.isnan(nothing_done.sojourn_p99)


def test_a_long_one_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """To whoever looks at a terminal, on a line of which nothing is left."""
    monkeypatch.setattr(how_far, "_PATIENCE", 0.0)
    monkeypatch.setattr(how_far, "_EVERY", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    sweep_over(BASE, consumers=[1, 2], seeds=[1, 2])
    said = capsys.readouterr().err
    assert [f"{n} of 4 runs |" in said for n in range(4)] == [True] * 4
    *_, blank, nothing = said.split("\r")
    assert (blank.strip(), nothing) == ("", "")


# ---- how far it can be trusted ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "centre", "value", "margin"),
    [
        # By hand: a standard deviation of 1, over the root of 3, times Student's t for 2 degrees of freedom.
        ([1.0, 2.0, 3.0], None, 2.0, 4.303 / math.sqrt(3)),
        ([4.0, 4.0], None, 4.0, 0.0),
        ([1.0, 3.0], None, 2.0, 12.706),
        # About what all came to together, and not about their mean.
        ([1.0, 3.0], 4.0, 4.0, 12.706 * math.sqrt(10 / 1 / 2)),
        ([0.0, 2.0] * 50, None, 1.0, 1.984 * math.sqrt(100 / 99 / 100)),
    ],
)
def test_half_of_the_confidence_interval(
    values: list[float], centre: float | None, value: float, margin: float
) -> None:
    assert Estimate.of(values, centre) == pytest.approx((value, margin), rel=1e-3)


def test_one_run_says_nothing_of_the_next() -> None:
    """Nor does none; and no NaN is shown."""
    value, margin = Estimate.of([7.0])
    assert value == 7
    assert math.isnan(margin)
    undone = str(sweep_over(BASE.with_faults("kill C1 at 0s").replace(drain=0.1), rate=[9], seeds=[1, 2]))
    assert " – " in undone
    assert undone.endswith("  60.0")
    shown = str(sweep_over(BASE, consumers=[1], seeds=[1]))
    assert "±" not in shown
    assert "left undone" not in shown
    assert "nan" not in shown


def test_the_interval_holds_what_many_runs_come_to() -> None:
    """95 % of the intervals of 8 runs do; of 40 of them at least 34 (by chance: 99.7 %), and not all at any width."""
    swept = sweep_over(BASE, service=[0.005], seeds=range(320))
    (row,) = swept.rows
    values = [run.waiting_mean for run in row.runs]
    truth = math.fsum(values) / len(values)
    estimates = [Estimate.of(values[i : i + 8]) for i in range(0, 320, 8)]
    assert sum(abs(each.value - truth) <= each.margin for each in estimates) >= 34
    assert sum(abs(each.value - truth) <= each.margin / 3 for each in estimates) < 34


# ---- what is shown, and what is refused ------------------------------------------------------------


def test_a_sweep_shows_itself() -> None:
    """Each parameter in a column, times with their margins and units."""
    swept = sweep_over(BASE.replace(name="tea & cake"), service=[0.002, 1.5], seeds=[1, 2])
    text = str(swept).splitlines()
    assert text[0] == "tea & cake over service: 4 simulated runs"
    assert text[1] == ("mean and p99 of the sojourn time, 2 seeds each; ± is half of the 95 % confidence interval")
    assert text[3].split("  ")[0] == "service"
    assert [line.split("  ")[0] for line in text[4:]] == ["2 ms", "1.5 s"]
    for line, row in zip(text[4:], swept.rows, strict=True):
        value, margin = (1000 * seconds for seconds in row.estimate("sojourn_p99"))
        assert f" {value:,.1f}±{margin:,.1f} " in line
    assert "tea &amp; cake" in swept._repr_html_()


def test_what_is_broken_is_told_with_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "broken", lambda run: ["tea is gone"] if run.scenario.seed == 2 else [])
    swept = sweep_over(BASE, consumers=[1, 2], seeds=[1, 2])
    assert swept.broken == ("consumers 1, seed 2: tea is gone", "consumers 2, seed 2: tea is gone")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "nothing is swept over"),
        ({"consumers": [2, 0]}, "consumers 0: the number of consumers is 0"),
        (
            {"rate": [1], "fault": ["kill C1 at 0s"]},
            "fault is no parameter of a scenario: known are producers, consumers",
        ),
        ({"consumers": [1], "seeds": []}, "seeds has no values"),
        ({"consumers": [1], "seeds": [4, 5, 4]}, "seeds has a value twice"),  # two runs that are one prove no more
        ({"recovery": ["claim", "atoclaim"]}, "recovery atoclaim: recovery.strategy is 'atoclaim': did you mean autoc"),
    ],
)
def test_nonsense_is_refused_before_anything_runs(
    asked: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lab, "run", lambda lab: pytest.fail("something has run"))
    with pytest.raises(ScenarioError) as caught:
        sweep_over(BASE, **asked)
    assert words in str(caught.value)


def test_a_fault_that_is_aimed_at_nobody_names_the_variation() -> None:
    with pytest.raises(ScenarioError, match=r"^consumers 1: faults\.0 is 'kill C2 at 0s': kill: there is no 'C2'"):
        sweep_over(BASE.with_consumers(2).with_faults("kill C2 at 0s"), consumers=[2, 1])
