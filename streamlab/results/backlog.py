"""What waits to be delivered, and how it and what is pending went over time."""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Mapping
from typing import Final, NamedTuple

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

    A run of a million entries has three million of them, so they are kept as a list of times, which exist
    anyway, and a byte each.
    """

    def __init__(self) -> None:
        self._at: list[float] = []
        self._steps = bytearray()

    def add(self, at: float, backlog: int, pending: int) -> None:
        """Note a change at a time."""
        self._at.append(at)
        self._steps.append(3 * backlog + pending + 4)

    def series(self) -> Series:
        """Return how both went: one point for every moment at which one of them changed."""
        changes = zip(self._at, self._steps, strict=True)
        if any(later < at for at, later in itertools.pairwise(self._at)):
            changes = iter(sorted(changes, key=lambda change: change[0]))  # type: ignore[assignment]
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

    Parameters
    ----------
    trimmed
        When entries were removed, by id: kept up by whoever owns the backlog.
    changes
        Where each change of its size is noted.
    """

    def __init__(self, trimmed: Mapping[str, float], changes: Changes) -> None:
        self.size = 0
        self._line: list[str] = []  # every entry that was added, in the order of ids
        self._position = 0  # in the line, of the first that may be delivered
        self._floor = 0  # what comes before that place went with a stream that was deleted
        self._last: tuple[int, ...] = (-1, 0)
        self._beyond: tuple[int, ...] = (
            -1,
            0,
        )  # the furthest place that was reached before the news of what lies there
        self._moved_at = 0.0
        self._early: dict[str, float] = {}  # when entries were delivered that nobody has told to have added
        self._trimmed, self._changes = trimmed, changes

    def first(self, n: int) -> list[str]:
        """Return the ids of the `n` entries that are next to be delivered."""
        line, trimmed = self._line, self._trimmed
        rest = (line[place] for place in range(self._position, len(line)))
        return list(itertools.islice((entry_id for entry_id in rest if entry_id not in trimmed), n))

    def add(self, entry_id: str, at: float) -> None:
        """Note that an entry was added."""
        key = id_key(entry_id)
        if key > self._last:
            self._last, place = key, len(self._line)
            self._line.append(entry_id)
        else:
            place = bisect.bisect_left(self._line, key, key=id_key)
            self._line.insert(place, entry_id)
        if place < self._position or key <= self._beyond:
            # The news of its delivery, or of a later one's, came first.
            self._position += 1
            self._changes.add(at, 1, 0)
            self._changes.add(max(at, self._early.pop(entry_id, self._moved_at)), -1, 0)
        elif entry_id in self._trimmed:  # the news of its removal came first
            self._changes.add(at, 1, 0)
            self._changes.add(max(at, self._trimmed[entry_id]), -1, 0)
        else:
            self.size += 1
            self._changes.add(at, 1, 0)

    def reach(self, entry_id: str, at: float, added: Mapping[str, float]) -> int:
        """Move on to behind an entry that was delivered; return its own part in that: 1 if it leaves the backlog.

        Those that were passed over leave it as well, and are noted here; its own change is the caller's to note.
        """
        line, position = self._line, self._position
        self._moved_at = at
        if position < len(line) and line[position] == entry_id and entry_id not in self._trimmed:
            self._position += 1
            self.size -= 1
            return 1
        key = id_key(entry_id)
        behind = bisect.bisect_right(line, key, key=id_key)
        if entry_id not in added:
            self._beyond = max(self._beyond, key)
            self._early[entry_id] = at
        own = 0
        for place in range(position, behind):
            gone = line[place]
            if gone not in self._trimmed:
                self.size -= 1
                if gone == entry_id:
                    own = 1
                else:
                    self._changes.add(max(at, added[gone]), -1, 0)
        self._position = max(position, behind)
        return own

    def trim(self, entry_id: str, at: float, added: Mapping[str, float]) -> None:
        """Note that an entry has been removed; to be called once for each, after it is among those trimmed."""
        if entry_id in added and bisect.bisect_left(self._line, id_key(entry_id), key=id_key) >= self._position:
            self.size -= 1
            self._changes.add(max(at, added[entry_id]), -1, 0)

    def delete(self, at: float) -> None:
        """Note that the stream has been deleted, with all that was in it."""
        for _ in range(self.size):
            self._changes.add(at, -1, 0)
        self.size = 0
        self._position = self._floor = len(self._line)

    def move(self, entry_id: str, at: float) -> None:
        """Note that the group was made again, and begins behind an entry (``0``: at the first; ``$``: at the end)."""
        position, line, trimmed = self._position, self._line, self._trimmed
        if entry_id == "$":
            behind = len(line)
        else:
            behind = bisect.bisect_right(line, id_key(entry_id if "-" in entry_id else f"{entry_id}-0"), key=id_key)
        self._position = max(behind, self._floor)
        back = sum(line[place] not in trimmed for place in range(self._position, position))
        skipped = sum(line[place] not in trimmed for place in range(position, self._position))
        for _ in range(back + skipped):
            self._changes.add(at, 1 if back else -1, 0)
        self.size += back - skipped
        self._beyond = (-1, 0)


class ShardedBacklog(Backlog):
    """The backlogs of several shards as one: each shard has a position of its own, and its number stands in its ids."""

    def __init__(self, trimmed: Mapping[str, float], changes: Changes) -> None:
        super().__init__(trimmed, changes)
        self._shards: defaultdict[str, Backlog] = defaultdict(lambda: Backlog(trimmed, changes))

    def first(self, n: int) -> list[str]:
        """Return the ids of the `n` oldest of all that are next to be delivered in their shards."""
        found = (entry_id for shard in self._shards.values() for entry_id in shard.first(n))
        return sorted(found, key=id_key)[:n]

    def add(self, entry_id: str, at: float) -> None:
        """Note that an entry was added."""
        shard, before = self._find(entry_id)
        shard.add(entry_id, at)
        self.size += shard.size - before

    def reach(self, entry_id: str, at: float, added: Mapping[str, float]) -> int:
        """Move on in its shard to behind an entry that was delivered; return its own part in that."""
        shard, before = self._find(entry_id)
        own = shard.reach(entry_id, at, added)
        self.size += shard.size - before
        return own

    def trim(self, entry_id: str, at: float, added: Mapping[str, float]) -> None:
        """Note that an entry has been removed from its shard."""
        shard, before = self._find(entry_id)
        shard.trim(entry_id, at, added)
        self.size += shard.size - before

    def move(self, entry_id: str, at: float) -> None:
        """Note that the group of a shard was made again, and begins behind an entry, as ``3/0``."""
        shard, before = self._find(entry_id)
        shard.move(entry_id if "-" in entry_id else entry_id.partition("/")[2], at)
        self.size += shard.size - before

    def _find(self, entry_id: str) -> tuple[Backlog, int]:
        shard = self._shards[entry_id.partition("/")[0]]
        return shard, shard.size
