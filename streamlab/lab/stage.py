"""`Process` and `Stage`: what differs between the engines, as a `Course` sees it."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from streamlab.actors import Recovery
from streamlab.lab.patience import answered
from streamlab.lab.play import Part
from streamlab.results.events import Event, EventLog
from streamlab.scenario import Scenario
from streamlab.scenario.action import CountedAction
from streamlab.scenario.actions import LostReply
from streamlab.scenario.failing import Failover, NetworkCut

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

#: Seconds before time 0 at which simulated consumers start, so that they wait when the first entry comes.
LEAD = 1.0


class Left(NamedTuple):
    """What a server has after it was gone, or one that has taken its place."""

    ids: frozenset[str]  #: of the entries of the stream
    positions: Mapping[str, str]  #: the last-delivered id of each group; of several shards, after the place of each
    is_set_back: bool  #: whether it may lack acknowledgements, though it has all entries
    places: tuple[str, ...] = ("",)  #: of the shards that it serves: what stands before the ids of their entries


class Host(Protocol):
    """Who hears of what processes do: their `Course`."""

    scenario: Scenario
    #: What has been heard of.
    log: EventLog
    #: The last words of each actor that ended by an error that nobody had planned.
    errors: dict[str, str]

    @property
    def is_down(self) -> bool:
        """Whether the server is gone."""

    @property
    def processes(self) -> Mapping[str, Process]:
        """The latest life of each actor."""

    def forgot(self, left: Left, heard: int, at: float) -> None:
        """Tell what a server has lost, `heard` being the number of events before it was asked `at` a time."""

    def do(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside everything else; an error in it ends the run."""

    def heard(self, event: Event) -> None:
        """Take note of an event that another process tells of."""

    def counted(self, action: CountedAction) -> None:
        """Take note of what happens at an entry, counted through all lives."""

    def is_paused(self, process: Process, at: float, duration: float = ...) -> None:
        """Take note that a process stands still by itself."""

    def ended(self, process: Process, *, died_at: float | None = None, why: str = "") -> None:
        """Take note that a process has ended, and `why` if that was an error that nobody had planned."""


class Process(ABC):
    """One life of an actor, and what can be done to it. It tells its course when it ends: `Course.ended`."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.name = part.name
        #: Entries begun, by its earlier lives as well.
        self.n_begun = part.n_begun
        #: When it is to begin, and when it does, which may be later; infinity until that is known.
        self.begins_at = self.plays_from = math.inf
        self.has_ended = False
        self.has_died = False
        #: Until when it stands still, if it does: infinity until somebody lets it go on.
        self.paused_until: float | None = None
        self.is_killed = False
        self.gone = asyncio.Event()

    def has_begun(self, now: float) -> bool:
        """Whether it plays already."""
        return self.plays_from <= now

    @property
    def pid(self) -> int | None:
        """The process id; None where it is no process of the machine's."""
        return None

    @abstractmethod
    def begin(self, at: float) -> None:
        """Let it play from a time of the loop's on."""

    @abstractmethod
    def kill(self) -> None:
        """End it where it stands (SIGKILL)."""

    @abstractmethod
    def hold(self) -> None:
        """Let it stand still (SIGSTOP)."""

    @abstractmethod
    def release(self) -> None:
        """Let it go on (SIGCONT)."""

    @abstractmethod
    def stop(self, *, at_end: bool = False) -> None:
        """Ask it to finish what it holds, and to end (SIGTERM); one that has not begun ends at once."""

    @abstractmethod
    def cut(self) -> Coroutine[Any, Any, None] | None:
        """Cut its connections."""

    @abstractmethod
    def order(self, **order: object) -> None:
        """Change what it does: see `Play.obey`."""

    @abstractmethod
    def count(self, action: CountedAction) -> None:
        """Let something happen at the nth entry that it begins from now on; tell its course, as `Course.counted`."""


class Stage(ABC):
    """What a run plays on: a server, and the processes that it is played by."""

    #: Seconds that consumers are given to finish what they hold when the run ends.
    last_call: float
    #: The longest time between two looks whether all is done.
    longest_look: float
    #: Seconds for which the lab waits for an answer where another server may take the place of one that is gone.
    patience: float = 0.0
    #: Whether consumers may claim though the scenario does not say so.
    may_claim: bool = False

    @property
    @abstractmethod
    def client(self) -> Redis:
        """The lab's own client."""

    async def answered(self, question: Callable[[Redis], Awaitable[T]]) -> T:
        """Ask the server something that changes nothing."""
        client = self.client
        return await answered(lambda: question(client), client, self.patience)

    @abstractmethod
    async def open(self, course: Host) -> None:
        """Have the stream and its group made."""

    @abstractmethod
    def spawn(self, part: Part) -> Process:
        """Make a process that waits to begin."""

    @abstractmethod
    async def until_ready(self, processes: Iterable[Process]) -> None:
        """Wait until processes can begin."""

    @abstractmethod
    async def let_wait(self, consumer: Process) -> None:
        """Let a consumer begin, and wait for the first entry."""

    @abstractmethod
    async def countdown(self) -> float:
        """Return the time of the loop's at which the run begins: now, or in a moment."""

    @abstractmethod
    def lose_reply(self, action: LostReply) -> Coroutine[Any, Any, None] | None:
        """Let the reply to the nth command of an actor from now on be lost."""

    def check_outage(self) -> None:  # noqa: B027 (most servers can be taken down)
        """Refuse to take down a server that is somebody's; raise `ScenarioError`."""

    @abstractmethod
    async def go_down(self) -> None:
        """Let the server be gone."""

    @abstractmethod
    def lose_power(self) -> None:
        """Let a server that is gone have lost what was not synced to its disk."""

    @abstractmethod
    async def come_up(self) -> None:
        """Let the server be there again, with what it has kept; or see that another one has taken its place."""

    @abstractmethod
    async def what_is_left(self) -> Left | None:
        """Return what the server has that has just come up; None if it surely has all it had."""

    async def fall_behind(self, action: Failover) -> None:  # noqa: B027 (simulated replicas are behind)
        """See that the replicas are as far behind as the scenario says, before the primary dies."""

    @abstractmethod
    async def fail_over(self, action: Failover) -> float:
        """Let the primary be gone for good; return in how many seconds to look whether another one has come up.

        Raises `ScenarioError` if no replica is left to be promoted.
        """

    @abstractmethod
    async def cut_replicas(self, action: NetworkCut) -> None:
        """Let the replicas be told nothing for a while."""

    @abstractmethod
    def check_recovery(self, recovery: Recovery) -> None:
        """Refuse a recovery that the server has not got what it takes for."""

    def pending_now(self, name: str) -> list[tuple[str, int, int]] | None:
        """Return what is pending for a consumer, as `pending_of` does, if that can be told without waiting."""
        return None

    @abstractmethod
    async def claim_keys(self, recovery: Recovery) -> None:
        """See that the keys that a recovery writes to are the run's own."""

    def note_added(self, entry_id: str) -> None:  # noqa: B027 (most have no use for it)
        """Take note of an entry that another process has added."""

    def end_last(self, process: Process) -> str:
        """End a consumer that has not stopped in time; return why, or "" if there is nothing wrong with that."""
        process.kill()
        return ""
