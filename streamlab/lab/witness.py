"""`LifeWitness`: turns what a foreign program sends and is answered into the events of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from streamlab.actors.events import (
    ACKED,
    CLAIMED,
    DELIVERED,
    DISCONNECTED,
    GROUP_DESTROYED,
    PROCESSED,
    RECREATED,
    REMOVED,
    STREAM_DELETED,
    TRIMMED,
    VOID,
    EventKind,
)
from streamlab.results.events import EventLog
from streamlab.scenario.action import CountedAction
from streamlab.scenario.actions import CrashBeforeAck, CrashBeforeEffect, PauseInWork
from streamlab.servers.proxy_events import Given, How

#: What a program has once its process has died, it was given just before.
_JUST_BEFORE: Final = 1e-6
#: Seconds within which the connections of one pool are lost together.
_TOGETHER: Final = 0.1
#: Seconds after which a program is in the middle of an entry.
_AT_WORK: Final = 0.001


class Life(Protocol):
    """One life of a program: its process."""

    name: str
    #: Entries that it has been given, its earlier lives included.
    n_begun: int
    has_ended: bool
    #: Set once it asks for entries.
    ready: asyncio.Event

    @property
    def died_at(self) -> float | None:
        """When it died, by the loop's clock; None if it has not, or stopped."""

    def kill(self) -> None:
        """End it where it stands (SIGKILL)."""

    def hear(self) -> None:
        """Take in what it has written."""

    def stand_still_soon(self, after: float, duration: float) -> None:
        """Let it stand still in a moment, for so many seconds."""


@dataclass(slots=True)
class Habits:
    """What programs of a run were seen to do, in all of their lives."""

    #: The names under which each of them asked for entries.
    names: dict[str, set[str]] = field(default_factory=dict)
    reads_history: bool = False
    claims: bool = False
    min_idle_ms: int = 0
    stops_at_empty_page: bool = False
    starts: list[str] = field(default_factory=list)


class Books:
    """What the events of a run come to, as far as a witness asks: delivery counts, owners, acknowledgements."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.habits = Habits()
        #: What may have been acknowledged, without a proxy's hearing of it: by whom, and when.
        self.unheard: dict[str, tuple[str, float]] = {}
        #: How often a line of output told of an entry.
        self.told: dict[str, int] = {}
        self._n_read = 0
        self._counts: dict[str, int] = {}
        self._owners: dict[str, str] = {}
        self._acked: set[str] = set()

    def count(self, entry_id: str) -> int:
        """Return how often an entry has been delivered, as far as is known."""
        self._catch_up()
        return self._counts.get(entry_id, 0)

    def owner(self, entry_id: str) -> str:
        self._catch_up()
        return self._owners.get(entry_id, "")

    def is_acked(self, entry_id: str) -> bool:
        self._catch_up()
        return entry_id in self._acked

    def _catch_up(self) -> None:
        log = self.log
        for place in range(self._n_read, len(log)):
            _, kind, actor, entry_id, n = log[place]
            if kind in (DELIVERED, CLAIMED):
                self._owners[entry_id] = actor
                self._counts[entry_id] = n or self._counts.get(entry_id, 1)
            elif kind == ACKED:
                self._acked.add(entry_id)
            elif kind in (GROUP_DESTROYED, STREAM_DELETED, RECREATED):
                self._counts.clear()
                self._owners.clear()
                self._acked.clear()
        self._n_read = len(log)


class LifeWitness:
    """Hears of what one life of a program does; see `streamlab.servers.proxy_events.Witness`.

    Counted faults come here: `count`. The nth entry is the nth that the consumer is given, in all of its lives. It dies
    as the effect, or the acknowledgement, of that entry is on its way: neither reaches the server.

    Parameters
    ----------
    process
        Whose life it is.
    effects_are_told
        Whether effects are told, by a key or by lines of output; else an acknowledgement has to do.
    effects_are_seen
        Whether they pass through the proxy.
    now
        The time, in seconds.
    """

    def __init__(
        self, process: Life, books: Books, *, effects_are_told: bool, effects_are_seen: bool, now: Callable[[], float]
    ) -> None:
        self._process, self._books, self._now = process, books, now
        self._effects_are_told, self._effects_are_seen = effects_are_told, effects_are_seen
        self._counted: dict[int, list[CountedAction]] = {}
        self._numbers: dict[str, int] = {}
        self._cut_at = float("-inf")
        #: Whether it has done anything in this life.
        self.has_done = False

    def count(self, action: CountedAction) -> None:
        """Let something happen at the nth entry of all lives."""
        self._counted.setdefault(action.nth, []).append(action)

    def _planned(self, entry_id: str, kind: type[CountedAction]) -> CountedAction | None:
        """Return what is to happen at an entry, once."""
        planned = self._counted.get(self._numbers.get(entry_id, 0), [])
        found = next((action for action in planned if isinstance(action, kind)), None)
        if found is not None:
            planned.remove(found)
        return found

    def _report(self, kind: EventKind, entry_id: str = "", n: int = 0) -> None:
        process = self._process
        at = self._now() if process.died_at is None else process.died_at - _JUST_BEFORE
        self._books.log.report(kind, process.name, entry_id, n, at)

    # ---- what it is about to do ----------------------------------------------------------------

    def asks(self, name: str, how: How, min_idle_ms: int) -> None:
        habits = self._books.habits
        habits.names.setdefault(self._process.name, set()).add(name)
        habits.reads_history |= how == "history"
        habits.claims |= how == "claimed"
        habits.min_idle_ms = max(habits.min_idle_ms, min_idle_ms)
        self._process.ready.set()

    def is_to_ack(self, ids: Sequence[str]) -> bool:
        self._process.hear()  # the lines of its output from before this acknowledgement
        return self._goes_on(ids, CrashBeforeAck)

    def is_to_have_effect(self, ids: Sequence[str]) -> bool:
        return self._goes_on(ids, CrashBeforeEffect)

    def _goes_on(self, ids: Sequence[str], kind: type[CountedAction]) -> bool:
        """Return whether a command is passed on; or let the process die, as is planned."""
        if self._process.has_ended:
            return True  # it was on its way already
        if any([self._planned(entry_id, kind) for entry_id in ids]):
            self._process.kill()
            return False
        return True

    # ---- what has come of it -------------------------------------------------------------------

    def given(self, entries: Sequence[Given], how: How) -> None:
        books, process = self._books, self._process
        for entry_id, told in entries:
            known = books.count(entry_id)
            if how == "renamed":
                if books.owner(entry_id) != process.name:
                    self._report(CLAIMED, entry_id)
                continue
            if process.has_ended and known:
                continue  # the server has been asked already what it had been given
            is_new = how == "new" or (how == "by a script" and not known)
            n = 1 if is_new else max(known, told or 1) + 1
            self._report(DELIVERED if is_new or how == "history" else CLAIMED, entry_id, n)
            self._begin(entry_id)

    def _begin(self, entry_id: str) -> None:
        process = self._process
        process.n_begun += 1
        self._numbers[entry_id] = process.n_begun
        if process.has_ended:
            return
        pause = self._planned(entry_id, PauseInWork)
        if isinstance(pause, PauseInWork):
            process.stand_still_soon(_AT_WORK, pause.duration)
        if not self._effects_are_seen and self._planned(entry_id, CrashBeforeEffect):
            process.kill()

    def acked(self, ids: Sequence[str], n: int) -> None:
        self.has_done = True
        for entry_id in ids:
            if n == 0 or (n < len(ids) and self._books.is_acked(entry_id)):
                self._report(VOID, entry_id)
                continue
            if not self._effects_are_told:
                self._report(PROCESSED, entry_id)
            self._report(ACKED, entry_id)

    def effect(self, entry_id: str) -> None:
        self.has_done = True
        self._report(PROCESSED, entry_id)

    def unheard(self, ids: Sequence[str]) -> None:
        self.has_done = True
        for entry_id in ids:
            self._books.unheard[entry_id] = (self._process.name, self._now())

    def found_gone(self, ids: Sequence[str]) -> None:
        for entry_id in ids:
            self._report(TRIMMED, entry_id)

    def stops_at_empty_page(self) -> None:
        self._books.habits.stops_at_empty_page = True

    def recreated(self, start: str) -> None:
        self._books.habits.starts.append(start)
        self._report(RECREATED, start)

    def removed(self, name: str, n_pending: int) -> None:
        if n_pending:  # what it held is gone with it
            self._books.log.report(REMOVED, self._owner_of(name), "", 0, self._now())

    def _owner_of(self, name: str) -> str:
        """Return whose program has used a name."""
        return next((who for who, names in self._books.habits.names.items() if name in names), name)

    def cut(self) -> None:
        now = self._now()
        if not self._process.has_ended and now - self._cut_at > _TOGETHER:
            self._cut_at = now
            self._report(DISCONNECTED)

    def told(self, ids: Sequence[str]) -> None:
        """Note what a line of its output tells: an effect of each entry."""
        for entry_id in ids:
            self._books.told[entry_id] = self._books.told.get(entry_id, 0) + 1
            self.effect(entry_id)
