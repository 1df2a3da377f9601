"""A worker process: one producer or consumer of a scenario, on a real Redis.

Run by the live engine as ``python -m streamlab worker``. It talks over its standard streams, a line of
JSON each: in comes its task, then (once it has said ``{"ready": …}``) the time to begin; out go its
events. SIGTERM lets it finish what it holds.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import selectors
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import redis.exceptions
from redis.asyncio import Redis

from streamlab.actors import consume, produce
from streamlab.connection import redact, stream_client
from streamlab.events import Event, Report
from streamlab.job import Job
from streamlab.named_scenarios import from_dict
from streamlab.scenario import Producer, Scenario

#: A worker looks up from a blocking read at least this often, to see whether it is to stop; in seconds.
LONGEST_BLOCK = 1.0


#: The line by which a worker says that it is connected and waits for the time to begin.
READY = '{"ready": true}'


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is to do: play the actor `name` of a scenario, on the server at `url`."""

    name: str
    url: str
    scenario: Scenario

    @classmethod
    def from_json(cls, line: str) -> Task:
        """Read a task; the lab wrote it."""
        row = json.loads(line)
        return cls(row["name"], row["url"], from_dict(row["scenario"]))


def new_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop with precise timers.

    asyncio's own choice, epoll, rounds a wait up to whole milliseconds: a service of 4 ms would take 5.
    """
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def main() -> int:
    """Do the task that comes on standard input; return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the lab, which ends its workers
    line = sys.stdin.readline()
    if not line.startswith("{"):
        print(
            "streamlab worker is started by the lab, which writes its task to standard input: "
            "you may want `streamlab run --engine live`",
            file=sys.stderr,
        )
        return 2
    task = Task.from_json(line)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        try:
            runner.run(_work(task))
        except redis.exceptions.RedisError as error:
            print(f"{type(error).__name__} from {redact(task.url)}: {error}", file=sys.stderr)
            return 1
    return 0


async def _work(task: Task) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    scenario = task.scenario
    client = stream_client(task.url, name=f"streamlab-{task.name}")

    def report(
        kind: str, actor: str, id: str = "", delivery_count: int = 0, at: float | None = None
    ) -> None:
        event = Event(loop.time() if at is None else at, kind, actor, id, delivery_count)
        # Unbuffered: what has happened is known even if the next thing that happens is SIGKILL.
        os.write(1, event.to_json().encode() + b"\n")

    try:
        await client.ping()
        act = _actor(client, scenario, task.name, stop, report)
        os.write(1, f"{READY}\n".encode())
        begin = json.loads(await asyncio.to_thread(sys.stdin.readline) or "null")
        if begin is not None:  # None: the lab has gone
            await act(begin)
    finally:
        await client.aclose()


def _actor(
    client: Redis, scenario: Scenario, name: str, stop: asyncio.Event, report: Report
) -> Callable[[float], Awaitable[int]]:
    """Return what the actor of this name does once it is told when to begin, all else being prepared."""
    for producer in scenario.producers:
        if producer.name == name:
            return _producing(client, scenario, producer, stop, report)
    for consumer in scenario.consumers:
        if consumer.name == name:
            job = Job(scenario, consumer, scenario.rng(name), _die)
            return lambda _: consume(
                client,
                scenario.stream,
                scenario.group,
                name,
                job.handler(scenario.effect(client)),
                count=consumer.count,
                block=min(consumer.block or LONGEST_BLOCK, LONGEST_BLOCK),
                ack=consumer.ack,
                recovery=scenario.recovery,
                stop=stop,
                report=job.report(report),
            )
    raise ValueError(f"{scenario.name} has no actor {name!r}")


def _die() -> None:
    """End this process where it stands."""
    os.kill(os.getpid(), signal.SIGKILL)


def _producing(
    client: Redis, scenario: Scenario, producer: Producer, stop: asyncio.Event, report: Report
) -> Callable[[float], Awaitable[int]]:
    arrivals = iter(scenario.arrivals(producer))
    # A replay reads its source before the first entry comes out: now, and not when time runs.
    first = list(itertools.islice(arrivals, 1))

    def begin_at(begin: float) -> Awaitable[int]:
        # All producers count from the same moment, however late each was told of it.
        late = asyncio.get_running_loop().time() - begin
        return produce(
            client,
            scenario.stream,
            ((at - late, fields) for at, fields in itertools.chain(first, arrivals)),
            name=producer.name,
            maxlen=scenario.maxlen,
            stop=stop,
            report=report,
        )

    return begin_at
