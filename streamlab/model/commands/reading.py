"""XREAD and XREADGROUP: what they say, and what there is for them now."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from streamlab.model import MAX_ID, MIN_ID, Behaviour, Fields, StreamId, StreamModel, format_id, previous_id

from .arguments import CommandError, Reply, count_of, entry_id, integer, syntax_error, timeout_ms
from .keyspace import Keyspace, ReadRequest, no_group

_NEW_ONLY = MAX_ID  # stands for ">", as in Redis

_READING = " in XREADGROUP with GROUP option"
_MEANINGLESS_IN_GROUP = (
    "ERR The {id} ID is meaningless in the context of XREADGROUP: you want to read the history of"
    " this consumer by specifying a proper ID, or use the > ID to get new messages. The {id} ID"
    " would just return an empty result set."
)
_NEW_WITHOUT_GROUP = (
    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option."
)


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
    places = tuple(zip(names[:half], names[half:], strict=True))
    is_simple = in_group and names[1:] == (">",) and claim_ms is None
    return ReadRequest(names[:half], places, group, consumer, count, block_ms, noack, claim_ms, is_simple)


def _only_in_group(option: str) -> CommandError:
    return CommandError(f"ERR The {option} option is only supported by XREADGROUP. You called XREAD instead.")


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
    return CommandError(f"ERR Unbalanced {command} list of streams: for each stream key an {ids} must be specified.")


def read_now(db: Keyspace, request: ReadRequest, now_ms: int) -> Reply:
    """Answer a read with what there is; None if there is nothing."""
    group = request.group
    if request.is_simple and group is not None:
        stream = db.stream(request.keys[0])
        if stream is None or group not in stream.groups:
            raise no_group(request.keys[0], group, _READING)
        new = stream.read_group(group, request.consumer, now_ms, request.count, noack=request.noack)
        return [[request.keys[0], entries_reply(new)]] if new else None
    if group is not None:
        return _read_group_now(db, request, group, now_ms)
    return _read_streams_now(db, request)


def _read_streams_now(db: Keyspace, request: ReadRequest) -> Reply:
    reply: list[Reply] = []
    # All keys and ids are looked at before anything is read: there may be an error in the last one.
    for key, stream, after in [position(db, key, text) for key, text in request.places]:
        if stream is not None:
            entries = stream.read(after, request.count)
            if entries:
                reply.append([key, entries_reply(entries)])
    return reply or None


def _read_group_now(db: Keyspace, request: ReadRequest, group: str, now_ms: int) -> Reply:
    consumer, count, claim_ms = request.consumer, request.count, request.claim_ms
    reply: list[Reply] = []
    found: Reply
    for key, stream, after in [_group_position(db, key, text, group) for key, text in request.places]:
        if after != _NEW_ONLY:
            claim_ms = None  # for the streams behind this one, too
            found = entries_reply(stream.history(group, consumer, after, now_ms, count))
        elif claim_ms is not None:
            found = _claim_and_read(stream, request, claim_ms, now_ms) or None
        else:
            new = stream.read_group(group, consumer, now_ms, count, noack=request.noack)
            found = entries_reply(new) if new else None
        if found is not None:
            reply.append([key, found])
    return reply or None


def _claim_and_read(stream: StreamModel, request: ReadRequest, min_idle_ms: int, now_ms: int) -> list[Reply]:
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


def position(db: Keyspace, key: str, text: str) -> tuple[str, StreamModel | None, StreamId]:
    """Return a key, its stream and the id behind which to read."""
    stream = db.stream(key)
    if text == "$":
        return key, stream, MIN_ID if stream is None else stream.last_id
    if text == "+" and db.behaviour.read_from_last:
        last = None if stream is None else stream.entries.last
        return key, stream, (previous_id(last[0]) or MIN_ID) if last else MIN_ID
    if text == ">":
        raise CommandError(_NEW_WITHOUT_GROUP)
    return key, stream, entry_id(text)


def _group_position(db: Keyspace, key: str, text: str, group: str) -> tuple[str, StreamModel, StreamId]:
    """Return a key, its stream, which has the group, and the id behind which to read."""
    stream = db.stream(key)
    if stream is None or group not in stream.groups:
        raise no_group(key, group, _READING)
    if text == ">":
        return key, stream, _NEW_ONLY
    if text == "$" or (text == "+" and db.behaviour.read_from_last):
        raise CommandError(_MEANINGLESS_IN_GROUP.format(id=text))
    return key, stream, entry_id(text)


def entries_reply(entries: Iterable[tuple[StreamId, Fields | None]]) -> Reply:
    """Shape entries as a reply; an entry that is no more has nil for its fields."""
    return [
        ["%d-%d" % entry_id, None if fields is None else list(fields)]  # noqa: UP031 (fast)
        for entry_id, fields in entries
    ]
