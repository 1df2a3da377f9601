"""The tasks of a `VirtualLoop`: asyncio's to everybody else, and stepped by the loop itself."""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Coroutine, Generator
from heapq import heappush
from typing import Any, TypeVar

T = TypeVar("T")

#: Whose callbacks these are: what is set in a task's context holds for all that the task starts.
#: See `streamlab.virtual_time.VirtualLoop.hold`.
PROCESS: contextvars.ContextVar[object] = contextvars.ContextVar("streamlab_process", default=None)

_enter_task, _leave_task = asyncio.tasks._enter_task, asyncio.tasks._leave_task


class Promise:
    """A value that the one task which awaits it is woken with: a future without callbacks.

    For a `VirtualTask` only, which has to await it (`wait`) as soon as it is made.
    """

    __slots__ = ("_is_cancelled", "_is_done", "_loop", "_value", "task")
    task: VirtualTask[Any]

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._is_done = self._is_cancelled = False

    @types.coroutine
    def wait(self) -> Generator[Promise, None, Any]:
        yield self
        if self._is_cancelled:
            raise asyncio.CancelledError
        return self._value

    def done(self) -> bool:
        return self._is_done

    def set_result(self, value: Any) -> None:
        """Wake the task with a value, unless it has been woken already."""
        if not self._is_done:
            self._is_done = True
            self._value = value
            self._loop._ready.append(self.task)

    def cancel(self, _: Any = None) -> bool:
        if self._is_done:
            return False
        self._is_done = self._is_cancelled = True
        self._loop._ready.append(self.task)
        return True


class VirtualTask(asyncio.Task[T]):
    """A task that a `VirtualLoop` steps itself.

    asyncio's own tasks sleep and wake by way of a callback, a handle and a call from C into Python each time:
    half of what a simulation costs. This one is an `asyncio.Task` to everybody else: it is cancelled, awaited,
    named and found as those are. Only its steps are its own; what the C task knows of them (what it waits
    for, whether it must be cancelled) stays unused.
    """

    __slots__ = (
        "_awaited",
        "_home",
        "_in_context",
        "_must_throw",
        "_send",
        "_throw",
        "alarm",
        "context",
    )

    def __init__(self, coro: Coroutine[Any, Any, T], loop: Any, **options: Any) -> None:
        super().__init__(coro, loop=loop, **options)
        _, context = loop._ready.pop()  # the first step as a C task, which it has just scheduled
        self._home = loop
        self.context: contextvars.Context = context
        self._in_context = context.run
        self._send, self._throw = coro.send, coro.throw
        self._awaited: Any = None
        self._must_throw = False
        self.alarm = -1  # the number of the timer that wakes it from VirtualLoop.sleep()
        loop._ready.append(self)

    def step(self) -> None:
        """Run the coroutine until it waits for something again."""
        loop = self._home
        self._awaited = None
        loop.task = self
        _enter_task(loop, self)
        try:
            if self._must_throw:
                self._must_throw = False
                awaited = self._in_context(self._throw, self._cancelled_error())
            else:
                # If what it waited for has failed or was cancelled, it will find that out by itself.
                awaited = self._in_context(self._send, None)
        except StopIteration as stop:
            if self._must_throw:  # it was cancelled in its last step
                asyncio.Future.cancel(self, *self._cancelled_error().args)
            else:
                asyncio.Future.set_result(self, stop.value)
        except asyncio.CancelledError as error:
            asyncio.Future.cancel(self, *error.args)
        except BaseException as error:
            asyncio.Future.set_exception(self, error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        else:
            if type(awaited) is float:  # from VirtualLoop.sleep()
                self.alarm = number = next(loop._numbers)
                heappush(loop._timers, (loop.now + awaited, number, self))
            elif awaited is loop._sleeper:
                self._awaited = awaited
                loop._sleeping[awaited] = self
            elif type(awaited) is Promise:
                self._awaited = awaited
                awaited.task = self
            else:
                self._wait_for(awaited)
            if self._must_throw:  # it was cancelled in this step
                self._must_throw = False
                self._cancel_or_throw(None)
        finally:
            _leave_task(loop, self)

    def _wait_for(self, awaited: Any) -> None:
        if awaited is None:  # a bare yield: everybody else first
            self._home._ready.append(self)
            return
        if getattr(awaited, "_asyncio_future_blocking", None) is not True or awaited is self:
            self._fail(f"Task got bad yield: {awaited!r}")
            return
        if asyncio.futures._get_loop(awaited) is not self._home:  # type: ignore[attr-defined]
            self._fail(f"Task {self!r} got Future {awaited!r} attached to a different loop")
            return
        awaited._asyncio_future_blocking = False
        awaited.add_done_callback(self._wake, context=self._home._no_context)
        self._awaited = awaited

    def _cancelled_error(self) -> asyncio.CancelledError:
        return self._make_cancelled_error()  # type: ignore[attr-defined, no-any-return]

    def _fail(self, message: str) -> None:
        """Go on with an error at the place where the coroutine waits."""
        throw = self._throw

        def throw_error(_: None) -> Any:
            self._send = send
            return throw(RuntimeError(message))

        send, self._send = self._send, throw_error
        self._home._ready.append(self)

    def _wake(self, _: asyncio.Future[Any]) -> None:
        held = self._home._held
        if held and (process := self.context.get(PROCESS)) in held:
            held[process].append(self)
        else:
            self.step()

    def cancel(self, msg: Any = None) -> bool:
        """Let the coroutine be thrown a CancelledError, where it waits or in its next step."""
        if not super().cancel(msg):  # which also counts the requests, for uncancel()
            return False
        self._cancel_or_throw(msg)
        return True

    def _cancel_or_throw(self, msg: Any) -> None:
        """Cancel what it waits for, which then wakes it; if there is no such thing, see to it in the next step."""
        awaited = self._awaited
        if awaited is not None and awaited.cancel(msg):
            if self._home._sleeping.pop(awaited, None) is not None:
                self._home._ready.append(self)
            return
        self._must_throw = True
        if self.alarm >= 0:
            self.alarm = -1
            self._home._ready.append(self)

    def uncancel(self) -> int:
        """Withdraw a request; from Python 3.13 on, the last one withdrawn is not carried out any more."""
        n_requests = super().uncancel()
        if not self._must_cancel:  # type: ignore[attr-defined]
            self._must_throw = False
        return n_requests
