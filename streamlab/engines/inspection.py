"""What the engines ask a server about a run: the same commands for a simulated and for a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamlab.actors import Entry
from streamlab.run import FinalState
from streamlab.scenario import Scenario

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Entries fetched at once when a long list is walked through.
_PAGE = 10_000


async def is_drained(client: Redis, scenario: Scenario) -> bool:
    """Return whether nothing is pending and nothing undelivered (``XINFO GROUPS``, ``XRANGE``)."""
    group = await _group(client, scenario)
    if group is None or group["pending"]:
        return False
    # Not by the group's lag: it may be unknown, and before Redis 7.0 there is none.
    last = group["last-delivered-id"]
    return not await client.xrange(scenario.stream, min=f"({last}", count=1)


async def _group(client: Redis, scenario: Scenario) -> dict[str, Any] | None:
    """Return what ``XINFO GROUPS`` says of the scenario's group; None if the group or the stream is gone."""
    if not await client.exists(scenario.stream):
        return None
    groups: list[dict[str, Any]] = await client.xinfo_groups(scenario.stream)
    return next((group for group in groups if group["name"] == scenario.group), None)


async def final_state(client: Redis, scenario: Scenario) -> FinalState:
    """Return what the server holds: pending and undelivered entries, the stream's begin and length.

    If the group is gone, nothing is pending and nothing will be delivered.
    """
    stream, group = scenario.stream, scenario.group
    info = await _group(client, scenario)
    if info is None:
        return FinalState(length=await client.xlen(stream))
    first: list[Entry] = await client.xrange(stream, count=1)  # type: ignore[assignment]
    pending: dict[str, str] = {}
    start = "-"
    while True:
        page: list[dict[str, Any]] = await client.xpending_range(stream, group, start, "+", _PAGE)
        pending.update((row["message_id"], row["consumer"]) for row in page)
        if len(page) < _PAGE:
            break
        start = f"({page[-1]['message_id']}"
    undelivered: list[str] = []
    last: str = info["last-delivered-id"]
    while True:
        entries: list[Entry] = await client.xrange(stream, min=f"({last}", count=_PAGE)  # type: ignore[assignment]
        undelivered += [entry_id for entry_id, _ in entries]
        if len(entries) < _PAGE:
            break
        last = entries[-1][0]
    return FinalState(
        pending, tuple(undelivered), first[0][0] if first else "", await client.xlen(stream)
    )
