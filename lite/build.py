"""Make the site on which the course runs in a browser alone: JupyterLite, with Python as WebAssembly (`make lite`).

    python lite/build.py [FOLDER] [--vendor]

The page asks nobody but its own site for anything: Pyodide comes from its npm package, and what is written in Python
from wheels, by npm and pip as they are set up here. Only what has to be compiled is elsewhere: numpy, matplotlib and
pandas have wheels for a browser on Pyodide's own site, which are fetched when they are first used; with ``--vendor``
they are put beside the others, for which this machine has to reach that site.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from jupyterlite_pyodide_kernel.constants import PYODIDE_CDN_URL, PYODIDE_KERNEL_NPM_NAME, PYODIDE_VERSION

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
KERNEL = f"{PYODIDE_KERNEL_NPM_NAME}:kernel"
LOCK = "pyodide-lock.json"
#: What of Pyodide's package a page uses: neither its maps nor its types.
PARTS = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", LOCK)
#: What JupyterLab has already, and the page would download in vain.
LEFT_OUT = ("jupyterlab-widgets", "widgetsnbextension")
#: What has wheels for a browser on Pyodide's own site only.
COMPILED = ("matplotlib", "numpy", "pandas")
#: What of the folder of lessons is for who makes them.
NOT_FOR_LEARNERS = shutil.ignore_patterns("solutions", "*.py", "*.cfg", ".*", "__pycache__", "private")
KERNELSPEC = {"display_name": "Python (Pyodide)", "language": "python", "name": "python"}
#: How JupyterLite's first page leads on, and how it shall.
LEADS_ON = ("await import('./config-utils.js');", "location.replace('lab/index.html?path=00_start_here.ipynb');")


def main() -> None:
    """Make the site."""
    parser = argparse.ArgumentParser(prog="python lite/build.py", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build/lite", help="where the site goes")
    parser.add_argument("--vendor", action="store_true", help="put numpy, matplotlib and pandas on it, too")
    arguments = parser.parse_args()
    site: Path = arguments.folder.resolve()
    work = site.with_name(f"{site.name}-parts")
    for each in (site, work):
        shutil.rmtree(each, ignore_errors=True)
    pyodide = work / "static/pyodide"
    get_pyodide(pyodide)
    wheels = work / "wheels"
    get_wheels(wheels)
    names = write_lock(pyodide, sorted(wheels.glob("*.whl")), vendor=arguments.vendor)
    copy_lessons(work / "files")
    build = ["jupyter", "lite", "build", "--apps", "lab", "--lite-dir", work, "--contents", work / "files"]
    run(*build, "--output-dir", site, "--no-sourcemaps", "--no-libarchive", folder=work)  # where it leaves a database
    add_settings(site / "jupyter-lite.json", names)
    open_the_first_lesson(site / "index.html")
    shutil.rmtree(work)
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    print(f"{site}: {size / 1e6:.0f} MB; to see it: python -m http.server --directory {site}")


def run(*command: str | Path, folder: Path = ROOT) -> None:
    """Run a program quietly; if it fails, show what it said."""
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{command[0]} ended with status {done.returncode}")


def get_pyodide(folder: Path) -> None:
    """Put into a folder what of Pyodide a page needs, of the version that the kernel is made for."""
    if shutil.which("npm") is None:
        sys.exit("make lite needs npm, from which Pyodide comes (Debian, Ubuntu: apt install npm)")
    folder.mkdir(parents=True)
    run("npm", "pack", f"pyodide@{PYODIDE_VERSION}", "--silent", "--pack-destination", folder)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as packed:
        for part in PARTS:
            file = packed.extractfile(f"package/{part}")
            assert file is not None, part
            (folder / part).write_bytes(file.read())
    archive.unlink()


def get_wheels(folder: Path) -> None:
    """Put into a folder the wheels that the page installs: those of lite/requirements.txt, the kernel's, and ours."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    only_python = ["--only-binary=:all:", "--python-version=3.14", "--implementation=py", "--abi=none"]
    run(*pip, "download", "--no-deps", *only_python, "-d", folder, "-r", HERE / "requirements.txt")
    run(*pip, "wheel", "--no-deps", "-w", folder, ROOT)
    for wheel in [*folder.glob("*.whl")]:
        if name_of(wheel) in LEFT_OUT:
            wheel.unlink()
    kernel = Path(sys.prefix) / "share/jupyter/labextensions" / PYODIDE_KERNEL_NPM_NAME / "static/pypi"
    for wheel in kernel.glob("*.whl"):
        if name_of(wheel) not in LEFT_OUT:
            shutil.copy(wheel, folder)


def name_of(wheel: Path) -> str:
    """Return the name of the package in a wheel."""
    return wheel.name.split("-")[0].replace("_", "-").lower()


def write_lock(pyodide: Path, wheels: list[Path], *, vendor: bool) -> list[str]:
    """Put the wheels beside Pyodide, and where each package is into its lock; return the names of those here."""
    lock = json.loads((pyodide / LOCK).read_text())
    packages: dict[str, dict[str, Any]] = lock["packages"]
    here = {*with_dependencies(packages, COMPILED)} - {*map(name_of, wheels)} if vendor else set()
    for name, package in packages.items():
        address = f"{PYODIDE_CDN_URL}/{package['file_name']}"
        if name in here:
            fetch(address, pyodide / package["file_name"], package["sha256"])
        else:
            package["file_name"] = address
    for wheel in wheels:
        shutil.copy(wheel, pyodide)
        packages[name_of(wheel)] = {
            "name": name_of(wheel), "version": wheel.name.split("-")[1], "file_name": wheel.name,
            "install_dir": "site", "package_type": "package", "imports": [], "depends": [],
            "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(), "unvendored_tests": False,
        }  # fmt: skip
    (pyodide / LOCK).write_text(json.dumps(lock))
    return [name_of(wheel) for wheel in wheels]


def with_dependencies(packages: dict[str, dict[str, Any]], names: Iterable[str]) -> Iterator[str]:
    """Yield names of packages and of all that they need."""
    for name in names:
        yield name
        yield from with_dependencies(packages, packages[name]["depends"])


def fetch(address: str, path: Path, sha256: str) -> None:
    """Fetch a file from Pyodide's own site; end with a line about it unless it is the one that the lock means."""
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"{address} could not be fetched: {error}")
    if hashlib.sha256(content).hexdigest() != sha256:
        sys.exit(f"{address} is not what Pyodide's lock says: try again")
    path.write_bytes(content)


def copy_lessons(folder: Path) -> None:
    """Copy the lessons, as learners get them, for the kernel that there is in a page."""
    shutil.copytree(ROOT / "notebooks", folder, ignore=NOT_FOR_LEARNERS)
    for path in folder.glob("*.ipynb"):
        lesson = json.loads(path.read_text())
        lesson["metadata"]["kernelspec"] = KERNELSPEC
        path.write_text(json.dumps(lesson, ensure_ascii=False, indent=1))


def add_settings(path: Path, names: list[str]) -> None:
    """Add to JupyterLite's settings where the kernel has Python from, and what is installed from the beginning."""
    config = json.loads(path.read_text())
    settings = config["jupyter-config-data"]
    kernel = settings["litePluginSettings"][KERNEL]
    kernel |= {"pyodideUrl": "./static/pyodide/pyodide.mjs", "loadPyodideOptions": {"packages": names}}
    settings |= {"appName": "streamlab", "exposeAppInBrowser": True}  # the latter for tests
    path.write_text(json.dumps(config, indent=1))


def open_the_first_lesson(page: Path) -> None:
    """Let the site's first page lead to the first lesson; all else of it is read by the others."""
    before, after = LEADS_ON
    text = page.read_text()
    assert before in text, page
    page.write_text(text.replace(before, after))


if __name__ == "__main__":
    main()
