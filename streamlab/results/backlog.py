"""What waits to be delivered, and how it and what is pending went over time."""

from __future__ import annotations

import bisect
import itertools
import operator
from array import array
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from streamlab.results.columns import Numbers
from streamlab.results.statistics import id_key

#: Seconds within which two events are of one moment: sums of binary fractions that should be equal differ.
_SAME_MOMENT: Final = 1e-9


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
        self._at = array("d")
        self._steps = bytearray()

    def add(self, at: float, backlog: int, pending: int) -> None:
        """Note a change at a time."""
        self._at.append(at)
        self._steps.append(3 * backlog + pending + 4)

    def series(self) -> Series:
        """Return how both went: one point for every moment at which one of them changed."""
        changes: Iterable[tuple[float, int]] = zip(self._at, self._steps, strict=True)
        if any(map(operator.lt, itertools.islice(self._at, 1, None), self._at)):
            changes = sorted(changes, key=operator.itemgetter(0))
        ats, backlogs, pendings = series = Series([0.0], [0], [0])
        backlog = pending = 0
        last = 0.0
        for at, steps in changes:
            more_backlog, more_pending = divmod(steps, 3)
            backlog += more_backlog - 1
            pending += more_pending - 1
            if at - last < _SAME_MOMENT:
                backlogs[-1], pendings[-1] = backlog, pending
            else:
                ats.append(at)
                backlogs.append(backlog)
                pendings.append(pending)
                last = at
        return series


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
        self._line = array("I")  # every entry that was added, in the order of ids
        self._position = 0  # in the line, of the first that may be delivered
        self._floor = 0  # what comes before that place went with a stream that was deleted
        self._last = ""  # the greatest id
        self._beyond = (-1, 0)  # the furthest place that was reached before the news of what lies there
        self._moved_at = 0.0
        self._early: dict[int, float] = {}  # when entries were delivered that nobody has told to have added
        self._texts, self._added, self._trimmed, self._changes = ids.texts, added, trimmed, changes

    def first(self, n: int) -> list[str]:
        """Return the ids of the `n` entries that are next to be delivered."""
        line, texts, trimmed = self._line, self._texts, self._trimmed
        rest = (texts[line[place]] for place in range(self._position, len(line)))
        return list(itertools.islice((entry_id for entry_id in rest if entry_id not in trimmed), n))

    def _key(self, entry: int) -> tuple[int, int]:
        return id_key(self._texts[entry])

    def _is_trimmed(self, entry: int) -> bool:
        return bool(self._trimmed) and self._texts[entry] in self._trimmed

    def add(self, entry: int, at: float) -> None:
        """Note that an entry was added."""
        entry_id, last, place = self._texts[entry], self._last, len(self._line)
        # Of ids that are equally long, the greater one is the greater text.
        if (len(entry_id) == len(last) and entry_id > last) or not last or id_key(entry_id) > id_key(last):
            self._last = entry_id
            self._line.append(entry)
        else:
            place = bisect.bisect_left(self._line, id_key(entry_id), key=self._key)
            self._line.insert(place, entry)
        if place < self._position or (self._beyond[0] >= 0 and id_key(entry_id) <= self._beyond):
            # The news of its delivery, or of a later one's, came first.
            self._position += 1
            self._changes.add(at, 1, 0)
            self._changes.add(max(at, self._early.pop(entry, self._moved_at)), -1, 0)
        elif self._is_trimmed(entry):  # the news of its removal came first
            self._changes.add(at, 1, 0)
            self._changes.add(max(at, self._trimmed[entry_id]), -1, 0)
        else:
            self.size += 1
            self._changes.add(at, 1, 0)

    def reach(self, entry: int, at: float) -> int:
        """Move on to behind an entry that was delivered; return its own part in that: 1 if it leaves the backlog.

        Those that were passed over leave it as well, and are noted here; its own change is the caller's to note.
        """
        line, position, added = self._line, self._position, self._added
        self._moved_at = at
        if position < len(line) and line[position] == entry and not self._is_trimmed(entry):
            self._position += 1
            self.size -= 1
            return 1
        key = self._key(entry)
        behind = bisect.bisect_right(line, key, key=self._key)
        if added[entry] != added[entry]:  # NaN
            self._beyond = max(self._beyond, key)
            self._early[entry] = at
        own = 0
        for gone in line[position:behind]:
            if not self._is_trimmed(gone):
                self.size -= 1
                if gone == entry:
                    own = 1
                else:
                    self._changes.add(max(at, added[gone]), -1, 0)
        self._position = max(position, behind)
        return own

    def trim(self, entry: int, at: float) -> None:
        """Note that an entry has been removed; to be called once for each, after it is among those trimmed."""
        when = self._added[entry]
        if when == when and bisect.bisect_left(self._line, self._key(entry), key=self._key) >= self._position:
            self.size -= 1
            self._changes.add(max(at, when), -1, 0)

    def delete(self, at: float) -> None:
        """Note that the stream has been deleted, with all that was in it."""
        for _ in range(self.size):
            self._changes.add(at, -1, 0)
        self.size = 0
        self._position = self._floor = len(self._line)

    def move(self, entry_id: str, at: float) -> None:
        """Note that the group was made again, and begins behind an entry (``0``: at the first; ``$``: at the end)."""
        position, line = self._position, self._line
        if entry_id == "$":
            behind = len(line)
        else:
            behind = bisect.bisect_right(line, id_key(entry_id if "-" in entry_id else f"{entry_id}-0"), key=self._key)
        self._position = max(behind, self._floor)
        back = sum(not self._is_trimmed(entry) for entry in line[self._position : position])
        skipped = sum(not self._is_trimmed(entry) for entry in line[position : self._position])
        for _ in range(back + skipped):
            self._changes.add(at, 1 if back else -1, 0)
        self.size += back - skipped
        self._beyond = (-1, 0)
