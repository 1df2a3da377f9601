"""`Agenda`: what is planned for a run, and what is done to it by hand."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import attrs

from streamlab.results.events import EventLog
from streamlab.scenario import Scenario, ScenarioError
from streamlab.scenario.action import Action, ActionError, ProcessAction, TimedAction
from streamlab.scenario.actions import AddConsumer, check_target
from streamlab.scenario.failing import check_servers
from streamlab.scenario.groups import check_group
from streamlab.scenario.shards import check_fits

R = TypeVar("R")


class Agenda(ABC):
    """The part of a `Course` that sees to it that actions are carried out: each at its time."""

    scenario: Scenario
    log: EventLog
    origin: float

    def __init__(self, carry_out: Callable[[Action[Any], Any], Awaitable[Any]]) -> None:
        self._do_action = carry_out
        self._by_hand: list[tuple[asyncio.TimerHandle, Action[Any], asyncio.Future[Any]]] = []
        #: What the lab has done: after how many events, when, as it would be typed, and the reply.
        self.notes: list[tuple[int, float, str, str]] = []

    @property
    @abstractmethod
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop, whose time is the run's."""

    @property
    @abstractmethod
    def processes(self) -> Mapping[str, object]:
        """The latest life of each actor."""

    @property
    @abstractmethod
    def consumers(self) -> Mapping[str, object]:
        """The consumers as they are now."""

    @abstractmethod
    def do(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside everything else; an error in it ends the run."""

    @abstractmethod
    def stir(self) -> None:
        """Look again whether the run goes on: something has been done by hand."""

    @abstractmethod
    async def until_up(self) -> None:
        """Wait until the server is there."""

    @property
    @abstractmethod
    def is_down(self) -> bool:
        """Whether the server is gone."""

    @property
    def now(self) -> float:
        """Seconds since the run began; NaN before that is known."""
        return self.loop.time() - self.origin

    async def _watch_the_clock(self) -> None:
        """Let what is planned happen when it is time; what is done to the stream waits for a server that is down."""
        timed = [action for action in self.scenario.faults if action.is_dated]
        waiting: list[asyncio.Task[None]] = []
        for action in sorted(timed, key=lambda action: action.when):
            await asyncio.sleep(action.when - self.now)
            if self.is_down and isinstance(action, TimedAction) and not isinstance(action, ProcessAction):
                waiting.append(self.do(self._when_up(action)))
            else:
                await self._carry_out(action)
        if waiting:
            await asyncio.wait(waiting)

    async def _when_up(self, action: Action[Any]) -> None:
        await self.until_up()
        await self._carry_out(action)

    async def _carry_out(self, action: Action[Any]) -> None:
        """Do what was planned; what cannot be done as things are is written down, and the run goes on."""
        try:
            await self._do_action(action, self)
        except (ScenarioError, ActionError) as error:
            self.note(str(action), f"(error) {error}")

    # ---- what is done by hand ------------------------------------------------------------------

    def check(self, action: Action[Any]) -> None:
        """Require that an action is aimed at somebody who is there; raise `ScenarioError`."""
        producers = [name for name in self.processes if name not in self.consumers]
        try:
            check_target(action, self.consumers, producers)
            check_group(action, self.scenario.groups)
            check_fits(action, self.scenario.shards)
            scenario = self.scenario
            check_servers(action, scenario.persistence, scenario.replicas, scenario.primaries)
        except ActionError as error:
            raise ScenarioError(str(error)) from None

    def named(self, action: Action[R]) -> Action[R]:
        """Return an action with the next name that is free, if it is to add a consumer of no name."""
        if not isinstance(action, AddConsumer) or action.target is not None:
            return action
        name = next(name for i in itertools.count(1) if (name := f"C{i}") not in self.processes)
        return attrs.evolve(action, target=name)  # type: ignore[return-value]

    def schedule(self, action: Action[Any]) -> asyncio.Future[Any]:
        """Let an action be done by hand when it is time; return what will come of it.

        It is among the scenario's from then on, unless it cannot be done.
        """
        done = self.loop.create_future()
        done.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody need ask

        async def act() -> None:
            try:
                self.check(action)
                found = await self._do_action(action, self)
            except Exception as error:  # for whoever waits for it
                self._leave_out(action)
                done.set_exception(error)
            else:
                done.set_result(found)
            self.stir()

        if action not in self.scenario.by_hand:
            self.scenario = self.scenario.replace(by_hand=(*self.scenario.by_hand, action))
        timer = self.loop.call_at(self.origin + action.when, lambda: self.do(act()), context=contextvars.Context())
        self._by_hand.append((timer, action, done))
        return done

    async def do_by_hand(self, action: Action[Any]) -> Any:
        """Do an action now, and return what comes of it; or have it done when it is time."""
        self.check(action)
        action = self.named(action)
        if action.is_dated:
            self.schedule(action)
            return None
        return await self.schedule(action.dated(max(self.now, 0.0)))

    @property
    def has_more_by_hand(self) -> bool:
        """Whether anything is still to be done by hand that is planned already."""
        return any(not done.done() for *_, done in self._by_hand)

    def outcome_of(self, action: Action[Any]) -> asyncio.Future[Any]:
        """Return what comes of an action of the scenario that is done by hand."""
        return next(done for _, each, done in self._by_hand if each == action)

    def forget(self, after: float) -> None:
        """Leave out what was to be done by hand after a time of the run."""
        for timer, action, done in self._by_hand:
            if action.when > after:
                timer.cancel()
                done.cancel()
                self._leave_out(action)

    def _leave_out(self, action: Action[Any]) -> None:
        left = tuple(other for other in self.scenario.by_hand if other is not action)
        self.scenario = self.scenario.replace(by_hand=left)

    def note(self, text: str, reply: str = "") -> None:
        """Write down what the lab has done, as it would be typed."""
        self.notes.append((len(self.log), self.now, text, reply))
