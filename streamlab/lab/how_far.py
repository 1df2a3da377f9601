"""`HowFar`: how many of many runs are done, on a line that somebody watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

#: Seconds after which it is shown, and between two renewals.
_PATIENCE, _EVERY = 3.0, 0.5
_WIDTH: Final = 40


class HowFar:
    """Says how many are done, once it takes long and if somebody watches: in a terminal or a notebook.

    `what` is what they are called: "schedules".
    """

    def __init__(self, n: int, what: str) -> None:
        self._n, self._what = n, what
        self._n_done = 0
        self._next = time.monotonic() + _PATIENCE
        self._show: Callable[[str], None] | None = None

    def step(self, n: int = 1) -> None:
        """Count `n` more as done."""
        self._n_done += n
        if time.monotonic() >= self._next and self._n_done < self._n:
            self._next = time.monotonic() + _EVERY
            self._show = self._show or _display()
            if self._show is not None:
                self._show(f"{self._n_done:,} of {self._n:,} {self._what} …")

    def close(self) -> None:
        """Leave nothing of the line."""
        if self._show is not None:
            self._show("")


def _display() -> Callable[[str], None] | None:
    """Return what shows a line in place of the one before; None if nobody watches.

    A notebook that is executed by a program, and whose outputs are compared, cannot ask its user anything.
    """
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        parent = kernel.get_parent("shell") or {}
        if not parent.get("content", {}).get("allow_stdin"):
            return None
        return partial(_show_in_notebook, shell.display_pub)
    if not sys.stderr.isatty():
        return None
    return lambda text: print(f"\r{text:<{_WIDTH}}\r{text}", end="", file=sys.stderr, flush=True)


def _show_in_notebook(publisher: Any, text: str) -> None:
    publisher.clear_output(wait=bool(text))
    if text:
        publisher.publish({"text/plain": text})
