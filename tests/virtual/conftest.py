"""What the tests of virtual time are given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamlab.virtual.loop import VirtualLoop
from streamlab.virtual.redis import SimulatedServer


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.fixture
def server(loop: VirtualLoop) -> SimulatedServer:
    return SimulatedServer(loop=loop, epoch_ms=0)
