"""`Lab`: run a scenario, simulated in virtual time or live on a real Redis; and interfere while it runs.

    run = Lab("one-to-many").run()                                  # simulated: at once
    run = Lab("one-to-many", engine="live").run()                   # worker processes, a private server

    lab = Lab("kill-and-recover")                                   # or engine="live"
    lab.play()                                                      # in the background
    lab.kill("C2")                                                  # its entries stay pending
    lab.autoclaim("C1")                                             # until somebody claims them
    lab.snapshot()                                                  # who holds what
    lab.close()

A simulated lab can also be stepped (`Lab.run_until`, `Lab.step`), and go back in time (`Lab.go_to`).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import math
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from streamlab.actors import Recovery
from streamlab.clicks import CLICKS, Click, Desk
from streamlab.engines.driving import LiveDriver, Pacer, cancel_until
from streamlab.engines.live import LabError, LiveEngine
from streamlab.engines.overheads import Overheads
from streamlab.engines.simulated import SimulatedEngine, check_recovery
from streamlab.named_scenarios import load_scenario
from streamlab.replay import replay
from streamlab.run import Comparison, EngineName, Run
from streamlab.scenario import Scenario, ScenarioError
from streamlab.snapshot import Snapshot
from streamlab.tally import Command, Tally
from streamlab.worker import new_loop

__all__ = ["Lab", "LabError", "run_both"]

T = TypeVar("T")
Progress = Callable[[float, int], None]

#: A run longer than this is a mistake: nobody waits a week for a notebook, or for a simulation of a century.
LONGEST_RUN = {"live": 24 * 3600.0, "simulated": 10 * 366 * 24 * 3600.0}
#: Virtual seconds simulated at once while time passes, at first; and what this may take, in seconds.
_STRIDE, _FINE_SLICE = 0.01, 0.004
#: Seconds between two looks at a live lab that is waited for.
_LOOK_EVERY = 0.02


class Lab:
    """A scenario and an engine to run it on.

    `run` runs it to its end. Or it is played, and what happens then is done by methods, from any thread:
    `kill`, `pause`, `resume`, `restart`, `add_consumer`, `claim`, `autoclaim`, `set_rate`, `set_service`,
    `set_recovery`. A live lab starts its processes when it is first used.

    Parameters
    ----------
    scenario
        A `Scenario`, the name of one, or the path of a TOML file.
    engine
        ``"simulated"`` (virtual time, in this process) or ``"live"`` (a process for each producer and
        consumer, real time).
    redis_url
        The server for the live engine; None starts a private one, which ends with the run.
    overheads
        What commands and timers cost in the simulation: nothing, unless given (see `Overheads.of`).

    Raises
    ------
    ScenarioError
        If there is no such scenario, or it cannot run on this engine.
    """

    def __init__(
        self,
        scenario: Scenario | str | Path,
        *,
        engine: EngineName = "simulated",
        redis_url: str | None = None,
        overheads: Overheads | None = None,
    ) -> None:
        self.scenario = scenario if isinstance(scenario, Scenario) else load_scenario(scenario)
        if engine not in ("simulated", "live"):
            raise ScenarioError(f"there is no engine {engine!r}: known are simulated, live")
        if engine == "simulated" and redis_url is not None:
            raise ScenarioError(
                "the simulated engine uses no server: leave the URL out, or take engine='live'"
            )
        _check_replays(self.scenario)
        _check_length(self.scenario, engine)
        if engine == "simulated":
            check_recovery(self.scenario.recovery, self.scenario)
        self.engine: EngineName = engine
        self._redis_url = redis_url
        self._overheads = overheads
        self._desk = Desk(self.scenario)
        self._simulation: SimulatedEngine | None = None
        self._live: LiveDriver | None = None
        self._pacer: Pacer | None = None
        self._is_closed = False
        self._lock = threading.RLock()  # whoever has it may use the simulation
        self._stride = _STRIDE
        self._trouble: BaseException | None = None  # that the background met
        self._interrupted_at: float | None = (
            None  # the moment to which a simulation has to be run again
        )
        #: What was done by hand; after going back, those from `_n_done` on lie in the future.
        self._clicks: list[Click] = []
        self._n_done = 0

    # ---- run it through ------------------------------------------------------------------------

    def run(self, progress: Progress | None = None) -> Run:
        """Run the scenario to its end and return what came of it.

        May be called from a notebook's cell: the loop that runs there is left alone. `progress` is called
        now and then with the run's time in seconds and the number of events so far. An interrupt (Ctrl-C, ■)
        ends a live run; a simulation can be gone on with, as if there had been none.

        Raises
        ------
        LabError, ServerUnusable, ServerStartError
            On the live engine, if the run cannot go on, or the server cannot be used or started.
        """
        if self.engine == "simulated":
            return self._run_simulation(progress)
        if self._live is not None:
            return self._live.wait()
        engine = LiveEngine(self.scenario, redis_url=self._redis_url)
        return _run_coroutine(_run_live(engine, progress), lambda: engine.is_closing)

    async def run_async(self, progress: Progress | None = None) -> Run:
        """Run the scenario like `run`, on the event loop that is running."""
        if self.engine == "simulated":
            return self._run_simulation(progress)
        return await _run_live(LiveEngine(self.scenario, redis_url=self._redis_url), progress)

    # ---- time ----------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since the run began: of virtual time, or of the wall's."""
        if self.engine == "live":
            return self._live.engine.now if self._live is not None else 0.0
        with self._lock:
            return self._simulated().now

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        if self.engine == "live":
            return self._live is not None and self._live.finished
        with self._lock:
            return self._simulated().finished

    @property
    def is_closed(self) -> bool:
        """Whether the lab has been closed: then nothing can be done with it any more."""
        return self._is_closed

    @property
    def is_playing(self) -> bool:
        """Whether time passes by itself."""
        if self.engine == "live":
            return self._live is not None and not self._live.finished
        return self._pacer is not None and self._pacer.is_running

    @property
    def speed(self) -> float:
        """How many seconds of the run pass in one of the wall's while it plays."""
        return self._pacer.speed if self._pacer is not None else 1.0

    @property
    def seed(self) -> int:
        """What everything random in the run comes from."""
        return self.scenario.seed

    @property
    def clicks(self) -> tuple[Click, ...]:
        """What was done by hand, and when; after going back, what lies in the future as well."""
        return tuple(self._clicks)

    def play(self, speed: float = 1.0) -> None:
        """Let time pass in the background, at `speed` times the wall's clock; return at once.

        A simulation goes as fast as it can if it cannot go as fast as that. A live lab starts its server
        and its processes, and returns when they run.
        """
        if not 0 < speed < math.inf:
            raise ScenarioError(f"speed is {speed!r}: give a number above 0")
        if self.engine == "live":
            if speed != 1:
                raise LabError("a live lab runs at the speed of the wall's clock: speed is 1")
            self._driver()
            return
        with self._lock:
            self._raise_trouble()
            now = self._simulated().now
            if self.is_playing:
                assert self._pacer is not None
                self._pacer.speed = speed
                return
            self._pacer = Pacer(self._advance, now, speed)

    def freeze(self) -> None:
        """Let virtual time stand still: `play` goes on. (`pause` is for consumers.)"""
        self._only_simulated("real time cannot be stopped: pause its consumers, or close the lab")
        self._stop_clock()

    def run_until(self, when: float) -> Run:
        """Run a simulation up to the moment `when` (seconds since it began); return the run so far."""
        self._stop_clock()
        with self._lock, self._interruptible():
            simulation = self._simulated()
            if not when >= simulation.now:
                raise ValueError(
                    f"it is {simulation.now:g} s already: go_to({when!r}) goes back, or take a new Lab"
                )
            if math.isinf(when):
                return self._run_simulation()
            self._run_to(when)
            return simulation.result()

    def step(self) -> bool:
        """Run what happens at the next moment of a simulation; return False if it has ended."""
        self._stop_clock()
        with self._lock, self._interruptible():
            simulation = self._simulated()
            when = simulation.loop.next_time()
            if self._n_done < len(self._clicks) and not simulation.finished:
                click_at = self._clicks[self._n_done].at
                if when is None or click_at < when:
                    self._run_to(click_at)
                    return True
            return simulation.step()

    def wait_until(
        self, condition: Callable[[Snapshot], object], *, timeout: float = 60.0
    ) -> Snapshot:
        """Let time pass until a snapshot fulfils `condition`; return that. On both engines.

        A simulation is stepped there, and stands still. `timeout` is in seconds of the run.

        Raises
        ------
        TimeoutError
            If it does not come to that.
        """
        began = self.now
        while not condition(snapshot := self.snapshot()):
            if self.now - began > timeout or self.finished:
                raise TimeoutError(
                    f"{self.now - began:.3g} s later it has not come to that, in {self!r}: "
                    f"{snapshot.n_pending} pending, {snapshot.backlog} in the backlog"
                )
            if self.engine == "live":
                time.sleep(_LOOK_EVERY)
            else:
                self.step()
        return snapshot

    def go_to(self, when: float) -> None:
        """Take a simulation to the moment `when`, back or forth; time stands still there.

        The way there is run again from the beginning, with all that was done by hand at its time: the same
        seed and the same clicks give the same run, to the letter. What was done after `when` is kept, and
        is done again when its time comes; a new click makes another future, and it is forgotten.
        """
        if not 0 <= when < math.inf:
            raise ScenarioError(f"{when!r} is no moment of a run: give seconds, 0 or more")
        self._stop_clock()
        with self._lock, self._interruptible():
            if when < self._simulated().now:
                self._begin()
            self._run_to(when)

    def begin_again(self, seed: int | None = None) -> None:
        """Take a simulation back to its beginning, with another seed if one is given; nothing was clicked."""
        self._only_simulated("a live run cannot be begun again: take a new Lab")
        if seed is not None:
            self.scenario = dataclasses.replace(self.scenario, seed=seed)
        self._stop_clock()
        with self._lock:
            self._clicks.clear()
            self._begin()

    # ---- what a click does ---------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """Kill a producer or a consumer where it stands (SIGKILL). What it held stays pending.

        Raises
        ------
        ScenarioError
            If there is nobody of that name. (So do all others here that take a name.)
        """
        self._click("kill", name)

    def pause(self, name: str) -> None:
        """Let an actor stand still (SIGSTOP), while the world goes on."""
        self._click("pause", name)

    def resume(self, name: str) -> None:
        """Let a paused actor go on (SIGCONT), as if nothing had happened."""
        self._click("resume", name)

    def restart(self, name: str) -> None:
        """Start a consumer anew under its own name; if it lives, once it has finished what it holds.

        It begins with its own history: what was delivered to it and never acknowledged.
        """
        self._click("restart", name)

    def add_consumer(self, name: str | None = None) -> str:
        """Let one more consumer join the group, like the first one; return its name."""
        if name is None:
            taken = {*self._desk.tally.doings, *(p.name for p in self.scenario.producers)}
            name = next(f"C{i}" for i in range(1, len(taken) + 2) if f"C{i}" not in taken)
        self._click("add_consumer", name)
        return name

    def claim(
        self, ids: Sequence[str], consumer: str | None = None, *, min_idle: float | None = None
    ) -> list[str]:
        """Make a consumer the owner of pending entries (``XCLAIM … JUSTID``); return the ids it was given.

        All that XCLAIM by another client does is to change the owner: the new one is not told, and reads
        only new entries. So the lab nudges it, and it reads its own history (``XREADGROUP … 0``), which
        raises the delivery count. (JUSTID leaves it alone, or the entry would be counted twice.)

        Parameters
        ----------
        consumer
            Who gets them; None: the one among the living that holds least.
        min_idle
            Seconds that an entry must have been idle; None: as the recovery says.
        """
        given = (ids,) if isinstance(ids, str) else tuple(ids)
        claimed: list[str] = self._click("claim", given, consumer, min_idle)
        return claimed

    def autoclaim(self, consumer: str | None = None, *, min_idle: float | None = None) -> list[str]:
        """Make a consumer the owner of all that has been idle for long (``XAUTOCLAIM … JUSTID``); return the ids.

        See `claim` for how it hears of them.
        """
        claimed: list[str] = self._click("autoclaim", consumer, min_idle)
        return claimed

    def set_rate(self, rate: float) -> None:
        """Let each producer add `rate` entries per second, from its next entry but one on."""
        self._click("set_rate", rate)

    def set_service(self, mean: float, name: str | None = None) -> None:
        """Let a consumer take `mean` seconds for an entry from the next on; without a name, all of them."""
        self._click("set_service", mean, name)

    def set_recovery(self, strategy: str | None = None, **changes: object) -> None:
        """Let consumers recover in another way from now on: a strategy, or other fields of `Recovery`.

        ``set_recovery("autoclaim", min_idle=2.0)``: each looks every second for what has been idle for two.
        ``set_recovery("none")``: nobody does.
        """
        if strategy is not None:
            changes["strategy"] = strategy
        self._click("set_recovery", tuple(changes.items()))

    # ---- what is to be seen --------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return how things are at this moment: consumers, pending entries, stream and group."""
        desk, finished = self._desk, self.finished
        snapshot: Snapshot = self._do(lambda engine: desk.look(engine, finished))
        return snapshot

    @property
    def commands(self) -> list[Command]:
        """The last commands, as they would be typed: what the lab sent, and what the workers' events tell.

        So a read that gave nothing is not among them, and a worker's commands are put together from what
        it reported; for what really travels to a server, ask that: ``MONITOR``.
        """
        return [dataclasses.replace(command) for command in self._read().commands]

    @property
    def tally(self) -> Tally:
        """What the events come to so far, to be looked at: see `Tally`."""
        return self._read()

    @property
    def recovery(self) -> Recovery:
        """How consumers recover now."""
        return self._desk.recovery

    @property
    def rate(self) -> float | None:
        """Entries per second of each producer, as it was set last; None: recorded times are replayed."""
        return self._desk.rate

    @property
    def service(self) -> float:
        """Mean seconds that a consumer takes for an entry, as it was set last."""
        return self._desk.service

    # ---- its end -------------------------------------------------------------------------------

    def close(self) -> None:
        """End everything: the clock, a simulation that was not run to its end, processes and a private server."""
        self._is_closed = True
        self._stop_clock()
        if self._live is not None:
            self._live.close()
        with self._lock:
            if self._simulation is not None:
                self._simulation.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Lab of {self.scenario.name} ({self.engine})>"

    # ---- how it is done ------------------------------------------------------------------------

    def _click(self, name: str, *args: Any) -> Any:
        """Do something by hand, now, and remember it."""
        with self._lock, self._interruptible():
            found = self._act(name, args)
            if self.engine == "simulated":
                del self._clicks[self._n_done :]
            self._clicks.append(Click(self.now, name, args))
            self._n_done = len(self._clicks)
            return found

    def _act(self, name: str, args: tuple[Any, ...]) -> Any:
        act = CLICKS[name]
        return self._do(lambda engine: act(self._desk, engine, *args))

    def _do(self, act: Callable[[Any], Any]) -> Any:
        """Let something be done to the engine, or asked of it."""
        if self._is_closed:
            raise LabError("this lab has been closed: take a new one")
        if self.engine == "live":
            return self._driver().do(act)
        with self._lock, self._interruptible():
            self._raise_trouble()
            simulation = self._simulated()
            found = act(simulation)
            if isinstance(found, Coroutine):
                try:
                    found = simulation.call(found)
                finally:
                    if isinstance(found, Coroutine):  # the lab has been closed: it was never begun
                        found.close()
            # What follows from it at this very moment follows before anything else is done: or a run that
            # is done again would differ by who came first.
            simulation.run_until(simulation.now)
            return found

    def _read(self) -> Tally:
        desk = self._desk
        tally: Tally = self._do(lambda engine: desk.read(engine))
        return tally

    def _driver(self) -> LiveDriver:
        if self._live is None:
            self._live = LiveDriver(self.scenario, self._redis_url)
            weakref.finalize(self, self._live.close)  # when nobody has the lab any more, or at exit
        return self._live

    def _only_simulated(self, why: str = "real time does not wait") -> None:
        if self.engine != "simulated":
            raise LabError(f"only a simulated lab can be stepped: {why}")

    def _simulated(self) -> SimulatedEngine:
        self._only_simulated()
        if self._simulation is None:
            self._simulation = SimulatedEngine(self.scenario, overheads=self._overheads)
        if self._interrupted_at is not None:
            when, self._interrupted_at = self._interrupted_at, None
            with self._interruptible(when):
                self._run_to(when)
        return self._simulation

    @contextlib.contextmanager
    def _interruptible(self, when: float | None = None) -> Iterator[None]:
        """Do something to a simulation, in which an interrupt may come between any two steps.

        What it has left half done cannot be gone on with. But every run can be run again: so the next use of
        the lab begins by taking a new simulation to the moment of the interrupt, or to `when`.
        """
        try:
            yield
        except Exception:
            raise
        except BaseException:
            simulation, self._simulation = self._simulation, None
            if simulation is not None and self._interrupted_at is None:
                self._interrupted_at = simulation.now if when is None else when
                self._n_done = 0
                self._desk = Desk(self.scenario)
                simulation.abandon()
            raise

    def _begin(self) -> None:
        """Put a new simulation in the place of the one that is under way."""
        if self._simulation is not None:
            self._simulation.close()
        self._simulation = self._interrupted_at = None
        self._desk = Desk(self.scenario)
        self._n_done = 0
        self._simulated()

    def _run_to(self, when: float) -> None:
        """Run a simulation to a moment, and do again what was done by hand on the way."""
        simulation = self._simulated()
        while self._n_done < len(self._clicks) and self._clicks[self._n_done].at <= when:
            click = self._clicks[self._n_done]
            simulation.run_until(max(click.at, simulation.now))
            self._n_done += 1
            self._act(click.name, click.args)
        simulation.run_until(max(when, simulation.now))

    def _run_simulation(self, progress: Progress | None = None) -> Run:
        self._stop_clock()
        with self._lock, self._interruptible():
            simulation = self._simulated()
            if self._n_done < len(self._clicks):
                self._run_to(self._clicks[-1].at)
            return simulation.run(progress)

    def _stop_clock(self) -> None:
        """Let virtual time stand still. Not under the lock, which the clock may be waiting for."""
        pacer, self._pacer = self._pacer, None
        if pacer is not None:
            pacer.stop()

    def _advance(self, until: float, deadline: float) -> float | None:
        """Run a simulation towards a moment in small slices, but not beyond the wall's deadline."""
        with self._lock:
            try:
                simulation = self._simulated()
                while simulation.now < until and not simulation.finished:
                    began = time.perf_counter()
                    if began > deadline:
                        break
                    self._run_to(min(until, simulation.now + self._stride))
                    self._stride *= 1.5 if time.perf_counter() - began < _FINE_SLICE else 0.7
                return None if simulation.finished else simulation.now
            except BaseException as error:  # for whoever uses the lab next: nobody sees this thread
                self._trouble = error
                return None

    def _raise_trouble(self) -> None:
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            raise trouble


def run_both(
    scenario: Scenario | str | Path,
    *,
    redis_url: str | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Run a scenario on both engines; return the simulated run (`one`) beside the live one (`other`).

    The live run goes first: what commands and timers cost in it, the simulation is charged with.
    """
    live = Lab(scenario, engine="live", redis_url=redis_url).run(progress)
    simulated = Lab(live.scenario, overheads=Overheads.of(live)).run()
    return simulated.compare(live)


def _check_replays(scenario: Scenario) -> None:
    """Read what is to be replayed, so that an error in it is found now and not in the midst of a run."""
    for producer in scenario.producers:
        if producer.arrivals.kind == "replay":
            for _ in replay(producer.arrivals.source):
                pass


def _check_length(scenario: Scenario, engine: EngineName) -> None:
    """Refuse to wait for a year."""
    length = 0.0
    for producer in scenario.producers:
        arrivals = producer.arrivals
        if arrivals.kind == "replay":
            times = arrivals.times(scenario.rng(producer.name))
            last = max(itertools.islice(times, scenario.entries), default=0.0)
        elif scenario.duration is None:
            assert scenario.entries is not None
            total = sum(p.arrivals.rate for p in scenario.producers if p.arrivals.kind != "replay")
            last = arrivals.start + scenario.entries / total
        else:
            last = math.inf
        if scenario.duration is not None:
            last = min(last, scenario.duration)
        length = max(length, last)
    if length > LONGEST_RUN[engine]:
        days = f"{length / 86_400:,.0f}" if length < 1e12 else f"{length / 86_400:.0e}"
        raise ScenarioError(
            f"{scenario.name} lasts {days} days: give a higher rate or speed (--rate, --speed), fewer entries "
            "or a shorter duration" + (", or run it on the simulated engine" * (engine == "live"))
        )


async def _run_live(engine: LiveEngine, progress: Progress | None) -> Run:
    async with engine:
        return await engine.run(progress)


def _run_coroutine(coroutine: Coroutine[Any, Any, T], is_closing: Callable[[], bool]) -> T:
    """Run a coroutine to its end on a loop and in a thread of its own.

    A loop may be running in the caller's. And an interrupt comes to the caller's thread: here, it only cancels the
    coroutine, which then tidies up to the end, however often the interrupt is repeated. A cancellation may get lost on
    its way (asyncio's own time-outs swallow one that comes with them): it comes again until `is_closing`.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    loop = new_loop()
    task = loop.create_task(coroutine)

    def work() -> None:
        asyncio.set_event_loop(loop)
        try:
            results.append(loop.run_until_complete(task))
        except BaseException as error:  # handed over to the caller's thread
            errors.append(error)
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
            has_ended.set()

    # Python 3.11 takes a thread for ended whose `join` was interrupted.
    has_ended = threading.Event()
    thread = threading.Thread(target=work, name="streamlab-live")
    try:
        thread.start()
        has_ended.wait()
    except BaseException:  # an interrupt
        cancel_until(has_ended, loop, task, is_closing)
        raise
    finally:
        thread.join()
    if errors:
        raise errors[0]
    return results[0]
