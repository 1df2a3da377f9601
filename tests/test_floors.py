"""Imports point down only: the floors of DESIGN.md, held against the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "streamlab"
# What only views may need: the floors below them run without, in a worker process or a browser's Python.
VIEW_LIBRARIES = {
    "matplotlib",
    "ipywidgets",
    "pandas",
    "IPython",
    "anywidget",
    "traitlets",
    "numpy",
}
VIEWS = 5
# The code that a reader may lift out of the course.
LIFTABLE = ("actors",)
NOT_FOR_LIFTABLE = {
    "lab",
    "virtual_time",
    "engines",
    "simulated_redis",
    "stream_model",
    "run",
    "scenario",
}


def floors() -> dict[str, int]:
    """Read the floor of each module from the table in DESIGN.md."""
    table: dict[str, int] = {}
    for line in (ROOT / "DESIGN.md").read_text().splitlines():
        row = re.match(r"\|\s*(\d)\s*\|([^|]*)\|", line)
        if row:
            for name in re.findall(r"`(\w+)(?:\.py|/)`", row[2]):
                table[name] = int(row[1])
    return table


def sources() -> dict[str, list[Path]]:
    """List the source files of each module: one file, or a folder's."""
    modules: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        top = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        modules.setdefault(top, []).append(path)
    return modules


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Give line and full dotted name of whatever a file imports, wherever in it, relative ones resolved.

    What stands under ``if TYPE_CHECKING:`` is imported by no program, but it is a dependency all the same.
    """
    package = ("streamlab", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*start, *([node.module] if node.module else ())))
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def own_imports(name: str) -> Iterator[tuple[str, str]]:
    """Give the streamlab modules that a module imports, each with the place where it does."""
    for path in sources()[name]:
        for line, imported in imports(path):
            parts = imported.split(".")
            if parts[0] == "streamlab":
                target = parts[1] if len(parts) > 1 and parts[1] in sources() else "__init__"
                if target != name:
                    yield target, f"{path.relative_to(ROOT)}:{line}"


def modules() -> list[str]:
    """List the modules that stand on a floor; the package itself is the roof, and its entry the door."""
    return [name for name in sources() if name not in ("__init__", "__main__")]


def test_the_table_is_read() -> None:
    """Nothing below would mean anything if the table were not found."""
    assert floors()["stream_model"] == 0
    assert floors()["cli"] == 6
    assert "servers" in modules()


@pytest.mark.parametrize("name", modules())
def test_has_a_floor(name: str) -> None:
    """Each module is in DESIGN.md's table, so that the page stays true."""
    assert name in floors(), f"add {name} to the floors in DESIGN.md"


@pytest.mark.parametrize("name", modules())
def test_imports_point_down(name: str) -> None:
    """A module imports from its own floor or a lower one; from the package, only what has no imports itself."""
    known = floors()
    upwards = [
        f"{place}: {name} (floor {known[name]}) imports {target}"
        for target, place in own_imports(name)
        if target not in ("__init__",) and known.get(target, 99) > known.get(name, 99)
    ]
    assert upwards == []


def test_no_circles() -> None:
    """Within a floor, and through the package's own __init__, nothing imports in a circle."""
    graph = {name: {target for target, _ in own_imports(name)} for name in sources()}
    circles: set[tuple[str, ...]] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circles.add(tuple(sorted(path[path.index(name) :])))
            return
        for target in graph.get(name, ()):
            walk(target, (*path, name))

    # `from streamlab import __version__` is no circle: it stands before the imports there.
    for targets in graph.values():
        targets.discard("__init__")
    for name in graph:
        walk(name, ())
    assert circles == set()


@pytest.mark.parametrize("name", [name for name in modules() if floors().get(name, 0) < VIEWS])
def test_nothing_below_the_views_needs_their_libraries(name: str) -> None:
    """matplotlib, ipywidgets and pandas are for views, and not even imported lazily below them."""
    used = [
        f"{path.relative_to(ROOT)}:{line}: {imported}"
        for path in sources()[name]
        for line, imported in imports(path)
        if imported.split(".")[0] in VIEW_LIBRARIES
    ]
    assert used == []


@pytest.mark.parametrize("name", [name for name in modules() if name in LIFTABLE])
def test_actors_know_neither_lab_nor_loop(name: str) -> None:
    """A reader may lift this code into a program of theirs: it knows a Redis client, and reports events."""
    assert {target for target, _ in own_imports(name)} & NOT_FOR_LIFTABLE == set()


def test_the_reader_of_imports_sees_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lazy, relative, aliased: each way of importing is seen, so that none is a way around."""
    module = tmp_path / "engines" / "live.py"
    module.parent.mkdir()
    module.write_text(
        "import os, streamlab.lab as x\n"
        "from streamlab import run\n"
        "from . import simulated\n"
        "from ..panel import Panel\n"
        "def f():\n    from matplotlib import pyplot\n"
    )
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    assert sorted(name for _, name in imports(module)) == [
        "matplotlib.pyplot",
        "os",
        "streamlab.engines.simulated",
        "streamlab.lab",
        "streamlab.panel.Panel",
        "streamlab.run",
    ]
