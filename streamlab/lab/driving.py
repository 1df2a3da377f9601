"""`LiveDriver`: a live run in a thread with an event loop of its own, while a learner looks on and interferes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import redis.exceptions

from streamlab.lab.errors import LabError
from streamlab.lab.live import LiveEngine
from streamlab.lab.lookout import Lookout
from streamlab.lab.running import CANCEL_EVERY, OwnThread
from streamlab.results.run import Run
from streamlab.scenario import Scenario
from streamlab.scenario.action import Action
from streamlab.scenario.deeds import LetEnd

#: Seconds within which a live engine must do what it is told.
_PATIENCE = 60.0


class LiveDriver:
    """A live engine on an event loop in a thread of its own."""

    def __init__(self, scenario: Scenario, redis_url: str | None, open_as: str | None = None) -> None:
        self._ready = threading.Event()
        self._run: Run | None = None
        self._engine = LiveEngine(scenario, redis_url=redis_url, interactive=True, open_as=open_as)
        self._lookout = Lookout(self._engine, is_live=True)
        self._thread = OwnThread(self._play, lambda: self._engine.is_closing, is_daemon=True, at_end=self._ready.set)

    def start(self, hold: Callable[[Self | None], object]) -> Self:
        """Begin the run.

        `hold` is told of this driver before there is a thread: an interrupt may come at any moment, and somebody has
        to close it then; and of None, if it could not begin.
        """
        hold(self)
        try:
            self._thread.start()
            self._ready.wait()
            if self._thread.error is not None:
                raise self._thread.error
        except BaseException:
            self.close()
            hold(None)
            raise
        return self

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end, or nobody drives it any more."""
        return self._run is not None or not self._thread.is_at_work

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
        if not self._thread.is_at_work:
            raise self._why_it_ended()

        async def work() -> Any:
            try:
                found = act()
                return await found if inspect.isawaitable(found) else found
            except (redis.exceptions.ConnectionError, redis.exceptions.RedisClusterException) as error:
                if self._engine.course.is_down:
                    raise
                raise await self._engine.stage.went_away(error) from None  # as whoever asks later is told

        question = work()
        try:
            asked = asyncio.run_coroutine_threadsafe(question, self._thread.loop)
            deadline = time.monotonic() + _PATIENCE
            # A loop that is just being closed may never come to it.
            while not asked.done() and not self._thread.wait(0.0) and time.monotonic() < deadline:
                concurrent.futures.wait([asked], timeout=0.2)
            return asked.result(0)
        except Exception:
            if not self._engine.is_closing:
                raise
        self._thread.wait()  # what it ended with is told when all is tidied up
        question.close()  # it may never have been begun
        raise self._why_it_ended()

    def _why_it_ended(self) -> BaseException:
        return self._thread.error or LabError("this live run has been closed: take a new Lab")

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
        while self._run is None and self._thread.is_at_work:
            time.sleep(0.02)
        if self._thread.error is not None:
            raise self._thread.error
        if self._run is None:
            raise LabError("this live run was closed before its end")
        return self._run

    def close(self) -> None:
        """End the run, its workers and its server, and the thread."""
        self._thread.end()

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
                    await asyncio.wait([run], timeout=CANCEL_EVERY)
