"""What waits to be delivered, and how it and what is pending went over time."""

from __future__ import annotations

import bisect
import itertools
import operator
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from streamlab.results.columns import Numbers
from streamlab.results.statistics import id_key

#: Seconds within which two events are of one moment: sums of binary fractions that should be equal differ.
_SAME_MOMENT: Final = 1e-9


#: Before the first entry.
NOWHERE: Final[tuple[int, ...]] = (-1, 0)


#: What a byte of `Changes` says of either.
_OF_BACKLOG: Final = tuple(steps // 3 - 1 for steps in range(9))
_OF_PENDING: Final = tuple(steps % 3 - 1 for steps in range(9))


class Series(NamedTuple):
    """Counts over time: `backlog[i]` and `pending[i]` hold from `at[i]` (seconds) until `at[i + 1]`."""

    at: list[float]
    backlog: list[int]
    pending: list[int]


class Changes:
    """When the backlog and the number of pending entries changed: a time and two steps (-1, 0 or 1) for each change.

    A run of a million entries has three million of them, so they are kept as nine bytes each.
    """

    def __init__(self) -> None:
        self.at = array("d")
        self.steps = bytearray()

    def add(self, at: float, backlog: int, pending: int) -> None:
        """Note a change at a time."""
        self.at.append(at)
        self.steps.append(3 * backlog + pending + 4)

    def series(self) -> Series:
        """Return how both went: one point for every moment at which one of them changed."""
        ats, backlogs, pendings = series = Series([0.0], [0], [0])
        backlog = pending = 0
        last = 0.0
        for at, steps in self._in_order():
            backlog += _OF_BACKLOG[steps]
            pending += _OF_PENDING[steps]
            if at - last < _SAME_MOMENT:
                backlogs[-1], pendings[-1] = backlog, pending
            else:
                ats.append(at)
                backlogs.append(backlog)
                pendings.append(pending)
                last = at
        return series

    def backlog_max(self) -> int:
        """Return the greatest backlog in the `series`, without making one."""
        backlog = most = 0
        last = 0.0
        for at, steps in self._in_order():
            if at - last >= _SAME_MOMENT:
                if backlog > most:
                    most = backlog
                last = at
            backlog += _OF_BACKLOG[steps]
        return max(most, backlog)

    def _in_order(self) -> Iterable[tuple[float, int]]:
        changes = zip(self.at, self.steps, strict=True)
        if any(map(operator.lt, itertools.islice(self.at, 1, None), self.at)):
            return sorted(changes, key=operator.itemgetter(0))
        return changes


class Backlog:
    """The entries beyond the group's position that are in the stream.

    An entry that was trimmed silently (``MAXLEN``) before it was delivered leaves the backlog when a later one is
    delivered: a group's position only moves on, so from then on it cannot be delivered any more. A group that is made
    again further back has again what lies beyond that place.

    Entries go by their numbers here.

    Parameters
    ----------
    ids
        The numbers of entry ids.
    added
        When entries were added, by number: kept up, as `trimmed` is, by whoever owns the backlog.
    trimmed
        When entries were removed, by id.
    changes
        Where each change of its size is noted.
    """

    def __init__(self, ids: Numbers, added: array[float], trimmed: Mapping[str, float], changes: Changes) -> None:
        self.size = 0
        self.line = array("I")  # every entry that was added, in the order of ids
        self.position = 0  # in the line, of the first that may be delivered
        self._floor = 0  # what comes before that place went with a stream that was deleted
        self.last = ""  # the greatest id
        self.beyond = NOWHERE  # the furthest place that was reached before the news of what lies there
        self.moved_at = 0.0
        self._early: dict[int, float] = {}  # when entries were delivered that nobody has told to have added
        self._texts, self._added, self._trimmed, self._changes = ids.texts, added, trimmed, changes

    def first(self, n: int) -> list[str]:
        """Return the ids of the `n` entries that are next to be delivered."""
        line, texts, trimmed = self.line, self._texts, self._trimmed
        rest = (texts[line[place]] for place in range(self.position, len(line)))
        return list(itertools.islice((entry_id for entry_id in rest if entry_id not in trimmed), n))

    def _key(self, entry: int) -> tuple[int, ...]:
        return id_key(self._texts[entry])

    def _is_trimmed(self, entry: int) -> bool:
        return self._texts[entry] in self._trimmed

    def add(self, entry: int, at: float) -> None:
        """Note that an entry was added."""
        entry_id, last, place = self._texts[entry], self.last, len(self.line)
        # Of ids that are equally long, the greater one is the greater text.
        if (len(entry_id) == len(last) and entry_id > last) or not last or id_key(entry_id) > id_key(last):
            self.last = entry_id
            self.line.append(entry)
        else:
            place = bisect.bisect_left(self.line, id_key(entry_id), key=self._key)
            self.line.insert(place, entry)
        if place < self.position or (self.beyond[0] >= 0 and id_key(entry_id) <= self.beyond):
            # The news of its delivery, or of a later one's, came first.
            self.position += 1
            self._changes.add(at, 1, 0)
            self._changes.add(max(at, self._early.pop(entry, self.moved_at)), -1, 0)
        elif self._trimmed and self._is_trimmed(entry):  # the news of its removal came first
            self._changes.add(at, 1, 0)
            self._changes.add(max(at, self._trimmed[entry_id]), -1, 0)
        else:
            self.size += 1
            self._changes.add(at, 1, 0)

    def reach(self, entry: int, at: float) -> int:
        """Move on to behind an entry that was delivered; return its own part in that: 1 if it leaves the backlog.

        Those that were passed over leave it as well, and are noted here; its own change is the caller's to note.
        """
        line, position, added = self.line, self.position, self._added
        self.moved_at = at
        if position < len(line) and line[position] == entry and not (self._trimmed and self._is_trimmed(entry)):
            self.position += 1
            self.size -= 1
            return 1
        key = self._key(entry)
        behind = bisect.bisect_right(line, key, key=self._key)
        if added[entry] != added[entry]:  # NaN
            self.beyond = max(self.beyond, key)
            self._early[entry] = at
        own = 0
        for gone in line[position:behind]:
            if not self._is_trimmed(gone):
                self.size -= 1
                if gone == entry:
                    own = 1
                else:
                    self._changes.add(max(at, added[gone]), -1, 0)
        self.position = max(position, behind)
        return own

    def trim(self, entry: int, at: float) -> None:
        """Note that an entry has been removed; to be called once for each, after it is among those trimmed."""
        when = self._added[entry]
        if when == when and bisect.bisect_left(self.line, self._key(entry), key=self._key) >= self.position:
            self.size -= 1
            self._changes.add(max(at, when), -1, 0)

    def take_over(self, n_added: int, n_delivered: int, last: str, moved_at: float) -> None:
        """Have so many entries as the first, of which so many have been delivered in their order."""
        self.line.extend(range(n_added))
        self.position, self.size = n_delivered, n_added - n_delivered
        self.last, self.moved_at = last, moved_at

    def size_of(self, number: int) -> int:
        """Return the size of one shard's: all of it, where there are none."""
        return self.size

    def delete(self, at: float) -> None:
        """Note that the stream has been deleted, with all that was in it."""
        for _ in range(self.size):
            self._changes.add(at, -1, 0)
        self.size = 0
        self.position = self._floor = len(self.line)

    def move(self, entry_id: str, at: float) -> None:
        """Note that the group was made again, and begins behind an entry (``0``: at the first; ``$``: at the end)."""
        position, line = self.position, self.line
        if entry_id == "$":
            behind = len(line)
        else:
            behind = bisect.bisect_right(line, id_key(entry_id if "-" in entry_id else f"{entry_id}-0"), key=self._key)
        self.position = max(behind, self._floor)
        back = sum(not self._is_trimmed(entry) for entry in line[self.position : position])
        skipped = sum(not self._is_trimmed(entry) for entry in line[position : self.position])
        for _ in range(back + skipped):
            self._changes.add(at, 1 if back else -1, 0)
        self.size += back - skipped
        self.beyond = NOWHERE


class ShardedBacklog(Backlog):
    """The backlogs of several shards as one: each shard has a position of its own, and its number stands in its ids."""

    def __init__(self, ids: Numbers, added: array[float], trimmed: Mapping[str, float], changes: Changes) -> None:
        super().__init__(ids, added, trimmed, changes)
        self._shards: defaultdict[str, Backlog] = defaultdict(lambda: Backlog(ids, added, trimmed, changes))

    def first(self, n: int) -> list[str]:
        """Return the ids of the `n` oldest of all that are next to be delivered in their shards."""
        found = (entry_id for shard in self._shards.values() for entry_id in shard.first(n))
        return sorted(found, key=id_key)[:n]

    def add(self, entry: int, at: float) -> None:
        """Note that an entry was added."""
        shard, before = self._find(self._texts[entry])
        shard.add(entry, at)
        self.size += shard.size - before

    def reach(self, entry: int, at: float) -> int:
        """Move on in its shard to behind an entry that was delivered; return its own part in that."""
        shard, before = self._find(self._texts[entry])
        own = shard.reach(entry, at)
        self.size += shard.size - before
        return own

    def trim(self, entry: int, at: float) -> None:
        """Note that an entry has been removed from its shard."""
        shard, before = self._find(self._texts[entry])
        shard.trim(entry, at)
        self.size += shard.size - before

    def move(self, entry_id: str, at: float) -> None:
        """Note that the group of a shard was made again, and begins behind an entry, as ``3/0``."""
        shard, before = self._find(entry_id)
        shard.move(entry_id if "-" in entry_id else entry_id.partition("/")[2], at)
        self.size += shard.size - before

    def size_of(self, number: int) -> int:
        """Return how many entries of a shard have not been delivered yet."""
        shard = self._shards.get(str(number))
        return 0 if shard is None else shard.size

    def _find(self, entry_id: str) -> tuple[Backlog, int]:
        shard = self._shards[entry_id.partition("/")[0]]
        return shard, shard.size
