"""A live run to its end, from wherever it is asked for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from streamlab.lab.driving import cancel_until
from streamlab.lab.live import LiveEngine
from streamlab.lab.timeline import Progress
from streamlab.lab.worker import new_loop
from streamlab.results.run import Run

T = TypeVar("T")


def run_through(engine: LiveEngine, progress: Progress | None) -> Run:
    """Run an engine to its end."""

    async def run() -> Run:
        async with engine:
            return await engine.run(progress)

    return run_coroutine(run(), lambda: engine.is_closing)


def run_coroutine(
    coroutine: Coroutine[Any, Any, T],
    is_closing: Callable[[], bool],
    make_loop: Callable[[], asyncio.AbstractEventLoop] = new_loop,
) -> T:
    """Run a coroutine to its end on a loop and in a thread of its own.

    A loop may be running in the caller's. And an interrupt comes to the caller's thread: here, it only cancels the
    coroutine, which then tidies up to the end, however often the interrupt is repeated. A cancellation may get lost on
    its way (asyncio's own time-outs swallow one that comes with them): it comes again until `is_closing`.

    The loop is one of precise timers, unless another is asked for: it cannot have more than 1,024 files and sockets.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    loop = make_loop()
    task = loop.create_task(coroutine)

    def work() -> None:
        asyncio.set_event_loop(loop)
        try:
            results.append(loop.run_until_complete(task))
        except BaseException as error:  # handed over to the caller's thread
            errors.append(error)
        finally:
            try:
                loop.run_until_complete(loop.shutdown_asyncgens())
            except BaseException as error:  # the loop is broken
                errors.append(error)
            finally:
                loop.close()
                has_ended.set()

    # Python 3.11 takes a thread for ended whose `join` was interrupted.
    has_ended = threading.Event()
    thread = threading.Thread(target=work, name="streamlab-live")
    try:
        thread.start()
        has_ended.wait()
    except BaseException:  # an interrupt
        cancel_until(has_ended, loop, task, is_closing)
        raise
    finally:
        thread.join()
    if errors:
        raise errors[0]
    return results[0]
