"""Commands on a long pending entries list: what they cost, and whether that grows with the list.

    python benchmarks/embedded.py [--pending N] [--repeats N] [--json]

XACK, XAUTOCLAIM and XPENDING, on the model itself, through the command grammar, on the embedded server through
redis-py, and on fakeredis as shipped; each with a list of N pending entries and with one of a tenth of that. A turn
calls each command a few times everywhere; the table has the quickest of each.

*redis-py* is the client without a server: it packs the command, is given the reply at once, and shapes it. No server
can do anything about that. So the embedded server's own share is what a call costs beyond it: to parse the command,
the model's work, to build the reply and hand it over. The first ratio compares that with the model; the second one
compares the whole call but for what a PING costs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import redis
from harness import machine

from streamlab import EmbeddedServer, StreamModel
from streamlab.model import MAX_ID, MIN_ID
from streamlab.model.commands import StreamCommands

COUNT = 100
IN_A_ROW = 10  # the first call in a turn finds cold caches
COMMANDS = (f"XACK, {COUNT} ids", f"XAUTOCLAIM COUNT {COUNT}", f"XPENDING, {COUNT} entries")
PLACES = ("model", "grammar", "redis-py", "embedded", "fakeredis")
CLAIM = ["XAUTOCLAIM", "s", "g", "d", "0", "0", "COUNT", str(COUNT)]
PENDING = ["XPENDING", "s", "g", "-", "+", str(COUNT)]
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
    commands = _commands(n_pending)
    now_ms = itertools.count(1)
    acked = _again_and_again(n_pending)

    def ack() -> object:
        ids = [f"{next(acked)}-1" for _ in range(COUNT)]
        return commands.execute(["XACK", "s", "g", *ids], next(now_ms))

    return dict(
        zip(
            COMMANDS,
            (ack, lambda: commands.execute(CLAIM, next(now_ms)), lambda: commands.execute(PENDING, next(now_ms))),
            strict=True,
        )
    )


def _commands(n_pending: int) -> StreamCommands:
    commands = StreamCommands()
    commands.execute(["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"], 0)
    for number in range(1, n_pending + 1):
        commands.execute(["XADD", "s", f"{number}-1", "f", "1"], 0)
    commands.execute(f"XREADGROUP GROUP g c COUNT {n_pending} STREAMS s >".split(), 0)
    return commands


class NoServer(redis.Connection):
    """A connection whose commands are packed and go nowhere; the reply lies ready, read and decoded."""

    reply: Any = None

    def connect(self) -> None:
        self._sock = self

    def disconnect(self, *args: Any, **kwargs: Any) -> None:
        self._sock = None

    def can_read(self, *args: Any, **kwargs: Any) -> bool:
        return False

    def sendall(self, data: bytes) -> None:
        pass

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        reply = NoServer.reply
        return reply.copy() if type(reply) is list else reply  # redis-py writes into some


def redis_py_alone(n_pending: int) -> Calls:
    """Call redis-py's methods, with the replies that there would be."""
    commands = _commands(n_pending)
    pool = redis.ConnectionPool(connection_class=NoServer, protocol=2, decode_responses=True)
    replies = dict(
        zip(("PING", *COMMANDS), ("PONG", COUNT, commands.execute(CLAIM, 1), commands.execute(PENDING, 1)), strict=True)
    )

    def given(reply: Any, call: Callable[[], object]) -> Callable[[], object]:
        def with_reply() -> object:
            NoServer.reply = reply
            return call()

        return with_reply

    calls = _calls(redis.Redis.from_pool(pool), n_pending)
    return {command: given(replies[command], call) for command, call in calls.items()}


def through_redis_py(client: Any, n_pending: int) -> Calls:
    """Call redis-py's methods on a server."""
    client.xgroup_create("s", "g", mkstream=True)
    for first in range(1, n_pending + 1, 1000):
        pipeline = client.pipeline(transaction=False)
        for number in range(first, min(first + 1000, n_pending + 1)):
            pipeline.xadd("s", {"f": "1"}, id=f"{number}-1")
        pipeline.execute()
    client.xreadgroup("g", "c", {"s": ">"}, count=n_pending)
    return _calls(client, n_pending)


def _calls(client: Any, n_pending: int) -> Calls:
    """Return what is called; PING is what a call costs that does nothing."""
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
    shipped = fakeredis.FakeRedis(server=fakeredis.FakeServer(version=(7, 0, 15)), decode_responses=True, protocol=2)
    return {
        "model": model(n_pending),
        "grammar": grammar(n_pending),
        "redis-py": redis_py_alone(n_pending),
        "embedded": through_redis_py(EmbeddedServer().client(), n_pending),
        "fakeredis": through_redis_py(shipped, n_pending),
    }


def measure(n_pending: int, repeats: int) -> dict[str, dict[str, float]]:
    """Return the least that each command cost in each place, in microseconds."""
    everywhere = places(n_pending)
    # There must be something to acknowledge.
    repeats = min(repeats, n_pending // 2 // COUNT // IN_A_ROW)
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(repeats):
        for place, calls in everywhere.items():
            for command, call in calls.items():
                for _ in range(IN_A_ROW):
                    started = time.perf_counter()
                    call()
                    seconds.setdefault((place, command), []).append(time.perf_counter() - started)
    least: dict[str, dict[str, float]] = {}
    for (place, command), values in seconds.items():
        least.setdefault(command, {})[place] = min(values) * 1e6
    return least


def ratios(costs: dict[str, float], ping: dict[str, float], fewer: dict[str, float]) -> list[float]:
    """Return the ratios of a command: own share ÷ model, whole call but a PING ÷ model, own share ÷ with fewer."""
    own, own_of_fewer = (each["embedded"] - each["redis-py"] for each in (costs, fewer))
    but_ping = costs["embedded"] - ping["embedded"]
    return [own / costs["model"], but_ping / costs["model"], own / own_of_fewer]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pending", type=int, default=20_000, help="entries (%(default)s)")
    parser.add_argument("--repeats", type=int, default=50, help="turns (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    least = 2 * COUNT * IN_A_ROW  # or there is too little to acknowledge
    if options.pending < least:
        parser.error(f"--pending must be {least:,} at least")
    sizes = (max(options.pending // 10, least), options.pending)
    few, many = (measure(size, options.repeats) for size in sizes)
    if options.json:
        found = {each: ratios(many[each], many["PING"], few[each]) for each in COMMANDS}
        print(
            json.dumps(
                {
                    "machine": machine(),
                    "pending": sizes,
                    "microseconds": [few, many],
                    "own_by_model": {each: found[each][0] for each in COMMANDS},
                    "call_without_ping_by_model": {each: found[each][1] for each in COMMANDS},
                    "own_by_own_with_fewer": {each: found[each][2] for each in COMMANDS},
                }
            )
        )
        return
    print(f"{machine()}; {sizes[1]:,} pending entries, microseconds a call\n")
    header = ["what", *PLACES, "embedded's own", "÷ model", "call − PING ÷ model"]
    header.append(f"own ÷ own with {sizes[0]:,}")
    print(f"| {' | '.join(header)} |")
    print("|---" + "|--:" * (len(header) - 1) + "|")
    for command, costs in many.items():
        cells = [f"{costs[place]:,.0f}" if place in costs else "" for place in PLACES]
        cells.append(f"{costs['embedded'] - costs['redis-py']:,.0f}")
        if command in COMMANDS:
            cells += [f"{ratio:.1f}" for ratio in ratios(costs, many["PING"], few[command])]
        else:
            cells += [""] * 3
        print(f"| {' | '.join([command, *cells])} |")


if __name__ == "__main__":
    main()
