"""SIGTERM and SIGHUP stop a command as Ctrl-C does: once, so that what is being tidied up then is not torn."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object]

#: What stops a command; Windows has no SIGHUP.
STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
#: Seconds for which further signals change nothing: tidying up takes less.
_GRACE = 8.0


class Stopped(KeyboardInterrupt):
    """This process has been told to stop, by the signal `signum`."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class _Stopper:
    """Raises `Stopped` in the main thread; not again while what it stopped is tidied up.

    A terminal that is closed sends SIGHUP twice or more, and who waits presses Ctrl-C twice.
    """

    def __init__(self) -> None:
        self._stopped_at = float("-inf")

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._stopped_at > _GRACE:
            self._stopped_at = now
            raise Stopped(signum)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let the signals in `STOPPING` raise `Stopped`, but those that are ignored (``nohup``) or handled already."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stopper = _Stopper()
    usual = {
        signum: handler
        for signum in STOPPING
        if (handler := signal.getsignal(signum)) in (signal.SIG_DFL, signal.default_int_handler)
    }
    for signum in usual:
        signal.signal(signum, stopper)
    try:
        yield
    finally:
        for signum, handler in usual.items():
            signal.signal(signum, handler)


def interrupting() -> dict[int, Handler]:
    """Return the handlers of the signals that raise an exception in the main thread, by number."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    handlers = {signum: signal.getsignal(signum) for signum in STOPPING}
    return {
        signum: handler
        for signum, handler in handlers.items()
        if isinstance(handler, _Stopper) or handler is signal.default_int_handler
    }
