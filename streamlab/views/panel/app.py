"""The control panel as a page of its own: a notebook with one cell, served by Voila on 127.0.0.1."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from streamlab.scenario import Scenario, to_toml
from streamlab.servers.kept_jupyter import exit_status, kept_jupyter

_CELL = """\
from pathlib import Path
from streamlab.lab.lab import Lab
from streamlab.views.panel import Panel
lab = Lab(Path("scenario.toml"), engine={engine!r})
lab.play()
Panel(lab)
"""


def main(scenario: Scenario, *, live: bool = False, open_browser: bool = True, port: int | None = None) -> int:
    """Serve the panel of a scenario until Ctrl-C; return Voila's exit status."""
    with served(scenario, live=live, open_browser=open_browser, port=port) as voila:
        return exit_status(voila.wait())


@contextlib.contextmanager
def served(
    scenario: Scenario,
    *,
    live: bool = False,
    open_browser: bool = False,
    port: int | None = None,
    options: Sequence[str] = (),
    **popen: Any,
) -> Iterator[subprocess.Popen[bytes]]:
    """Give the running Voila; it is ended, with its kernels, when the context is left, or this process ends.

    `options` are more of Voila's.
    """
    with kept_jupyter() as kept:
        notebook = kept.folder / "panel.ipynb"
        (kept.folder / "scenario.toml").write_text(to_toml(scenario), "utf-8")
        notebook.write_text(json.dumps(_notebook("live" if live else "simulated")), "utf-8")
        command = [sys.executable, "-m", "voila", str(notebook), "--Voila.ip=127.0.0.1", *options]
        if port is not None:
            command.append(f"--port={port}")
        if not open_browser:
            command.append("--no-browser")
        # Whatever Voila writes goes with the folder. Its signals are ours: there is nothing for it to ask about.
        private = str(kept.folder)
        env = {**os.environ, "TMPDIR": private, "JUPYTER_RUNTIME_DIR": private}
        yield kept.start(command, env=env, start_new_session=True, **popen)


def _notebook(engine: str) -> dict[str, Any]:
    return {
        "cells": [
            {
                "cell_type": "code",
                "id": "panel",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": _CELL.format(engine=engine),
            }
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "title": "streamlab control panel",
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
