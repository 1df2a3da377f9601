"""XREAD and XREADGROUP, and the readers that wait for entries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from streamlab.stream_model import (
    MAX_ID,
    MIN_ID,
    Behaviour,
    Fields,
    StreamId,
    StreamModel,
    format_id,
    previous_id,
)

from .arguments import (
    CommandError,
    Reply,
    count_of,
    entry_id,
    integer,
    syntax_error,
    timeout_ms,
)
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
    claim_ms: int | None = None

    def places(self) -> Iterable[tuple[str, str]]:
        """Pair the keys with the ids."""
        return zip(self.keys, self.ids, strict=True)


def xread(db: Keyspace, args: Sequence[str], now_ms: int, may_block: bool) -> Reply | Waiter:
    """Read new entries of streams, or wait for some."""
    request = parse_read(tuple(args), db.behaviour)
    reply = read_now(db, request, now_ms)
    if reply is not None or request.block_ms is None or not may_block:
        return reply
    waiter = Waiter(_as_blocked(db, request))
    db.block(waiter)
    return waiter


@lru_cache(maxsize=1024)  # readers repeat themselves
def parse_read(args: tuple[str, ...], behaviour: Behaviour) -> ReadRequest:
    """Parse the arguments of XREAD or XREADGROUP."""
    command = args[0].upper()
    in_group = command == "XREADGROUP"
    group = None
    consumer = ""
    count = block_ms = claim_ms = None
    noack = False
    i = 1
    while i < len(args):
        option = args[i].upper()
        n_more = len(args) - i - 1
        if option == "CLAIM" and n_more and behaviour.claim_while_reading:
            if not in_group:
                raise _only_in_group(option)
            claim_ms = integer(args[i + 1], "ERR min-idle-time is not an integer or out of range")
            if claim_ms < 0:
                raise CommandError("ERR min-idle-time must be a positive integer")
            i += 2
        elif option == "BLOCK" and n_more:
            block_ms = timeout_ms(args[i + 1], behaviour)
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
        raise _unbalanced(command, behaviour)
    if not names:
        raise syntax_error()
    if in_group and group is None:
        raise CommandError("ERR Missing GROUP option for XREADGROUP")
    half = len(names) // 2
    return ReadRequest(
        names[:half], names[half:], group, consumer, count, block_ms, noack, claim_ms
    )


def _only_in_group(option: str) -> CommandError:
    return CommandError(
        f"ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
    )


def _unbalanced(command: str, behaviour: Behaviour) -> CommandError:
    ids = "ID or '$'"
    if behaviour.unbalanced_names_command:
        if command == "XREADGROUP":
            ids = "ID or '>'"
        elif behaviour.read_from_last:
            ids = "ID, '+', or '$'"
        command = f"'{command.lower()}'"
    else:
        command = "XREAD"
    return CommandError(
        f"ERR Unbalanced {command} list of streams: for each stream key an {ids} must be specified."
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
    claim_ms = request.claim_ms
    for key, (stream, after) in zip(request.keys, targets, strict=True):
        if after != _NEW_ONLY:
            claim_ms = None  # for the streams behind this one, too
            old = stream.history(request.group, request.consumer, after, now_ms, request.count)
            reply.append([key, entries_reply(old)])
        elif claim_ms is not None:
            found = _claim_and_read(stream, request, claim_ms, now_ms)
            if found:
                reply.append([key, found])
        else:
            new = stream.read_group(
                request.group, request.consumer, now_ms, request.count, noack=request.noack
            )
            if new:
                reply.append([key, entries_reply(new)])
    return reply or None


def _claim_and_read(
    stream: StreamModel, request: ReadRequest, min_idle_ms: int, now_ms: int
) -> list[Reply]:
    """Give a consumer what others left pending for long, and then what is new."""
    assert request.group is not None
    found: list[Reply] = [
        [format_id(entry_id), list(fields), idle_ms, delivery_count]
        for entry_id, fields, idle_ms, delivery_count in stream.claim_idle(
            request.group, request.consumer, min_idle_ms, now_ms, request.count
        )
    ]
    count = None if request.count is None else request.count - len(found)
    if count != 0:
        new = stream.read_group(request.group, request.consumer, now_ms, count, noack=request.noack)
        found += [[format_id(entry_id), list(fields), 0, 0] for entry_id, fields in new]
    return found


def _position(db: Keyspace, key: str, text: str) -> tuple[StreamModel | None, StreamId]:
    """Return a stream and the id behind which to read."""
    stream = db.stream(key)
    if text == "$":
        return stream, MIN_ID if stream is None else stream.last_id
    if text == "+" and db.behaviour.read_from_last:
        last = None if stream is None else stream.entries.last
        return stream, (previous_id(last[0]) or MIN_ID) if last else MIN_ID
    if text == ">":
        raise CommandError(_NEW_WITHOUT_GROUP)
    return stream, entry_id(text)


def _group_position(db: Keyspace, key: str, text: str, name: str) -> tuple[StreamModel, StreamId]:
    """Return a stream that has the group, and the id behind which to read."""
    stream, _ = db.group(key, name, " in XREADGROUP with GROUP option")
    if text == ">":
        return stream, _NEW_ONLY
    if text == "$" or (text == "+" and db.behaviour.read_from_last):
        raise CommandError(_MEANINGLESS_IN_GROUP.format(id=text))
    return stream, entry_id(text)


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
        stream.asking(group.name, request.consumer, now_ms)
        entries = stream.read_group(
            group.name, request.consumer, now_ms, count, noack=request.noack
        )
        _end(db, waiter, [[key, entries_reply(entries)]])


def _end(db: Keyspace, waiter: Waiter, reply: Reply | CommandError) -> None:
    db.cancel(waiter)
    waiter.on_ready(reply)
