"""A coroutine in a thread of its own: what a live run needs, from wherever it is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from streamlab.lab.live import LiveEngine
from streamlab.lab.timeline import Progress
from streamlab.lab.worker import new_loop
from streamlab.results.run import Run

T = TypeVar("T")

#: Seconds between two cancellations of what is not closing yet.
CANCEL_EVERY = 1.0
#: Seconds within which a thread has begun, if one was started at all.
_TO_BEGIN = 5.0


class OwnThread(Generic[T]):
    """A coroutine on an event loop and in a thread of its own.

    A loop may be running in the caller's. And an interrupt comes to the caller's thread, at any moment: here, `end`
    only cancels the coroutine, which then tidies up to its end, however often the interrupt is repeated. A cancellation
    may get lost on its way (asyncio's own time-outs swallow one that comes with them): it comes again until
    `is_closing`.

    The loop is one of precise timers, unless another is asked for: it cannot have more than 1,024 files and sockets.
    """

    def __init__(
        self,
        main: Callable[[], Coroutine[Any, Any, T]],
        is_closing: Callable[[], bool],
        make_loop: Callable[[], asyncio.AbstractEventLoop] = new_loop,
        *,
        is_daemon: bool = False,
        at_end: Callable[[], object] = lambda: None,
    ) -> None:
        self._main, self._is_closing, self._make_loop, self._at_end = main, is_closing, make_loop, at_end
        # A notebook's kernel knows by it which cell is to show what is printed.
        self._context = contextvars.copy_context()
        self.loop: asyncio.AbstractEventLoop
        self._task: asyncio.Task[T]
        self._results: list[T] = []
        self._errors: list[BaseException] = []
        self._is_started = self._is_to_end = False
        self._has_begun, self._has_ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="streamlab-live", daemon=is_daemon)

    def start(self) -> None:
        """Begin. If this is interrupted, nobody knows whether there is a thread: `end` it in any case."""
        self._is_started = True
        self._thread.start()

    @property
    def is_at_work(self) -> bool:
        """Whether it has been started, and has not ended."""
        return self._is_started and not self._has_ended.is_set()

    @property
    def error(self) -> BaseException | None:
        """What it has ended with, unless it was ended."""
        return next((e for e in self._errors if not isinstance(e, asyncio.CancelledError)), None)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end, for so many seconds or as long as it takes; return whether it has ended."""
        return self._has_ended.wait(timeout)

    def result(self) -> T:
        """Wait for its end; return its result, or raise its error."""
        self.wait()
        if self._errors:
            raise self._errors[0]
        return self._results[0]

    def end(self) -> None:
        """Let it end, and wait until it has tidied up. It may have ended, or not have begun."""
        self._is_to_end = True
        if threading.current_thread() is self._thread:
            self._task.cancel()
            return
        # A thread that begins after all ends at once. And Python 3.11 takes one for ended whose `join` was interrupted.
        if not self.is_at_work or not self._has_begun.wait(_TO_BEGIN):
            return
        while not self._has_ended.is_set():
            if not self._is_closing():
                with contextlib.suppress(RuntimeError):  # the loop has just been closed
                    self.loop.call_soon_threadsafe(self._task.cancel)
            self._has_ended.wait(CANCEL_EVERY)
        self._thread.join()

    def _work(self) -> None:
        try:
            self._run()
        except BaseException as error:  # handed over to the caller's thread
            self._errors.append(error)
        finally:
            self._at_end()
            self._has_ended.set()
            self._has_begun.set()  # or could not

    def _run(self) -> None:
        self.loop = self._make_loop()
        try:
            asyncio.set_event_loop(self.loop)
            self._task = self.loop.create_task(self._main(), context=self._context)
            self._has_begun.set()
            if self._is_to_end:
                self._task.cancel()
            try:
                self._results.append(self.loop.run_until_complete(self._task))
            finally:
                self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()


def run_coroutine(
    main: Callable[[], Coroutine[Any, Any, T]],
    is_closing: Callable[[], bool],
    make_loop: Callable[[], asyncio.AbstractEventLoop] = new_loop,
) -> T:
    """Run a coroutine to its end in an `OwnThread`; an interrupt lets it tidy up before."""
    own = OwnThread(main, is_closing, make_loop)
    try:
        own.start()
        return own.result()
    except BaseException:
        try:
            own.end()
        finally:
            own.end()  # an interrupt more, while that was waited for, is told afterwards
        raise


def run_through(engine: LiveEngine, progress: Progress | None) -> Run:
    """Run an engine to its end."""

    async def run() -> Run:
        async with engine:
            return await engine.run(progress)

    return run_coroutine(run, lambda: engine.is_closing)
