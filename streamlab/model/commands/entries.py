"""Commands on the entries of a stream: XADD, XRANGE, XDEL, XTRIM and their like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamlab.model import MAX_ID, MIN_ID, References, StreamError, StreamId, StreamModel
from streamlab.model.ids import parse_u64

from .arguments import (
    INVALID_ID,
    CommandError,
    Reply,
    as_c_string,
    count_of,
    entry_id,
    entry_ids,
    integer,
    interval_end,
    interval_start,
    syntax_error,
    wrong_arity,
)
from .keyspace import Keyspace
from .reading import entries_reply
from .references import reference_policy

_DEFAULT_TRIM_LIMIT = 100 * 100  # of approximate trimming: 100 nodes of 100 entries
_NO_SUCH_KEY = "ERR no such key"


@dataclass(slots=True)
class Trim:
    """What XADD and XTRIM say on trimming."""

    max_length: int | None = None
    min_id: StreamId | None = None
    approximate: bool = False
    limit: int | None = None
    references: References | None = None

    @property
    def is_given(self) -> bool:
        return self.max_length is not None or self.min_id is not None

    def apply(self, stream: StreamModel) -> int:
        """Trim a stream; return how many entries went."""
        limit = 0
        if self.approximate:
            limit = _DEFAULT_TRIM_LIMIT if self.limit is None else self.limit
        return stream.trim(
            max_length=self.max_length,
            min_id=self.min_id or MIN_ID,
            approximate=self.approximate,
            limit=limit,
            references=self.references or "KEEPREF",
        )


def xadd(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Append an entry."""
    key = args[1]
    trim = None
    create = True
    i = 2
    if args[2] != "*":
        trim = Trim()
        i, create = _parse_add_or_trim(db, args, trim, adding=True)
        if i == len(args):  # options only
            raise wrong_arity("xadd")
    id_text = args[i]
    new_id = None if id_text == "*" else _new_id(id_text)
    fields = tuple(args[i + 1 :])
    if not fields or len(fields) % 2:
        raise wrong_arity("xadd")
    if new_id == MIN_ID:
        raise CommandError("ERR The ID specified in XADD must be greater than 0-0")
    stream = db.stream(key)
    if stream is None:
        if not create:
            return None
        stream = db.stream_or_new(key)
    if stream.last_id == MAX_ID:
        raise CommandError("ERR The stream has exhausted the last possible ID, unable to add more items")
    try:
        if isinstance(new_id, int):
            new_id = stream.next_seq(new_id)
        new_id = stream.add(fields, now_ms, new_id)
    except StreamError as error:
        raise CommandError(f"ERR {error}") from None
    if trim is not None and trim.is_given:
        trim.apply(stream)
    db.signal(key)
    return "%d-%d" % new_id  # noqa: UP031 (fast)


def _new_id(text: str) -> StreamId | int:
    """Read the id of a new entry; of ``ms-*`` only the ms."""
    text = as_c_string(text)
    if len(text) < 128 and text.endswith("-*") and text.count("-") == 1:
        ms = parse_u64(text[:-2])
        if ms is None:
            raise CommandError(INVALID_ID)
        return ms
    return entry_id(text)


def _parse_add_or_trim(db: Keyspace, args: Sequence[str], trim: Trim, *, adding: bool) -> tuple[int, bool]:
    """Read the options of XADD or XTRIM; return where they end, and whether to create a stream."""
    create = True
    i = 2
    while i < len(args):
        option = args[i].lower()
        n_more = len(args) - i - 1
        if adding and option == "*":
            break
        if option in ("maxlen", "minid") and n_more:
            if trim.is_given:
                raise CommandError("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")
            i += 1
            trim.approximate = False
            if n_more >= 2 and args[i] in ("~", "="):
                trim.approximate = args[i] == "~"
                i += 1
            if option == "minid":
                trim.min_id = entry_id(args[i])
            else:
                trim.max_length = integer(args[i])
                if trim.max_length < 0:
                    raise CommandError("ERR The MAXLEN argument must be >= 0.")
        elif option == "limit" and n_more:
            i += 1
            trim.limit = integer(args[i])
            if trim.limit < 0:
                raise CommandError("ERR The LIMIT argument must be >= 0.")
        elif trim.references is None and (policy := reference_policy(db, option)) is not None:
            trim.references = policy
        elif adding and option == "nomkstream":
            create = False
        elif adding:
            _new_id(args[i])
            break
        else:
            raise syntax_error()
        i += 1
    _check_trim(trim, adding)
    return i, create


def _check_trim(trim: Trim, adding: bool) -> None:
    if trim.limit and not trim.is_given:
        raise CommandError("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
    if not adding and not trim.is_given:
        raise CommandError("ERR syntax error, XTRIM must be called with a trimming strategy")
    if trim.limit is not None and not trim.approximate:
        raise CommandError("ERR syntax error, LIMIT cannot be used without the special ~ option")


def xtrim(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Remove the oldest entries."""
    trim = Trim()
    _parse_add_or_trim(db, args, trim, adding=False)
    stream = db.stream(args[1])
    return 0 if stream is None else trim.apply(stream)


def xlen(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Return the number of entries."""
    stream = db.stream(args[1])
    return 0 if stream is None else len(stream)


def xrange(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Return entries by id, lowest first."""
    return _range(db, args, reverse=False)


def xrevrange(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Return entries by id, highest first."""
    return _range(db, args, reverse=True)


def _range(db: Keyspace, args: Sequence[str], *, reverse: bool) -> Reply:
    start_text, end_text = (args[3], args[2]) if reverse else (args[2], args[3])
    start = interval_start(start_text)
    end = interval_end(end_text)
    count = None
    for i in range(4, len(args), 2):
        if args[i].upper() != "COUNT" or i + 1 == len(args):
            raise syntax_error()
        count = count_of(args[i + 1])
    stream = db.stream(args[1])
    if stream is None:
        return []
    if count == 0:
        return None
    if reverse:
        return entries_reply(stream.reversed_range(end, start, count))
    return entries_reply(stream.range(start, end, count))


def xdel(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Delete entries by id."""
    stream = db.stream(args[1])
    if stream is None:
        return 0
    return stream.delete(entry_ids(args[2:]))


def xsetid(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Set a stream's last id, and what it remembers of the past."""
    last_id = entry_id(args[2])
    entries_added: int | None = None
    max_deleted_id = MIN_ID
    i = 3
    while i < len(args):
        option = args[i].upper()
        if option == "ENTRIESADDED" and i + 1 < len(args):
            entries_added = integer(args[i + 1])
            if entries_added < 0:
                raise CommandError("ERR entries_added must be positive")
        elif option == "MAXDELETEDID" and i + 1 < len(args):
            max_deleted_id = entry_id(args[i + 1])
            if last_id < max_deleted_id:
                raise CommandError("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
        else:
            raise syntax_error()
        i += 2
    stream = db.stream(args[1])
    if stream is None:
        raise CommandError(_NO_SUCH_KEY)
    try:
        stream.set_id(last_id, entries_added=entries_added, max_deleted_id=max_deleted_id)
    except StreamError as error:
        raise CommandError(f"ERR {error}") from None
    return "OK"
