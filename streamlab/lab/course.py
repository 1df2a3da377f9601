"""`Course`: the course of a run, on either clock: who is started when, what goes wrong, who comes back, when it ends.

What differs between the engines is a `Stage` (a server, which can go down, and its network) and a `Process` (what
SIGKILL, SIGSTOP and SIGTERM do to an actor). Whatever is decided or counted is decided and counted here, once.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import redis.exceptions

from streamlab.actors.events import ADDED, CRASHED, STOPPED
from streamlab.lab.both_ways import FIRST_PAUSE, LONGER
from streamlab.lab.cast import Cast
from streamlab.lab.forgotten import report_forgotten
from streamlab.lab.inspection import is_drained, pending_of, unseen
from streamlab.lab.outage import Outage
from streamlab.lab.stage import Left, Process, Stage
from streamlab.results.events import Event, EventLog
from streamlab.scenario import Consumer, Producer, Scenario, ScenarioError
from streamlab.scenario.action import Action
from streamlab.scenario.actions import Kill, LostReply
from streamlab.scenario.failing import Failover

#: A death is told just after what it was given last, whatever the clocks say.
_JUST_BEFORE = 1e-6


class Course(Cast):
    """The course of one run.

    Parameters
    ----------
    stage
        What it plays on.
    log
        Where events go, with their times by the loop's clock.
    carry_out
        What does an action: see the function of that name.
    loop
        The event loop, whose time is the run's; None: the running one.
    """

    def __init__(
        self,
        scenario: Scenario,
        stage: Stage,
        log: EventLog,
        carry_out: Callable[[Action[Any], Any], Awaitable[Any]],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(scenario, stage, log, carry_out, loop)
        self._planned = scenario
        #: By the loop's clock; NaN before the run has begun.
        self.origin = math.nan
        #: The last words of each actor that ended by an error that nobody had planned; kills are events.
        self.errors: dict[str, str] = {}
        self._is_dropped = False
        #: Whether somebody looks on who may restart a producer.
        self.stays_open = False
        #: Whether nothing happens until that is done, or the run is let end.
        self.is_waiting = False
        self._may_end = False
        self._stirred = asyncio.Event()
        self._outage = Outage(stage, log, self.do, self.forgot)
        self._tasks: set[asyncio.Task[None]] = set()
        self._burials: set[asyncio.Task[None]] = set()
        self._main: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    # ---- what is to be seen --------------------------------------------------------------------

    @property
    def as_planned(self) -> Scenario:
        """The scenario as it was at first, and what was done by hand since: to be run again."""
        return self._planned.replace(by_hand=self.scenario.by_hand, consumers=self.scenario.consumers)

    # ---- the course of a run -------------------------------------------------------------------

    async def run(self) -> None:
        """Play a run from its beginning to its end."""
        self._main = asyncio.current_task()
        try:
            await self._play()
        except asyncio.CancelledError:
            if self._error is None:
                raise
        finally:
            for task in self._tasks | self._burials:
                task.cancel()
        if self._error is not None:
            raise self._error

    async def _play(self) -> None:
        scenario, stage = self.scenario, self.stage
        await stage.open(self)
        for action in scenario.faults:
            if isinstance(action, LostReply) and not action.is_dated:
                await self.lose_reply(action)
        consumers = [consumer for consumer in scenario.consumers if not scenario.joins(consumer)]
        actors: list[Consumer | Producer] = [*consumers, *scenario.producers]
        for actor in actors:  # all at once: each takes its time to start
            self._spawn(actor)
        await stage.until_ready(self.processes.values())
        for consumer in consumers:  # one by one: they are served in the order in which they wait
            await stage.let_wait(self._roles[consumer.name].process)
        self.origin = await stage.countdown()
        for action in scenario.by_hand:
            self.schedule(action)
        faults = self.do(self._watch_the_clock())
        producers = [self._roles[producer.name].process for producer in scenario.producers]
        for process in producers:
            process.begin(self.origin)
        await self._until_produced()
        await faults
        await self._drain()
        await self._end()

    async def _until_produced(self) -> None:
        """Wait for the end of all producers, in whichever of their lives."""
        names = [producer.name for producer in self.scenario.producers]
        while True:
            lives = [self._roles[name].process for name in names]
            for process in lives:
                await process.gone.wait()
            if lives != [self._roles[name].process for name in names]:
                continue
            if not any(process.has_died and self._was_killed_by_hand(process.name) for process in lives):
                return
            if self._may_end or not (self.stays_open or self.has_more_by_hand):
                return
            self.is_waiting = True
            self._stirred.clear()
            await self._stirred.wait()
            self.is_waiting = False

    def _was_killed_by_hand(self, name: str) -> bool:
        return any(isinstance(action, Kill) and action.target == name for action in self.scenario.by_hand)

    def stir(self) -> None:
        """Look again whether the run goes on: something has been done by hand."""
        self._stirred.set()

    def keep_open(self, yes: bool) -> None:
        """Note whether somebody looks on: then a producer that was killed by hand may be restarted."""
        self.stays_open = yes
        self.stir()

    def let_end(self) -> None:
        """Wait for nobody to restart a producer any more."""
        self._may_end = True

    @property
    def is_down(self) -> bool:
        """Whether the server is gone."""
        return self._outage.is_down

    async def until_up(self) -> None:
        """Wait until the server is there."""
        await self._outage.up.wait()

    async def _drain(self) -> None:
        """Wait until all is done, or the time for it is over, or nobody is left to do it."""
        loop = self.loop
        deadline = loop.time() + self.scenario.drain
        pause = FIRST_PAUSE
        while loop.time() < deadline:
            coming = [n for n in self.consumers if not self._roles[n].process.has_ended]
            if not coming:
                return
            recovery = self.scenario.recovery
            dead = self.consumers.keys() - set(coming)
            for_good = not (recovery.claims or self.stage.may_claim) and recovery.restarts_after is None
            if not self.is_down and await self._is_drained(dead if for_good else set()):
                return
            await asyncio.sleep(pause)
            pause = min(pause * LONGER, self.stage.longest_look)

    async def _is_drained(self, hopeless: set[str]) -> bool:
        return await self.stage.answered(lambda client: is_drained(client, self.scenario, hopeless=hopeless))

    async def _end(self) -> None:
        """Let consumers finish what they hold."""
        self.is_ending = True
        processes = [self._roles[name].process for name in self.consumers]
        for process in processes:
            self.resume(process.name)
            if not process.has_ended:
                process.stop(at_end=True)
        waiting = [process.gone.wait() for process in processes]
        try:
            async with asyncio.timeout(self.stage.last_call):
                await asyncio.gather(*waiting)
        except TimeoutError:
            for process in processes:
                if not process.has_ended:
                    why = self.stage.end_last(process)
                    if why:
                        self.errors[process.name] = why
            for process in processes:
                await process.gone.wait()
        if self._burials:
            await asyncio.wait(self._burials)

    def ended(self, process: Process, *, died_at: float | None = None, why: str = "") -> None:
        """Take note that a process has ended: it died at a time of the loop's; or it had stopped.

        `why` is what an error that nobody had planned said; "" after a kill or a planned crash.
        """
        process.has_ended = True
        if self._is_dropped:
            return
        role = self._roles[process.name]
        process.has_died = died_at is not None
        if why:
            self.errors[process.name] = why
        if died_at is not None:
            self._bury(process, died_at)
            self.log.report(CRASHED, process.name, at=died_at)
        process.gone.set()
        delay = self.scenario.recovery.restarts_after if self.is_consumer(process.name) else None
        if role.is_to_restart:
            role.is_to_restart = False
            # Not when its process has gone at last, which takes a while.
            self.start(process.name, at=died_at if died_at is not None else role.stopped_at)
        elif died_at is not None and delay is not None:
            self.start(process.name, at=died_at + delay)

    def _bury(self, process: Process, died_at: float) -> None:
        """Report what the server had given to a consumer that did not live to tell; it may have to be waited for."""
        held = self.stage.pending_now(process.name) if self.is_consumer(process.name) else []
        if held is not None:  # a log of virtual time is in the order of time
            for event in unseen(held, process.name, self.loop.time(), self.log.latest_first()):
                self.log.report(event.kind, event.actor, event.id, event.delivery_count)
            return
        task = self.loop.create_task(self._ask_and_bury(process.name, died_at), context=contextvars.Context())
        self._burials.add(task)
        task.add_done_callback(self._note_done)

    async def _ask_and_bury(self, name: str, died_at: float) -> None:
        while True:
            await self.until_up()
            try:
                held = await self.stage.answered(lambda client: pending_of(client, self.scenario, name))
                break
            except redis.exceptions.ResponseError:
                return  # the group is gone, and nothing is pending in it
            except redis.exceptions.ConnectionError:
                if not self.is_down:
                    raise  # else the server was taken down while it was asked
        for event in unseen(held, name, self.loop.time(), self.log.latest_first()):
            self.log.append(event._replace(at=min(event.at, died_at - _JUST_BEFORE)))

    async def cut(self, name: str) -> None:
        """Cut the connections of an actor."""
        if not self.is_down:  # or there is nothing to cut
            cutting = self._roles[name].process.cut()
            if cutting is not None:
                await cutting

    async def lose_reply(self, action: LostReply) -> None:
        """Let the reply to the nth command of an actor from now on be lost."""
        losing = self.stage.lose_reply(action)
        if losing is not None:
            await losing

    async def take_down(self, duration: float, *, power_loss: bool = False) -> None:
        """Let the server be gone for so long, or all of its machine. Of several outages the last to end counts."""
        await self._outage.begin(duration)
        if power_loss:
            self.stage.lose_power()

    async def fail_over(self, action: Failover) -> None:
        """Let the primary be gone for good, and a replica take its place."""
        if self.is_down:
            raise ScenarioError("failover: there is no primary now: wait until a replica has been promoted")
        await self.stage.fall_behind(action)
        await self._outage.until_promoted(self.stage.fail_over(action))

    def forgot(self, left: Left, heard: int, at: float) -> None:
        """Tell what a server has lost, `heard` being the number of events before it was asked `at` a time."""
        report_forgotten(left, heard, at, self.log, self.scenario.groups)

    # ---- beside everything else ----------------------------------------------------------------

    def do(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside everything else; an error in it ends the run. What is dropped does nothing any more."""
        if self._is_dropped:  # a timer has come just then
            work.close()
            work = _nothing()
        task = self.loop.create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._note_done)
        return task

    def _note_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._burials.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.fail(task.exception())

    def heard(self, event: Event) -> None:
        """Take note of an event that another process tells of."""
        self.log.append(event)
        if event.kind == ADDED:
            self.stage.note_added(event.id)
        elif event.kind == STOPPED:
            self._roles[event.actor].stopped_at = event.at

    async def drop(self) -> None:
        """Leave everything as it is: nothing is started, restarted or reported any more."""
        self.is_ending = self._is_dropped = True
        tasks = self._tasks | self._burials
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def fail(self, error: BaseException | None) -> None:
        """End the run with an error."""
        if self._error is None:
            self._error = error
            if self._main is not None:
                self._main.cancel()


async def _nothing() -> None:
    pass
