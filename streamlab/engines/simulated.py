"""The simulated engine: a scenario's actors over the model, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

from streamlab.actors import Fields, Handler, consume, ensure_group, produce
from streamlab.engines.inspection import final_state, is_drained
from streamlab.engines.overheads import Overheads, Trace
from streamlab.events import CRASHED, STOPPED, EventLog
from streamlab.run import Run
from streamlab.scenario import Consumer, Producer, Scenario
from streamlab.simulated_redis import SimulatedRedis, SimulatedServer
from streamlab.virtual_time import VirtualLoop

#: Seconds before time 0 at which consumers start, so that they wait when the first entry comes.
_LEAD = 1.0
#: Seconds given to consumers to finish what they hold when the run ends.
_LAST_CALL = 1.0

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


class SimulatedEngine:
    """One run of a scenario in virtual time. Can be run through, or stepped.

    Parameters
    ----------
    overheads
        What commands and timers cost; None: nothing.
    """

    def __init__(self, scenario: Scenario, *, overheads: Overheads | None = None) -> None:
        self.scenario = scenario
        self.loop = VirtualLoop(start=-_LEAD)
        self.server = SimulatedServer(epoch_ms=scenario.epoch_ms, loop=self.loop)
        self.log = EventLog(clock=self.loop.time)
        self.crashes: dict[str, str] = {}
        self.tasks: dict[str, asyncio.Task[int]] = {}
        self._overheads = overheads
        self._admin = self.server.client(name="lab")
        self._wall = 0.0
        self._conductor = self.loop.create_task(self._conduct(), name="lab")
        self.run_until(0.0)

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
        with _rare_garbage_collections():
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
            with _rare_garbage_collections():
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

    def result(self) -> Run:
        """Return the run so far."""
        final = self.call(final_state(self._admin, self.scenario))
        return Run(
            scenario=self.scenario,
            engine="simulated",
            server=f"model of Redis {'.'.join(map(str, self.server.version))}",
            # A run so far must not change while the simulation goes on.
            events=self.log if self.finished else self.log.copy(),
            final=final,
            wall=self._wall,
            n_commands=self.server.n_commands,
            crashes=self.crashes,
        )

    def call(self, question: Awaitable[T]) -> T:
        """Ask the server something, at this moment and in no time."""
        return self.loop.run_until_complete(question)

    def kill(self, name: str) -> None:
        """End an actor where it stands: nothing of it runs any more, what it held stays pending."""
        task = self.tasks[name]
        if task.done():
            return
        task.cancel()
        self.loop.run_until(self.now)
        if not task.done():
            raise RuntimeError(
                f"{name} was killed and still runs: something swallows its cancellation"
            )
        self.log.report(CRASHED, name)

    def close(self) -> None:
        """End all actors and the loop."""
        if self.loop.is_closed():
            return
        tasks = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    # ---- the course of a run -------------------------------------------------------------------

    async def _conduct(self) -> None:
        scenario, admin, stop = self.scenario, self._admin, asyncio.Event()
        await ensure_group(admin, scenario.stream, scenario.group)
        for consumer in scenario.consumers:
            self._start(consumer.name, self._consume(consumer, stop))
        await asyncio.sleep(-self.loop.time())
        for producer in scenario.producers:
            self._start(producer.name, self._produce(producer))
        await asyncio.wait([self.tasks[producer.name] for producer in scenario.producers])
        await self._drain()
        stop.set()
        consumers = [self.tasks[consumer.name] for consumer in scenario.consumers]
        await asyncio.wait(consumers, timeout=_LAST_CALL)
        for consumer in scenario.consumers:
            # It waits for entries that nobody will add.
            if self.tasks[consumer.name].cancel():
                self.log.report(STOPPED, consumer.name)
        await asyncio.wait(consumers)

    async def _drain(self) -> None:
        """Wait until all is done, or the time for it is over, or nobody is left to do it."""
        deadline = self.loop.time() + self.scenario.drain
        pause = 0.001
        while not await is_drained(self._admin, self.scenario) and self.loop.time() < deadline:
            if all(self.tasks[consumer.name].done() for consumer in self.scenario.consumers):
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    def _start(self, name: str, actor: Coroutine[Any, Any, int]) -> None:
        task = self.loop.create_task(actor, name=name)
        self.tasks[name] = task
        task.add_done_callback(self._note_crash)

    def _note_crash(self, task: asyncio.Task[int]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log.report(CRASHED, task.get_name())
            self.crashes[task.get_name()] = f"{type(error).__name__}: {error}"

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

    def _consume(self, consumer: Consumer, stop: asyncio.Event) -> Coroutine[Any, Any, int]:
        scenario, delay = self.scenario, self._delay(consumer.name)
        handler = _busy(self.loop, consumer.service.sampler(scenario.rng(consumer.name)))
        return consume(
            self._client(consumer.name),
            scenario.stream,
            scenario.group,
            consumer.name,
            handler if delay is None else _delayed(handler, delay),
            count=consumer.count,
            block=consumer.block,
            ack=consumer.ack,
            stop=stop,
            report=self.log.report,
        )

    def _produce(self, producer: Producer) -> Coroutine[Any, Any, int]:
        scenario = self.scenario
        arrivals = scenario.arrivals(producer)
        if self._overheads is not None and producer.name in self._overheads.delays:
            arrivals = _late(arrivals, self._overheads.delays[producer.name])
        return produce(
            self._client(producer.name),
            scenario.stream,
            arrivals,
            name=producer.name,
            maxlen=scenario.maxlen,
            report=self.log.report,
            sleep=self.loop.sleep,
        )

    def _raise_if_failed(self) -> None:
        if self._conductor.done():
            self._conductor.result()


def _busy(loop: VirtualLoop, sample: Callable[[], float]) -> Handler:
    """Return what `Scenario.handler` does, by the loop's own way of sleeping, which is a faster one."""
    sleep = loop.sleep

    async def handle(entry_id: str, fields: dict[str, str]) -> None:
        await sleep(sample())

    return handle


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
