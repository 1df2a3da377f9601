"""Lessons in JupyterLab, at the size of a laptop, from a learner's own copy: see `tests.walk` for all of them."""

from __future__ import annotations

import pytest

from tests.walk import COURSE, PATIENCE, Step, walk_lesson

pytestmark = pytest.mark.browser


@pytest.mark.further("`python -m tests.walk` for one lesson")
def test_a_lesson_can_be_walked_through(capsys: pytest.CaptureFixture[str]) -> None:
    """Cell by cell, with nothing to stumble over: no traceback, no warning, no long silence.

    It is worked through in a copy, and leaves the checkout as it was. On a busy machine its first cell, which imports
    everything, may be silent for longer than a learner likes.
    """
    before = {path: path.stat().st_mtime_ns for path in COURSE.rglob("*") if path.is_file()}
    assert walk_lesson("02_consumer_group.ipynb", patience=30.0) == []
    assert "02_consumer_group.ipynb:" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in COURSE.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("output", "silence", "words"),
    [
        ({"output_type": "error", "ename": "NameError", "evalue": "x"}, 0, "NameError: x"),
        ({"output_type": "stream", "name": "stderr", "text": "oh\n"}, 0, "stderr: oh"),
        ({"output_type": "stream", "name": "stdout", "text": "DeprecationWarning: old"}, 0, "DeprecationWarning: old"),
        ({"output_type": "stream", "name": "stdout", "text": "fine"}, PATIENCE + 1, "nothing was to be seen for 6.0 s"),
    ],
)
def test_the_walk_sees_what_a_learner_would(output: dict[str, str], silence: float, words: str) -> None:
    assert Step(1, silence, silence, [output], "x").complaints() == [words]


def test_the_walk_sees_nothing_where_there_is_nothing() -> None:
    output = {"output_type": "stream", "name": "stdout", "text": "42\n"}
    assert Step(1, 1.0, 1.0, [output], "6 * 7").complaints() == []
