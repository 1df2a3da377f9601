"""What ``streamlab run`` leaves in files: the run itself, a picture of it, a page that plays it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from streamlab.cli.options import RunOptions
from streamlab.results.run import Run
from streamlab.scenario import ScenarioError


def check_files(options: RunOptions) -> None:
    """See that what is to become of the run can be had."""
    if options.json and options.events:
        raise ScenarioError("--json and --events both print: take one of them")
    for option, path in (("--save", options.save), ("--html", options.html)):
        if path is not None:
            if options.engine == "both":
                raise ScenarioError(f"{option} keeps one run: take --engine simulated or --engine live")
            check_writable(path, option)
    if options.plot is not None:
        check_picture(options.plot)


def check_picture(path: Path) -> None:
    """See that a picture can be drawn, and be written to this file."""
    if find_spec("matplotlib") is None:
        raise ScenarioError("--plot needs matplotlib, which is not installed: pip install 'consumer-group-lab[course]'")
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise ScenarioError(f"--plot {path}: the name has to end in {', '.join(f'.{each}' for each in known)}")
    check_writable(path, "--plot")


def check_writable(path: Path, option: str) -> None:
    """Raise `ScenarioError` if a file of this name cannot be written."""
    folder = path.parent
    if path.is_dir():
        problem = "is a folder: name a file in it"
    elif not folder.is_dir():
        problem = f"cannot be written: there is no folder {folder}"
    elif path.exists() and not os.access(path, os.W_OK):
        problem = "cannot be written: it is write-protected"
    elif not path.exists() and not os.access(folder, os.W_OK):
        problem = f"cannot be written: the folder {folder} is write-protected"
    else:
        return
    raise ScenarioError(f"{option} {path} {problem}")


def write_files(options: RunOptions, runs: list[Run]) -> None:
    """Save and draw what has run, where that is asked for."""
    if options.save is not None:
        runs[0].save(options.save)
    if options.plot is not None:
        from streamlab import plots  # matplotlib is an extra, and slow to import

        parts = [part for run in runs for part in run.groups.values()]
        lost_somebody = len(parts) == 1 and any(parts[0].recovery.times)
        figure = plots.recovery(parts[0]) if lost_somebody else plots.overview(*parts)
        figure.savefig(options.plot)
    if options.html is not None:
        from streamlab.views.playback import Playback

        Playback(runs[0]).save(options.html)
