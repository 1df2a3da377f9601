"""XREAD and XREADGROUP, and the readers that wait for entries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from streamlab.stream_model import (
    MAX_ID,
    MIN_ID,
    Fields,
    Group,
    StreamId,
    StreamModel,
    format_id,
    previous_id,
)

from .arguments import CommandError, Reply, count_of, entry_id, syntax_error, timeout_ms
from .keyspace import Keyspace, Waiter

_NEW_ONLY = MAX_ID  # stands for ">", as in Redis

_MEANINGLESS_IN_GROUP = (
    "ERR The {id} ID is meaningless in the context of XREADGROUP: you want to read the history of"
    " this consumer by specifying a proper ID, or use the > ID to get new messages. The {id} ID"
    " would just return an empty result set."
)
_NEW_WITHOUT_GROUP = (
    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group>"
    " <consumer> option."
)


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """The arguments of XREAD, or of XREADGROUP (which has a group)."""

    keys: tuple[str, ...]
    ids: tuple[str, ...]
    group: str | None = None
    consumer: str = ""
    count: int | None = None
    block_ms: int | None = None
    noack: bool = False

    def places(self) -> Iterable[tuple[str, str]]:
        """Pair the keys with the ids."""
        return zip(self.keys, self.ids, strict=True)


def xread(db: Keyspace, args: Sequence[str], now_ms: int, may_block: bool) -> Reply | Waiter:
    """Read new entries of streams, or wait for some."""
    request = parse_read(tuple(args), db.behaviour.read_from_last)
    reply = read_now(db, request, now_ms)
    if reply is not None or request.block_ms is None or not may_block:
        return reply
    waiter = Waiter(_as_blocked(db, request))
    db.block(waiter)
    return waiter


@lru_cache(maxsize=1024)  # readers repeat themselves
def parse_read(args: tuple[str, ...], knows_plus: bool) -> ReadRequest:
    """Parse the arguments of XREAD or XREADGROUP."""
    command = args[0].upper()
    in_group = command == "XREADGROUP"
    group = None
    consumer = ""
    count = block_ms = None
    noack = False
    i = 1
    while i < len(args):
        option = args[i].upper()
        n_more = len(args) - i - 1
        if option == "BLOCK" and n_more:
            block_ms = timeout_ms(args[i + 1])
            i += 2
        elif option == "COUNT" and n_more:
            count = count_of(args[i + 1]) or None
            i += 2
        elif option == "STREAMS" and n_more:
            break
        elif option == "GROUP" and n_more >= 2:
            if not in_group:
                raise _only_in_group(option)
            group, consumer = args[i + 1 : i + 3]
            i += 3
        elif option == "NOACK":
            if not in_group:
                raise _only_in_group(option)
            noack = True
            i += 1
        else:
            raise syntax_error()
    names = args[i + 1 :]
    if len(names) % 2:
        raise _unbalanced(command, knows_plus)
    if not names:
        raise syntax_error()
    if in_group and group is None:
        raise CommandError("ERR Missing GROUP option for XREADGROUP")
    half = len(names) // 2
    return ReadRequest(names[:half], names[half:], group, consumer, count, block_ms, noack)


def _only_in_group(option: str) -> CommandError:
    return CommandError(
        f"ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
    )


def _unbalanced(command: str, knows_plus: bool) -> CommandError:
    in_group = command == "XREADGROUP"
    if knows_plus:
        ids = "ID or '>'" if in_group else "ID, '+', or '$'"
    else:
        ids = "ID or '>'" if in_group else "ID or '$'"
    return CommandError(
        f"ERR Unbalanced '{command.lower()}' list of streams: for each stream key an {ids} must be"
        " specified."
    )


def read_now(db: Keyspace, request: ReadRequest, now_ms: int) -> Reply:
    """Answer a read with what there is; None if there is nothing."""
    reply: list[Reply] = []
    if request.group is None:
        positions = [_position(db, *place) for place in request.places()]
        for key, (stream, after) in zip(request.keys, positions, strict=True):
            if stream is not None:
                entries = stream.read(after, request.count)
                if entries:
                    reply.append([key, entries_reply(entries)])
        return reply or None

    targets = [_group_position(db, *place, request.group) for place in request.places()]
    for key, (stream, group, after) in zip(request.keys, targets, strict=True):
        is_history = after != _NEW_ONLY
        if is_history or stream.has_new(group):
            delivered = deliver(stream, group, request, after, now_ms)
            reply.append([key, entries_reply(delivered)])
        elif db.behaviour.consumer_on_empty_read:
            stream.consumer(group, request.consumer, now_ms)
    return reply or None


def deliver(
    stream: StreamModel, group: Group, request: ReadRequest, after: StreamId, now_ms: int
) -> Sequence[tuple[StreamId, Fields | None]]:
    """Give a consumer new entries, or its own history."""
    consumer = stream.consumer(group, request.consumer, now_ms)
    if after == _NEW_ONLY:
        return stream.read_group(group, consumer, now_ms, request.count, noack=request.noack)
    return stream.history(consumer, after, now_ms, request.count)


def _position(db: Keyspace, key: str, text: str) -> tuple[StreamModel | None, StreamId]:
    """Return a stream and the id behind which to read."""
    stream = db.stream(key)
    if text == "$":
        return stream, stream.last_id if stream else MIN_ID
    if text == "+" and db.behaviour.read_from_last:
        last = stream.entries.last if stream else None
        return stream, (previous_id(last[0]) or MIN_ID) if last else MIN_ID
    if text == ">":
        raise CommandError(_NEW_WITHOUT_GROUP)
    return stream, entry_id(text)


def _group_position(
    db: Keyspace, key: str, text: str, name: str
) -> tuple[StreamModel, Group, StreamId]:
    """Return a stream, its group, and the id behind which to read."""
    stream, group = db.group(key, name, " in XREADGROUP with GROUP option")
    if text == ">":
        return stream, group, _NEW_ONLY
    if text == "$" or (text == "+" and db.behaviour.read_from_last):
        raise CommandError(_MEANINGLESS_IN_GROUP.format(id=text))
    return stream, group, entry_id(text)


def entries_reply(entries: Iterable[tuple[StreamId, Fields | None]]) -> Reply:
    """Shape entries as a reply; an entry that is no more has nil for its fields."""
    return [
        [format_id(entry_id), None if fields is None else list(fields)]
        for entry_id, fields in entries
    ]


# --- blocked readers --------------------------------------------------------------------------


def _as_blocked(db: Keyspace, request: ReadRequest) -> ReadRequest:
    """Fix what the request means now: ``$`` is the end of the stream at this moment."""
    if request.group is not None:
        return request
    fixed = ("$",) if db.behaviour.rerun_blocked else ("$", "+")
    ids = [
        format_id(_position(db, key, text)[1]) if text in fixed else text
        for key, text in request.places()
    ]
    return replace(request, ids=tuple(ids))


def serve(db: Keyspace, key: str, waiter: Waiter, now_ms: int) -> None:
    """Look whether a blocked reader can go on now that one of its keys has changed."""
    if db.behaviour.rerun_blocked:
        _serve_by_rerun(db, key, waiter, now_ms)
    else:
        _serve_in_place(db, key, waiter, now_ms)


def _serve_by_rerun(db: Keyspace, key: str, waiter: Waiter, now_ms: int) -> None:
    if waiter.request.group is None and not isinstance(db.keys.get(key), StreamModel):
        return
    db.cancel(waiter)
    try:
        reply = read_now(db, waiter.request, now_ms)
    except CommandError as error:
        waiter.on_ready(error)
        return
    if reply is None:
        db.block(waiter)  # at the end of the queue again, as in Redis
    else:
        waiter.on_ready(reply)


def _serve_in_place(db: Keyspace, key: str, waiter: Waiter, now_ms: int) -> None:
    request = waiter.request
    stream = db.keys.get(key)
    if not isinstance(stream, StreamModel):
        if request.group is not None:
            _end(db, waiter, CommandError("UNBLOCKED the stream key no longer exists"))
        return
    count = request.count or 1000  # so that a reader that waited is not buried
    if request.group is None:
        after = entry_id(request.ids[request.keys.index(key)])
        if stream.last_id > after:
            _end(db, waiter, [[key, entries_reply(stream.read(after, count))]])
        return
    group = stream.groups.get(request.group)
    if group is None:
        message = "NOGROUP the consumer group this client was blocked on no longer exists"
        _end(db, waiter, CommandError(message))
    elif stream.last_id > group.last_id:
        consumer = stream.consumer(group, request.consumer, now_ms)
        entries = stream.read_group(group, consumer, now_ms, count, noack=request.noack)
        _end(db, waiter, [[key, entries_reply(entries)]])


def _end(db: Keyspace, waiter: Waiter, reply: Reply | CommandError) -> None:
    db.cancel(waiter)
    waiter.on_ready(reply)
