"""What ``%load_ext streamlab`` brings to a lesson, besides ``%redis``.

    %predict                    # a field for a prediction, which is shown under the result
    %predict 7.5 s              # the same, written in code
    %progress                   # which exercises are done
    %certificate Ada Lovelace   # a page to be printed

What is done is kept in a learner's own copy of the course (``streamlab lab`` makes one), and nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import IPython.display
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_magic, magics_class

from streamlab import working_copy
from streamlab.learner.certificate import write_certificate
from streamlab.learner.exercises import exercise_of, lessons
from streamlab.learner.prediction import ASKS, Prediction, Predictions
from streamlab.learner.progress import Progress
from streamlab.learner.record import Record
from streamlab.results.verdict import Verdict
from streamlab.views.magics import RedisMagics

_NO_COPY = "is kept in your own copy of the course, and this is none: streamlab lab makes one, and opens it"

_CERTIFICATE = "streamlab-certificate.html"
_PRINT = "Your certificate (to print it, right-click it in the file browser, and open it in a new browser tab): "
_show: Any = IPython.display.display  # it has no types
_Link: Any = IPython.display.FileLink


@magics_class
class LearnerMagics(Magics):
    """A learner's predictions and progress."""

    shell: Any  # an `InteractiveShell`, whose methods have no types

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        # Now, since a lesson may go to another folder.
        self._record = Record.of(Path.cwd())
        # Jupyter's server says which notebook a kernel is for.
        self._lesson = Path(os.environ.get("JPY_SESSION_NAME", "")).stem
        self.predictions = Predictions()
        self._cell = ""
        self._asks = False
        shell.events.register("pre_run_cell", self._before_cell)
        shell.events.register("post_run_cell", self._after_cell)

    @line_magic
    def predict(self, line: str) -> None:
        """Ask for a prediction, which is shown under the result; or take what stands on the line for it."""
        prediction = Prediction(line.strip(), with_field=hasattr(self.shell, "kernel"))
        if self._record is not None and not prediction.answer:
            prediction.answer = self._record.predictions().get(self._key(self._cell), "")
        self.predictions.ask(prediction, self._cell)
        self._asks = True
        _show(prediction.asked(), raw=True)

    @line_magic
    def progress(self, line: str) -> None:
        """Show which exercises of the course are done."""
        if line.strip():
            raise UsageError("%progress takes nothing; for a page to be printed: %certificate YOUR NAME")
        _show(self._progress())

    @line_magic
    def certificate(self, line: str) -> None:
        """Write a page that says what you have done, to be printed: ``%certificate YOUR NAME``."""
        if not line.strip():
            raise UsageError("your name is missing: %certificate Ada Lovelace")
        progress = self._progress()
        assert self._record is not None
        path = self._record.folder / _CERTIFICATE
        write_certificate(progress, line.strip(), path)
        _show(_Link(os.path.relpath(path), result_html_prefix=_PRINT))

    def _progress(self) -> Progress:
        if self._record is None:
            raise UsageError(f"progress {_NO_COPY}")
        return Progress(lessons(working_copy.course_folder()), self._record.done())

    def _before_cell(self, info: Any) -> None:
        self._cell, self._asks = info.cell_id or info.raw_cell, False

    def _after_cell(self, result: Any) -> None:
        if self._asks:
            return
        prediction = self.predictions.about(self._cell)
        if prediction is not None and result.success:
            self._tell(prediction, self._key(f"{self._cell}{ASKS}"))
        if isinstance(result.result, Verdict) and result.result and self._record is not None:
            with _told_if_not_written():
                self._keep_done(self._record, result.info.raw_cell)

    def _tell(self, prediction: Prediction, key: str) -> None:
        """Show a prediction under its result, and keep it."""
        lock = threading.Lock()  # what is typed may be heard by another of the kernel's threads, in the middle of this

        def tell_again() -> None:
            with lock:
                handle.update(prediction.told(), raw=True)
                self._keep_prediction(prediction, key)

        with lock:
            prediction.close(tell_again)
            handle = _show(prediction.told(), raw=True, display_id=True)
            self._keep_prediction(prediction, key)

    def _keep_prediction(self, prediction: Prediction, key: str) -> None:
        if self._record is None or not key or self._record.predictions().get(key) == prediction.answer:
            return
        with _told_if_not_written():
            self._record.add_prediction(key, prediction.answer)

    def _keep_done(self, record: Record, code: str) -> None:
        exercise = exercise_of(code, working_copy.course_folder())
        if exercise is not None and exercise.key not in record.done():
            record.add_done(exercise.key, datetime.now().astimezone())
            told = self._progress()
            print(f"That is {told.n_done} of {told.n_exercises} exercises. %progress shows them all.")

    def _key(self, cell: str) -> str:
        """Return what the question that a cell asks is called in a record; "" where that is not known."""
        return f"{self._lesson}/{cell}" if self._lesson and cell.endswith(ASKS) else ""


@contextlib.contextmanager
def _told_if_not_written() -> Iterator[None]:
    """Say in a line what went wrong: the result of a cell is worth more than its record."""
    try:
        yield
    except OSError as error:
        print(f"This could not be written down in your copy of the course: {error}")


def load_ipython_extension(shell: Any) -> None:
    """Bring the course's magics to a notebook: what ``%load_ext streamlab`` calls."""
    shell.register_magics(RedisMagics, LearnerMagics)
