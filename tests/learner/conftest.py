"""A notebook's shell in a learner's own copy of a small course."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from streamlab import working_copy
from streamlab.learner import magics

LESSON = "03_one_to_one"
#: By the lesson's file: its title, and what checks its exercises.
COURSE = {
    "00_start_here": ("Introduction", []),
    LESSON: ("Scenario 1", ["checks.drain_time(drain_time)", "checks.recovery(mine, schedules=N)"]),
    "07_development": ("Development & more", ["checks.alarms(my_alarms)"]),
}


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of three lessons, two of which have exercises; it is taken for the package's own."""
    folder = tmp_path / "course"
    folder.mkdir()
    for name, (title, checks) in COURSE.items():
        cells = [nbformat.v4.new_markdown_cell(f"# {title}\n\n*Part 4 of 7*")]
        for number, check in enumerate(checks, 1):
            cells.append(nbformat.v4.new_markdown_cell(f"## Exercise {number}\n\nDo it."))
            cells.append(nbformat.v4.new_code_cell("drain_time = ...", metadata={"tags": ["exercise"]}))
            cells.append(nbformat.v4.new_code_cell(check, metadata={"tags": ["verdict"]}))
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{name}.ipynb")
    monkeypatch.setattr(working_copy, "course_folder", lambda: folder)
    return folder


@pytest.fixture
def copy(course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A learner's own copy of it, in which a kernel begins."""
    mine = tmp_path / "mine"
    working_copy.copy_course(course, mine)
    monkeypatch.chdir(mine)
    monkeypatch.setenv("JPY_SESSION_NAME", f"work/{LESSON}.ipynb")
    return mine


@dataclass
class Shown:
    """What `IPython.display.display` gives for something that is shown: it can be shown otherwise."""

    shown: list[object]

    def update(self, what: object, **_: object) -> None:
        self.shown[-1] = what


class Notebook:
    """Runs cells, and remembers what each shows besides what it prints: by MIME type."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shell = InteractiveShell()
        self.shown: list[object] = []
        monkeypatch.setattr(magics, "_show", self._show)
        self.run("%load_ext streamlab")

    def _show(self, what: object, **_: object) -> Shown:
        self.shown.append(what)
        return Shown(self.shown)

    def run(self, code: str, cell: str | None = None) -> list[object]:
        """Run a cell, with the name that its notebook's program gives it; return what it shows."""
        self.shown.clear()
        self.shell.run_cell(code, cell_id=cell, store_history=False)
        return list(self.shown)

    @property
    def magics(self) -> magics.LearnerMagics:
        """What the extension has brought."""
        found = self.shell.magics_manager.registry["LearnerMagics"]
        assert isinstance(found, magics.LearnerMagics)
        return found


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    yield Notebook(monkeypatch)
    InteractiveShell.clear_instance()
