"""Somebody else's project, with tests of its own: they are run by a pytest that finds the plugin by itself."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
#: Without what this project's own tests need, and a fresh environment does not have.
_OTHERS = ("anyio", "hypothesispytest", "nbval", "pytest_cov", "xdist", "xdist.looponfail")
_PLAIN = ("-p", "no:cacheprovider", *(word for name in _OTHERS for word in ("-p", f"no:{name}")))


@dataclass(frozen=True)
class Outcome:
    """What came of a run: its exit status, what it said, and the seconds of the processor that it took."""

    status: int
    said: str
    seconds: float


def run_pytest(folder: Path, files: dict[str, str], *args: str, **environment: str) -> Outcome:
    """Write files into a project's folder, and run its tests."""
    for name, text in files.items():
        (folder / name).write_text(text)
    installed = _installed(folder)
    path = os.pathsep.join([str(installed), str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    unset = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "STREAMLAB_", "COV_"))
    }
    before = _processor()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *_PLAIN, "-W", "error", f"--rootdir={folder}", *args],
        cwd=folder, env={**unset, "PYTHONPATH": path, **environment}, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout + done.stderr, _processor() - before)


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _installed(folder: Path) -> Path:
    """Return a folder in which the package stands as installed: with the entry points that its wheel has."""
    site = folder / "site"
    about = site / "streamlab_entry_points-0.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["pytest11"]
    lines = [f"{name} = {value}" for name, value in points.items()]
    (about / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]))
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: streamlab-entry-points\nVersion: 0\n")
    return site
