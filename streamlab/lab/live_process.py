"""`WorkerProcess`: a worker process, as its lab sees it: one life of an actor; `LiveProcess`: on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from streamlab.lab.errors import LabError
from streamlab.lab.machine_process import MachineProcess
from streamlab.lab.play import Part
from streamlab.lab.stage import Host
from streamlab.lab.worker import READY, Task
from streamlab.results.events import Event
from streamlab.results.statistics import Wait
from streamlab.scenario.action import CountedAction
from streamlab.scenario.action_texts import parse_counted
from streamlab.servers.nursery import CAN_FORK, CannotFork, Nursery
from streamlab.servers.processes import GuardedProcess, guarded_popen

#: What a worker runs: by its path, and with -P, so that it imports nothing from the current folder, where a learner
#: may have a redis.py or a queue.py of their own.
_PROGRAM = str(Path(__file__).parents[1] / "__main__.py")


class WorkerProcess(MachineProcess):
    """A worker process, wherever it is. What it writes is read when `read` is called."""

    def __init__(self, part: Part, lab: Host, cut: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        super().__init__(part, lab)
        self._cut = cut
        self.ready = asyncio.Event()
        #: How long it waited for a processor; None: it has not ended, or not by itself.
        self.waited: Wait | None = None
        self._rest = b""
        self._unsent = b""

    @abstractmethod
    def _send(self, data: bytes) -> int:
        """Write to its standard input; return how many bytes it takes for now."""

    @abstractmethod
    def _receive(self) -> bytes | None:
        """Return what it has written since; None for nothing yet, and b"" at the end."""

    def has_begun(self, now: float) -> bool:
        return self.ready.is_set() and self.begins_at <= now

    # ---- what can be done to it --------------------------------------------------------------------

    def begin(self, at: float) -> None:
        self.begins_at = at
        self._write(json.dumps(at))

    def stop(self, *, at_end: bool = False) -> None:
        self._running.terminate()

    def cut(self) -> Coroutine[Any, Any, None]:
        return self._cut(self.name)

    def order(self, **order: object) -> None:
        self._write(json.dumps(order))

    def count(self, action: CountedAction) -> None:
        self._write(json.dumps({"count": str(action)}))

    # ---- its pipes ---------------------------------------------------------------------------------

    def read(self) -> None:
        """Read what it has written; and write what it has not been told yet."""
        if self.has_ended:
            return
        self._pump()
        data = self._receive()
        if data is None:
            return
        if data:
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._take(line.decode())
        elif not self._running.alive:
            self._note_end()

    def _write(self, line: str) -> None:
        """Write a line to the worker, now or as soon as it reads; no matter if it has gone."""
        self._unsent += line.encode() + b"\n"
        self._pump()

    def _pump(self) -> None:
        """Write what it has not been told yet, and take in what it says on its error output."""
        if self.has_ended:
            return  # and its pipes are closed
        if self._unsent:
            self._unsent = self._unsent[self._send(self._unsent) :]
        self._hear()

    def _take(self, line: str) -> None:
        if not self.ready.is_set():
            if line.endswith(READY):  # whatever was printed before it, as Python started
                self.ready.set()
        elif line.startswith('{"begun"'):
            self.n_begun = json.loads(line)["begun"]
        elif line.startswith('{"died"'):
            self._died_at = json.loads(line)["died"]
        elif line.startswith('{"counted"'):
            self._lab.counted(parse_counted(json.loads(line)["counted"]))
        elif line.startswith('{"waited"'):
            self.waited = Wait(*json.loads(line)["waited"])
        elif line.startswith('{"paused"'):
            told = json.loads(line)
            self._lab.is_paused(self, told["paused"], told["for"])
        else:
            self._lab.heard(Event.from_json(line))

    def _note_end(self) -> None:
        status = self._running.returncode
        was_asked = status == -signal.SIGTERM and not self.ready.is_set()  # before it could hear it
        if self._died_at is None and status != 0 and not was_asked:
            self._died_at = time.monotonic()
            self._why = self.last_words()
        self._pump()
        self._running.close()
        self.ready.set()  # nobody need wait for it any longer
        self._lab.ended(self, died_at=self._died_at, why=self._why)

    def last_words(self) -> str:
        """Return the last line of what the worker said on its error output."""
        self._pump()
        said = self._said.decode(errors="replace").strip()
        return said.splitlines()[-1] if said else f"exit status {self._running.returncode}"


class LiveProcess(WorkerProcess):
    """A worker process on this machine, heard and told by its pipes."""

    process: GuardedProcess

    def __init__(
        self,
        task: Task,
        lab: Host,
        cut: Callable[[str], Coroutine[Any, Any, None]],
        start: Callable[[], GuardedProcess],
    ) -> None:
        super().__init__(task.part, lab, cut)
        try:
            self.process = start()
        except OSError as error:  # out of file handles, of processes, of memory
            raise LabError(
                f"no process can be started for {self.name} ({error.strerror}): take fewer producers and consumers, "
                "or allow more (ulimit -n, ulimit -u)"
            ) from None
        # By its standard input, not as an argument: the URL may hold a password, and `ps` shows arguments.
        self._write(task.to_line())

    def _send(self, data: bytes) -> int:
        assert self.process.stdin is not None
        # A worker that has died cannot be told anything; that it has died is seen by reading from it.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            return os.write(self.process.stdin.fileno(), data)
        return 0

    def _receive(self) -> bytes | None:
        assert self.process.stdout is not None
        try:
            return os.read(self.process.stdout.fileno(), 1 << 20)
        except BlockingIOError:
            return None

    def _hear(self) -> None:
        self._listen_to(self.process.stderr)


class Workers:
    """Starts worker processes, each of which waits for its task: forked from one where that is safe."""

    def __init__(self) -> None:
        self._nursery: Nursery | None = None
        if CAN_FORK:
            with contextlib.suppress(OSError):  # no more processes: starting a worker will say so
                # It imports what workers need while a server is started and a client connected.
                self._nursery = Nursery(_command("workers"))

    def start(self) -> GuardedProcess:
        """Start a worker. Raises `OSError` if there can be no more processes or files."""
        if self._nursery is not None:
            # Should it have been killed, or not begin at all, a worker that begins by itself tells why, or does.
            with contextlib.suppress(CannotFork):
                return _unblocked(self._nursery.popen())
        return start_worker()

    def close(self) -> None:
        """End what workers are forked from; to be called when all of them have ended."""
        if self._nursery is not None:
            self._nursery.close()


def start_worker() -> GuardedProcess:
    """Start one worker, which imports what it needs. Raises `OSError` if there can be no more processes."""
    pipe = subprocess.PIPE
    return _unblocked(guarded_popen(_command("worker"), stdin=pipe, stdout=pipe, stderr=pipe))


def _command(name: str) -> list[str]:
    return [sys.executable, "-P", _PROGRAM, name]


def _unblocked(process: GuardedProcess) -> GuardedProcess:
    # None of its pipes may ever block whoever started it: it may be paused, or print without end.
    for each in (process.stdin, process.stdout, process.stderr):
        assert each is not None
        os.set_blocking(each.fileno(), False)
    return process
