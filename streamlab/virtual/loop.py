"""Virtual time: an asyncio event loop whose clock jumps to the next timer.

`VirtualLoop` runs ordinary asyncio code (``sleep``, ``timeout``, ``wait_for``, ``Queue``, ``TaskGroup``,
cancellation) without ever waiting: when nothing is ready to run, the clock is set to the next timer. An
hour passes in the time its callbacks take, and two runs with the same input take the same steps in the
same order. It opens no socket and starts no thread, so it can also be stepped by code that is itself
running on another event loop, as every cell of a notebook is.

    >>> loop = VirtualLoop()
    >>> loop.run_until_complete(asyncio.sleep(3600, "an hour later"))
    'an hour later'
    >>> loop.time()
    3600.0
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import sys
import types
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from heapq import heapify, heappop, heappush
from typing import Any, TypeVar, TypeVarTuple, Unpack, cast

from streamlab.virtual.task import PROCESS, Handle, Promise, TimerHandle, VirtualTask, where
from streamlab.virtual.task_loop import TaskLoop, no_current_task, set_current_task

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: 2026-01-01T00:00:00Z, in milliseconds since 1970: what a calendar shows at virtual time 0 unless told
#: otherwise, so that entry ids look like ids and every run has the same ones.
DEFAULT_EPOCH_MS = 1_767_225_600_000

#: Any time but infinity: a timer that is set for then is never due.
_EVER = sys.float_info.max


class Deadlock(RuntimeError):
    """Nothing left that could ever wake: no callback is ready and no timer is set.

    The message names every task that still waits, and in which function.
    """


class TimeStandsStill(RuntimeError):
    """Callbacks keep each other busy and the clock never moves: a loop polls without waiting, or sleeps too short."""


#: What asyncio.sleep() sets its timer with: such a timer needs no handle, its future is enough.
_WAKE_SLEEPER = getattr(asyncio.futures, "_set_result_unless_cancelled", None)


class VirtualLoop(TaskLoop):
    """An asyncio event loop in virtual time.

    Parameters
    ----------
    start
        What the clock shows at first, in seconds.
    callbacks_per_instant
        How many callbacks may run without the clock moving before `TimeStandsStill` is raised.
    """

    def __init__(self, *, start: float = 0.0, callbacks_per_instant: int = 50_000_000) -> None:
        super().__init__()
        #: What the clock shows, in seconds: `time()` without a call.
        self.now = float(start)
        self._callbacks_per_instant = callbacks_per_instant
        self._ready: deque[Any] = deque()  # Handle or VirtualTask
        #: A heap of (when, number, timer); the number keeps timers of one moment in the order they were set.
        #: The timer of an asyncio.sleep() is the future that it awaits; that of a sleep(), its task.
        self._timers: list[tuple[float, int, Any]] = []
        self._numbers = itertools.count()
        #: The future of the last asyncio.sleep(), and the tasks that sleep, by their futures.
        self._sleeper: Any = self
        #: Whether what runs is a step of one of the loop's own tasks, and not a callback.
        self.in_task = True
        self._sleeping: dict[asyncio.Future[Any], VirtualTask[Any]] = {}
        self._no_context = contextvars.Context()  # where tasks are woken, which have their own
        self._n_timers_worth_cleaning = 128
        #: Grows by one each time round the loop. Whoever remembers it knows whether others had their turn.
        self.rounds = 0
        #: What the processes that are held back would do now, in order.
        self._held: dict[object, list[Handle | VirtualTask[Any]]] = {}
        self._stopping = False

    # ---- the clock -----------------------------------------------------------------------------

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self.now

    def next_time(self) -> float | None:
        """Return when the next callback runs: now, at the next timer, or None if never."""
        if self._ready:
            return self.now
        timers = self._timers
        while timers and _is_off(*timers[0][1:]):
            heappop(timers)
        return max(self.now, timers[0][0]) if timers and timers[0][0] <= _EVER else None

    # ---- the run loop --------------------------------------------------------------------------

    def _run(self, until: float) -> None:
        """Run until the clock would pass `until`, until stopped, or until nothing is left to run."""
        ready, timers, sleeping, held = self._ready, self._timers, self._sleeping, self._held
        numbers, now = self._numbers, self.now
        budget = full_budget = self._callbacks_per_instant
        n_left = 0  # of those whose turn it is in this round
        self._stopping = False
        while True:
            if n_left:
                n_left -= 1
                task = ready.popleft()
            else:
                if self._stopping:
                    return
                task = None
                due = until
                if ready:
                    due = now
                    task = ready.popleft()
                while timers and timers[0][0] <= due:
                    due, number, timer = heappop(timers)
                    if type(timer) is VirtualTask:
                        if timer.alarm != number:
                            due = until if task is None else now
                            continue  # cancelled: the clock does not stop for it
                        timer.alarm = -1
                        if task is None:
                            task = timer
                        else:
                            ready.append(timer)
                    elif timer.cancelled():
                        due = until if task is None else now
                        continue
                    else:
                        timer.set_result(None)
                        if timer in sleeping:
                            ready.append(sleeping.pop(timer))
                        if task is None and ready:
                            task = ready.popleft()
                    if due > now:
                        self.now = now = due
                        budget = full_budget
                    # Of a future that nobody waits for, nothing comes.
                    due = until if task is None else now
                if task is None:
                    return
                self.rounds += 1
                n_left = len(ready)
                budget -= 1 + n_left
                if budget < 0:
                    ready.appendleft(task)
                    raise TimeStandsStill(
                        f"{self._callbacks_per_instant:,} callbacks ran at virtual time {now:g} s and "
                        "the clock never moved: some loop polls without waiting. Let it block "
                        "(XREADGROUP with BLOCK) or sleep."
                    )
            if type(task) is not VirtualTask:
                self._call(task)
                continue
            if held and (process := task.context.get(PROCESS)) in held:
                held[process].append(task)
                continue
            set_current_task(self, task)
            try:
                # If what it waited for has failed or was cancelled, it will find that out by itself.
                awaited = task.throw() if task.must_throw else task.in_context(task.send, None)
            except BaseException as error:
                task.end(error)
                continue
            if type(awaited) is float:  # from sleep()
                task.awaited = None
                task.alarm = number = next(numbers)
                heappush(timers, (now + awaited, number, task))
            elif awaited is None:  # a bare yield: everybody else first
                task.awaited = None
                ready.append(task)
            elif isinstance(awaited, Promise):
                task.awaited = awaited
                awaited.task = task
            elif awaited is self._sleeper:
                task.awaited = awaited
                sleeping[awaited] = task
            else:
                task.wait_for(awaited)
            if task.must_throw:  # it was cancelled in this step
                task.must_throw = False
                task.cancel_or_throw(task._cancel_message)  # type: ignore[attr-defined]

    def _call(self, handle: Handle) -> None:
        """Run a callback that is no task, unless it is cancelled or held back."""
        call, context = handle
        if call is None:
            return
        held = self._held
        if held and (process := context.get(PROCESS)) in held:
            held[process].append(handle)
            return
        no_current_task(self)
        self.in_task = False
        try:
            context.run(*call)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._report_failed(handle, error)
        finally:
            self.in_task = True

    def _report_failed(self, handle: Handle, error: BaseException) -> None:
        self.call_exception_handler(
            {"message": f"Exception in callback {handle!r}", "exception": error, "handle": handle}
        )

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> T:
        """Run until `future` (a coroutine or a future) is done, and return its result.

        May be called while another event loop runs in this thread, as from a notebook cell: that loop
        stands still meanwhile.

        Raises
        ------
        Deadlock
            If nothing is left that could ever complete it.
        """
        self._check_closed()
        is_new = not asyncio.isfuture(future)
        main: asyncio.Future[T] = asyncio.ensure_future(cast(Awaitable[T], future), loop=self)
        main.add_done_callback(self._stop_when_done)
        try:
            with self._entered():
                self._run(_EVER)
        except BaseException:
            if is_new and main.done() and not main.cancelled():
                main.exception()  # the caller sees this one raised already: do not log it again
            raise
        finally:
            main.remove_done_callback(self._stop_when_done)
        if not main.done():
            if self._stopping:
                raise RuntimeError("the loop was stopped before the future was done")
            raise Deadlock(self._who_waits())
        return main.result()

    def run_until(self, when: float) -> None:
        """Run everything up to and including the moment `when`, and leave the clock there."""
        if when < self.now:
            raise ValueError(f"it is {self.now:g} s already: time does not run back to {when:g} s")
        self._check_closed()
        with self._entered():
            self._run(when)
        if not self._stopping:
            self.now = when

    def step(self) -> bool:
        """Run everything that happens at the next moment; return False if nothing is left to run."""
        when = self.next_time()
        if when is None:
            return False
        self.run_until(when)
        return True

    def run_forever(self) -> None:
        """Run until `stop` is called or nothing is left to run."""
        self._check_closed()
        with self._entered():
            self._run(_EVER)

    def stop(self) -> None:
        """Let the run end after the round that is under way."""
        self._stopping = True

    def _stop_when_done(self, _: asyncio.Future[Any]) -> None:
        self._stopping = True

    def _who_waits(self) -> str:
        waiting = sorted(f"{task.get_name()} in {where(task)}" for task in asyncio.all_tasks(self) if not task.done())
        who = "; ".join(waiting) if waiting else "nobody"
        return (
            f"deadlock at virtual time {self.now:g} s: no callback is ready, no timer is set, and these "
            f"still wait: {who}"
        )

    def close(self) -> None:
        """Close the loop; drop what was still scheduled."""
        if self._running:
            raise RuntimeError("a running loop cannot be closed")
        self._closed = True
        self._held.clear()
        self._ready.clear()
        self._timers.clear()

    # ---- processes -----------------------------------------------------------------------------

    def hold(self, process: object) -> None:
        """Hold back all that runs in contexts where `PROCESS` is this one, as SIGSTOP does.

        The rest of the world goes on: timers fire, replies arrive, and wait for `release`.
        """
        self._held.setdefault(process, [])

    def release(self, process: object) -> None:
        """Let a process go on where it was held back, as SIGCONT does; no matter if it was not."""
        self._ready.extend(self._held.pop(process, ()))

    # ---- callbacks -----------------------------------------------------------------------------

    def call_soon(  # type: ignore[override]  # the callback and its arguments in one tuple, for speed
        self, *call: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        if type(call[0]) is VirtualTask:  # a future is done that it waits for
            self._ready.append(call[0])
            return cast(asyncio.Handle, None)  # futures do not look at it
        if context is None:
            context = contextvars.copy_context()
        handle: Any = Handle((call, context))
        self._ready.append(handle)
        return handle  # type: ignore[no-any-return]  # as good as an asyncio.Handle

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        # A deque's append is atomic. Nothing has to be woken: this loop never sleeps.
        return self.call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]
        self, delay: float, *call: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        if call[0] is _WAKE_SLEEPER and call[2] is None:
            # asyncio.sleep() does nothing with its timer but cancel it, when its future is done already.
            # And a heap of sleepers does not need cleaning: they are seldom cancelled.
            self._sleeper = sleeper = call[1]
            heappush(self._timers, (self.now + delay, next(self._numbers), sleeper))
            return sleeper  # type: ignore[no-any-return]  # as good as an asyncio.TimerHandle
        return self.call_at(self.now + delay, *call, context=context)

    @types.coroutine
    def sleep(self, delay: float) -> Generator[Any, None, None]:
        """Sleep as ``asyncio.sleep`` does, without a future and a timer handle."""
        if not self.in_task:  # but in one of asyncio's own
            yield from asyncio.sleep(delay).__await__()
        elif delay > 0:
            yield float(delay)
        else:
            yield

    def call_at(  # type: ignore[override]
        self, when: float, *call: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        if context is None:
            context = contextvars.copy_context()
        timer: Any = TimerHandle((call, context))
        timer._loop, timer._when = self, when
        self._set_timer(when, timer)
        return timer  # type: ignore[no-any-return]  # as good as an asyncio.TimerHandle

    def _set_timer(self, when: float, timer: TimerHandle) -> None:
        if when != when:
            raise ValueError("a timer cannot be set for NaN seconds")
        timers = self._timers
        if len(timers) >= self._n_timers_worth_cleaning:
            self._clean_timers()
        heappush(timers, (when, next(self._numbers), timer))

    def _clean_timers(self) -> None:
        # One time-out leaves one cancelled timer: without cleaning, the heap would only grow.
        # In place: the run loop holds on to this very list.
        self._timers[:] = [item for item in self._timers if not _is_off(*item[1:])]
        heapify(self._timers)
        self._n_timers_worth_cleaning = max(128, 2 * len(self._timers))


def _is_off(number: int, timer: Any) -> bool:
    """Return whether nothing happens when this timer is due."""
    return timer.alarm != number if type(timer) is VirtualTask else timer.cancelled()
