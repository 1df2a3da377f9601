"""What the tests of the embedded server share."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Coroutine
from typing import Any

from streamlab.servers.embedded import EmbeddedServer
from tests.conftest import Eventually

PATIENCE = 20.0  # seconds after which a test fails that would hang
READ = ["XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "BLOCK", "0", "STREAMS", "s", ">"]


def path_of(server: EmbeddedServer) -> str:
    return server.url.removeprefix("unix://")


def held() -> tuple[int, int]:
    """Return how many handles and threads this process has."""
    gc.collect()  # what earlier tests have left is not ours
    handles = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    return handles, threading.active_count()


def assert_nothing_left(before: tuple[int, int]) -> None:
    """Check that there are no more handles and threads than before; what earlier tests have left may go meanwhile."""
    handles, threads = held()
    assert handles <= before[0]
    assert threads <= before[1]


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine, and fail rather than wait for ever."""
    asyncio.run(asyncio.wait_for(coroutine, 20))


async def blocked(server: EmbeddedServer, n: int) -> None:
    """Wait until so many clients are blocked."""
    async with asyncio.timeout(5):
        while server._server.n_blocked != n:
            await asyncio.sleep(0.001)


def until_blocked(server: EmbeddedServer, n: int, eventually: Eventually) -> None:
    eventually(lambda: server._server.n_blocked == n, f"{n} clients should be blocked")
