"""One door: what README, notebooks, benchmarks and examples use is imported from `streamlab`, and lazily."""

from __future__ import annotations

import ast
import json
import os
import re
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import streamlab
import streamlab.actors
import streamlab.scenario

ROOT = Path(__file__).parents[2]
#: The packages whose names are imported on demand.
DOORS = (streamlab, streamlab.actors, streamlab.scenario)
#: What else may be imported: these paths are promised.
PROMISED = ("streamlab", "streamlab.actors", "streamlab.testing")
SOURCES = sorted(
    [*ROOT.glob("notebooks/**/*.ipynb"), *ROOT.glob("examples/*.py"), ROOT / "README.md", *ROOT.glob("notebooks/*.md")]
)


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in DOORS for name in module.__all__])
def test_each_name_is_there(module: ModuleType, name: str) -> None:
    """Where the door says it is."""
    assert getattr(module, name) is not None


@pytest.mark.parametrize("module", DOORS, ids=lambda module: module.__name__)
def test_types_and_names_are_the_same_list(module: ModuleType) -> None:
    """What a type checker sees is what is there."""
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    seen = [alias.asname for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(map(str, seen)) == vars(module)["__all__"]
    assert {*seen, "__doc__", "__name__"} <= set(dir(module))


def test_the_list_is_held() -> None:
    """What somebody may have come to rely on does not go unnoticed."""
    known = (ROOT / "tests" / "project" / "door.txt").read_text("utf-8").split()
    assert vars(streamlab)["__all__"] == known


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
    code = "import sys, streamlab; print(*(m for m in sys.modules if m.startswith('streamlab.') or m == 'redis'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # The hinge is in `actors`, which can be lifted out and has to bring its own.
    assert set(done.stdout.split()) == {"streamlab.actors", "streamlab.actors.on_demand", "streamlab.version"}


@pytest.mark.parametrize("module", DOORS, ids=lambda module: module.__name__)
def test_a_wrong_name_is_refused(module: ModuleType) -> None:
    """As by any module."""
    with pytest.raises(AttributeError, match=rf"module '{module.__name__}' has no attribute 'Lap'"):
        module.Lap  # noqa: B018


def test_a_scenario_is_light() -> None:
    """At most 60 ms of processor time beyond bare Python, and neither a Redis client nor an event loop."""
    # Without this, each import compiles what it imports.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def cost(code: str) -> float:
        """Return the seconds of processor time that a fresh interpreter needs for this: the median of five."""
        times = []
        for _ in range(6):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", code], env=environment, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return statistics.median(times[1:])  # the first one may have compiled

    imported = "import streamlab.scenario, sys; assert not {'redis', 'asyncio'} & set(sys.modules)"
    assert cost(imported) - cost("pass") < 0.06
