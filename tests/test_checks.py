"""Verdicts: right for whatever does what was asked, and helpful words, never an exception, for the rest."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest

from streamlab import checks
from streamlab.checks import Verdict
from streamlab.scenario import Arrivals, Scenario, Service, consumers, producers


def regular(rate: float = 100, service: float = 0.005, n: int = 1) -> Scenario:
    return Scenario(
        producers=producers(1, Arrivals("constant", rate=rate)),
        consumers=consumers(n, Service("constant", mean=service)),
        duration=2.0,
    )


BURST = dataclasses.replace(
    regular(n=3), producers=producers(1, Arrivals("bursts", rate=100, burst=30)), entries=30
)


# ---- how a verdict shows itself --------------------------------------------------------------------


def test_a_verdict_is_true_if_the_answer_is_right() -> None:
    assert Verdict(True, "yes")
    assert not Verdict(False, "no")


def test_text_has_the_words_and_the_hint() -> None:
    assert repr(Verdict(True, "It is 4.")) == "✓ Right. It is 4."
    assert (
        repr(Verdict(False, "It is not 5.", "count.")) == "✗ Not yet. It is not 5.\n  Hint: count."
    )


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
def test_nonsense_gets_words_and_a_hint(
    check: Callable[[object], Verdict], nonsense: object
) -> None:
    verdict = check(nonsense)
    assert not verdict
    assert repr(nonsense) in verdict.words
    assert verdict.hint


def test_a_scenario_that_would_take_a_minute_is_not_run() -> None:
    verdict = checks.utilisation(regular(rate=1e7), 0.8)
    assert not verdict
    assert "20,000,000 entries" in verdict.words


# ---- utilisation and drain time --------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [regular(rate=160), regular(service=0.008), regular(320, 0.005, 2)]
)
def test_utilisation_by_rate_or_by_service_or_by_consumers(answer: Scenario) -> None:
    assert checks.utilisation(answer, 0.8)


@pytest.mark.parametrize(
    ("rate", "said"), [(100, "has to be more"), (190, "has to be less"), (300, "stay under 1")]
)
def test_utilisation_missed(rate: float, said: str) -> None:
    verdict = checks.utilisation(regular(rate=rate), 0.8)
    assert not verdict
    assert said in verdict.hint


def test_drain_time() -> None:
    def right(backlog: float, rate: float, service_time: float) -> float:
        return backlog / (1 / service_time - rate) if rate * service_time < 1 else math.inf

    assert checks.drain_time(right)


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
        (stub, "There is no answer yet."),
        (lambda *_: math.nan, "returned nan s"),
        (lambda *_: "4 s", "returned '4 s'"),
        (lambda backlog: 1, "raised TypeError"),
    ],
)
def test_drain_time_missed(answer: object, words: str) -> None:
    verdict = checks.drain_time(answer)
    assert not verdict
    assert words in verdict.words


# ---- how many --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "passed", "hint"), [(4, False, "more"), (5, True, ""), (6, False, "fewer")]
)
def test_fewest_consumers(answer: int, passed: bool, hint: str) -> None:
    """400/s × 10 ms = 4: five consumers are busy 80 %, four 100 %."""
    verdict = checks.fewest_consumers(answer, regular(rate=400, service=0.010), limit=0.85)
    assert verdict.passed is passed, verdict
    assert hint in verdict.hint


@pytest.mark.parametrize(
    ("answer", "passed", "hint"), [(8, False, "more"), (9, True, ""), (10, False, "fewer")]
)
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
    assert "slower" in checks.share(regular(n=4), "C2", 0.10).hint
    assert "faster" in checks.share(slow, "C2", 0.30).hint
    assert "no C9" in checks.share(slow, "C9", 0.10).words


@pytest.mark.parametrize(
    ("answer", "passed", "words"),
    [
        (50, False, "trimmed before anybody had read them"),
        (290, False, "luck"),
        (299, True, "at most 299"),
        (590, True, "at most 299"),
        (5000, False, "far more"),
    ],
)
def test_enough_maxlen(answer: int, passed: bool, words: str) -> None:
    sale = dataclasses.replace(
        regular(service=0.010),
        producers=producers(1, Arrivals("bursts", rate=60, burst=300)),
        duration=11.0,
    )
    verdict = checks.enough_maxlen(answer, sale)
    assert verdict.passed is passed, verdict
    assert words in verdict.words


# ---- who gets what ---------------------------------------------------------------------------------


def test_assignment() -> None:
    seven = dataclasses.replace(regular(rate=300, n=3), entries=7)
    assert checks.assignment(["C1", "C2", "C3", "C1", "C2", "C3", "C1"], seven)
    assert (
        "Entry 4 does not go to C3; the 3 before it"
        in checks.assignment(["C1", "C2", "C3", "C3", "C2", "C1", "C1"], seven).words
    )
    assert "2 names; there are 7 entries" in checks.assignment(["C1", "C2"], seven).words


def test_in_a_row() -> None:
    assert checks.in_a_row(BURST.with_count(7), 7)
    assert not checks.in_a_row(BURST, 7)
    assert "1 consumers" in checks.in_a_row(BURST.with_consumers(1), 7).words
