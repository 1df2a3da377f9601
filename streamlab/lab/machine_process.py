"""`MachineProcess`: one life of an actor as a process of the machine's, of which a lab reads what it says."""

from __future__ import annotations

import contextlib
import os
import time
from abc import abstractmethod
from typing import IO, Protocol

from streamlab.lab.errors import LabError
from streamlab.lab.play import Part
from streamlab.lab.stage import Host, Process

#: Bytes of a process's error output that are kept.
_LAST_WORDS = 10_000


class Running(Protocol):
    """A process that runs somewhere: a `GuardedProcess`, or what stands for one on another machine."""

    @property
    def pid(self) -> int | None:
        """Its process id; None if it is not one of this machine's."""

    @property
    def alive(self) -> bool:
        """Whether it still runs; a paused one does."""

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal's number; None while it runs."""

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""

    def kill(self) -> None:
        """End it where it stands (SIGKILL); it is gone when this returns."""

    def pause(self) -> None:
        """Let it stand still (SIGSTOP)."""

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""

    def close(self) -> None:
        """End it, and let go of what belongs to it."""


class MachineProcess(Process):
    """A process that goes with its lab; `process` is None as long as it has not been started."""

    def __init__(self, part: Part, lab: Host) -> None:
        super().__init__(part)
        self._lab = lab
        self.process: Running | None = None
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
    def _running(self) -> Running:
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

    @abstractmethod
    def _hear(self) -> None:
        """Take in what it says on its error output."""

    def _listen_to(self, errors: IO[bytes] | None) -> None:
        """Take in what has come through a pipe from its error output."""
        assert errors is not None
        with contextlib.suppress(BlockingIOError):
            while said := os.read(errors.fileno(), 1 << 16):
                self._note_said(said)

    def _note_said(self, said: bytes) -> None:
        self._said = (self._said + said)[-_LAST_WORDS:]
