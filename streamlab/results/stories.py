"""An entry's whole story, in words: who had it, when, and what happened to them meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streamlab.actors.events import EventKind as Kind
from streamlab.results.events import Event
from streamlab.results.final_state import FinalState

#: What befalls everybody.
GENERAL: Final = (Kind.SERVER_DOWN, Kind.SERVER_UP, Kind.GROUP_DESTROYED, Kind.STREAM_DELETED, Kind.RECREATED)
#: What befalls an actor.
PERSONAL: Final = (Kind.STARTED, Kind.STOPPED, Kind.CRASHED, Kind.PAUSED, Kind.RESUMED, Kind.DISCONNECTED, Kind.REMOVED)

_WORDS: Final = {
    Kind.ADDED: "added it",
    Kind.DELIVERED: "was given it",
    Kind.CLAIMED: "took it over",
    Kind.PROCESSED: "had processed it",
    Kind.ACKED: "acknowledged it",
    Kind.DEAD_LETTERED: "moved it to the dead-letter stream",
    Kind.FAILED: "failed at it, and left it pending",
    Kind.VOID: "acknowledged it in vain: it was not pending any more",
    Kind.REJECTED: "was refused its acknowledgement: another one owned it by then",
    Kind.TRIMMED: "found it removed from the stream",
    Kind.STARTED: "started",
    Kind.STOPPED: "stopped",
    Kind.CRASHED: "died",
    Kind.PAUSED: "was paused",
    Kind.RESUMED: "went on",
    Kind.DISCONNECTED: "lost its connection",
    Kind.REMOVED: "was removed from the group",
    Kind.SERVER_DOWN: "the server went down",
    Kind.SERVER_UP: "the server came up",
    Kind.GROUP_DESTROYED: "the group was destroyed",
    Kind.STREAM_DELETED: "the stream was deleted",
    Kind.RECREATED: "recreated the group, from {id}",
}
_LONGEST = 40


def story_of(entry_id: str, events: Iterable[Event], final: FinalState) -> tuple[str, ...]:
    """Return what happened to an entry, a line for each event, and where it is at the end."""
    lines: list[str] = []
    holders: set[str] = set()
    for event in events:
        kind, actor = event.kind, event.actor
        if kind in GENERAL:
            if lines:
                lines.append(_line(event))
        elif event.id == entry_id:
            lines.append(_line(event))
            if kind in (Kind.DELIVERED, Kind.CLAIMED):
                holders.add(actor)
            elif kind in (Kind.ACKED, Kind.VOID, Kind.REJECTED, Kind.FAILED, Kind.DEAD_LETTERED):
                holders.discard(actor)
        elif actor in holders and kind in PERSONAL:
            lines.append(_line(event))
    if len(lines) > _LONGEST:
        half = _LONGEST // 2
        lines[half:-half] = [f"… {len(lines) - _LONGEST} more …"]
    return (*lines, f"at the end  {_place(entry_id, final)}")


def _line(event: Event) -> str:
    words = _WORDS[event.kind].format(id=event.id)
    count = f" (delivery {event.delivery_count})" if event.delivery_count else ""
    return f"{event.at:8.3f} s  {event.actor}: {words}{count}"


def _place(entry_id: str, final: FinalState) -> str:
    if entry_id in final.pending:
        return f"it is pending for {final.pending[entry_id]}"
    if entry_id in final.undelivered:
        return "nobody has been given it yet"
    if entry_id in final.dead_letters:
        return "it is in the dead-letter stream"
    return "it is not pending, and will not be delivered"
