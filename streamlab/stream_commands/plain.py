"""XADD, XREADGROUP and XACK in their plain form, without arguments to parse.

A simulation executes these three for every entry. They do what the grammar does for the same arguments
(a test compares the two): an entry with an id of its own (``*``) and no trimming, new entries (``>``) of
one stream, acknowledgements. An entry that is added while a reader waits for it goes straight to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any

from streamlab.stream_model import Fields, StoredEntry, StreamError, StreamId, StreamModel

from .arguments import CommandError
from .blocking import serve
from .keyspace import Waiter, no_group
from .reading import ReadRequest

if TYPE_CHECKING:
    from . import StreamCommands

#: An entry that is handed over to a reader that waits: its id, also as text, and its fields.
HandedOver = tuple[StreamId, str, dict[str, str]]

#: Up to so many fields, adding up pairs is faster than chaining them.
_FEW_FIELDS = 16


def flattened(key: Any, fields: dict[Any, Any]) -> Fields | None:
    """Return field, value, field, value …; None unless all of it and the key are text, with nothing to encode."""
    pairs = fields.items()
    flat: Fields = (
        sum(pairs, ()) if len(pairs) <= _FEW_FIELDS else tuple(chain.from_iterable(pairs))
    )
    try:
        "".join(flat)  # the fastest way to look at each of them
    except TypeError:
        return None
    return flat if type(key) is str else None


def add(db: StreamCommands, key: str, fields: dict[str, str], flat: Fields, now_ms: int) -> str:
    """Append an entry (``XADD key * …``), serve those who wait for it, and return its id.

    `flat` are the same fields as `flattened` gives them.
    """
    stream = db.keys.get(key)
    if type(stream) is not StreamModel:
        stream = db.stream_or_new(key)
    id_before = stream.last_id
    try:
        new_id = stream.add(flat, now_ms)
    except StreamError:  # there is no id above
        raise CommandError(
            "ERR The stream has exhausted the last possible ID, unable to add more items"
        ) from None
    text = "%d-%d" % new_id  # noqa: UP031  (format_id(), without a call)
    if db._ready:  # for those who wait, the key itself is new
        db._now_ms = now_ms
        db._serve_ready()
    elif queues := db._waiting.get(key):
        for name, queue in queues.items():
            for waiter in queue:  # the first of them
                group = stream.groups.get(name)  # type: ignore[arg-type]  # None: an XREAD
                if waiter.is_plain and group is not None and group.last_id == id_before:
                    # This entry is all that is new, and the reader asked for at least one: all that
                    # serving and reading would do is this.
                    del queue[waiter]
                    stream.deliver_one(group, waiter.request.consumer, new_id, now_ms)
                    waiter.on_ready((new_id, text, fields.copy()))
                else:
                    serve(db, key, {name: queue}, now_ms)
                break
    return text


def read_new(
    db: StreamCommands, key: str, request: ReadRequest, now_ms: Callable[[], int]
) -> list[StoredEntry]:
    """Deliver new entries of the stream at a key to a consumer (``XREADGROUP``); none if there are none."""
    name = request.group
    stream = db.keys.get(key)
    if type(stream) is not StreamModel:
        stream = db.stream(key)
    group = None if stream is None else stream.groups.get(name)  # type: ignore[arg-type]
    if stream is None or group is None:
        raise no_group(key, name or "", " in XREADGROUP with GROUP option")
    if group.last_id < stream.last_id:
        entries = stream.entries.after(group.last_id, request.count)
        if len(entries) == 1:
            stream.deliver_one(group, request.consumer, entries[0][0], now_ms())
            return entries
    elif not db.behaviour.consumers_made_early:
        return []
    return stream.read_group(group.name, request.consumer, now_ms(), request.count)


def queue(db: StreamCommands, request: ReadRequest) -> dict[Waiter, None]:
    """Return the queue that a read waits in (``BLOCK``), the first come first.

    What it is given in the end may be a `HandedOver` instead of a reply.
    """
    return db._waiting[request.keys[0]][request.group]


def ack(db: StreamCommands, key: str, group_name: str, ids: Iterable[StreamId]) -> int:
    """Take entries off the pending list (``XACK``), and return how many were on it."""
    stream = db.keys.get(key)
    if type(stream) is not StreamModel:
        stream = db.stream(key)
    if stream is None or group_name not in stream.groups:
        return 0
    return stream.ack(group_name, ids)


def new_entries(key: str, group: str, consumer: str, count: int, block_ms: int) -> ReadRequest:
    """Return the request for a group's new entries in one stream."""
    return ReadRequest((key,), ((key, ">"),), group, consumer, count, block_ms)
