"""A server of this machine that stands in for Pyodide's own site, with small wheels in the place of compiled ones."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

BUILD = Path(__file__).parents[2] / "lite/build.py"
#: The module of the tools that make the site which says where Pyodide is; the tests need not have them.
CONSTANTS = "jupyterlite_pyodide_kernel.constants"
TAGS = "cp314-cp314-pyemscripten_2026_0_wasm32"


@dataclass(frozen=True)
class Site:
    """Pyodide's lock, as its package has it, and wheels that are served."""

    pyodide: Path
    served: Path
    elsewhere: Path
    lock: dict[str, Any]

    @classmethod
    def of(cls, folder: Path, **depends: list[str]) -> Site:
        """Make wheels, with what each depends on, and a lock of them."""
        lock: dict[str, Any] = {name: {"name": name, "depends": needed} for name, needed in depends.items()}
        site = cls(folder / "pyodide", folder / "served", folder / "elsewhere", lock)
        for place in (site.pyodide, site.served, site.elsewhere):
            place.mkdir()
        for name, package in lock.items():
            wheel = make_wheel(site.served / f"{name}-1.0-{TAGS}.whl")
            package |= {"file_name": wheel.name, "sha256": digest(wheel)}
        (site.pyodide / "pyodide-lock.json").write_text(json.dumps({"packages": lock}))
        return site

    def file_name(self, name: str) -> str:
        """Return the name of a package's wheel."""
        return str(self.lock[name]["file_name"])

    def wheel(self, name: str, version: str) -> Path:
        """Return a wheel that is not served."""
        return make_wheel(self.elsewhere / f"{name}-{version}-{TAGS}.whl")


def make_wheel(wheel: Path, text: str = "") -> Path:
    """Make a wheel of this name, with one module of this text."""
    name, version, *tags = wheel.stem.split("-")
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr(f"{name}/__init__.py", text)
        packed.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        packed.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {'-'.join(tags)}\n")
        packed.writestr(f"{about}/RECORD", "")
    return wheel


def digest(path: Path) -> str:
    """Return what a lock says of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, asked: list[str], **kwargs: Any) -> None:
        self.asked = asked
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def standing_in(folder: Path) -> Iterator[tuple[ModuleType, list[str]]]:
    """Serve a folder in the place of Pyodide's site; give `lite/build.py`, and what the server is asked for."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder), asked=asked))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    constants: Any = ModuleType(CONSTANTS)
    constants.PYODIDE_CDN_URL = f"http://127.0.0.1:{server.server_port}"
    constants.PYODIDE_KERNEL_NPM_NAME = constants.PYODIDE_VERSION = ""
    try:
        with mock.patch.dict(sys.modules, {CONSTANTS.partition(".")[0]: constants, CONSTANTS: constants}):
            spec = importlib.util.spec_from_file_location("lite_build", BUILD)
            assert spec is not None
            assert spec.loader is not None
            build = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(build)
        yield build, asked
    finally:
        server.shutdown()
        server.server_close()
