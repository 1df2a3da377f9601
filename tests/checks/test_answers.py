"""The answers in ``tests/checks/answers``: right ones are passed, and wrong ones are told what is wrong with them.

A lesson's source is run cell by cell; cells on which no exercise and no answer depends are left out. At a verdict
each answer of the exercise's table is tried: the exercise as the learner is given it runs in a copy of the variables,
then the answer, then the verdict.
"""

from __future__ import annotations

import ast
import functools
import importlib
import itertools
import linecache
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from ipywidgets import Widget

from streamlab.checks import Verdict
from tests.checks.answers import Exercise, Wrong
from tests.checks.lesson_cells import bound, loaded, needed
from tests.further import beyond
from tests.project.test_notebooks import FOLDER, NEEDS_SERVER, WRITES_FILE, build, tags

#: How many right answers an exercise has at least.
N_RIGHT = 10
UNTOUCHED = Wrong("", "There is no answer yet.")
#: Of the right ones so many are tried with the wrong ones. They take the most time: each is put to all schedules.
N_FIRST = 3

Space = dict[str, Any]


@dataclass
class Question:
    """A verdict cell of a lesson, and the cells of the exercise that belong to it."""

    lesson: str
    verdict: str
    #: The cells from the first with a solution on, and whether each has one.
    cells: Sequence[tuple[str, bool]]

    @property
    def words(self) -> str:
        return f"{self.lesson}, {self.verdict.splitlines()[0]}"

    def has_name_to_answer(self) -> bool:
        """Return whether the verdict looks at something that the exercise's cells bind; else it is commands."""
        solutions = [source for source, has_solution in self.cells if has_solution]
        answered = {n for s in solutions if not WRITES_FILE.match(s) for n in bound(s)}
        return bool(loaded(self.verdict) & answered)

    def objections(self, space: Space, exercise: Exercise) -> Iterator[str]:
        """Try all answers, the source's own first; yield what is wrong with the verdicts on them."""
        here = space | ({"N_SCHEDULES": 10} if "N_SCHEDULES" in space else {})  # as those answers have it
        for source, _ in self.cells:
            run(source, here)
        if not (verdict := value_of(self.verdict, here)):
            yield f"{self.words}: the solution is wrong: {verdict!r}"
        for code in exercise.right:
            verdict = self.verdict_on(code, space)
            if not verdict:
                yield f"{self.words}: this is right:\n\n{code}\n\nand the verdict is:\n\n{verdict!r}"
        for wrong in exercise.wrong:
            verdict = self.verdict_on(wrong.code, space)
            said = f"{verdict.words}\n{verdict.hint}"
            if verdict:
                yield f"{self.words}: this is wrong:\n\n{wrong.code}\n\nand the verdict is:\n\n{verdict!r}"
            elif wrong.says not in said:
                yield (
                    f"{self.words}: of this answer:\n\n{wrong.code}\n\nis to be said: {wrong.says!r}, "
                    f"and the verdict is:\n\n{verdict!r}"
                )

    def verdict_on(self, code: str, space: Space) -> Verdict:
        """Return the verdict on one answer, given after the exercise as the learner finds it."""
        here = dict(space)
        try:
            for source, has_solution in self.cells:
                run(build.without_solution(source) if has_solution else source, here)
            run(code, here)
        except Exception:
            raise AssertionError(
                f"{self.words}: this raises an error before there is a verdict on it:\n\n{code}\n\n"
                + traceback.format_exc()
            ) from None
        verdict = value_of(self.verdict, here)
        assert verdict._repr_html_()
        return verdict


_numbers = itertools.count(1)


def compiled(tree: ast.Module | ast.Expression, source: str, mode: str) -> Any:
    """Compile code so that its lines are found in tracebacks, as those of a notebook's cells are."""
    name = f"<cell {next(_numbers)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    return compile(tree, name, mode)


def run(source: str, space: Space) -> None:
    """Run a cell in a space of variables; write the file that it says it writes."""
    if magic := WRITES_FILE.match(source):
        with Path(magic["path"].format(**space)).open("a" if magic["append"] else "w") as file:
            file.write(source.partition("\n")[2] + "\n")
        return
    exec(compiled(ast.parse(source), source, "exec"), space)


def value_of(source: str, space: Space) -> Verdict:
    """Return the verdict that is a cell's one expression."""
    (expression,) = ast.parse(source).body
    assert isinstance(expression, ast.Expr)
    verdict = eval(compiled(ast.Expression(expression.value), source, "eval"), space)
    assert isinstance(verdict, Verdict)
    return verdict


def questions(lesson: str, cells: Sequence[Any], answers: Iterable[str] = ()) -> Iterator[tuple[Question, Space]]:
    """Run a lesson's cells; yield each question with the variables that there are when its exercise begins."""
    space: Space = {"__name__": "__main__"}
    before: Space = {}
    exercise: list[tuple[str, bool]] = []
    code = [cell for cell in cells if cell.cell_type == "code" and not NEEDS_SERVER.search(cell.source)]
    asked = [cell.source for cell in code if {"verdict", "solution"} & {*tags(cell)}]
    asked = [source for source in asked if not WRITES_FILE.match(source)]
    are_needed = needed([cell.source for cell in code], [*asked, *answers])
    for cell, is_needed in zip(code, are_needed, strict=True):
        has_solution = "solution" in tags(cell)
        if "verdict" in tags(cell):
            yield Question(lesson, cell.source, exercise), before
            exercise = []
            continue
        if has_solution and not exercise:
            before = dict(space)
        if has_solution or exercise:
            exercise.append((cell.source, has_solution))
        if is_needed or has_solution or "setup" in tags(cell):
            run(cell.source, space)


def exercises_of(lesson: str) -> list[Exercise]:
    """Return the table of a lesson; nothing if there is none yet."""
    name = f"lesson_{lesson.split('_')[0]}"
    if not (Path(__file__).parent / "answers" / f"{name}.py").exists():
        return []
    return list(importlib.import_module(f"tests.checks.answers.{name}").EXERCISES)


def no_table(lesson: str) -> str:
    return f"tests/checks/answers/lesson_{lesson.split('_')[0]}.py has no table of answers, or two, for this exercise"


LESSONS = [path.stem for path in build.sources() if any("verdict" in tags(cell) for cell in build.read(path).cells)]
VERDICTS = [
    (lesson, cell.source)
    for lesson in LESSONS
    for cell in build.read(FOLDER / "solutions" / f"{lesson}.ipynb").cells
    if "verdict" in tags(cell)
]
every_exercise = pytest.mark.parametrize(
    ("lesson", "verdict"), VERDICTS, ids=[f"{lesson}-{v.partition('(')[0]}" for lesson, v in VERDICTS]
)


@functools.cache
def objections_to(lesson: str, part: Callable[[Exercise], Exercise]) -> dict[str, list[str] | BaseException]:
    """Run a lesson once, and try answers to it; return what is wrong with each verdict's."""
    found: dict[str, list[str] | BaseException] = {}
    notebook = build.read(FOLDER / "solutions" / f"{lesson}.ipynb")
    exercises = exercises_of(lesson)
    answers = [code for e in exercises for code in (*e.right, *(wrong.code for wrong in e.wrong))]
    try:
        for question, space in questions(lesson, notebook.cells, answers):
            for exercise in exercises:
                if question.verdict.startswith(exercise.verdict):
                    try:
                        found[question.verdict] = list(question.objections(space, part(exercise)))
                    except AssertionError as error:  # not a reason to leave out the next exercise
                        found[question.verdict] = error
    finally:
        Widget.close_all()  # a panel that nobody looks at rests after a minute: too late for other tests
    return found


@every_exercise
def test_has_a_table_of_answers(lesson: str, verdict: str) -> None:
    """At least ten right ones; among the wrong ones the exercise as it is given, and None in place of an answer."""
    found = [e for e in exercises_of(lesson) if verdict.startswith(e.verdict)]
    assert len(found) == 1, no_table(lesson)
    (exercise,) = found
    assert len(set(exercise.right)) >= N_RIGHT
    untouched = [wrong.says for wrong in exercise.wrong if not wrong.code.strip()]
    assert untouched
    assert all(UNTOUCHED.says.startswith(says) for says in untouched)
    cells = build.read(FOLDER / "solutions" / f"{lesson}.ipynb").cells
    at = next(i for i, cell in enumerate(cells) if cell.source == verdict)
    first = max(i for i, cell in enumerate(cells[:at]) if "solution" in tags(cell))
    question = Question(lesson, verdict, [(cells[first].source, True)])
    if question.has_name_to_answer():
        assert any("None" in wrong.code for wrong in exercise.wrong)


@pytest.mark.parametrize("lesson", LESSONS)
def test_no_table_is_for_an_exercise_that_is_not_there(lesson: str) -> None:
    asked = [verdict for name, verdict in VERDICTS if name == lesson]
    for exercise in exercises_of(lesson):
        assert len([verdict for verdict in asked if verdict.startswith(exercise.verdict)]) == 1


def first_and_wrong(exercise: Exercise) -> Exercise:
    return replace(exercise, right=exercise.right[:N_FIRST])


def others(exercise: Exercise) -> Exercise:
    return replace(exercise, right=exercise.right[N_FIRST:], wrong=())


@pytest.mark.parametrize("part", beyond(1, [first_and_wrong, others], "more answers"))
@every_exercise
def test_answers_get_the_verdicts_that_they_deserve(
    lesson: str, verdict: str, part: Callable[[Exercise], Exercise], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exercises_of(lesson), no_table(lesson)
    outcome = objections_to(lesson, part).get(verdict, AssertionError(no_table(lesson)))
    if isinstance(outcome, BaseException):
        raise outcome
    assert not outcome, "\n\n".join(outcome)


# ---- the runner itself -----------------------------------------------------------------------------


def lesson_of(*cells: tuple[str, str]) -> list[Any]:
    """Return cells of code, each with a tag."""
    return [nbformat.v4.new_code_cell(source, metadata={"tags": [tag]} if tag else {}) for tag, source in cells]


COUNTING = lesson_of(
    ("setup", "from streamlab.results.verdict import Verdict\nGOAL = 3"),
    ("", "def judge(n):\n    return Verdict(n == GOAL, 'no answer yet' if n is ... else f'{n}')"),
    ("", "%%writefile {GOAL}.txt\nthree"),
    ("", "raise RuntimeError('nobody needs this')"),
    ("solution", "my_number = 3  # stub: my_number = ..."),
    ("", "twice = my_number if my_number is ... else my_number * 1"),
    ("verdict", "judge(my_number)"),
    ("", "assert my_number == 4"),
)


def test_cells_that_are_needed_by_what_depends_on_them() -> None:
    """By names, through other cells, by items that are set; files always; commands never."""
    cells = [
        "a, b = 1, 2", "def f(x):\n    return x + b", "c = {}", "c['k'] = a", "print(c)", "%%writefile {c}.py\nx",
        "d = 4",
    ]  # fmt: skip

    def marks(sources: list[str], *roots: str) -> str:
        return "".join("x" if is_needed else "." for is_needed in needed(sources, roots))

    assert marks(cells, "f(1)") == "xxxx.x."
    assert marks(cells, "d", "for a in range(3):\n    print(a)") == "x.xx.xx"
    assert marks(cells[:4], "c") == "x.xx"
    assert marks(cells[:5], "0", "def f(a):\n    return [a for c in ()]") == "....."


def test_right_and_wrong_answers_that_get_their_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is objected; the lesson itself goes on with its own solution, and has written its file."""
    monkeypatch.chdir(tmp_path)
    exercise = Exercise("judge(", right=["my_number = 1 + 2"], wrong=[Wrong("my_number = 4", "4")])
    (found,) = [list(q.objections(space, exercise)) for q, space in questions("x", COUNTING)]
    assert found == []
    assert Path("3.txt").read_text() == "three\n"


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("my_number = 4", None, "this is right"),
        (None, Wrong("my_number = 3", "3"), "this is wrong"),
        (None, Wrong("my_number = 4", "too many"), "is to be said: 'too many'"),
        (None, Wrong("", "too many"), "is to be said: 'too many'"),
    ],
)
def test_a_verdict_that_an_answer_does_not_deserve_is_reported(
    right: str | None, wrong: Wrong | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exercise = Exercise("judge(", right=[right] if right else [], wrong=[wrong] if wrong else [])
    for question, space in questions("x", COUNTING):
        (found,) = question.objections(space, exercise)
        assert words in found
        assert "judge(my_number)" in found


def test_an_answer_that_raises_before_its_verdict_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for question, space in questions("x", COUNTING):
        with pytest.raises(AssertionError, match="raises an error before") as caught:
            question.verdict_on("my_number = 1 / 0", space)
        assert "ZeroDivisionError" in str(caught.value)
