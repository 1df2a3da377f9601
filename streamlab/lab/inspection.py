"""What the engines ask a server about a run: the same commands for a simulated and for a real one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from streamlab.actors import Entry
from streamlab.actors.events import ADDED, CLAIMED, DELIVERED
from streamlab.lab.both_ways import COUNTED_BY
from streamlab.model.commands import CommandError
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
    wanted = scenario.groups  # of many shards and consumers, to make them each time would take longer than to ask
    for stream in scenario.streams:
        info = await _groups(client, wanted, stream)
        for name, group in info.items():
            if group["pending"]:
                if not hopeless:
                    return False
                summary = await client.xpending(stream, name)
                if any(row["name"] not in hopeless for row in summary["consumers"]):
                    return False
            # Not by the group's lag: it may be unknown, and before Redis 7.0 there is none.
            if await client.xrange(stream, min=f"({group['last-delivered-id']}", count=1):
                return False
        if info.keys() != wanted.keys():
            return False
    return True


async def _groups(client: Redis, wanted: Collection[str], stream: str) -> dict[str, dict[str, Any]]:
    """Return what ``XINFO GROUPS`` says of a scenario's groups, by their names; nothing of one that is gone."""
    if not await client.exists(stream):
        return {}
    groups: list[dict[str, Any]] = await client.xinfo_groups(stream)
    return {group["name"]: group for group in groups if group["name"] in wanted}


async def pending_of(client: Redis, scenario: Scenario, name: str) -> list[tuple[str, int, int]]:
    """Return what is pending for a consumer: ids, idle times in milliseconds, delivery counts (``XPENDING``)."""
    found: list[tuple[str, int, int]] = []
    group = scenario.groups.group_of(name)
    for prefix, stream in scenario.places:
        who = stream, group, "-", "+", _PAGE, name
        rows: list[dict[str, Any]] = await client.xpending_range(*who)
        found += [(prefix + r["message_id"], r["time_since_delivered"], r["times_delivered"]) for r in rows]
    return found


def pending_at_once(server: Any, scenario: Scenario, name: str) -> list[tuple[str, int, int]]:
    """Return the same of a simulated server, at a moment at which nothing may wait, as any client would."""
    found: list[tuple[str, int, int]] = []
    group = scenario.groups.group_of(name)
    for prefix, stream in scenario.places:
        asked = ["XPENDING", stream, group, "-", "+", str(_PAGE), name]
        try:
            rows: Any = server.commands.execute(asked, server.now_ms())
        except CommandError:
            continue  # there is no group any more, and nothing pending in it
        found += [(prefix + entry_id, idle, count) for entry_id, _, idle, count in rows]
    return found


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


async def final_states(client: Redis, scenario: Scenario) -> list[FinalState]:
    """Return what the server holds, as each group sees it."""
    return [await final_state(client, scenario, group) for group in scenario.groups]


async def final_state(client: Redis, scenario: Scenario, group: str | None = None) -> FinalState:
    """Return what the server holds: a group's pending and undelivered entries, the stream's begin and length.

    If the group is gone, nothing is pending and nothing will be delivered. None is the only group that there is. Of
    several shards it is all together, and the ids are those of the run; the begin of each is of no use.
    """
    group = group or scenario.groups.only("group={}")
    states = [await _state_of(client, scenario, group, *place) for place in scenario.places]
    if len(states) == 1:
        return states[0]
    pending_by: Counter[str] = Counter()
    for state in states:
        pending_by.update(state.pending_by)
    return FinalState(
        {entry_id: consumer for state in states for entry_id, consumer in state.pending.items()},
        tuple(entry_id for state in states for entry_id in state.undelivered),
        "",
        sum(state.length for state in states),
        tuple(entry_id for state in states for entry_id in state.dead_letters),
        {entry_id: n for state in states for entry_id, n in state.effects.items()},
        dict(pending_by),
    )


async def _state_of(client: Redis, scenario: Scenario, group: str, prefix: str, stream: str) -> FinalState:
    """Return what the server holds of one stream, each id with a prefix."""
    dead = await _dead_letters(client, scenario, group, prefix, stream)
    effects = await _effects(client, scenario, group, prefix, stream)
    info = (await _groups(client, (group,), stream)).get(group)
    if info is None:
        return FinalState(length=await client.xlen(stream), dead_letters=dead, effects=effects)
    first: list[Entry] = await client.xrange(stream, count=1)  # type: ignore[assignment]
    pending: dict[str, str] = {}
    start = "-"
    while True:
        page: list[dict[str, Any]] = await client.xpending_range(stream, group, start, "+", _PAGE)
        pending.update((prefix + row["message_id"], row["consumer"]) for row in page)
        if len(page) < _PAGE:
            break
        start = f"({page[-1]['message_id']}"
    undelivered: list[str] = []
    last: str = info["last-delivered-id"]
    while True:
        entries: list[Entry] = await client.xrange(stream, min=f"({last}", count=_PAGE)  # type: ignore[assignment]
        undelivered += [prefix + entry_id for entry_id, _ in entries]
        if len(entries) < _PAGE:
            break
        last = entries[-1][0]
    return FinalState(
        pending,
        tuple(undelivered),
        prefix + first[0][0] if first else "",
        await client.xlen(stream),
        dead,
        effects,
        await _pending_by(client, stream, info),
    )


async def _pending_by(client: Redis, stream: str, info: dict[str, Any]) -> dict[str, int]:
    """Return how many entries are pending in a group, as each command says that tells it."""
    summary = await client.xpending(stream, info["name"])
    consumers: list[dict[str, Any]] = await client.xinfo_consumers(stream, info["name"])
    told = (
        info["pending"],
        summary["pending"],
        sum(row["pending"] for row in summary["consumers"]),
        sum(row["pending"] for row in consumers),
    )
    return dict(zip(COUNTED_BY, told, strict=True))


async def _dead_letters(client: Redis, scenario: Scenario, group: str, prefix: str, stream: str) -> tuple[str, ...]:
    """Return the ids that a group's dead letters had in the stream that they come from."""
    key = scenario.recovery.dead_letter_of(stream)
    if scenario.recovery.max_deliveries is None or await client.type(key) != "stream":
        return ()
    letters: list[Entry] = await client.xrange(key)  # type: ignore[assignment]
    return tuple(prefix + f["dead:id"] for _, f in letters if "dead:id" in f and f.get("dead:group", group) == group)


async def _effects(client: Redis, scenario: Scenario, group: str, prefix: str, stream: str) -> dict[str, int]:
    """Return what the sink's ledger says: how often each entry's effect has happened."""
    if scenario.sink == "none":
        return {}
    ledger = await client.hgetall(scenario.ledger_key_of(group, stream))
    return {prefix + str(entry_id): int(n) for entry_id, n in ledger.items()}
