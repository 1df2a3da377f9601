"""The live engine: a scenario's actors as processes of their own, on a real Redis, in real time."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING

import redis.exceptions

from streamlab.actors import Recovery
from streamlab.connection import (
    ServerInfo,
    ServerUnusable,
    check_server,
    check_stream_key,
    stream_client,
)
from streamlab.engines.estate import Estate
from streamlab.engines.inspection import final_state, is_drained, pending_of, unseen
from streamlab.engines.mishaps import LAB, befall
from streamlab.engines.ownership import OwnKeys
from streamlab.engines.patience import within
from streamlab.events import (
    ADDED,
    CRASHED,
    FAILED,
    PAUSED,
    PROCESSED,
    RESUMED,
    SERVER_DOWN,
    SERVER_UP,
    Event,
    EventLog,
)
from streamlab.faults import (
    Disconnect,
    Kill,
    LostReply,
    Pause,
    PauseInWork,
    Restart,
    ServerDown,
    Slow,
    TimedFault,
)
from streamlab.named_scenarios import to_dict
from streamlab.processes import GuardedProcess, guarded_popen
from streamlab.proxy import Proxy
from streamlab.run import FinalState, Run
from streamlab.scenario import Consumer, Scenario
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
#: Seconds that closing a connection may take.
_PARTING = 1.0
#: Bytes of a worker's error output that are kept.
_LAST_WORDS = 10_000
#: What a worker runs: by its path, and with -P, so that it imports nothing from the current folder, where a learner
#: may have a redis.py or a queue.py of their own.
_PROGRAM = str(Path(__file__).parents[1] / "__main__.py")


class LabError(RuntimeError):
    """A run that could not go on. The message says what happened, and what to do."""


class Worker:
    """A worker process, as its lab sees it: one life of an actor."""

    def __init__(self, name: str, process: GuardedProcess, life: int = 1) -> None:
        self.name = name
        self.process = process
        self.life = life
        self.ready = asyncio.Event()
        self.gone = asyncio.Event()
        self.is_paused = False
        self.died_at: float | None = None  # by the machine's time; it is among the events
        self.is_to_restart = False
        self.n_begun = 0  # entries that it has handled or was handling when it died
        self._rest = b""
        self._unsent = b""
        self._said = b""
        # None of its pipes may ever block the lab: it may be paused, or print without end.
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)

    def tell(self, message: object) -> None:
        """Write a line of JSON to the worker, now or as soon as it reads; no matter if it has gone."""
        self._unsent += json.dumps(message).encode() + b"\n"
        self.pump()

    def pump(self) -> None:
        """Write what it has not been told yet, and take in what it says on its error output."""
        if self.gone.is_set():
            return  # and its pipes are closed
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        # A worker that has died cannot be told anything; that it has died is seen by reading from it.
        if self._unsent:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                self._unsent = self._unsent[os.write(self.process.stdin.fileno(), self._unsent) :]
        with contextlib.suppress(BlockingIOError):
            while said := os.read(self.process.stderr.fileno(), 1 << 16):
                self._said = (self._said + said)[-_LAST_WORDS:]

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
        self.pump()
        said = self._said.decode(errors="replace").strip()
        return said.splitlines()[-1] if said else f"exit status {self.process.returncode}"


async def _in_thread(server: PrivateServer, start: Callable[[], object]) -> None:
    """Start a server in a thread; if that is cancelled, see the thread end, so that the server can be stopped."""
    starting = asyncio.ensure_future(asyncio.to_thread(start))
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        server.give_up()
        while not starting.done():  # though it be cancelled again
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([starting])
        if not starting.cancelled():
            starting.exception()  # started or given up, nobody wants to know any more
        raise


class LiveEngine:
    """One run of a scenario by worker processes, on a private server or on the one at `redis_url`.

    To be used on one event loop: ``async with LiveEngine(scenario) as engine: await engine.run()``.
    When it is left, however it is left, no worker and no private server is running any more, and the
    scenario's stream has been deleted from the server that was given.
    """

    def __init__(self, scenario: Scenario, *, redis_url: str | None = None) -> None:
        if redis_url is not None and scenario.needs_persistence:
            raise LabError(
                "the fault server-down kills the server: on a private one only, so leave the URL out"
            )
        self.scenario = scenario
        self.consumers = {consumer.name: consumer for consumer in scenario.consumers}
        self.workers: dict[str, Worker] = {}
        self.crashes: dict[str, str] = {}
        self._lives: list[Worker] = []  # whose output has not been read to its end
        self._proxies: dict[str, Proxy] = {}
        self._redis_url = redis_url
        self._private: PrivateServer | None = None
        self._is_down = False
        self._is_ending = False
        #: Whether it is ending everything that it holds: nobody may tear that.
        self.is_closing = False
        self._later: set[asyncio.Task[None]] = set()
        self._asking: list[asyncio.Task[None]] = []  # what dead consumers had been given
        self._client: Redis | None = None
        self._info: ServerInfo | None = None
        self._own_keys: OwnKeys | None = None
        self._estate: Estate | None = None  # of keys on a server that is somebody's
        self._events: list[Event] = []
        self._origin = math.nan
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
        """Seconds since the run began; NaN before."""
        return time.monotonic() - self._origin

    @property
    def log(self) -> list[Event]:
        """The events so far, in the order in which they were heard of; their times are the machine's."""
        return self._events

    @property
    def origin(self) -> float:
        """The machine's time (``time.monotonic``) at which the run began; NaN before."""
        return self._origin

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
                    f"the server went away in the middle of the run ({error}){self._last_words()}: run again"
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

    # ---- what can be done to its workers and its server ------------------------------------------

    def kill(self, name: str) -> None:
        """Kill a worker (SIGKILL), and see that it is dead."""
        worker = self.workers[name]
        if not worker.process.alive:
            return
        worker.process.kill()
        self._note_death(worker, time.monotonic())
        if worker.process.alive:
            raise LabError(f"{name} (process {worker.process.pid}) was killed and is still there")

    def pause(self, name: str) -> None:
        """Let a worker stand still (SIGSTOP), while the world goes on."""
        worker = self.workers[name]
        if worker.process.alive and not worker.is_paused:
            worker.process.pause()
            worker.is_paused = True
            self.report(PAUSED, name)

    def resume(self, name: str) -> None:
        """Let a paused worker go on (SIGCONT) as if nothing had happened."""
        worker = self.workers[name]
        if worker.process.alive and worker.is_paused:
            self.report(RESUMED, name)
            worker.is_paused = False
            worker.process.resume()

    def pids(self) -> dict[str, int]:
        """Return the process ids of the workers that live."""
        workers = self.workers.items()
        return {name: worker.process.pid for name, worker in workers if worker.process.alive}

    def start(self, name: str, *, delay: float = 0.0) -> None:
        """Start a consumer that is dead or has stopped, under its own name; no matter if it runs.

        It begins after `delay` seconds: time that its process takes to start is part of that.
        """
        before = self.workers[name]
        if self._is_ending or before.process.alive:
            return
        begin = time.monotonic() + delay
        worker = self._spawn(name, life=before.life + 1, n_handled=before.n_begun)

        async def begin_when_ready() -> None:
            await worker.ready.wait()
            worker.tell(begin)

        self._do(begin_when_ready())

    def restart(self, name: str) -> None:
        """Ask a consumer to stop (SIGTERM); once it has finished what it holds, it is started again."""
        worker = self.workers[name]
        if worker.process.alive:
            worker.is_to_restart = True
            worker.process.terminate()
        else:
            self.start(name)

    def add_consumer(self, consumer: Consumer) -> None:
        """Let one more consumer join the group."""
        self.consumers[consumer.name] = consumer
        self.scenario = dataclasses.replace(self.scenario, consumers=tuple(self.consumers.values()))
        worker = self._spawn(consumer.name)

        async def begin_when_ready() -> None:
            await worker.ready.wait()
            worker.tell(0)

        self._do(begin_when_ready())

    def order(self, name: str, **order: object) -> None:
        """Change what a worker does: `slowness`, `service` (mean, in seconds), `pace` (of a producer),
        `recovery`; `nudge`."""
        self.workers[name].tell(order)

    def set_service(self, name: str, mean: float) -> None:
        """Let a consumer take `mean` seconds for an entry from now on."""
        self._change(name, service=dataclasses.replace(self.consumers[name].service, mean=mean))
        self.order(name, service=mean)

    def set_pace(self, name: str, pace: float) -> None:
        """Let a producer be faster than planned by this factor, after the entry that comes next."""
        self.order(name, pace=pace)

    def nudge(self, name: str) -> None:
        """Let a consumer read its own history again: something has been claimed for it."""
        self.order(name, nudge=True)

    async def set_recovery(self, recovery: Recovery) -> None:
        """Let everybody recover in this way from now on: consumers, and who starts dead ones again.

        Raises `ServerUnusable` if the server has not got what it needs, or dead letters would go to a key that exists
        and is not this run's.
        """
        self._check_recovery(recovery)
        if recovery.max_deliveries is not None:
            assert self._own_keys is not None
            await self._own_keys.claim_dead_letters(recovery.dead_letter_of(self.scenario.stream))
            self._inform_estate()
        self.scenario = dataclasses.replace(self.scenario, recovery=recovery)
        for name in self.consumers:
            self.order(name, recovery=dataclasses.asdict(recovery))

    def _change(self, name: str, **changes: object) -> None:
        """Change a consumer, for its later lives."""
        self.consumers[name] = dataclasses.replace(self.consumers[name], **changes)  # type: ignore[arg-type]
        self.scenario = dataclasses.replace(self.scenario, consumers=tuple(self.consumers.values()))

    async def carry_out(self, fault: TimedFault) -> None:
        """Let a timed fault happen now."""
        if isinstance(fault, Kill):
            self.kill(fault.target)
        elif isinstance(fault, Restart):
            self.restart(fault.target)
        elif isinstance(fault, Pause):
            self.pause(fault.target)
            self._after(fault.duration, lambda: self.resume(fault.target))
        elif isinstance(fault, Slow):
            self.order(fault.target, slowness=fault.factor)
            self._after(fault.duration, lambda: self.order(fault.target, slowness=1.0))
        elif isinstance(fault, Disconnect):
            await self._disconnect(fault.target)
        elif isinstance(fault, ServerDown):
            if not self._is_down:
                self._do(self._server_down(fault.duration))
        else:
            await befall(fault, self.client, self.scenario, self.report)

    async def _disconnect(self, name: str) -> None:
        """Cut a worker's connections (``CLIENT KILL``)."""
        for row in await self.client.client_list():
            if row["name"] == f"streamlab-{name}":
                await self.client.client_kill_filter(_id=row["id"])

    async def _server_down(self, duration: float) -> None:
        """Kill the private server, and start it again with what its append-only file holds."""
        assert self._private is not None
        self._is_down = True
        self._private.kill()
        self.report(SERVER_DOWN, LAB)
        await asyncio.sleep(duration)
        await _in_thread(self._private, self._private.restart)
        self.report(SERVER_UP, LAB)
        self._is_down = False

    def report(
        self,
        kind: str,
        actor: str,
        id: str = "",
        delivery_count: int = 0,
        at: float | None = None,
    ) -> None:
        """Add an event that happens now, or at a time of the machine."""
        when = time.monotonic() if at is None else at
        self._events.append(Event(when, kind, actor, id, delivery_count))

    def _after(self, delay: float, act: Callable[[], None]) -> None:
        async def wait() -> None:
            await asyncio.sleep(delay)
            act()

        self._do(wait())

    def _do(self, work: Coroutine[None, None, None]) -> None:
        """Do something beside everything else; an error in it ends the run."""
        task = asyncio.get_running_loop().create_task(work)
        self._later.add(task)

    def _raise_if_failed(self) -> None:
        for task in [task for task in self._later if task.done()]:
            self._later.discard(task)
            task.result()

    async def close(self) -> None:
        """End everything: workers, what was written to the server, the private server."""
        self._is_ending = self.is_closing = True
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        for worker in {*self.workers.values(), *self._lives}:
            worker.process.kill()
        for worker in self._lives:
            while lines := worker.lines():
                self._events += [Event.from_json(line) for line in lines if worker.ready.is_set()]
        for worker in {*self.workers.values(), *self._lives}:
            worker.process.close()
        for proxy in self._proxies.values():
            await proxy.close()
        if self._client is not None:
            if self._own_keys is not None and self._private is None:
                await self._own_keys.delete()
                if self._estate is not None:
                    self._estate.settle()
            with contextlib.suppress(TimeoutError, redis.exceptions.RedisError):
                await within(_PARTING, self._client.aclose())
            self._client = None
        if self._private is not None:
            self._private.stop()
            self._private = None

    # ---- opening -------------------------------------------------------------------------------

    async def _open(self) -> None:
        scenario = self.scenario
        if self._redis_url is None:
            kept = scenario.needs_persistence
            self._private = PrivateServer(persistence="aof" if kept else "none")
            await _in_thread(self._private, self._private.start)
        self._client = stream_client(self.url, name="streamlab-lab")
        self._info = await check_server(self._client)
        self._check_recovery(scenario.recovery)
        await check_stream_key(self._client, scenario.stream)
        self._own_keys = OwnKeys(self._client, scenario.group, self._added)
        if self._redis_url is not None:
            self._estate = Estate(self._redis_url, self._own_keys)
        await self._own_keys.claim(
            scenario.stream,
            ledger=None if scenario.sink == "none" else scenario.ledger_key,
            dead_letters=(
                None if scenario.recovery.max_deliveries is None else scenario.dead_letter_key
            ),
        )
        self._inform_estate()

    def _inform_estate(self, *, now: bool = True) -> None:
        """Let somebody know what has to be deleted if this process is killed."""
        if self._estate is not None:
            self._estate.keep_up((worker.process.pid for worker in self._lives), now=now)

    def _check_recovery(self, recovery: Recovery) -> None:
        """Refuse a recovery that needs what the server has not got."""
        info = self._info
        assert info is not None
        if not recovery.works_on(info.kind, info.version):
            raise ServerUnusable(recovery.complaint(str(info)))

    def _added(self) -> set[str]:
        """Return the ids of the entries that producers have added."""
        return {event.id for event in self._events if event.kind == ADDED}

    def _spawn(self, name: str, *, life: int = 1, n_handled: int = 0) -> Worker:
        try:
            process = guarded_popen(
                [sys.executable, "-P", _PROGRAM, "worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:  # out of file handles, of processes, of memory
            raise LabError(
                f"no process can be started for {name} ({error.strerror}): take fewer producers and consumers, "
                "or allow more (ulimit -n, ulimit -u)"
            ) from None
        worker = self.workers[name] = Worker(name, process, life)
        worker.n_begun = n_handled
        self._lives.append(worker)
        self._inform_estate()
        # By its standard input, not as an argument: the URL may hold a password, and `ps` shows arguments.
        proxy = self._proxies.get(name)
        worker.tell(
            {
                "name": name,
                "url": self.url if proxy is None else proxy.url,
                "scenario": to_dict(self.scenario),
                "life": life,
                "n_handled": n_handled,
            }
        )
        return worker

    async def _put_proxies(self) -> None:
        """Put a proxy before the server for each actor that is to lose a reply."""
        for fault in self.scenario.faults:
            if isinstance(fault, LostReply):
                if fault.target not in self._proxies:
                    self._proxies[fault.target] = await Proxy(self.url).start()
                self._proxies[fault.target].lose_reply(fault.command, fault.nth)

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
        consumers = list(self.consumers)
        await self._put_proxies()
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
        await asyncio.gather(self._all_gone(producers), self._watch_the_clock())
        await self._drain()
        await self._stop()
        await asyncio.gather(*self._asking)

    async def _watch_the_clock(self) -> None:
        """Let timed faults happen when it is time."""
        timed = [fault for fault in self.scenario.faults if isinstance(fault, TimedFault)]
        for fault in sorted(timed, key=lambda fault: fault.when):
            await asyncio.sleep(fault.when - self.now)
            while self._is_down:  # what is done to the stream waits for the server
                await asyncio.sleep(_LOOK_EVERY)
            await self.carry_out(fault)

    def _last_words(self) -> str:
        """Return what a private server that has died said last; nothing of a server that is somebody's."""
        if self._private is None or self._private.alive:
            return ""
        said = " ".join(self._private.log(3).split())[-500:]
        return f"; its last words: {said}" if said else ""

    async def _read_all(self) -> None:
        """Look again and again at what the workers have written."""
        while True:
            for worker in list(self._lives):
                self._read(worker)
            self._raise_if_failed()
            self._inform_estate(now=False)
            if self._private is not None and not self._private.alive and not self._is_down:
                # Workers would go on trying to reach it for a while. But nobody will start it again.
                raise LabError(
                    f"the server went away in the middle of the run{self._last_words()}: run again"
                )
            await asyncio.sleep(_LOOK_EVERY)

    def _read(self, worker: Worker) -> None:
        worker.pump()
        lines = worker.lines()
        if lines is not None:
            for line in lines:
                if worker.ready.is_set():
                    self._take(worker, Event.from_json(line))
                elif line.endswith(READY):  # whatever was printed before it, as Python started
                    worker.ready.set()
        elif not worker.process.alive:
            self._lives.remove(worker)
            self._note_end(worker)
            worker.process.close()

    def _take(self, worker: Worker, event: Event) -> None:
        self._events.append(event)
        if event.kind == ADDED and self._estate is not None:
            self._estate.note_added(event.id)
        if event.kind in (PROCESSED, FAILED):
            worker.n_begun += 1
        elif event.kind == CRASHED:  # its last words
            worker.died_at = event.at
        elif event.kind == PAUSED:  # by itself, in mid-work
            worker.is_paused = True
            pauses = (f for f in self.scenario.faults if isinstance(f, PauseInWork))
            mine = [fault for fault in pauses if fault.target == worker.name]
            fault = next(fault for fault in mine if fault.nth == worker.n_begun + 1)
            until = event.at + fault.duration
            self._after(until - time.monotonic(), lambda: self.resume(worker.name))

    def _note_end(self, worker: Worker) -> None:
        """Note how a worker ended; a supervisor may start it again."""
        status = worker.process.returncode
        if status == -signal.SIGTERM and not worker.ready.is_set():
            status = 0  # asked to stop before it had begun
        if status != 0 and worker.died_at is None:
            self._note_death(worker, time.monotonic())
            self.crashes[worker.name] = worker.last_words()
        died = worker.died_at is not None
        if worker.died_at is not None and worker.name in self.consumers:
            asking = asyncio.ensure_future(self._report_unseen(worker.name, worker.died_at))
            self._later.add(asking)
            self._asking.append(asking)
        worker.process.close()
        worker.ready.set()  # nobody need wait for it any longer
        worker.gone.set()
        delay = self.scenario.recovery.restarts_after
        if self.workers[worker.name] is not worker or worker.name not in self.consumers:
            return
        if worker.is_to_restart and not died:
            self.start(worker.name)
        elif died and delay is not None:
            self.start(worker.name, delay=delay)

    def _note_death(self, worker: Worker, at: float) -> None:
        worker.died_at = at
        self.report(CRASHED, worker.name, at=at)

    async def _report_unseen(self, name: str, died_at: float) -> None:
        """Report what the server has given to a consumer that died at that very moment."""
        while self._is_down:
            await asyncio.sleep(_LOOK_EVERY)
        now = time.monotonic()
        # Or the group is gone, and all with it.
        with contextlib.suppress(redis.exceptions.ResponseError):
            held = await pending_of(self.client, self.scenario, name)
            for event in unseen(held, name, now, reversed(self._events)):
                # Its death comes after it, whatever the clocks say: it was not given to a dead one.
                at = min(event.at, died_at - 1e-6)
                self.report(event.kind, name, event.id, event.delivery_count, at)

    async def _all_gone(self, names: list[str]) -> None:
        await asyncio.gather(*(self.workers[name].gone.wait() for name in names))

    async def _drain(self) -> None:
        """Wait until all is done, or the time for it is over, or nobody is left to do it."""
        deadline = time.monotonic() + self.scenario.drain
        recovery = self.scenario.recovery
        while time.monotonic() < deadline:
            dead = {name for name in self.consumers if self.workers[name].gone.is_set()}
            restarts = recovery.restarts_after is not None
            if len(dead) == len(self.consumers) and not restarts:
                return
            hopeless = () if recovery.claims or restarts else dead
            if not self._is_down and await is_drained(
                self.client, self.scenario, hopeless=hopeless
            ):
                return
            await asyncio.sleep(0.01)

    async def _stop(self) -> None:
        self._is_ending = True
        names = list(self.consumers)
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
