"""The live engine: a scenario's actors as processes of their own, on a real Redis, in real time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import redis.exceptions

from streamlab.actors import ensure_group
from streamlab.connection import (
    ServerInfo,
    ServerUnusable,
    check_server,
    check_stream_key,
    stream_client,
)
from streamlab.engines.inspection import final_state, is_drained
from streamlab.events import CRASHED, Event, EventLog
from streamlab.named_scenarios import to_dict
from streamlab.processes import GuardedProcess, guarded_popen
from streamlab.run import FinalState, Run
from streamlab.scenario import Scenario
from streamlab.servers import PrivateServer
from streamlab.worker import READY

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Seconds between two looks at what the workers have written. A look at every line as it comes would have
#: the lab take the processor from the workers it watches, a few thousand times a second.
_LOOK_EVERY = 0.02
#: Seconds within which a worker has to be ready, and to end when it is asked to.
_START_LIMIT = 60.0
_STOP_LIMIT = 10.0


class LabError(RuntimeError):
    """A run that could not go on. The message says what happened, and what to do."""


class Worker:
    """A worker process, as its lab sees it."""

    def __init__(self, name: str, process: GuardedProcess) -> None:
        self.name = name
        self.process = process
        self.ready = asyncio.Event()
        self.gone = asyncio.Event()
        self.killed = False
        self._rest = b""
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)

    def tell(self, message: object) -> None:
        """Write a line of JSON to the worker."""
        assert self.process.stdin is not None
        # A worker that has died cannot be told anything; that it has died is seen by reading from it.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def lines(self) -> list[str] | None:
        """Return the whole lines that have come, without waiting for more; None at the end."""
        assert self.process.stdout is not None
        try:
            data = os.read(self.process.stdout.fileno(), 1 << 20)
        except BlockingIOError:
            return []
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode() for line in lines]

    def last_words(self) -> str:
        """Return the last line of what the worker said on its error output."""
        assert self.process.stderr is not None
        said = self.process.stderr.read().decode(errors="replace").strip()
        return said.splitlines()[-1] if said else f"exit status {self.process.returncode}"


class LiveEngine:
    """One run of a scenario by worker processes, on a private server or on the one at `redis_url`.

    To be used on one event loop: ``async with LiveEngine(scenario) as engine: await engine.run()``.
    When it is left, however it is left, no worker and no private server is running any more, and the
    scenario's stream has been deleted from the server that was given.
    """

    def __init__(self, scenario: Scenario, *, redis_url: str | None = None) -> None:
        self.scenario = scenario
        self.workers: dict[str, Worker] = {}
        self.crashes: dict[str, str] = {}
        self._redis_url = redis_url
        self._private: PrivateServer | None = None
        self._client: Redis | None = None
        self._info: ServerInfo | None = None
        self._stream_is_ours = False
        self._events: list[Event] = []
        self._origin = 0.0
        self._wall = 0.0

    async def __aenter__(self) -> LiveEngine:
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def url(self) -> str:
        """The server's URL. It may hold a password: do not show it."""
        if self._redis_url is not None:
            return self._redis_url
        if self._private is None:
            raise LabError("this engine has not been opened: write `async with` around its use")
        return self._private.url

    @property
    def client(self) -> Redis:
        """A client of the server, for questions."""
        if self._client is None:
            raise LabError("this engine has not been opened: write `async with` around its use")
        return self._client

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._origin

    async def run(self, progress: Callable[[float, int], None] | None = None) -> Run:
        """Run the scenario to its end; `progress` is called now and then with time and events so far."""
        began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                watching = [group.create_task(self._read_all())]
                if progress is not None:
                    watching.append(group.create_task(self._tick(progress)))
                await self._course()
                for task in watching:
                    task.cancel()
        except BaseExceptionGroup as errors:
            error = errors.exceptions[0]  # the others only followed from it
            if isinstance(error, redis.exceptions.ConnectionError):
                raise LabError(
                    f"the server went away in the middle of the run ({error}): see its log, and run again"
                ) from None
            raise error from None
        final = await final_state(self.client, self.scenario)
        self._wall = time.monotonic() - began
        return self._result(final)

    def _result(self, final: FinalState) -> Run:
        origin = self._origin
        events = EventLog.of(event._replace(at=event.at - origin) for event in self._events)
        return Run(
            scenario=self.scenario,
            engine="live",
            server=str(self._info),
            events=events,
            final=final,
            wall=self._wall,
            crashes=self.crashes,
        )

    def kill(self, name: str) -> None:
        """Kill a worker (SIGKILL), and see that it is dead."""
        worker = self.workers[name]
        worker.killed = True
        worker.process.kill()
        if worker.process.alive:
            raise LabError(f"{name} (process {worker.process.pid}) was killed and is still there")

    async def close(self) -> None:
        """End everything: workers, what was written to the server, the private server."""
        for worker in self.workers.values():
            worker.process.close()
        if self._client is not None:
            if self._stream_is_ours and self._private is None:
                # A server that is gone holds nothing of ours.
                with contextlib.suppress(redis.exceptions.ConnectionError):
                    await self._client.delete(self.scenario.stream)
            await self._client.aclose()
            self._client = None
        if self._private is not None:
            self._private.stop()
            self._private = None

    # ---- opening -------------------------------------------------------------------------------

    async def _open(self) -> None:
        if self._redis_url is None:
            self._private = PrivateServer()
            await asyncio.to_thread(self._private.start)
        scenario = self.scenario
        self._client = stream_client(self.url, name="streamlab-lab")
        self._info = await check_server(self._client)
        await check_stream_key(self._client, scenario.stream)
        if await self._client.exists(scenario.stream):
            raise ServerUnusable(
                f"the stream {scenario.stream!r} exists already on this server: streamlab adds nothing to what "
                "is not its own. Choose another name (stream = in the scenario's TOML), or delete it"
            )
        self._stream_is_ours = True
        await ensure_group(self._client, scenario.stream, scenario.group)

    def _spawn(self, name: str) -> None:
        process = guarded_popen(
            [sys.executable, "-m", "streamlab", "worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        worker = self.workers[name] = Worker(name, process)
        # By its standard input, not as an argument: the URL may hold a password, and `ps` shows arguments.
        scenario = to_dict(self.scenario)
        worker.tell({"name": name, "url": self.url, "scenario": scenario})

    async def _until_ready(self) -> None:
        try:
            async with asyncio.timeout(_START_LIMIT):
                for worker in self.workers.values():
                    await worker.ready.wait()
        except TimeoutError:
            late = [name for name, worker in self.workers.items() if not worker.ready.is_set()]
            raise LabError(
                f"{', '.join(late)} did not start within {_START_LIMIT:g} s: is this machine overloaded?"
            ) from None
        for name, words in self.crashes.items():
            raise LabError(f"{name} could not start: {words}")

    async def _let_wait(self, name: str) -> None:
        """Let a consumer begin, and wait until the server says that one client more is blocked."""
        before = (await self.client.info("clients"))["blocked_clients"]
        self.workers[name].tell(0)
        deadline = time.monotonic() + 0.5  # another client's coming and going must not hold us up
        while time.monotonic() < deadline:
            if (await self.client.info("clients"))["blocked_clients"] > before:
                return
            await asyncio.sleep(0.001)

    # ---- the course of a run -------------------------------------------------------------------

    async def _course(self) -> None:
        """Start all workers, let them wait and begin, and see them to their end."""
        producers = [producer.name for producer in self.scenario.producers]
        consumers = [consumer.name for consumer in self.scenario.consumers]
        for name in (*consumers, *producers):  # all at once: each takes its time to start
            self._spawn(name)
        await self._until_ready()
        for (
            name
        ) in consumers:  # one after the other: they are served in the order in which they wait
            await self._let_wait(name)
        self._origin = time.monotonic() + 0.05
        for name in producers:
            self.workers[name].tell(self._origin)
        await self._all_gone(producers)
        await self._drain(consumers)
        await self._stop(consumers)

    async def _read_all(self) -> None:
        """Look again and again at what the workers have written."""
        while True:
            for worker in self.workers.values():
                if not worker.gone.is_set():
                    self._read(worker)
            await asyncio.sleep(_LOOK_EVERY)

    def _read(self, worker: Worker) -> None:
        lines = worker.lines()
        if lines is not None:
            for line in lines:
                if line == READY:
                    worker.ready.set()
                else:
                    self._events.append(Event.from_json(line))
        elif not worker.process.alive:
            status = worker.process.returncode
            if worker.killed or status != 0:
                self._events.append(Event(time.monotonic(), CRASHED, worker.name))
            if not worker.killed and status != 0:
                self.crashes[worker.name] = worker.last_words()
            worker.ready.set()  # nobody need wait for it any longer
            worker.gone.set()

    async def _all_gone(self, names: list[str]) -> None:
        await asyncio.gather(*(self.workers[name].gone.wait() for name in names))

    async def _drain(self, consumers: list[str]) -> None:
        """Wait until all is done, or the time for it is over, or nobody is left to do it."""
        deadline = time.monotonic() + self.scenario.drain
        while time.monotonic() < deadline and not await is_drained(self.client, self.scenario):
            if all(self.workers[name].gone.is_set() for name in consumers):
                return
            await asyncio.sleep(0.01)

    async def _stop(self, names: list[str]) -> None:
        for name in names:
            if not self.workers[name].gone.is_set():
                self.workers[name].process.terminate()
        try:
            async with asyncio.timeout(_STOP_LIMIT):
                await self._all_gone(names)
        except TimeoutError:
            for name in names:
                if not self.workers[name].gone.is_set():
                    self.crashes[name] = f"did not stop within {_STOP_LIMIT:g} s, and was killed"
                    self.kill(name)
            await self._all_gone(names)

    async def _tick(self, progress: Callable[[float, int], None]) -> None:
        while True:
            progress(self.now, len(self._events))
            await asyncio.sleep(0.2)
