"""`Lab`: run a scenario, simulated in virtual time or live on a real Redis; and interfere while it runs.

run = Lab("one-to-many").run()                                  # simulated: at once
run = Lab("one-to-many", engine="live").run()                   # worker processes, a private server

lab = Lab("kill-and-recover")                                   # or engine="live"
lab.play()                                                      # in the background
lab.kill("C2")                                                  # its entries stay pending
lab.autoclaim("C1")                                             # until somebody claims them
lab.close()
"""

from __future__ import annotations

import dataclasses
import heapq
import math
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from streamlab.actors import Recovery
from streamlab.lab.errors import LabError as LabError
from streamlab.lab.how_far import run_shown
from streamlab.lab.methods import ByHand
from streamlab.lab.reasonable import check_engine, check_run
from streamlab.lab.timeline import Progress, Timeline, Way
from streamlab.results.run import EngineName, Run
from streamlab.scenario import Scenario, ScenarioError, actions, load_scenario
from streamlab.scenario.action import Action, ActionError
from streamlab.scenario.action_texts import parse_action
from streamlab.scenario.small_table import ShowsItself, SmallTable, length

if TYPE_CHECKING:  # each is imported where it is needed: a run in one loop needs none of them
    from streamlab.lab.driving import LiveDriver
    from streamlab.lab.live import LiveEngine
    from streamlab.lab.overheads import Overheads
    from streamlab.lab.simulated import SimulatedEngine
    from streamlab.results.recent import Command, Recent
    from streamlab.results.snapshot import Snapshot

R = TypeVar("R")

#: Seconds between two looks at a live lab that is waited for.
_LOOK_EVERY = 0.02


class Lab(ByHand, ShowsItself):
    """A scenario and an engine to run it on.

    `run` runs it to its end. Or it is played, and what happens then is done by hand, from any thread: by `do`, or by
    a method for each kind of action (`kill`, `pause` …). A live lab starts its processes when it is first used.

    Parameters
    ----------
    scenario
        A `Scenario`, the name of one, or the path of a TOML file.
    engine
        ``"simulated"`` (virtual time, in this process) or ``"live"`` (real time, a process for each actor).
    redis_url
        The server for the live engine; None starts a private one, which ends with the run.
    open_as
        The name under which workers elsewhere may join a live run there: ``streamlab worker --join URL --run NAME``.
    overheads
        What commands and timers cost in the simulation: nothing, unless given (see `Overheads.of`).
    engine_of
        What makes a scenario's simulation, if not the usual one.
    way
        ``"quickest"``: `run` simulates in one loop where that gives the same run; ``"coroutines"``: it never does.

    Raises
    ------
    ScenarioError, LabError
        If there is no such scenario, or it cannot run on this engine, or a browser has no processes for that.
    """

    def __init__(
        self,
        scenario: Scenario | str | Path,
        *,
        engine: EngineName = "simulated",
        redis_url: str | None = None,
        open_as: str | None = None,
        overheads: Overheads | None = None,
        engine_of: Callable[[Scenario], SimulatedEngine] | None = None,
        way: Way = "quickest",
    ) -> None:
        self.scenario = scenario if isinstance(scenario, Scenario) else load_scenario(scenario)
        check_engine(engine)
        if engine == "simulated" and redis_url is not None:
            raise ScenarioError("the simulated engine uses no server: leave the URL out, or take engine='live'")
        if open_as is not None and redis_url is None:
            raise ScenarioError("workers from elsewhere need a server that they reach: give redis_url, or no open_as")
        check_run(self.scenario, engine)
        self.engine: EngineName = engine
        self._redis_url, self._open_as = redis_url, open_as
        self._timeline = Timeline(self.scenario, overheads, engine_of, way)
        self._live: LiveDriver | None = None
        self._stays_open = False
        self._is_closed = False

    # ---- run it through ------------------------------------------------------------------------

    def run(self, progress: Progress | None = None) -> Run:
        """Run the scenario to its end and return what came of it.

        May be called from a notebook's cell: the loop that runs there is left alone, and a long run shows how far it
        is. `progress` is called now and then with the run's time in seconds and the number of events. An interrupt
        (Ctrl-C, ■) ends a live run; a simulation can be gone on with.

        Raises
        ------
        LabError, ServerUnusable, ServerStartError
            On the live engine, if the run cannot go on, or the server cannot be used or started.
        """
        self._stays_open = False
        with run_shown(self.scenario.duration) as shown:
            progress = progress or shown
            if self.engine == "simulated":
                return self._timeline.run(progress)
            if self._live is not None:
                return self._live.wait()
            from streamlab.lab.running import run_through

            return run_through(self.live_engine(), progress)

    async def run_async(self, progress: Progress | None = None) -> Run:
        """Run the scenario like `run`, on the event loop that is running."""
        if self.engine == "simulated":
            return self._timeline.run(progress)
        async with self.live_engine() as engine:
            return await engine.run(progress)

    def live_engine(self, port: int | None = None) -> LiveEngine:
        """Return the engine of a live run; with a port, its private server is reached there as well."""
        from streamlab.lab.live import LiveEngine

        return LiveEngine(self.scenario, redis_url=self._redis_url, port=port, open_as=self._open_as)

    # ---- time ----------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since the run began: of virtual time, or of the wall's."""
        if self.engine == "live":
            return self._live.engine.now if self._live is not None else 0.0
        return self._timeline.now

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        if self.engine == "live":
            return self._live is not None and self._live.finished
        return self._timeline.finished

    @property
    def is_closed(self) -> bool:
        """Whether the lab has been closed: then nothing can be done with it any more."""
        return self._is_closed

    @property
    def is_playing(self) -> bool:
        """Whether time passes by itself."""
        if self.engine == "live":
            return self._live is not None and not self._live.finished
        return self._timeline.is_playing

    @property
    def stays_open(self) -> bool:
        """Whether the run waits for somebody to restart a producer that was killed by hand, as it does at a panel."""
        return self._stays_open

    @stays_open.setter
    def stays_open(self, yes: bool) -> None:
        self._stays_open = yes
        if self._live is not None:
            self._live.keep_open(yes)
        elif self.engine == "simulated":
            self._timeline.keep_open(yes)

    @property
    def speed(self) -> float:
        """How many seconds of the run pass in one of the wall's while it plays."""
        return self._timeline.speed

    @property
    def seed(self) -> int:
        """What everything random in the run comes from."""
        return self.scenario.seed

    def play(self, speed: float = 1.0) -> None:
        """Let time pass in the background, at `speed` times the wall's clock; return at once.

        A simulation that cannot keep up goes as fast as it can. A live lab returns when its server and processes run.
        """
        if not 0 < speed < math.inf:
            raise ScenarioError(f"speed is {speed!r}: give a number above 0")
        if self.engine == "simulated":
            self._timeline.play(speed)
        elif speed != 1:
            raise LabError("a live lab runs at the speed of the wall's clock: speed is 1")
        else:
            self._live_driver()

    def freeze(self) -> None:
        """Let virtual time stand still: `play` goes on. (`pause` is for consumers.)"""
        self._only_simulated("real time cannot be stopped: pause its consumers, or close the lab")
        self._timeline.freeze()

    def run_until(self, when: float) -> Run:
        """Run a simulation up to the moment `when` (seconds since it began); return the run so far."""
        self._only_simulated()
        return self._timeline.run_until(when)

    def step(self) -> bool:
        """Run what happens at the next moment of a simulation; return False if it has ended."""
        self._only_simulated()
        return self._timeline.step()

    def wait_until(self, condition: Callable[[Snapshot], object], *, timeout: float = 60.0) -> Snapshot:
        """Let time pass until a snapshot fulfils `condition`; return that. On both engines.

        A simulation is stepped there, and stands still. `timeout` is in seconds of the run.

        Raises
        ------
        TimeoutError
            If it does not come to that.
        """
        began = self.now
        while True:
            is_last = self.finished  # asked before the look: what a run comes to at its end is looked at as well
            if condition(snapshot := self.snapshot()):
                return snapshot
            if self.now - began > timeout or is_last:
                raise TimeoutError(
                    f"{self.now - began:.3g} s later it has not come to that, in {self!r}: "
                    f"{snapshot.n_pending} pending, {snapshot.backlog} in the backlog"
                )
            if self.engine == "live":
                time.sleep(_LOOK_EVERY)
            elif not self.step():
                timeout = 0.0  # nothing happens any more

    def go_to(self, when: float) -> None:
        """Take a simulation to the moment `when`, back or forth; time stands still there.

        The way there is run again from the beginning, with all that was done by hand at its time: the same
        seed and the same actions give the same run, to the letter. What was done after `when` is kept, and
        is done again when its time comes; a new action makes another future, and it is forgotten.
        """
        self._only_simulated()
        self._timeline.go_to(when)

    def begin_again(self, seed: int | None = None) -> None:
        """Take a simulation back to its beginning, with another seed if one is given; nothing was done by hand."""
        self._only_simulated("a live run cannot be begun again: take a new Lab")
        self.scenario = self.scenario.replace(seed=self.seed if seed is None else seed, by_hand=())
        self._timeline.begin_again(self.scenario)

    # ---- what is done to it ----------------------------------------------------------------------

    def do(self, action: Action[R] | str) -> R:
        """Do an action by hand: now, or when it is time; return what comes of it.

        ``lab.do("kill C2")`` and ``lab.do(Kill("C2"))`` are ``lab.kill("C2")``. All faults can be done by hand:
        one that counts begins to count now.

        Raises
        ------
        ScenarioError
            If it makes no sense, or is aimed at nobody, or cannot be done as things are.
        """
        try:
            meant = parse_action(action) if isinstance(action, str) else action
            done: R = self._driver().do(meant)
        except ActionError as error:
            raise ScenarioError(str(error)) from None
        return done

    # ---- what is to be seen --------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return how things are at this moment: consumers, pending entries, stream and group."""
        finished = self.finished
        snapshot: Snapshot = self._driver().ask(lambda lookout: lookout.look(finished))
        return snapshot

    @property
    def commands(self) -> list[Command]:
        """The last commands: what the lab sent, what ``%redis`` sent to its server, and what the workers' events tell.

        So a worker's read that gave nothing is not among them; for what really travels to a server, ask ``MONITOR``.
        """
        recent = self.recent
        both = heapq.merge(recent.commands, recent.by_hand, key=lambda command: command.at)
        return [dataclasses.replace(command) for command in both]

    @property
    def recent(self) -> Recent:
        """What the events come to so far, and what has happened last, to be looked at: see `Recent`."""
        recent: Recent = self._driver().ask(lambda lookout: lookout.read())
        return recent

    def story(self, entry_id: str) -> tuple[str, ...]:
        """Return what has happened to an entry so far, a line for each event, and where it is now.

        Raises
        ------
        ScenarioError
            If no such entry has been added.
        """
        told: tuple[str, ...] = self._driver().ask(lambda lookout: lookout.story(entry_id))
        if not told:
            raise ScenarioError(f"no entry {entry_id!r} has been added")
        return told

    @property
    def actions(self) -> tuple[Action[Any], ...]:
        """What was done by hand, and when; after going back, what lies in the future as well."""
        return self._as_it_is().by_hand

    @property
    def recovery(self) -> Recovery:
        """How consumers recover now."""
        return self._as_it_is().recovery

    @property
    def rate(self) -> float | None:
        """Entries per second of each producer, as it was set last; None: recorded times are replayed."""
        rates = [p.arrivals.rate for p in self.scenario.producers if p.arrivals.kind != "replay"][:1]
        rates += [action.rate for action in self._past() if isinstance(action, actions.SetRate)]
        return rates[-1] if rates else None

    @property
    def service(self) -> float:
        """Mean seconds that a consumer takes for an entry, as it was set last for all."""
        means = [a.mean for a in self._past() if isinstance(a, actions.SetService) and a.consumer is None]
        return means[-1] if means else self.scenario.consumers[0].service.mean

    # ---- its end -------------------------------------------------------------------------------

    def close(self) -> None:
        """End everything: the clock, a simulation that was not run to its end, processes and a private server."""
        self._is_closed = True
        self._timeline.close()
        if self._live is not None:
            self._live.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def as_table(self) -> SmallTable:
        """Return what is run, on which engine, and how far it is."""
        table = self.scenario.as_table()
        first, *others = table.lines
        first += f" ({self.engine}, at {length(self.now)})"
        return table._replace(lines=[first, *others, *(action.in_short() for action in self.actions)])

    def __repr__(self) -> str:
        return f"<Lab of {self.scenario.name} ({self.engine})>"

    # ---- how it is done ------------------------------------------------------------------------

    def _driver(self) -> LiveDriver | Timeline:
        """Return who does what is done to the run."""
        if self._is_closed:
            raise LabError("this lab has been closed: take a new one")
        return self._live_driver() if self.engine == "live" else self._timeline

    def _live_driver(self) -> LiveDriver:
        if self._live is None:
            from streamlab.lab.driving import LiveDriver

            driver = LiveDriver(self.scenario, self._redis_url, self._open_as)
            weakref.finalize(self, driver.close)  # when nobody has the lab any more, or at exit
            self._live = driver.start(partial(setattr, self, "_live"))
            self._live.keep_open(self._stays_open)
        return self._live

    def _as_it_is(self) -> Scenario:
        if self.engine == "simulated":
            return self._timeline.scenario
        return self.scenario if self._live is None else self._live.engine.scenario

    def _past(self) -> list[Action[Any]]:
        now, scenario = self.now, self._as_it_is()
        past = [action for action in (*scenario.faults, *scenario.by_hand) if action.when <= now]
        return sorted(past, key=lambda action: action.when)

    def _only_simulated(self, why: str = "real time does not wait") -> None:
        if self.engine != "simulated":
            raise LabError(f"only a simulated lab can be stepped: {why}")
