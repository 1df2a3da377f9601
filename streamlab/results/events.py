"""Events: what happened in a run, and the only thing that metrics, plots and checks read.

The simulated engine appends what an actor reports to an `EventLog`; a worker process writes it as a line of JSON
for its lab to read.
"""

from __future__ import annotations

import functools
import json
import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

from streamlab.actors.events import EventKind
from streamlab.results.columns import Numbers

_OF_CONSUMERS: Final = (
    "delivered", "processed", "acked", "claimed", "dead_lettered", "failed", "void", "rejected", "trimmed",
)  # fmt: skip
#: What the actor is called in JSON: an entry's events happen to a producer or a consumer.
_ROLE_OF: Final = (
    dict.fromkeys(EventKind, "actor")
    | {EventKind.ADDED: "producer"}
    | dict.fromkeys(map(EventKind, _OF_CONSUMERS), "consumer")
)
_BY_NAME: Final = {str(kind): kind for kind in EventKind}
_quoted: Final = json.encoder.encode_basestring_ascii


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
        return line_of(*self)

    @classmethod
    def from_json(cls, line: str) -> Event:
        """Read what `to_json` wrote.

        Raises
        ------
        ValueError
            If the line is not an event.
        """
        try:
            return cls._of_row(json.loads(line))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"not an event: {line[:200]!r} ({error!r})") from None

    @classmethod
    def _of_row(cls, row: Any) -> Event:
        kind = _BY_NAME[row["kind"]]
        actor, entry_id = row[_ROLE_OF[kind]], row.get("id", "")
        at, count = row["at"], row.get("delivery_count", 0)
        if not (isinstance(actor, str) and isinstance(entry_id, str)):
            raise ValueError("a name or an id is no text")
        if type(count) is not int or not 0 <= count < 2**63:
            raise ValueError(f"the delivery count is {str(count)[:20]}")
        if type(at) not in (float, int) or not math.isfinite(at):
            raise ValueError(f"the time {at!r} is no number of seconds")
        return cls(float(at), kind, actor, entry_id, count)

    @classmethod
    def from_lines(cls, lines: Sequence[str]) -> list[Event]:
        """Read many lines that `to_json` wrote, in a third of the time. Raises `ValueError` as `from_json` does."""
        try:
            rows = json.loads(f"[{','.join(lines)}]")
            if len(rows) != len(lines):
                raise ValueError("not an event a line")
            return list(map(cls._of_row, rows))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return list(map(cls.from_json, lines))  # one of them will tell what is wrong


def line_of(at: float, kind: EventKind, actor: str, entry_id: str, delivery_count: int) -> str:
    """Return what `json.dumps` would make of an event: a fifth of the time suffices."""
    id_ = f', "id": {_quoted(entry_id)}' if entry_id else ""
    count = f', "delivery_count": {delivery_count}' if delivery_count else ""
    return f'{{"at": {round(at, 6)!r}, "kind": "{kind}"{id_}, "{_ROLE_OF[kind]}": {_quoted(actor)}{count}}}'


#: What an event consists of.
_ITEMS: Final = len(Event._fields)
#: So many items are put into columns at once: few enough to be in the processor's caches still.
AT_ONCE: Final = 1000 * _ITEMS
#: With so many events, memory counts.
_MANY: Final = 1_000_000
_MOST_IN_A_BYTE: Final = 255
#: Kinds by their numbers, and their numbers.
KINDS: Final = tuple(EventKind)
CODES: Final = {kind: code for code, kind in enumerate(KINDS)}
#: Makes an event of what it consists of: without a call of Python's.
_event_of: Final = functools.partial(tuple.__new__, Event)
Row = tuple[float, EventKind, str, str, int]


class Columns(NamedTuple):
    """What events consist of, each thing by itself: kinds by `CODES`, actors by the numbers of `names`.

    Of counts above 255 they say 255. Times, actors and ids can be gone through as often as they are asked for.
    """

    kinds: bytes
    counts: bytes
    names: list[str]
    times: Callable[[], Iterator[float]]
    actors: Callable[[], Iterator[int]]
    ids: Callable[[], Iterator[str]]


class Clock(Protocol):
    """What tells the time: a `VirtualLoop`."""

    @property
    def now(self) -> float:
        """The time in seconds."""


class _NoClock:
    now = 0.0


class EventLog:
    """The events of a run, in the order in which they were reported.

    Kept in columns: a time, a kind, an actor, an id and a count for each, and an `Event` is made when somebody looks
    at it. What came last is still as it came, to be put into the columns with many others at once.
    """

    __slots__ = ("_actors", "_counts", "_high_counts", "_ids", "_items", "_kinds", "_names", "_times", "clock")

    def __init__(self, clock: Clock = _NoClock()) -> None:  # noqa: B008 (it never changes)
        self.clock = clock
        self._items: list[Any] = []  # of events that are in no column yet, one after the other
        self._times = array("d")
        self._kinds = bytearray()  # by `CODES`
        self._names = Numbers()  # of actors
        self._actors = array("H")
        self._ids: list[str] = []  # they are there anyway
        self._counts = bytearray()
        self._high_counts: dict[int, int] = {}  # those that do not fit, by the event's number

    def report(
        self, kind: EventKind, actor: str, id: str = "", delivery_count: int = 0, at: float | None = None
    ) -> None:
        """Append an event that happens now, or that happened `at` a time of the clock."""
        items = self._items
        items += (self.clock.now if at is None else at, kind, actor, id, delivery_count)
        if len(items) >= AT_ONCE:
            self._settle()

    def in_bulk(self) -> tuple[list[Any], Callable[[], None]]:
        """Return where to add what events consist of, five things for each, and what to call now and then.

        A call for each event would take as long as all else that a simulation in one loop does for it.
        """
        return self._items, self._settle

    def append(self, event: Event) -> None:
        """Append an event that carries its own time."""
        items = self._items
        items += event
        if len(items) >= AT_ONCE:
            self._settle()

    def _settle(self) -> None:
        """Put what came last into the columns."""
        items, counts = self._items, self._items[4::_ITEMS]
        try:
            self._counts.extend(counts)
        except ValueError:
            first = len(self._kinds)
            self._high_counts |= {first + n: count for n, count in enumerate(counts) if count > _MOST_IN_A_BYTE}
            self._counts.extend(min(count, _MOST_IN_A_BYTE) for count in counts)
        self._times.fromlist(items[::_ITEMS])
        self._kinds.extend(map(CODES.__getitem__, items[1::_ITEMS]))
        self._actors.extend(map(self._names.__getitem__, items[2::_ITEMS]))
        self._ids += items[3::_ITEMS]
        items.clear()

    def rows(self, first: int = 0) -> Iterator[Row]:
        """Yield what each event consists of: as an `Event` would have it, which it takes much longer to make."""
        self._settle()
        columns = self._times, self._kinds, self._actors, self._ids, self._counts
        some: Any = (column[first:] for column in columns) if first else columns
        times, codes, actors, ids, counts = some
        kinds, names = map(KINDS.__getitem__, codes), map(self._names.texts.__getitem__, actors)
        high = self._high_counts
        counts = (high.get(n, count) for n, count in enumerate(counts, first)) if high else counts
        return zip(times, kinds, names, ids, counts, strict=True)

    def pack(self) -> None:
        """Make the ids anew, all next to each other, if there are many.

        They came one by one, between what else a simulation made: Python gives memory back by the megabyte, and each of
        these would be kept by the ids in it.
        """
        self._settle()
        if len(self) < _MANY:
            return
        texts = list(dict.fromkeys(self._ids))
        anew = dict(zip(texts, "\n".join(texts).split("\n"), strict=True))
        self._ids = list(map(anew.__getitem__, self._ids))

    def columns(self, first: int = 0, end: int | None = None) -> Columns:
        """Return the columns, or a part of them."""
        self._settle()
        return Columns(
            bytes(self._kinds[first:end]), bytes(self._counts[first:end]), self._names.texts,
            functools.partial(islice, self._times, first, end),
            functools.partial(islice, self._actors, first, end),
            functools.partial(islice, self._ids, first, end),
        )  # fmt: skip

    def copy(self) -> EventLog:
        """Return a log of what has happened so far, which does not grow with this one."""
        return self._holding(*self._held())

    def _held(self) -> tuple[Any, ...]:
        self._settle()
        columns = self._times, self._kinds, self._actors, self._ids, self._counts
        return self._names, self._high_counts.copy(), *(column[:] for column in columns)  # names only grow

    @classmethod
    def _holding(cls, *held: Any) -> EventLog:
        log = cls()
        log._names, log._high_counts, log._times, log._kinds, log._actors, log._ids, log._counts = held
        return log

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled without the clock, which may be an event loop."""
        return EventLog._holding, self._held()

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
        return len(self._kinds) + len(self._items) // _ITEMS

    def __iter__(self) -> Iterator[Event]:
        return map(_event_of, self.rows())

    def __getitem__(self, index: int) -> Event:
        n = len(self._kinds)
        index = range(n + len(self._items) // _ITEMS)[index]
        if index >= n:
            first = (index - n) * _ITEMS
            return Event(*self._items[first : first + _ITEMS])
        count = self._counts[index]
        if count == _MOST_IN_A_BYTE:
            count = self._high_counts.get(index, count)
        name = self._names.texts[self._actors[index]]
        return Event(self._times[index], KINDS[self._kinds[index]], name, self._ids[index], count)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EventLog):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"<EventLog of {len(self):,} events>"
