"""The learner's copy of the course: without outputs, brought up to date, and never written over."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest

from streamlab.working_copy import RECORD, Copied, WorkingCopyError, copy_course

ROOT = Path(__file__).parents[2]


def lesson(text: str, *, output: str = "") -> str:
    """Return a notebook of one cell."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text, id="one")])
    if output:
        notebook.cells[0].outputs = [nbformat.v4.new_output("stream", text=output)]
        notebook.cells[0].execution_count = 1
    written: str = nbformat.writes(notebook)
    return written


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course of two lessons and a picture."""
    course = tmp_path / "notebooks"
    (course / "figures").mkdir(parents=True)
    (course / "00_start_here.ipynb").write_text(lesson("6 * 7", output="42"))
    (course / "01_more.ipynb").write_text(lesson("1 + 1", output="2"))
    (course / "figures" / "seen.png").write_bytes(b"\x89PNG")
    (course / "figures" / "shown.svg").write_text("<svg/>")
    (course / "build.py").write_text("raise SystemExit")
    return course


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "home" / "mine"


def code(path: Path) -> str:
    source: str = nbformat.read(path, as_version=4).cells[0].source
    return source


def test_a_copy_has_no_outputs(course: Path, mine: Path) -> None:
    """Lessons and pictures, nothing else; each lesson as it is before it is run."""
    copied = copy_course(course, mine)
    assert copied == Copied(added=["00_start_here.ipynb", "01_more.ipynb", "figures/seen.png", "figures/shown.svg"])
    names = {path.relative_to(mine).as_posix() for path in mine.rglob("*") if path.is_file()}
    assert names == {*copied.added, RECORD}
    cell = nbformat.read(mine / "00_start_here.ipynb", as_version=4).cells[0]
    assert (cell.source, cell.outputs, cell.execution_count) == ("6 * 7", [], None)
    assert (course / "00_start_here.ipynb").read_text() == lesson("6 * 7", output="42")


def test_nothing_new_is_nothing_done(course: Path, mine: Path) -> None:
    copy_course(course, mine)
    before = {path: path.stat().st_mtime_ns for path in mine.glob("*.ipynb")}
    assert copy_course(course, mine) == Copied()
    assert {path: path.stat().st_mtime_ns for path in mine.glob("*.ipynb")} == before


def test_what_was_not_touched_is_renewed(course: Path, mine: Path) -> None:
    copy_course(course, mine)
    (course / "01_more.ipynb").write_text(lesson("2 + 2"))
    assert copy_course(course, mine) == Copied(renewed=["01_more.ipynb"])
    assert code(mine / "01_more.ipynb") == "2 + 2"


@pytest.mark.parametrize("work", [lesson("my answer"), lesson("1 + 1", output="2"), "not even JSON"])
def test_what_was_touched_is_kept(work: str, course: Path, mine: Path) -> None:
    """Changed, or only run: the file stays, and each newer version is beside it, once."""
    copy_course(course, mine)
    (mine / "01_more.ipynb").write_text(work)
    assert copy_course(course, mine) == Copied()  # this version they have had
    (course / "01_more.ipynb").write_text(lesson("2 + 2"))
    assert copy_course(course, mine) == Copied(beside=["01_more (updated).ipynb"])
    assert copy_course(course, mine) == Copied()
    (course / "01_more.ipynb").write_text(lesson("3 + 3"))
    assert copy_course(course, mine) == Copied(renewed=["01_more (updated).ipynb"])
    (mine / "01_more (updated).ipynb").write_text(work)
    (course / "01_more.ipynb").write_text(lesson("4 + 4"))
    assert copy_course(course, mine) == Copied(beside=["01_more (updated 2).ipynb"])
    assert (mine / "01_more.ipynb").read_text() == work
    assert (mine / "01_more (updated).ipynb").read_text() == work
    assert code(mine / "01_more (updated 2).ipynb") == "4 + 4"


def test_a_deleted_lesson_comes_back(course: Path, mine: Path) -> None:
    """That is how one begins a lesson afresh."""
    copy_course(course, mine)
    (mine / "01_more.ipynb").unlink()
    assert copy_course(course, mine) == Copied(added=["01_more.ipynb"])


@pytest.mark.parametrize("record", [None, "nonsense", "[]"])
def test_without_a_record_all_is_the_learner_s(record: str | None, course: Path, mine: Path) -> None:
    """A folder in which notebooks of these names lie already, or whose record is lost, loses nothing."""
    mine.mkdir(parents=True)
    (mine / "01_more.ipynb").write_text(lesson("mine"))
    if record is not None:
        (mine / RECORD).write_text(record)
    copied = copy_course(course, mine)
    assert copied.beside == ["01_more (updated).ipynb"]
    assert code(mine / "01_more.ipynb") == "mine"


def test_a_copy_that_fails_says_what_to_do(course: Path, mine: Path, tmp_path: Path) -> None:
    """No folder, the course's own folder, the one around it, and one in it: a line that names the way out."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", course, course / "x", tmp_path):
        with pytest.raises(WorkingCopyError, match="--folder"):
            copy_course(course, folder)
    assert sorted(path.name for path in course.iterdir())[0] == "00_start_here.ipynb"


def test_a_write_that_fails_leaves_the_old_file(course: Path, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, or an interrupt: the old file is whole, and nothing half written lies about."""
    copy_course(course, mine)
    before = (mine / "01_more.ipynb").read_bytes()
    (course / "01_more.ipynb").write_text(lesson("2 + 2"))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WorkingCopyError, match="No space left on device"):
        copy_course(course, mine)
    assert (mine / "01_more.ipynb").read_bytes() == before
    assert sorted(path.name for path in mine.glob(".*")) == [RECORD]


def test_the_course_can_be_copied_and_stays_as_it_is(mine: Path) -> None:
    """The real one: every lesson and every picture that is shown in one; the checkout is not touched."""
    course = ROOT / "notebooks"
    before = {path: path.stat().st_mtime_ns for path in course.rglob("*") if path.is_file()}
    copy_course(course, mine)
    assert {path: path.stat().st_mtime_ns for path in course.rglob("*") if path.is_file()} == before
    lessons = sorted(path.name for path in mine.glob("*.ipynb"))
    assert lessons == sorted(path.name for path in course.glob("*.ipynb"))
    for name in lessons:
        notebook = json.loads((mine / name).read_text())
        assert not any(cell.get("outputs") for cell in notebook["cells"])
        nbformat.validate(nbformat.from_dict(notebook))
