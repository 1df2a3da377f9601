"""``streamlab panel`` and ``streamlab lab`` end with everything that they have started, however they end."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from streamlab.servers.client import sync_stream_client
from streamlab.servers.kept_jupyter import exit_status
from tests import browser
from tests.conftest import Eventually
from tests.further import beyond
from tests.process_table import descendants, runs, workers

pytestmark = [
    pytest.mark.real_time("starts Jupyter servers, and looks for what is left of them"),
    pytest.mark.redis,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc"),
]

LIMIT = 30.0  # seconds for anything on a busy machine
PROGRAM = [sys.executable, "-m", "streamlab"]
#: What a learner may have running in a notebook: a live lab on a private server, and one on a given server.
CELL = """
import subprocess
from streamlab.lab.lab import Lab
from streamlab import connect
labs = [Lab("kill-and-recover", engine="live"), Lab("kill-and-recover", engine="live", redis_url={url!r})]
for lab in labs: lab.play()
server = connect()
child = subprocess.Popen(["sleep", "600"])
"""


class Session:
    """A ``streamlab panel`` or ``streamlab lab``: its process, and what it has started."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self.folder = folder

    def find(self, word: str) -> list[int]:
        """Return the processes below it whose arguments hold this."""
        return [pid for pid, args in descendants(self.process.pid).items() if word in args]

    def n_workers(self) -> int:
        """Return how many workers of labs run below it."""
        return len(workers(descendants(self.process.pid)))

    def everything(self) -> list[int]:
        return [self.process.pid, *descendants(self.process.pid)]


@contextmanager
def running(folder: Path, *args: str, terminal: int | None = None) -> Iterator[Session]:
    """Give a running ``streamlab``, all of whose files are in a folder; in a terminal, if one is given."""
    (folder / "tmp").mkdir()
    env = os.environ | {
        "TMPDIR": str(folder / "tmp"),
        "HOME": str(folder),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_TOKEN": browser.TOKEN,
    }
    command = [*PROGRAM, *args, "--no-browser"]
    if terminal is not None:  # so that it is the session's own, and its end is the session's SIGHUP
        become = (
            "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
        )
        command = [sys.executable, "-c", become, *command]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL if terminal is None else terminal,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    session = Session(process, folder)
    try:
        yield session
    finally:
        # But for guards: they end by themselves, and what they guard with them, folders included.
        below = {pid: args for pid, args in descendants(process.pid).items() if "streamlab-guard" not in args}
        for pid in (process.pid, *below):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def wait_for(condition: Callable[[], object], session: Session) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        log = (session.folder / "log").read_text()
        assert session.process.poll() is None, log
        assert time.monotonic() < deadline, log
        time.sleep(0.05)


def answers(url: str) -> bool:
    with suppress(OSError):
        urllib.request.urlopen(url, timeout=LIMIT).read()
        return True
    return False


def address_in(runtime: Path) -> str:
    """Return where the server is whose file is in a folder; "" until Jupyter has written all of it."""
    for file in runtime.glob("jpserver-*.json"):
        with suppress(json.JSONDecodeError):
            return str(json.loads(file.read_text())["url"])
    return ""


@contextmanager
def panel(folder: Path) -> Iterator[Session]:
    """Give a live panel whose page has been opened, so that there is a kernel with workers and a server."""
    port = browser.free_port()
    with running(folder, "panel", "--live", f"--port={port}") as session:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/"), session)
        wait_for(lambda: session.n_workers() == 5, session)
        yield session


@contextmanager
def lab(folder: Path, url: str, terminal: int | None = None, then: str = "") -> Iterator[Session]:
    """Give a JupyterLab with a notebook's kernel in which two live labs play."""
    with running(folder, "lab", "--folder", str(folder / "copy"), terminal=terminal) as session:
        runtime = folder / "runtime"
        wait_for(lambda: address_in(runtime), session)
        address = address_in(runtime)
        wait_for(lambda: answers(f"{address}api?token={browser.TOKEN}"), session)
        headers = {"Authorization": f"token {browser.TOKEN}", "Content-Type": "application/json"}
        ask = urllib.request.Request(f"{address}api/kernels", b"{}", headers)
        kernel = json.load(urllib.request.urlopen(ask, timeout=LIMIT))["id"]
        client = BlockingKernelClient(connection_file=str(runtime / f"kernel-{kernel}.json"))
        client.load_connection_file()
        client.start_channels(hb=False)  # its heart may seem not to beat, on a busy machine
        try:
            client.wait_for_ready(timeout=LIMIT)
            client.execute_interactive(CELL.format(url=url), timeout=LIMIT)
            if then:
                client.execute(f"open({str(folder / 'begun')!r}, 'w').close(); {then}")
                wait_for((folder / "begun").exists, session)
        finally:
            client.stop_channels()
        assert session.n_workers() == 10
        assert session.find("sleep 600")
        yield session


def gone(session: Session, everything: list[int], eventually: Eventually) -> None:
    """See that nothing is left: no process, and no file where temporary ones are."""
    left = lambda: {pid: descendants(os.getpid()).get(pid, "?") for pid in everything if runs(pid)}  # noqa: E731
    try:
        eventually(lambda: not left(), "all processes end", timeout=LIMIT)
    except BaseException:
        print(left())
        raise
    eventually(lambda: os.listdir(session.folder / "tmp") == [], "no file is left", timeout=LIMIT)


@pytest.mark.parametrize(
    ("name", "whose"),
    beyond(2, [("SIGTERM", "panel"), ("SIGKILL", "voila"), ("SIGKILL", "panel"), ("SIGHUP", "panel")], "other signals"),
)
def test_a_panel_ends_whole(name: str, whose: str, tmp_path: Path, eventually: Eventually) -> None:
    """Voila, its kernel, workers, server, guards and folders; also if it is Voila that is killed."""
    with panel(tmp_path) as session:
        everything = session.everything()
        pid = session.process.pid if whose == "panel" else session.find("-m voila")[0]
        os.kill(pid, getattr(signal, name))
        status = session.process.wait(LIMIT)
        gone(session, everything, eventually)
        if whose == "voila":
            assert status == 137  # as a shell says it
        elif name != "SIGKILL":
            assert status == 128 + getattr(signal, name), (tmp_path / "log").read_text()
        assert list((tmp_path).rglob("kernel-*.json")) == []


def test_a_killed_kernel_takes_its_lab_along(tmp_path: Path, eventually: Eventually) -> None:
    """Its workers and its server end with a kernel, while Voila goes on."""
    with panel(tmp_path) as session:
        kernel = session.find("ipykernel_launcher")[0]
        below = list(descendants(kernel))
        os.kill(kernel, signal.SIGKILL)
        eventually(lambda: not any(map(runs, below)), "what it had started ends", timeout=LIMIT)
        assert session.process.poll() is None


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_lab_ends_whole(name: str, tmp_path: Path, redis_url: str, eventually: Eventually) -> None:
    """JupyterLab, its kernel, whatever runs in it, and its keys on a given server: also if the command is killed."""
    with lab(tmp_path, redis_url) as session, sync_stream_client(redis_url) as client:
        everything = session.everything()
        assert client.keys() != []
        session.process.send_signal(getattr(signal, name))
        session.process.wait(LIMIT)
        gone(session, everything, eventually)
        eventually(lambda: client.keys() == [], "its keys go", timeout=LIMIT)
        assert list((tmp_path / "runtime").glob("*.json")) == []


def test_a_terminal_is_closed(tmp_path: Path, redis_url: str, eventually: Eventually) -> None:
    """SIGHUP, to JupyterLab as well, which does not tidy up then; and a kernel that holds the GIL cannot end itself."""
    main, terminal = pty.openpty()
    stuck = "import ctypes; ctypes.PyDLL(None).sleep(600)"
    with lab(tmp_path, redis_url, terminal, stuck) as session:
        os.close(terminal)
        everything = session.everything()
        os.close(main)
        assert session.process.wait(LIMIT) == 128 + signal.SIGHUP, (tmp_path / "log").read_text()
        gone(session, everything, eventually)


def test_a_file_that_is_being_written_is_not_read_yet(tmp_path: Path) -> None:
    assert address_in(tmp_path) == ""
    file = tmp_path / "jpserver-1.json"
    for text in ("", '{"url": "htt'):
        file.write_text(text)
        assert address_in(tmp_path) == ""
    file.write_text('{"url": "http://localhost/"}')
    assert address_in(tmp_path) == "http://localhost/"


def test_an_exit_status_is_a_shell_s() -> None:
    """128 + the signal's number, or as it is."""
    assert [exit_status(0), exit_status(3), exit_status(-9)] == [0, 3, 137]


def test_orphaned_kernels_end(tmp_path: Path, redis_url: str, eventually: Eventually) -> None:
    """JupyterLab itself is killed, and its kernel, which holds the GIL, cannot notice that."""
    stuck = "import ctypes; ctypes.PyDLL(None).sleep(600)"
    with lab(tmp_path, redis_url, then=stuck) as session:
        everything = session.everything()
        os.kill(session.find("-m jupyterlab")[0], signal.SIGKILL)
        assert session.process.wait(LIMIT) == 137
        gone(session, everything, eventually)
