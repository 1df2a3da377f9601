"""What the actors ask of Redis, beyond single commands: groups, replies, scripts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError, ResponseError

from .trouble import Patience, is_connection_lost

if TYPE_CHECKING:
    from redis.asyncio import Redis

Fields = Mapping[str, str]
Entry = tuple[str, dict[str, str]]


def ignore(
    kind: str, actor: str, id: str = "", delivery_count: int = 0, at: float | None = None
) -> None:
    """Report to nobody."""


async def ensure_group(
    client: Redis, stream: str, group: str, *, start: str = "0", patience: float = 0.0
) -> bool:
    """Create a consumer group, and the stream if need be (``XGROUP CREATE … MKSTREAM``).

    `start` is the last-delivered id: ``"0"`` delivers everything that the stream holds, ``"$"`` only what
    comes. `patience` is for how many seconds to go on trying when the server cannot be reached. Return
    whether the group is new; an existing one stays as it is.
    """
    tries = Patience(patience)
    while True:
        try:
            await client.xgroup_create(stream, group, id=start, mkstream=True)
            return True
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
            return False
        except Exception as error:
            if not is_connection_lost(error):
                raise
            await tries.wait(error)


@lru_cache(maxsize=64)
def _digest(script: str) -> str:
    return hashlib.sha1(script.encode()).hexdigest()


async def run_script(
    client: Redis, script: str, keys: Sequence[str], args: Sequence[str | int]
) -> Any:
    """Run a Lua script by its digest (``EVALSHA``); send its text only if the server has not got it."""
    try:
        return await client.evalsha(_digest(script), len(keys), *keys, *args)
    except NoScriptError:
        return await client.eval(script, len(keys), *keys, *args)


def entries_of(reply: Any) -> list[Any]:
    """Return the entries in a reply to a read of one stream; none if the read timed out."""
    if not reply:
        return []
    if isinstance(reply, list):
        return reply[0][1]  # type: ignore[no-any-return]
    entries: list[Any] = next(iter(reply.values()))
    # Some versions of redis-py wrap a RESP3 reply once more.
    return entries[0] if entries and isinstance(entries[0], list) else entries


async def delivery_counts(
    client: Redis, stream: str, group: str, consumer: str, ids: Sequence[str]
) -> list[int]:
    """Return how often each of a consumer's entries was delivered; 0 if it is not its own any more.

    Only ``XPENDING`` tells, an entry at a time: all in one round trip.
    """
    pipe = client.pipeline(transaction=False)
    for entry_id in ids:
        pipe.xpending_range(stream, group, entry_id, entry_id, 1, consumer)
    return [rows[0]["times_delivered"] if rows else 0 for rows in await pipe.execute()]


async def safe_start(client: Redis, stream: str, group: str) -> str:
    """Return an id from which a lost group could begin again without losing an entry.

    All up to it has been delivered and acknowledged. Both in one transaction: a group that is destroyed and
    made anew between the two would give its place to the other's acknowledgements.

    Raises
    ------
    redis.exceptions.ResponseError
        ``NOGROUP`` if the group or the stream is not there.
    """
    pipe = client.pipeline(transaction=True)
    pipe.xpending(stream, group)  # first: of a stream that is gone, XINFO does not say NOGROUP
    pipe.xinfo_groups(stream)
    summary, groups = await pipe.execute()
    last: str = next(g["last-delivered-id"] for g in groups if g["name"] == group)
    if not summary["pending"]:
        return last
    ms, seq = _numbers(summary["min"])
    before = (ms, seq - 1) if seq else (ms - 1, 2**64 - 1)
    return "0-0" if before[0] < 0 else f"{before[0]}-{before[1]}"


async def start_of_new_group(client: Redis, stream: str, safe_id: str) -> str:
    """Return where a lost group has to begin: at `safe_id`; at 0 if the stream is another one by now.

    Ids begin anew in a stream that was deleted, and a clock may have been set back meanwhile.
    """
    last: list[Entry] = await client.xrevrange(stream, count=1)  # type: ignore[assignment]
    return safe_id if last and _numbers(last[0][0]) >= _numbers(safe_id) else "0"


def _numbers(entry_id: object) -> tuple[int, int]:
    ms, _, seq = str(entry_id).partition("-")
    return int(ms), int(seq or 0)
