"""What is kept of a learner's work in their copy of the course: a line for each thing, added at the end of one file.

Several kernels write to it at once: a line goes out in one piece, and none is ever changed. A line that is broken,
whatever broke it, is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from streamlab.working_copy import RECORD

FILE = ".streamlab-progress.jsonl"


class Record:
    """The record of one copy of the course."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / FILE

    @classmethod
    def of(cls, folder: Path) -> Record | None:
        """Return the record of a copy of the course; None if the folder is none, where nothing is to be kept."""
        return cls(folder) if (folder / RECORD).is_file() else None

    def done(self) -> dict[str, datetime]:
        """Return when each exercise was done first, by its key."""
        done: dict[str, datetime] = {}
        for line in self._lines():
            if isinstance(key := line.get("exercise"), str) and (at := _time(line.get("at"))) is not None:
                done.setdefault(key, at)
        return done

    def predictions(self) -> dict[str, str]:
        """Return the last prediction for each question, by its key."""
        return {
            line["prediction"]: line["answer"]
            for line in self._lines()
            if isinstance(line.get("prediction"), str) and isinstance(line.get("answer"), str)
        }

    def add_done(self, key: str, now: datetime) -> None:
        """Write down that an exercise is done. Raises `OSError`."""
        self._add({"exercise": key, "at": now.isoformat(timespec="seconds")})

    def add_prediction(self, key: str, answer: str) -> None:
        """Write down what was predicted. Raises `OSError`."""
        self._add({"prediction": key, "answer": answer})

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            text = self._path.read_bytes().decode("utf-8", "replace")
        except OSError:  # not written yet, or not to be read: then nothing is known
            return
        for line in text.split("\n"):
            try:
                known = json.loads(line)
            except ValueError:
                continue
            if isinstance(known, dict):
                yield known

    def _add(self, what: dict[str, str]) -> None:
        # In one write, at the end, wherever that is by then; and on a line of its own, also behind half a line.
        with self._path.open("ab", buffering=0) as file:
            file.write(f"\n{json.dumps(what)}\n".encode())


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
