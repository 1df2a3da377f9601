"""What asyncio asks of any event loop: to be the running one, tasks, failed callbacks, asynchronous generators.

Nothing in here knows what time it is: see `streamlab.virtual.loop`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import sys
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, TypeVarTuple, Unpack

from streamlab.virtual.task import VirtualTask

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
#: What is told of an error that nobody was there to take.
ExceptionHandler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]

#: What asyncio says of a task that is dropped before it is done.
_DESTROYED = "Task was destroyed but it is pending!"

logger = logging.getLogger(__name__)


#: Python 3.12 and later note the current task per thread (by loop until 3.13, by thread alone from 3.14
#: on), and offer this function to put it aside; Python 3.11 keeps it by loop and needs nothing.
_swap_current_task = getattr(asyncio.tasks, "_swap_current_task", None)

#: Note which task of a loop is in its step.
set_current_task: Callable[[Any, Any], Any] = (
    _swap_current_task or asyncio.tasks._current_tasks.__setitem__  # type: ignore[attr-defined]
)


def no_current_task(loop: Any) -> None:
    """Note that no task of a loop is in its step."""
    if _swap_current_task is None:
        asyncio.tasks._current_tasks.pop(loop, None)  # type: ignore[attr-defined]
        return
    try:
        _swap_current_task(loop, None)
    except KeyError:  # there was none, says Python 3.12.1
        return


if TYPE_CHECKING:
    # For type checkers every method of AbstractEventLoop has to be overridden. At run time those that are
    # not (sockets, signals, subprocesses: nothing for virtual time) raise NotImplementedError.
    _EventLoop = asyncio.BaseEventLoop
else:
    _EventLoop = asyncio.AbstractEventLoop


class TaskLoop(_EventLoop):
    """An event loop that `VirtualLoop` adds a clock to."""

    def __init__(self) -> None:
        self._running = False
        self._closed = False
        #: A method would do; this spares a call for everything that anybody awaits.
        self.create_future = functools.partial(asyncio.Future, loop=self)  # type: ignore[method-assign]
        self._exception_handler: ExceptionHandler | None = None
        self._task_factory: Any = None
        #: Asynchronous generators that have begun, in this order.
        self._asyncgens: weakref.WeakKeyDictionary[AsyncGenerator[Any, Any], None] = weakref.WeakKeyDictionary()

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        """Make this the running loop; put aside the loop and the task that are running, if any."""
        if self._running:
            raise RuntimeError("this virtual loop is running already: await, do not run it again")
        outer = asyncio._get_running_loop()
        outer_task = None
        if outer is not None and _swap_current_task is not None:
            outer_task = _swap_current_task(outer, None)
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._note_asyncgen, finalizer=self._close_asyncgen)
        asyncio._set_running_loop(self)
        self._running = True
        try:
            yield
        finally:
            self._running = False
            no_current_task(self)
            asyncio._set_running_loop(outer)
            sys.set_asyncgen_hooks(*hooks)
            if outer is not None and _swap_current_task is not None:
                _swap_current_task(outer, outer_task)

    # ---- futures and tasks ---------------------------------------------------------------------

    def create_task(  # type: ignore[override]  # typeshed's parameters differ by Python version
        self, coro: Coroutine[Any, Any, T], **options: Any
    ) -> asyncio.Task[T]:
        self._check_closed()
        if self._task_factory is not None:
            task: asyncio.Task[T] = self._task_factory(self, coro, **options)
            return task
        if options.get("eager_start"):  # its first step is not for the loop to take
            return asyncio.Task(coro, loop=self, **options)
        return VirtualTask(coro, self, **options)

    def set_task_factory(self, factory: Any) -> None:
        self._task_factory = factory

    def get_task_factory(self) -> Any:
        return self._task_factory

    # ---- errors, state, closing ----------------------------------------------------------------

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._running and context.get("message") == _DESTROYED:
            return  # somebody dropped a simulation halfway: nothing is wrong with that
        if self._exception_handler is not None:
            self._exception_handler(self, context)
        else:
            self.default_exception_handler(context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        logger.error(context.get("message", "Unhandled exception"), exc_info=context.get("exception"))

    def set_exception_handler(
        self, handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None
    ) -> None:
        self._exception_handler = handler

    def get_exception_handler(self) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None:
        return self._exception_handler

    get_debug = bool  # it is off; every future asks, and a type that is called is faster than a method

    def set_debug(self, enabled: bool) -> None:
        """Do nothing: debug mode looks for slow callbacks, and here no callback takes any time."""

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def _check_closed(self) -> None:
        if self._closed:
            raise RuntimeError("Event loop is closed")

    def _note_asyncgen(self, agen: AsyncGenerator[Any, Any]) -> None:
        self._asyncgens[agen] = None

    def _close_asyncgen(self, agen: AsyncGenerator[Any, Any]) -> None:
        self._asyncgens.pop(agen, None)
        if not self._closed:
            self.call_soon(self._begin_closing, agen)  # as asyncio does: a turn later

    def _begin_closing(self, agen: AsyncGenerator[Any, Any]) -> None:
        self.create_task(agen.aclose())

    async def shutdown_asyncgens(self) -> None:
        """Close every asynchronous generator that is still open."""
        open_ones = list(self._asyncgens)
        self._asyncgens.clear()
        closing = [agen.aclose() for agen in open_ones]
        results = await asyncio.gather(*closing, return_exceptions=True)
        for agen, result in zip(open_ones, results, strict=True):
            if isinstance(result, Exception):
                message = f"an error occurred during closing of asynchronous generator {agen!r}"
                self.call_exception_handler({"message": message, "exception": result, "asyncgen": agen})

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Do nothing: there are no threads in virtual time."""

    def run_in_executor(self, executor: Any, func: Callable[[Unpack[Ts]], T], *args: *Ts) -> NoReturn:
        """Refuse: a thread would run in real time."""
        raise RuntimeError(
            f"{getattr(func, '__name__', func)!r} cannot run in a thread on a virtual loop: threads take real "
            "time. Call it directly, or run this scenario on the live engine."
        )
