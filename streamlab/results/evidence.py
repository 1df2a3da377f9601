"""`Evidence`: what the invariants ask of a run, from its ledger, its events and what the server held at its end."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Iterator
from typing import Final

from streamlab.actors.events import RECREATED, SET_BACK
from streamlab.results.actor_records import State
from streamlab.results.events import Event, EventLog
from streamlab.results.final_state import FinalState
from streamlab.results.forgotten import Forgotten
from streamlab.results.ledger import Ledger
from streamlab.results.plain_events import ledger_of
from streamlab.results.statistics import id_key
from streamlab.scenario import Scenario
from streamlab.scenario.actions import Slow

#: Seconds that clients may wait before they try again, after the server has come back.
_BACK_OFF: Final = 1.5


class Evidence:
    """What is known of a run."""

    def __init__(self, scenario: Scenario, events: EventLog, final: FinalState, ledger: Ledger | None = None) -> None:
        self.scenario, self.events, self.final = scenario, events, final
        self.ledger = ledger_of(scenario, events) if ledger is None else ledger
        #: What consumers reported as dead-lettered, and with it what the dead-letter stream holds.
        self.dead = {*self.ledger.dead_lettered, *final.dead_letters}
        #: When the group or the stream went or came: positions and delivery counts begin again.
        self.resets = [reset.at for reset in self.ledger.resets]
        #: Consumers that are not dead at the end.
        self.living = {name for name, record in self.ledger.consumers.items() if record.life != State.DEAD}
        ends = ((getattr(fault, "at", None) or 0.0) + getattr(fault, "duration", 0.0) for fault in scenario.actions)
        #: When the last fault was over.
        self.last_trouble = max(self.ledger.actors.last_trouble, *ends, 0.0)
        self._events_of: dict[str, list[Event]] = {}

    @property
    def end(self) -> float:
        """When anything last happened."""
        return self.ledger.last_event

    def events_of(self, entry_id: str) -> list[Event]:
        """Return an entry's events."""
        if entry_id not in self._events_of:
            events = map(self.events.__getitem__, self._places.get(entry_id, ()))
            self._events_of[entry_id] = [event for event in events if event.kind != RECREATED]
        return self._events_of[entry_id]

    @functools.cached_property
    def _places(self) -> dict[str, list[int]]:
        """Which events are of which entry: for who asks for one entry after the other."""
        places: dict[str, list[int]] = {}
        for number, entry_id in enumerate(self.events.columns().ids()):
            places.setdefault(entry_id, []).append(number)
        return places

    def look_at(self, ids: Collection[str]) -> None:
        """Look up the events of several entries at once: they will be asked for."""
        found: dict[str, list[Event]] = {i: [] for i in ids if i not in self._events_of}
        if found:
            for row in self.events.rows():
                _, kind, _, entry_id, _ = row
                if entry_id in found and kind != RECREATED:
                    found[entry_id].append(Event(*row))
            self._events_of |= found

    @functools.cached_property
    def forgotten(self) -> Forgotten:
        """What the server had acknowledged and has forgotten."""
        return Forgotten.of(self.events, self.final) if self.may_forget else Forgotten()

    @property
    def may_forget(self) -> bool:
        """Whether a server may have forgotten something: by what the scenario says, or as it was seen to."""
        return self.scenario.may_forget or any(reset.kind == SET_BACK for reset in self.ledger.resets)

    @functools.cached_property
    def missing(self) -> tuple[list[str], list[str]]:
        """What was neither processed nor is still to come: entries that were trimmed from the stream, or are lost."""
        ledger, final = self.ledger, self.final
        known = (self.dead, ledger.trimmed, final.pending, {*final.undelivered})
        # What was trimmed may be pending still, and nobody can do it any more.
        known_of = (ledger.processed, self.dead, {*self.forgotten.entries})
        trimmed = [i for i in ledger.trimmed if i in ledger.added and not any(i in places for places in known_of)]
        missing = [i for i in ledger.unprocessed() if not any(i in places for places in known)]
        if self.scenario.maxlen is None:
            return trimmed, missing
        first = id_key(final.first_id) if final.first_id else (math.inf, 0)
        trimmed += [i for i in missing if id_key(i) < first]
        return trimmed, [i for i in missing if id_key(i) >= first]

    @property
    def bound(self) -> float:
        """Seconds within which everything should be done once all goes well again. Generous."""
        recovery = self.scenario.last_recovery
        again = recovery.restarts_after or 0.0
        looks = 3 * (recovery.min_idle + recovery.looks_every) if recovery.claims else 0.0
        block = max((c.block for c in self.scenario.consumers), default=0.0)
        return looks + again + 4 * self.ledger.longest_hold + block + _BACK_OFF

    def spans_a_reset(self, entry_id: str) -> bool:
        """Return whether the group or the stream went while an entry was there."""
        if not self.resets:
            return False
        begin = self.events_of(entry_id)[0].at
        return any(reset.at >= begin and reset.concerns(entry_id) for reset in self.ledger.resets)

    def was_well(self, name: str, begin: float, end: float) -> bool:
        """Return whether nothing befell a consumer, or the server, between two moments."""
        record = self.ledger.consumers.get(name)
        if record is not None and any(begin <= at <= end for at in record.troubles):
            return False
        if any(down <= end and begin <= up + _BACK_OFF for down, up in self.ledger.outages):
            return False
        if any(begin <= at <= end for at in self.resets):
            return False
        slow = [f for f in self.scenario.actions if isinstance(f, Slow) and f.target == name]
        return not any(f.when <= end and begin <= f.when + f.duration for f in slow)

    def idle_stretches(self, begin: float, end: float) -> Iterator[tuple[str, float, float]]:
        """Yield (consumer, begin, end): when one that was well had nothing to do, between two moments."""
        idle_still = ((name, record.idle_since, self.end) for name, record in self.ledger.consumers.items())
        for name, since, until in (*self.ledger.actors.idle, *idle_still):
            since, until = max(since, begin), min(until, end)
            if since < until and self.was_well(name, since, until):
                yield name, since, until
