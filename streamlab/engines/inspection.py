"""What the engines ask a server about a run: the same commands for a simulated and for a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamlab.run import FinalState
from streamlab.scenario import Scenario

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Entries fetched at once when a long list is walked through.
_PAGE = 10_000


async def is_drained(client: Redis, scenario: Scenario) -> bool:
    """Return whether nothing is pending and nothing undelivered (``XINFO GROUPS``, ``XRANGE``)."""
    for group in await client.xinfo_groups(scenario.stream):
        if group["name"] == scenario.group:
            if group["pending"]:
                return False
            # Not by the group's lag: it may be unknown, and before Redis 7.0 there is none.
            last = group["last-delivered-id"]
            return not await client.xrange(scenario.stream, min=f"({last}", count=1)
    return False


async def final_state(client: Redis, scenario: Scenario) -> FinalState:
    """Return what the server holds: pending and undelivered entries, the stream's begin and length."""
    stream, group = scenario.stream, scenario.group
    groups = {row["name"]: row for row in await client.xinfo_groups(stream)}
    first = await client.xrange(stream, count=1)
    pending: dict[str, str] = {}
    start = "-"
    while True:
        page: list[dict[str, Any]] = await client.xpending_range(stream, group, start, "+", _PAGE)
        pending.update((row["message_id"], row["consumer"]) for row in page)
        if len(page) < _PAGE:
            break
        start = f"({page[-1]['message_id']}"
    undelivered: list[str] = []
    last = groups[group]["last-delivered-id"]
    while entries := await client.xrange(stream, min=f"({last}", count=_PAGE):
        undelivered += [entry_id for entry_id, _ in entries]
        last = entries[-1][0]
    return FinalState(
        pending, tuple(undelivered), first[0][0] if first else "", await client.xlen(stream)
    )
