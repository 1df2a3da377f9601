"""Processes and folders that go with their owner, however the owner dies.

A private server or a worker must not outlive the Python process that started it, not even when that
one is killed with SIGKILL and can run no code at all. ``prctl(PR_SET_PDEATHSIG)`` would not do: it is
bound to the *thread* that started the child, and Linux only. So each process gets a guard: a tiny
``sh`` that waits on a pipe whose other end only the owner holds. When the owner ends, whatever the
reason, the kernel closes that end, the guard wakes and kills its process group: the guarded process,
everything that process started, and itself.

Why a process group and not a pid: a pid may be given to a stranger as soon as its process is gone.
The group's number is the guard's own pid, and POSIX reserves it while the guard is in the group, so
``kill -KILL 0`` cannot hit anybody else.

A folder has a guard of the same kind, and so has whatever else is to be done at the end (`LastAct`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol, Self

from streamlab.servers.in_browser import IN_BROWSER, why_not

# HUP must be ignored: when the owner dies and a member of the group is stopped, the kernel sends the
# group SIGHUP, and the guard would be the one to die of it.
_DEAF = "trap '' HUP INT QUIT TERM TSTP\n"
_GUARD = f"""{_DEAF}
read -r _
kill -KILL 0
"""
# It reads to the end of its input, and so sees the owner's; the command is given the last whole line.
_LAST_ACT = f"""{_DEAF}
while IFS= read -r line; do told=$line; done
printf '%s\\n' "$told" | "$@"
"""
# A file that is created meanwhile, by a process that is being killed, makes rm fail: hence the loop.
_REMOVE = """
PATH=$PATH:/usr/bin:/bin
tries=0
while ! rm -rf -- "$1" && [ $tries -lt 20 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
"""


class Child(Protocol):
    """A child process, as a `subprocess.Popen` has it."""

    pid: int

    @property
    def stdin(self) -> IO[bytes] | None: ...

    @property
    def stdout(self) -> IO[bytes] | None: ...

    @property
    def stderr(self) -> IO[bytes] | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, number: int, /) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


def _close_pipe(guard: subprocess.Popen[bytes]) -> None:
    if guard.stdin is not None:
        guard.stdin.close()


def _owner_ended(process: Child, guard: subprocess.Popen[bytes]) -> None:
    """Let the guard do its work, for an owner that has not ended the process, and see it done."""
    _close_pipe(guard)
    process.wait()
    guard.wait()


def _start_guard(script: str, *args: str | os.PathLike[str], stdin: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """Start a guard in a process group of its own; it notices when this process has closed the pipe to it."""
    guard = subprocess.Popen(
        ["/bin/sh", "-c", script, "streamlab-guard", *args],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        bufsize=0,  # no buffer, hence no lock that a fork could leave locked
        process_group=0,
    )
    _guards.add(guard)
    return guard


def _kill_group(guard: subprocess.Popen[bytes]) -> None:
    """Kill a guard and all of its group (SIGKILL), without making it see its owner's end."""
    if guard.poll() is None:
        # Not reaped yet, so the group's number is still ours; unless another thread waits for it, and it ends just now.
        with contextlib.suppress(ProcessLookupError):
            try:
                os.killpg(guard.pid, signal.SIGKILL)
            except PermissionError:  # macOS, when a member is a zombie already
                guard.kill()
        guard.wait()
    _close_pipe(guard)


_guards: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()


def _forget_guards_after_fork() -> None:
    """Close the pipes in a forked child: it is not the owner, and must not keep a dead owner's alive."""
    for guard in _guards:
        _close_pipe(guard)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_guards_after_fork)


class GuardedProcess:
    """A running process that ends with its owner; made by `guarded_popen`.

    It also ends when this object is dropped.
    """

    def __init__(self, process: Child, guard: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._guard = guard
        self._lock = threading.Lock()
        # Also runs when the interpreter ends in good order.
        self._finalizer = weakref.finalize(self, _owner_ended, process, guard)

    @property
    def pid(self) -> int:
        """The process id of the guarded process itself, not of its guard."""
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes] | None:
        """The pipe to the process, if one was asked for."""
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes] | None:
        """The pipe from the process, if one was asked for."""
        return self._process.stdout

    @property
    def stderr(self) -> IO[bytes] | None:
        """The pipe from the process's error output, if one was asked for."""
        return self._process.stderr

    @property
    def alive(self) -> bool:
        """Whether the process still runs; a paused one does."""
        return self.returncode is None

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal's number; None while the process runs."""
        status = self._process.poll()
        if status is not None:
            self._end_group()
        return status

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the process's own end and return its exit status.

        Raises `subprocess.TimeoutExpired` after ``timeout`` seconds; None waits for ever.
        """
        status = self._process.wait(timeout)
        self._end_group()
        return status

    def terminate(self) -> None:
        """Ask the process to end (SIGTERM), waking it first if it is paused."""
        self._process.terminate()
        self.resume()

    def kill(self) -> None:
        """End the process and everything it started at once (SIGKILL), and see that it has ended."""
        self._end_group()
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): it keeps its sockets and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill the process if it runs and close the pipes to it."""
        self.kill()
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                # What is still unwritten to a dead process's stdin cannot be delivered.
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _end_group(self) -> None:
        """Kill what is left of the group, guard included."""
        with self._lock:
            _kill_group(self._guard)
            self._finalizer.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "running" if self.alive else f"ended with {self.returncode}"
        return f"<GuardedProcess {self.pid}: {state}>"


def guarded_popen(
    args: Sequence[str | os.PathLike[str]],
    *,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> GuardedProcess:
    """Start a process that dies with this one, by whatever signal this one dies.

    The arguments are those of `subprocess.Popen`; pipes are binary. The process gets a process group of its
    own, so Ctrl-C in a terminal reaches the owner alone; it must not leave that group.

    Raises `OSError` when the program cannot be started, `NotImplementedError` on Windows.
    """
    if IN_BROWSER:
        raise NotImplementedError(why_not("a program of its own", "processes", "the simulated engine runs here"))
    if os.name != "posix":
        raise NotImplementedError(
            "real servers and worker processes need Linux or macOS; on Windows use WSL, "
            "or the simulated engine, which runs everywhere"
        )

    # No gap in between: until the new process has joined the group and is replaced by its program, it holds a copy
    # of the pipe's end itself, so the guard cannot strike too early.
    def start(group: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            list(args), stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd, process_group=group
        )

    return guarded(start)


def guarded(start: Callable[[int], Child]) -> GuardedProcess:
    """Start a process in the process group of a new guard, whose number is given to `start`."""
    guard = _start_guard(_GUARD)
    try:
        return GuardedProcess(start(guard.pid), guard)
    except BaseException:
        _kill_group(guard)  # an interrupt may have come when the process was there already
        raise


class LastAct:
    """A command that is run when this process has ended, however it ends: unless it is called off before.

    It is also run, and waited for, when this object is dropped. It ignores the signals that end others. What it
    reads on its standard input is one line: the one that it was told last. (Arguments are shown by ``ps``.)
    """

    def __init__(self, command: Sequence[str | os.PathLike[str]]) -> None:
        self._guard = _start_guard(_LAST_ACT, *command)
        self._finalizer = weakref.finalize(self, _let_act, self._guard)

    def tell(self, line: str) -> None:
        """Let the command read this line, instead of what it was told before."""
        assert self._guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has been killed: `do` will tell
            unsent = memoryview(line.encode() + b"\n")
            while unsent:
                unsent = unsent[self._guard.stdin.write(unsent) :]

    def do(self) -> bool:
        """Let the command be run now, and wait for its end; tell whether it was run with success."""
        self._finalizer.detach()
        return _let_act(self._guard) == 0

    def call_off(self) -> None:
        """See that the command is not run any more."""
        self._finalizer.detach()
        _kill_group(self._guard)


def _let_act(guard: subprocess.Popen[bytes]) -> int:
    _close_pipe(guard)
    return guard.wait()


class GuardedFolder:
    """A new temporary folder, of mode 0700, that goes with its owner; `path` says where.

    It also goes when this object is dropped. ``parent`` is where it is made, by default where temporary files are.

    Raises `OSError` when it cannot be made.
    """

    def __init__(self, parent: str | None = None) -> None:
        root = Path(tempfile.gettempdir() if parent is None else parent).absolute()
        while True:
            #: Where it is.
            self.path = root / f"streamlab-{secrets.token_hex(4)}"
            if os.path.lexists(self.path):
                continue  # somebody else's, which no guard of ours may remove
            # First the guard, and then what it guards. There is none on Windows and in a browser: guards cannot be had.
            self._last_act: LastAct | None = None
            if os.name == "posix" and not IN_BROWSER:
                self._last_act = LastAct(["/bin/sh", "-c", _REMOVE, "streamlab-remove", self.path])
            try:
                self.path.mkdir(0o700)
            except BaseException as error:
                if self._last_act is not None:
                    self._last_act.call_off()
                if isinstance(error, FileExistsError):
                    continue
                raise
            return

    def close(self) -> None:
        """Remove the folder with all that is in it. Removing it twice is allowed."""
        # As Python ends, its guard may be at it as well, and would be ended in the midst of it.
        while os.path.lexists(self.path):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.path)
        if self._last_act is not None:
            self._last_act.call_off()

    def __repr__(self) -> str:
        return f"<GuardedFolder {self.path}>"
