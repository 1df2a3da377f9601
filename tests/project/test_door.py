"""One door: what README, notebooks, benchmarks and examples use is imported from `streamlab`, and lazily."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import streamlab

ROOT = Path(__file__).parents[2]
#: What else may be imported: these paths are promised.
PROMISED = ("streamlab", "streamlab.actors", "streamlab.testing")
SOURCES = sorted(
    [*ROOT.glob("notebooks/**/*.ipynb"), *ROOT.glob("examples/*.py"), ROOT / "README.md", *ROOT.glob("notebooks/*.md")]
)


@pytest.mark.parametrize("name", streamlab.__all__)
def test_each_name_is_there(name: str) -> None:
    """Where the door says it is."""
    assert getattr(streamlab, name) is not None


def test_types_and_names_are_the_same_list() -> None:
    """What a type checker sees is what is there."""
    tree = ast.parse(Path(str(streamlab.__file__)).read_text("utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    seen = [alias.asname for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(map(str, seen)) == streamlab.__all__


def test_the_list_is_held() -> None:
    """What somebody may have come to rely on does not go unnoticed."""
    known = (ROOT / "tests" / "project" / "door.txt").read_text("utf-8").split()
    assert streamlab.__all__ == known


def code_of(path: Path) -> str:
    if path.suffix != ".ipynb":
        return path.read_text("utf-8")
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_imported_by_an_inner_path(path: Path) -> None:
    """But for what is promised."""
    inner = re.findall(r"^\s*(?:from|import) (streamlab[\w.]*)", code_of(path), re.MULTILINE)
    assert [name for name in inner if name not in PROMISED] == []


def test_the_door_imports_nothing_by_itself() -> None:
    """A name is imported when it is first used."""
    code = "import sys, streamlab; print([m for m in sys.modules if m.startswith('streamlab.') or m == 'redis'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_wrong_name_is_refused() -> None:
    """As by any module."""
    with pytest.raises(AttributeError, match="no attribute 'Lap'"):
        streamlab.Lap  # noqa: B018
