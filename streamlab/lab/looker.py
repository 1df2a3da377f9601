"""`Looker`: takes snapshots of a running lab.

What the server knows is asked of it (``XINFO``, ``XPENDING``, ``XLEN``), what only the workers know is told by
their events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ConnectionError, ResponseError

from streamlab.results.recent import Recent
from streamlab.results.snapshot import DeadLetter, PendingView, Snapshot, consumer_views, group_view, snapshot_of
from streamlab.scenario import Scenario
from streamlab.scenario.small_table import harmless

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Pending entries that are listed, the oldest first; how many there are in all is told as well.
MOST_PENDING: Final = 200
#: Dead letters that are listed, the newest first.
_MOST_LETTERS: Final = 20
#: Fields of an entry that are kept.
_MOST_FIELDS: Final = 8


class Looker:
    """Takes snapshots. Remembers what the server said last, and fields of what is pending: an entry's never change."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._names = list(scenario.groups)
        self._fields: dict[str, dict[str, str]] = {}
        self._said: list[Any] = [None] * (3 + 2 * len(self._names))
        self._letters: tuple[DeadLetter, ...] = ()
        self._letters_of: tuple[Any, int] = (None, 0)  # how many there were, and how many had been given up

    async def look(
        self, client: Redis, recent: Recent, now: float, finished: bool, pids: dict[str, int], *, is_down: bool = False
    ) -> Snapshot:
        """Ask the server how things are (``XINFO``, ``XPENDING``, ``XLEN``), in one round trip or two.

        What a server that `is_down` cannot be asked is as it said last.
        """
        stream = self._scenario.stream
        pipe = client.pipeline(transaction=False)
        pipe.xinfo_groups(stream)
        pipe.xlen(stream)
        pipe.xlen(self._scenario.dead_letter_key)
        for group in self._names:
            pipe.xinfo_consumers(stream, group)
            pipe.xpending_range(stream, group, "-", "+", MOST_PENDING)
        try:
            self._said = [_or_nothing(reply) for reply in await pipe.execute(False)]
        except ConnectionError:
            if not is_down:
                raise
        groups, length, dead, *of_groups = self._said
        info: dict[str, Any] = {group["name"]: group for group in groups or ()}
        books = [(name, recent.books[name]) for name in self._names]
        pending = [(name, row) for name, rows in zip(self._names, of_groups[1::2], strict=True) for row in rows or ()]
        fields = await self._fields_of(client, [row["message_id"] for _, row in pending])
        if not is_down:
            given_up = sum(len(book.ledger.dead_lettered) for _, book in books)
            await self._read_dead_letters(client, dead or 0, given_up)
        views = [
            group_view(
                name,
                book,
                now,
                n_pending=info.get(name, {}).get("pending", 0),
                last_delivered_id=info.get(name, {}).get("last-delivered-id", "0-0"),
                lag=info.get(name, {}).get("lag"),
            )
            for name, book in books
        ]
        consumers = [
            consumer
            for (name, book), asked in zip(books, of_groups[::2], strict=True)
            for consumer in consumer_views(
                name,
                book.ledger,
                {row["name"]: row["pending"] for row in asked or ()},
                {row["name"]: row["idle"] / 1000 for row in asked or ()},
                pids,
            )
        ]
        return snapshot_of(
            views,
            at=now,
            finished=finished,
            consumers=tuple(consumers),
            pending=tuple(_pending(name, row, fields) for name, row in pending),
            length=length or 0,
            dead_letters=dead or 0,
            n_added=len(recent.ledger.added),
            arrival_rate=recent.first.rates(now)[0],
            newest_dead_letters=self._letters,
        )

    async def _read_dead_letters(self, client: Redis, n: int, n_given_up: int) -> None:
        """Note the newest dead letters; the server is asked only if something has changed."""
        if self._letters_of != (n, n_given_up):
            found: Any = await client.xrevrange(self._scenario.dead_letter_key, count=_MOST_LETTERS) if n else ()
            self._letters = tuple(_letter(entry_id, fields) for entry_id, fields in found)
            self._letters_of = n, n_given_up

    async def _fields_of(self, client: Redis, ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the fields of these entries, cut short; nothing of one that is not in the stream any more."""
        known = self._fields
        unknown = list(dict.fromkeys(entry_id for entry_id in ids if entry_id not in known))
        if unknown:
            pipe = client.pipeline(transaction=False)
            for entry_id in unknown:
                pipe.xrange(self._scenario.stream, entry_id, entry_id)
            for entry_id, reply in zip(unknown, await pipe.execute(False), strict=True):
                entries = _or_nothing(reply)
                known[entry_id] = _cut(entries[0][1]) if entries else {}
        self._fields = {entry_id: known[entry_id] for entry_id in ids}
        return self._fields


def _or_nothing(reply: Any) -> Any:
    """Return a reply; nothing where the stream or the group is gone."""
    if isinstance(reply, ResponseError):
        return None
    if isinstance(reply, Exception):
        raise reply
    return reply


def _pending(group: str, row: Any, fields: dict[str, dict[str, str]]) -> PendingView:
    return PendingView(
        id=row["message_id"],
        owner=row["consumer"],
        idle=row["time_since_delivered"] / 1000,
        delivery_count=row["times_delivered"],
        fields=fields.get(row["message_id"], {}),
        group=group,
    )


def _letter(entry_id: str, fields: dict[str, str]) -> DeadLetter:
    own = {name: value for name, value in fields.items() if not name.startswith("dead:")}
    n = fields.get("dead:deliveries", "")
    return DeadLetter(
        entry_id,
        harmless(fields.get("dead:id", "")),
        harmless(fields.get("dead:consumer", "")),
        int(n) if n.isdecimal() else 0,
        _cut(own),
    )


def _cut(fields: dict[str, str]) -> dict[str, str]:
    shown = list(fields.items())[:_MOST_FIELDS]
    return {harmless(name): harmless(value) for name, value in shown}
