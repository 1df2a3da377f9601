"""An exercise is done once its check has said so in a learner's own copy; that is kept, whatever breaks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamlab.cli import main
from streamlab.learner.exercises import exercise_of, lessons
from streamlab.learner.progress import Progress
from streamlab.learner.record import FILE, Record
from streamlab.working_copy import RECORD, course_folder
from tests.learner.conftest import LESSON, Notebook

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
RIGHT = "def drain_time(n, rate, service):\n    return n / (1 / service - rate) if rate * service < 1 else math.inf"


# ---- which exercises there are ---------------------------------------------------------------------


def test_the_courses_own_exercises_are_found() -> None:
    """Each once, and each by the code of its own check: what is done is known by that."""
    found = [exercise for lesson in lessons(course_folder()) for exercise in lesson.exercises]
    assert len({exercise.key for exercise in found}) == len({exercise.check for exercise in found}) == len(found) > 20
    assert {exercise.number for exercise in found} == {1, 2}
    assert all(exercise.check.startswith("checks.") for exercise in found)


def test_a_check_is_known_however_it_is_written(course: Path) -> None:
    exercise = exercise_of("# mine\nprint(1)\nchecks.drain_time( drain_time )  # now", course)
    assert exercise is not None
    assert exercise.key == f"{LESSON}/1"


@pytest.mark.parametrize(
    "code",
    ["checks.recovery(mine, schedules=1)", "checks.drain_time(other)", "%time checks.drain_time(f)", "", "1 + 1"],
)
def test_what_is_not_asked_for_is_no_exercise(course: Path, code: str) -> None:
    """A trial of one schedule, for instance, as the hint of a verdict proposes it."""
    assert exercise_of(code, course) is None


# ---- what is kept ----------------------------------------------------------------------------------


def test_what_passes_is_done(copy: Path, notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    """Not before; once, with the time when it passed first."""
    notebook.run(f"import math\nfrom streamlab import checks\ndrain_time = ...\n{RIGHT}")
    notebook.run("checks.drain_time(lambda *_: 1)")
    assert Record(copy).done() == {}
    for _ in range(2):
        notebook.run("checks.drain_time(drain_time)")
    assert list(Record(copy).done()) == [f"{LESSON}/1"]
    assert capsys.readouterr().out.count("That is 1 of 3 exercises.") == 1
    assert (copy / FILE).read_text().count("exercise") == 1


def test_kernels_write_at_the_same_time(copy: Path) -> None:
    """Nothing is lost, and no line is broken."""
    keys = [f"lesson/{number}" for number in range(400)]
    with ThreadPoolExecutor(8) as kernels:
        list(kernels.map(lambda key: Record(copy).add_done(key, NOON), keys))
    assert Record(copy).done() == dict.fromkeys(keys, NOON)


@pytest.mark.parametrize(
    "broken",
    [
        b'{"exercise": "x/1", "at',
        b"\xff\xfe\x00",
        b"[]\n3\nnull",
        b'{"exercise": 3, "at": "2026"}',
        b'{"exercise": "x"}',
    ],
)
def test_a_broken_line_costs_no_other(copy: Path, broken: bytes) -> None:
    record = Record(copy)
    record.add_done("a/1", NOON)
    with (copy / FILE).open("ab") as file:
        file.write(broken)
    record.add_done("a/2", NOON)
    assert record.done() == {"a/1": NOON, "a/2": NOON}
    assert record.predictions() == {}


def test_a_file_that_cannot_be_written_is_said_and_no_more(
    copy: Path, notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verdict is shown all the same."""
    (copy / FILE).mkdir()
    notebook.run(f"import math\nfrom streamlab import checks\n{RIGHT}")
    notebook.run("checks.drain_time(drain_time)")
    said = capsys.readouterr().out
    assert "✓ Right." in said
    assert said.splitlines()[-1].startswith("This could not be written down in your copy of the course: ")


# ---- shown -----------------------------------------------------------------------------------------


def test_the_page_shows_each_lesson(course: Path, copy: Path, notebook: Notebook) -> None:
    Record(copy).add_done(f"{LESSON}/2", NOON)
    Record(copy).add_done("99_gone/1", NOON)  # of a course that has changed
    (shown,) = notebook.run("%progress")
    assert isinstance(shown, Progress)
    assert (shown.n_done, shown.n_exercises, shown.is_complete) == (1, 3, False)
    assert [line.split() for line in str(shown).splitlines() if line][1:] == [
        ["lesson", "exercise", "1", "exercise", "2"],
        ["03", "Scenario", "1", "open", "✓", "3", "Nov", "2026"],
        ["07", "Development", "&", "more", "open"],
    ]
    assert "Development &amp; more" in shown._repr_html_()


def test_without_a_copy_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    here = Notebook(monkeypatch)
    assert here.run("%progress") == []
    assert "streamlab lab makes one" in capsys.readouterr().err
    assert main(["progress", "--folder", str(tmp_path)]) == 2
    assert "streamlab lab makes one" in capsys.readouterr().err


def test_the_command_line_shows_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / RECORD).write_text("{}")
    Record(tmp_path).add_done("03_one_to_one/2", NOON)
    assert main(["progress", "--folder", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    n = sum(len(lesson.exercises) for lesson in lessons(course_folder()))
    assert said.startswith(f"1 of {n} exercises are done.\n")
    assert "03 Scenario 1: one producer, one consumer" in said


# ---- the certificate -------------------------------------------------------------------------------


def test_a_certificate_says_what_is_done(copy: Path, notebook: Notebook) -> None:
    """Not that all is, before it is; the name is text, whatever it has in it."""
    for number in (1, 2):
        Record(copy).add_done(f"{LESSON}/{number}", NOON)
    notebook.run("%certificate Ada <Lovelace>")
    page = (copy / "streamlab-certificate.html").read_text()
    assert "Ada &lt;Lovelace&gt;" in page
    assert "has solved 2 of the 3 exercises" in page
    assert ">3 Nov 2026<" in page
    Record(copy).add_done("07_development/1", NOON)
    notebook.run("%certificate Ada")
    assert "has solved all 3 exercises" in (copy / "streamlab-certificate.html").read_text()


def test_a_certificate_needs_a_name(copy: Path, notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.run("%certificate")
    assert "your name is missing" in capsys.readouterr().err
    for options in (["--certificate", "x.html"], ["--name", "Ada"], ["--certificate", "x.html", "--name", " "]):
        assert main(["progress", "--folder", str(copy), *options]) == 2
    assert not list(copy.glob("*.html"))


def test_the_command_line_writes_one(copy: Path) -> None:
    """One page by itself: it asks nobody for anything."""
    assert main(["progress", "--folder", str(copy), "--certificate", "mine.html", "--name", "Ada"]) == 0
    page = (copy / "mine.html").read_text()
    assert "Ada" in page
    assert not [word for word in ("http", "src=", "url(", "@import", "<script", "<link") if word in page]
