"""What a ledger does for all events up to the first that is not plain: at once, by columns, since calls cost most.

Plain is what happens while nothing goes wrong: an entry is added behind all others, delivered for the first time as
the next in line, processed by whom it was given to as what comes first, and then acknowledged. A `Ledger`'s own methods
would come to the same for these as well: a test holds the two together.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter, deque
from collections.abc import Iterator
from itertools import compress, count, islice, repeat
from operator import eq, ge, le, sub
from typing import Any, Final

from streamlab.actors.events import ACKED, ADDED, DELIVERED, PROCESSED, STARTED, STOPPED
from streamlab.results.actor_records import State
from streamlab.results.deliveries import OUTCOME
from streamlab.results.events import CODES, Columns, EventLog
from streamlab.results.ledger import Ledger
from streamlab.results.statistics import id_key
from streamlab.scenario import Scenario

_ADDED, _DELIVERED, _PROCESSED, _ACKED = (CODES[kind] for kind in (ADDED, DELIVERED, PROCESSED, ACKED))
_STARTED, _STOPPED = CODES[STARTED], CODES[STOPPED]
#: What may be plain.
_PLAIN: Final = bytes((_ADDED, _DELIVERED, _PROCESSED, _ACKED, _STOPPED))
#: By which step of `Changes` each kind changes the backlog, or what is pending; and the kinds that change neither.
_STEPS: Final = bytes.maketrans(bytes((_ADDED, _DELIVERED, _ACKED)), bytes((7, 2, 3)))
_NO_STEPS: Final = bytes((_PROCESSED, _STOPPED))

#: Events that are tried first.
_SAMPLE: Final = 2000


class _NotPlain(Exception):
    """Something was not plain, after all."""


def ledger_of(scenario: Scenario, log: EventLog) -> Ledger:
    """Return the ledger of these events: what `Ledger.of` returns, and sooner."""
    ledger = Ledger(scenario)
    # Shards are delivered in an order each, and so never in that of all entries.
    ledger.read_from(log, read_plain(ledger, log) if scenario.shards is None else 0)
    return ledger


def read_plain(ledger: Ledger, log: EventLog) -> int:
    """Enter what is plain at the beginning of a log into a ledger in which nothing is yet; return how many events."""
    kinds = log.columns().kinds
    first = len(kinds) - len(kinds.lstrip(bytes((_STARTED,))))
    for row in islice(log.rows(), first):
        ledger.enter(*row)
    end = _end_of_plain(ledger, log, first)
    events = log.columns(first, end)
    try:
        if end - first > _SAMPLE:  # what is not plain mostly shows it early
            _Plain(ledger, log.columns(first, first + _SAMPLE))
        _Plain(ledger, events).enter()
    except _NotPlain:
        ledger.ids.clear()
        return first
    # That a producer stops is nobody else's business: it can be told later.
    for number in _places(_STOPPED, events.kinds):
        ledger.apply(log[first + number])
    return first + len(events.kinds)


def _end_of_plain(ledger: Ledger, log: EventLog, first: int) -> int:
    """Return the number of the first event that is certainly not plain."""
    events = log.columns(first)
    kinds, counts = events.kinds, events.counts
    end = min(len(kinds) - len(kinds.lstrip(_PLAIN)), len(counts) - len(counts.lstrip(b"\0\1")))
    stops = (at for at in _places(_STOPPED, kinds[:end]) if log[first + at].actor in ledger.consumers)
    return first + next(stops, end)


def _places(kind: int, kinds: bytes) -> Iterator[int]:
    at = kinds.find(kind)
    while at >= 0:
        yield at
        at = kinds.find(kind, at + 1)


def _mask(*kinds: int) -> bytes:
    """Return what `bytes.translate` makes a selector of `compress` with."""
    return bytes(kind in kinds for kind in range(256))


class _Plain:
    """Events that seem to be plain. Raises `_NotPlain` where they are not, and nothing has been entered then."""

    def __init__(self, ledger: Ledger, events: Columns) -> None:
        self.ledger, self.events = ledger, events
        self.is_added = events.kinds.translate(_mask(_ADDED))
        self.is_delivered = events.kinds.translate(_mask(_DELIVERED))
        self.texts = list(compress(events.ids(), self.is_added))
        self.numbers = ledger.ids
        self.numbers.clear()
        self.numbers.update(zip(self.texts, count(), strict=False))
        self.added = array("d", compress(events.times(), self.is_added))
        self.delivered = array("d", compress(events.times(), self.is_delivered))
        # Of ids that are equally long, the greater one is the greater text.
        keys: list[Any] = self.texts if len(set(map(len, self.texts))) <= 1 else list(map(id_key, self.texts))
        if not (
            len(self.numbers) == len(self.texts)
            and all(map(le, events.times(), islice(events.times(), 1, None)))
            and all(map(le, keys, islice(keys, 1, None)))
            and all(map(eq, compress(events.ids(), self.is_delivered), self.texts))
            and all(map(ge, self.delivered, self.added))
        ):
            raise _NotPlain
        # Entries are delivered as they were added: so both have the same numbers.
        self.consumer = array("H", compress(events.actors(), self.is_delivered))
        records = {who: ledger.consumers.get(events.names[who]) for who in set(self.consumer)}
        self.records = {who: r for who, r in records.items() if r is not None and r.life == State.WAITING}
        self.hands: dict[int, deque[int]] = {who: deque() for who in self.records}
        self.processed_in_turn = array("I")
        self.acked_in_turn = array("I")
        self._go_through()

    def _go_through(self) -> None:
        """Find out what consumers began and finished when."""
        texts, numbers, hands, consumer = self.texts, self.numbers, self.hands, self.consumer
        delivered = self.delivered
        self.begun, self.left, self.acked = (array("d", repeat(math.nan, len(delivered))) for _ in range(3))
        begun, left, acked = self.begun, self.left, self.acked
        self.free_at = free_at = {who: record.free_at for who, record in self.records.items()}
        self.busy = busy = {who: record.busy for who, record in self.records.items()}
        self.idle_since = idle_since = {who: record.idle_since for who, record in self.records.items()}
        note_processed, note_acked = self.processed_in_turn.append, self.acked_in_turn.append
        n_added = n_delivered = 0
        events = self.events
        try:
            rows = zip(events.kinds, events.times(), events.actors(), events.ids(), strict=True)
            for kind, at, who, entry_id in rows:
                if kind == _ADDED:
                    n_added += 1
                elif kind == _DELIVERED:
                    hands[who].append(n_delivered)
                    n_delivered += 1
                    if n_delivered > n_added:
                        raise _NotPlain
                elif kind == _PROCESSED:
                    hand = hands[who]
                    entry = hand.popleft()
                    if texts[entry] != entry_id:
                        raise _NotPlain
                    since = delivered[entry]
                    if since < free_at[who]:
                        since = free_at[who]
                    begun[entry] = since
                    left[entry] = free_at[who] = at
                    busy[who] += at - since
                    note_processed(entry)
                    if not hand:
                        idle_since[who] = at
                elif kind == _ACKED:
                    entry = numbers[entry_id]
                    done, was_acked = left[entry], acked[entry]
                    if done != done or was_acked == was_acked or consumer[entry] != who:  # NaN: never
                        raise _NotPlain
                    acked[entry] = free_at[who] = at
                    note_acked(entry)
        except LookupError:  # by somebody who is no consumer, or was not given it
            raise _NotPlain from None

    def enter(self) -> None:
        """Enter them."""
        ledger, events, deliveries = self.ledger, self.events, self.ledger.deliveries
        n_added, n_delivered = len(self.added), len(self.delivered)
        ledger.ids.texts += self.texts
        name_of = {who: deliveries.names[events.names[who]] for who in set(compress(events.actors(), self.is_added))}
        ledger.producer.numbers.extend(map(name_of.__getitem__, compress(events.actors(), self.is_added)))
        ledger.last.numbers.extend(range(1, n_delivered + 1))
        ledger.last.numbers.extend(repeat(0, n_added - n_delivered))
        ledger.added.at.extend(self.added)
        del self.added  # what has been taken over is not needed twice
        ledger.added.order.extend(range(n_added))
        for times, at, order in (
            (ledger.processed, self.left, self.processed_in_turn),
            (ledger.acked, self.acked, self.acked_in_turn),
        ):
            times.at.extend(at)
            times.at.extend(repeat(math.nan, n_added - n_delivered))
            times.order.extend(order)
        ledger.n_known = n_added
        number_of = {who: record.number for who, record in self.records.items()}
        deliveries.take_over(
            map(number_of.__getitem__, self.consumer), compress(events.counts, self.is_delivered),
            self.delivered, self.begun, self.left, self.acked, OUTCOME[ACKED],
        )  # fmt: skip
        if len(self.acked_in_turn) < n_delivered:
            ledger.pending.numbers.update((n, n) for n, at in enumerate(self.acked) if at != at)  # NaN
        self._enter_consumers()
        has_steps = events.kinds.translate(_mask(_ADDED, _DELIVERED, _ACKED))
        ledger.changes.at.extend(compress(events.times(), has_steps))
        ledger.changes.steps += events.kinds.translate(_STEPS, _NO_STEPS)
        if self.texts:
            ledger.backlog.take_over(n_added, n_delivered, self.texts[-1], max(self.delivered, default=0.0))
        ledger.n_processed = len(self.processed_in_turn)
        worked = [self.left[entry] for entry in self.processed_in_turn[-1:]]
        ledger.last_work = max([ledger.last_work, *worked])
        ledger.end = max([ledger.end, *worked, *ledger.changes.at[-1:]])
        ledger.last_event = max(ledger.last_event, ledger.end)
        held: Iterator[float] = map(sub, self.left, self.delivered)
        if len(self.processed_in_turn) < n_delivered:
            held = (seconds for seconds in held if seconds == seconds)  # not NaN
        ledger.longest_hold = max(held, default=0.0)

    def _enter_consumers(self) -> None:
        delivered, acked = Counter(self.consumer), Counter(map(self.consumer.__getitem__, self.acked_in_turn))
        for who, record in self.records.items():
            record.delivered += delivered[who]
            hand = self.hands[who]
            record.processed += delivered[who] - len(hand)
            record.acked += acked[who]
            record.busy, record.free_at = self.busy[who], self.free_at[who]
            record.in_hand.update(zip(hand, hand, strict=True))
            record.idle_since = math.nan if hand else self.idle_since[who]
