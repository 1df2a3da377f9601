"""What a server has that was down, or one that was promoted; and who is promoted in a cluster that is somebody's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from redis.crc import key_slot

from streamlab.actors import Entry
from streamlab.lab.stage import Host, Left, Stage
from streamlab.scenario import Scenario

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Seconds between two looks at who serves a cluster's slots.
_LOOK_EVERY: Final = 0.1
#: Entries fetched at once.
_PAGE: Final = 10_000


async def look(client: Redis, places: Sequence[tuple[str, str]], is_set_back: bool) -> Left:
    """Ask for the place of each group (``XINFO GROUPS``), and for all ids (``XRANGE``), at some places."""
    ids: set[str] = set()
    positions: dict[str, str] = {}
    for place, stream in places:
        if not await client.exists(stream):
            continue
        groups: list[dict[str, str]] = await client.xinfo_groups(stream)
        positions |= {place + row["name"]: row["last-delivered-id"] for row in groups}
        start = "-"
        while True:
            page: list[Entry] = await client.xrange(stream, min=start, count=_PAGE)  # type: ignore[assignment]
            ids.update(place + entry_id for entry_id, _ in page)
            if len(page) < _PAGE:
                break
            start = f"({page[-1][0]}"
    return Left(frozenset(ids), positions, is_set_back, tuple(place for place, _ in places))


async def watch_promotions(stage: Stage, course: Host, scenario: Scenario) -> None:
    """Tell what is lost whenever a replica of a cluster has taken the place of a primary that served a stream.

    A slot that was only moved, from one living primary to another, has lost nothing.
    """
    loop = asyncio.get_running_loop()
    slots = {place: key_slot(stream.encode()) for place, stream in scenario.places}
    before = await stage.answered(_nodes)
    while True:
        at = loop.time()  # whoever is promoted from now on has given nobody anything yet
        await asyncio.sleep(_LOOK_EVERY)
        now = await stage.answered(_nodes)
        primaries = {node["node_id"] for node in now if _is_primary(node)}
        gone = [node for node in before if node["node_id"] not in primaries]
        places = [(place, key) for place, key in scenario.places if any(_serves(node, slots[place]) for node in gone)]
        if places:
            if not all(any(_serves(node, slots[place]) for node in now) for place, _ in places):
                continue  # nobody has been promoted yet
            heard = len(course.log)
            left = await stage.answered(lambda client: look(client, places, is_set_back=True))  # noqa: B023
            course.forgot(left, heard, at)
        before = now


async def _nodes(client: Redis) -> list[dict[str, Any]]:
    """Return what a cluster knows of its servers (``CLUSTER NODES``)."""
    told: dict[str, dict[str, Any]] = await client.execute_command("CLUSTER NODES")  # type: ignore[no-untyped-call]
    return list(told.values())


def _is_primary(node: dict[str, Any]) -> bool:
    flags = node["flags"].split(",")
    return "master" in flags and "fail" not in flags


def _serves(node: dict[str, Any], slot: int) -> bool:
    """Tell whether a server, living, is the one for a slot: its slots are numbers, or the first and the last one."""
    return _is_primary(node) and any(int(first_last[0]) <= slot <= int(first_last[-1]) for first_last in node["slots"])
