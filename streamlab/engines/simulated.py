"""The simulated engine: a scenario's actors over the model, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import gc
import signal
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from functools import partial
from typing import Any, NoReturn, TypeVar

from streamlab.actors import Advice, Fields, Handler, Recovery, consume, ensure_group, produce
from streamlab.engines.inspection import final_state, is_drained, unseen
from streamlab.engines.mishaps import LAB, befall
from streamlab.engines.overheads import Overheads, Trace
from streamlab.events import (
    CRASHED,
    PAUSED,
    RESUMED,
    SERVER_DOWN,
    SERVER_UP,
    STOPPED,
    EventLog,
    Report,
)
from streamlab.faults import (
    Disconnect,
    Fault,
    Kill,
    LostReply,
    Pause,
    Restart,
    ServerDown,
    Slow,
    TimedFault,
)
from streamlab.job import InjectedError, Job, Pace, paced, told_by_events
from streamlab.run import Run
from streamlab.scenario import Consumer, Producer, Scenario, ScenarioError
from streamlab.simulated_redis import SimulatedRedis, SimulatedServer
from streamlab.stopping import interrupting
from streamlab.stream_commands import CommandError
from streamlab.virtual_task import PROCESS
from streamlab.virtual_time import VirtualLoop

#: Seconds before time 0 at which consumers start, so that they wait when the first entry comes.
_LEAD = 1.0
#: Seconds given to consumers to finish what they hold when the run ends.
_LAST_CALL = 1.0

#: Seconds for which actors go on trying to reach a server that is down.
_PATIENCE = 3600.0

T = TypeVar("T")


@contextlib.contextmanager
def _rare_garbage_collections() -> Iterator[None]:
    """Let Python look for reference cycles less often than it would.

    A run makes many objects that stay, and hardly a cycle. At the usual thresholds, looking through them again
    and again takes a fifth of a short run's time, and makes an entry dearer the more there are.
    """
    usual = gc.get_threshold()
    if usual[0]:
        gc.set_threshold(max(usual[0], 100_000), max(usual[1], 50), max(usual[2], 100))
    try:
        yield
    finally:
        gc.set_threshold(*usual)


@contextlib.contextmanager
def _interrupted_between_steps(loop: VirtualLoop) -> Iterator[None]:
    """Let Ctrl-C and its like come between two steps of a simulation, where they tear nothing; a second one at once."""
    handlers = interrupting()
    if not handlers:
        yield
        return
    noted: list[tuple[asyncio.Handle, Callable[[], object]]] = []

    def as_before() -> None:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)

    def note(signum: int, _: object) -> None:
        as_before()
        interrupt = partial(handlers[signum], signum, None)
        noted.append((loop.call_soon(interrupt, context=contextvars.Context()), interrupt))

    for signum in handlers:
        signal.signal(signum, note)
    try:
        yield
    finally:
        as_before()
    for handle, interrupt in noted:  # it came in the last step
        handle.cancel()
        interrupt()


class SimulatedDeath(BaseException):
    """Ends an actor's task from within, where SIGKILL would end a worker: no code of an actor catches it."""


def _die() -> NoReturn:
    raise SimulatedDeath


class Process:
    """One life of an actor: a task, its client, and what SIGKILL, SIGSTOP and SIGCONT would do to it."""

    def __init__(self, name: str, client: SimulatedRedis) -> None:
        self.name = name
        self.client = client
        self.stop = asyncio.Event()
        self.advice = Advice()
        self.is_paused = False
        self.is_killed = False
        self.task: asyncio.Task[int]

    @property
    def alive(self) -> bool:
        """Whether it runs, or would if it were not paused."""
        return not self.task.done()


class SimulatedEngine:
    """One run of a scenario in virtual time. Can be run through, or stepped.

    Parameters
    ----------
    overheads
        What commands and timers cost; None: nothing.
    act
        What consumers do instead of `consume`: a coroutine function, called with the same arguments.
    callbacks_per_instant
        See `VirtualLoop`.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        overheads: Overheads | None = None,
        act: Callable[..., Any] | None = None,
        callbacks_per_instant: int = 50_000_000,
    ) -> None:
        self.scenario = scenario
        self._act = act or consume
        self.loop = VirtualLoop(start=-_LEAD, callbacks_per_instant=callbacks_per_instant)
        self.server = SimulatedServer(
            version=scenario.version, epoch_ms=scenario.epoch_ms, loop=self.loop
        )
        self.log = EventLog(clock=self.loop)
        self.crashes: dict[str, str] = {}
        self.processes: dict[str, Process] = {}
        self.consumers = {consumer.name: consumer for consumer in scenario.consumers}
        self.jobs: dict[str, Job] = {}
        self.paces: dict[str, Pace] = defaultdict(Pace)  # of producers
        self._overheads = overheads
        self.client = self.server.client(name="lab", is_lab=True)
        self._wall = 0.0
        self._is_ending = False
        self._n_to_start = 0  # dead workers that a supervisor is about to start again
        self._conductor = self.loop.create_task(self._conduct(), name="lab")
        try:
            self.run_until(0.0)
        except BaseException:
            self.abandon()
            raise

    @property
    def now(self) -> float:
        """Seconds of virtual time since the run began."""
        return self.loop.time()

    @property
    def finished(self) -> bool:
        """Whether production has ended, and all is done or the time to drain is over."""
        return self._conductor.done()

    def run_until(self, when: float) -> None:
        """Run everything up to and including the moment `when`, in seconds since the run began."""
        began = time.perf_counter()
        with _rare_garbage_collections(), _interrupted_between_steps(self.loop):
            self.loop.run_until(when)
        self._wall += time.perf_counter() - began
        self._raise_if_failed()

    def step(self) -> bool:
        """Run everything that happens at the next moment; return False once the run has finished."""
        if self.finished:
            return False
        when = self.loop.next_time()
        if when is not None:
            self.run_until(when)
        return True

    def run(self, progress: Callable[[float, int], None] | None = None) -> Run:
        """Run to the end; `progress` is called now and then with the virtual time and events so far."""
        began = time.perf_counter()
        if progress is None:
            with _rare_garbage_collections(), _interrupted_between_steps(self.loop):
                self.loop.run_until_complete(self._conductor)
            self._wall += time.perf_counter() - began
        else:
            stride = 1.0
            while not self.finished:
                called = time.perf_counter()
                self.run_until(self.now + stride)
                # As much virtual time as a tenth of a second of the wall's time is worth.
                stride *= 1.5 if time.perf_counter() - called < 0.1 else 0.7
                progress(self.now, len(self.log))
        self._raise_if_failed()
        return self.result()

    @property
    def origin(self) -> float:
        """The loop's time at which the run began."""
        return 0.0

    def pids(self) -> dict[str, int]:
        """Return the process ids of those who live: none, for nobody here has a process."""
        return {}

    def result(self) -> Run:
        """Return the run so far."""
        final = self.call(final_state(self.client, self.scenario))
        return Run(
            scenario=self.scenario,
            engine="simulated",
            server=_name_of_model(self.scenario),
            # A run so far must not change while the simulation goes on.
            events=self.log if self.finished else self.log.copy(),
            final=final,
            wall=self._wall,
            n_commands=self.server.n_commands,
            n_round_trips=self.server.n_round_trips,
            crashes=self.crashes,
        )

    def call(self, question: Awaitable[T]) -> T:
        """Ask the server something, at this moment and in no time."""
        with _interrupted_between_steps(self.loop):
            return self.loop.run_until_complete(question)

    # ---- what can be done to its actors and its server -------------------------------------------

    def kill(self, name: str) -> None:
        """End an actor where it stands: nothing of it runs any more, what it held stays pending."""
        process = self.processes[name]
        self._kill(process)
        self.loop.run_until(self.now)
        if process.alive:
            raise RuntimeError(
                f"{name} was killed and still runs: something swallows its cancellation"
            )

    def pause(self, name: str) -> None:
        """Let an actor stand still, while the world goes on."""
        process = self.processes[name]
        if process.alive and not process.is_paused:
            process.is_paused = True
            self.loop.hold(process)
            self.log.report(PAUSED, name)

    def resume(self, name: str) -> None:
        """Let a paused actor go on as if nothing had happened."""
        process = self.processes[name]
        if process.alive and process.is_paused:
            process.is_paused = False
            self.log.report(RESUMED, name)
            self.loop.release(process)

    def start(self, name: str) -> None:
        """Start an actor that is dead or has stopped, under its own name; no matter if it runs."""
        if not self._is_ending and not self.processes[name].alive:
            self._start(self.consumers[name])

    def restart(self, name: str) -> None:
        """Ask a consumer to stop; once it has finished what it holds, it is started again."""
        process = self.processes[name]
        if process.alive:
            process.stop.set()
            process.client.unblock()
            process.task.add_done_callback(lambda _: self.start(name))
        else:
            self.start(name)

    @property
    def report(self) -> Report:
        """Adds an event that happens now."""
        return self.log.report

    def set_service(self, name: str, mean: float) -> None:
        """Let a consumer take `mean` seconds for an entry from now on."""
        self.jobs[name].set_service(mean)

    def set_pace(self, name: str, pace: float) -> None:
        """Let a producer be faster than planned by this factor, after the entry that comes next."""
        self.paces[name].factor = pace

    def nudge(self, name: str) -> None:
        """Let a consumer read its own history again: something has been claimed for it."""
        process = self.processes[name]
        process.advice.look_again()
        process.client.unblock()

    async def set_recovery(self, recovery: Recovery) -> None:
        """Let everybody recover in this way from now on: consumers, and who starts dead ones again.

        Raises `ScenarioError` if the model is of a version that has not got what it needs.
        """
        check_recovery(recovery, self.scenario)
        self.scenario = dataclasses.replace(self.scenario, recovery=recovery)
        for name in self.consumers:
            process = self.processes[name]
            process.advice.recover(_as_simulated(recovery))
            process.client.unblock()

    def add_consumer(self, consumer: Consumer) -> None:
        """Let one more consumer join the group."""
        self.consumers[consumer.name] = consumer
        self._start(consumer)

    async def carry_out(self, fault: TimedFault) -> None:
        """Let a timed fault happen now."""
        if isinstance(fault, Kill):
            self._kill(self.processes[fault.target])
        elif isinstance(fault, Restart):
            self.restart(fault.target)
        elif isinstance(fault, Pause):
            self._pause_for(fault.target, fault.duration)
        elif isinstance(fault, Slow):
            job = self.jobs[fault.target]
            job.slowness *= fault.factor
            self._later(
                fault.duration, lambda: setattr(job, "slowness", job.slowness / fault.factor)
            )
        elif isinstance(fault, Disconnect):
            self.processes[fault.target].client.cut()
        elif isinstance(fault, ServerDown):
            if not self.server.is_down:
                self.server.go_down()
                self.log.report(SERVER_DOWN, LAB)
                self._later(fault.duration, self._server_up)
        else:
            await befall(fault, self.client, self.scenario, self.log.report)

    def _pause_for(self, name: str, duration: float) -> None:
        self.pause(name)
        self._later(duration, lambda: self.resume(name))

    def _server_up(self) -> None:
        self.server.come_up()
        self.log.report(SERVER_UP, LAB)

    def _later(self, delay: float, act: Callable[[], None]) -> None:
        """Do something later, by the lab's own hand."""
        self.loop.call_later(delay, act, context=contextvars.Context())

    def _kill(self, process: Process) -> None:
        if process.task.done() or process.is_killed:
            return
        process.is_killed = True
        process.client.sever()
        process.task.cancel()
        self.loop.release(process)  # a stopped process dies of SIGKILL as well

    def close(self) -> None:
        """End all actors and the loop."""
        if self.loop.is_closed():
            return
        self._is_ending = True
        for process in self.processes.values():
            self.loop.release(process)
        tasks = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def abandon(self) -> None:
        """Drop everything, after an interrupt in the midst of it: nothing here can be relied on any more."""
        self.loop.set_exception_handler(lambda *_: None)
        # Whatever the interrupt has torn may keep a task from ending: then it is dropped with the loop.
        with contextlib.suppress(Exception):
            self.close()
        if not self.loop.is_closed():
            self.loop.close()

    # ---- the course of a run -------------------------------------------------------------------

    async def _conduct(self) -> None:
        scenario = self.scenario
        await ensure_group(self.client, scenario.stream, scenario.group)
        for consumer in scenario.consumers:
            self._start(consumer)
        await asyncio.sleep(-self.loop.time())
        faults = self._take_in_hand(scenario.faults)
        for producer in scenario.producers:
            self._start(producer)
        await asyncio.wait([self.processes[producer.name].task for producer in scenario.producers])
        await faults
        await self._drain()
        await self._end()

    def _take_in_hand(self, faults: Iterable[Fault]) -> asyncio.Task[None]:
        """Let timed faults happen when it is time, and see to the lost replies of producers."""
        timed = sorted((f for f in faults if isinstance(f, TimedFault)), key=lambda f: f.when)

        async def watch_the_clock() -> None:
            for fault in timed:
                await asyncio.sleep(fault.when - self.now)
                await self.carry_out(fault)

        return self.loop.create_task(watch_the_clock(), name="faults")

    async def _drain(self) -> None:
        """Wait until all is done, or the time for it is over, or nobody is left to do it."""
        deadline = self.loop.time() + self.scenario.drain
        pause = 0.001
        while self.loop.time() < deadline:
            alive = [name for name in self.consumers if self.processes[name].alive]
            if not alive and not self._n_to_start:
                return
            dead = self.consumers.keys() - set(alive)
            gone_for_good = not self.scenario.recovery.claims and not self._n_to_start
            if await is_drained(self.client, self.scenario, hopeless=dead if gone_for_good else ()):
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    async def _end(self) -> None:
        """Let consumers finish what they hold."""
        self._is_ending = True
        processes = [self.processes[name] for name in self.consumers]
        for process in processes:
            self.resume(process.name)
            process.stop.set()
        tasks = [process.task for process in processes]
        await asyncio.wait(tasks, timeout=_LAST_CALL)
        for process in processes:
            # It waits for entries that nobody will add.
            if process.task.cancel():
                self.log.report(STOPPED, process.name)
        await asyncio.wait(tasks)

    def _start(self, actor: Consumer | Producer) -> None:
        is_new = actor.name not in self.processes
        process = Process(actor.name, self._client(actor.name))
        if isinstance(actor, Consumer):
            if is_new:
                pause = partial(self._pause_for, actor.name)
                rng = self.scenario.rng(actor.name)
                self.jobs[actor.name] = Job(self.scenario, actor, rng, _die, pause)
            act = self._consume(actor, process, self.jobs[actor.name], is_new)
        else:
            act = self._produce(actor, process)
        if is_new:
            for fault in self.scenario.faults:
                if isinstance(fault, LostReply) and fault.target == actor.name:
                    process.client.lose_reply(fault.command, fault.nth)
        # What the actor's task starts is of the same process.
        context = contextvars.copy_context()
        context.run(PROCESS.set, process)
        process.task = self.loop.create_task(act, name=actor.name, context=context)
        process.task.add_done_callback(lambda task: self._ended(process))
        self.processes[actor.name] = process

    def _ended(self, process: Process) -> None:
        """Note how an actor ended; a supervisor may start it again."""
        task = process.task
        error = None if task.cancelled() else task.exception()
        died = error is not None or process.is_killed
        if died:  # of whatever, as on the live engine
            self._report_unseen(process.name)
            self.log.report(CRASHED, process.name)
        if error is not None:
            process.client.sever()
            if not isinstance(error, SimulatedDeath | InjectedError):
                self.crashes[process.name] = f"{type(error).__name__}: {error}"
        delay = self.scenario.recovery.restarts_after
        if died and delay is not None and process.name in self.consumers and not self._is_ending:
            self._n_to_start += 1
            self._later(delay, lambda: self._start_again(process.name))

    def _report_unseen(self, name: str) -> None:
        """Report what the server has given to a consumer that died at that very moment."""
        scenario = self.scenario
        asked = ["XPENDING", scenario.stream, scenario.group, "-", "+", "10000", name]
        try:
            # Not by a client: this is no moment at which anything may wait.
            rows: Any = self.server.commands.execute(asked, self.server.now_ms())
        except CommandError:
            return  # there is no group any more, and nothing pending in it
        held = [(entry_id, idle, count) for entry_id, _, idle, count in rows]
        log = self.log
        latest_first = (log[i] for i in range(len(log) - 1, -1, -1))
        for event in unseen(held, name, self.now, latest_first):
            log.report(event.kind, name, event.id, event.delivery_count)

    def _start_again(self, name: str) -> None:
        self._n_to_start -= 1
        self.start(name)

    def _client(self, name: str) -> SimulatedRedis:
        if self._overheads is None:
            return self.server.client(name=name)
        trips, wakes = self._overheads.round_trips.get(name), self._overheads.wakes.get(name)
        return self.server.client(
            round_trip=trips.reader(self.loop.time) if trips is not None else 0.0,
            wake=wakes.reader(self.loop.time) if wakes is not None else None,
            name=name,
        )

    def _delay(self, name: str) -> Callable[[], float] | None:
        """Return what tells how late this actor's timers are; None if they are not."""
        delays = self._overheads.delays.get(name) if self._overheads is not None else None
        return delays.reader(self.loop.time) if delays is not None else None

    def _consume(
        self, consumer: Consumer, process: Process, job: Job, is_new: bool
    ) -> Coroutine[Any, Any, int]:
        scenario, delay, client = self.scenario, self._delay(consumer.name), process.client
        handler = job.handler(scenario.effect(client), sleep=self.loop.sleep)
        act: Coroutine[Any, Any, int] = self._act(
            client,
            scenario.stream,
            scenario.group,
            consumer.name,
            handler if delay is None else _delayed(handler, delay),
            count=consumer.count,
            block=consumer.block,
            ack=consumer.ack,
            recovery=_as_simulated(scenario.recovery),
            patience=_PATIENCE,
            must_exist=is_new,
            stop=process.stop,
            advice=process.advice,
            on_error=told_by_events,
            report=job.report(self.log.report),
        )
        return act

    def _produce(self, producer: Producer, process: Process) -> Coroutine[Any, Any, int]:
        scenario = self.scenario
        arrivals: Iterable[tuple[float, Fields]]
        arrivals = paced(scenario.arrivals(producer), self.paces[producer.name])
        if self._overheads is not None and producer.name in self._overheads.delays:
            arrivals = _late(arrivals, self._overheads.delays[producer.name])
        return produce(
            process.client,
            scenario.stream,
            arrivals,
            name=producer.name,
            maxlen=scenario.maxlen,
            patience=_PATIENCE,
            stop=process.stop,
            report=self.log.report,
            sleep=self.loop.sleep,
        )

    def _raise_if_failed(self) -> None:
        if self._conductor.done():
            self._conductor.result()


def check_recovery(recovery: Recovery, scenario: Scenario) -> None:
    """Refuse a recovery that needs what the simulated server has not got; raise `ScenarioError`."""
    if not _as_simulated(recovery).works_on("redis", scenario.version):
        raise ScenarioError(
            f"{recovery.complaint(_name_of_model(scenario))}, or a newer model (redis_version)"
        )


def _as_simulated(recovery: Recovery) -> Recovery:
    """Return how consumers recover in the simulation: the model has no XNACK."""
    if recovery.strategy != "nack":
        return recovery
    return dataclasses.replace(recovery, strategy="autoclaim")


def _name_of_model(scenario: Scenario) -> str:
    """Return what the simulated server is called, and what is different on it for this scenario."""
    name = f"model of Redis {'.'.join(map(str, scenario.version))}"
    if scenario.recovery.strategy == "nack":
        name += ", without XNACK: nack recovers as autoclaim"
    return name


def _delayed(handler: Handler, delay: Callable[[], float]) -> Handler:
    """Return the handler, with its timer as late as timers are."""

    async def handle(entry_id: str, fields: dict[str, str]) -> None:
        late = delay()
        await handler(entry_id, fields)
        await asyncio.sleep(late)

    return handle


def _late(
    arrivals: Iterable[tuple[float, Fields]], delays: Trace
) -> Iterator[tuple[float, Fields]]:
    """Yield the arrivals, each as late as the timer for it was."""
    planned = 0.0
    delay = delays.reader(lambda: planned)
    for planned, fields in arrivals:  # read by the clock above
        yield planned + delay(), fields
