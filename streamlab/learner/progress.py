"""`Progress`: which exercises of the course are done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from streamlab.learner.exercises import Lesson
from streamlab.scenario.small_table import ShowsItself, SmallTable


@dataclass(frozen=True, slots=True)
class Progress(ShowsItself):
    """The lessons that have exercises, and when each of these was done first, by its key."""

    lessons: tuple[Lesson, ...]
    done: dict[str, datetime]

    @property
    def n_exercises(self) -> int:
        """How many exercises there are."""
        return sum(len(lesson.exercises) for lesson in self.lessons)

    @property
    def n_done(self) -> int:
        """How many of them are done."""
        return sum(exercise.key in self.done for lesson in self.lessons for exercise in lesson.exercises)

    @property
    def is_complete(self) -> bool:
        """Whether all are done."""
        return self.n_done == self.n_exercises

    @property
    def last(self) -> datetime | None:
        """When the last of them was done."""
        every = [exercise.key for lesson in self.lessons for exercise in lesson.exercises]
        return max((self.done[key] for key in every if key in self.done), default=None)

    def as_table(self) -> SmallTable:
        """Return a row for each lesson, and a column for each exercise: the day on which it was done."""
        most = max((len(lesson.exercises) for lesson in self.lessons), default=0)
        head = ("lesson", *(f"exercise {number}" for number in range(1, most + 1)))
        rows = []
        for lesson in self.lessons:
            days = {exercise.number: self.done.get(exercise.key) for exercise in lesson.exercises}
            cells = (
                "" if number not in days else "open" if (at := days[number]) is None else f"✓ {day(at)}"
                for number in range(1, most + 1)
            )
            rows.append((f"{lesson.number} {lesson.title}", *cells))
        return SmallTable([f"{self.n_done} of {self.n_exercises} exercises are done."], head, rows)


def day(at: datetime) -> str:
    """Return a day for reading: ``3 Nov 2026``."""
    return f"{at.day} {at:%b %Y}"
