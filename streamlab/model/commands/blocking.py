"""The readers that wait for entries: XREAD and XREADGROUP with BLOCK."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from streamlab.model import StreamModel, format_id

from .arguments import CommandError, Reply, entry_id
from .keyspace import BlockedCommand, Keyspace, ReadRequest, Waiter
from .reading import entries_reply, parse_read, position, read_now


def xread(db: Keyspace, args: Sequence[str], now_ms: int, may_block: bool) -> Reply | BlockedCommand:
    """Read new entries of streams, or wait for some."""
    request = parse_read(tuple(args), db.behaviour)
    reply = read_now(db, request, now_ms)
    if reply is not None or request.block_ms is None or not may_block:
        return reply
    waiter = BlockedCommand(request if request.group is not None else _with_fixed_ids(db, request))
    if request.claim_ms is not None:
        waiter.retry_at_ms = _claimable_at(db, request, now_ms)
    db.block(waiter)
    return waiter


def _with_fixed_ids(db: Keyspace, request: ReadRequest) -> ReadRequest:
    """Fix what an XREAD means now: ``$`` is the end of the stream at this moment."""
    fixed = ("$",) if db.behaviour.rerun_blocked else ("$", "+")
    places = [(key, format_id(position(db, key, text)[2]) if text in fixed else text) for key, text in request.places]
    return replace(request, places=tuple(places))


def serve(db: Keyspace, key: str, queues: dict[str | None, dict[Waiter, None]], now_ms: int) -> None:
    """Look which blocked readers of a key can go on now that the key has changed."""
    for group, queue in [*queues.items()]:
        if not queue:
            continue
        if db.behaviour.rerun_blocked:
            for waiter in list(queue):
                if waiter in queue:  # not cancelled meanwhile
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
        if isinstance(waiter, BlockedCommand) and waiter.request.claim_ms is not None:
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
        if waiter not in queue:  # cancelled meanwhile
            continue
        request = waiter.request
        after = entry_id(dict(reversed(request.places))[key])
        if stream.last_id > after:
            entries = stream.read(after, request.count or _COUNT_IN_PLACE)
            _end(db, waiter, [[key, entries_reply(entries)]])


def _serve_group_in_place(db: Keyspace, key: str, name: str, queue: dict[Waiter, None], now_ms: int) -> None:
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
    times = [db.group(key, request.group)[0].oldest_delivery_ms(request.group, now_ms) for key in request.keys]
    return min((time for time in times if time is not None), default=now_ms) + request.claim_ms
