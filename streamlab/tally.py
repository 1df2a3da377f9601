"""`Tally`: a run's events, added up as they come: who holds what, how fast it goes, what was said to Redis.

It reads each event once, so that looking at a run is as cheap at its end as at its beginning.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Literal

from streamlab.events import (
    ACKED,
    ADDED,
    CLAIMED,
    CRASHED,
    DEAD_LETTERED,
    DELIVERED,
    FAILED,
    GROUP_DESTROYED,
    PAUSED,
    PROCESSED,
    REJECTED,
    RESUMED,
    STARTED,
    STOPPED,
    STREAM_DELETED,
    TRIMMED,
    VOID,
    Event,
    EventLog,
)
from streamlab.scenario import Consumer, Scenario

State = Literal["waiting", "working", "paused", "dead", "stopped"]

#: How many commands, bars and movements are remembered.
N_COMMANDS: Final = 200
_N_STINTS: Final = 240
_N_MOVES: Final = 120
#: Points of a curve.
N_POINTS: Final = 120
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
class Bar:
    """An entry's time with a consumer, in seconds of the run; NaN where that has not come."""

    consumer: str
    id: str
    delivered: float
    begun: float = math.nan
    processed: float = math.nan
    ended: float = math.nan  #: acknowledged, given up or taken away
    again: bool = False  #: it had been delivered before


@dataclass(slots=True)
class Doings:
    """What a consumer has done so far."""

    state: Literal["running", "paused", "dead", "stopped"] = "stopped"
    delivered: int = 0
    acked: int = 0
    claimed: int = 0
    free_at: float = 0.0
    in_hand: dict[str, Bar] = field(default_factory=dict)  #: in this life, and not yet processed

    @property
    def shown(self) -> State:
        """How it is to be called."""
        if self.state == "running":
            return "working" if self.in_hand else "waiting"
        return self.state


class Tally:
    """What the events of a run come to so far.

    Attributes
    ----------
    waiting
        Entries that nobody has been given yet: the producer of each, by id, oldest first.
    owner
        Entries that are pending: for whom, by id.
    moves
        The last events of entries: ``(number, kind, actor, id)``, numbered from 1.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.doings: dict[str, Doings] = {c.name: Doings() for c in scenario.consumers}
        self.waiting: dict[str, str] = {}
        self.owner: dict[str, str] = {}
        self.n_added = self.n_acked = self.n_dead_lettered = 0
        self.commands: deque[Command] = deque(maxlen=N_COMMANDS)
        self.bars: deque[Bar] = deque(maxlen=_N_STINTS)
        self.moves: deque[tuple[int, str, str, str]] = deque(maxlen=_N_MOVES)
        self.n_moves = 0
        #: Seconds that curves and lanes look back: some services long.
        self.window = max(20.0, 40 * max(c.service.mean for c in scenario.consumers))
        self._every = self.window / N_POINTS
        #: ``(time, backlog, pending, added, acked)`` on a grid of times.
        self.points: deque[tuple[float, int, int, int, int]] = deque(maxlen=N_POINTS + 20)
        self._next_point = 0.0
        self._scenario = scenario
        self._consumers: dict[str, Consumer] = {c.name: c for c in scenario.consumers}
        self._producers = {producer.name for producer in scenario.producers}
        self._last_delivered = (0, 0)
        self._n_read = 0
        #: The last read of each consumer: when, after which id, what it gave.
        self._reads: dict[str, tuple[float, str, list[str], Command]] = {}

    def read(self, log: EventLog | list[Event], until: float, origin: float = 0.0) -> None:
        """Add up what has come since the last time; it is `until` now. The run began at the log's `origin`."""
        for number in range(self._n_read, len(log)):
            event = log[number]
            at = event.at - origin
            self._pass_time(at)
            self._take(event._replace(at=at) if origin else event)
        self._n_read = len(log)
        self._pass_time(until)

    def joined(self, consumer: Consumer) -> None:
        """Note that a consumer has been added."""
        self._consumers[consumer.name] = consumer
        self.doings.setdefault(consumer.name, Doings())

    def rates(self, now: float) -> tuple[float, float]:
        """Return the entries per second that were added, and that were acknowledged, in the last moments."""
        back = now - self.window / 8
        then = next((point for point in self.points if point[0] >= back), None)
        if then is None or now <= then[0]:
            return 0.0, 0.0
        return (self.n_added - then[3]) / (now - then[0]), (self.n_acked - then[4]) / (
            now - then[0]
        )

    # ---- time ----------------------------------------------------------------------------------

    def _pass_time(self, at: float) -> None:
        if (
            at - self._next_point > 2 * self.window
        ):  # a long silence: only its end will be looked at
            self._next_point += (
                math.floor((at - self.window - self._next_point) / self._every) * self._every
            )
        while self._next_point < at:
            counts = len(self.waiting), len(self.owner), self.n_added, self.n_acked
            self.points.append((self._next_point, *counts))
            self._next_point += self._every

    # ---- events --------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        at, kind, actor, entry_id, n_deliveries = event
        if kind != DELIVERED:
            self._reads.pop(actor, None)
        if kind in _STATES:
            self._change_state(at, kind, actor)
        elif kind == ADDED:
            self.n_added += 1
            # Another process's lines may be read first: then it has been delivered already.
            if _numbers(entry_id) > self._last_delivered:
                self.waiting[entry_id] = actor
            self._say(at, actor, f"XADD {self._scenario.stream} * …", entry_id)
        elif kind in (DELIVERED, CLAIMED):
            self._hand_over(at, kind, actor, entry_id, n_deliveries)
        elif kind == PROCESSED:
            self._processed(at, actor, entry_id)
        elif kind in (ACKED, VOID, DEAD_LETTERED, TRIMMED):
            self._gone(at, kind, actor, entry_id)
        elif kind in (FAILED, REJECTED):
            self._doings(actor).in_hand.pop(entry_id, None)
        elif kind in (GROUP_DESTROYED, STREAM_DELETED):
            self.owner.clear()
            self.waiting.clear()
        if entry_id:
            self.n_moves += 1
            self.moves.append((self.n_moves, kind, actor, entry_id))

    def _doings(self, name: str) -> Doings:
        return self.doings.setdefault(name, Doings())

    def _change_state(self, at: float, kind: str, actor: str) -> None:
        if actor in self._producers:
            return
        doings = self._doings(actor)
        doings.state = _STATES[kind]
        if kind == CRASHED:
            doings.in_hand.clear()
        if kind == STARTED:
            doings.in_hand.clear()
            doings.free_at = at

    def _hand_over(
        self, at: float, kind: str, actor: str, entry_id: str, n_deliveries: int
    ) -> None:
        doings = self._doings(actor)
        for other in self.doings.values():
            if other is not doings:
                other.in_hand.pop(entry_id, None)
        self.waiting.pop(entry_id, None)
        again = kind == CLAIMED or n_deliveries > 1
        self.owner[entry_id] = actor
        bar = doings.in_hand.get(entry_id)
        if bar is None or not bar.again:  # or it was claimed for it, and now it has heard of it
            self._end_bar(entry_id, at)
            bar = Bar(actor, entry_id, at, again=again)
            self.bars.append(bar)
        if doings.state == "running" or doings.state == "paused":
            doings.in_hand[entry_id] = bar
        if kind == CLAIMED:
            doings.claimed += 1
            return
        doings.delivered += 1
        self._last_delivered = max(self._last_delivered, _numbers(entry_id))
        self._note_read(at, actor, entry_id, "0" if n_deliveries > 1 else ">")

    def _note_read(self, at: float, actor: str, entry_id: str, after: str) -> None:
        """Write down the read that gave an entry, or add this one to what it gave: one command gave them all."""
        reading = self._reads.get(actor)
        if reading is None or reading[1] != after or at - reading[0] > _ONE_READ:
            consumer = self._consumers.get(actor, self._scenario.consumers[0])
            block = "" if after == "0" else f"BLOCK {round(consumer.block * 1000)} "
            text = (
                f"XREADGROUP GROUP {self._scenario.group} {actor} COUNT {consumer.count} "
                f"{block}STREAMS {self._scenario.stream} {after}"
            )
            reading = self._reads[actor] = (at, after, [], self._say(at, actor, text, ""))
        reading[2].append(entry_id)
        reading[3].reply = in_short(reading[2])

    def _processed(self, at: float, actor: str, entry_id: str) -> None:
        doings = self._doings(actor)
        bar = doings.in_hand.pop(entry_id, None)
        if bar is not None:
            # One after the other: what was prefetched waits for what came before it.
            bar.begun = max(bar.delivered, doings.free_at)
            bar.processed = at
        doings.free_at = at

    def _gone(self, at: float, kind: str, actor: str, entry_id: str) -> None:
        self.waiting.pop(entry_id, None)
        self.owner.pop(entry_id, None)
        self._end_bar(entry_id, at)
        doings = self.doings.get(actor)
        if doings is not None:
            doings.in_hand.pop(entry_id, None)
        if kind in (ACKED, VOID):
            reply = "1" if kind == ACKED else "0: nobody had it pending any more"
            stream, group = self._scenario.stream, self._scenario.group
            self._say(at, actor, f"XACK {stream} {group} {entry_id}", reply)
        if kind == ACKED:
            self.n_acked += 1
            self._doings(actor).acked += 1
            self._doings(actor).free_at = at
        elif kind == DEAD_LETTERED:
            self.n_dead_lettered += 1
            dead = self._scenario.dead_letter_key
            self._say(at, actor, f"XADD {dead} * …, then XACK of {entry_id} (Lua)", "dead letter")

    def _end_bar(self, entry_id: str, at: float) -> None:
        for bar in reversed(self.bars):
            if bar.id == entry_id:
                if math.isnan(bar.ended):
                    bar.ended = at
                return

    def _say(self, at: float, by: str, text: str, reply: str) -> Command:
        command = Command(at, by, text, reply)
        self.commands.append(command)
        return command


_STATES: Final[dict[str, Literal["running", "paused", "dead", "stopped"]]] = {
    STARTED: "running", RESUMED: "running", PAUSED: "paused", CRASHED: "dead", STOPPED: "stopped",
}  # fmt: skip


def in_short(ids: list[str]) -> str:
    """Return some entry ids for reading: the first ones, and how many more there are."""
    if not ids:
        return "(empty)"
    more = len(ids) - _N_IDS
    return " ".join(ids[:_N_IDS]) + (f" … {more} more" if more > 0 else "")


def _numbers(entry_id: str) -> tuple[int, int]:
    ms, _, seq = entry_id.partition("-")
    return int(ms), int(seq)
