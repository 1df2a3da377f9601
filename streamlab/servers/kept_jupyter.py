"""Jupyter servers (JupyterLab, Voila) that end with their owner, however it ends; and with them, their kernels.

Jupyter starts each kernel in a session of its own: killing a server, or all of its process group, leaves its kernels
behind, with what they have started. So what a server starts is known by a mark in its environment, and a `LastAct`
of the owner runs this file as a program: it asks the server to end, which then ends its kernels; and what is still
there after a while it kills.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamlab.servers.processes import LastAct as Act

MARK = "STREAMLAB_KEPT"
#: Seconds that a server has to end itself and its kernels (it gives a kernel five), and that killed ones may take.
_GRACE = 10.0
_PATIENCE = 5.0


class KeptJupyter:
    """A Jupyter server that is `start`ed once, and its private folder; both go with their owner, or by `close`.

    ``folder`` is there from the beginning: whatever the server is to find there is put there before it starts.
    """

    def __init__(self) -> None:
        from streamlab.servers.processes import LastAct  # not needed by the program that this file is, too

        self._mark = secrets.token_hex(16)
        #: A folder of the server's own.
        self.folder = Path(tempfile.gettempdir(), f"streamlab-jupyter-{self._mark[:8]}").absolute()
        self._server: subprocess.Popen[bytes] | None = None
        self._last_act: Act | None = None
        if os.name == "posix":  # elsewhere, all ends by `close` only
            self._last_act = LastAct([sys.executable, "-P", Path(__file__).absolute()])
        self._task: dict[str, Any] = {"mark": self._mark, "folder": str(self.folder), "server": None}
        self._tell()
        self.folder.mkdir(0o700)

    def start(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, **popen: Any
    ) -> subprocess.Popen[bytes]:
        """Start the server: ``command`` and ``popen`` are as for `subprocess.Popen`."""
        marked = {**(os.environ if env is None else env), MARK: self._mark}
        server = subprocess.Popen(command, env=marked, **popen)
        self._server = server
        self._task["server"] = server.pid
        self._tell()
        return server

    def close(self) -> None:
        """End the server and its kernels, and remove the folder."""
        if self._last_act is None or not self._last_act.do():  # it has been killed itself
            end(self._task)
        if self._server is not None:
            self._server.wait(_PATIENCE)

    def _tell(self) -> None:
        if self._last_act is not None:
            self._last_act.tell(json.dumps(self._task))


@contextmanager
def kept_jupyter() -> Iterator[KeptJupyter]:
    """Give what a Jupyter server is started by; it is closed when the context is left."""
    kept = KeptJupyter()
    try:
        yield kept
    finally:
        kept.close()


def exit_status(returncode: int) -> int:
    """Return what a shell's ``$?`` would be for a process that has ended so, perhaps by a signal."""
    return returncode if returncode >= 0 else 128 - returncode


# ---- how it is done: also by the program, when the owner has gone ------------------------------------


def end(task: Mapping[str, Any]) -> None:
    """End a server and its kernels; remove its folder."""
    mark = task["mark"]
    server = _server(mark, task["server"])
    if server is not None:
        _do(server.terminate)
        _do(server.resume)
        if not _until(lambda: not _runs(server), _GRACE):
            _do(server.kill)
    _until(lambda: not _kill_kernels(mark), _PATIENCE)
    for _ in range(20):  # somebody may still be writing there
        shutil.rmtree(task["folder"], ignore_errors=True)
        if not os.path.lexists(task["folder"]):
            return
        time.sleep(0.1)


def _kill_kernels(mark: str) -> bool:
    """Kill the kernels of a server that has ended, each with its process group; tell if there were any.

    Guards are left alone: they have groups of their own, and much to do once their kernel has gone.
    """
    kernels = [process for process in _marked(mark) if _is_kernel(process)]
    for kernel in kernels:
        if hasattr(os, "killpg"):
            _do(partial(os.killpg, kernel.pid, signal.SIGKILL))
        else:
            _do(kernel.kill)
    return bool(kernels)


def _server(mark: str, pid: int | None) -> Any:
    """Return the server; None if it has ended. Its owner may have died before it could tell the number."""
    marked = [process for process in _marked(mark) if not _is_kernel(process)]
    if pid is None:
        return min(marked, key=lambda process: process.create_time(), default=None)
    return next((process for process in marked if process.pid == pid), None)


def _marked(mark: str) -> list[Any]:
    """Return the processes that run with this mark in their environment, as psutil sees them."""
    import psutil

    found = []
    for process in psutil.process_iter():
        # Others' processes show no environment, and neither do zombies.
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark and _runs(process):
                found.append(process)
    return found


def _is_kernel(process: Any) -> bool:
    """Tell whether this is a kernel: the leader of a session that was given a connection file."""
    import psutil

    with suppress(psutil.Error, OSError):
        names = [os.path.basename(argument) for argument in process.cmdline()]
        has_file = any(name.startswith("kernel-") and name.endswith(".json") for name in names)
        return has_file and (os.name != "posix" or os.getsid(process.pid) == process.pid)
    return False


def _runs(process: Any) -> bool:
    import psutil

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _do(act: Callable[[], object]) -> None:
    """Do something to a process that may have gone."""
    import psutil

    with suppress(psutil.Error, OSError):
        act()


def _until(condition: Callable[[], bool], limit: float) -> bool:
    """Wait until a condition holds; tell if it did within so many seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


if __name__ == "__main__":
    end(json.loads(sys.stdin.readline()))
