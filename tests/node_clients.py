"""Clients of Redis in Node that tests may use: a tiny one that is always there, and npm's where they are installed.

``.ci/node-clients FOLDER`` installs ioredis and node-redis; without FOLDER, where the tests look for them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "node"
MODULES = Path(os.environ.get("STREAMLAB_NODE", "~/.cache/streamlab/node")).expanduser() / "node_modules"
#: What a Node program of the tests is started with.
NODE_ENV = {**os.environ, "NODE_PATH": str(MODULES)}
_PACKAGES = {"ioredis": "ioredis", "node-redis": "redis"}


def node_clients() -> list[str]:
    """Return the clients that a Node program may use here; none without Node."""
    if shutil.which("node") is None:
        return []
    return ["resp", *(name for name, package in _PACKAGES.items() if (MODULES / package).is_dir())]


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node on the PATH")
