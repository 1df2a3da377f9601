"""What every worker of `libraries.py` is told, and what it does with an order: wait a little, and write a line.

The line is the effect. It goes to a file, by one write, so that of a process that dies it is there or it is not; and no
library is asked what it does about a handler that fails because Redis is away.
"""

import asyncio
import os
import time

URL, STREAM, GROUP, CONSUMER = (os.environ[name] for name in ("REDIS_URL", "STREAM", "GROUP", "CONSUMER"))
#: Seconds after which an entry may be taken from whoever has it.
MIN_IDLE = float(os.environ["MIN_IDLE"])
MIN_IDLE_MS = round(MIN_IDLE * 1000)
_SERVICE = 0.004

_effects = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def _have_effect(order: str) -> None:
    os.write(_effects, f"{order}\n".encode())


def book(order: str) -> None:
    """Handle an order."""
    time.sleep(_SERVICE)
    _have_effect(order)


async def book_async(order: str) -> None:
    """Handle an order."""
    await asyncio.sleep(_SERVICE)
    _have_effect(order)
