"""Lesson 08: Run All leaves its panel alive, ends what nobody looks at, and shows what went wrong in the background."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ipywidgets import Widget

from streamlab.lab.simulated import SimulatedEngine
from tests import browser
from tests.conftest import Eventually
from tests.project.test_notebooks import FOLDER, build

pytestmark = pytest.mark.real_time("runs a lesson with a live panel")

LESSON = "08_recovering_from_failures.ipynb"


def last_cell() -> str:
    source: str = [c for c in build.read(FOLDER / "solutions" / LESSON).cells if c.cell_type == "code"][-1].source
    return source


@pytest.fixture
def space() -> Iterator[dict[str, Any]]:
    """The variables of the lesson before its last cell."""
    variables: dict[str, Any] = {"__name__": "__main__"}
    cells = [c for c in build.read(FOLDER / "solutions" / LESSON).cells if c.cell_type == "code"]
    for cell in cells[:-1]:
        exec(compile(ast.parse(cell.source), LESSON, "exec"), variables)
    yield variables
    for name in ("lab", "by_hand"):
        variables[name].close()
    Widget.close_all()


def test_the_last_cell_ends_what_has_no_view_and_nothing_else(space: dict[str, Any]) -> None:
    """The lab that was used in code is closed; the panel's obeys a kill afterwards."""
    exec(last_cell(), space)
    assert space["by_hand"].is_closed
    lab = space["lab"]
    lab.wait_until(lambda now: len(now.consumer("C2").holding) >= 2)
    lab.kill("C2")
    assert lab.snapshot().consumer("C2").state == "dead"


def test_an_error_in_the_background_shows_in_the_last_cell(
    space: dict[str, Any], monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """Played in the background, the panel's lab meets an error that no cell has seen."""

    def fail(*_: object) -> None:
        raise RuntimeError("met in the background")

    lab = space["lab"]
    with monkeypatch.context() as broken:
        broken.setattr(SimulatedEngine, "run_until", fail)
        lab.play()
        eventually(lambda: not lab.is_playing, "the background has ended by its error", timeout=10)
    with pytest.raises(RuntimeError, match="met in the background"):
        exec(last_cell(), space)


@pytest.mark.browser
def test_the_panel_can_be_used_after_run_all(tmp_path: Path) -> None:
    """In JupyterLab, all cells run: then Play, and kill C2 in mid-work; its entries are stranded."""
    lesson = build.clean(build.read(FOLDER / "solutions" / LESSON))
    build.write(lesson, tmp_path / LESSON)
    n_code = sum(cell.cell_type == "code" for cell in lesson.cells)
    with browser.jupyter(tmp_path, name=LESSON) as url, browser.open_page(url, width=1366, height=768) as page:
        browser.run_all_cells(page)
        page.wait_for_function(
            "n => window.jupyterapp.shell.currentWidget.content.widgets.filter("
            "each => each.model.type === 'code').map(each => each.model.executionCount).at(-1) === n",
            arg=n_code,
        )
        page.evaluate(
            "async () => window.jupyterapp.shell.currentWidget.content.scrollToItem("
            "window.jupyterapp.shell.currentWidget.content.widgets.findIndex("
            "each => each.model.sharedModel.getSource().includes('Panel(lab)')))"
        )
        page.wait_for_selector("[data-consumer=C2]")
        assert "closed" not in page.text_content(".headline")
        browser.kill_in_work(page, "C2")
        page.wait_for_selector("tr.stranded")
        assert "No other consumer is given" in page.text_content(".headline")
