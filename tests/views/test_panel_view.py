"""The panel's view: its parts are joined into one module; their own tests run under Node.js, where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from streamlab.views.panel import esm

VIEW = Path(esm.__file__).parent / "view"
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


def test_the_bundle_holds_every_part_once_and_imports_nothing() -> None:
    """Each before what needs it, the main part last; only its default export is left."""
    text = esm.bundle(VIEW / "main.mjs")
    order = re.findall(r"^// ---- (\w+\.mjs)$", text, re.MULTILINE)
    assert sorted(order) == [part.name for part in PARTS]
    assert order[-1] == "main.mjs"
    for part in PARTS:
        for needed in re.findall(r'from "\./(.*?)"', part.read_text("utf-8")):
            assert order.index(needed) < order.index(part.name)
    assert re.findall(r"^(?:import|export)\b.*", text, re.MULTILINE) == ["export default { render };"]


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
def test_the_bundle_parses(tmp_path: Path) -> None:
    """No two parts declare the same name."""
    joined = tmp_path / "view.mjs"
    joined.write_text(esm.bundle(VIEW / "main.mjs"), "utf-8")
    checked = node("--check", joined)
    assert checked.returncode == 0, checked.stderr


@with_node
def test_the_parts_without_a_page() -> None:
    """Words, buttons, actions, layout and motion: what test_panel_view.mjs says of them."""
    tested = node("--test", TESTS)
    assert tested.returncode == 0, tested.stdout
    assert re.search(r"^. pass [1-9]", tested.stdout, re.MULTILINE), tested.stdout
