"""What a command and a timer cost on this machine.

A simulation in which both cost nothing is right about the order of things and too fast by a fraction of a
millisecond an entry. Charged with what was measured, it can be compared with a real run.
"""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass

from streamlab.connection import stream_client
from streamlab.servers import PrivateServer

#: How often each is measured: enough for a steady median, done in about a second.
_ROUNDS = 200
#: Seconds between two measurements, so that the processor rests in between as it does in a run.
_PAUSE = 0.003


@dataclass(frozen=True, slots=True)
class Overheads:
    """Seconds that a command takes (`round_trip`), and that a timer is late (`timer_delay`)."""

    round_trip: float = 0.0
    timer_delay: float = 0.0

    def __str__(self) -> str:
        return f"round trip {self.round_trip * 1000:.2f} ms, timers {self.timer_delay * 1000:.2f} ms late"


async def measure_overheads(redis_url: str | None = None) -> Overheads:
    """Measure both, as medians, against a server (None: a private one, started for it)."""
    if redis_url is None:
        with PrivateServer() as server:
            return await _measure(server.url)
    return await _measure(redis_url)


async def _measure(url: str) -> Overheads:
    loop = asyncio.get_running_loop()
    client = stream_client(url, name="streamlab-overheads")
    round_trips, delays = [], []
    try:
        await client.ping()
        for _ in range(_ROUNDS):
            began = loop.time()
            await asyncio.sleep(_PAUSE)
            woke = loop.time()
            await client.ping()
            delays.append(woke - began - _PAUSE)
            round_trips.append(loop.time() - woke)
    finally:
        await client.aclose()
    return Overheads(statistics.median(round_trips), statistics.median(delays))
