"""A page of a site that was made with `--vendor`; small wheels stand in for those of Pyodide's own site."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.lite.site import opened, troubles
from tests.lite.vendored import digest, make_wheel, standing_in
from tests.walk import walk

pytestmark = pytest.mark.browser

LOOK = """for name in ("pandas", "matplotlib", "numpy"):
    assert __import__(name).STANDS_IN == name"""


def vendored(site: Path, folder: Path) -> tuple[Path, int]:
    """Return a site as `lite/build.py --vendor` would have made it, and how many files were fetched for it."""
    made, served = folder / "site", folder / "served"
    shutil.copytree(site.resolve(), made, copy_function=os.symlink)
    served.mkdir()
    with standing_in(served) as (build, asked):
        pyodide = made / "static/pyodide"
        lock = json.loads((pyodide / build.LOCK).read_text())
        packages: dict[str, Any] = lock["packages"]
        wheels = [pyodide / each["file_name"] for each in packages.values() if "/" not in each["file_name"]]
        for package in packages.values():  # as Pyodide's package has them
            package["file_name"] = package["file_name"].rpartition("/")[2]
        for name in {*build.with_dependencies(packages, build.COMPILED)}:
            wheel = make_wheel(served / packages[name]["file_name"], f"STANDS_IN = {name!r}")
            packages[name]["sha256"] = digest(wheel)
        wheels = [Path(shutil.move(wheel, folder)) for wheel in wheels]
        (pyodide / build.LOCK).unlink()
        (pyodide / build.LOCK).write_text(json.dumps(lock))
        build.write_lock(pyodide, wheels, vendor=True)
    return made, len(asked)


def test_a_page_of_a_vendored_site_asks_no_other(site: Path, tmp_path: Path) -> None:
    """The three packages, and what they need, come from beside the others."""
    made, n_fetched = vendored(site, tmp_path)
    assert n_fetched > 3
    with opened(made, "look.ipynb", "import streamlab", LOOK) as notebook:
        assert [words for step in walk(notebook.page) for words in troubles(step)] == []
        assert notebook.asked == []
