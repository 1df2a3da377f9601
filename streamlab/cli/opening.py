"""``streamlab lab``, ``streamlab panel`` and ``streamlab replay``: what opens in the browser."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import webbrowser
from importlib.util import find_spec
from pathlib import Path

from streamlab import working_copy
from streamlab.cli.files import check_writable
from streamlab.scenario import ScenarioError, load_scenario
from streamlab.servers.programs import best_server


def require(package: str, words: str = "") -> None:
    """Raise `ScenarioError` if a package of the course extra is not installed."""
    if find_spec(package) is None:
        raise ScenarioError(f"{words or f'{package} is'} not installed: pip install 'consumer-group-lab[course]'")


def open_course(folder: Path, *, no_browser: bool, copy_only: bool) -> int:
    """Bring the learner's copy of the course up to date, and open it in JupyterLab; return its exit status."""
    if not copy_only:
        require("jupyterlab", "JupyterLab is")
    folder = folder.expanduser().resolve()
    _tell_of_copy(working_copy.copy_course(working_copy.course_folder(), folder), folder)
    if copy_only:
        return 0
    # JupyterLab keeps its token and listens on 127.0.0.1: that is its default, and stays so.
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    command.append(str(folder / working_copy.FIRST_LESSON))
    if no_browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # as in most containers; Jupyter refuses otherwise
        command.append("--allow-root")
    # It is installed with the course only, as JupyterLab itself.
    from streamlab.servers.kept_jupyter import exit_status, kept_jupyter

    # In a terminal, Ctrl-C reaches JupyterLab as well, which asks before it ends; we wait for what it is told.
    asks = sys.stdin is not None and sys.stdin.isatty()
    with kept_jupyter() as kept:
        jupyter = kept.start(command, start_new_session=not asks)
        if asks:
            signal.signal(signal.SIGINT, lambda *_: None)
        return exit_status(jupyter.wait())


def _tell_of_copy(copied: working_copy.Copied, folder: Path) -> None:
    print(f"Your copy of the course is in {folder}; what you do there is yours.")
    if copied.renewed:
        print(f"Brought up to date: {', '.join(copied.renewed)}")
    if copied.beside:
        print(f"You have changed these, so the new version is beside yours: {', '.join(copied.beside)}")
    sys.stdout.flush()


def open_panel(name: str, *, live: bool, port: int | None, no_browser: bool) -> int:
    """Serve the control panel of a scenario until it is stopped; return the exit status."""
    for package in ("voila", "anywidget"):
        require(package)
    from streamlab.views.panel import app

    scenario = load_scenario(name)
    if live:
        best_server()
    return app.main(scenario, live=live, open_browser=not no_browser, port=port)


def open_saved(saved: Path, *, page: Path | None, no_browser: bool) -> int:
    """Write the page that plays a saved run, and open it; return the exit status."""
    from streamlab.views.playback import Playback

    if page is not None:
        check_writable(page, "--html")
    playback = Playback.load(saved)
    if page is None:  # it stays, since the browser has it open: temporary folders are emptied by the system
        page = Path(tempfile.mkdtemp(prefix="streamlab-replay-"), f"{saved.stem}.html")
    playback.save(page)
    print(page, flush=True)
    if not no_browser and not webbrowser.open(page.resolve().as_uri()):
        print("streamlab: there is no browser to open it with: open this file in one", file=sys.stderr)
    return 0
