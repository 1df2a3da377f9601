"""Answers to the exercises: for each lesson a table of right ones, and of likely wrong ones with their hints.

The table of lesson NN is ``lesson_NN.py``, a list `EXERCISES`; tests/checks/test_answers.py tries it.

    EXERCISES = [
        Exercise(
            verdict="checks.utilisation(",  # how the verdict cell begins
            right=["my_scenario = clockwork.with_rate(160)", ...],
            wrong=[Wrong("my_scenario = clockwork.with_rate(80)", "has to be more"), ...],
        ),
    ]

An answer is code that runs after the learner's exercise cell (the stub), in a copy of the variables that the
lesson has at that point; then the verdict cell is evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wrong:
    """A likely wrong answer, and a piece of the verdict's words or hint that must be found for it."""

    code: str
    says: str


@dataclass(frozen=True, slots=True)
class Exercise:
    """The answers to one exercise; `verdict` is how its verdict cell begins."""

    verdict: str
    right: Sequence[str]
    wrong: Sequence[Wrong]
