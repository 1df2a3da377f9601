"""The panel's view: its parts are joined into one module; their own tests run under Node.js, where there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import attrs
import pytest

from streamlab.scenario.action import Action
from streamlab.scenario.action_texts import parse_action
from streamlab.scenario.actions import ACTIONS, check_target
from streamlab.views.panel.buttons import all_buttons
from streamlab.views.shown import esm

VIEW = Path(esm.__file__).parents[1] / "panel" / "view"
MAINS = {"main.mjs": ["export default { render };"], "playback.mjs": []}
PARTS = sorted(VIEW.glob("*.mjs"))
TESTS = Path(__file__).with_suffix(".mjs")
NODE = shutil.which("node")

with_node = pytest.mark.skipif(
    NODE is None,
    reason="no node on the PATH, so the panel's view was not tested by itself (Debian, Ubuntu: apt install nodejs)",
)


def node(*arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    assert NODE is not None
    return subprocess.run([NODE, *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("main", MAINS)
def test_the_bundle_holds_every_part_once_and_imports_nothing(main: str) -> None:
    """Each before what needs it, the main part last; only its default export is left."""
    text = esm.bundle(VIEW / main)
    order = re.findall(r"^// ---- (\w+\.mjs)$", text, re.MULTILINE)
    assert len(order) == len(set(order))
    assert order[-1] == main
    for name in order:
        for needed in re.findall(r'from "\./(.*?)"', (VIEW / name).read_text("utf-8")):
            assert order.index(needed) < order.index(name)
    assert re.findall(r"^(?:import|export)\b.*", text, re.MULTILINE) == MAINS[main]


def test_each_part_is_of_the_panel_or_of_a_page() -> None:
    """None is for nothing."""
    joined = "\n".join(esm.bundle(VIEW / main) for main in MAINS)
    assert {part.name for part in PARTS} == {*re.findall(r"^// ---- (\w+\.mjs)$", joined, re.MULTILINE)}


@pytest.mark.parametrize(
    "line",
    [
        'import { a as b } from "./other.mjs";',
        'import * as other from "./other.mjs";',
        'import "./other.mjs";',
        "export { a };",
        "export let a = 1;",
    ],
)
def test_what_could_not_be_joined_is_refused(tmp_path: Path, line: str) -> None:
    """A part that would lose or change a name is named, with the line."""
    (tmp_path / "other.mjs").write_text("export const a = 1;\n")
    (tmp_path / "part.mjs").write_text(f"{line}\n")
    (tmp_path / "main.mjs").write_text('import { a } from "./part.mjs";\nexport default { a };\n')
    with pytest.raises(ValueError, match=re.escape(f"part.mjs: cannot join {line!r}")):
        esm.bundle(tmp_path / "main.mjs")


def test_the_parts_can_be_read() -> None:
    """None is long, and no line is."""
    for part in PARTS:
        lines = part.read_text("utf-8").splitlines()
        assert len(lines) < 300, part.name
        assert max(map(len, lines)) <= 120, part.name


@with_node
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.stem)
def test_a_part_parses(part: Path) -> None:
    """Node.js reads it as a module."""
    checked = node("--check", part)
    assert checked.returncode == 0, checked.stderr


@with_node
@pytest.mark.parametrize("main", MAINS)
def test_the_bundle_parses(main: str, tmp_path: Path) -> None:
    """No two parts declare the same name."""
    joined = tmp_path / "view.mjs"
    joined.write_text(esm.bundle(VIEW / main), "utf-8")
    checked = node("--check", joined)
    assert checked.returncode == 0, checked.stderr


@with_node
def test_the_parts_without_a_page() -> None:
    """Words, buttons, actions, layout and motion: what test_panel_view.mjs says of them."""
    tested = node("--test", TESTS)
    assert tested.returncode == 0, tested.stdout
    assert re.search(r"^. pass [1-9]", tested.stdout, re.MULTILINE), tested.stdout


#: The text of each action by its button: with all that has a value at first, for one that is there.
_TEXTS = """
import { asked, inMenu, textOf } from VIEW;
import { readFileSync } from "node:fs";
const { buttons, given } = JSON.parse(readFileSync(0));
const text = (each, role, target) => {
  const values = Object.fromEntries(asked(each, role).map(({ name, value }) => [name, value]));
  return textOf(each, { ...values, ...given, target });
};
console.log(JSON.stringify({
  all: buttons.map((each) => text(each, "consumer", "my own")),
  menu: inMenu(buttons).flatMap(({ role, buttons }) => buttons.map((each) => text(each, role, role || null))),
}));
"""


@with_node
def test_each_action_has_a_button_whose_text_is_the_action(tmp_path: Path) -> None:
    """What the view writes by what is declared, the kernel reads as that action, aimed at whom it is for."""
    buttons = all_buttons()
    assert [button["word"] for button in buttons] == [*ACTIONS]
    assert all(button["label"] and button["hint"] for button in buttons)
    assert len({(button["label"], button["aim"]) for button in buttons}) == len(buttons)
    given = {"ids": ["1-0", "2-0"], "consumer": "C1", "rate": 2.5, "mean": 0.25, "strategy": "autoclaim"}
    script = tmp_path / "texts.mjs"
    script.write_text(_TEXTS.replace("VIEW", json.dumps((VIEW / "buttons.mjs").as_uri())))
    told = node(script, stdin=json.dumps({"buttons": buttons, "given": given}))
    assert told.returncode == 0, told.stderr
    texts = json.loads(told.stdout)
    written: list[Action[Any]] = [parse_action(text) for text in texts["all"]]
    assert [type(action) for action in written] == [*ACTIONS.values()]
    for action in written:
        for item in attrs.fields(type(action)):
            value = getattr(action, item.name)
            expected = {**given, "target": "my own", "ids": ("1-0", "2-0")}.get(item.name, item.default)
            assert value == (expected if item.name != "changes" else (("strategy", "autoclaim"),)), action
    menu: list[Action[Any]] = [parse_action(text) for text in texts["menu"]]
    assert len(menu) == len({str(action) for action in menu}) == 25
    for action in menu:
        check_target(action, ["consumer"], ["producer"])  # which raises, if it is for somebody else
