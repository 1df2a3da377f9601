"""Lesson 00: its panel, which a learner meets on the first page, is alive after Run All."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import pytest
from ipywidgets import Widget

from streamlab.lab.lab import Lab
from streamlab.views.panel import Panel
from tests.conftest import Eventually
from tests.project.test_notebooks import FOLDER, build, cells

pytestmark = pytest.mark.real_time("compares a live run with a simulated one")

LESSON = "00_start_here.ipynb"
#: The first so many code cells; the commands and the panel have to be among them.
N_FIRST = 5


@pytest.fixture(scope="module")
def space() -> Iterator[dict[str, Any]]:
    """Everything that Run All leaves behind; what the cells show last is kept as ``shown``."""
    variables: dict[str, Any] = {"__name__": "__main__", "shown": []}
    for cell in build.read(FOLDER / "solutions" / LESSON).cells:
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source)
        last = tree.body[-1]
        if isinstance(last, ast.Expr):
            tree.body.pop()
        exec(compile(tree, LESSON, "exec"), variables)
        if isinstance(last, ast.Expr):
            variables["shown"].append(eval(compile(ast.Expression(last.value), LESSON, "eval"), variables))
    yield variables
    Widget.close_all()


def test_commands_and_panel_are_on_the_first_page() -> None:
    """XADD, XREADGROUP, XACK and the panel stand in the first cells, before any other heading than theirs."""
    first = "\n".join(cell.source for cell in cells(LESSON, "code")[:N_FIRST])
    for code in ("r.xadd(", "r.xreadgroup(", "r.xack(", "Panel(lab)"):
        assert code in first, code


def test_run_all_leaves_the_panel_alive(space: dict[str, Any], eventually: Eventually) -> None:
    """After the last cell a kill is still obeyed: C2 dies, and what it held stays pending for it."""
    (panel,) = [shown for shown in space["shown"] if isinstance(shown, Panel)]
    lab = panel.lab
    assert isinstance(lab, Lab)
    assert lab is space["lab"]
    assert not lab.is_closed
    lab.wait_until(lambda now: len(now.consumer("C2").holding) >= 2)
    panel.do("kill C2")
    eventually(lambda: lab.snapshot().consumer("C2").state == "dead", "C2 was to be killed", 10)
    assert lab.snapshot().consumer("C2").pending >= 2
