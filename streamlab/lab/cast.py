"""`Cast`: everybody who acts in a run, through all of their lives, and what can be done to them."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from streamlab.actors import Recovery
from streamlab.actors.events import ADDED, PAUSED, RESUMED
from streamlab.lab.agenda import Agenda
from streamlab.lab.play import Part
from streamlab.lab.stage import Process, Stage
from streamlab.results.events import EventLog
from streamlab.scenario import Consumer, Producer, Scenario
from streamlab.scenario.action import Action, CountedAction
from streamlab.scenario.actions import Poison


@dataclass(slots=True)
class _Role:
    """What is known of an actor through all of its lives."""

    actor: Consumer | Producer
    process: Process
    life: int = 1
    pace: float = 1.0
    #: By how much it is slower, each for a while.
    slow: list[float] = field(default_factory=list)
    #: What happens at an entry that is counted: through all lives, each once.
    counted: tuple[CountedAction, ...] = ()
    #: When it told that it stopped; not a number if it has not.
    stopped_at: float = math.nan
    #: Whether somebody sees to it that it is started again as soon as it has stopped.
    is_to_restart: bool = False

    @property
    def slowness(self) -> float:
        return math.prod(self.slow)


class Cast(Agenda):
    """The part of a `Course` that is about its actors."""

    def __init__(
        self,
        scenario: Scenario,
        stage: Stage,
        log: EventLog,
        carry_out: Callable[[Action[Any], Any], Awaitable[Any]],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        super().__init__(carry_out)
        self.scenario = scenario
        self.stage, self.log = stage, log
        self._known_loop = loop
        self.is_ending = False
        self._roles: dict[str, _Role] = {}

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop, whose time is the run's."""
        return self._known_loop or asyncio.get_running_loop()

    def pids(self) -> dict[str, int]:
        """Return the process ids of those who live and have a process of the machine's."""
        pids = {name: role.process.pid for name, role in self._roles.items()}
        return {name: pid for name, pid in pids.items() if pid is not None}

    @property
    def processes(self) -> dict[str, Process]:
        """The latest life of each actor."""
        return {name: role.process for name, role in self._roles.items()}

    @property
    def consumers(self) -> dict[str, Consumer]:
        """The consumers as they are now."""
        return {n: r.actor for n, r in self._roles.items() if isinstance(r.actor, Consumer)}

    def process_of(self, name: str) -> Process | None:
        """Return the latest life of an actor, if there is one."""
        role = self._roles.get(name)
        return None if role is None else role.process

    def is_consumer(self, name: str) -> bool:
        """Return whether an actor is a consumer."""
        return isinstance(self._roles[name].actor, Consumer)

    def alive(self, name: str) -> bool:
        """Whether an actor lives, or stands still: it has begun, and not ended."""
        process = self._roles[name].process
        has_begun = process.has_begun(self.loop.time())
        return has_begun and not process.has_ended and not process.is_killed

    def running_consumers(self) -> list[str]:
        """Return who is alive, and does not stand still."""
        return [n for n in self.consumers if self.alive(n) and self._roles[n].process.paused_until is None]

    def dead_consumers(self) -> list[str]:
        """Return whose latest life has died."""
        return [name for name in self.consumers if self._roles[name].process.has_died]

    # ---- lives ---------------------------------------------------------------------------------

    def _spawn(self, actor: Consumer | Producer, since: float = 0.0) -> Process:
        """Make the next life of an actor, which begins at so many seconds of the run."""
        role = self._roles.get(actor.name)
        if role is None:
            planned = (action for action in self.scenario.faults if not action.is_dated)
            mine = tuple(a for a in planned if isinstance(a, CountedAction) and a.target == actor.name)
            process = self.stage.spawn(Part(actor, counted=mine))
            self._roles[actor.name] = _Role(actor, process, counted=mine)
        else:
            role.life += 1
            n = role.process.n_begun if isinstance(actor, Consumer) else self._added_by(actor.name)
            process = role.process = self.stage.spawn(
                Part(role.actor, role.life, n, role.slowness, role.pace, role.counted, since)
            )
        return process

    def _added_by(self, producer: str) -> int:
        return sum(event.kind == ADDED and event.actor == producer for event in self.log)

    def start(self, name: str, *, at: float | None = None) -> None:
        """Start an actor that is dead or has stopped, under its own name; no matter if it lives.

        It begins at a time of the loop's, now if there is none: its process takes its time to start meanwhile, and
        begins as soon as it can if that has passed.
        """
        if self.is_ending or self.alive(name):
            return
        at = self.loop.time() if at is None or math.isnan(at) else at
        process = self._roles[name].process
        if process.has_ended:
            process = self._spawn(self._roles[name].actor, at - self.origin)
        elif process.begins_at <= at:  # somebody is about to start it
            return
        process.begin(at)

    # ---- what can be done to actors ------------------------------------------------------------

    def kill(self, name: str) -> None:
        """End an actor where it stands (SIGKILL): what it held stays pending. No matter if it is dead."""
        if self.alive(name):
            process = self._roles[name].process
            process.is_killed = True
            process.kill()

    def pause(self, name: str, duration: float = math.inf) -> None:
        """Let an actor stand still (SIGSTOP) for so long, while the world goes on.

        Of several pauses that overlap the last to end counts.
        """
        process = self._roles[name].process
        if self.alive(name):
            self.is_paused(process, self.loop.time(), duration, by_itself=False)

    def is_paused(self, process: Process, at: float, duration: float = math.inf, *, by_itself: bool = True) -> None:
        """Take note that a process stands still from a time on; or see to it, if it does not `by_itself`."""
        until = at + duration
        if process.paused_until is None:
            if not by_itself:
                process.hold()
            self.log.report(PAUSED, process.name, at=at)
        elif until <= process.paused_until:
            return
        process.paused_until = until
        if until < math.inf:
            self._at(until, lambda: self._resume_if_due(process, until))

    def _resume_if_due(self, process: Process, until: float) -> None:
        if process.paused_until == until:
            self._resume(process)

    def resume(self, name: str) -> None:
        """Let a paused actor go on (SIGCONT) as if nothing had happened."""
        self._resume(self._roles[name].process)

    def _resume(self, process: Process) -> None:
        if process.paused_until is not None and not process.has_ended and not process.is_killed:
            process.paused_until = None
            self.log.report(RESUMED, process.name)
            process.release()

    def restart(self, name: str) -> None:
        """Ask an actor to stop (SIGTERM); once it has finished what it holds, it is started again.

        One that stands still goes on first: it could not hear of it.
        """
        if self.alive(name):
            self.resume(name)
            role = self._roles[name]
            role.is_to_restart = True
            role.process.stop()
        else:
            self.start(name)

    def slow_down(self, name: str, factor: float, duration: float) -> None:
        """Let a consumer take `factor` times as long for an entry, for a while: whatever becomes of its process."""
        role = self._roles[name]
        role.slow.append(factor)
        role.process.order(slowness=role.slowness)
        self._at(self.loop.time() + duration, lambda: self._speed_up(role, factor))

    def _speed_up(self, role: _Role, factor: float) -> None:
        role.slow.remove(factor)
        role.process.order(slowness=role.slowness)

    def set_service(self, name: str, mean: float) -> None:
        """Let a consumer take `mean` seconds for an entry from now on."""
        role = self._roles[name]
        assert isinstance(role.actor, Consumer)
        role.actor = role.actor.replace(service=role.actor.service.replace(mean=mean))
        role.process.order(service=mean)

    def set_pace(self, name: str, pace: float) -> None:
        """Let a producer be faster than planned by this factor, after the entry that comes next."""
        role = self._roles[name]
        role.pace = pace
        role.process.order(pace=pace)

    def nudge(self, name: str) -> None:
        """Let a consumer read its own history again: something has been claimed for it."""
        self._roles[name].process.order(nudge=True)

    async def set_recovery(self, recovery: Recovery) -> None:
        """Let everybody recover in this way from now on: consumers, and who starts dead ones again.

        Raises
        ------
        ScenarioError, ServerUnusable
            If the server has not got what it needs, or dead letters would go to a key that is not this run's.
        """
        self.stage.check_recovery(recovery)
        await self.stage.claim_keys(recovery)
        self.scenario = self.scenario.replace(recovery=recovery)
        for name in self.consumers:
            self._roles[name].process.order(recovery=dataclasses.asdict(recovery))

    def add_consumer(self, name: str, group: str | None = None) -> None:
        """Let one more consumer join a group: as the scenario says, or like the group's first one."""
        known = {consumer.name: consumer for consumer in self.scenario.consumers}
        consumer = known.get(name)
        if consumer is None:
            groups = self.scenario.groups
            first, *_ = groups[group or next(iter(groups))]
            consumer = self.consumers[first].replace(name=name)
            self.scenario = self.scenario.replace(consumers=(*self.scenario.consumers, consumer))
        self._spawn(consumer).begin(self.loop.time())

    def count(self, action: CountedAction) -> None:
        """Let something happen at the nth entry, from now on, that a consumer begins or a producer adds."""
        role = self._roles[action.target]
        if isinstance(action, Poison):
            role.process.order(poison=action.nth)
        elif role.process.has_ended:
            self.counted(action.counted_from(role.process.n_begun))
        else:
            role.process.count(action)

    def counted(self, action: CountedAction) -> None:
        """Take note of what happens at an entry, counted through all lives."""
        role = self._roles[action.target]
        role.counted = (*role.counted, action)

    def _at(self, when: float, act: Callable[[], object]) -> None:
        """Do something at a time of the loop's, by the lab's own hand: no matter who has caused it."""
        self.loop.call_at(when, act, context=contextvars.Context())
