"""What a `VirtualLoop` steps: its tasks, which are asyncio's to everybody else, and callbacks."""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")

#: Whose callbacks these are: what is set in a task's context holds for all that the task starts.
#: See `streamlab.virtual.loop.VirtualLoop.hold`.
PROCESS: contextvars.ContextVar[object] = contextvars.ContextVar("streamlab_process", default=None)


class Promise:
    """A value that the one task which awaits it is woken with: a future without callbacks.

    For a `VirtualTask` only. It can be waited for again and again, for another value each time.
    """

    __slots__ = ("_is_cancelled", "_is_done", "_value", "_wake", "task")
    task: VirtualTask[Any]

    def __init__(self, loop: Any) -> None:
        self._wake: Callable[[VirtualTask[Any]], object] = loop._ready.append
        self._is_done = True

    @types.coroutine
    def wait(self) -> Generator[Promise, None, Any]:
        """Wait for a value to come."""
        self._is_done = self._is_cancelled = False
        yield self
        if self._is_cancelled:
            raise self._make_cancelled_error()
        return self._value

    def done(self) -> bool:
        return self._is_done

    def cancelled(self) -> bool:
        return self._is_cancelled

    def _make_cancelled_error(self) -> asyncio.CancelledError:
        return asyncio.CancelledError(*self._value)

    def set_result(self, value: Any) -> None:
        """Wake the task with a value, unless it has been woken already."""
        if not self._is_done:
            self._is_done = True
            self._value = value
            self._wake(self.task)

    def cancel(self, msg: Any = None) -> bool:
        if self._is_done:
            return False
        self._is_done = self._is_cancelled = True
        self._value = () if msg is None else (msg,)
        self._wake(self.task)
        return True


class VirtualTask(asyncio.Task[T]):
    """A task that a `VirtualLoop` steps itself (in `VirtualLoop._run`).

    asyncio's own tasks sleep and wake by way of a callback, a handle and a call from C into Python each time:
    half of what a simulation costs. This one is an `asyncio.Task` to everybody else: it is cancelled, awaited,
    named and found as those are. Only its steps are its own; what the C task knows of them (what it waits
    for, whether it must be cancelled) stays unused.
    """

    __slots__ = ("_home", "_throw", "alarm", "awaited", "cancelled_by", "context", "in_context", "must_throw", "send")

    def __init__(self, coro: Coroutine[Any, Any, T], loop: Any, **options: Any) -> None:
        super().__init__(coro, loop=loop, **options)
        self._home = loop
        self.context: contextvars.Context = self._without_first_step(loop._ready)
        self.in_context = self.context.run
        self.send: Callable[[None], Any] = coro.send
        self._throw = coro.throw
        self.awaited: Any = None  # what it waits for, if that can be cancelled
        #: The error that has ended it as cancelled: raised for whoever asks first, as asyncio does.
        self.cancelled_by: asyncio.CancelledError | None = None
        self.must_throw = False  # whether it was cancelled while it waited for no such thing
        self.alarm = -1  # the number of the timer that wakes it from VirtualLoop.sleep()
        loop._ready.append(self)

    def _without_first_step(self, ready: deque[Any]) -> contextvars.Context:
        """Take back the first step as a C task, which has just been scheduled; return its context."""
        others = []
        while type(step := ready.pop()) is not Handle or getattr((step[0] or (None,))[0], "__self__", None) is not self:
            others.append(step)  # of a signal that has come between the two, or another thread
        ready.extend(reversed(others))
        return step[1]  # type: ignore[no-any-return]

    def throw(self) -> Any:
        """Let the coroutine go on with the error that tells it of its cancellation."""
        self.must_throw = False
        awaited = self.awaited
        # If what it waits for has been cancelled, too, that came first.
        first = self if awaited is None or not awaited.cancelled() else awaited
        return self.in_context(self._throw, first._make_cancelled_error())

    def end(self, error: BaseException) -> None:
        """Be done, with the value or the error that the coroutine has ended with."""
        if isinstance(error, StopIteration):
            if self.must_throw:  # it was cancelled in its last step
                asyncio.Future.cancel(self, self._cancel_message)  # type: ignore[attr-defined]
            else:
                asyncio.Future.set_result(self, error.value)
        elif isinstance(error, asyncio.CancelledError):
            self.cancelled_by = error
            asyncio.Future.cancel(self)
        else:
            asyncio.Future.set_exception(self, error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise error

    def wait_for(self, awaited: Any) -> None:
        """Go on when a future is done: the loop takes a task for the callback that lets it go on."""
        if getattr(awaited, "_asyncio_future_blocking", None) is not True or awaited is self:
            self._fail(f"Task got bad yield: {awaited!r}")
        elif asyncio.futures._get_loop(awaited) is not self._home:  # type: ignore[attr-defined]
            self._fail(f"Task {self!r} got Future {awaited!r} attached to a different loop")
        else:
            awaited._asyncio_future_blocking = False
            awaited.add_done_callback(self, context=self._home._no_context)
            self.awaited = awaited

    # ---- what has become of it: in C it would not know `cancelled_by` ---------------------------

    def _make_cancelled_error(self) -> asyncio.CancelledError:
        error, self.cancelled_by = self.cancelled_by, None
        if error is not None:
            return error
        return super()._make_cancelled_error()  # type: ignore[misc, no-any-return]

    def result(self) -> T:
        """Return what the coroutine has returned, or raise what has ended it."""
        if self.cancelled_by is not None:
            raise self._make_cancelled_error()
        return super().result()

    def exception(self) -> BaseException | None:
        """Return the error that has ended it, if any; raise that of its cancellation."""
        if self.cancelled_by is not None:
            raise self._make_cancelled_error()
        return super().exception()

    def __await__(self) -> Generator[Any, None, T]:
        if not self.done():
            self._asyncio_future_blocking = True
            yield self
        if not self.done():
            raise RuntimeError("await wasn't used with future")
        return self.result()

    __iter__ = __await__

    def _fail(self, message: str) -> None:
        """Go on with an error at the place where the coroutine waits."""
        send, throw = self.send, self._throw

        def throw_error(_: None) -> Any:
            self.send = send
            return throw(RuntimeError(message))

        self.send = throw_error
        self._home._ready.append(self)

    def cancel(self, msg: Any = None) -> bool:
        """Let the coroutine be thrown a CancelledError, where it waits or in its next step."""
        if not super().cancel(msg):  # which also counts the requests, for uncancel()
            return False
        self.cancel_or_throw(msg)
        return True

    def cancel_or_throw(self, msg: Any) -> None:
        """Cancel what it waits for, which then wakes it; if there is no such thing, see to it in the next step."""
        awaited = self.awaited
        if awaited is not None and awaited.cancel(msg):
            if self._home._sleeping.pop(awaited, None) is not None:
                self._home._ready.append(self)
            return
        self.must_throw = True
        if self.alarm >= 0:
            self.alarm = -1
            self._home._ready.append(self)

    def uncancel(self) -> int:
        """Withdraw a request; from Python 3.13 on, the last one withdrawn is not carried out any more."""
        n_requests = super().uncancel()
        if not self._must_cancel:  # type: ignore[attr-defined]
            self.must_throw = False
        return n_requests


def where(task: asyncio.Task[Any]) -> str:
    """Return the functions that a waiting task stands in, the outermost first."""
    names = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        code = getattr(awaited, "cr_code", None) or getattr(awaited, "gi_code", None)
        if code is None:
            break
        names.append(f"{code.co_name}()")
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return " > ".join(names) or repr(task)


class Handle(list[Any]):
    """A callback in the queue: ``[(callback, *args), context]``; no callback once it is cancelled.

    A list, because nothing that has attributes is made as fast, and one is made for each time that a task
    goes on.
    """

    __slots__ = ()

    def cancel(self) -> None:
        self[:] = None, None  # as asyncio does: free them now

    def cancelled(self) -> bool:
        return self[0] is None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'cancelled' if self.cancelled() else self[0][0]}>"


class TimerHandle(Handle):
    """A callback for a moment. The loop fires it as it does a sleeper's future: by setting its result."""

    __slots__ = ("_loop", "_when")
    __hash__ = object.__hash__  # type: ignore[assignment]  # no list: one of the timers
    _loop: Any
    _when: float

    def when(self) -> float:
        return self._when

    def set_result(self, _: None) -> None:
        if self.cancelled():
            raise asyncio.InvalidStateError("it was cancelled")
        self._loop._ready.append(self)
