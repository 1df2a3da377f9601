"""Those who wait for an element of a list or a sorted set: BLPOP and its like, first come, first served."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fakeredis._helpers import SimpleError

from streamlab.model.commands import CommandError
from streamlab.servers.embedded.blocked import Blocked


class BlockedPop(Blocked):
    """A blocked BLPOP or the like.

    ``attempt`` takes what is waited for and returns it, or None if it is not there; ``timeout`` is in seconds.
    """

    def __init__(self, queue: Pops, attempt: Callable[[], Any], timeout: float | None, command: str) -> None:
        super().__init__(command, math.ceil((timeout or 0) * 1000))
        self.attempt = attempt
        self._queue = queue
        queue.waiting[self] = None

    def cancel(self) -> None:
        self._queue.waiting.pop(self, None)


class Pops:
    """Those who wait at one database, in the order in which they came; used with the server's lock held."""

    def __init__(self) -> None:
        self.waiting: dict[BlockedPop, None] = {}
        self.has_changed = False
        """Whether a key has changed since they were last looked at."""

    def serve(self) -> None:
        """Give what there is to those who wait for it; what one of them moves may be for another."""
        while self.has_changed:
            self.has_changed = False
            for pop in [*self.waiting]:
                if pop in self.waiting:  # not cancelled meanwhile
                    _try(pop)


def _try(pop: BlockedPop) -> None:
    try:
        found = pop.attempt()
    except SimpleError as error:
        found = CommandError(error.value)
    if found is not None:
        pop.cancel()
        pop.end(found)
