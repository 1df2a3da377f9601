"""What the actors ask of Redis, beyond single commands: groups, scripts, places in a stream."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError, RedisError, ResponseError

from .replies import AS_BYTES, Replies
from .trouble import Patience, explain, passes
from .watch import Watch

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Seconds that a server is given to answer, also if there is no patience.
_ANSWERED_WITHIN = 5.0


def ignore(kind: str, actor: str, id: str = "", delivery_count: int = 0, at: float | None = None) -> None:
    """Report to nobody."""


async def ensure_group(client: Redis, stream: str, group: str, *, start: str = "0", patience: float = 0.0) -> bool:
    """Create a consumer group, and the stream if need be (``XGROUP CREATE … MKSTREAM``).

    `start` is the last-delivered id: ``"0"`` delivers everything that the stream holds, ``"$"`` only what
    comes. `patience` is for how many seconds to go on trying when the server cannot be reached, or refuses it for
    now (see `consume`). A server that does not answer is given so long; 5 seconds if there is no patience. Return
    whether the group is new; an existing one stays as it is.
    """
    tries = Patience(patience, client)
    async with Watch(patience or _ANSWERED_WITHIN) as watch:
        while True:
            try:
                await client.xgroup_create(stream, group, id=start, mkstream=True)
                return True
            except Exception as error:
                if isinstance(error, ResponseError) and str(error).startswith("BUSYGROUP"):
                    return False
                if not passes(error):
                    explain(error, stream, group)
                    raise
                reason = error
            await tries.wait(reason)
            watch.n_answers += 1


async def name_of_server(client: Redis) -> str:
    """Return what a server calls itself, and its version (``INFO``); or who asks, if it does not say."""
    try:
        info = await client.info("server")
    except (RedisError, OSError):
        return f"the server of {client!r}"
    for kind in ("valkey", "redis"):
        if version := info.get(f"{kind}_version"):
            return f"{kind.capitalize()} {version}"
    return f"the server of {client!r}"


@lru_cache(maxsize=64)
def _digest(script: str) -> str:
    return hashlib.sha1(script.encode()).hexdigest()


async def run_script(client: Redis, script: str, keys: Sequence[str], args: Sequence[str | int]) -> Any:
    """Run a Lua script by its digest (``EVALSHA``); send its text only if the server has not got it.

    Ids and names in its answer are text.
    """
    replies = Replies(client)
    try:
        answer = await replies.ask("EVALSHA", _digest(script), len(keys), *keys, *args)
    except NoScriptError:
        answer = await replies.ask("EVAL", script, len(keys), *keys, *args)
    return replies.texts(answer) if isinstance(answer, list) else replies.text(answer)


async def delivery_counts(client: Redis, stream: str, group: str, consumer: str, ids: Sequence[str]) -> list[int]:
    """Return how often each of a consumer's entries was delivered; 0 if it is not its own any more.

    Only ``XPENDING`` tells, an entry at a time: all in one round trip.
    """
    pipe = client.pipeline(transaction=False)
    for entry_id in ids:
        pipe.xpending_range(stream, group, entry_id, entry_id, 1, consumer)
    return [rows[0]["times_delivered"] if rows else 0 for rows in await pipe.execute()]


async def safe_start(client: Redis, stream: str, group: str, known: str = "0-0") -> str:
    """Return an id from which a lost group could begin again without losing an entry.

    All up to it has been delivered and acknowledged. `known` is such an id that was found before.

    Raises
    ------
    redis.exceptions.ResponseError
        ``NOGROUP`` if the group or the stream is not there.
    """
    pipe = client.pipeline(transaction=False)
    ask_for_place(pipe, stream, group)
    return place_in(Replies(client), group, await pipe.execute(raise_on_error=False), known)


def ask_for_place(pipe: Any, stream: str, group: str) -> None:
    """Add to a pipeline the two commands whose replies `place_in` reads.

    No transaction: out of memory, Redis before 7.4 refuses MULTI whatever is in it.
    """
    pipe.execute_command("XINFO", "GROUPS", stream, **AS_BYTES)
    pipe.execute_command("XPENDING", stream, group, **AS_BYTES)


def place_in(replies: Replies, group: str, answers: Sequence[Any], known: str) -> str:
    """Return the id that is told by the replies to `ask_for_place`; `known` if they do not tell.

    Between the two, entries may have been delivered and acknowledged, or the group destroyed and made again. What
    ``XPENDING`` says comes later and holds: before the first pending entry of its group, all was acknowledged
    (and delivered, so not beyond what had been by the first command: ``XCLAIM … FORCE`` makes entries pending that
    never were). If nothing is pending then, it is the first command alone that tells: if nothing was pending
    either, all up to its last-delivered id was acknowledged at that moment, in whichever group that was.
    """
    groups, summary = answers
    if isinstance(summary, Exception):
        raise summary  # NOGROUP, which XINFO does not say of a stream that is gone
    if isinstance(groups, Exception):
        return known
    named = (_as_dict(replies, row) for row in groups)
    info = next((row for row in named if replies.text(row["name"]) == group), None)
    if info is None:
        return known
    last: str = replies.text(info["last-delivered-id"])
    if not summary["pending"]:
        return known if info["pending"] else last
    ms, seq = _numbers(replies.text(summary["min"]))
    before = (ms, seq - 1) if seq else (ms - 1, 2**64 - 1)
    if before[0] < 0:
        return "0-0"
    return min(f"{before[0]}-{before[1]}", last, key=_numbers)


def _as_dict(replies: Replies, row: Any) -> dict[str, Any]:
    """Return a row of XINFO by its names: in RESP2 it is a flat list."""
    pairs = row.items() if isinstance(row, dict) else zip(row[::2], row[1::2], strict=True)
    return {replies.text(name): value for name, value in pairs}


async def start_of_new_group(client: Redis, stream: str, safe_id: str) -> str:
    """Return where a lost group has to begin: at `safe_id`; at 0 if the stream is another one by now.

    Ids begin again in a stream that was deleted, and a clock may have been set back meanwhile.
    """
    replies = Replies(client)
    last = replies.entries(await replies.ask("XREVRANGE", stream, "+", "-", "COUNT", 1))
    return safe_id if last and _numbers(last[0][0]) >= _numbers(safe_id) else "0"


def _numbers(entry_id: str) -> tuple[int, int]:
    ms, _, seq = entry_id.partition("-")
    return int(ms), int(seq or 0)
