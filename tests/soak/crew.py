"""`Crew`: the processes of a soak by their names, and those that ended with an error."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from streamlab.servers.processes import GuardedProcess, guarded_popen


class Crew:
    """Processes by name, which end with this one. They run in a folder; what they say goes into its ``log.txt``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, GuardedProcess] = {}
        #: What ended with an error, or did not end in good order when it was asked to.
        self.unexpected: list[str] = []

    def launch(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> GuardedProcess:
        """Start a process under a name; whoever had the name before has ended."""
        with (self.folder / "log.txt").open("ab") as log:
            process = guarded_popen(command, cwd=self.folder, env=env, stdout=log, stderr=log)
        self.processes[name] = process
        return process

    def kill(self, name: str) -> None:
        """Kill one (SIGKILL); if it had ended by itself before, with an error, take note of that."""
        self.note_unexpected(name)
        self.processes[name].kill()

    def terminate(self, name: str, timeout: float = 30.0) -> int:
        """Stop one (SIGTERM), and return its exit status."""
        process = self.processes[name]
        self.note_unexpected(name)
        process.terminate()
        status = process.wait(timeout)
        self.note_stopped(name, status)
        return status

    def note_stopped(self, name: str, status: int) -> None:
        """Take note of one that did not end as it should when it was told to stop."""
        # One that is still starting does not listen yet, and has nothing to finish.
        if status not in (0, -signal.SIGTERM):
            self.unexpected.append(f"{name} ended with {status} after SIGTERM")

    def note_unexpected(self, name: str) -> None:
        """Take note of one that has ended with an error."""
        status = self.processes[name].returncode
        if status not in (None, 0, -signal.SIGKILL):
            self.unexpected.append(f"{name} ended with {status}")

    def log(self) -> str:
        """Return what they said."""
        path = self.folder / "log.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """End them all."""
        for process in self.processes.values():
            process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
