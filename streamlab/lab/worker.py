"""A worker process: one producer or consumer of a scenario, on a real Redis.

Started by the live engine. It talks over its standard streams, a line of JSON each: in comes its task, then (once
it has said ``{"ready": …}``) the time to begin, and orders; out go its events, and when it is about to die or to stand
still by itself. Whatever else is printed goes to the error output. SIGTERM lets it finish what it holds.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import pickle
import selectors
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import redis.exceptions
from redis.asyncio import Redis

from streamlab.actors.events import EventKind
from streamlab.lab.job import InjectedError
from streamlab.lab.play import Part, Play, World
from streamlab.lab.processor import ProcessorWaits
from streamlab.results.events import Event
from streamlab.scenario import Scenario
from streamlab.scenario.action_texts import parse_counted
from streamlab.servers.client import redact, stream_client
from streamlab.servers.several import at_keys

#: A worker looks up from a blocking read at least this often, to see whether it is to stop; in seconds.
LONGEST_BLOCK = 1.0


#: The line by which a worker says that it is connected and waits for the time to begin.
READY = '{"ready": true}'


#: Seconds for which a worker goes on trying to reach a server that is down, or that refuses for now.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is to do: play a part in a scenario, on the server at `url`.

    `patience`: for how many seconds it goes on trying what the server does not do, or not for now.
    """

    url: str
    scenario: Scenario
    part: Part
    patience: float

    def to_line(self) -> str:
        """Return the task as a line for a worker; it may hold a password."""
        # Pickled: the lab checked it, and a worker starts without what reads and checks files.
        return json.dumps({"task": base64.b64encode(pickle.dumps(self)).decode()})

    @classmethod
    def from_line(cls, line: str) -> Task:
        """Read a task; the lab wrote it, through a pipe that only it has."""
        task: Task = pickle.loads(base64.b64decode(json.loads(line)["task"]))
        return task


def new_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop with precise timers.

    asyncio's own choice, epoll, rounds a wait up to whole milliseconds: a service of 4 ms would take 5.
    """
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


class _Loop(asyncio.SelectorEventLoop):
    """A worker's event loop: one that waits as `new_loop` does, and notes how late its `sleep` ends."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())
        self.waits = ProcessorWaits()
        self.sleep = self.waits.sleep


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
    task = Task.from_line(line)
    with asyncio.Runner(loop_factory=_Loop) as runner:
        try:
            runner.run(_live(task, orders, events))
        except (redis.exceptions.RedisError, redis.exceptions.RedisClusterException) as error:
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

        def hand_over() -> None:
            while self._lines:
                obey(self._lines.pop(0))

        def take() -> None:
            if not self._read():
                loop.remove_reader(0)  # the lab has gone, and so will we: our guard sees to it
                self._lines.append("")
            hand_over()

        loop.add_reader(0, take)
        hand_over()  # what came together with the task

    def _read(self) -> bool:
        data = os.read(0, 1 << 16)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines += [line.decode() for line in lines]
        return bool(data)


class _Life:
    """One life of an actor, in this process."""

    def __init__(self, task: Task, events: int) -> None:
        self._task = task
        self._events = events
        self._loop = asyncio.get_running_loop()
        assert isinstance(self._loop, _Loop)
        self._waits = self._loop.waits
        self._name = f"streamlab-{task.part.name}"
        self._client = stream_client(task.url, name=self._name)
        self._old_pools: list[Any] = []  # of before it was told of a proxy
        self._begins_at: asyncio.Queue[float | None] = asyncio.Queue()
        self._errand: asyncio.Task[None] | None = None
        self._is_asked_again = False
        world = World(
            report=self._report,
            die=self._die,
            pause=self._pause,
            unblock=self._unblock,
            patience=task.patience,
            longest_block=LONGEST_BLOCK,
            note_begun=lambda n: self._tell({"begun": n}),
        )
        self._play = Play(task.scenario, task.part, self._client, world)

    async def live(self, orders: _Orders) -> None:
        """Play the part."""
        self._loop.add_signal_handler(signal.SIGTERM, self._stop)
        self._loop.add_signal_handler(signal.SIGCONT, self._waits.note_stopped)
        orders.listen(self._obey)
        try:
            if self._task.part.life == 1:  # later the server may be down, and is waited for
                await self._client.ping()
            self._tell_line(READY)
            begin = await _until_it_begins(self._begins_at)
            if begin is not None:
                await self._play.perform(begin)
            self._tell({"waited": [self._waits.total, self._waits.longest]})
        except InjectedError:
            self._die()
        finally:
            await self._client.aclose()
            for pool in self._old_pools:
                await pool.disconnect()

    # ---- what it does by itself ----------------------------------------------------------------

    def _tell(self, what: dict[str, Any]) -> None:
        self._tell_line(json.dumps(what))

    def _tell_line(self, line: str) -> None:
        # Unbuffered: what has happened is known even if the next thing that happens is SIGKILL.
        os.write(self._events, line.encode() + b"\n")

    def _report(
        self, kind: EventKind, actor: str, id: str = "", delivery_count: int = 0, at: float | None = None
    ) -> None:
        self._tell_line(Event(self._loop.time() if at is None else at, kind, actor, id, delivery_count).to_json())
        self._waits.note()

    def _die(self) -> None:
        """End this process where it stands."""
        self._tell({"died": self._loop.time()})
        os.kill(os.getpid(), signal.SIGKILL)

    def _pause(self, seconds: float) -> None:
        """Stand still, until the lab wakes this process: it knows for how long."""
        self._tell({"paused": self._loop.time(), "for": seconds})
        os.kill(os.getpid(), signal.SIGSTOP)

    def _unblock(self) -> None:
        # One errand at a time: after a pause, hundreds of orders may come at once.
        self._is_asked_again = True
        if self._errand is None or self._errand.done():
            self._errand = self._loop.create_task(self._unblock_until_heard())

    async def _unblock_until_heard(self) -> None:
        while self._is_asked_again:
            self._is_asked_again = False
            await _unblock(self._client, self._name, self._task.scenario.streams)

    # ---- what it is told -----------------------------------------------------------------------

    def _stop(self) -> None:
        """Finish what is held, and end; or end at once, if nothing has begun."""
        self._begins_at.put_nowait(None)
        self._play.stop.set()
        self._unblock()

    def _obey(self, line: str) -> None:
        message = json.loads(line or "null")
        if not isinstance(message, dict):
            self._begins_at.put_nowait(message)
        elif "count" in message:
            self._tell({"counted": str(self._play.count(parse_counted(message["count"])))})
        elif "url" in message:
            # What is under way keeps its connection; the next command takes one of the new pool's.
            self._old_pools.append(self._client.connection_pool)
            self._client.connection_pool = stream_client(message["url"], name=self._name).connection_pool
            self._unblock()
        else:
            self._play.obey(message)


async def _live(task: Task, orders: _Orders, events: int) -> None:
    await _Life(task, events).live(orders)


async def _until_it_begins(begins_at: asyncio.Queue[float | None]) -> float | None:
    """Wait until it is time to begin, and return when that was to be; None: it is not to begin.

    The lab may change its mind about the time; None comes when it asks to stop, or has gone.
    """
    begin = await begins_at.get()
    while begin is not None:
        try:
            async with asyncio.timeout_at(begin):
                begin = await begins_at.get()
        except TimeoutError:
            break
    return begin


async def _unblock(client: Redis, name: str, streams: Iterable[str]) -> None:
    """End the reads of streams that this worker waits in, as if their time were over (``CLIENT UNBLOCK``).

    If that cannot be done, they end by themselves: see `LONGEST_BLOCK`.
    """
    with contextlib.suppress(redis.exceptions.ConnectionError):
        for where in at_keys(client, streams):
            for row in await client.client_list(**where):
                if row["name"] == name and "b" in row["flags"]:
                    await client.client_unblock(int(row["id"]), **where)
