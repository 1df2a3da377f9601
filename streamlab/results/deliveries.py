"""What a ledger is made of: deliveries, losses, resets; and what it comes to for each consumer."""

from __future__ import annotations

import functools
import itertools
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import eq
from typing import Final, NamedTuple, overload

from streamlab.actors.events import SET_BACK, EventKind
from streamlab.results.columns import Numbers, Times, lengthened
from streamlab.scenario.shards import place_of


class Delivery(NamedTuple):
    """An entry that was given to a consumer, and what has come of it so far; in seconds, NaN for never.

    `begun` and `left` are when the consumer began to work on it and when it stopped: it was `processed`,
    or the handler failed, or the consumer died or lost its connection. `over` is when the entry was
    no longer pending for this consumer, and `outcome` the kind of event by which that came: acknowledged
    (by any consumer), delivered or claimed once more, dead-lettered, trimmed, void, or the group was gone.
    `number` is its place among all `Deliveries`.
    """

    id: str
    consumer: str
    delivered: float
    delivery_count: int
    claimed: bool
    begun: float = math.nan
    processed: float = math.nan
    acked: float = math.nan
    left: float = math.nan
    over: float = math.nan
    outcome: str = ""
    number: int = -1

    @property
    def is_again(self) -> bool:
        """Whether the entry had been delivered before, as its delivery count tells."""
        return self.claimed or self.delivery_count > 1


#: Makes a delivery of what it consists of: without a call of Python's.
_delivery_of: Final = functools.partial(tuple.__new__, Delivery)
#: What `Deliveries.outcome` has: 0 while there is none.
_OUTCOMES: Final = ("", *EventKind)
OUTCOME: Final = {outcome: code for code, outcome in enumerate(_OUTCOMES)}


class Deliveries(Sequence[Delivery]):
    """All deliveries, in the order in which they were heard of: in columns, and a `Delivery` for whoever looks at one.

    Parameters
    ----------
    ids
        The numbers of entry ids, which the column `entry` has; `consumer` has those of `names`.
    """

    def __init__(self, ids: Numbers) -> None:
        self._ids, self.names = ids, Numbers()
        self._n = self._room = 0
        self.entry, self.consumer, self.delivery_count = array("I"), array("H"), array("q")
        self.delivered, self.begun, self.processed = array("d"), array("d"), array("d")
        self.acked, self.left, self.over = array("d"), array("d"), array("d")
        self.claimed, self.outcome = bytearray(), bytearray()

    def add(self, entry: int, consumer: int, at: float, count: int, claimed: bool) -> int:
        """Note that an entry was given to a consumer; return the delivery's number."""
        number = self._n
        if number == self._room:
            self.make_room(number)
        self.entry[number] = entry
        self.consumer[number] = consumer
        self.delivered[number] = at
        self.delivery_count[number] = count
        self.claimed[number] = claimed
        self._n = number + 1
        return number

    def make_room(self, number: int) -> None:
        """Make the columns longer, so that a delivery has a place in them."""
        self._room = lengthened(
            self._room, self.entry, self.consumer, self.delivery_count, self.delivered, self.begun, self.processed,
            self.acked, self.left, self.over, self.claimed, self.outcome, least=number,
        )  # fmt: skip

    def take_over(
        self, consumer: Iterable[int], delivery_count: Iterable[int], delivered: array[float],
        begun: array[float], processed: array[float], acked: array[float], outcome: int,
    ) -> None:  # fmt: skip
        """Have these as the first: of the entries 0, 1, 2 …; by the acknowledgement comes the outcome."""
        n = self._n = self._room = len(delivered)
        self.entry.extend(range(n))
        self.consumer.extend(consumer)
        self.delivery_count.extend(delivery_count)
        self.delivered.extend(delivered)
        self.begun.extend(begun)
        self.processed.extend(processed)
        self.left.extend(processed)
        self.acked.extend(acked)
        self.over.extend(acked)
        self.claimed.extend(bytes(n))
        self.outcome.extend(map(outcome.__mul__, map(eq, acked, acked)))  # 0 where it is NaN

    def is_again(self, number: int) -> bool:
        """Return whether the entry had been delivered before, as its delivery count tells."""
        return self.claimed[number] > 0 or self.delivery_count[number] > 1

    def ids_of(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """Return the ids of the entries that were delivered."""
        return tuple(self._ids.texts[self.entry[number]] for number in numbers)

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[Delivery]:
        return self._between(0, self._n)

    @overload
    def __getitem__(self, index: int) -> Delivery: ...
    @overload
    def __getitem__(self, index: slice) -> list[Delivery]: ...
    def __getitem__(self, index: int | slice) -> Delivery | list[Delivery]:
        if isinstance(index, slice):
            first, end, step = index.indices(self._n)
            return list(self._between(first, end)) if step == 1 else [self[n] for n in range(first, end, step)]
        n = range(self._n)[index]
        return next(self._between(n, n + 1))

    def _between(self, first: int, end: int) -> Iterator[Delivery]:
        columns = (
            map(self._ids.texts.__getitem__, self.entry[first:end]),
            map(self.names.texts.__getitem__, self.consumer[first:end]),
            self.delivered[first:end], self.delivery_count[first:end], map(bool, self.claimed[first:end]),
            self.begun[first:end], self.processed[first:end], self.acked[first:end],
            self.left[first:end], self.over[first:end],
            map(_OUTCOMES.__getitem__, self.outcome[first:end]), range(first, end),
        )  # fmt: skip
        return map(_delivery_of, zip(*columns, strict=False))


class Latest(Mapping[str, Delivery]):
    """The latest delivery of each entry, by its id: `numbers` has its number and one more, by that of the entry."""

    def __init__(self, ids: Numbers, deliveries: Deliveries, numbers: array[int]) -> None:
        self._ids, self._deliveries, self.numbers = ids, deliveries, numbers

    def __len__(self) -> int:
        return sum(map(bool, self.numbers))

    def __iter__(self) -> Iterator[str]:
        return itertools.compress(self._ids.texts, self.numbers)

    def __getitem__(self, entry_id: str) -> Delivery:
        entry = self._ids.find(entry_id)
        if not 0 <= entry < len(self.numbers) or not self.numbers[entry]:
            raise KeyError(entry_id)
        return self._deliveries[self.numbers[entry] - 1]


class Pending(Mapping[str, Delivery]):
    """The deliveries that are pending, by the ids of their entries: `numbers` has theirs by those of the entries."""

    def __init__(self, ids: Numbers, deliveries: Deliveries) -> None:
        self._ids, self._deliveries = ids, deliveries
        self.numbers: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[str]:
        return map(self._ids.texts.__getitem__, self.numbers)

    def __getitem__(self, entry_id: str) -> Delivery:
        number = self.numbers.get(self._ids.find(entry_id))
        if number is None:
            raise KeyError(entry_id)
        return self._deliveries[number]


class Producers(Mapping[str, str]):
    """By whom entries were added, by their ids: `numbers` has those of their `names`, by those of the entries."""

    def __init__(self, added: Times, ids: Numbers, names: Numbers, numbers: array[int]) -> None:
        self._added, self._ids, self._names, self.numbers = added, ids, names, numbers

    def __len__(self) -> int:
        return len(self._added)

    def __iter__(self) -> Iterator[str]:
        return iter(self._added)

    def __getitem__(self, entry_id: str) -> str:
        if entry_id not in self._added:
            raise KeyError(entry_id)
        return self._names.texts[self.numbers[self._ids[entry_id]]]


class Loss(NamedTuple):
    """An actor died (``crashed``) or stood still (``paused``), at so many seconds."""

    at: float
    kind: str
    consumer: str


class ZombieAck(NamedTuple):
    """An entry was acknowledged by a consumer that did not own it: `owner` did ("": none)."""

    at: float
    id: str
    consumer: str
    owner: str


class Reset(NamedTuple):
    """The group or the stream went (`kind`), or the group was made again or set back, from the entry `id` on."""

    at: float
    kind: str
    id: str

    @property
    def position(self) -> str:
        """The id from which on it goes on, as Redis knows it; "" if there is no group any more."""
        return place_of(self.id)[1]

    def concerns(self, entry_id: str) -> bool:
        """Whether an entry was there: a server of a cluster sets back its own shards only."""
        return self.kind != SET_BACK or place_of(self.id)[0] == place_of(entry_id)[0]


@dataclass(frozen=True, slots=True)
class ConsumerMetrics:
    """What one consumer did in a run.

    `delivered`, `claimed`, `processed` and `acked` count deliveries: an entry that it was given twice counts twice.
    `pending` is what the server had pending for it at the end. `utilisation` is the part of the run's time during
    which it was processing, from 0 to 1.
    """

    delivered: int
    processed: int
    acked: int
    claimed: int
    pending: int
    utilisation: float
