"""`BareStage`: a stage for a `Course` alone, in virtual time. Its processes do nothing but what a test has them do.

Like a live stage it takes its time, does not know what is pending without asking, and goes by a clock that does not
begin at 0.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from streamlab.actors import Recovery
from streamlab.actors.events import STOPPED
from streamlab.lab.carry_out import carry_out
from streamlab.lab.course import Course
from streamlab.lab.play import Part
from streamlab.lab.stage import Host, Left, Process, Stage
from streamlab.results.events import Event, EventLog
from streamlab.scenario import Scenario, Service, consumers
from streamlab.scenario.action import CountedAction
from streamlab.scenario.actions import LostReply
from streamlab.scenario.failing import Failover, NetworkCut
from streamlab.virtual.loop import VirtualLoop
from streamlab.virtual.redis import SimulatedRedis, SimulatedServer

#: What the clock shows as the stage is opened, and as a run of at most four consumers begins.
OPENED, ORIGIN = 100.0, 101.0
#: Seconds after which the stage hears that a process has ended.
HEARD_AFTER = 0.125

SCENARIO = Scenario(name="alone", consumers=consumers(2, Service()), entries=4, duration=None, drain=5.0).with_recovery(
    "none"
)


class Puppet(Process):
    """A process that is moved by its test. What is done to it is written down in the stage's story."""

    def __init__(self, part: Part, stage: BareStage) -> None:
        super().__init__(part)
        self._stage = stage
        #: Seconds that it takes to stop; infinity: it never does.
        self.stops_after = stage.stops_after.get(part.name, 0.25)
        self.machine_pid: int | None = None

    @property
    def pid(self) -> int | None:
        return self.machine_pid

    def begin(self, at: float) -> None:
        self._stage.note(f"{self.name} begins at {at:g}")
        self.begins_at = self.plays_from = at

    def kill(self) -> None:
        self._stage.note(f"{self.name} is killed")
        self.end(died_at=self._stage.loop.time())

    def hold(self) -> None:
        self._stage.note(f"{self.name} stands still")

    def release(self) -> None:
        self._stage.note(f"{self.name} goes on")

    def stop(self, *, at_end: bool = False) -> None:
        self._stage.note(f"{self.name} is to stop{' at the end' if at_end is True else ''}")
        if not self.has_begun(self._stage.loop.time()):
            self.end()
        elif self.stops_after < math.inf:
            self._stage.loop.call_later(self.stops_after, self._stopped)

    def _stopped(self) -> None:
        if not self.has_ended:
            self._stage.hears(Event(self._stage.loop.time(), STOPPED, self.name))
            self._stage.loop.call_later(HEARD_AFTER, self.end)

    def end(self, **how: Any) -> None:
        """End, as `Course.ended` is told; no matter if it has ended."""
        if not self.has_ended:
            self._stage.course.ended(self, **how)

    async def cut(self) -> None:
        await asyncio.sleep(0)
        self._stage.note(f"{self.name} is cut")

    def order(self, **order: object) -> None:
        self._stage.note(f"{self.name} hears {order}")

    def count(self, action: CountedAction) -> None:
        self._stage.course.counted(action.counted_from(self.n_begun))


class BareStage(Stage):
    """A simulated server, and puppets.

    Parameters
    ----------
    tells_at_once
        Whether it knows what is pending without asking the server.
    round_trip
        Seconds from a command of the lab's to the reply.
    stops_after
        Seconds that consumers take to stop, by their names; infinity: they never do.
    why
        What is wrong with a consumer that has not stopped in time.
    """

    last_call = 2.0
    longest_look = 0.5

    def __init__(
        self,
        loop: VirtualLoop,
        *,
        tells_at_once: bool = False,
        round_trip: float = 0.0,
        stops_after: dict[str, float] | None = None,
        why: str = "",
    ) -> None:
        self.loop = loop
        self.server = SimulatedServer(loop=loop, epoch_ms=0)
        #: Whoever sends commands by hand.
        self.hand = self.server.client(name="hand")
        self.stops_after, self._why, self._tells_at_once = stops_after or {}, why, tells_at_once
        self._client = self.server.client(name="lab", round_trip=round_trip)
        #: What was done to it and to its processes, and when.
        self.story: list[tuple[float, str]] = []
        #: When somebody asked for the lab's client.
        self.looks: list[float] = []
        self._host: Host | None = None
        #: What the server is said to have when it comes up; None: all it had.
        self.left: Left | None = None

    def note(self, text: str) -> None:
        """Write something down."""
        self.story.append((self.loop.time(), text))

    def told(self, *words: str) -> list[tuple[float, str]]:
        """Return the part of its story that has one of these words in it."""
        return [(at, text) for at, text in self.story if any(word in text.split() for word in words)]

    @property
    def course(self) -> Host:
        assert self._host is not None
        return self._host

    async def remark(self, text: str) -> None:
        """Write something down, as something that is to be done."""
        self.note(text)

    async def hand_out(self, *names: str) -> list[str]:
        """Add an entry for each of these consumers, and let it be delivered to it; nobody tells the lab."""
        scenario, ids = self.course.scenario, []
        for name in names:
            ids.append(await self.hand.xadd(scenario.stream, {"for": name}))
            await self.hand.xreadgroup(scenario.group, name, {scenario.stream: ">"})
        return ids

    def hears(self, event: Event) -> None:
        """Let the course hear of an event."""
        self.course.heard(event)

    def life(self, name: str) -> Puppet:
        """Return the latest life of an actor."""
        process = self.course.processes[name]
        assert isinstance(process, Puppet)
        return process

    # ---- what a course asks of it ------------------------------------------------------------------

    @property
    def client(self) -> SimulatedRedis:
        self.looks.append(self.loop.time())
        return self._client

    async def open(self, course: Host) -> None:
        self._host = course
        await self.hand.xgroup_create(course.scenario.stream, course.scenario.group, "0", mkstream=True)
        self.note("open")

    def spawn(self, part: Part) -> Puppet:
        self.note(f"spawn {part.name}")
        return Puppet(part, self)

    async def until_ready(self, processes: Iterable[Process]) -> None:
        await asyncio.sleep(0.5)
        self.note(f"ready: {' '.join(process.name for process in processes)}")

    async def let_wait(self, consumer: Process) -> None:
        consumer.begin(self.loop.time())
        await asyncio.sleep(0.125)

    async def countdown(self) -> float:
        return ORIGIN

    async def lose_reply(self, action: LostReply) -> None:
        await asyncio.sleep(0)
        self.note(str(action))

    async def go_down(self) -> None:
        self.server.go_down()
        self.note("down")

    async def come_up(self) -> None:
        await asyncio.sleep(0.25)
        self.server.come_up()
        self.note("up")

    def lose_power(self) -> None:
        self.note("without power")

    async def what_is_left(self) -> Left | None:
        return self.left

    async def fail_over(self, action: Failover) -> float:
        await self.go_down()
        return action.duration

    async def cut_replicas(self, action: NetworkCut) -> None:
        self.note(f"replicas cut off for {action.duration:g} s")

    def check_recovery(self, recovery: Recovery) -> None:
        """Have all that it takes."""

    async def claim_keys(self, recovery: Recovery) -> None:
        self.note(f"{recovery.strategy} keys")

    def pending_now(self, name: str) -> list[tuple[str, int, int]] | None:
        self.note(f"pending of {name}?")
        if not self._tells_at_once:
            return None
        scenario = self.course.scenario
        asked = ["XPENDING", scenario.stream, scenario.group, "-", "+", "10", name]
        rows: Any = self.server.commands.execute(asked, self.server.now_ms())
        return [(entry_id, idle, count) for entry_id, _, idle, count in rows]

    def note_added(self, entry_id: str) -> None:
        self.note(f"added {entry_id}")

    def end_last(self, process: Process) -> str:
        super().end_last(process)
        return self._why


async def until(when: float) -> None:
    """Wait until so many seconds of the run have passed."""
    await asyncio.sleep(ORIGIN + when - asyncio.get_running_loop().time())


def staged(scenario: Scenario, **options: Any) -> tuple[Course, BareStage]:
    """Return a course that is still to be run, and its stage; `options` are the stage's."""
    loop = VirtualLoop(start=OPENED)
    stage = BareStage(loop, **options)
    return Course(scenario, stage, EventLog(clock=loop), carry_out, loop), stage


def play(
    scenario: Scenario, befall: Callable[[Course, BareStage], Coroutine[Any, Any, None]], **options: Any
) -> tuple[Course, BareStage]:
    """Run a scenario on a bare stage, and beside it what befalls it; return both when the run has ended.

    Raises
    ------
    Deadlock
        If it does not end.
    """
    course, stage = staged(scenario, **options)

    async def main() -> None:
        running = asyncio.create_task(course.run())
        running.add_done_callback(lambda _: stage.note("over"))
        both = asyncio.create_task(befall(course, stage)), running
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    try:
        stage.loop.run_until_complete(main())
    finally:
        stage.loop.close()
    return course, stage
