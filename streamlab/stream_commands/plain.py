"""XADD, XREADGROUP and XACK in their plain form, without arguments to parse.

A simulation executes these three for every entry. They do what the grammar does for the same arguments
(a test compares the two): an entry with an id of its own (``*``) and no trimming, new entries (``>``) of
one stream, acknowledgements.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from streamlab.stream_model import MAX_ID, Fields, StoredEntry, StreamModel, format_id

from .arguments import CommandError, entry_id
from .keyspace import Waiter, no_group
from .reading import ReadRequest

if TYPE_CHECKING:
    from . import StreamCommands


def add(db: StreamCommands, key: str, fields: Fields, now_ms: int) -> str:
    """Append an entry (``XADD key * …``), serve those who wait for it, and return its id."""
    stream = db.keys.get(key)
    if type(stream) is not StreamModel:
        stream = db.stream_or_new(key)
    if stream.last_id == MAX_ID:
        raise CommandError(
            "ERR The stream has exhausted the last possible ID, unable to add more items"
        )
    new_id = stream.add(fields, now_ms)
    db.signal(key)
    if db._ready:
        db._now_ms = now_ms
        db._serve_ready()
    return format_id(new_id)


def read_new(db: StreamCommands, request: ReadRequest, now_ms: int) -> list[StoredEntry] | Waiter:
    """Deliver new entries of one stream to a consumer, or let it wait (``XREADGROUP … BLOCK``)."""
    key, group = request.keys[0], request.group or ""
    stream = db.stream(key)
    if stream is None or group not in stream.groups:
        raise no_group(key, group, " in XREADGROUP with GROUP option")
    entries = stream.read_group(group, request.consumer, now_ms, request.count)
    if entries:
        return entries
    waiter = Waiter(request)
    db.block(waiter)
    return waiter


def ack(db: StreamCommands, key: str, group_name: str, ids: Iterable[str]) -> int:
    """Take entries off the pending list (``XACK``), and return how many were on it."""
    stream = db.stream(key)
    if stream is None or group_name not in stream.groups:
        return 0
    return stream.ack(group_name, map(entry_id, ids))


@lru_cache(maxsize=1024)  # readers repeat themselves
def new_entries(key: str, group: str, consumer: str, count: int, block_ms: int) -> ReadRequest:
    """Return the request for a group's new entries in one stream."""
    return ReadRequest((key,), ((key, ">"),), group, consumer, count, block_ms)
