"""Runs that are drawn."""

from __future__ import annotations

import pytest

from streamlab.lab.lab import Lab
from streamlab.results.run import Run
from streamlab.scenario.named import many_to_many, one_to_one
from tests.views.figures import story, written


@pytest.fixture(scope="session")
def seven() -> Run:
    """Scenario 4 as the course tells it: 7 entries, 3 consumers."""
    return Lab(many_to_many().replace(entries=7, duration=None)).run()


@pytest.fixture(scope="session")
def shared() -> Run:
    """Scenario 2: 8,000 entries over 4 consumers."""
    return Lab("one-to-many").run()


@pytest.fixture(scope="session")
def overloaded() -> Run:
    """One consumer that is 20 % too slow: the backlog grows for as long as entries are added."""
    return Lab(one_to_one().with_rate(240)).run()


@pytest.fixture
def crash() -> Run:
    """C2 crashes at 0.12 s with one entry done and two not; at 0.3 s C1 claims all three."""
    return written(
        *story(1, "C1", 0.0, 0.01, 0.05, 0.05),
        *[row for n in (2, 3, 4) for row in story(n, "C2", 0.0, 0.02)],
        (0.08, "processed", "C2", 2),
        (0.12, "crashed", "C2"),
        *[(0.3, "claimed", "C1", n, 2) for n in (2, 3, 4)],
        *[(0.3 + 0.04 * n, "processed", "C1", n + 1) for n in (1, 2, 3)],
        *[(0.31 + 0.04 * n, "acked", "C1", n + 1) for n in (1, 2, 3)],
    )
