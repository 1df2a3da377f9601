"""What is shown works: the programs in examples/, the README's Python, the docstrings' examples."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamlab import close_servers

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NEEDS_SERVER = {"both_engines"}
BLOCKS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
WITH_DOCTESTS = [path for path in sorted((ROOT / "streamlab").rglob("*.py")) if ">>> " in path.read_text()]


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.redis] * (path.stem in NEEDS_SERVER)) for path in EXAMPLES],
    ids=[path.stem for path in EXAMPLES],
)
def test_an_example_prints_what_is_beside_it(path: Path) -> None:
    """Each program ends well, says nothing on stderr, and prints its .txt."""
    done = subprocess.run(
        [sys.executable, "-W", "error", path], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == path.with_suffix(".txt").read_text()


def test_examples_are_small_and_listed() -> None:
    """Five programs, of at most 60 lines, each in the list."""
    listed = re.findall(r"^\| \[(\w+\.py)\]\(\1\)", (ROOT / "examples" / "README.md").read_text(), re.M)
    assert sorted(listed) == [path.name for path in EXAMPLES]
    assert {path.name: n for path in EXAMPLES if (n := len(path.read_text().splitlines())) > 60} == {}


def test_the_readme_s_python() -> None:
    """Each block compiles, and what it imports is there; those that need no Redis at a port are run, in order."""
    names: dict[str, Any] = {}
    n_run = 0
    try:
        for block in BLOCKS:
            tree = compile(block, "README.md", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            is_async = any(isinstance(node, ast.Await) for line in tree.body for node in ast.walk(line))
            if is_async:
                tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
            exec(compile(tree, "README.md", "exec"), names)
            n_run += not is_async
    finally:
        if "lab" in names:
            names["lab"].close()
        close_servers()
    assert n_run >= 3


@pytest.mark.parametrize("path", WITH_DOCTESTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstrings(path: Path) -> None:
    """What a docstring shows at a prompt comes out."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted
    assert failed == 0
