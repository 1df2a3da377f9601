"""The exercises that there are, read from the lessons themselves."""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TITLE = re.compile(r"^# (?P<title>.+)$", re.M)
_HEADING = re.compile(r"^## Exercise (?P<number>\d+)", re.M)


@dataclass(frozen=True, slots=True)
class Exercise:
    """An exercise: its lesson, its number there, and the code that checks it."""

    lesson: str
    number: int
    check: str

    @property
    def key(self) -> str:
        """What it is called in a record: ``03_one_to_one/2``."""
        return f"{self.lesson}/{self.number}"


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson that has exercises."""

    name: str
    title: str
    exercises: tuple[Exercise, ...]

    @property
    def number(self) -> str:
        """What its file's name begins with: ``03``."""
        return self.name.partition("_")[0]


@functools.cache
def lessons(course: Path) -> tuple[Lesson, ...]:
    """Return the lessons of a course that have exercises, in their order."""
    found = (_lesson(path) for path in sorted(course.glob("*.ipynb")))
    return tuple(lesson for lesson in found if lesson.exercises)


def exercise_of(code: str, course: Path) -> Exercise | None:
    """Return the exercise that a cell's code checks, as the lesson has it; None if it is no such cell."""
    if "checks." not in code:
        return None
    check = _plain(code)
    every = (exercise for lesson in lessons(course) for exercise in lesson.exercises)
    return next((exercise for exercise in every if exercise.check == check), None)


def _lesson(path: Path) -> Lesson:
    cells: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["cells"]
    title = _TITLE.search(_source(cells[0]))
    return Lesson(path.stem, title["title"] if title else path.stem, tuple(_exercises(path.stem, cells)))


def _exercises(lesson: str, cells: list[dict[str, Any]]) -> Iterator[Exercise]:
    number = 0
    for cell in cells:
        if cell["cell_type"] == "markdown" and (heading := _HEADING.search(_source(cell))):
            number = int(heading["number"])
        elif "verdict" in cell["metadata"].get("tags", []):
            yield Exercise(lesson, number, _plain(_source(cell)))


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def _plain(code: str) -> str:
    """Return the last statement of a piece of code as Python writes it, whatever its blanks and comments."""
    try:
        body = ast.parse(code).body
    except SyntaxError:  # a magic
        return ""
    return ast.unparse(body[-1]) if body else ""
