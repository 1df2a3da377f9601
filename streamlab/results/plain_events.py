"""What a ledger does for all events up to the first that is not plain: at once, by columns, since calls cost most.

Plain is what happens while nothing goes wrong: an entry is added behind all others, delivered for the first time as
the next in line, processed by whom it was given to as what comes first, and then acknowledged. Within one moment, news
of an entry may come in any order. A `Ledger`'s own methods would come to the same for these as well: a test holds the
two together.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, count, islice, repeat
from operator import ge, le, lt, ne, sub
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
#: An entry's end if it is acknowledged at once, and the kinds that have no part in that.
_END: Final = bytes((_PROCESSED, _ACKED))
_NO_END: Final = bytes((_ADDED, _DELIVERED, _STOPPED))


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
        ledger.apply(row)
    end = _end_of_plain(ledger, log, first)
    events = log.columns(first, end)
    try:
        _Plain(ledger, events).enter()
    except _NotPlain:
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


def _put(column: array[Any], places: Sequence[int], values: Iterable[Any]) -> array[Any]:
    """Put values into their places of a column, which is as yet unknown there."""
    for place, value in zip(places, values, strict=False):
        column[place] = value
    return column


class _Plain:
    """Events that seem to be plain. Raises `_NotPlain` where they are not, and nothing has been entered then.

    Deliveries come in the order of the entries' ids: so both have the same numbers.
    """

    def __init__(self, ledger: Ledger, events: Columns) -> None:
        self.ledger, self.events = ledger, events
        self.is_added = events.kinds.translate(_mask(_ADDED))
        self.is_delivered = events.kinds.translate(_mask(_DELIVERED))
        self.delivered = array("d", compress(events.times(), self.is_delivered))
        self._number()
        self.consumer = array("H", compress(events.actors(), self.is_delivered))
        records = {who: ledger.consumers.get(events.names[who]) for who in set(self.consumer)}
        self.records = {who: r for who, r in records.items() if r is not None and r.life == State.WAITING}
        if len(self.records) < len(records):
            raise _NotPlain
        self.hands: dict[int, deque[int]] = {who: deque() for who in self.records}
        self.begun, self.left, self.acked = (array("d", (math.nan,)) * len(self.delivered) for _ in range(3))
        self.free_at = {who: record.free_at for who, record in self.records.items()}
        self.busy = {who: record.busy for who, record in self.records.items()}
        self.idle_since = {who: record.idle_since for who, record in self.records.items()}
        self.processed_in_turn, self.acked_in_turn = array("I"), array("I")
        if not self._work_one_by_one():
            self._go_through()

    def _number(self) -> None:
        """Number the entries in the order of their ids, and see that they were added and delivered in that."""
        events, is_added = self.events, self.is_added
        added_ids = list(compress(events.ids(), is_added))
        given_ids = list(compress(events.ids(), self.is_delivered))
        # Of ids that are equally long, the greater one is the greater text.
        key: Any = None if len(set(map(len, added_ids))) <= 1 else id_key
        self.texts = texts = sorted(added_ids, key=key)
        keys = texts if key is None else list(map(key, texts))
        # Who was told of when others in its place were expected, and which number it has.
        self.odd = [] if texts == added_ids else list(compress(count(), map(ne, texts, added_ids)))
        places = {texts[place]: place for place in self.odd}
        self.moved = [places[added_ids[place]] for place in self.odd]
        self.added = self._in_order(array("d", compress(events.times(), is_added)))
        if not (
            all(map(lt, keys, islice(keys, 1, None)))
            and given_ids == texts[: len(given_ids)]
            and all(map(le, events.times(), islice(events.times(), 1, None)))
            and all(map(ge, self.delivered, self.added))
        ):
            raise _NotPlain

    def _in_order(self, column: array[Any]) -> array[Any]:
        """Put what is known of entries as they were told of into the order of their numbers."""
        return _put(column, self.moved, [column[place] for place in self.odd])

    def _work_one_by_one(self) -> bool:
        """Note what consumers began and finished when, if each acknowledges an entry as soon as it has processed it."""
        events, delivered, begun, left, acked = self.events, self.delivered, self.begun, self.left, self.acked
        ends = events.kinds.translate(None, _NO_END)
        n_acked = len(ends) // 2
        n_done = len(ends) - n_acked
        if ends != (_END * n_done)[: len(ends)]:
            return False
        is_end = events.kinds.translate(_mask(_PROCESSED, _ACKED))
        ids, by = list(compress(events.ids(), is_end)), array("H", compress(events.actors(), is_end))
        at = array("d", compress(events.times(), is_end))
        done_ids, done_by, done_at, acked_at = ids[::2], by[::2], at[::2], at[1::2]
        if not (done_ids[:n_acked] == ids[1::2] and done_by[:n_acked] == by[1::2]):
            return False
        given: dict[int, list[int]] = {who: [] for who in self.records}
        give = {who: numbers.append for who, numbers in given.items()}
        for number, who in enumerate(self.consumer):
            give[who](number)
        next_of = {who: iter(numbers) for who, numbers in given.items()}
        try:
            done = array("I", map(next, map(next_of.__getitem__, done_by)))
        except KeyError:
            raise _NotPlain from None
        if len(done) < n_done or done_ids != list(map(self.texts.__getitem__, done)):
            raise _NotPlain
        if not all(map(lt, map(delivered.__getitem__, done), done_at)):
            return False  # what comes first in one moment is to be seen one by one only
        _put(left, done, done_at)
        if done_at.tobytes() == acked_at.tobytes():
            self.acked = acked = left[:]
        else:
            _put(acked, done, acked_at)
        n_done_by = Counter(done_by)
        for who, numbers in given.items():
            n = n_done_by[who]
            self.hands[who].extend(numbers[n:])
            del numbers[n:]
            if not numbers:
                continue
            busy, free_at = self.busy[who], self.free_at[who]
            for number in numbers:
                since = delivered[number]
                if since < free_at:
                    since = free_at
                begun[number] = since
                busy += left[number] - since
                free_at = acked[number]
            self.busy[who] = busy
            last = numbers[-1]
            self.idle_since[who] = left[last]
            self.free_at[who] = left[last] if acked[last] != acked[last] else acked[last]  # NaN
        self.processed_in_turn, self.acked_in_turn = done, done[:n_acked]
        return True

    def _go_through(self) -> None:
        """Find out what consumers began and finished when, one event after the other."""
        hands, consumer, delivered = self.hands, self.consumer, self.delivered
        numbers = dict(zip(self.texts, count(), strict=False))
        begun, left, acked = self.begun, self.left, self.acked
        free_at, busy, idle_since = self.free_at, self.busy, self.idle_since
        note_processed, note_acked = self.processed_in_turn.append, self.acked_in_turn.append
        n_delivered = 0
        events = self.events
        rows = zip(events.kinds, events.times(), events.actors(), events.ids(), strict=True)
        for kind, at, who, entry_id in rows:
            if kind == _DELIVERED:
                hands[who].append(n_delivered)
                n_delivered += 1
            elif kind == _PROCESSED:
                number = numbers.get(entry_id, -1)
                hand = hands.get(who)
                if not hand or hand.popleft() != number:
                    raise _NotPlain
                since = delivered[number]
                if since < free_at[who]:
                    since = free_at[who]
                begun[number] = since
                left[number] = free_at[who] = at
                busy[who] += at - since
                note_processed(number)
                if not hand:
                    idle_since[who] = at
            elif kind == _ACKED:
                number = numbers.get(entry_id, n_delivered)
                if number >= n_delivered:
                    raise _NotPlain
                done, was_acked = left[number], acked[number]
                if done != done or was_acked == was_acked or consumer[number] != who:  # NaN: never
                    raise _NotPlain
                acked[number] = free_at[who] = at
                note_acked(number)

    def enter(self) -> None:
        """Enter them."""
        ledger, events, deliveries = self.ledger, self.events, self.ledger.deliveries
        n_added, n_delivered = len(self.added), len(self.delivered)
        ledger.ids.texts += self.texts
        name_of = {who: deliveries.names[events.names[who]] for who in set(compress(events.actors(), self.is_added))}
        producers = array("H", map(name_of.__getitem__, compress(events.actors(), self.is_added)))
        ledger.producer.numbers.extend(self._in_order(producers))
        ledger.last.numbers.extend(range(1, n_delivered + 1))
        ledger.last.numbers.extend(repeat(0, n_added - n_delivered))
        ledger.added.at.extend(self.added)
        del self.added  # what has been taken over is not needed twice
        ledger.added.order.extend(_put(array("I", range(n_added)), self.odd, self.moved))
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
        worked = [self.left[number] for number in self.processed_in_turn[-1:]]
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
