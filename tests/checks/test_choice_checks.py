"""The choice of a means for a situation: one is right, and each other one is told what would happen."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from streamlab import checks
from streamlab.checks.choices import MEANS, SITUATIONS

LESSON = Path(__file__).parents[2] / "notebooks" / "solutions" / "15_conclusion.ipynb"
BEST = {name: situation.best for name, situation in SITUATIONS.items()}
WRONG = [(name, means) for name in SITUATIONS for means in MEANS if means != BEST[name]]


def test_the_simplest_means_are_right():
    """As a dict, in any order, and as a list in the order of the situations."""
    assert checks.choices(BEST)
    assert checks.choices(dict(reversed(BEST.items())))
    assert checks.choices([*BEST.values()])


def test_each_means_is_right_once():
    """So none can be taken for all, or left out."""
    assert sorted(BEST.values()) == sorted(MEANS)


@pytest.mark.parametrize(("name", "means"), WRONG)
def test_a_wrong_choice_is_told_what_would_happen(name, means):
    """The others being right, the verdict speaks of this one: in words of its own, with a question."""
    verdict = checks.choices(BEST | {name: means})
    assert not verdict
    assert verdict.words.startswith(f"{name}, by {means}: {SITUATIONS[name].otherwise[means]}")
    assert "(5 of 6 are right.)" in verdict.words
    assert verdict.hint == SITUATIONS[name].question


def test_no_two_wrong_choices_are_told_the_same():
    """Thirty sentences; and none for the means that is best."""
    told = [said for situation in SITUATIONS.values() for said in situation.otherwise.values()]
    assert len(told) == len(set(told)) == len(WRONG) == 30
    assert not any(situation.best in situation.otherwise for situation in SITUATIONS.values())


@pytest.mark.parametrize("means", MEANS)
def test_means_may_be_written_in_other_ways(means):
    """Capitals, spaces, and the words that lessons use; none of them for two means."""
    (name,) = [name for name, best in BEST.items() if best == means]
    for text in (means.upper(), f" {means} ", *MEANS[means]):
        assert checks.choices(BEST | {name: text}), text


def test_no_way_to_write_it_is_ambiguous():
    texts = [text for means, others in MEANS.items() for text in (means, *others)]
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (..., "There is no answer yet"),
        (dict.fromkeys(BEST, ...), "There is no answer yet"),
        (BEST | {"mail": ...}, "no choice yet for mail"),
        ({name: BEST[name] for name in ("typing", "mail")}, "no choice yet for thumbnails, dash"),
        ({}, "no choice yet for typing, thumb"),
        (BEST | {"rain": "list"}, "no situation 'rain'"),
        (BEST | {"mail": "rabbitmq"}, "mail: 'rabbitmq' is none of the means"),
        (BEST | {"typing": None}, "typing: None is none of the means"),
        (["list"] * 5, "5 choices for 6 situations"),
        (None, "None is not a choice for each situation"),
        ("group", "'group' is not a choice for each situation"),
        (7, "7 is not a choice for each situation"),
        ({"group"}, "is not a choice for each situation"),
    ],
)
def test_what_is_no_choice(answer, says):
    """It is told what is missing, and with a hint."""
    verdict = checks.choices(answer)
    assert not verdict
    assert says in verdict.words
    assert verdict.hint


def test_the_first_that_is_wrong_is_told_of():
    """One thing at a time, and how many are right."""
    verdict = checks.choices(["group"] * 6)
    assert verdict.words.startswith("typing, by group:")
    assert "(1 of 6 are right.)" in verdict.words


def test_the_lesson_describes_each_situation():
    """In bold, by the names that the check knows, and in its order."""
    texts = [c.source for c in nbformat.read(LESSON, as_version=4).cells]
    described = re.findall(r"^- \*\*(\w+)\*\*: ", "\n".join(texts), re.M)
    assert described == [*SITUATIONS]
