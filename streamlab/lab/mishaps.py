"""What befalls the stream behind everybody's back: the same commands on a simulated and on a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamlab.actors.events import GROUP_DESTROYED, STREAM_DELETED, TRIMMED, Report
from streamlab.results.statistics import id_key
from streamlab.scenario import Scenario
from streamlab.scenario.action import LAB, Action
from streamlab.scenario.actions import GroupDestroyed, StreamDeleted, TrimWhilePending

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def befall(action: Action[Any], client: Redis, scenario: Scenario, report: Report) -> tuple[str, str]:
    """Trim, or destroy the group or the stream; return the command as it would be typed, and its reply.

    Every entry that goes is reported as trimmed.
    """
    stream, known = scenario.stream, scenario.groups
    if isinstance(action, TrimWhilePending):
        groups = await client.xinfo_groups(stream) if await client.exists(stream) else []
        last = max((g["last-delivered-id"] for g in groups if g["name"] in known), key=id_key, default="0-0")
        delivered = await client.xrange(stream, max=last) or []
        ms, _, seq = last.partition("-")
        minid = f"{ms}-{int(seq) + 1}"
        if delivered:
            await client.xtrim(stream, minid=minid, approximate=False)
        _report_trimmed(report, delivered)
        return f"XTRIM {stream} MINID {minid}", str(len(delivered))
    if isinstance(action, GroupDestroyed):
        group = action.group or known.only("group={}")
        there = bool(await client.exists(stream))
        if there:
            await client.xgroup_destroy(stream, group)
            report(GROUP_DESTROYED, known.by_hand(group))
        return f"XGROUP DESTROY {stream} {group}", "1" if there else "0"
    if isinstance(action, StreamDeleted):
        pipe = client.pipeline(transaction=True)  # nothing may be added between the two
        pipe.xrange(stream)
        pipe.delete(stream)
        entries, n_deleted = await pipe.execute()
        report(STREAM_DELETED, LAB)
        _report_trimmed(report, entries)
        return f"DEL {stream}", str(n_deleted)
    raise TypeError(f"{action} is nothing that befalls the stream")


def _report_trimmed(report: Report, entries: Any) -> None:
    for entry_id, _ in entries:
        report(TRIMMED, LAB, entry_id)
