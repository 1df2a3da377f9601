"""Streams that a learner's function is tried on: filled at random, in a server of their own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

import redis

from streamlab.checks.watched import WatchedRedis
from streamlab.model.records import parse_pending_range
from streamlab.results.verdict import Objection
from streamlab.servers.embedded import EmbeddedServer

KEY: Final = "orders"
GROUP: Final = "kitchen"

Entry = tuple[str, dict[str, str]]


class Trial:
    """A stream in a server of its own, filled at random, and the client that the answer is given."""

    def __init__(self, seed: int) -> None:
        server = EmbeddedServer()
        self.client = server.client()
        watched = server.client(WatchedRedis)
        assert isinstance(watched, WatchedRedis)
        self.watched = watched
        self.random = random.Random(seed)
        self._ms = 1000
        self._n_added = 0

    def add(self, n_entries: int) -> None:
        """Add entries, several of them in one millisecond."""
        pipe = self.client.pipeline(transaction=False)
        for _ in range(n_entries):
            self._ms += self.random.choice((0, 0, 1, 250))
            self._n_added += 1
            pipe.xadd(KEY, {"number": self._n_added}, id=f"{self._ms}-*")
        pipe.execute()

    def entries(self) -> list[Entry]:
        reply: Any = self.client.xrange(KEY)
        return list(reply)

    def pending(self) -> dict[str, str]:
        """Return who has which entry pending."""
        return pending_of(self.client, KEY, GROUP)


def is_entry(item: object) -> bool:
    """Return whether something is an entry as redis-py gives it: an id and a dict of fields."""
    return isinstance(item, tuple | list) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], dict)


def compare(
    got: Sequence[Entry], expected: Sequence[Entry], case: str, *, twice: str, order: str, missing: str
) -> None:
    """Object to the first entry that is not the expected one, with one of three hints."""
    ids = [entry_id for entry_id, _ in expected]
    seen: set[str] = set()
    for i, (entry_id, fields) in enumerate(got):
        if entry_id in seen:
            raise Objection(f"{case} {entry_id} comes twice.", twice)
        seen.add(entry_id)
        if i >= len(ids) or entry_id != ids[i]:
            what = f"{entry_id} comes where {ids[i]} was due" if i < len(ids) else f"{entry_id} comes"
            raise Objection(f"{case} {what}.", order)
        if fields != expected[i][1]:
            raise Objection(f"{case} {entry_id} is not as it is in the stream.", order)
    if len(got) < len(expected):
        raise Objection(f"{case} {ids[len(got)]} is missing.", missing)


def pending_of(client: redis.Redis, key: str, group: str) -> dict[str, str]:
    reply = client.xpending_range(key, group, min="-", max="+", count=10_000)
    return {pending.id: pending.consumer for pending in parse_pending_range(reply)}
