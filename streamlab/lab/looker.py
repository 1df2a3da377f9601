"""`Looker`: takes snapshots of a running lab.

What the server knows is asked of it (``XINFO``, ``XPENDING``, ``XLEN``), what only the workers know is told by
their events.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ResponseError

from streamlab.actors.shards import lease_key
from streamlab.results.recent import Recent
from streamlab.results.servers import ServerView, nodes_of_cluster
from streamlab.results.shards import Lease, ShardView
from streamlab.results.snapshot import (
    DeadLetter,
    PendingView,
    Snapshot,
    consumer_views,
    group_view,
    servers_now,
    snapshot_of,
)
from streamlab.results.statistics import id_key
from streamlab.scenario import Scenario
from streamlab.scenario.shards import place_of
from streamlab.scenario.small_table import harmless
from streamlab.servers.several import nodes_of

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Pending entries that are listed, the oldest first; how many there are in all is told as well.
MOST_PENDING: Final = 200
#: Dead letters that are listed, the newest first.
_MOST_LETTERS: Final = 20
#: Fields of an entry that are kept.
_MOST_FIELDS: Final = 8
#: Seconds between two questions to a cluster who its nodes are.
_NODES_EVERY: Final = 1.0


class Looker:
    """Takes snapshots. Remembers what the server said last, and fields of what is pending: an entry's never change."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._names = list(scenario.groups)
        self._streams = dict(scenario.places)
        self._fields: dict[str, dict[str, str]] = {}
        self._of_group = 2 if scenario.shards is None else 3  # replies
        self._of_each = 3 + self._of_group * len(self._names)
        self._said: list[Any] = [None] * (self._of_each * len(self._streams))
        self._nodes_told: tuple[ServerView, ...] = ()
        self._nodes_due = -math.inf
        self._letters: tuple[DeadLetter, ...] = ()
        self._letters_of: tuple[Any, int] = (None, 0)  # how many there were, and how many had been given up

    async def look(
        self, client: Redis, recent: Recent, now: float, finished: bool, pids: dict[str, int], *, is_down: bool = False
    ) -> Snapshot:
        """Ask the server how things are (``XINFO``, ``XPENDING``, ``XLEN``), in one round trip or two.

        What a server that `is_down` cannot be asked is as it said last. Of several shards it is all together.
        """
        pipe = client.pipeline(transaction=False)
        for stream in self._streams.values():
            pipe.xinfo_groups(stream)
            pipe.xlen(stream)
            pipe.xlen(self._scenario.recovery.dead_letter_of(stream))
            for group in self._names:
                pipe.xinfo_consumers(stream, group)
                pipe.xpending_range(stream, group, "-", "+", MOST_PENDING)
                if recent.shards is not None:
                    pipe.xrevrange(lease_key(stream, group), count=1)
        if not is_down:  # or a client that looks for the next primary would be waited for
            self._said = [_or_nothing(reply) for reply in await pipe.execute(False)]
        said = [self._said[n : n + self._of_each] for n in range(0, len(self._said), self._of_each)]
        dead = sum(of_stream[2] or 0 for of_stream in said)
        asked = {name: _Asked(said, name, 3 + self._of_group * n, self._streams) for n, name in enumerate(self._names)}
        books = [(name, recent.books[name]) for name in self._names]
        pending = [(name, row) for name in self._names for row in asked[name].pending]
        ids = [row["message_id"] for _, row in pending]
        if not is_down:
            await self._read_fields(client, ids)
            given_up = sum(len(book.ledger.dead_lettered) for _, book in books)
            await self._read_dead_letters(client, dead, given_up)
        views = [
            group_view(
                name,
                book,
                now,
                n_pending=asked[name].n_pending,
                last_delivered_id=asked[name].last_delivered_id,
                lag=asked[name].lag,
            )
            for name, book in books
        ]
        consumers = [
            consumer
            for name, book in books
            for consumer in consumer_views(name, book.ledger, asked[name].pending_by, asked[name].idle, pids)
        ]
        return snapshot_of(
            views,
            at=now,
            finished=finished,
            consumers=tuple(consumers),
            pending=tuple(_pending(name, row, self._fields) for name, row in pending),
            length=sum(of_stream[1] or 0 for of_stream in said),
            dead_letters=dead,
            n_added=len(recent.ledger.added),
            arrival_rate=recent.first.rates(now)[0],
            newest_dead_letters=self._letters,
            shards=tuple(self._shards(recent, now, asked)),
            **await self._servers(client, recent, now),
        )

    async def _servers(self, client: Redis, recent: Recent, now: float) -> dict[str, Any]:
        """Return what is known of the servers: of a real cluster, its nodes say who they are."""
        told = servers_now(recent, now)
        nodes = await self._nodes(client, now)
        return {**told, "servers": nodes} if nodes else told

    async def _nodes(self, client: Redis, now: float) -> tuple[ServerView, ...]:
        """Return the nodes of a cluster, asked for once in a while (``CLUSTER NODES``); none of other servers."""
        if now >= self._nodes_due:
            self._nodes_due = now + _NODES_EVERY
            told = await nodes_of(client)
            self._nodes_told = tuple(nodes_of_cluster(told)) or self._nodes_told
        return self._nodes_told

    def _shards(self, recent: Recent, now: float, asked: dict[str, _Asked]) -> Iterator[ShardView]:
        """Yield what the server said of each shard; nothing if there are none."""
        if recent.shards is None:
            return
        for n, name in enumerate(self._names):
            said = self._said[5 + self._of_group * n :: self._of_each]
            leases = {number: _lease(*entries[0]) for number, entries in enumerate(said) if entries}
            yield from recent.shards.asked(name, recent.books[name].ledger, now, leases, asked[name].pending_in)

    async def _read_dead_letters(self, client: Redis, n: int, n_given_up: int) -> None:
        """Note the newest dead letters; the server is asked only if something has changed."""
        if self._letters_of == (n, n_given_up):
            return
        letters: list[DeadLetter] = []
        for prefix, stream in self._streams.items() if n else ():
            key = self._scenario.recovery.dead_letter_of(stream)
            found: Any = await client.xrevrange(key, count=_MOST_LETTERS)
            letters += [_letter(prefix, entry_id, fields) for entry_id, fields in found]
        if len(self._streams) > 1:
            letters.sort(key=lambda letter: id_key(letter.id), reverse=True)
        self._letters, self._letters_of = tuple(letters[:_MOST_LETTERS]), (n, n_given_up)

    async def _read_fields(self, client: Redis, ids: Sequence[str]) -> None:
        """Note the fields of these entries, cut short; nothing of one that is not in the stream any more."""
        known = self._fields
        unknown = list(dict.fromkeys(entry_id for entry_id in ids if entry_id not in known))
        if unknown:
            pipe = client.pipeline(transaction=False)
            for entry_id in unknown:
                prefix, plain = place_of(entry_id)
                pipe.xrange(self._streams[prefix], plain, plain)
            for entry_id, reply in zip(unknown, await pipe.execute(False), strict=True):
                entries = _or_nothing(reply)
                known[entry_id] = _cut(entries[0][1]) if entries else {}
        self._fields = {entry_id: known[entry_id] for entry_id in ids}


class _Asked:
    """What the server said of a group, of all streams together."""

    def __init__(self, said: Sequence[Sequence[Any]], name: str, at: int, prefixes: Iterable[str]) -> None:
        of_streams = [[group for group in of_stream[0] or () if group["name"] == name] for of_stream in said]
        groups = [group for of_stream in of_streams for group in of_stream]
        #: By the numbers of the streams.
        self.pending_in = {n: group["pending"] for n, of_stream in enumerate(of_streams) for group in of_stream}
        self.n_pending: int = sum(self.pending_in.values())
        #: Several streams have one each: none is the group's.
        self.last_delivered_id: str = groups[0].get("last-delivered-id", "0-0") if len(groups) == 1 else "0-0"
        lags: list[int | None] = [group.get("lag") for group in groups]
        self.lag = None if None in lags or not lags else sum(lag or 0 for lag in lags)
        self.pending_by: Counter[str] = Counter()
        self.idle: dict[str, float] = {}
        for row in (row for of_stream in said for row in of_stream[at] or ()):
            self.pending_by[row["name"]] += row["pending"]
            self.idle[row["name"]] = min(row["idle"] / 1000, self.idle.get(row["name"], math.inf))
        self.pending: list[dict[str, Any]] = [
            {**row, "message_id": prefix + row["message_id"]}
            for prefix, of_stream in zip(prefixes, said, strict=True)
            for row in of_stream[at + 1] or ()
        ]
        if len(said) > 1:
            self.pending = sorted(self.pending, key=lambda row: id_key(row["message_id"]))[:MOST_PENDING]


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


def _lease(lease_id: str, fields: dict[str, str]) -> Lease:
    return Lease(harmless(fields["owner"]), int(lease_id.partition("-")[0]), int(fields["ms"]))


def _letter(prefix: str, entry_id: str, fields: dict[str, str]) -> DeadLetter:
    own = {name: value for name, value in fields.items() if not name.startswith("dead:")}
    n = fields.get("dead:deliveries", "")
    return DeadLetter(
        prefix + entry_id,
        prefix + harmless(fields.get("dead:id", "")),
        harmless(fields.get("dead:consumer", "")),
        int(n) if n.isdecimal() else 0,
        _cut(own),
    )


def _cut(fields: dict[str, str]) -> dict[str, str]:
    shown = list(fields.items())[:_MOST_FIELDS]
    return {harmless(name): harmless(value) for name, value in shown}
