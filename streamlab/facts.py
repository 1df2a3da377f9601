"""`Facts`: what the invariants ask of a run's events, found in one pass over them."""

from __future__ import annotations

from collections.abc import Iterator

from streamlab.events import (
    ACKED,
    ADDED,
    CLAIMED,
    CRASHED,
    DEAD_LETTERED,
    DELIVERED,
    DISCONNECTED,
    FAILED,
    GROUP_DESTROYED,
    PAUSED,
    PROCESSED,
    RECREATED,
    REJECTED,
    REMOVED,
    RESUMED,
    SERVER_DOWN,
    SERVER_UP,
    STARTED,
    STOPPED,
    STREAM_DELETED,
    TRIMMED,
    VOID,
    Event,
    EventLog,
)
from streamlab.faults import Slow
from streamlab.final_state import FinalState
from streamlab.scenario import Scenario

#: Seconds that clients may wait before they try again, after the server has come back.
_BACK_OFF = 1.5
_ENDS = (PROCESSED, FAILED, DEAD_LETTERED, TRIMMED, VOID, REJECTED)
_RESETS = (GROUP_DESTROYED, STREAM_DELETED, RECREATED)


class Facts:
    """A run's events, sorted for the invariants.

    Attributes
    ----------
    of_entry
        Each entry's events.
    processed, processed_twice, processed_unasked
        Entries that were processed, and when first; more than once; by one who was not given them.
    dead_lettered, dead
        What consumers reported, and with it what the dead-letter stream holds.
    tried
        How often a handler has had each entry, as far as it mattered: it was processed or failed, or it was
        the one that was being processed when its consumer died or lost its connection.
    abandoned
        (entry, consumer, when): what a consumer held and had not processed when it died.
    removed
        (consumer, when, entries): what a consumer seemed to hold when it was removed.
    resets
        When the group or the stream went or came: positions and delivery counts begin anew.
    living
        Consumers that are not dead at the end.
    last_trouble, last_work, end
        When the last fault was over, something was last processed, anything last happened.
    """

    def __init__(self, scenario: Scenario, events: EventLog, final: FinalState) -> None:
        self.scenario, self.final = scenario, final
        self.of_entry: dict[str, list[Event]] = {}
        self.added: dict[str, float] = {}
        self.processed: dict[str, float] = {}
        self.processed_twice: dict[str, None] = {}
        self.processed_unasked: dict[str, Event] = {}
        self.acked: dict[str, None] = {}
        self.redelivered: dict[str, None] = {}
        self.trimmed: set[str] = set()
        self.dead_lettered: dict[str, None] = {}
        self.tried: dict[str, int] = {}
        self.abandoned: list[tuple[str, str, float]] = []
        self.removed: list[tuple[str, float, list[str]]] = []
        self.resets: list[float] = []
        self.last_trouble = self.last_work = self.end = 0.0
        self._open: dict[str, dict[str, float]] = {}
        self._owner: dict[str, str] = {}
        self._given: set[tuple[str, str]] = set()
        self._troubles: dict[str, list[float]] = {}
        self._longest_hold = 0.0
        self._stretches: list[tuple[str, float, float]] = []
        self._idle_since: dict[str, float] = {}
        self._down: list[tuple[float, float]] = []
        self._state: dict[str, str] = {}
        for event in events:
            if event.kind not in _RESETS and event.id:
                self._note_entry(event)
            else:
                self._note_life(event)
            self.end = max(self.end, event.at)
        self.dead = {*self.dead_lettered, *final.dead_letters}
        names = {consumer.name for consumer in scenario.consumers} | self._open.keys()
        self.living = {name for name in names if self._state.get(name, STARTED) != CRASHED}
        for fault in scenario.faults:
            over = getattr(fault, "at", 0.0) + getattr(fault, "duration", 0.0)
            self.last_trouble = max(self.last_trouble, over)
        for name in list(self._idle_since):
            self._busy(name, self.end)

    # ---- the pass ------------------------------------------------------------------------------

    def _note_entry(self, event: Event) -> None:
        at, kind, name, entry_id, count = event
        self.of_entry.setdefault(entry_id, []).append(event)
        if kind == ADDED:
            self.added[entry_id] = at
            return
        if kind == TRIMMED:
            self.trimmed.add(entry_id)
        held = self._open.setdefault(name, {})
        if kind in (DELIVERED, CLAIMED):
            self._busy(name, at)
            held.pop(entry_id, None)
            held[entry_id] = at
            self._owner[entry_id] = name
            if (entry_id, name) in self._given or count > 1 or kind == CLAIMED:
                self.redelivered[entry_id] = None
            self._given.add((entry_id, name))
            return
        if kind == PROCESSED:
            self._note_processed(event, held)
        elif kind == ACKED:
            self.acked[entry_id] = None
        elif kind == DEAD_LETTERED:
            self.dead_lettered[entry_id] = None
        elif kind == FAILED:
            self.tried[entry_id] = self.tried.get(entry_id, 0) + 1
        if kind in _ENDS and held.pop(entry_id, None) is not None and not held:
            self._idle_since[name] = at

    def _note_processed(self, event: Event, held: dict[str, float]) -> None:
        at, _, name, entry_id, _ = event
        self.last_work = max(self.last_work, at)
        self.tried[entry_id] = self.tried.get(entry_id, 0) + 1
        if entry_id in self.processed:
            self.processed_twice[entry_id] = None
        self.processed.setdefault(entry_id, at)
        if (entry_id, name) not in self._given:
            self.processed_unasked.setdefault(entry_id, event)
        if entry_id in held:
            self._longest_hold = max(self._longest_hold, at - held[entry_id])
            for skipped in list(held):  # what came before it, its consumer gave up
                if skipped == entry_id:
                    break
                del held[skipped]

    def _note_life(self, event: Event) -> None:
        at, kind, name, *_ = event
        held = self._open.get(name, {})
        if kind in _RESETS:
            self.resets.append(at)
        elif kind == SERVER_DOWN:
            self._down.append((at, float("inf")))
        elif kind == SERVER_UP:
            self._down[-1:] = [(begin, at + _BACK_OFF) for begin, _ in self._down[-1:]]
        elif kind == REMOVED:
            mine = [i for i in held if self._owner[i] == name]
            self.removed.append((name, at, mine))
        else:
            self._state[name] = kind
            self._busy(name, at)
            if kind in (CRASHED, PAUSED, RESUMED, DISCONNECTED):
                self._troubles.setdefault(name, []).append(at)
                self.last_trouble = max(self.last_trouble, at)
            if kind in (CRASHED, DISCONNECTED) and held:
                tried = next(iter(held))
                self.tried[tried] = self.tried.get(tried, 0) + 1
            if kind == CRASHED:
                mine = [i for i in held if self._owner[i] == name and i not in self.processed]
                self.abandoned += [(i, name, at) for i in mine]
            if kind in (CRASHED, DISCONNECTED, STARTED, STOPPED):
                held.clear()
            if kind == STARTED and name in {c.name for c in self.scenario.consumers}:
                self._idle_since[name] = at

    def _busy(self, name: str, at: float) -> None:
        """Note that a consumer has had nothing to do until now."""
        since = self._idle_since.pop(name, None)
        if since is not None and at > since:
            self._stretches.append((name, since, at))

    # ---- questions -----------------------------------------------------------------------------

    @property
    def bound(self) -> float:
        """Seconds within which everything should be done once all goes well again. Generous."""
        recovery = self.scenario.recovery
        again = recovery.restarts_after or 0.0
        looks = 3 * (recovery.min_idle + recovery.looks_every) if recovery.claims else 0.0
        block = max((c.block for c in self.scenario.consumers), default=0.0)
        return looks + again + 4 * self._longest_hold + block + _BACK_OFF

    def spans_a_reset(self, events: list[Event]) -> bool:
        """Return whether the group or the stream went while an entry was there."""
        return any(at >= events[0].at for at in self.resets)

    def was_well(self, name: str, begin: float, end: float) -> bool:
        """Return whether nothing befell a consumer, or the server, between two moments."""
        if any(begin <= at <= end for at in self._troubles.get(name, ())):
            return False
        if any(at <= end and begin <= up for at, up in self._down):
            return False
        if any(begin <= at <= end for at in self.resets):
            return False
        slow = [f for f in self.scenario.faults if isinstance(f, Slow) and f.target == name]
        return not any(f.at <= end and begin <= f.at + f.duration for f in slow)

    def idle_stretches(self, begin: float, end: float) -> Iterator[tuple[str, float, float]]:
        """Yield (consumer, begin, end): when one that was well had nothing to do, between two moments."""
        for name, since, until in self._stretches:
            since, until = max(since, begin), min(until, end)
            if since < until and self.was_well(name, since, until):
                yield name, since, until
