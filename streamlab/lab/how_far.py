"""How many of many runs are done (`HowFar`), or how far one has got (`run_shown`): a bar, for whoever watches."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from streamlab.servers.in_browser import IN_BROWSER

#: Seconds after which it is shown, and between two renewals.
_PATIENCE, _EVERY = 3.0, 0.5
_BAR: Final = "|{bar}| {elapsed} so far, {remaining} left"


class HowFar:
    """Says how many are done, once it takes long and if somebody watches: in a terminal or a notebook.

    `what` is what they are called: "schedules".
    """

    def __init__(self, n: int, what: str) -> None:
        is_terminal = sys.stderr is not None and sys.stderr.isatty()  # None under pythonw
        is_watched = is_terminal if _kernel() is None else _is_watched()
        self._bar = _bar(n, "{n_fmt} of {total_fmt} " + what) if is_watched else None

    def step(self, n: int = 1) -> None:
        """Count `n` more as done."""
        if self._bar is not None:
            self._bar.update(n)

    def close(self) -> None:
        """Leave nothing of the bar."""
        if self._bar is not None:
            self._bar.close()


@contextlib.contextmanager
def run_shown(duration: float | None) -> Iterator[Callable[[float, int], None] | None]:
    """Give something to call with a run's progress, its time and its events; None where no notebook is watched.

    `duration` is how many seconds the run takes, if that is known.
    """
    if not _is_watched():
        yield None
        return
    of = " of {total:.0f} s" if duration is not None else " s"
    with contextlib.closing(_bar(duration, "{n:.0f}" + of + " run{postfix}")) as bar:

        def show(now: float, n_events: int) -> None:
            bar.set_postfix_str(f"{n_events:,} events", refresh=False)
            bar.update(min(now, duration or now) - bar.n)

        yield show


def _kernel() -> Any:
    """Return the kernel of the notebook that this is; None for none."""
    ipython = sys.modules.get("IPython")
    return getattr(ipython.get_ipython(), "kernel", None) if ipython is not None else None


def _is_watched() -> bool:
    """Return whether this is a notebook that somebody looks at.

    One that is executed by a program, and whose outputs are compared, cannot ask its user anything. In a browser
    nothing could be drawn meanwhile.
    """
    kernel = None if IN_BROWSER else _kernel()
    parent = kernel.get_parent("shell") or {} if kernel is not None else {}
    return bool(parent.get("content", {}).get("allow_stdin"))


def _bar(total: float | None, words: str) -> Any:
    """Return a bar of tqdm's that comes late and leaves nothing; as a widget where there are any."""
    has_widgets = _kernel() is not None and importlib.util.find_spec("ipywidgets") is not None
    kind = importlib.import_module("tqdm.notebook" if has_widgets else "tqdm").tqdm
    # No thread that looks whether a bar is overdue: what is counted here comes steadily.
    quiet = type("Bar", (kind,), {"monitor_interval": 0})
    layout = f"{words} {_BAR}" if total is not None else words
    return quiet(
        total=total, bar_format=layout, leave=False, delay=_PATIENCE, mininterval=_EVERY, miniters=0, file=sys.stderr
    )
