"""Events: what happened in a run, and the only thing that metrics, plots and checks read.

The simulated engine appends what an actor reports to an `EventLog`; a worker process writes it as a line of JSON
for its lab to read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, Protocol

from streamlab.actors.events import EventKind

_OF_CONSUMERS: Final = (
    "delivered", "processed", "acked", "claimed", "dead_lettered", "failed", "void", "rejected", "trimmed",
)  # fmt: skip
#: What the actor is called in JSON: an entry's events happen to a producer or a consumer.
_ROLES: Final = {EventKind.ADDED: "producer"} | dict.fromkeys(map(EventKind, _OF_CONSUMERS), "consumer")


class Event(NamedTuple):
    """One thing that happened.

    `at` is in seconds since the run began, `actor` the name of the producer or consumer, `id` the entry's
    id (empty for what concerns an actor only), `delivery_count` how often the entry had been delivered,
    this time included (0 where that means nothing).
    """

    at: float
    kind: EventKind
    actor: str
    id: str = ""
    delivery_count: int = 0

    def to_json(self) -> str:
        """Return the event as one line of JSON: ``at``, ``kind``, ``id``, ``producer`` or
        ``consumer``, and ``delivery_count``."""
        row: dict[str, object] = {"at": round(self.at, 6), "kind": self.kind}
        if self.id:
            row["id"] = self.id
        row[_ROLES.get(self.kind, "actor")] = self.actor
        if self.delivery_count:
            row["delivery_count"] = self.delivery_count
        return json.dumps(row)

    @classmethod
    def from_json(cls, line: str) -> Event:
        """Read what `to_json` wrote.

        Raises
        ------
        ValueError
            If the line is not an event.
        """
        try:
            row = json.loads(line)
            kind = EventKind(row["kind"])
            actor, entry_id = row[_ROLES.get(kind, "actor")], row.get("id", "")
            at, count = row["at"], row.get("delivery_count", 0)
            if not (isinstance(actor, str) and isinstance(entry_id, str)):
                raise ValueError("a name or an id is no text")
            if type(count) is not int or not 0 <= count < 2**63:
                raise ValueError(f"the delivery count is {str(count)[:20]}")
            if type(at) not in (float, int) or not math.isfinite(at):
                raise ValueError(f"the time {at!r} is no number of seconds")
            return cls(float(at), kind, actor, entry_id, count)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"not an event: {line[:200]!r} ({error!r})") from None


#: What an event consists of.
_ITEMS: Final = len(Event._fields)


class Clock(Protocol):
    """What tells the time: a `VirtualLoop`."""

    @property
    def now(self) -> float:
        """The time in seconds."""


class _NoClock:
    now = 0.0


class EventLog:
    """The events of a run, in the order in which they were reported.

    Kept as one flat list, five items an event: a run of a million entries has four million events, and a
    tuple for each would cost more memory and time than the simulation itself.
    """

    __slots__ = ("_items", "clock")

    def __init__(self, clock: Clock = _NoClock()) -> None:  # noqa: B008 (it never changes)
        self.clock = clock
        self._items: list[Any] = []

    def report(
        self, kind: EventKind, actor: str, id: str = "", delivery_count: int = 0, at: float | None = None
    ) -> None:
        """Append an event that happens now, or that happened `at` a time of the clock."""
        self._items += (self.clock.now if at is None else at, kind, actor, id, delivery_count)

    def append(self, event: Event) -> None:
        """Append an event that carries its own time."""
        self._items += event

    def copy(self) -> EventLog:
        """Return a log of what has happened so far, which does not grow with this one."""
        return self._holding(self._items[:])

    @classmethod
    def _holding(cls, items: list[Any]) -> EventLog:
        log = cls()
        log._items = items
        return log

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled without the clock, which may be an event loop."""
        return EventLog._holding, (self._items,)

    @classmethod
    def of(cls, events: Iterable[Event]) -> EventLog:
        """Return a log of these events, sorted by time."""
        log = cls()
        for event in sorted(events, key=lambda event: event.at):  # stable: ties stay in order
            log.append(event)
        return log

    def latest_first(self) -> Iterator[Event]:
        """Yield the events, the latest first."""
        return (self[i] for i in range(len(self) - 1, -1, -1))

    def __len__(self) -> int:
        return len(self._items) // _ITEMS

    def __iter__(self) -> Iterator[Event]:
        return map(Event, *[iter(self._items)] * _ITEMS)  # one iterator: each takes where the last left off

    def __getitem__(self, index: int) -> Event:
        first = range(0, len(self._items), _ITEMS)[index]
        return Event(*self._items[first : first + _ITEMS])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EventLog):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"<EventLog of {len(self):,} events>"
