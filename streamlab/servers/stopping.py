"""SIGTERM and SIGHUP stop a command as Ctrl-C does: once, so that what is being tidied up then is not torn."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

Handler = Callable[[int, FrameType | None], object]

#: What stops a command; Windows has no SIGHUP.
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
#: Seconds for which further signals change nothing: tidying up takes less.
_GRACE = 8.0
#: Seconds between two looks at whether a signal has had its effect.
_LOOK_EVERY = 0.2


#: What has had its effect: kept, or its signal would be taken for lost.
_told: list[Stopped] = []


class Stopped(KeyboardInterrupt):
    """This process has been told to stop, by the signal `signum`."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum

    def note(self) -> int:
        """Count it as having had its effect; return the command's exit status."""
        _told.append(self)
        return 128 + self.signum

    def tell(self) -> int:
        """Say in a line what has stopped the command; return its exit status."""
        how = "interrupted" if self.signum == signal.SIGINT else f"stopped by {self}"
        with suppress(OSError):  # a terminal that has been closed cannot be told anything
            print(f"{how}: workers and private servers have been ended", file=sys.stderr)
        return self.note()


class _Stopper:
    """Raises `Stopped` in the main thread; not again while what it stopped is tidied up.

    A terminal that is closed sends SIGHUP twice or more, and who waits presses Ctrl-C twice.
    """

    def __init__(self) -> None:
        self._stopped_at = float("-inf")
        self._raised: Callable[[], Stopped | None] = lambda: None
        #: Whether the command has ended.
        self.is_over = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._raised() is None or now - self._stopped_at > _GRACE:
            self._stopped_at = now
            stopped = Stopped(signum)
            self._raised = weakref.ref(stopped)  # it is there as long as it makes its way up
            # Not `Thread.start`, whose lock the main thread may hold at this moment.
            _thread.start_new_thread(self._see_it_through, (signum,))
            try:
                raise stopped
            finally:
                del stopped  # or its own traceback would keep it

    def _see_it_through(self, signum: int) -> None:
        """Send the signal again if its exception is gone, and the command is not.

        It may have come in a callback, from which nothing can be raised (imports have many of those), or where a
        library catches everything.
        """
        while not self.is_over:
            time.sleep(_LOOK_EVERY)
            if self._raised() is None and not self.is_over:
                os.kill(os.getpid(), signum)
                return


def _silently(usual: Callable[[sys.UnraisableHookArgs], object]) -> Callable[..., object]:
    """Say nothing of a `Stopped` that could not be raised: it comes again."""

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, Stopped):
            usual(unraisable)

    return hook


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
    hook = sys.unraisablehook
    sys.unraisablehook = _silently(hook)
    try:
        yield
    finally:
        stopper.is_over = True
        sys.unraisablehook = hook
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
