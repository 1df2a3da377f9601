"""How backlog and pending entries went over time."""

from __future__ import annotations

import bisect
import heapq
import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from streamlab.metrics import Lives, id_key

#: Seconds within which two events are of one moment: sums of binary fractions that should be equal differ.
_SAME_MOMENT: Final = 1e-9


class Series(NamedTuple):
    """Counts over time: `backlog[i]` and `pending[i]` hold from `at[i]` (seconds) until `at[i + 1]`."""

    at: list[float]
    backlog: list[int]
    pending: list[int]


def series_of(lives: Lives) -> Series:
    """Return how backlog and pending went; one point for every moment at which one of them changed."""
    changes = [(at, more, 0) for at, more in _backlog_changes(lives)]
    for stint in lives.stints:
        # A reply may overtake the news of its own XADD, but no entry is read before it is added.
        added = lives.added.get(stint.id, 0.0)
        changes.append((max(stint.delivered, added), 0, 1))
        if not math.isnan(stint.over):
            changes.append((max(stint.over, added), 0, -1))
    changes.sort(key=lambda change: change[0])
    series = Series([0.0], [0], [0])
    backlog = pending = 0
    for at, more_backlog, more_pending in changes:
        backlog += more_backlog
        pending += more_pending
        if at - series.at[-1] < _SAME_MOMENT:
            series.backlog[-1], series.pending[-1] = backlog, pending
        else:
            series.at.append(at)
            series.backlog.append(backlog)
            series.pending.append(pending)
    return series


def _backlog_changes(lives: Lives) -> Iterator[tuple[float, int]]:
    """Yield when the backlog grows and shrinks: what lies beyond the group's position and is in the stream.

    An entry that was trimmed silently (``MAXLEN``) before anybody was given it leaves the backlog when a
    later one is delivered: a group's position only moves on, so from then on it cannot be delivered any
    more. A group that is made anew further back has again what lies beyond that place.
    """
    added, trimmed = lives.added, lives.trimmed
    yield from ((at, 1) for at in added.values())
    ids = sorted(added, key=id_key)
    keys = [id_key(entry_id) for entry_id in ids]
    position = 0  # of the first that is still in line
    moves: Iterator[tuple[float, str, str]] = ((s.delivered, "read", s.id) for s in lives.stints)
    if trimmed or lives.recreated:
        others = [(at, "trim", entry_id) for entry_id, at in trimmed.items()]
        others += [(at, "back", entry_id) for at, entry_id in lives.recreated]
        moves = heapq.merge(moves, sorted(others), key=lambda move: move[0])
    for at, what, entry_id in moves:
        # A group may be made at "0".
        key = id_key(entry_id if "-" in entry_id else f"{entry_id}-0")
        if what == "read":
            reached = position
            while reached < len(keys) and keys[reached] <= key:
                reached += 1
            for gone in ids[position:reached]:
                if trimmed.get(gone, math.inf) > at:
                    yield max(at, added.get(entry_id, 0.0), added[gone]), -1
            position = reached
        elif what == "trim":
            if entry_id in added and bisect.bisect_left(keys, key) >= position:
                yield max(at, added[entry_id]), -1
        else:
            again = bisect.bisect_right(keys, key)
            for back in ids[again:position]:
                if trimmed.get(back, math.inf) > at:
                    yield at, 1
            position = min(again, position)
