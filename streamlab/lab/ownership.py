"""What a run may write to and delete on a server that others use: keys that it found free, and made itself."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import redis.exceptions

from streamlab.lab.patience import to_its_end, within
from streamlab.servers.client import ServerUnusable

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import Pipeline

    from streamlab.scenario import Scenario

#: Seconds that a server has to answer when a run ends. One that hangs must hold up nobody.
_LAST_WORD = 3.0

logger = logging.getLogger("streamlab")

_ENTRY_ID = re.compile(r"\d+-\d+")
#: What a lease's entry holds. And whoever says that it is there is in two sorted sets: by its name, all with the score
#: 0, and by a time in milliseconds since 1970, which is after this one.
_OF_LEASE = {"owner", "ms"}
_LONG_AGO = 1e12
#: A group that a dead-letter stream is made with, since a stream cannot be made empty otherwise.
_MAKER = "streamlab-makes-a-stream"


class OwnKeys:
    """The keys of one run on one server.

    Parameters
    ----------
    client
        A client of the server, which decodes replies.
    groups
        The run's consumer groups: dead letters name theirs.
    added
        Returns the ids of the entries that the run has added.
    """

    def __init__(self, client: Redis, groups: Sequence[str], added: Callable[[], set[str]]) -> None:
        self._client = client
        self._groups = groups
        self._added = added
        #: What stands before the ids of a stream's entries, by its key: of several, each has something else.
        self._streams: dict[str, str] = {}
        self._ledgers: set[str] = set()
        self._dead_letters: set[str] = set()
        self._leases: set[str] = set()
        self._sample: list[str] = []

    def to_dict(self, sample: list[str]) -> dict[str, Any]:
        """Return what `from_dict` needs; `sample` are ids of some entries that the run has added."""
        return {
            "groups": self._groups,
            "streams": self._streams,
            "ledgers": sorted(self._ledgers),
            "dead_letters": sorted(self._dead_letters),
            "leases": sorted(self._leases),
            "sample": sample,
        }

    @classmethod
    def from_dict(cls, client: Redis, row: Any) -> OwnKeys:
        """Return the keys of a run of which there is only this left."""
        keys = cls(client, row["groups"], lambda: set(row["sample"]))
        keys._streams, keys._sample = row["streams"], row["sample"]
        keys._ledgers, keys._dead_letters, keys._leases = map(set, (row["ledgers"], row["dead_letters"], row["leases"]))
        return keys

    async def claim_for(self, scenario: Scenario) -> None:
        """Claim all that a scenario's actors write to, stream by stream: in a cluster, each is somewhere else."""
        limit, groups = scenario.recovery.max_deliveries, () if scenario.sink == "none" else scenario.groups
        for prefix, stream in scenario.places:
            await self.claim(
                stream,
                prefix=prefix,
                ledgers=[scenario.ledger_key_of(group, stream) for group in groups],
                dead_letters=None if limit is None else scenario.recovery.dead_letter_of(stream),
                leases=scenario.leases_at(stream),
            )

    async def claim(
        self,
        stream: str,
        *,
        prefix: str = "",
        ledgers: Sequence[str] = (),
        dead_letters: str | None = None,
        leases: Sequence[str] = (),
    ) -> None:
        """See that the keys are free, and make the streams, as one step (``WATCH``, ``XGROUP CREATE … MKSTREAM``).

        `prefix` is what stands before the ids of the stream's entries where the run tells of them; `leases` are made by
        those who share the stream's entries.

        Raises
        ------
        ServerUnusable
            If one of them exists, or another program was faster: nothing has been changed then.
        """
        # Not to be torn: whoever does not hear that a key has been made will not delete it.
        await to_its_end(self._make(stream, prefix, ledgers, dead_letters, leases), _LAST_WORD / 3)

    async def claim_dead_letters(self, key: str) -> None:
        """See that a dead-letter stream is ours or free, and make it; raise `ServerUnusable` if it is another's."""
        if key not in self._dead_letters:
            await to_its_end(self._make(None, "", (), key, ()), _LAST_WORD / 3)

    async def _make(
        self, stream: str | None, prefix: str, ledgers: Sequence[str], dead: str | None, leases: Sequence[str]
    ) -> None:
        """Make the keys ours, if they are free."""
        keys = [key for key in (stream, *ledgers, dead, *leases) if key is not None]
        async with self._client.pipeline(transaction=True) as pipe:
            await pipe.watch(*keys)
            for key in keys:
                if await pipe.execute_command("EXISTS", key):  # the `exists` of a cluster would be put off
                    raise _is_taken(key)
            pipe.multi()  # type: ignore[no-untyped-call]
            if stream is not None:
                for group in self._groups:
                    pipe.xgroup_create(stream, group, id="0", mkstream=True)
            if dead is not None:
                pipe.xgroup_create(dead, _MAKER, id="0", mkstream=True)
                pipe.xgroup_destroy(dead, _MAKER)
            await self._execute(pipe, keys)
            if stream is not None:
                self._streams[stream] = prefix
            self._ledgers.update(ledgers)
            self._leases.update(leases)
            if dead is not None:
                self._dead_letters.add(dead)

    async def _execute(self, pipe: Pipeline, keys: Sequence[str]) -> None:
        try:
            await pipe.execute()
        except redis.exceptions.WatchError:
            raise _is_taken(" or ".join(keys)) from None

    async def delete(self) -> list[str]:
        """Delete what is still ours (``DEL``); return the keys that had to be left, though they are ours.

        A key that somebody else has put in the place of ours meanwhile is left alone, and not mentioned. A server
        that does not answer within some seconds is not waited for.
        """
        keys = [*self._ledgers, *self._dead_letters, *self._leases]
        deadline = time.monotonic() + _LAST_WORD
        gone = await asyncio.gather(*(self._let_go(key, deadline) for key in keys))
        # Last of all: while one is there, nobody else takes the names of the others.
        keys += self._streams
        gone += await asyncio.gather(*(self._let_go(key, deadline) for key in self._streams))
        for known in (self._streams, self._ledgers, self._dead_letters, self._leases):
            known.clear()
        return [key for key, is_gone in zip(keys, gone, strict=True) if not is_gone]

    async def _let_go(self, key: str, deadline: float) -> bool:
        """Delete a key if it is still ours; say so, and return False, if that cannot be done."""
        try:
            await within(deadline - time.monotonic(), self._delete_if_ours(key))
        except redis.exceptions.ResponseError as error:  # no permission, a replica by now …
            logger.warning("the key %r is left on the server (%s): delete it by hand, or allow DEL", key, error)
        except (redis.exceptions.RedisError, OSError) as error:
            logger.warning("the key %r may be left on the server (%s): look there, and delete it by hand", key, error)
        else:
            return True
        return False

    async def _delete_if_ours(self, key: str) -> None:
        async with self._client.pipeline(transaction=True) as pipe:
            await pipe.watch(key)
            if not await self._is_ours(pipe, key):
                return
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.delete(key)
            try:
                await pipe.execute()
            except redis.exceptions.WatchError:
                # Its workers are dead: whoever has changed it is somebody else.
                return

    async def _is_ours(self, ask: Any, key: str) -> bool:
        """Look at what a key holds: whether it is what this run has written."""
        kind = await ask.type(key)
        if key in self._ledgers:
            if kind != "hash":
                return False
            _, sample = await ask.hscan(key, count=10)
            return all(_ENTRY_ID.fullmatch(field) for field in sample)
        if key in self._leases and kind == "zset":
            rows = await ask.zrange(key, 0, 9, withscores=True)
            return all(score == 0 or score > _LONG_AGO for _, score in rows)
        if kind != "stream":
            return False
        first = await ask.xrange(key, count=1)
        if key in self._dead_letters:
            return not first or first[0][1].get("dead:group") in self._groups
        if key in self._leases:
            return not first or first[0][1].keys() == _OF_LEASE
        groups = {group["name"] for group in await ask.xinfo_groups(key)}
        if not first:
            return not groups or not groups.isdisjoint(self._groups)
        # Our group alone proves nothing: consumers recreate it in whatever stream they find. But an entry may have
        # been added without our having heard of it, if its producer was killed just then.
        prefix = self._streams[key]
        added = {entry_id for entry_id in self._added() if entry_id.startswith(prefix)}
        if prefix + first[0][0] in added:
            return True
        for entry_id in self._sample:
            plain = entry_id.removeprefix(prefix)
            if entry_id.startswith(prefix) and await ask.xrange(key, plain, plain):
                return True
        return not added and not groups.isdisjoint(self._groups)


def _is_taken(key: str) -> ServerUnusable:
    return ServerUnusable(
        f"the key {key!r} exists already on this server: streamlab adds nothing to what is not its own. "
        "Choose another name (stream = in the scenario's TOML), or delete it"
    )
