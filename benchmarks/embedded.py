"""Commands on a long pending entries list: what they cost, and whether that grows with the list.

    python benchmarks/embedded.py [--pending N] [--repeats N] [--json]

XACK, XAUTOCLAIM and XPENDING, on the model itself, through the command grammar, on the embedded server through
redis-py, and on fakeredis as shipped; each with a list of N pending entries and with one of a tenth of that. A turn
calls each command a few times everywhere; the table has the quickest of each. For the ratios, PING is taken off a
client's call: what is left is what the command itself costs, its arguments and its reply on their way included.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
from harness import machine

from streamlab.embedded import EmbeddedServer
from streamlab.stream_commands import StreamCommands
from streamlab.stream_model import MAX_ID, MIN_ID, StreamModel

COUNT = 100
IN_A_ROW = 3  # the first call in a turn finds cold caches
COMMANDS = (f"XACK, {COUNT} ids", f"XAUTOCLAIM COUNT {COUNT}", f"XPENDING, {COUNT} entries")
PLACES = ("model", "grammar", "embedded", "fakeredis")
Calls = dict[str, Callable[[], object]]


def model(n_pending: int) -> Calls:
    """Call `StreamModel`'s methods."""
    stream = StreamModel()
    stream.create_group("g", MIN_ID, None)
    for number in range(1, n_pending + 1):
        stream.add(("f", "1"), 0, (number, 1))
    stream.read_group("g", "c", 0, n_pending)
    now_ms = itertools.count(1)
    acked = _again_and_again(n_pending)
    return dict(
        zip(
            COMMANDS,
            (
                lambda: stream.ack("g", [(next(acked), 1) for _ in range(COUNT)]),
                lambda: stream.autoclaim("g", "d", 0, MIN_ID, next(now_ms), COUNT),
                lambda: stream.pending("g", next(now_ms), MIN_ID, MAX_ID, COUNT),
            ),
            strict=True,
        )
    )


def grammar(n_pending: int) -> Calls:
    """Give `StreamCommands` the words."""
    commands = StreamCommands()
    commands.execute(["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"], 0)
    for number in range(1, n_pending + 1):
        commands.execute(["XADD", "s", f"{number}-1", "f", "1"], 0)
    commands.execute(f"XREADGROUP GROUP g c COUNT {n_pending} STREAMS s >".split(), 0)
    now_ms = itertools.count(1)
    acked = _again_and_again(n_pending)

    def ack() -> object:
        ids = [f"{next(acked)}-1" for _ in range(COUNT)]
        return commands.execute(["XACK", "s", "g", *ids], next(now_ms))

    claim = ["XAUTOCLAIM", "s", "g", "d", "0", "0", "COUNT", str(COUNT)]
    pending = ["XPENDING", "s", "g", "-", "+", str(COUNT)]
    return dict(
        zip(
            COMMANDS,
            (
                ack,
                lambda: commands.execute(claim, next(now_ms)),
                lambda: commands.execute(pending, next(now_ms)),
            ),
            strict=True,
        )
    )


def through_redis_py(client: Any, n_pending: int) -> Calls:
    """Call redis-py's methods; PING is what a call costs that does nothing."""
    client.xgroup_create("s", "g", mkstream=True)
    for first in range(1, n_pending + 1, 1000):
        pipeline = client.pipeline(transaction=False)
        for number in range(first, min(first + 1000, n_pending + 1)):
            pipeline.xadd("s", {"f": "1"}, id=f"{number}-1")
        pipeline.execute()
    client.xreadgroup("g", "c", {"s": ">"}, count=n_pending)
    acked = _again_and_again(n_pending)
    calls: Calls = dict(
        zip(
            COMMANDS,
            (
                lambda: client.xack("s", "g", *[f"{next(acked)}-1" for _ in range(COUNT)]),
                lambda: client.xautoclaim("s", "g", "d", 0, count=COUNT),
                lambda: client.xpending_range("s", "g", "-", "+", COUNT),
            ),
            strict=True,
        )
    )
    return {"PING": client.ping, **calls}


def _again_and_again(n_pending: int) -> Iterator[int]:
    """Give numbers of entries from the upper half, so that the lower one stays pending."""
    return itertools.cycle(range(n_pending // 2, n_pending + 1))


def places(n_pending: int) -> dict[str, Calls]:
    """Make each place, with so many entries pending."""
    shipped = fakeredis.FakeRedis(
        server=fakeredis.FakeServer(version=(7, 0, 15)), decode_responses=True, protocol=2
    )
    return {
        "model": model(n_pending),
        "grammar": grammar(n_pending),
        "embedded": through_redis_py(EmbeddedServer().client(), n_pending),
        "fakeredis": through_redis_py(shipped, n_pending),
    }


def measure(n_pending: int, repeats: int) -> dict[str, dict[str, float]]:
    """Return the least that each command cost in each place, in microseconds."""
    everywhere = places(n_pending)
    repeats = min(
        repeats, n_pending // 2 // COUNT // IN_A_ROW
    )  # there must be something to acknowledge
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(repeats):
        for place, calls in everywhere.items():
            for command, call in [*calls.items()] * IN_A_ROW:
                started = time.perf_counter()
                call()
                seconds.setdefault((place, command), []).append(time.perf_counter() - started)
    medians: dict[str, dict[str, float]] = {}
    for (place, command), values in seconds.items():
        medians.setdefault(command, {})[place] = min(values) * 1e6
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pending", type=int, default=20_000, help="entries (%(default)s)")
    parser.add_argument("--repeats", type=int, default=50, help="turns (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    sizes = (max(options.pending // 10, 2 * COUNT * IN_A_ROW), options.pending)
    few, many = (measure(size, options.repeats) for size in sizes)
    if options.json:
        print(json.dumps({"machine": machine(), "pending": sizes, "microseconds": [few, many]}))
        return
    print(f"{machine()}; {sizes[1]:,} pending entries, microseconds a call\n")
    header = ["what", *PLACES, "embedded ÷ model", "÷ grammar", f"÷ with {sizes[0]:,}"]
    print(f"| {' | '.join(header)} |")
    print("|---" + "|--:" * (len(header) - 1) + "|")
    ping = many["PING"]["embedded"]
    for command, costs in many.items():
        cells = [f"{costs[place]:,.0f}" if place in costs else "" for place in PLACES]
        for place in ("model", "grammar"):
            own = (costs["embedded"] - ping) / costs[place] if place in costs else None
            cells.append("" if own is None else f"{own:.1f}")
        cells.append(f"{costs['embedded'] / few[command]['embedded']:.1f}")
        print(f"| {' | '.join([command, *cells])} |")


if __name__ == "__main__":
    main()
