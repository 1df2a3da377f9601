"""`LiveDriver`: a live run in a thread with an event loop of its own, while a learner looks on and interferes."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import Callable
from typing import Any

from streamlab.lab.errors import LabError
from streamlab.lab.live import LiveEngine
from streamlab.lab.lookout import Lookout
from streamlab.lab.worker import new_loop
from streamlab.results.run import Run
from streamlab.scenario import Scenario
from streamlab.scenario.action import Action
from streamlab.scenario.deeds import LetEnd

#: Seconds between two cancellations of what is not closing yet.
_CANCEL_EVERY = 1.0
#: Seconds within which a live engine must do what it is told.
_PATIENCE = 60.0


def cancel_until(
    has_ended: threading.Event, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any], is_closing: Callable[[], bool]
) -> None:
    """Cancel a task of another thread's loop, again and again until it is closing what it holds; wait for its end."""
    while True:
        if not is_closing():
            with contextlib.suppress(RuntimeError):  # the loop has just been closed
                loop.call_soon_threadsafe(task.cancel)
        if has_ended.wait(_CANCEL_EVERY):
            return


class LiveDriver:
    """A live engine on an event loop in a thread of its own."""

    def __init__(self, scenario: Scenario, redis_url: str | None, open_as: str | None = None) -> None:
        self._loop = new_loop()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._run: Run | None = None
        self._engine = LiveEngine(scenario, redis_url=redis_url, interactive=True, open_as=open_as)
        self._lookout = Lookout(self._engine, is_live=True)
        # Made here, so that it can be cancelled from the first moment on.
        self._task = self._loop.create_task(self._play())
        self._thread = threading.Thread(target=self._main, name="streamlab-live", daemon=True)
        self._is_closed = False
        # An interrupted `join` is not to be relied on (Python 3.11).
        self._has_ended = threading.Event()
        try:
            self._thread.start()
            self._ready.wait()
        except BaseException:  # an interrupt: nobody will get hold of this object, to close it
            self.close()
            raise
        if self._error is not None:
            self._thread.join()
            raise self._error

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end, or nobody drives it any more."""
        return self._run is not None or not self._thread.is_alive()

    @property
    def engine(self) -> LiveEngine:
        """The engine. Only to be looked at: what is done to it goes through `do`."""
        return self._engine

    def do(self, action: Action[Any]) -> Any:
        """Do an action now, or have it done when it is time."""
        course = self._engine.course
        return self._on_loop(lambda: course.do_by_hand(action))

    def ask(self, question: Callable[[Lookout], Any]) -> Any:
        """Ask something of the run as it is at this moment."""
        return self._on_loop(lambda: question(self._lookout))

    def _on_loop(self, act: Callable[[], Any]) -> Any:
        if self._error is not None:
            raise self._error
        if not self._thread.is_alive():
            raise LabError("this live run has been closed: take a new Lab")

        async def work() -> Any:
            found = act()
            return await found if inspect.isawaitable(found) else found

        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(_PATIENCE)

    def keep_open(self, yes: bool) -> None:
        """Note whether somebody looks on who may restart a producer; else nobody is waited for."""
        course = self._engine.course
        if self.finished:
            return
        if course.is_waiting and not yes:
            self.do(LetEnd())
        self._on_loop(lambda: course.keep_open(yes))

    def wait(self) -> Run:
        """Wait for the end of the run and return what came of it."""
        self.keep_open(False)
        while self._run is None and self._thread.is_alive():
            time.sleep(0.02)
        if self._error is not None:
            raise self._error
        if self._run is None:
            raise LabError("this live run was closed before its end")
        return self._run

    def close(self) -> None:
        """End the run, its workers and its server, and the thread."""
        self._is_closed = True  # which a thread looks at as it begins
        if not self._thread.is_alive():
            return
        if self._thread is threading.current_thread():
            self._task.cancel()
            return
        # Whoever is interrupted while waiting here, and closes again, does not tear the tidying up.
        cancel_until(self._has_ended, self._loop, self._task, lambda: self._engine.is_closing)
        self._thread.join()

    # ---- in the thread -------------------------------------------------------------------------

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        if self._is_closed:
            self._task.cancel()
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass  # closed
        except BaseException as error:  # handed over to whoever asks next
            self._error = error
        finally:
            self._ready.set()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
            self._has_ended.set()

    async def _play(self) -> None:
        async with self._engine as engine:
            run = asyncio.create_task(engine.run())
            try:
                while not engine.now >= 0 and not run.done():  # NaN until it has begun
                    await asyncio.sleep(0.01)
                if run.done():
                    await run
                self._ready.set()
                self._run = await run
                await asyncio.Event().wait()  # what it left can be looked at until it is closed
            finally:
                engine.is_closing = True
                while not run.done():
                    run.cancel()
                    await asyncio.wait([run], timeout=_CANCEL_EVERY)
