"""The simulated engine: a scenario's actors over the model, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NoReturn, TypeVar

from streamlab.actors import Fields, Handler, Recovery, consume, ensure_group
from streamlab.actors.events import STOPPED
from streamlab.lab.both_ways import LAST_CALL, LEAD, LONGEST_LOOK
from streamlab.lab.carry_out import carry_out
from streamlab.lab.course import Course
from streamlab.lab.garbage import rare_garbage_collections
from streamlab.lab.inspection import final_states, pending_at_once
from streamlab.lab.job import InjectedError
from streamlab.lab.overheads import Overheads, late
from streamlab.lab.play import Part, Play, World
from streamlab.lab.simulated_outages import SimulatedOutages
from streamlab.lab.simulated_server import as_simulated, check_recovery, name_of_model
from streamlab.lab.stage import Host, Process
from streamlab.lab.steps import interrupted_between_steps
from streamlab.results.events import EventLog
from streamlab.results.run import Run
from streamlab.scenario import Scenario
from streamlab.scenario.action import CountedAction
from streamlab.scenario.actions import LostReply
from streamlab.virtual.loop import VirtualLoop
from streamlab.virtual.redis import SimulatedRedis, SimulatedServer
from streamlab.virtual.task import PROCESS

#: Seconds for which actors go on trying to reach a server that is down.
_PATIENCE = 3600.0

T = TypeVar("T")


class SimulatedDeath(BaseException):
    """Ends an actor's task from within, where SIGKILL would end a worker: no code of an actor catches it."""


def _die(client: SimulatedRedis) -> NoReturn:
    client.sever()  # whatever else it does at this moment
    raise SimulatedDeath


class SimulatedProcess(Process):
    """A task with a client of its own."""

    def __init__(self, part: Part, engine: SimulatedEngine) -> None:
        super().__init__(part)
        self._engine = engine
        self._loop = engine.loop
        self.client = engine.client_of(self)
        self._play = SimulatedPlay(engine, part, self)
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[int] | None = None

    def begin(self, at: float) -> None:
        overheads = self._engine.overheads
        late = overheads.starts.get((self.name, self.part.life), 0.0) if overheads is not None else 0.0
        self.begins_at, self.plays_from = at, at + late
        if self._timer is not None:
            self._timer.cancel()
        if self.plays_from <= self._loop.time():
            self._begin()
        else:
            self._timer = self._loop.call_at(self.plays_from, self._begin, context=contextvars.Context())

    def _begin(self) -> None:
        # What the actor's task starts is of the same process.
        context = contextvars.copy_context()
        context.run(PROCESS.set, self)
        playing: Any = self._play.perform(self.begins_at)
        self._task = self._loop.create_task(playing, name=self.name, context=context)
        self._task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[int]) -> None:
        error = None if task.cancelled() else task.exception()
        why = ""
        if error is not None:
            self.client.sever()
            if not isinstance(error, SimulatedDeath | InjectedError):
                why = f"{type(error).__name__}: {error}"
        self.n_begun = self._play.n_begun
        died = error is not None or self.is_killed
        self._engine.course.ended(self, died_at=self._loop.time() if died else None, why=why)

    def kill(self) -> None:
        if self._task is None and self._timer is not None:  # it was to begin at this very moment
            self._timer.cancel()
            self._begin()
        self.client.sever()
        assert self._task is not None
        self._task.cancel()
        self._loop.release(self)  # a stopped process dies of SIGKILL as well

    def hold(self) -> None:
        self._loop.hold(self)

    def release(self) -> None:
        self._loop.release(self)

    def stop(self, *, at_end: bool = False) -> None:
        if self._task is None:
            assert self._timer is not None
            self._timer.cancel()
            self._engine.course.ended(self)
            return
        self._play.stop.set()
        if not at_end:
            self.client.unblock()

    def cancel(self) -> bool:
        """End it as if it had stopped; return whether it had to be."""
        return self._task is not None and self._task.cancel()

    def cut(self) -> None:
        self.client.cut()

    def order(self, **order: object) -> None:
        self._play.obey(order)

    def count(self, action: CountedAction) -> None:
        self._engine.course.counted(self._play.count(action))


class SimulatedPlay(Play):
    """A play that is charged with what commands and timers cost."""

    def __init__(self, engine: SimulatedEngine, part: Part, process: SimulatedProcess) -> None:
        self._delays = engine.overheads.delays.get(part.name) if engine.overheads is not None else None
        self._clock = engine.loop.time
        world = World(
            report=engine.log.report,
            die=lambda: _die(process.client),
            pause=lambda seconds: engine.course.is_paused(process, engine.loop.time(), seconds, by_itself=False),
            unblock=process.client.unblock,
            patience=_PATIENCE,
            act=engine.act,
            counts=engine.counts,
        )
        super().__init__(engine.course.scenario, part, process.client, world)

    def recovery(self, recovery: Recovery) -> Recovery:
        return as_simulated(recovery)

    def handler(self, handler: Handler) -> Handler:
        if self._delays is None:
            return handler
        delay = self._delays.account(self._clock)

        async def handle(entry_id: str, fields: dict[str, str]) -> None:
            late = delay()
            await handler(entry_id, fields)
            await asyncio.sleep(late)

        return handle

    def arrivals(self, arrivals: Iterable[tuple[float, Fields]]) -> Iterable[tuple[float, Fields]]:
        return arrivals if self._delays is None else late(arrivals, self._delays)


class SimulatedStage(SimulatedOutages):
    """A simulated server."""

    last_call = LAST_CALL
    longest_look = LONGEST_LOOK

    def __init__(self, engine: SimulatedEngine, scenario: Scenario) -> None:
        super().__init__(engine.server, scenario)
        self._engine = engine
        self._client = engine.server.client(name="lab", is_lab=True)

    @property
    def client(self) -> SimulatedRedis:
        return self._client

    async def open(self, course: Host) -> None:
        for stream in course.scenario.streams:
            for group in course.scenario.groups:
                await ensure_group(self._client, stream, group)

    def spawn(self, part: Part) -> SimulatedProcess:
        return SimulatedProcess(part, self._engine)

    async def until_ready(self, processes: Iterable[Process]) -> None:
        """Wait for nothing: tasks are there at once."""

    async def let_wait(self, consumer: Process) -> None:
        overheads, loop = self._engine.overheads, self._engine.loop
        began = None if overheads is None else overheads.begins.get(consumer.name)
        if began is not None:
            await asyncio.sleep(began - loop.time())
        consumer.begin(loop.time())
        if overheads is not None and began is None:  # its first commands take time: the next one is to come after them
            await asyncio.sleep(min(0.01, LEAD / 2 / len(self._engine.scenario.consumers)))

    async def countdown(self) -> float:
        await asyncio.sleep(-self._engine.loop.time())
        return 0.0

    def lose_reply(self, action: LostReply) -> None:
        process = self._engine.course.process_of(action.target)
        if isinstance(process, SimulatedProcess):
            process.client.lose_reply(action.command, action.nth)
        else:
            self._engine.to_lose.setdefault(action.target, []).append(action)

    def check_recovery(self, recovery: Recovery) -> None:
        check_recovery(recovery, self._engine.scenario)

    async def claim_keys(self, recovery: Recovery) -> None:
        """Nobody else has keys here."""

    def pending_now(self, name: str) -> list[tuple[str, int, int]]:
        return pending_at_once(self._server, self._engine.scenario, name)

    def end_last(self, process: Process) -> str:
        assert isinstance(process, SimulatedProcess)
        if process.cancel():  # it waits for entries that nobody will add
            self._engine.log.report(STOPPED, process.name)
        return ""


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
        self.act = act or consume
        #: Whether entries are counted that a consumer begins: which is done only if it is needed.
        self.counts = any(action.needs_counting for action in (*scenario.faults, *scenario.by_hand))
        self.overheads = overheads
        begins = () if overheads is None else overheads.begins.values()
        self.loop = VirtualLoop(start=min([-LEAD, *begins]), callbacks_per_instant=callbacks_per_instant)
        self.server = SimulatedServer(version=scenario.version, epoch_ms=scenario.epoch_ms, loop=self.loop)
        self.log = EventLog(clock=self.loop)
        self.to_lose: dict[str, list[LostReply]] = {}
        self._stage = SimulatedStage(self, scenario)
        self.course = Course(scenario, self._stage, self.log, carry_out, self.loop)
        self.client = self._stage.client
        self._wall = 0.0
        self._running = self.loop.create_task(self.course.run(), name="lab")
        try:
            self.run_until(0.0)
        except BaseException:
            self.abandon()
            raise

    @property
    def scenario(self) -> Scenario:
        """The scenario as it is now: consumers may have been added, and the recovery changed."""
        return self.course.scenario

    @property
    def now(self) -> float:
        """Seconds of virtual time since the run began."""
        return self.loop.time()

    url = ""  #: nobody else can reach its server

    @property
    def origin(self) -> float:
        """The loop's time at which the run began."""
        return 0.0

    @property
    def finished(self) -> bool:
        """Whether production has ended, and all is done or the time to drain is over."""
        return self._running.done()

    def run_until(self, when: float) -> None:
        """Run everything up to and including the moment `when`, in seconds since the run began."""
        began = time.perf_counter()
        with rare_garbage_collections(), interrupted_between_steps(self.loop):
            self.loop.run_until(when)
        self._wall += time.perf_counter() - began
        self._raise_if_failed()

    def step(self) -> bool:
        """Run everything that happens at the next moment; return False if nothing will, by itself."""
        if self.finished:
            return False
        when = self.loop.next_time()
        if when is None:  # it waits for what is done by hand
            return False
        self.run_until(when)
        return True

    def run(self, progress: Callable[[float, int], None] | None = None) -> Run:
        """Run to the end; `progress` is called now and then with the virtual time and events so far."""
        began = time.perf_counter()
        if progress is None:
            with rare_garbage_collections(), interrupted_between_steps(self.loop):
                self.loop.run_until_complete(self._running)
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

    def result(self) -> Run:
        """Return the run so far."""
        final, *others = self.call(final_states(self.client, self.scenario))
        return Run(
            scenario=self.course.as_planned,
            engine="simulated",
            server=name_of_model(self.scenario),
            # A run so far must not change while the simulation goes on.
            events=self.log if self.finished else self.log.copy(),
            final=final,
            finals=tuple(others),
            wall=self._wall,
            n_commands=self.server.n_commands,
            n_round_trips=self.server.n_round_trips,
            errors=self.course.errors,
        )

    def call(self, question: Awaitable[T]) -> T:
        """Ask the server something, at this moment and in no time."""
        with interrupted_between_steps(self.loop):
            return self.loop.run_until_complete(question)

    def client_of(self, process: Process) -> SimulatedRedis:
        """Return a client for a life of an actor. Which replies are lost is counted through all of its lives."""
        name = process.name
        if self.overheads is None:
            client = self.server.client(name=name)
        else:
            trips, wakes = self.overheads.round_trips.get(name), self.overheads.wakes.get(name)
            client = self.server.client(
                round_trip=trips.usual if trips is not None else 0.0,
                back=trips.account(self.loop.time, paid=trips.usual / 2) if trips is not None else None,
                wake=wakes.reader(self.loop.time) if wakes is not None else None,
                name=name,
            )
        before = self.course.process_of(name)
        if isinstance(before, SimulatedProcess):
            client.lose_replies_like(before.client)
        for fault in self.to_lose.pop(name, ()):
            client.lose_reply(fault.command, fault.nth)
        return client

    def close(self) -> None:
        """End all actors and the loop."""
        if self.loop.is_closed():
            return
        self.course.is_ending = True
        for process in self.course.processes.values():
            process.release()
        tasks = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        self.server.forget()
        self.log.pack()

    def abandon(self) -> None:
        """Drop everything, after an interrupt in the midst of it: nothing here can be relied on any more."""
        self.loop.set_exception_handler(lambda *_: None)
        # Whatever the interrupt has torn may keep a task from ending: then it is dropped with the loop.
        with contextlib.suppress(Exception):
            self.close()
        if not self.loop.is_closed():
            self.loop.close()

    def _raise_if_failed(self) -> None:
        if self._running.done():
            self._running.result()
