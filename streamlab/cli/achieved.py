"""``streamlab progress``: which exercises of the course are done, and a certificate on them."""

from __future__ import annotations

from pathlib import Path

from streamlab.learner.certificate import write_certificate
from streamlab.learner.exercises import lessons
from streamlab.learner.progress import Progress
from streamlab.learner.record import Record
from streamlab.scenario import ScenarioError
from streamlab.working_copy import WorkingCopyError, course_folder


def tell_progress(folder: Path, certificate: Path | None, name: str | None) -> int:
    """Print what is done in a copy of the course, or write a certificate; return the exit status."""
    if (certificate is None) != (name is None):
        raise ScenarioError("a certificate needs a file and a name: --certificate mine.html --name 'Ada Lovelace'")
    folder = folder.expanduser()
    record = Record.of(folder)
    if record is None:
        raise WorkingCopyError(
            f"there is no copy of the course in {folder}: "
            "streamlab lab makes one, or say where yours is (--folder FOLDER)"
        )
    progress = Progress(lessons(course_folder()), record.done())
    if certificate is None or name is None:
        print(progress)
        return 0
    if not name.strip():
        raise ScenarioError("the name is empty: --name 'Ada Lovelace'")
    path = certificate.expanduser()
    write_certificate(progress, name.strip(), path)
    print(f"Written: {path} (open it in a browser, and print it)")
    return 0
