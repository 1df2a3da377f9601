"""The learner's own copy of the course: what they open, run and write in, while the course itself stays as it is.

A copy has no outputs, so that a prediction can be a prediction. It is never written over: a lesson that the learner
has changed, or only run, keeps its file, and a newer version of it is put beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from streamlab.results.whole_file import write_whole

#: In the copy: the digests of the files as they were put there.
RECORD = ".streamlab-course.json"
FIRST_LESSON = "00_start_here.ipynb"
#: The package's own folder.
_PACKAGE = Path(__file__).parent


class WorkingCopyError(Exception):
    """The course cannot be copied; the text says why and what to do, in one line."""


@dataclass(slots=True)
class Copied:
    """What was done to a copy: names of files, relative to it."""

    added: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    """Replaced by a newer version: the learner had not touched them."""
    beside: list[str] = field(default_factory=list)
    """Newer versions of files that the learner has changed; those keep their names."""


def course_folder() -> Path:
    """Return the folder that holds the course: that of the checkout, or the one within the package.

    Raises
    ------
    WorkingCopyError
        If there is none.
    """
    for course in (_PACKAGE.parent / "notebooks", _PACKAGE / "course"):
        if (course / FIRST_LESSON).is_file():
            return course
    raise WorkingCopyError(
        "the notebooks are not where they were installed: install it again (pip install --force-reinstall "
        "'consumer-group-lab[course]'), and run this again"
    )


def copy_course(course: Path, folder: Path) -> Copied:
    """Copy the lessons, without outputs, and their figures into a folder; bring an earlier copy up to date.

    Nothing that the learner has changed is written over. A file that they have deleted is put there again.

    Raises
    ------
    WorkingCopyError
        If the folder is the course's own, the one around it or one in it; is no folder; or cannot be written.
    """
    course, folder = course.resolve(), folder.expanduser().resolve()
    if folder in (course, course.parent) or course in folder.parents:
        raise WorkingCopyError(
            f"{folder} belongs to the course itself: give another folder for your copy (--folder FOLDER)"
        )
    done = Copied()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        record = _Record(folder)
        for path in _files(course):
            _put(path.relative_to(course), _content(path), folder, record, done)
        record.write()
    except OSError as error:
        raise WorkingCopyError(
            f"the course cannot be copied to {folder} ({error.strerror or error}): "
            "give another folder (--folder FOLDER)"
        ) from None
    return done


def _files(course: Path) -> Iterator[Path]:
    """Give what a learner needs: the lessons, their glossary, and the pictures that they show."""
    yield from sorted(course.glob("*.ipynb"))
    yield from course.glob("GLOSSARY.md")
    yield from sorted([*course.glob("figures/*.png"), *course.glob("figures/*.svg")])


def _content(path: Path) -> bytes:
    if path.suffix != ".ipynb":
        return path.read_bytes()
    return (json.dumps(without_outputs(json.loads(path.read_text("utf-8"))), indent=1) + "\n").encode()


def without_outputs(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook as it is before it is run."""
    blank: dict[str, Any] = {"outputs": [], "execution_count": None}
    cells = [{**cell, **blank} if cell["cell_type"] == "code" else cell for cell in notebook["cells"]]
    return {**notebook, "cells": cells}


def _put(name: Path, content: bytes, folder: Path, record: _Record, done: Copied) -> None:
    """Put a file into the copy, under its own name or, if the learner's stands there, under another."""
    digest = _digest(content)
    names = list(_names(name, folder))
    # The learner may have changed this very version since; then it is not put there a second time.
    if any(record.delivered.get(known) == digest for known in names[:-1]):
        return
    for candidate in names:
        path = folder / candidate
        there = _digest(path.read_bytes()) if path.exists() else None
        if there not in (None, digest, record.delivered.get(candidate)):
            continue
        if there != digest:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, [content])
            if there is not None:
                done.renewed.append(candidate)
            elif candidate == name.as_posix():
                done.added.append(candidate)
            else:
                done.beside.append(candidate)
        record.delivered[candidate] = digest
        return


def _names(name: Path, folder: Path) -> Iterator[str]:
    """Give a file's names that are taken in the copy, its own first; and the first one that is free."""
    for number in count():
        suffix = {0: "", 1: " (updated)"}.get(number, f" (updated {number})")
        candidate = name.with_name(f"{name.stem}{suffix}{name.suffix}")
        yield candidate.as_posix()
        if not (folder / candidate).exists():
            return


class _Record:
    """What has been delivered to a copy: the digest of each file as it was put there."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RECORD
        self.delivered: dict[str, str] = {}
        try:
            known = json.loads(self._path.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            # Without it every file counts as the learner's, and none is written over.
            known = {}
        if isinstance(known, dict):
            self.delivered = {str(name): str(digest) for name, digest in known.items()}

    def write(self) -> None:
        text = json.dumps(self.delivered, indent=1, sort_keys=True) + "\n"
        write_whole(self._path, [text.encode()])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
