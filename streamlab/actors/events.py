"""What actors tell about their work: `EventKind`, `Report`; and what they work with: `Entry`, `Fields`.

An actor calls its `Report` with the kind of event, its own name, and (where there is one) the entry's id and
delivery count. Whoever runs the actor decides what becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

#: What an entry holds.
Fields = Mapping[str, str]
#: An entry's id and its fields.
Entry = tuple[str, dict[str, str]]


class EventKind(StrEnum):
    """What can happen to an entry, an actor or a server."""

    # An entry's life.
    ADDED = "added"  #: a producer's XADD; its time is when it was sent
    DELIVERED = "delivered"  #: XREADGROUP gave it to a consumer
    PROCESSED = "processed"  #: the handler returned: the effect has happened
    ACKED = "acked"  #: XACK was answered
    CLAIMED = "claimed"  #: XCLAIM or XAUTOCLAIM gave it to another consumer
    DEAD_LETTERED = "dead_lettered"  #: given up, and moved to the dead-letter stream
    FAILED = "failed"  #: the handler raised an error; the entry stays pending
    VOID = "void"  #: XACK was answered with 0: nobody had it pending any more
    REJECTED = "rejected"  #: a fenced acknowledgement was refused: another consumer owns the entry
    TRIMMED = "trimmed"  #: removed from the stream (XTRIM, XDEL, DEL), whoever still needed it
    # An actor's life.
    STARTED = "started"
    STOPPED = "stopped"
    CRASHED = "crashed"
    PAUSED = "paused"
    RESUMED = "resumed"
    DISCONNECTED = "disconnected"  #: it lost its connection, and tries again
    RECREATED = "recreated"  #: it found the group gone and made it again; the id is where it begins
    REMOVED = "removed"  #: XGROUP DELCONSUMER; its count is how many entries were pending for it
    # What befalls the server, or what is done to the stream behind everybody's back; the actor is "lab".
    SERVER_DOWN = "server_down"
    SERVER_UP = "server_up"
    GROUP_DESTROYED = "group_destroyed"
    STREAM_DELETED = "stream_deleted"
    LOST = "lost"  #: the server has forgotten an entry that it had acknowledged
    SET_BACK = "set_back"  #: the group is as it once was; the id is the last one that it has delivered, "" for no group

    def __repr__(self) -> str:
        return repr(self.value)


# By themselves as well: they are compared with for every entry, and looking up a member of an enumeration
# takes as long as the comparison.
(
    ADDED, DELIVERED, PROCESSED, ACKED, CLAIMED, DEAD_LETTERED, FAILED, VOID, REJECTED, TRIMMED,
    STARTED, STOPPED, CRASHED, PAUSED, RESUMED, DISCONNECTED, RECREATED, REMOVED,
    SERVER_DOWN, SERVER_UP, GROUP_DESTROYED, STREAM_DELETED, LOST, SET_BACK,
) = EventKind  # fmt: skip


class Report(Protocol):
    """What an actor tells of its work by."""

    def __call__(
        self, kind: EventKind, actor: str, id: str = "", delivery_count: int = 0, at: float | None = None
    ) -> None:
        """Take note of an event; `at` is the event loop's time, None for now."""
