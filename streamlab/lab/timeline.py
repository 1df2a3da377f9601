"""`Timeline`: a simulation that can be gone through, to and back; interfered with; interrupted, and gone on with."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, get_args

from streamlab.lab.garbage import rare_garbage_collections
from streamlab.lab.plain import NotPlain, PlainRun, is_plain
from streamlab.results.run import Run
from streamlab.scenario import Scenario, ScenarioError
from streamlab.scenario.action import Action
from streamlab.scenario.deeds import LetEnd

if TYPE_CHECKING:  # a run in one loop needs neither redis-py nor asyncio, which take longer to import than all else
    from streamlab.lab.lookout import Lookout
    from streamlab.lab.overheads import Overheads
    from streamlab.lab.pacer import Pacer
    from streamlab.lab.simulated import SimulatedEngine

Progress = Callable[[float, int], None]
#: How a simulation is run through: in one loop where that does the same, or by coroutines in any case.
Way = Literal["quickest", "coroutines"]

#: Virtual seconds simulated at once while time passes, at first; and what this may take, in seconds.
_STRIDE, _FINE_SLICE = 0.01, 0.004
_is_for_screen: ContextVar[bool] = ContextVar("is_for_screen", default=False)


@contextlib.contextmanager
def for_screen() -> Iterator[None]:
    """Ask only so as to show: an error that was met in the background is told to whoever uses the lab next as well.

    Else a notebook that is run by nobody would pass, since a panel in it that nobody sees has been told.
    """
    token = _is_for_screen.set(True)
    try:
        yield
    finally:
        _is_for_screen.reset(token)


class Timeline:
    """The one simulation of a lab, for whichever thread asks.

    What was done by hand is in the scenario of the engine: going back is another simulation of that, up to an
    earlier moment.
    """

    def __init__(
        self,
        scenario: Scenario,
        overheads: Overheads | None,
        engine_of: Callable[[Scenario], SimulatedEngine] | None = None,
        way: Way = "quickest",
    ) -> None:
        if way not in get_args(Way):
            raise ScenarioError(f"there is no way {way!r}: known are {', '.join(get_args(Way))}")
        self._scenario = scenario
        self._may_be_plain = way == "quickest" and overheads is None and engine_of is None
        #: What came of it, and when it ended, if it was run through in the plain way: then nobody has an engine yet.
        self._over: tuple[Run, float] | None = None
        self._overheads, self._engine_of = overheads, engine_of
        self._engine: SimulatedEngine | None = None
        self._lookout: Lookout | None = None
        self._pacer: Pacer | None = None
        self._lock = threading.RLock()  # whoever has it may use the simulation
        self._stride = _STRIDE
        self._stays_open = False
        self._trouble: BaseException | None = None  # that the background met
        self._interrupted_at: float | None = None  # the moment to which a simulation has to be run again

    # ---- what is to be seen --------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds of virtual time since the run began."""
        with self._lock:
            return self._simulation().now if self._over is None else self._over[1]

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        with self._lock:
            return self._over is not None or self._simulation().finished

    @property
    def scenario(self) -> Scenario:
        """The scenario as it is now, with what was done by hand; after going back, with what lies in the future."""
        with self._lock:
            return self._scenario if self._engine is None else self._engine.scenario

    @property
    def is_playing(self) -> bool:
        """Whether time passes by itself."""
        return self._pacer is not None and self._pacer.is_running

    @property
    def speed(self) -> float:
        """How many seconds of the run pass in one of the wall's while it plays."""
        return self._pacer.speed if self._pacer is not None else 1.0

    def ask(self, question: Callable[[Lookout], Any]) -> Any:
        """Ask something of the simulation as it is at this moment."""
        with self._lock, self._interruptible():
            self._raise_trouble()
            engine = self._simulation()
            assert self._lookout is not None
            found: Any = question(self._lookout)
            if isinstance(found, Coroutine):
                try:
                    found = engine.call(found)
                finally:
                    if isinstance(found, Coroutine):  # the lab has been closed: it was never begun
                        found.close()
            return found

    # ---- what is done to it --------------------------------------------------------------------

    def do(self, action: Action[Any]) -> Any:
        """Do an action now, or have it done when it is time; what was to be done by hand after now is forgotten.

        Now is the next moment that there is: all that happens at this one has happened.
        """
        with self._lock, self._interruptible():
            self._raise_trouble()
            engine = self._simulation()
            action = engine.course.named(action)
            is_now = not action.is_dated
            if is_now:
                action = action.dated(math.nextafter(engine.now, math.inf))
            elif not action.when > engine.now:
                raise ScenarioError(f"it is {engine.now:g} s already, too late for {str(action)!r}: go_to goes back")
            engine.course.check(action)
            engine.course.forget(after=engine.now)
            if action.needs_counting and not engine.counts:
                # Entries have to be counted from the beginning.
                now, scenario = engine.now, engine.course.as_planned
                self._begin(scenario.replace(by_hand=(*scenario.by_hand, action)))
                engine = self._simulation()
                engine.run_until(action.when if is_now else now)
                return engine.call(engine.course.outcome_of(action)) if is_now else None
            done = engine.course.schedule(action)
            if not is_now:
                return None
            engine.run_until(action.when)
            found = engine.call(done)
            # What follows from it at this very moment follows before anything else is done.
            engine.run_until(engine.now)
            return found

    def run(self, progress: Progress | None = None) -> Run:
        """Run to the end."""
        self.freeze()
        self.keep_open(False)
        with self._lock, self._interruptible():
            self._raise_trouble()
            if self._engine is None and self._interrupted_at is None and self._over is None:
                self._over = self._run_plainly(progress)
            return self._simulation().run(progress) if self._over is None else self._over[0]

    def run_until(self, when: float) -> Run:
        """Run up to a moment; return the run so far."""
        self.freeze()
        with self._lock, self._interruptible():
            self._raise_trouble()
            engine = self._simulation()
            if not when >= engine.now:
                raise ValueError(f"it is {engine.now:g} s already: go_to({when!r}) goes back, or take a new Lab")
            if math.isinf(when):
                return self.run()
            engine.run_until(when)
            return engine.result()

    def step(self) -> bool:
        """Run what happens at the next moment; return False if the run has ended."""
        self.freeze()
        with self._lock, self._interruptible():
            self._raise_trouble()
            return self._simulation().step()

    def go_to(self, when: float) -> None:
        """Go to a moment, back or forth."""
        if not 0 <= when < math.inf:
            raise ScenarioError(f"{when!r} is no moment of a run: give seconds, 0 or more")
        self.freeze()
        with self._lock, self._interruptible():
            self._raise_trouble()
            if self._over is not None and when < self._over[1]:
                self._over = None  # begin at the beginning
            engine = self._simulation()
            if when < engine.now:
                self._begin(engine.course.as_planned)
                engine = self._simulation()
            engine.run_until(when)

    def begin_again(self, scenario: Scenario) -> None:
        """Begin a scenario from its beginning."""
        self.freeze()
        with self._lock:
            self._begin(scenario)
            self._simulation()

    def keep_open(self, yes: bool) -> None:
        """Note whether somebody looks on who may restart a producer; else nobody is waited for."""
        with self._lock, self._interruptible():
            self._stays_open = yes
            if self._engine is not None:
                course = self._simulation().course
                if course.is_waiting and not yes:
                    self.do(LetEnd())
                course.keep_open(yes)

    def play(self, speed: float) -> None:
        """Let time pass in the background, at `speed` times the wall's clock."""
        with self._lock:
            self._raise_trouble()
            now = self._simulation().now
            if self._pacer is not None and self._pacer.is_running:
                self._pacer.speed = speed
                return
            from streamlab.lab.pacer import Pacer

            self._pacer = Pacer(self._advance, now, speed)

    def freeze(self) -> None:
        """Let time stand still. Not under the lock, which the clock may be waiting for."""
        pacer, self._pacer = self._pacer, None
        if pacer is not None:
            pacer.stop()

    def close(self) -> None:
        """End the simulation."""
        self.freeze()
        with self._lock:
            if self._engine is not None:
                self._engine.close()

    # ---- how it is done ------------------------------------------------------------------------

    def _run_plainly(self, progress: Progress | None) -> tuple[Run, float] | None:
        """Run to the end without coroutines, where these would do the same; None where they have to."""
        if not (self._may_be_plain and is_plain(self._scenario)):
            return None
        plain, wall = PlainRun(self._scenario), 0.0
        try:
            is_over = False
            while not is_over:
                began = time.perf_counter()
                with rare_garbage_collections():
                    is_over = not plain.advance()
                wall += time.perf_counter() - began
                self._interrupted_at = max(plain.now, 0.0)
                if progress is not None:
                    progress(plain.now, len(plain.log))
                if self._engine is not None:  # somebody looks on, and has been taken to this moment
                    return None
        except NotPlain:
            self._interrupted_at = None
            return None
        except BaseException:  # whoever uses the lab next is taken to this moment
            self._interrupted_at = max(plain.now, 0.0)
            raise
        self._interrupted_at = None
        return plain.result(wall), plain.now

    def _simulation(self) -> SimulatedEngine:
        if self._engine is None:
            from streamlab.lab.lookout import Lookout
            from streamlab.lab.simulated import SimulatedEngine

            if self._engine_of is not None:
                self._engine = self._engine_of(self._scenario)
            else:
                self._engine = SimulatedEngine(self._scenario, overheads=self._overheads)
            self._engine.course.keep_open(self._stays_open)
            self._lookout = Lookout(self._engine)
            if self._over is not None:
                self._engine.run()
                self._over = None
        if self._interrupted_at is not None:
            when, self._interrupted_at = self._interrupted_at, None
            with self._interruptible(when):
                self._engine.run_until(max(when, self._engine.now))
        return self._engine

    def _begin(self, scenario: Scenario) -> None:
        """Let the next simulation be one of this scenario."""
        if self._engine is not None:
            self._engine.close()
        self._engine = self._lookout = self._interrupted_at = self._over = self._trouble = None
        self._scenario = scenario

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
            engine, self._engine = self._engine, None
            if engine is not None and self._interrupted_at is None:
                self._interrupted_at = engine.now if when is None else when
                self._scenario = engine.course.as_planned
                engine.abandon()
            raise

    def _advance(self, until: float, deadline: float) -> float | None:
        """Run the simulation towards a moment in small slices, but not beyond the wall's deadline."""
        with self._lock:
            try:
                engine = self._simulation()
                while engine.now < until and not engine.finished:
                    began = time.perf_counter()
                    if began > deadline:
                        break
                    engine.run_until(max(min(until, engine.now + self._stride), engine.now))
                    self._stride *= 1.5 if time.perf_counter() - began < _FINE_SLICE else 0.7
                return None if engine.finished else engine.now
            except BaseException as error:  # for whoever uses the lab next: nobody sees this thread
                self._trouble = error
                return None

    def _raise_trouble(self) -> None:
        trouble = self._trouble
        if not _is_for_screen.get():
            self._trouble = None
        if trouble is not None:
            raise trouble
