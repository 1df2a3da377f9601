"""A headless Chromium for the tests of views, and JupyterLab or Notebook 7 for it to open; all of it private."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from streamlab.servers.kept_jupyter import kept_jupyter

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
#: No sandbox, which a container's root cannot have; and nothing that asks the internet for anything.
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
#: Milliseconds that anything in the browser may take.
LIMIT_MS = 60_000
TOKEN = "streamlab-tests"
#: What opens a notebook: its module, where it shows one, and what it needs so as to ask the internet for nothing.
APPLICATIONS = {
    "jupyterlab": (
        "lab/tree",
        ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"],
    ),
    "notebook": ("notebooks", []),
}


def missing() -> str:
    """Return why there is no browser to test with; "" if there is one."""
    if find_spec("playwright") is None:
        return "playwright is not installed, so nothing was tried in a browser (pip install playwright)"
    if chromium() is None:
        return "no Chromium on the PATH, so nothing was tried in a browser (Debian, Ubuntu: apt install chromium)"
    return ""


def chromium() -> str | None:
    """Return the program; None if there is none."""
    return next((found for name in CHROMIUMS if (found := shutil.which(name))), None)


#: Let the browser reach this machine only, whichever of its workers asks.
NO_OTHER_HOSTS = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


@contextlib.contextmanager
def open_page(
    url: str, *, width: int = 1280, height: int = 800, asked: Callable[[str], object] | None = None
) -> Iterator[Any]:
    """Give a page of a fresh browser that shows the URL; errors on it end the test.

    With `asked`, the browser reaches this machine only, and that is told what was asked for, wherever it is.
    """
    from playwright.sync_api import sync_playwright

    errors: list[str] = []
    with sync_playwright() as playwright:
        flags = FLAGS if asked is None else [*FLAGS, NO_OTHER_HOSTS]
        browser = playwright.chromium.launch(executable_path=chromium(), args=flags)
        try:
            page: Any = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(LIMIT_MS)
            page.on("pageerror", lambda error: errors.append(error.stack or str(error)))
            if asked is not None:
                page.context.on("request", lambda request: asked(request.url))
            page.goto(url)
            yield page
        finally:
            browser.close()
    errors = [error for error in errors if not is_of_notebook(error)]
    assert errors == [], errors


def is_of_notebook(stack: str) -> bool:
    """Whether an error is of Notebook 7 alone, which has some of its own, whatever a notebook holds."""
    places = re.findall(r"(?:blob:)?https?://[^\s)]+", stack)
    return bool(places) and all("/static/notebook/" in place for place in places)


@contextlib.contextmanager
def jupyter(folder: Path, application: str = "jupyterlab", *, name: str = "panel.ipynb") -> Iterator[str]:
    """Give where an application shows this notebook of a folder; it keeps its settings in there too."""
    place, options = APPLICATIONS[application]
    private = folder / "private"
    port = free_port()
    command = [
        sys.executable, "-m", application, "--no-browser", f"--port={port}", "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={TOKEN}", "--ServerApp.ip=127.0.0.1",
        "--expose-app-in-browser", *options,
    ]  # fmt: skip
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    settings = {
        "JUPYTER_CONFIG_DIR": private / "config",
        "JUPYTER_RUNTIME_DIR": private / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": private / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": private / "workspaces",
    }
    news = private / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false"}')
    env = {**os.environ, **{k: str(v) for k, v in settings.items()}}
    with (private / "log").open("wb") as log, kept_jupyter() as kept:
        process = kept.start(command, env=env, stdout=log, stderr=log)
        wait_for(f"http://127.0.0.1:{port}/api?token={TOKEN}", process)
        yield f"http://127.0.0.1:{port}/{place}/{name}?token={TOKEN}&reset"


def run_all_cells(page: Any) -> None:
    """Run the notebook that Jupyter shows (driving its menu lost the command now and then)."""
    page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext")
    page.evaluate(
        """async () => {
            const { shell, commands } = window.jupyterapp;
            await shell.currentWidget.context.ready;
            await shell.currentWidget.sessionContext.ready;
            await shell.currentWidget.sessionContext.session.kernel.info;
            commands.execute('notebook:run-all-cells');
        }"""
    )


def kill_in_work(page: Any, consumer: str) -> None:
    """Play a simulated lab's panel until a consumer holds something, and kill it by click; time stands still then.

    While it does not, a consumer may finish before a click on a busy machine has found its way.
    """
    press = ".streamlab-panel button:text-is('{}')".format
    holds = f"() => Number(document.querySelector('[data-consumer={consumer}]').cells[3].textContent) > 0"
    while True:
        page.click(press("Play"))
        page.wait_for_function(holds)
        page.click(press("Freeze"))
        page.wait_for_selector(press("Play"))
        if page.evaluate(holds):
            break
    page.click(f"[data-consumer={consumer}] .kill")


def restart_kernel(page: Any) -> None:
    """Restart the kernel of the notebook that Jupyter shows, and wait until it is there again."""
    page.evaluate(
        """async () => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            await kernel.restart();
            await kernel.info;
        }"""
    )


def wait_for(url: str, process: subprocess.Popen[bytes], limit: float = 60.0) -> None:
    """Wait until a server answers; fail if it ends or takes too long."""
    deadline = time.monotonic() + limit
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            pass
        assert process.poll() is None, f"the server of {url} ended with status {process.returncode}"
        assert time.monotonic() < deadline, f"{url} did not answer within {limit:g} s"
        time.sleep(0.1)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def notebook(*cells: str, kernel: str = "python3") -> str:
    """Return a notebook of these cells, as text."""
    return json.dumps(
        {
            "cells": [
                {"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": None,
                 "outputs": [], "source": cell}
                for i, cell in enumerate(cells)
            ],
            "metadata": {
                "kernelspec": {"display_name": "Python 3", "language": "python", "name": kernel}
            },
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    )  # fmt: skip
