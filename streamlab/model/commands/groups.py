"""Commands on consumer groups: XGROUP, XACK, XPENDING, XCLAIM, XAUTOCLAIM."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streamlab.model import MIN_ID, Group, StoredEntry, StreamModel, format_id, parse_id

from .arguments import (
    CommandError,
    Reply,
    count_of,
    entry_id,
    entry_id_or_end,
    entry_ids,
    integer,
    interval_end,
    interval_start,
    shown,
    syntax_error,
    wrong_subcommand,
)
from .keyspace import Keyspace
from .reading import entries_reply

_KEY_REQUIRED = (
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use"
    " the MKSTREAM option to create an empty stream automatically."
)
_AUTOCLAIM_MAX_COUNT = ((1 << 63) - 1) // 16


def sorted_names(names: Iterable[str]) -> list[str]:
    """Sort names as Redis does: by their bytes."""
    return sorted(names, key=lambda name: name.encode(errors="surrogateescape"))


# --- XGROUP -----------------------------------------------------------------------------------


def xgroup_create(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Create a group."""
    _, _, key, name, id_text, *options = args
    entries_read, mkstream = _group_options(args, options, may_create=True)
    stream = db.stream(key)
    if stream is None and not mkstream:
        raise CommandError(_KEY_REQUIRED)
    if len(args) > 8:
        raise wrong_subcommand(args[0], args[1])
    end = MIN_ID if stream is None else stream.last_id
    last_id = end if id_text == "$" else entry_id(id_text)
    if stream is None:
        stream = db.stream_or_new(key)
    if stream.create_group(name, last_id, entries_read) is None:
        raise CommandError("BUSYGROUP Consumer Group name already exists")
    return "OK"


def xgroup_setid(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Move a group to another place in the stream."""
    _, _, key, name, id_text, *options = args
    entries_read, _ = _group_options(args, options, may_create=False)
    stream = _stream_with_group(db, key, name)
    if len(args) not in (5, 7):
        raise wrong_subcommand(args[0], args[1])
    last_id = stream.last_id if id_text == "$" else entry_id_or_end(id_text)
    stream.set_group_id(name, last_id, entries_read)
    return "OK"


def _group_options(args: Sequence[str], options: list[str], *, may_create: bool) -> tuple[int | None, bool]:
    """Read ENTRIESREAD and MKSTREAM."""
    entries_read = -1
    mkstream = False
    i = 0
    while i < len(options):
        option = options[i].upper()
        if may_create and option == "MKSTREAM":
            mkstream = True
            i += 1
        elif option == "ENTRIESREAD" and i + 1 < len(options):
            entries_read = integer(options[i + 1])
            if entries_read < -1:
                raise CommandError("ERR value for ENTRIESREAD must be positive or -1")
            i += 2
        else:
            raise wrong_subcommand(args[0], args[1])
    return (None if entries_read == -1 else entries_read), mkstream


def _stream_with_group(db: Keyspace, key: str, name: str) -> StreamModel:
    stream = db.stream(key)
    if stream is None:
        raise CommandError(_KEY_REQUIRED)
    if name not in stream.groups:
        raise no_such_group(key, name)
    return stream


def no_such_group(key: str, name: str) -> CommandError:
    return CommandError(f"NOGROUP No such consumer group '{shown(name)}' for key name '{shown(key)}'")


def xgroup_destroy(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Remove a group."""
    _, _, key, name = args
    stream = db.stream(key)
    if stream is None:
        raise CommandError(_KEY_REQUIRED)
    if not stream.destroy_group(name):
        return 0
    db.signal(key)
    return 1


def xgroup_createconsumer(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Create a consumer."""
    stream = _stream_with_group(db, args[2], args[3])
    return int(stream.create_consumer(args[3], args[4], now_ms))


def xgroup_delconsumer(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Remove a consumer and its pending entries."""
    stream = _stream_with_group(db, args[2], args[3])
    return stream.delete_consumer(args[3], args[4])


# --- acknowledging ----------------------------------------------------------------------------


def xack(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Acknowledge entries."""
    stream = db.stream(args[1])
    if stream is None or args[2] not in stream.groups:
        return 0
    return stream.ack(args[2], entry_ids(args[3:]))


# --- pending entries --------------------------------------------------------------------------


def xpending(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Summarise or list what is pending."""
    key, name, *options = args[1:]
    if not options:
        return _pending_summary(db.group(key, name)[1])
    if not 3 <= len(options) <= 6:
        raise syntax_error()
    min_idle_ms = 0
    if options[0].upper() == "IDLE":
        min_idle_ms = integer(options[1])
        options = options[2:]
        if len(options) < 3:
            raise syntax_error()
    count = count_of(options[2])
    start = interval_start(options[0])
    end = interval_end(options[1])
    stream, _ = db.group(key, name)
    consumer = options[3] if len(options) > 3 else None
    found = stream.pending(name, now_ms, start, end, count, consumer_name=consumer, min_idle_ms=min_idle_ms)
    return [
        [
            "%d-%d" % entry_id,  # noqa: UP031  (format_id(), without a call)
            pending.consumer.name,
            idle_ms if (idle_ms := now_ms - pending.delivered_at_ms) > 0 else 0,
            pending.delivery_count,
        ]
        for entry_id, pending in found
    ]


def _pending_summary(group: Group) -> Reply:
    first, last = group.pending.first(), group.pending.last()
    if first is None or last is None:
        return [0, None, None, None]
    consumers = (group.consumers[name] for name in sorted_names(group.consumers))
    shares: list[Reply] = [[c.name, str(len(c.pending))] for c in consumers if c.pending]
    return [len(group.pending), format_id(first), format_id(last), shares]


def xclaim(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Give pending entries to a consumer."""
    key, name, consumer_name, min_idle_text = args[1:5]
    stream, group = db.group(key, name)
    min_idle_ms = integer(min_idle_text, "ERR Invalid min-idle-time argument for XCLAIM")
    ids = []
    i = 5
    while i < len(args) and (parsed := parse_id(args[i])) is not None:
        ids.append(parsed)
        i += 1
    delivered_at_ms = delivery_count = -1
    last_id = MIN_ID
    force = justid = False
    while i < len(args):
        option = args[i].upper()
        has_value = i + 1 < len(args)
        if option == "FORCE":
            force = True
            i += 1
            continue
        if option == "JUSTID":
            justid = True
            i += 1
            continue
        if option not in ("IDLE", "TIME", "RETRYCOUNT", "LASTID") or not has_value:
            raise CommandError(f"ERR Unrecognized XCLAIM option '{shown(args[i])}'")
        value = args[i + 1]
        error = f"ERR Invalid {option} option argument for XCLAIM"
        if option == "IDLE":
            delivered_at_ms = now_ms - integer(value, error)
        elif option == "TIME":
            delivered_at_ms = integer(value, error)
        elif option == "RETRYCOUNT":
            delivery_count = integer(value, error)
        else:
            last_id = entry_id(value)
        i += 2
    group.last_id = max(group.last_id, last_id)
    # A time that cannot be is taken for now: the caller's clock may be ahead.
    if not 0 <= delivered_at_ms <= now_ms:
        delivered_at_ms = now_ms
    claimed = stream.claim(
        name,
        consumer_name,
        ids,
        now_ms,
        max(min_idle_ms, 0),
        delivered_at_ms=delivered_at_ms,
        delivery_count=delivery_count if delivery_count >= 0 else None,
        force=force,
        justid=justid,
    )
    return _claimed_reply(claimed, justid)


def xautoclaim(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Claim whatever is idle long enough."""
    key, name, consumer_name, min_idle_text, start_text, *options = args[1:]
    min_idle_ms = integer(min_idle_text, "ERR Invalid min-idle-time argument for XAUTOCLAIM")
    start = interval_start(start_text)
    count = 100
    justid = False
    i = 0
    while i < len(options):
        option = options[i].upper()
        if option == "COUNT" and i + 1 < len(options):
            error = "ERR COUNT must be > 0"
            count = integer(options[i + 1], error)
            if not 1 <= count <= _AUTOCLAIM_MAX_COUNT:
                raise CommandError(error)
            i += 2
        elif option == "JUSTID":
            justid = True
            i += 1
        else:
            raise syntax_error()
    stream, _ = db.group(key, name)
    cursor, claimed, deleted = stream.autoclaim(
        name, consumer_name, max(min_idle_ms, 0), start, now_ms, count, justid=justid
    )
    return [format_id(cursor), _claimed_reply(claimed, justid), list(map(format_id, deleted))]


def _claimed_reply(claimed: list[StoredEntry], justid: bool) -> Reply:
    if justid:
        return [format_id(claimed_id) for claimed_id, _ in claimed]
    return entries_reply(claimed)
