"""`Recent`: the last moments of a run as they are shown, beside its ledger: commands, moves, bars and curves.

It reads each event once and lets the ledger add it up; what it keeps is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streamlab.actors.events import ACKED, ADDED, DEAD_LETTERED, DELIVERED, VOID
from streamlab.results.book import Book
from streamlab.results.by_group import Routes, as_alone
from streamlab.results.events import Event, EventLog
from streamlab.results.ledger import Ledger
from streamlab.results.servers import Servers, has_servers
from streamlab.results.shards import Shards
from streamlab.scenario import Consumer, Scenario
from streamlab.scenario.action import LAB, is_by_hand
from streamlab.scenario.shards import place_of

#: How many commands, bars and moves are remembered.
N_COMMANDS: Final = 200
_N_BY_HAND: Final = 50
_N_MOVES: Final = 120
#: Who types a command into a notebook.
YOU: Final = "you"
#: Entry ids in the short form of a reply.
_N_IDS: Final = 3
#: A process reports what one read gave it one after the other, within so many seconds.
_ONE_READ: Final = 0.005


@dataclass(slots=True)
class Command:
    """A command as it would be typed, by whom, and its reply in short, which may be still growing.

    Those of the lab are what was sent; those of the workers are told by their events.
    """

    at: float
    by: str
    text: str
    reply: str = ""


@dataclass(slots=True)
class _Read:
    """The last read of a consumer: when, of which stream, after which id, what it gave."""

    at: float
    stream: str
    after: str
    ids: list[str]
    command: Command


class Recent:
    """The ledgers of a run's groups, kept up as events come, and what has happened last."""

    def __init__(self, scenario: Scenario, window: float | None = None, *, is_live: bool = False) -> None:
        self.commands: deque[Command] = deque(maxlen=N_COMMANDS)  #: the last ones of the run's processes
        self.by_hand: deque[Command] = deque(maxlen=_N_BY_HAND)  #: … of the lab, and typed
        #: The last events of entries: ``(number, kind, actor, id)``, numbered from 1.
        self.moves: deque[tuple[int, str, str, str]] = deque(maxlen=_N_MOVES)
        #: Seconds that curves and lanes look back: some services long.
        self.window = window or max(20.0, 40 * max(c.service.mean for c in scenario.consumers))
        self.books = {group: Book(scenario.of(group), self.window) for group in scenario.groups}  #: each group's
        self.routes = Routes(scenario)  #: which of them an event belongs into
        #: Those of a scenario that has shards, or says something of its servers.
        self.shards = Shards(scenario) if scenario.shards is not None else None
        # A cluster that is somebody's may fail as well, though the scenario says nothing of it.
        may_fail = has_servers(scenario) or (is_live and scenario.shards is not None)
        self.servers = Servers(scenario, is_live=is_live) if may_fail else None
        self._scenario = scenario
        self._streams = dict(scenario.places)
        self._consumers: dict[str, Consumer] = {c.name: c for c in scenario.consumers}
        self._log: EventLog | list[Event] = []
        self._origin = 0.0
        self._n_read = self._n_moves = 0
        self._reads: dict[str, _Read] = {}

    def read(self, log: EventLog | list[Event], until: float, origin: float = 0.0, n_events: int | None = None) -> None:
        """Take in what has come since the last time, or the first `n_events`; it is `until` now.

        The run began at the log's `origin`.
        """
        n = len(log) if n_events is None else n_events
        for number in range(self._n_read, n):
            event = log[number]
            if origin:
                event = event._replace(at=event.at - origin)
            self._pass_time(event.at)
            groups = self.routes.groups_of(event)
            self._tell(event, groups)
            for group in groups:
                self.books[group].ledger.apply(as_alone(event))
            if self.shards is not None:
                self.shards.enter(event, groups[0])
            if self.servers is not None:
                self.servers.enter(event, self.books[groups[0]].ledger)
        self._log, self._origin, self._n_read = log, origin, n
        self._pass_time(until)

    def events(self) -> EventLog:
        """Return the events so far, sorted by time; in seconds since the run began."""
        log, origin = self._log, self._origin
        return EventLog.of(log[n]._replace(at=log[n].at - origin) for n in range(self._n_read))

    def _pass_time(self, at: float) -> None:
        for book in self.books.values():
            book.pass_time(at)

    @property
    def first(self) -> Book:
        """What is known of the first group: of the only one, mostly."""
        return next(iter(self.books.values()))

    @property
    def ledger(self) -> Ledger:
        """What the events come to so far, for the first group."""
        return self.first.ledger

    def joined(self, consumer: Consumer) -> None:
        """Note that a consumer has been added."""
        group = consumer.group or self._scenario.group
        self._consumers[consumer.name] = consumer
        self.routes.joined(consumer.name, group)
        self.books[group].ledger.actors.consumer(consumer.name)

    def note(self, at: float, by: str, text: str, reply: str = "") -> Command:
        """Write down a command."""
        command = Command(at, by, text, reply)
        (self.by_hand if by in (LAB, YOU) else self.commands).append(command)
        return command

    # ---- commands ------------------------------------------------------------------------------

    def _tell(self, event: Event, groups: Sequence[str]) -> None:
        """Write down an event as a move, and as the command that it comes from."""
        at, kind, actor, entry_id, _ = event
        group = groups[0]
        if entry_id:
            self._n_moves += 1
            self.moves.append((self._n_moves, kind, actor, entry_id))
        if is_by_hand(actor):  # which has written down itself what it sent
            return
        if kind == DELIVERED:
            self._tell_read(event, group)
            return
        self._reads.pop(actor, None)
        prefix, entry_id = place_of(entry_id)
        stream = self._streams.get(prefix, self._scenario.stream)
        if kind == ADDED:
            self.note(at, actor, f"XADD {stream} * …", entry_id)
        elif kind in (ACKED, VOID):
            reply = "1" if kind == ACKED else "0: nobody had it pending any more"
            self.note(at, actor, f"XACK {stream} {group} {entry_id}", reply)
        elif kind == DEAD_LETTERED:
            dead = self._scenario.recovery.dead_letter_of(stream)
            self.note(at, actor, f"XADD {dead} * …, then XACK of {entry_id} (Lua)", "dead letter")

    def _tell_read(self, event: Event, group: str) -> None:
        """Write down the read that gave an entry, or add this one to what it gave: one command gave them all."""
        at, _, actor, entry_id, n_deliveries = event
        after = "0" if n_deliveries > 1 else ">"
        read = self._reads.get(actor)
        prefix, entry_id = place_of(entry_id)
        stream = self._streams[prefix]
        if read is None or (read.stream, read.after) != (stream, after) or at - read.at > _ONE_READ:
            consumer = self._consumers.get(actor, self._scenario.consumers[0])
            block = "" if after == "0" else f"BLOCK {round(consumer.block * 1000)} "
            text = f"XREADGROUP GROUP {group} {actor} COUNT {consumer.count} {block}STREAMS {stream} {after}"
            read = self._reads[actor] = _Read(at, stream, after, [], self.note(at, actor, text))
        read.ids.append(entry_id)
        read.command.reply = in_short(read.ids)


def in_short(ids: Sequence[str]) -> str:
    """Return some entry ids for reading: the first ones, and how many more there are."""
    if not ids:
        return "(empty)"
    more = len(ids) - _N_IDS
    return " ".join(ids[:_N_IDS]) + (f" … {more} more" if more > 0 else "")
