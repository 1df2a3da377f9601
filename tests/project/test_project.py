"""The project around the package: what is committed, the Makefile, the scripts of CI, the notebooks' guard."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
#: What pytest has not to load where it only looks at a few of these tests.
LIGHT = ["-p", "no:cacheprovider", "-p", "no:nbval", "-p", "no:xdist", "-p", "no:cov"]
TOP_LEVEL = {
    *(
        ".ci",
        ".devcontainer",
        ".github",
        ".gitignore",
        ".pre-commit-config.yaml",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "DESIGN.md",
        "LICENSE",
        "Makefile",
    ),
    *(
        "README.md",
        "SECURITY.md",
        "benchmarks",
        "binder",
        "docs",
        "examples",
        "lite",
        "notebooks",
        "pyproject.toml",
        "streamlab",
        "tests",
    ),
}
# Lock files that carry the addresses of the registry they were made with.
LOCK_FILES = {"uv.lock", "pylock.toml", "poetry.lock", "Pipfile.lock", "package-lock.json", "yarn.lock"}
REGISTRY = re.compile(r"https?://[^\s\"'<>)]*(?:pypi|pythonhosted|npmjs|devpi|/simple(?![\w-]))", re.IGNORECASE)


def committed() -> list[Path]:
    """List what is committed or about to be; without git, all that is not hidden."""
    asked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if asked.returncode == 0:
        names = [ROOT / os.fsdecode(name) for name in asked.stdout.split(b"\0") if name]
    else:
        hidden = re.compile(r"(^|/)(\.(?!ci/|gitignore$|pre-commit-config)|__pycache__/|build/|dist/)|\.egg-info/")
        names = [path for path in ROOT.rglob("*") if not hidden.search(path.relative_to(ROOT).as_posix())]
    return [path for path in names if path.is_file()]


def texts() -> list[tuple[str, str]]:
    """Give each committed text file with what it says."""
    found = []
    for path in committed():
        content = path.read_bytes()
        if b"\0" not in content:
            found.append((path.relative_to(ROOT).as_posix(), content.decode()))
    return found


def test_the_top_level_needs_no_explanation() -> None:
    """A newcomer finds nothing there but what every project has."""
    names = {path.relative_to(ROOT).parts[0] for path in committed()}
    assert {"pyproject.toml", "Makefile", "streamlab", "tests"} <= names
    assert names <= TOP_LEVEL


def test_nothing_names_the_machine_it_was_made_on() -> None:
    """No committed file holds this checkout's folder, the home folder or the machine's name."""
    here = {f"{ROOT}/", f"{Path.home()}/", f"{sys.prefix}/"}
    if len(socket.gethostname()) > 4:  # "vm" is also a word
        here.add(socket.gethostname())
    hits = [f"{name}: {word}" for name, text in texts() for word in here if word in text]
    assert hits == []


def test_no_registry_is_named() -> None:
    """No package registry's address is committed, in a lock file or elsewhere."""
    assert {path.name for path in committed()} & LOCK_FILES == set()
    hits = [f"{name}: {hit[0]}" for name, text in texts() for hit in REGISTRY.finditer(text)]
    assert hits == []


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("https://py" + "pi.org/project/x", True),
        ("http://10.0.0.1:8080/team/py" + "pi/+simple", True),
        ("https://mirror.example/" + "simple", True),
        ("https://redis.io/docs/latest/simple-things", False),
    ],
)
def test_a_registry_is_recognised(text: str, hit: bool) -> None:
    """The guard above knows an address when it sees one."""
    assert bool(REGISTRY.search(text)) == hit


# ---- notebooks --------------------------------------------------------------------------------------


def unexecuted(notebook: dict[str, Any]) -> list[str]:
    """Say what shows that a notebook was not run, whole and in order: nbval would compare nothing then."""
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and "".join(cell["source"])]
    complaints = []
    if not code:
        complaints.append("has no code")
    counts = [cell["execution_count"] for cell in code]
    if counts != list(range(1, len(code) + 1)):
        complaints.append(f"was not run from top to bottom: {counts}")
    for cell in code:
        tags = cell["metadata"].get("tags", [])
        failed = any(output["output_type"] == "error" for output in cell["outputs"])
        if failed != ("raises-exception" in tags):
            complaints.append(f"cell {cell['execution_count']} fails, or should and does not")
        if "skip" in tags:
            complaints.append(f"cell {cell['execution_count']}: nbval ignores 'skip'; write nbval-skip")
    if not any(cell["outputs"] and "nbval-ignore-output" not in cell["metadata"].get("tags", []) for cell in code):
        complaints.append("has no output that is compared")
    return complaints


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_was_executed(path: Path) -> None:
    """Committed outputs are those of one run from top to bottom."""
    assert unexecuted(json.loads(path.read_text())) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_s_outputs_name_no_place(path: Path) -> None:
    """Outputs hold no path of the machine where they were made, and no warning shown by accident."""
    for cell in json.loads(path.read_text())["cells"]:
        said = json.dumps(cell.get("outputs", []))
        assert re.findall(r"(?:/tmp|/home|/root|/Users)/\S+|\w+Warning\b", said) == []


def cell(source: str, output: str, count: int | None = 1) -> dict[str, Any]:
    """Make a code cell with one line of printed output."""
    return {
        "cell_type": "code",
        "id": f"cell-{count}",
        "execution_count": count,
        "metadata": {},
        "outputs": [{"name": "stdout", "output_type": "stream", "text": [output]}] if output else [],
        "source": [source],
    }


def notebook(*cells: dict[str, Any]) -> dict[str, Any]:
    """Make a notebook of such cells."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": list(cells), "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def test_the_guard_sees_what_was_not_executed() -> None:
    """Not run at all, not in order, no output to compare, failed: each is noticed."""
    good = cell("print(1)", "1\n")
    assert unexecuted(notebook(good)) == []
    assert unexecuted(notebook()) != []
    assert unexecuted(notebook(cell("print(1)", "", None))) != []
    assert unexecuted(notebook(good, cell("print(1)", "1\n", 3))) != []
    assert unexecuted(notebook(cell("x = 1", ""))) != []
    assert unexecuted(notebook(good | {"metadata": {"tags": ["raises-exception"]}})) != []
    assert unexecuted(notebook(good | {"metadata": {"tags": ["skip"]}})) != []
    assert unexecuted(notebook(good | {"metadata": {"tags": ["nbval-ignore-output"]}})) != []


def test_nbval_compares(tmp_path: Path) -> None:
    """The way `make test` runs notebooks, a wrong output is a failure: nbval is there and strict."""
    pytest.importorskip("nbval", reason="nbval is not installed: make .venv/dev")
    (tmp_path / "right.ipynb").write_text(json.dumps(notebook(cell("print(6 * 7)", "42\n"))))
    (tmp_path / "wrong.ipynb").write_text(json.dumps(notebook(cell("print(6 * 7)", "43\n"))))
    options = re.search(r"(--nbval .*?) \$\(NOTEBOOKS", (ROOT / "Makefile").read_text())
    assert options
    strict = options[1].replace("-n 2 --dist loadfile", "").split()  # two notebooks need no two processes
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *strict, "--rootdir", tmp_path, "-q", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 1, run.stdout
    assert "1 failed, 1 passed" in run.stdout
    assert "wrong.ipynb" in run.stdout


# ---- Makefile and scripts ---------------------------------------------------------------------------


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run make, without what an outer make has put into the environment."""
    if shutil.which("make") is None:
        pytest.skip("no make on the PATH")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=clean, capture_output=True, text=True, timeout=60, check=False
    )


def test_make_alone_lists_the_targets() -> None:
    """`make` says what there is, and each target that it lists is one."""
    listed = make()
    assert listed.returncode == 0
    names = re.findall(r"^  make (\w+) +\S", listed.stdout, re.MULTILINE)
    assert {"lab", "test", "lint", "bench", "fuzz", "clean"} <= set(names)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert sorted(names) == sorted(phony[1].split())


@pytest.mark.parametrize(
    ("python", "says"),
    [
        ("exit 1", "needs Python 3.11 or newer"),
        ('case "$2" in *version_info*) exit 0;; *) exit 1;; esac', "apt install python3-venv"),
        ('case "$1" in -c) exit 0;; *) echo "disk full" >&2; exit 1;; esac', "disk full"),
    ],
    ids=["too old", "no venv", "fails"],
)
def test_make_without_a_good_python(python: str, says: str, tmp_path: Path) -> None:
    """One line says what is missing; an environment that was left half made is not taken for a whole one."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    left_over = tmp_path / ".venv" / "bin" / "python"
    left_over.parent.mkdir(parents=True)
    left_over.touch(mode=0o755)
    interpreter = tmp_path / "python"
    interpreter.write_text(f"#!/bin/sh\n{python}\n")
    interpreter.chmod(0o755)
    failed = make("lab", f"PYTHON={interpreter}", folder=tmp_path)
    assert failed.returncode == 2
    assert says in failed.stderr.splitlines()[0]
    assert not left_over.exists()


@pytest.mark.parametrize("script", ["run", "newer-servers"])
def test_scripts_are_sound_shell(script: str) -> None:
    """bash can read them, and they can be run."""
    subprocess.run(["bash", "-n", ROOT / ".ci" / script], check=True)
    assert os.access(ROOT / ".ci" / script, os.X_OK)


def test_newer_servers_says_where_it_cannot(tmp_path: Path) -> None:
    """Elsewhere than on Debian one line says so, and nothing is left half done."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "realpath", "env"):
        program = shutil.which(tool)
        assert program
        (tools / tool).symlink_to(program)
    failed = subprocess.run(
        [ROOT / ".ci" / "newer-servers", tmp_path / "servers"],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert failed.returncode == 1
    assert failed.stderr == "newer-servers: needs Debian (apt, dpkg, the archive's keyring)\n"
    assert not (tmp_path / "servers").exists()


def test_each_test_is_in_one_part() -> None:
    """``make test`` runs what looks at no real time, and then what does; ``make further`` the rest of both."""

    def collected(*options: str) -> list[str]:
        command = [sys.executable, "-m", "pytest", "-q", "--collect-only", *LIGHT, *options, *files]
        asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        return [line for line in asked.stdout.splitlines() if "::" in line]

    files = ["tests/actors/test_lost_replies.py", "tests/schedules/test_schedules.py", "tests/cli/test_torture.py"]
    makefile = (ROOT / "Makefile").read_text()
    parts = re.findall(r"(--real-time=\w+)(?: (--further=\w+))? -n 3 ", makefile)
    assert parts[4:] == [("--real-time=without", ""), ("--real-time=only", "")]  # coverage
    found = [collected(*filter(None, part)) for part in parts[:4]]
    assert {name.split("[")[0] for name in found[1] if files[0] in name} == {
        "tests/actors/test_lost_replies.py::test_block_5000_returns_after_5_s"
    }
    assert [{name.split("::")[0] for name in further} for further in found[2:]] == [{files[1]}, {files[2]}]
    assert sorted(itertools.chain(*found)) == sorted(collected())


def test_without_a_server_tests_step_aside() -> None:
    """Where no server is on the PATH, what needs one is left out, and the reason is shown."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *LIGHT, "tests/servers/test_servers.py"],
        cwd=ROOT,
        env={**os.environ, "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert "no redis-server or valkey-server on the PATH, so nothing was tried on a real one" in run.stdout
    assert re.search(r"\d+ passed, \d+ skipped", run.stdout)
