"""What the engines ask a server about a run: the same commands for a simulated and for a real one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from streamlab.actors import Entry
from streamlab.actors.events import ADDED, CLAIMED, DELIVERED
from streamlab.results.events import Event
from streamlab.results.final_state import FinalState
from streamlab.scenario import Scenario

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Entries fetched at once when a long list is walked through.
_PAGE = 10_000
#: Seconds by which an event may be heard of too late.
_MOST_OUT_OF_ORDER = 1.0


async def is_drained(client: Redis, scenario: Scenario, *, hopeless: Collection[str] = ()) -> bool:
    """Return whether nothing is pending and nothing undelivered (``XINFO GROUPS``, ``XRANGE``).

    What is pending for consumers that are `hopeless` (dead, and nobody claims) does not count: nothing
    will come of waiting for it.
    """
    group = await _group(client, scenario)
    if group is None:
        return False
    if group["pending"]:
        if not hopeless:
            return False
        summary = await client.xpending(scenario.stream, scenario.group)
        if any(row["name"] not in hopeless for row in summary["consumers"]):
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


async def pending_of(client: Redis, scenario: Scenario, name: str) -> list[tuple[str, int, int]]:
    """Return what is pending for a consumer: ids, idle times in milliseconds, delivery counts (``XPENDING``)."""
    who = scenario.stream, scenario.group, "-", "+", _PAGE, name
    rows: list[dict[str, Any]] = await client.xpending_range(*who)
    return [(r["message_id"], r["time_since_delivered"], r["times_delivered"]) for r in rows]


def unseen(held: Iterable[tuple[str, int, int]], name: str, now: float, latest_first: Iterable[Event]) -> list[Event]:
    """Return the deliveries to a consumer that has just died which it did not live to tell.

    A server that hands out an entry at the very moment at which its consumer is killed counts it as delivered: it is
    as lost as what the consumer had begun.

    Parameters
    ----------
    held
        What is pending for the consumer, as `pending_of` gives it.
    now
        When the server was asked, in seconds.
    latest_first
        The events so far, the last one first; those before the entries were added are not looked at.
    """
    deliveries = {i: Event(now - idle / 1000, DELIVERED, name, i, n) for i, idle, n in held}
    not_yet_added, oldest = set(deliveries), now
    for event in latest_first:
        # Events of several processes may be heard of in another order than that of their times.
        if not deliveries or (not not_yet_added and event.at < oldest - _MOST_OUT_OF_ORDER):
            break
        if event.kind == ADDED and event.id in not_yet_added:
            not_yet_added.discard(event.id)
            oldest = min(oldest, event.at)
        elif event.actor == name and event.kind in (DELIVERED, CLAIMED):
            told = deliveries.get(event.id)
            # A claim by hand (JUSTID) is not counted, and its count not told.
            if told is not None and not 0 < event.delivery_count < told.delivery_count:
                del deliveries[event.id]
    return list(deliveries.values())


async def final_state(client: Redis, scenario: Scenario) -> FinalState:
    """Return what the server holds: pending and undelivered entries, the stream's begin and length.

    If the group is gone, nothing is pending and nothing will be delivered.
    """
    stream, group = scenario.stream, scenario.group
    dead = await _dead_letters(client, scenario)
    effects = await _effects(client, scenario)
    info = await _group(client, scenario)
    if info is None:
        return FinalState(length=await client.xlen(stream), dead_letters=dead, effects=effects)
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
        pending,
        tuple(undelivered),
        first[0][0] if first else "",
        await client.xlen(stream),
        dead,
        effects,
        await _pending_by(client, scenario, info),
    )


async def _pending_by(client: Redis, scenario: Scenario, info: dict[str, Any]) -> dict[str, int]:
    """Return how many entries are pending, as each command says that tells it."""
    summary = await client.xpending(scenario.stream, scenario.group)
    consumers: list[dict[str, Any]] = await client.xinfo_consumers(scenario.stream, scenario.group)
    return {
        "XINFO GROUPS": info["pending"],
        "XPENDING": summary["pending"],
        "XPENDING, by consumer": sum(row["pending"] for row in summary["consumers"]),
        "XINFO CONSUMERS": sum(row["pending"] for row in consumers),
    }


async def _dead_letters(client: Redis, scenario: Scenario) -> tuple[str, ...]:
    """Return the ids that the entries in the dead-letter stream had in the stream that they come from."""
    key = scenario.dead_letter_key
    if scenario.recovery.max_deliveries is None or await client.type(key) != "stream":
        return ()
    letters: list[Entry] = await client.xrange(key)  # type: ignore[assignment]
    return tuple(fields["dead:id"] for _, fields in letters if "dead:id" in fields)


async def _effects(client: Redis, scenario: Scenario) -> dict[str, int]:
    """Return what the sink's ledger says: how often each entry's effect has happened."""
    if scenario.sink == "none":
        return {}
    ledger = await client.hgetall(scenario.ledger_key)
    return {str(entry_id): int(n) for entry_id, n in ledger.items()}
