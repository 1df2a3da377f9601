"""An entry's whole story, in words: who had it, when, and what happened to them meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streamlab.actors.events import EventKind as Kind
from streamlab.results.events import Event
from streamlab.results.final_state import FinalState
from streamlab.results.ledger import Ledger

#: What befalls everybody.
GENERAL: Final = (
    Kind.SERVER_DOWN, Kind.SERVER_UP, Kind.GROUP_DESTROYED, Kind.STREAM_DELETED, Kind.RECREATED, Kind.SET_BACK
)  # fmt: skip
#: What befalls an actor.
PERSONAL: Final = (Kind.STARTED, Kind.STOPPED, Kind.CRASHED, Kind.PAUSED, Kind.RESUMED, Kind.DISCONNECTED, Kind.REMOVED)

WORDS: Final = {
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
    Kind.LOST: "the server has forgotten it",
    Kind.SET_BACK: "the server is as it was at an earlier moment",
}
_GIVEN: Final = (Kind.DELIVERED, Kind.CLAIMED)
_LONGEST = 40


class Story:
    """What happened to an entry, told as events come. The run began at the `origin` of their times."""

    def __init__(self, entry_id: str, origin: float = 0.0) -> None:
        self.entry_id = entry_id
        self._origin = origin
        self._told: list[tuple[float, bool, str]] = []
        self._holders: set[str] = set()

    def read(self, event: Event) -> None:
        """Take note of an event, if it has to do with the entry."""
        kind, actor = event.kind, event.actor
        if kind in GENERAL:
            if self._told:
                self._tell(event)
        elif event.id == self.entry_id:
            self._tell(event)
            if kind in _GIVEN:
                self._holders.add(actor)
            elif kind in (Kind.ACKED, Kind.VOID, Kind.REJECTED, Kind.FAILED, Kind.DEAD_LETTERED):
                self._holders.discard(actor)
        elif actor in self._holders and kind in PERSONAL:
            self._tell(event)

    def _tell(self, event: Event) -> None:
        words = WORDS[event.kind].format(id=event.id)
        count = f" (delivery {event.delivery_count})" if event.id and event.delivery_count else ""
        at = event.at - self._origin
        # Before all that came of it at the same moment.
        self._told.append((at, event.kind != Kind.ADDED, f"{at:8.3f} s  {event.actor}: {words}{count}"))

    @property
    def lines(self) -> list[str]:
        """A line for each event; of a long story, its beginning and its end."""
        lines = [line for *_, line in sorted(self._told, key=lambda told: told[:2])]
        if len(lines) > _LONGEST:
            half = _LONGEST // 2
            lines[half:-half] = [f"… {len(lines) - _LONGEST} more …"]
        return lines


def story_of(entry_id: str, events: Iterable[Event], final: FinalState) -> tuple[str, ...]:
    """Return what happened to an entry, a line for each event, and where it is at the end."""
    story = Story(entry_id)
    for event in events:
        story.read(event)
    return (*story.lines, f"at the end  {_place(entry_id, final)}")


def _place(entry_id: str, final: FinalState) -> str:
    if entry_id in final.pending:
        return f"it is pending for {final.pending[entry_id]}"
    if entry_id in final.undelivered:
        return "nobody has been given it yet"
    if entry_id in final.dead_letters:
        return "it is in the dead-letter stream"
    return "it is not pending, and will not be delivered"


def place_now(entry_id: str, ledger: Ledger) -> str:
    """Return where an entry is, as far as events tell."""
    if owner := ledger.owner(entry_id):
        return f"it is pending for {owner}"
    if entry_id in ledger.trimmed:
        return "it has been removed from the stream"
    if entry_id in ledger.dead_lettered:
        return "it was given up"
    if entry_id in ledger.acked:
        return "it is acknowledged"
    return "it is not pending, and will not be delivered" if entry_id in ledger.last else "it waits in the stream"
