"""Processes that are forked from one that has imported all they need: a fifteenth of a start's work.

A lab starts many workers, and starts them again: most of what each took was to import what all of them import. A
`Nursery` is a process that has done that once. On request it forks, and is the parent of what it has forked: it tells
the exit status when it is asked for it, and until then the pid is nobody else's.

What is forked is guarded as any other process is (see `streamlab.servers.processes`), and so is the nursery.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, NoReturn

from streamlab.servers.processes import GuardedProcess, guarded, guarded_popen

#: Where forking is safe as long as nobody has started a thread. (On macOS its own libraries may be in the way.)
CAN_FORK = sys.platform == "linux"
#: Seconds that a nursery has to import what it forks with, and to answer.
_PATIENCE = 60.0
#: Seconds after which whoever waits looks again: another thread may have seen the end, and the file be another one.
_LOOK_AGAIN = 0.5
#: Of a child's: its standard streams, and one that nobody writes to: it is closed when the child has ended.
_N_FILES = 4
#: In the place of a pid: some library has started a thread there, and a fork may copy locks that it holds.
_NOT_SAFE = 0


class Nursery:
    """A process that forks children on request. ``command`` runs `fork_when_asked`.

    It ends with its owner, as a `GuardedProcess` does. May be used from several threads.

    Raises `OSError` when it cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                nowhere = subprocess.DEVNULL
                self._process = guarded_popen(command, stdin=theirs.fileno(), stdout=nowhere, stderr=nowhere)
        except BaseException:
            ours.close()
            raise
        ours.settimeout(_PATIENCE)
        self._socket = ours
        self._lock = threading.Lock()

    def popen(self) -> GuardedProcess:
        """Fork a child whose standard streams are pipes.

        Raises `CannotFork` if the nursery has ended or has threads, `OSError` if no more processes or files can be had.
        """
        return guarded(self._fork)

    def _fork(self, group: int) -> Forked:
        with contextlib.ExitStack() as unless_all_is_well, contextlib.ExitStack() as in_any_case:
            ours: list[IO[bytes]] = []
            theirs: list[int] = []
            for mode in ("wb", "rb", "rb", "rb"):  # its standard streams, and what tells of its end
                ends = os.pipe()
                our_end, their_end = reversed(ends) if mode == "wb" else ends
                in_any_case.callback(os.close, their_end)
                theirs.append(their_end)
                ours.append(unless_all_is_well.enter_context(os.fdopen(our_end, mode, 0)))
            answer = self._ask(f"fork {group}", theirs)
            if answer == _NOT_SAFE:
                raise CannotFork
            if answer < 0:
                raise OSError(-answer, os.strerror(-answer))
            unless_all_is_well.pop_all()
        return Forked(answer, ours, self._status_of)

    def _status_of(self, pid: int) -> int:
        try:
            return self._ask(f"status {pid}")
        except CannotFork:  # nobody can tell any more
            return -signal.SIGKILL

    def _ask(self, what: str, files: Sequence[int] = ()) -> int:
        answer = b""
        with self._lock:
            try:
                with contextlib.suppress(OSError, ValueError):  # a broken pipe, a time-out, or it is closed
                    socket.send_fds(self._socket, [what.encode()], files)
                    answer = self._socket.recv(64)
            finally:
                if not answer:  # one that comes after an interrupt must not be taken for that to another question
                    self._socket.close()
        if not answer:
            raise CannotFork
        return int(answer)

    def close(self) -> None:
        """End it. What it has forked goes on, but nobody learns its exit status."""
        self._process.close()
        self._socket.close()


class CannotFork(Exception):
    """There is no nursery any more: it was killed, or could not even begin. Or there are threads in it."""


class Forked:
    """A child of a nursery's, as far as a `GuardedProcess` asks: like a `subprocess.Popen`."""

    def __init__(self, pid: int, pipes: Sequence[IO[bytes]], status_of: Callable[[int], int]) -> None:
        self.pid, self._status_of = pid, status_of
        self.stdin, self.stdout, self.stderr, self._life = pipes
        self._lock = threading.Lock()
        self._returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal's number; None while it runs."""
        with self._lock:
            if self._returncode is None and self._has_ended(0):
                self._returncode = self._status_of(self.pid)
                self._life.close()
            return self._returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises `subprocess.TimeoutExpired` after ``timeout`` seconds."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            left = deadline - time.monotonic()
            if timeout is not None and left <= 0:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            with contextlib.suppress(ValueError):  # another thread has just seen its end
                self._has_ended(min(left, _LOOK_AGAIN))
        return status

    def _has_ended(self, timeout: float) -> bool:
        # Not select(), which cannot watch more than a thousand files.
        poll = select.poll()
        poll.register(self._life, select.POLLIN)
        return bool(poll.poll(math.ceil(timeout * 1000)))

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:  # and until its status is asked for, its pid is nobody else's
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def fork_when_asked(main: Callable[[], int]) -> int:
    """Be a nursery: fork children that run `main`, whenever the socket on the standard input says so, to its end.

    To be called when all that `main` needs is imported. Where there are threads nothing is forked.
    """
    nursery = os.getpid()
    with socket.socket(fileno=os.dup(0)) as owner:
        while True:
            asked, files, _, _ = socket.recv_fds(owner, 64, _N_FILES)
            if not asked:
                return 0
            what, number = asked.split()
            if what == b"status":
                _, status = os.waitpid(int(number), 0)  # its files are closed, so it ends at any moment
                answer = os.waitstatus_to_exitcode(status)
            else:
                answer = _fork(files)
                if os.getpid() != nursery:
                    _be_child(main, int(number), files, nursery)
                if answer > 0:
                    with contextlib.suppress(OSError):  # it has done that itself, or has ended already
                        os.setpgid(answer, int(number))
            for handle in files:
                os.close(handle)
            owner.sendall(str(answer).encode())


def _fork(files: Sequence[int]) -> int:
    """Return the child's pid, or `_NOT_SAFE`, or an error's negative number."""
    try:
        if len(files) < _N_FILES:  # there was no room for more
            return -errno.EMFILE
        if len(os.listdir("/proc/self/task")) > 1:
            return _NOT_SAFE
        return os.fork()
    except OSError as error:
        return -(error.errno or errno.EAGAIN)


def _be_child(main: Callable[[], int], group: int, files: Sequence[int], nursery: int) -> NoReturn:
    """Be what was asked for, with nothing of the nursery's but what it has imported."""
    status = 1
    try:
        os.setpgid(0, group)
        *streams, life = files
        for number, handle in enumerate(streams):
            os.dup2(handle, number)
        for handle in map(int, os.listdir("/proc/self/fd")):
            if handle > 2 and handle != life:
                with contextlib.suppress(OSError):
                    os.close(handle)
        os.set_inheritable(life, False)
        if os.getppid() == nursery:  # else the owner has died meanwhile, and the guard may have struck already
            status = main()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        end_at_once(status)


def end_at_once(status: int) -> NoReturn:
    """End this process without taking it apart, which would take a tenth of what it took to start."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads it any more
            stream.flush()
    os._exit(status)
