"""`Look`: a stream that others write and read, its groups and their consumers, as the server tells it at one moment."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from streamlab.scenario.small_table import ShowsItself, SmallTable, harmless, length

#: Rows of a table that are shown; all are in the `Look`.
_MOST_ROWS = 12


@dataclass(frozen=True, slots=True)
class WatchedConsumer:
    """A consumer of a group; times are in seconds.

    It was `idle` since it last asked, and `inactive` since it was last given something (None before Redis 7.2). It is
    `probably_dead` if it has been idle for `Look.dead_after`, with entries pending: or else it is still busy with
    one of them, or waits in a blocking XREADGROUP for longer than that.
    """

    name: str
    pending: int
    idle: float
    inactive: float | None
    probably_dead: bool


@dataclass(frozen=True, slots=True)
class WatchedEntry:
    """A pending entry; it was delivered last `idle` seconds ago."""

    id: str
    consumer: str
    idle: float
    delivery_count: int


@dataclass(frozen=True, slots=True)
class WatchedGroup:
    """A group: all its consumers, those probably dead first, and its `oldest` pending entries by id.

    `lag` is None where the server cannot tell, and then `why_no_lag` says why. `acked_per_second` is what the group
    got done between two looks: entries read that are pending no more. XGROUP DELCONSUMER and NOACK look the same. It is
    None at the first look, and where the server does not count what was read (before Redis 7.0).
    """

    name: str
    pending: int
    last_delivered_id: str
    entries_read: int | None
    lag: int | None
    why_no_lag: str
    acked_per_second: float | None
    consumers: tuple[WatchedConsumer, ...]
    oldest: tuple[WatchedEntry, ...]

    @property
    def probably_dead(self) -> tuple[WatchedConsumer, ...]:
        """Its consumers that are probably dead."""
        return tuple(consumer for consumer in self.consumers if consumer.probably_dead)


@dataclass(frozen=True, slots=True)
class Look(ShowsItself):
    """A stream at one moment, `at` seconds since 1970.

    `trouble` says what was there at an earlier look and is gone, or why there is no answer. `entries_added` is None
    before Redis 7.0, and `added_per_second`, since the look before, at the first look as well. `dead_letters` is the
    length of that stream, None if its key was not given.
    """

    stream: str
    where: str
    at: float
    trouble: str
    length: int
    entries_added: int | None
    added_per_second: float | None
    dead_letter_key: str | None
    dead_letters: int | None
    dead_after: float
    groups: tuple[WatchedGroup, ...]

    def group(self, name: str) -> WatchedGroup:
        """Return the group of this name."""
        return next(group for group in self.groups if group.name == name)

    def to_json(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(asdict(self))

    def as_table(self) -> SmallTable:
        """Return the stream in a line or some, and a row for each group."""
        rows = [
            (
                harmless(group.name),
                f"{len(group.consumers):,}",
                f"{len(group.probably_dead):,}",
                f"{group.pending:,}",
                "unknown" if group.lag is None else f"{group.lag:,}",
                _rate(group.acked_per_second),
            )
            for group in self.groups
        ]
        head = ("group", "consumers", "probably dead", "pending", "lag", "acked/s")
        return SmallTable(list(self._lines()), head, rows)

    def as_tables(self) -> list[SmallTable]:
        """Return all that is shown: the groups, their consumers, and the oldest pending entries."""
        tables = [self.as_table(), self._consumers(), self._oldest()]
        return [tables[0].at_most(_MOST_ROWS), *(table.at_most(_MOST_ROWS) for table in tables[1:] if table.rows)]

    def _lines(self) -> Iterator[str]:
        moment = time.strftime("%H:%M:%S", time.localtime(self.at))
        facts = [f"{self.length:,} entries"]
        if self.added_per_second is not None:
            facts.append(f"{_rate(self.added_per_second)} added per second")
        if self.dead_letters is not None:
            facts.append(f"{self.dead_letters:,} dead letters in {harmless(self.dead_letter_key or '')}")
        yield f"{harmless(self.stream)} at {self.where}, {moment}: {', '.join(facts)}"
        if self.trouble:
            yield self.trouble
        for group in self.groups:
            if group.lag is None:
                yield f"lag of {harmless(group.name)} unknown: {group.why_no_lag}"
        yield f"probably dead: idle for {length(self.dead_after)} or longer with entries pending"

    def _consumers(self) -> SmallTable:
        rows = [
            (
                harmless(consumer.name),
                harmless(group.name),
                f"{consumer.pending:,}",
                length(consumer.idle),
                "–" if consumer.inactive is None else length(consumer.inactive),
                "probably dead" if consumer.probably_dead else "",
            )
            for group in self.groups
            for consumer in group.consumers
        ]
        rows.sort(key=lambda row: not row[-1])
        return SmallTable(["consumers"], ("consumer", "group", "pending", "idle", "inactive", ""), rows)

    def _oldest(self) -> SmallTable:
        rows = [
            (entry.id, harmless(group.name), harmless(entry.consumer), length(entry.idle), f"{entry.delivery_count:,}")
            for group in self.groups
            for entry in group.oldest
        ]
        return SmallTable(["oldest pending entries"], ("entry", "group", "consumer", "idle", "delivery count"), rows)


def _rate(per_second: float | None) -> str:
    return "–" if per_second is None else f"{per_second:,.1f}"
