"""An entry's whole story, in words: who had it, when, and what happened to them meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streamlab.actors.events import (
    ACKED,
    ADDED,
    CLAIMED,
    CRASHED,
    DEAD_LETTERED,
    DELIVERED,
    DISCONNECTED,
    FAILED,
    GROUP_DESTROYED,
    PAUSED,
    PROCESSED,
    RECREATED,
    REJECTED,
    REMOVED,
    RESUMED,
    SERVER_DOWN,
    SERVER_UP,
    STARTED,
    STOPPED,
    STREAM_DELETED,
    TRIMMED,
    VOID,
)
from streamlab.results.events import Event
from streamlab.results.final_state import FinalState

#: What befalls everybody.
GENERAL: Final = (SERVER_DOWN, SERVER_UP, GROUP_DESTROYED, STREAM_DELETED, RECREATED)
#: What befalls an actor.
PERSONAL: Final = (STARTED, STOPPED, CRASHED, PAUSED, RESUMED, DISCONNECTED, REMOVED)

_WORDS: Final = {
    ADDED: "added it",
    DELIVERED: "was given it",
    CLAIMED: "took it over",
    PROCESSED: "had processed it",
    ACKED: "acknowledged it",
    DEAD_LETTERED: "moved it to the dead-letter stream",
    FAILED: "failed at it, and left it pending",
    VOID: "acknowledged it in vain: it was not pending any more",
    REJECTED: "was refused its acknowledgement: another one owned it by then",
    TRIMMED: "found it removed from the stream",
    STARTED: "started",
    STOPPED: "stopped",
    CRASHED: "died",
    PAUSED: "was paused",
    RESUMED: "went on",
    DISCONNECTED: "lost its connection",
    REMOVED: "was removed from the group",
    SERVER_DOWN: "the server went down",
    SERVER_UP: "the server came up",
    GROUP_DESTROYED: "the group was destroyed",
    STREAM_DELETED: "the stream was deleted",
    RECREATED: "recreated the group, from {id}",
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
            if kind in (DELIVERED, CLAIMED):
                holders.add(actor)
            elif kind in (ACKED, VOID, REJECTED, FAILED, DEAD_LETTERED):
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
