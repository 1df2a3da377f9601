"""`Lab`: run a scenario, simulated in virtual time or live on a real Redis.

    run = Lab("one-to-many").run()                                  # simulated: at once
    run = Lab("one-to-many", engine="live").run()                   # worker processes, a private server

Both give a `Run`. A simulated lab can also be stepped: `Lab.run_until`, `Lab.step`, `Lab.snapshot`.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from streamlab.engines.live import LabError, LiveEngine
from streamlab.engines.overheads import Overheads
from streamlab.engines.simulated import SimulatedEngine
from streamlab.named_scenarios import load_scenario
from streamlab.run import Comparison, EngineName, Run
from streamlab.scenario import Scenario, ScenarioError
from streamlab.worker import new_loop

__all__ = ["Lab", "LabError", "run_both"]

T = TypeVar("T")
Progress = Callable[[float, int], None]

#: A live run longer than this is a mistake: nobody waits a week for a notebook.
LONGEST_LIVE_RUN = 24 * 3600.0


class Lab:
    """A scenario and an engine to run it on.

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
        if engine == "live":
            _check_length(self.scenario)
        self.engine: EngineName = engine
        self._redis_url = redis_url
        self._overheads = overheads
        self._simulation: SimulatedEngine | None = None

    def run(self, progress: Progress | None = None) -> Run:
        """Run the scenario to its end and return what came of it.

        May be called from a notebook's cell: the loop that runs there is left alone. `progress` is called
        now and then with the run's time in seconds and the number of events so far.

        Raises
        ------
        LabError, ServerUnusable, ServerStartError
            On the live engine, if the run cannot go on, or the server cannot be used or started.
        """
        if self.engine == "simulated":
            return self._simulated().run(progress)
        return _run_coroutine(self.run_async(progress))

    async def run_async(self, progress: Progress | None = None) -> Run:
        """Run the scenario like `run`, on the event loop that is running."""
        if self.engine == "simulated":
            return self._simulated().run(progress)
        async with LiveEngine(self.scenario, redis_url=self._redis_url) as engine:
            return await engine.run(progress)

    # ---- a simulated run, step by step ---------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds of virtual time since the run began."""
        return self._simulated().now

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        return self._simulated().finished

    def run_until(self, when: float) -> Run:
        """Run a simulation up to the moment `when` (seconds since it began); return the run so far."""
        simulation = self._simulated()
        if not when >= simulation.now:
            raise ValueError(
                f"it is {simulation.now:g} s already: take a new Lab to go back to {when!r} s"
            )
        if math.isinf(when):
            return simulation.run()
        simulation.run_until(when)
        return simulation.result()

    def step(self) -> bool:
        """Run what happens at the next moment of a simulation; return False if it has ended."""
        return self._simulated().step()

    def kill(self, name: str) -> None:
        """Kill a producer or a consumer of a simulation, where it stands.

        Raises
        ------
        ScenarioError
            If there is nobody of that name.
        """
        simulation = self._simulated()
        if name not in simulation.processes:
            raise ScenarioError(
                f"there is no {name!r}: there are {', '.join(simulation.processes)}"
            )
        simulation.kill(name)

    def close(self) -> None:
        """End a simulation that was not run to its end. Nothing of it runs by itself."""
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

    def _simulated(self) -> SimulatedEngine:
        if self.engine != "simulated":
            raise LabError("only a simulated lab can be stepped: real time does not wait")
        if self._simulation is None:
            self._simulation = SimulatedEngine(self.scenario, overheads=self._overheads)
        return self._simulation


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


def _check_length(scenario: Scenario) -> None:
    """Refuse to wait for a year."""
    length = scenario.duration
    if length is None and all(p.arrivals.kind == "replay" for p in scenario.producers):
        length = max(
            max(p.arrivals.times(scenario.rng(p.name)), default=0.0) for p in scenario.producers
        )
    if length is not None and length > LONGEST_LIVE_RUN:
        raise ScenarioError(
            f"{scenario.name} lasts {length / 86_400:.0f} days in real time: give a speed (--speed), "
            "a shorter duration, or run it on the simulated engine"
        )


def _run_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own, also where a loop is running already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(coroutine)
    return _run_in_thread(coroutine)


def _run_in_thread(coroutine: Coroutine[Any, Any, T]) -> T:
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

    thread = threading.Thread(target=work, name="streamlab-live")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    if errors:
        raise errors[0]
    return results[0]
