"""`StreamModel`: one stream with its consumer groups, as a pure state machine.

The executable specification of Redis Streams: no network, no clock, no threads. The command
grammar over it is `streamlab.model.commands`.
"""

from .entry_log import EntryLog, Fields, StoredEntry
from .groups import Group
from .ids import MAX_ID, MIN_ID, StreamId, format_id, next_id, parse_id, previous_id
from .model import References, StreamModel
from .pending import Consumer, Pending, PendingList
from .plain_stream import StreamError
from .versions import Behaviour

__all__ = [
    "MAX_ID",
    "MIN_ID",
    "Behaviour",
    "Consumer",
    "EntryLog",
    "Fields",
    "Group",
    "Pending",
    "PendingList",
    "References",
    "StoredEntry",
    "StreamError",
    "StreamId",
    "StreamModel",
    "format_id",
    "next_id",
    "parse_id",
    "previous_id",
]
