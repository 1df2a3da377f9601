"""Verdicts: right for whatever does what was asked, and helpful words, never an exception, for the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from streamlab import checks
from streamlab.checks import Verdict
from streamlab.lab.lab import Lab
from streamlab.scenario import Arrivals, Scenario, Service, consumers, producers


def regular(rate: float = 100, service: float = 0.005, n: int = 1) -> Scenario:
    return Scenario(
        producers=producers(1, Arrivals("constant", rate=rate)),
        consumers=consumers(n, Service("constant", mean=service)),
        duration=2.0,
    )


BURST = regular(n=3).replace(producers=producers(1, Arrivals("bursts", rate=100, burst=30)), entries=30)


# ---- how a verdict shows itself --------------------------------------------------------------------


def test_a_verdict_is_true_if_the_answer_is_right() -> None:
    assert Verdict(True, "yes")
    assert not Verdict(False, "no")


def test_text_has_the_words_and_the_hint() -> None:
    assert repr(Verdict(True, "It is 4.")) == "✓ Right. It is 4."
    assert repr(Verdict(False, "It is not 5.", "count.")) == "✗ Not yet. It is not 5.\n  Hint: count."


def test_html_escapes_what_the_learner_wrote() -> None:
    shown = Verdict(False, "'<img onerror=x>' is not a Scenario.", "a <b> & c")._repr_html_()
    assert "<img" not in shown
    assert "a &lt;b&gt; &amp; c" in shown
    assert 'role="status"' in shown


# ---- no answer, or nonsense ------------------------------------------------------------------------

ONE_ARGUMENT: list[Callable[[object], Verdict]] = [
    lambda answer: checks.utilisation(answer, 0.8),
    lambda answer: checks.share(answer, "C1", 0.5),
    lambda answer: checks.in_a_row(answer, 7),
    checks.drain_time,
    lambda answer: checks.fewest_consumers(answer, regular(), limit=0.9),
    lambda answer: checks.most_producers(answer, regular(), limit=0.9),
    lambda answer: checks.enough_maxlen(answer, BURST),
    lambda answer: checks.assignment(answer, BURST),
]


@pytest.mark.parametrize("check", ONE_ARGUMENT)
def test_the_stub_is_no_answer_yet(check: Callable[[object], Verdict]) -> None:
    verdict = check(...)
    assert not verdict
    assert verdict.words == "There is no answer yet."
    assert verdict.hint


@pytest.mark.parametrize("check", ONE_ARGUMENT)
@pytest.mark.parametrize("nonsense", [None, "many", -3, 2.5, True])
def test_nonsense_gets_words_and_a_hint(check: Callable[[object], Verdict], nonsense: object) -> None:
    verdict = check(nonsense)
    assert not verdict
    assert repr(nonsense) in verdict.words
    assert verdict.hint


def test_a_scenario_that_would_take_a_minute_is_not_run() -> None:
    verdict = checks.utilisation(regular(rate=1e7), 0.8)
    assert not verdict
    assert "20,000,000 entries" in verdict.words


# ---- utilisation and drain time --------------------------------------------------------------------


@pytest.mark.parametrize("answer", [regular(rate=160), regular(service=0.008), regular(320, 0.005, 2)])
def test_utilisation_by_rate_or_by_service_or_by_consumers(answer: Scenario) -> None:
    assert checks.utilisation(answer, 0.8)


@pytest.mark.parametrize(("rate", "said"), [(100, "has to be more"), (190, "has to be less"), (300, "stay under 1")])
def test_utilisation_missed(rate: float, said: str) -> None:
    verdict = checks.utilisation(regular(rate=rate), 0.8)
    assert not verdict
    assert said in verdict.hint


def test_milliseconds_given_for_seconds_are_told_so() -> None:
    """And a rate in another unit."""
    assert "8 ms is 0.008" in checks.utilisation(regular(service=8), 0.8).hint
    assert "in entries per second" in checks.utilisation(regular(rate=0.16), 0.8).hint
    slow = regular(rate=800, service=0.0025, n=4).with_consumer("C2", service=11)
    assert "11 ms is 0.011" in checks.share(slow, "C2", 0.10).hint


def test_a_service_of_a_second_is_right_if_the_rate_is_low() -> None:
    assert checks.utilisation(regular(rate=0.8, service=1), 0.8, tolerance=0.2)


def right_drain_time(backlog: float, rate: float, service_time: float) -> float:
    return backlog / (1 / service_time - rate) if rate * service_time < 1 else math.inf


def step_by_step(backlog: float, rate: float, service_time: float) -> Any:
    """Let a millisecond pass after the other."""
    now = 0.0
    while backlog > 0:
        now += 0.001
        backlog += 0.001 * (rate - 1 / service_time)
        if now > 100:
            return np.inf
    return np.float64(now)


@pytest.mark.parametrize("answer", [right_drain_time, step_by_step])
def test_drain_time(answer: Callable[..., float]) -> None:
    assert checks.drain_time(answer)


def test_drain_time_has_hints_of_its_own() -> None:
    """For milliseconds, for a load of exactly 1, and for what never returns anything."""
    assert "milliseconds" in checks.drain_time(lambda *case: 1000 * right_drain_time(*case)).hint
    below_or_at_1 = checks.drain_time(lambda b, r, s: b / (1 / s - r) if r * s <= 1 else math.inf)
    assert "as many come as go" in below_or_at_1.hint
    assert "without `return`" in checks.drain_time(lambda *_: None).hint


def forgets_arrivals(backlog: float, rate: float, service_time: float) -> float:
    return backlog * service_time


def never_infinite(backlog: float, rate: float, service_time: float) -> float:
    return backlog / (1 / service_time - rate)


def raises(backlog: float, rate: float, service_time: float) -> float:
    raise ZeroDivisionError("division by zero")


def stub(backlog: float, rate: float, service_time: float) -> object:
    return ...


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (forgets_arrivals, "in the simulation it took 3.9"),
        (never_infinite, "never goes away"),
        (raises, "raised ZeroDivisionError: division by zero"),
        (lambda b, r, s: 1000 * right_drain_time(b, r, s), "returned 4e+03 s"),
        (lambda b, r, s: b / (1 / s - r) if r * s <= 1 else math.inf, "raised ZeroDivisionError"),
        (stub, "There is no answer yet."),
        (lambda *_: math.nan, "returned nan s"),
        (lambda *_: "4 s", "returned '4 s'"),
        (lambda backlog: 1, "cannot be called with 3 arguments"),
        (lambda *_: None, "it returned None"),
    ],
)
def test_drain_time_missed(answer: object, words: str) -> None:
    verdict = checks.drain_time(answer)
    assert not verdict
    assert words in verdict.words


# ---- how many --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "passed", "hint"), [(4, False, "more"), (5, True, ""), (6, False, "fewer")])
def test_fewest_consumers(answer: int, passed: bool, hint: str) -> None:
    """400/s × 10 ms = 4: five consumers are busy 80 %, four 100 %."""
    verdict = checks.fewest_consumers(answer, regular(rate=400, service=0.010), limit=0.85)
    assert verdict.passed is passed, verdict
    assert hint in verdict.hint


@pytest.mark.parametrize(("answer", "passed", "hint"), [(8, False, "more"), (9, True, ""), (10, False, "fewer")])
def test_most_producers(answer: int, passed: bool, hint: str) -> None:
    """Each brings a load of 0.1."""
    verdict = checks.most_producers(answer, regular(rate=20), limit=0.92)
    assert verdict.passed is passed, verdict
    assert hint in verdict.hint


def test_one_consumer_may_be_enough() -> None:
    assert checks.fewest_consumers(1, regular(), limit=0.9)


def test_share() -> None:
    slow = regular(rate=800, service=0.0025, n=4).with_consumer("C2", service=0.011)
    assert checks.share(slow, "C2", 0.10)
    assert "slower" in checks.share(slow.with_consumer("C2", service=0.005), "C2", 0.10).hint
    assert "C2 is like the 9 others" in checks.share(regular(n=10), "C2", 0.10).words
    assert "faster" in checks.share(slow, "C2", 0.30).hint
    assert "no C9" in checks.share(slow, "C9", 0.10).words


def test_the_others_stay_as_they_are() -> None:
    slow = regular(rate=800, service=0.0025, n=4).with_consumer("C2", service=0.011)
    verdict = checks.share(slow.with_consumer("C4", service=0.002), "C2", 0.10)
    assert "not alike any more" in verdict.words


@pytest.mark.parametrize("n", [5, 5.0, np.int64(5)])
def test_a_number_may_be_numpys(n: object) -> None:
    assert checks.fewest_consumers(n, regular(rate=400, service=0.010), limit=0.85)


@pytest.mark.parametrize(
    ("answer", "passed", "words"),
    [
        (50, False, "trimmed before any consumer had read them"),
        (290, False, "luck"),
        (299, True, "at most 299"),
        (600, True, "at most 299 entries waited, with 1 in work"),
        (601, False, "more than twice as many"),
        (5000, False, "more than twice as many"),
    ],
)
def test_enough_maxlen(answer: int, passed: bool, words: str) -> None:
    sale = regular(service=0.010).replace(producers=producers(1, Arrivals("bursts", rate=60, burst=300)), duration=11.0)
    verdict = checks.enough_maxlen(answer, sale)
    assert verdict.passed is passed, verdict
    assert words in verdict.words


# ---- who gets what ---------------------------------------------------------------------------------


SEVEN = regular(rate=300, n=3).replace(entries=7)
DEALT = ["C1", "C2", "C3", "C1", "C2", "C3", "C1"]


@pytest.mark.parametrize(
    "answer",
    [
        DEALT,
        tuple(DEALT),
        [*enumerate(DEALT, 1)],
        enumerate(DEALT),
        iter(DEALT),
        [(name, n) for n, name in enumerate(DEALT, 1)],
        [*reversed([*enumerate(DEALT, 1)])],
        dict(enumerate(DEALT, 1)),
        {str(n): name for n, name in enumerate(DEALT, 1)},
        {"C1": [1, 4, 7], "C2": [2, 5], "C3": (3, 6)},
        {"C3": {3, 6}, "C1": [1, 4, 7], "C2": [2, 5]},
        [[n, name] for n, name in enumerate(DEALT)],
        "C1 C2 C3 C1 C2 C3 C1",
        "C1, C2, C3, C1, C2, C3, C1",
        "1→C1, 2→C2, 3→C3, 4→C1, 5→C2, 6→C3, 7→C1",
        "1: C1\n2: C2\n3: C3\n4: C1\n5: C2\n6: C3\n7: C1",
        [name.lower() for name in DEALT],
        [1, 2, 3, 1, 2, 3, 1],
        np.array(DEALT),
        np.array([1, 2, 3, 1, 2, 3, 1]),
        pd.Series(DEALT),
    ],
    ids=lambda answer: str(answer).split(" at 0x")[0],
)
def test_assignment_in_any_form_that_has_one_meaning(answer: object) -> None:
    assert checks.assignment(answer, SEVEN)


@pytest.mark.parametrize(
    ("answer", "words", "hint"),
    [
        (["C1", "C2", "C3", "C3", "C2", "C1", "C1"], "Entry 4 does not go to C3; the 3 before", "waited longest"),
        (["C2", *DEALT[1:]], "Entry 1 does not go to C2.", "entry 1"),
        (["C1", "C3", *DEALT[2:]], "Entry 2 does not go to C3; the 1 before it is right.", "entry 2"),
        (["C1", "C2"], "2 names; there are 7 entries", "one name for each"),
        ([*DEALT[:-1], "C4"], "no consumer 'C4'", "C1, C2, C3"),
        ({"C1", "C2", "C3"}, "is not a list of names", "in their order"),
        (7, "7 is not a list of names", "in their order"),
        ([None] * 7, "is not a list of names", "in their order"),
        ({}, "0 names", "one name for each"),
        ([*enumerate(["C2", *DEALT[1:]])], "Entry 1 does not go to C2.", "entry 1"),
    ],
)  # fmt: skip
def test_assignment_missed(answer: object, words: str, hint: str) -> None:
    verdict = checks.assignment(answer, SEVEN)
    assert not verdict
    assert words in verdict.words
    assert hint in verdict.hint


def test_in_a_row() -> None:
    assert checks.in_a_row(BURST.with_count(7), 7)
    assert not checks.in_a_row(BURST, 7)
    assert "There is 1 consumer;" in checks.in_a_row(BURST.with_consumers(1), 7).words
    assert "COUNT is the most" in checks.in_a_row(regular(n=3).with_count(7), 7).hint
    few = BURST.replace(entries=3)
    assert checks.in_a_row(few.with_count(7), 7).words == "There are only 3 entries; 7 were asked for."


def test_others_that_are_slow_or_stand_still_leave_seven_in_a_row() -> None:
    slow = BURST.with_consumer("C2", service=1.0).with_consumer("C3", service=1.0)
    assert checks.in_a_row(slow, 7)
    assert checks.in_a_row(BURST.with_faults("pause C2 at 0ms for 9s", "pause C3 at 0ms for 9s"), 7)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [(Lab(BURST), "not its Lab"), (Lab(BURST).run(), "not its Lab"), (BURST.with_rate, "is called")],
    ids=["lab", "run", "method"],
)
def test_what_is_almost_a_scenario(answer: object, hint: str) -> None:
    verdict = checks.utilisation(answer, 0.8)
    assert not verdict
    assert hint in verdict.hint


def test_too_many_actors_are_not_run() -> None:
    assert "too many to try" in checks.utilisation(regular(n=5_000), 0.8).words
