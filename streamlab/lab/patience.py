"""Waiting for what may never answer, with an end to it."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from streamlab.actors.trouble import Patience, passes

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")


async def within(limit: float, step: Coroutine[Any, Any, T]) -> T:
    """Do something, for at most `limit` seconds; raise `TimeoutError` then. A cancellation ends it at once.

    Unlike with `asyncio.timeout`, one cancellation more is no way out: redis-py answers the first with a command of its
    own (``UNWATCH``), for which a server that hangs lets it wait as well.
    """
    doing = asyncio.ensure_future(step)
    try:
        await asyncio.wait([doing], timeout=limit)
        if doing.done():
            return doing.result()
    finally:
        await _end(doing)
    raise TimeoutError("it does not answer")


async def to_its_end(
    step: Coroutine[Any, Any, T], limit: float = math.inf, *, if_cancelled: Callable[[], object] | None = None
) -> T:
    """Do something that must not be torn: if it is cancelled, let it go on for at most `limit` seconds.

    `if_cancelled` is called then, to have it end sooner.
    """
    doing = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        if if_cancelled is not None:
            if_cancelled()
        await _wait(doing, limit)
        await _end(doing)
        raise


async def answered(question: Callable[[], Awaitable[T]], client: Redis, seconds: float) -> T:
    """Ask a server until it answers, and wait out what passes for so many seconds: another may take its place."""
    tries = Patience(seconds, client)
    while True:
        try:
            return await question()
        except Exception as error:
            if not passes(error):
                raise
            reason = error
        await tries.wait(reason)


async def _end(task: asyncio.Future[T]) -> None:
    """Cancel a task until it has ended."""
    while not task.done():
        task.cancel()
        await _wait(task, 0.1)
    if not task.cancelled():
        task.exception()  # has been seen: it is no news any more


async def _wait(task: asyncio.Future[T], limit: float) -> None:
    """Wait for a task for at most `limit` seconds; not for a shorter time if this is cancelled meanwhile."""
    deadline = asyncio.get_running_loop().time() + limit
    while not task.done() and (left := deadline - asyncio.get_running_loop().time()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=left)
