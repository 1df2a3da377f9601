"""Events: what actors tell about their work, and the only thing that metrics, plots and checks read.

An actor calls its `Report` with the kind of event, its own name, and (where there is one) the entry's id
and delivery count. Whoever runs the actor decides what becomes of it: the simulated engine appends it to
an `EventLog`, a worker process writes it as a line of JSON for its lab to read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, Protocol

# An entry's life.
ADDED: Final = "added"  #: a producer's XADD; `at` is when it was sent
DELIVERED: Final = "delivered"  #: XREADGROUP gave it to a consumer
PROCESSED: Final = "processed"  #: the handler returned: the effect has happened
ACKED: Final = "acked"  #: XACK was answered
CLAIMED: Final = "claimed"  #: XCLAIM or XAUTOCLAIM gave it to another consumer
DEAD_LETTERED: Final = "dead_lettered"  #: given up, and moved to the dead-letter stream
FAILED: Final = "failed"  #: the handler raised an error; the entry stays pending
VOID: Final = "void"  #: XACK was answered with 0: nobody had it pending any more
REJECTED: Final = (
    "rejected"  #: a fenced acknowledgement was refused: another consumer owns the entry
)
TRIMMED: Final = "trimmed"  #: removed from the stream (XTRIM, XDEL, DEL), whoever still needed it
# An actor's life.
STARTED: Final = "started"
STOPPED: Final = "stopped"
CRASHED: Final = "crashed"
PAUSED: Final = "paused"
RESUMED: Final = "resumed"
DISCONNECTED: Final = "disconnected"  #: it lost its connection, and tries again
RECREATED: Final = "recreated"  #: it found the group gone and made it anew; `id` is where it begins
REMOVED: Final = "removed"  #: XGROUP DELCONSUMER, of a consumer that held nothing
# What befalls the server, or what is done to the stream behind everybody's back; the actor is "lab".
SERVER_DOWN: Final = "server_down"
SERVER_UP: Final = "server_up"
GROUP_DESTROYED: Final = "group_destroyed"
STREAM_DELETED: Final = "stream_deleted"

_OF_ENTRIES: Final = (
    ADDED, DELIVERED, PROCESSED, ACKED, CLAIMED, DEAD_LETTERED, FAILED, VOID, REJECTED, TRIMMED,
)  # fmt: skip
KINDS: Final = (
    *_OF_ENTRIES, STARTED, STOPPED, CRASHED, PAUSED, RESUMED, DISCONNECTED, RECREATED, REMOVED,
    SERVER_DOWN, SERVER_UP, GROUP_DESTROYED, STREAM_DELETED,
)  # fmt: skip
#: What the actor is called in JSON: an entry's events happen to a producer or a consumer.
_ROLES: Final = {ADDED: "producer"} | dict.fromkeys(_OF_ENTRIES[1:], "consumer")

#: ``report(kind, actor, id="", delivery_count=0, at=None)``; `at` is the event loop's time, None for now
Report = Callable[..., None]


class Event(NamedTuple):
    """One thing that happened.

    `at` is in seconds since the run began, `actor` the name of the producer or consumer, `id` the entry's
    id (empty for what concerns an actor only), `delivery_count` how often the entry had been delivered,
    this time included (0 where that means nothing).
    """

    at: float
    kind: str
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
            kind = row["kind"]
            if kind not in KINDS:
                raise ValueError(f"the kind {kind!r} is none of {', '.join(KINDS)}")
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
        self,
        kind: str,
        actor: str,
        id: str = "",
        delivery_count: int = 0,
        at: float | None = None,
    ) -> None:
        """Append an event that happens now, or that happened `at` a time of the clock."""
        self._items += (self.clock.now if at is None else at, kind, actor, id, delivery_count)

    def append(self, event: Event) -> None:
        """Append an event that carries its own time."""
        self._items += event

    def copy(self) -> EventLog:
        """Return a log of what has happened so far, which does not grow with this one."""
        log = EventLog()
        log._items = self._items[:]
        return log

    @classmethod
    def of(cls, events: Iterable[Event]) -> EventLog:
        """Return a log of these events, sorted by time."""
        log = cls()
        for event in sorted(events, key=lambda event: event.at):  # stable: ties stay in order
            log.append(event)
        return log

    def __len__(self) -> int:
        return len(self._items) // _ITEMS

    def __iter__(self) -> Iterator[Event]:
        return map(
            Event, *[iter(self._items)] * _ITEMS
        )  # one iterator: each takes where the last left off

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
