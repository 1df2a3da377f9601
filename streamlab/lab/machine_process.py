"""`MachineProcess`: one life of an actor as a process of the machine's, of which a lab reads what it says."""

from __future__ import annotations

import contextlib
import os
import time
from abc import abstractmethod

from streamlab.lab.play import Part
from streamlab.lab.stage import Host, Process
from streamlab.servers.processes import GuardedProcess

#: Bytes of a process's error output that are kept.
_LAST_WORDS = 10_000


class LabError(RuntimeError):
    """A run that could not go on. The message says what happened, and what to do."""


class MachineProcess(Process):
    """A process that goes with its lab; `process` is None as long as it has not been started."""

    def __init__(self, part: Part, lab: Host) -> None:
        super().__init__(part)
        self._lab = lab
        self.process: GuardedProcess | None = None
        self._died_at: float | None = None
        self._why = ""
        self._said = b""

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.alive else None

    @abstractmethod
    def read(self) -> None:
        """Read what it has written, and take note if it has ended."""

    @property
    def _running(self) -> GuardedProcess:
        assert self.process is not None
        return self.process

    def kill(self) -> None:
        self._running.kill()
        self._died_at = time.monotonic()
        self._read_to_the_end()
        if self._running.alive:
            raise LabError(f"{self.name} (process {self._running.pid}) was killed and is still there")

    def give_up(self, why: str) -> None:
        """Kill it, for a reason."""
        self._why = why
        self.kill()

    def hold(self) -> None:
        self._running.pause()

    def release(self) -> None:
        self._running.resume()

    def close(self) -> None:
        """Kill it, and read the rest of what it has written."""
        if self.process is not None:
            self.process.kill()
            self._read_to_the_end()
            self.process.close()

    def _read_to_the_end(self) -> None:
        while not self.has_ended and not self._running.alive:
            self.read()

    def _hear(self) -> None:
        """Take in what it says on its error output."""
        assert self._running.stderr is not None
        with contextlib.suppress(BlockingIOError):
            while said := os.read(self._running.stderr.fileno(), 1 << 16):
                self._said = (self._said + said)[-_LAST_WORDS:]
