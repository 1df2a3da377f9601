"""A worker process: one producer or consumer of a scenario, on a real Redis.

Started by the live engine. It talks over its standard streams, a line of JSON each: in comes its task, then (once
it has said ``{"ready": …}``) the time to begin, and orders; out go its events. Whatever else is printed goes to
the error output. SIGTERM lets it finish what it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import selectors
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import redis.exceptions
from redis.asyncio import Redis

from streamlab.actors import Advice, Recovery, consume, produce
from streamlab.connection import redact, stream_client
from streamlab.events import CRASHED, PAUSED, Event, Report
from streamlab.job import InjectedError, Job, Pace, paced, told_by_events
from streamlab.named_scenarios import from_dict
from streamlab.scenario import Consumer, Producer, Scenario

#: A worker looks up from a blocking read at least this often, to see whether it is to stop; in seconds.
LONGEST_BLOCK = 1.0


#: The line by which a worker says that it is connected and waits for the time to begin.
READY = '{"ready": true}'


#: Seconds for which a worker goes on trying to reach a server that is down.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is to do: play the actor `name` of a scenario, on the server at `url`.

    `life` is 1 at first, and one more each time that it is started again; `n_handled` is how many entries
    it has begun in earlier ones.
    """

    name: str
    url: str
    scenario: Scenario
    life: int = 1
    n_handled: int = 0

    @classmethod
    def from_json(cls, line: str) -> Task:
        """Read a task; the lab wrote it."""
        row = json.loads(line)
        scenario = from_dict(row["scenario"])
        return cls(row["name"], row["url"], scenario, row["life"], row["n_handled"])


def new_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop with precise timers.

    asyncio's own choice, epoll, rounds a wait up to whole milliseconds: a service of 4 ms would take 5.
    """
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def main() -> int:
    """Do the task that comes on standard input; return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the lab, which ends its workers
    events = _keep_for_events()
    orders = _Orders()
    line = orders.wait()
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
            runner.run(_work(task, orders, events))
        except redis.exceptions.RedisError as error:
            print(f"{type(error).__name__} from {redact(task.url)}: {error}", file=sys.stderr)
            return 1
    return 0


def _keep_for_events() -> int:
    """Keep the standard output for events: return a handle of its own, and let all else go to the error output."""
    events = os.dup(1)
    os.dup2(2, 1)
    return events


class _Orders:
    """What the lab writes to standard input, line by line.

    Not by way of ``sys.stdin``: a thread that waits there would hold up the end of the process.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[str] = []

    def wait(self) -> str:
        """Return the next line; "" at the end."""
        while not self._lines and self._read():
            pass
        return self._lines.pop(0) if self._lines else ""

    def listen(self, obey: Callable[[str], None]) -> None:
        """Hand over every line that comes from now on."""
        loop = asyncio.get_running_loop()

        def take() -> None:
            if not self._read():
                loop.remove_reader(0)  # the lab has gone, and so will we: our guard sees to it
                self._lines.append("")
            while self._lines:
                obey(self._lines.pop(0))

        loop.add_reader(0, take)

    def _read(self) -> bool:
        data = os.read(0, 1 << 16)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines += [line.decode() for line in lines]
        return bool(data)


class _Play:
    """What can still be changed while an actor plays."""

    def __init__(self) -> None:
        self.job: Job | None = None
        #: By how much arrivals are faster than planned.
        self.pace = Pace()
        self.advice = Advice()
        #: Ends a read that the actor waits in.
        self.unblock: Callable[[], object] = bool

    def obey(self, order: dict[str, Any]) -> None:
        if self.job is not None and "slowness" in order:
            self.job.slowness = order["slowness"]
        if self.job is not None and "service" in order:
            self.job.set_service(order["service"])
        self.pace.factor = order.get("pace", self.pace.factor)
        if "nudge" in order:
            self.advice.look_again()
            self.unblock()
        if "recovery" in order:
            self.advice.recover(Recovery(**order["recovery"]))
            self.unblock()


async def _work(task: Task, orders: _Orders, events: int) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    begin: asyncio.Future[float | None] = loop.create_future()
    play = _Play()

    def obey(line: str) -> None:
        message = json.loads(line or "null")
        if isinstance(message, dict):
            play.obey(message)
        elif not begin.done():
            begin.set_result(message)

    orders.listen(obey)
    client = stream_client(task.url, name=f"streamlab-{task.name}")
    errand: asyncio.Task[None] | None = None
    is_asked_again = False

    async def unblock_until_heard() -> None:
        nonlocal is_asked_again
        while is_asked_again:
            is_asked_again = False
            await _unblock(client, f"streamlab-{task.name}")

    def unblock() -> None:
        # One errand at a time: after a pause, hundreds of orders may come at once.
        nonlocal errand, is_asked_again
        is_asked_again = True
        if errand is None or errand.done():
            errand = loop.create_task(unblock_until_heard())

    play.unblock = unblock

    def report(
        kind: str, actor: str, id: str = "", delivery_count: int = 0, at: float | None = None
    ) -> None:
        event = Event(loop.time() if at is None else at, kind, actor, id, delivery_count)
        # Unbuffered: what has happened is known even if the next thing that happens is SIGKILL.
        os.write(events, event.to_json().encode() + b"\n")

    def die() -> None:
        """End this process where it stands."""
        report(CRASHED, task.name)
        os.kill(os.getpid(), signal.SIGKILL)

    def pause(duration: float) -> None:
        """Stand still, until the lab wakes this process: it knows for how long."""
        report(PAUSED, task.name)
        os.kill(os.getpid(), signal.SIGSTOP)

    try:
        if task.life == 1:  # later the server may be down, and is waited for
            await client.ping()
        act = _actor(client, task, stop, report, die, pause, play)
        os.write(events, f"{READY}\n".encode())
        at = await begin
        if at is not None:  # None: the lab has gone
            await act(at)
    except InjectedError:
        die()
    finally:
        await client.aclose()


async def _unblock(client: Redis, name: str) -> None:
    """End the reads that this worker waits in, as if their time were over (``CLIENT UNBLOCK``).

    If that cannot be done, they end by themselves: see `LONGEST_BLOCK`.
    """
    with contextlib.suppress(redis.exceptions.ConnectionError):
        for row in await client.client_list():
            if row["name"] == name and "b" in row["flags"]:
                await client.client_unblock(int(row["id"]))


Act = Callable[[float], Awaitable[int]]


def _actor(
    client: Redis,
    task: Task,
    stop: asyncio.Event,
    report: Report,
    die: Callable[[], None],
    pause: Callable[[float], None],
    play: _Play,
) -> Act:
    """Return what the actor of this name does once it is told when to begin, all else being prepared."""
    scenario = task.scenario
    for producer in scenario.producers:
        if producer.name == task.name:
            return _producing(client, scenario, producer, stop, report, play)
    for consumer in scenario.consumers:
        if consumer.name == task.name:
            rng = scenario.rng(task.name if task.life == 1 else f"{task.name}/{task.life}")
            play.job = Job(scenario, consumer, rng, die, pause, n_handled=task.n_handled)
            return _consuming(client, task, consumer, play.job, stop, report, play.advice)
    raise ValueError(f"{scenario.name} has no actor {task.name!r}")


def _consuming(
    client: Redis,
    task: Task,
    consumer: Consumer,
    job: Job,
    stop: asyncio.Event,
    report: Report,
    advice: Advice,
) -> Act:
    scenario = task.scenario

    async def begin_at(begin: float) -> int:
        await asyncio.sleep(begin - asyncio.get_running_loop().time())
        return await consume(
            client,
            scenario.stream,
            scenario.group,
            task.name,
            job.handler(scenario.effect(client)),
            count=consumer.count,
            block=min(consumer.block or LONGEST_BLOCK, LONGEST_BLOCK),
            ack=consumer.ack,
            recovery=scenario.recovery,
            patience=PATIENCE,
            must_exist=task.life == 1,
            stop=stop,
            advice=advice,
            on_error=told_by_events,
            report=job.report(report),
        )

    return begin_at


def _producing(
    client: Redis,
    scenario: Scenario,
    producer: Producer,
    stop: asyncio.Event,
    report: Report,
    play: _Play,
) -> Act:
    arrivals = iter(scenario.arrivals(producer))
    # A replay reads its source before the first entry comes out: now, and not when time runs.
    first = list(itertools.islice(arrivals, 1))

    def begin_at(begin: float) -> Awaitable[int]:
        # All producers count from the same moment, however late each was told of it.
        late = asyncio.get_running_loop().time() - begin
        at_its_pace = paced(itertools.chain(first, arrivals), play.pace)
        return produce(
            client,
            scenario.stream,
            ((at - late, fields) for at, fields in at_its_pace),
            name=producer.name,
            maxlen=scenario.maxlen,
            patience=PATIENCE,
            stop=stop,
            report=report,
        )

    return begin_at
