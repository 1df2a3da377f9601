"""The ledger: what each process wrote down about its own doing, in a file of its own, whatever Redis or events say.

A record is a line of fixed length that is appended by one write: when its process is killed, it is there or is not. (A
write that reaches into another page of memory may be cut in two by SIGKILL; of records of 64 bytes, none does.)
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_LENGTH = 64

#: What each process notes: that it is ready to work; and how long it has stood still just now, if that was long.
READY, LATE = "ready", "late"
#: What a producer notes: that it is about to send a number, and has been told that it was added.
SENDING, ADDED = "sending", "added"
#: What a consumer notes: that it has begun an entry, has failed with it, has done it.
BEGUN, FAILED, DONE = "begun", "failed", "done"
#: What a reclaimer notes: that it looks for what others left. What it had before is acknowledged by then.
LOOKS = "looks"


@dataclass(frozen=True, slots=True)
class Record:
    """One line: when (seconds of the machine's monotonic clock), what, in which life of its process, and of what."""

    at: float
    what: str
    life: int
    key: str
    entry_id: str


class Ledger:
    """Writes down what one process does, in one of its lives."""

    def __init__(self, path: Path, life: int) -> None:
        self.life = life
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, what: str, key: str = "-", entry_id: str = "-") -> None:
        """Append a record."""
        line = f"{time.monotonic():.6f} {what} {self.life} {key} {entry_id}".ljust(_LENGTH - 1)
        record = f"{line}\n".encode()
        if len(record) != _LENGTH or os.write(self._file, record) != _LENGTH:
            raise OSError(f"the ledger could not take {line!r}")

    def last_added(self) -> int:
        """Return the number of the last entry that a producer was told had been added; 0 if there is none."""
        with self._path.open("rb") as file:
            for at in range(file.seek(0, os.SEEK_END) - _LENGTH, -1, -_LENGTH):
                file.seek(at)
                record = _record(file.read(_LENGTH).decode())
                if record.what == ADDED:
                    return int(record.key.partition(":")[2])
        return 0


class Pages:
    """What a process has written down so far; asked again, it reads on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.records: list[Record] = []

    def read_on(self) -> None:
        """Read the records that were added since."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(len(self.records) * _LENGTH)
                self.records += map(_record, file.read().decode().splitlines())


def _record(line: str) -> Record:
    at, what, life, key, entry_id = line.split()
    return Record(float(at), what, int(life), key, entry_id)
