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
from .keyspace import Keyspace, Waiter, no_group

_NEW_ONLY = MAX_ID  # stands for ">", as in Redis

_READING = " in XREADGROUP with GROUP option"
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
    places: tuple[tuple[str, str], ...]  # the keys, and the ids behind which to read
    group: str | None = None
    consumer: str = ""
    count: int | None = None
    block_ms: int | None = None
    noack: bool = False
    claim_ms: int | None = None
    is_simple: bool = False  # new entries of one key, for a group, without CLAIM


def xread(db: Keyspace, args: Sequence[str], now_ms: int, may_block: bool) -> Reply | Waiter:
    """Read new entries of streams, or wait for some."""
    request = parse_read(tuple(args), db.behaviour)
    reply = read_now(db, request, now_ms)
    if reply is not None or request.block_ms is None or not may_block:
        return reply
    waiter = Waiter(request if request.group is not None else _with_fixed_ids(db, request))
    if request.claim_ms is not None:
        waiter.retry_at_ms = _claimable_at(db, request, now_ms)
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
    places = tuple(zip(names[:half], names[half:], strict=True))
    is_simple = in_group and names[1:] == (">",) and claim_ms is None
    return ReadRequest(
        names[:half], places, group, consumer, count, block_ms, noack, claim_ms, is_simple
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
    for key, stream, after in [_position(db, key, text) for key, text in request.places]:
        if stream is not None:
            entries = stream.read(after, request.count)
            if entries:
                reply.append([key, entries_reply(entries)])
    return reply or None


def _read_group_now(db: Keyspace, request: ReadRequest, group: str, now_ms: int) -> Reply:
    consumer, count, claim_ms = request.consumer, request.count, request.claim_ms
    reply: list[Reply] = []
    found: Reply
    for key, stream, after in [
        _group_position(db, key, text, group) for key, text in request.places
    ]:
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


def _position(db: Keyspace, key: str, text: str) -> tuple[str, StreamModel | None, StreamId]:
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


def _group_position(
    db: Keyspace, key: str, text: str, group: str
) -> tuple[str, StreamModel, StreamId]:
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


# --- blocked readers --------------------------------------------------------------------------


def _with_fixed_ids(db: Keyspace, request: ReadRequest) -> ReadRequest:
    """Fix what an XREAD means now: ``$`` is the end of the stream at this moment."""
    fixed = ("$",) if db.behaviour.rerun_blocked else ("$", "+")
    places = [
        (key, format_id(_position(db, key, text)[2]) if text in fixed else text)
        for key, text in request.places
    ]
    return replace(request, places=tuple(places))


def serve(
    db: Keyspace, key: str, queues: dict[str | None, dict[Waiter, None]], now_ms: int
) -> None:
    """Look which blocked readers of a key can go on now that the key has changed."""
    for group, queue in [*queues.items()]:
        if not queue:
            continue
        if db.behaviour.rerun_blocked:
            for waiter in list(queue):
                rerun(db, key, waiter, now_ms)
        elif group is not None:
            _serve_group_in_place(db, key, group, queue, now_ms)
        else:
            _serve_in_place(db, key, queue)


def rerun(db: Keyspace, key: str, waiter: Waiter, now_ms: int) -> None:
    """Execute a blocked read again (from Redis 7.2 on)."""
    if waiter.request.group is None and not isinstance(db.keys.get(key), StreamModel):
        return
    answer: Reply | CommandError
    try:
        answer = read_now(db, waiter.request, now_ms)
    except CommandError as error:
        answer = error
    db.cancel(waiter)
    if answer is None:
        if waiter.request.claim_ms is not None:
            waiter.retry_at_ms = _claimable_at(db, waiter.request, now_ms)
        db.block(waiter)  # at the end of the queue again, as in Redis
    else:
        waiter.on_ready(answer)


_COUNT_IN_PLACE = 1000  # unless COUNT is given: a reader that waited shall not be buried


def _serve_in_place(db: Keyspace, key: str, queue: dict[Waiter, None]) -> None:
    """Give blocked XREADs what the key has for them (before Redis 7.2)."""
    stream = db.keys.get(key)
    if not isinstance(stream, StreamModel):
        return
    for waiter in list(queue):
        request = waiter.request
        after = entry_id(dict(reversed(request.places))[key])
        if stream.last_id > after:
            entries = stream.read(after, request.count or _COUNT_IN_PLACE)
            _end(db, waiter, [[key, entries_reply(entries)]])


def _serve_group_in_place(
    db: Keyspace, key: str, name: str, queue: dict[Waiter, None], now_ms: int
) -> None:
    """Give blocked XREADGROUPs what the key has for them, first come, first served."""
    stream = db.keys.get(key)
    group = stream.groups.get(name) if isinstance(stream, StreamModel) else None
    if not isinstance(stream, StreamModel) or group is None:
        message = (
            "NOGROUP the consumer group this client was blocked on no longer exists"
            if isinstance(stream, StreamModel)
            else "UNBLOCKED the stream key no longer exists"
        )
        for waiter in list(queue):
            _end(db, waiter, CommandError(message))
        return
    while queue and stream.last_id > group.last_id:
        waiter = next(iter(queue))
        request = waiter.request
        count = request.count or _COUNT_IN_PLACE
        new = stream.read_group(name, request.consumer, now_ms, count, noack=request.noack)
        if not new:  # the last entries have been deleted already
            group.asking(request.consumer, now_ms)
        db.cancel(waiter)
        waiter.on_ready([[key, entries_reply(new)]])


def _end(db: Keyspace, waiter: Waiter, answer: Reply | CommandError) -> None:
    db.cancel(waiter)
    waiter.on_ready(answer)


def _claimable_at(db: Keyspace, request: ReadRequest, now_ms: int) -> int:
    """Return when the first pending entry will have been idle for as long as CLAIM says."""
    assert request.claim_ms is not None
    assert request.group is not None
    times = [
        db.group(key, request.group)[0].oldest_delivery_ms(request.group, now_ms)
        for key in request.keys
    ]
    return min((time for time in times if time is not None), default=now_ms) + request.claim_ms
