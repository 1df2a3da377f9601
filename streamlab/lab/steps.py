"""What a simulation asks of Python while it takes its steps."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import signal
from collections.abc import Callable, Iterator
from functools import partial

from streamlab.servers.stopping import interrupting
from streamlab.virtual.loop import VirtualLoop


@contextlib.contextmanager
def interrupted_between_steps(loop: VirtualLoop) -> Iterator[None]:
    """Let Ctrl-C and its like come between two steps of a simulation, where they tear nothing; a second one at once."""
    handlers = interrupting()
    if not handlers:
        yield
        return
    noted: list[tuple[asyncio.Handle, Callable[[], object]]] = []

    def as_before() -> None:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)

    def note(signum: int, _: object) -> None:
        as_before()
        interrupt = partial(handlers[signum], signum, None)
        noted.append((loop.call_soon(interrupt, context=contextvars.Context()), interrupt))

    for signum in handlers:
        signal.signal(signum, note)
    try:
        yield
    finally:
        as_before()
    for handle, interrupt in noted:  # it came in the last step
        handle.cancel()
        interrupt()
