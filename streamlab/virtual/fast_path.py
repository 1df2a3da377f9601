"""What a simulation executes for every entry: XADD, XREADGROUP and XACK, without arguments to build and to parse.

`FastPath` is the part of `SimulatedRedis` that does nothing new. Each command here does what redis-py's own would
do by way of the grammar, if the command has its plain form and nothing can go wrong on its way: an entry with an
id of its own (``*``), new entries (``>``) of one stream, the acknowledgement of one entry. The rest it leaves to
redis-py and the grammar. Each is written out in one piece, since a call costs as much as what it does. A test holds
the two together.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator
from itertools import chain
from typing import Any

import redis.asyncio
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError

from streamlab.model import Fields, StoredEntry, StreamError, StreamId, StreamModel, format_id
from streamlab.model.commands import CommandError, ReadRequest, Waiter, serve
from streamlab.virtual.loop import VirtualLoop
from streamlab.virtual.task import Promise


class _Read(Promise, Waiter):
    """A read in its plain form that a client sends again and again, and may wait for in a `VirtualLoop`.

    What it is given in the end may be a `_HandedOver` instead of a reply.
    """

    __slots__ = (
        "is_awaited", "is_plain", "key", "leaves_traces", "queue", "request", "server", "waiting"
    )  # fmt: skip
    retry_at_ms = None
    on_ready = Promise.set_result

    def __init__(self, server: Any, request: ReadRequest) -> None:
        super().__init__(server.loop)
        db = server.commands
        self.server = server
        self.request = request
        (self.key,) = request.keys
        self.is_awaited = False
        #: The reads that wait equally long, and the queue of its group at the key: see `line_up`.
        self.waiting: Any = None
        self.queue: dict[Waiter, None] = {}
        # From Redis 7.2 on the command is run again, whatever has changed.
        self.is_plain = not db.behaviour.rerun_blocked
        #: Whether a read that finds nothing is remembered all the same.
        self.leaves_traces = db.behaviour.consumers_made_early

    def line_up(self) -> Any:
        """Find out where to wait, when that is needed for the first time: the first to wait are served first."""
        self.waiting = self.server.waiting(self.request.block_ms or 0)
        self.queue = self.server.commands.queues[self.key][self.request.group]
        return self.waiting


#: What is surely within every limit for COUNT and BLOCK.
_MOST = 10**12

#: Up to so many fields, adding up pairs is faster than chaining them.
_FEW_FIELDS = 16

#: An entry that is handed over to a read that waits: its id, also as text, and its fields.
_HandedOver = tuple[StreamId, str, dict[str, str]]


class FastPath(redis.asyncio.Redis):
    """XADD, XREADGROUP and XACK of a `SimulatedRedis`, each in the form that a simulation executes for every entry.

    What is not of that form, or would be answered with an error, is left to redis-py's own method.
    """

    server: Any  #: the `SimulatedServer`
    #: Where the fast path may be taken; None: nowhere.
    _loop: VirtualLoop | None
    #: Whether a command has to be looked at before and after it is executed.
    _is_troubled: bool
    _check_way_back: Any  #: loses the reply to a command, if that is due

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._loop = None
        self._is_troubled = False
        #: The round of the loop in which this client had its last command executed.
        self._last_round: int | None = None
        #: What the last read asked for, and as a read in its plain form, if it has one.
        self._last_asked: tuple[Any, ...] = ()
        self._read: _Read | None = None
        #: The entries that the last read gave, and their ids as the model knows them: XACK names them next.
        self._given: dict[str, StreamId] = {}

    async def xadd(
        self, name: Any, fields: Any, id: Any = "*", maxlen: int | None = None, *more: Any, **options: Any
    ) -> Any:
        """Append an entry (``XADD``) and return its id."""
        loop, server = self._loop, self.server
        stream = None
        if type(fields) is dict:
            pairs = fields.items()
            try:
                stream = server.reached.get(name)
                flat: Fields = sum(pairs, ()) if len(pairs) <= _FEW_FIELDS else tuple(chain(*pairs))
                "".join(flat)  # the fastest way to look at each of them
            except TypeError:  # not all of it is text: there is something to encode, or to refuse
                stream = None
        if (
            type(stream) is not StreamModel
            or not flat
            or loop is None
            or id != "*"
            or maxlen is not None
            or more
            or options
        ):
            return await super().xadd(name, fields, id, maxlen, *more, **options)
        id_before = stream.last_id
        now_ms = server.epoch_ms + int(loop.now * 1000 + 0.001)  # now_ms(), without a call
        try:
            new_id = stream.add(flat, now_ms)
        except StreamError:  # there is no id above
            return await super().xadd(name, fields)
        server.n_alone += 1
        text = "%d-%d" % new_id  # noqa: UP031  (format_id(), without a call)
        # Those who wait for it are served at once, one of each group: the first of its queue.
        for name_of_group, queue in server.commands.queues[name].items():
            for waiter in queue:
                group = stream.groups.get(name_of_group)
                if waiter.is_plain and group is not None and group.last_id == id_before:
                    # This entry is all that is new for them: serving and reading would do just this.
                    del queue[waiter]
                    stream.deliver_one(group, waiter.request.consumer, new_id, now_ms)
                    waiter.on_ready((new_id, text, fields.copy()))
                else:
                    serve(server.commands, name, {name_of_group: queue}, now_ms)
                break
        if loop.rounds == self._last_round:
            await self._give_turn("XADD")
        self._last_round = loop.rounds
        return text

    async def xreadgroup(
        self,
        groupname: Any,
        consumername: Any,
        streams: Any,
        count: int | None = None,
        block: int | None = None,
        *more: Any,
        **options: Any,
    ) -> Any:
        """Read entries as a consumer of a group (``XREADGROUP``)."""
        loop, server = self._loop, self.server
        if (groupname, consumername, streams, count, block) != self._last_asked:
            self._note_asked(groupname, consumername, streams, count, block)
        read = self._read  # readers repeat themselves
        group = None
        if read is not None:
            stream = server.reached.get(read.key)
            if type(stream) is StreamModel:
                group = stream.groups.get(groupname)
        if (
            read is None
            or group is None
            or loop is None
            or not loop.in_task
            or read.is_awaited  # by another task of this client
            or more
            or options
        ):
            return await super().xreadgroup(groupname, consumername, streams, count, block, *more, **options)
        server.n_alone += 1
        found: list[StoredEntry] = []
        if group.last_id < stream.last_id:
            found = stream.entries.after(group.last_id, count)
        if len(found) == 1:
            stream.deliver_one(group, consumername, found[0][0], server.now_ms())
        elif found or read.leaves_traces:
            found = stream.read_group(groupname, consumername, server.now_ms(), count)
        if found:
            if loop.rounds == self._last_round:
                await self._give_turn("XREADGROUP")
            self._last_round = loop.rounds
            if len(found) == 1:
                ((given_id, flat),) = found
                text = "%d-%d" % given_id  # noqa: UP031  (format_id(), without a call)
                self._given = {text: given_id}
                return [[read.key, [(text, _as_dict(flat))]]]
            self._given = {format_id(given_id): given_id for given_id, _ in found}
            entries = [(i, _as_dict(f)) for i, (_, f) in zip(self._given, found, strict=True)]
            return [[read.key, entries]]
        # As _wait() does, without a coroutine more.
        waiting = read.waiting or read.line_up()
        if not waiting.has_timer:
            waiting.set_timer()
        waiting.reads[read] = loop.now, self, read, read
        read.queue[read] = None
        read.is_awaited = True
        try:
            reply = await read.wait()
        except asyncio.CancelledError:
            read.queue.pop(read, None)
            raise
        finally:
            del waiting.reads[read]
            read.is_awaited = False
        if self._is_troubled and not isinstance(reply, CommandError | ConnectionLost):
            self._check_way_back("XREADGROUP")  # it has been troubled meanwhile
        if type(reply) is tuple:
            given_id, text, fields = reply
            self._given = {text: given_id}
            return [[read.key, [(text, fields)]]]
        if isinstance(reply, CommandError):
            raise as_redis_error(reply)
        if isinstance(reply, ConnectionLost):
            raise reply.error()
        return [[read.key, [(i, _as_dict(f)) for i, f in reply[0][1]]]] if reply else []

    def _note_asked(self, group: Any, consumer: Any, streams: Any, count: Any, block: Any) -> None:
        request = _plain_request(group, consumer, streams, count, block)
        self._read = None
        if request is not None and self._loop is not None:
            self._read = _Read(self.server, request)
        streams_asked = dict(streams) if isinstance(streams, dict) else None
        self._last_asked = group, consumer, streams_asked, count, block

    async def xack(self, name: Any, groupname: Any, *ids: Any) -> Any:
        """Acknowledge entries (``XACK``) and return how many were pending."""
        loop, server = self._loop, self.server
        group = given_id = None
        try:
            if len(ids) == 1:
                given_id = self._given.get(ids[0])
            stream = server.reached.get(name)
            if type(stream) is StreamModel:
                group = stream.groups.get(groupname)
        except TypeError:  # something that cannot be hashed: redis-py refuses it
            group = None
        if group is None or given_id is None or loop is None:
            return await super().xack(name, groupname, *ids)
        server.n_alone += 1
        n_acked = group.ack_one(given_id)
        if loop.rounds == self._last_round:
            await self._give_turn("XACK")
        self._last_round = loop.rounds
        return n_acked

    async def _give_turn(self, command: str) -> None:
        """Let all others who can have their turn, which may do something to the reply."""
        await others_first()
        if self._is_troubled:
            self._last_round = self.server.loop.rounds
            self._check_way_back(command)


class ConnectionLost:
    """What comes instead of a reply when the connection is cut."""

    def error(self) -> ConnectionError:
        return ConnectionError("connection closed by the simulated server")


@types.coroutine
def others_first() -> Generator[None, None, None]:
    """Let all others who can have their turn, as asyncio.sleep(0) does."""
    yield


def _as_dict(fields: Fields) -> dict[str, str]:
    """Return field, value, field, value … as redis-py gives them."""
    parts = iter(fields)
    return dict(zip(parts, parts))  # noqa: B905 (fast)


def _plain_request(group: Any, consumer: Any, streams: Any, count: Any, block_ms: Any) -> ReadRequest | None:
    """Return a read of new entries of one stream in its plain form; None if that is not what it is."""
    if not isinstance(streams, dict) or [*streams.values()] != [">"]:
        return None
    (key,) = streams
    if not _are_texts(group, consumer, key) or {type(count), type(block_ms)} != {int}:
        return None
    if not (1 <= count <= _MOST and 0 <= block_ms <= _MOST):
        return None
    return ReadRequest((key,), ((key, ">"),), group, consumer, count, block_ms)


def _are_texts(*args: Any) -> bool:
    """Return whether all these are text already, with nothing to encode."""
    try:
        "".join(args)  # the fastest way to look at each of them
    except TypeError:
        return False
    return True


def as_redis_error(error: CommandError) -> Exception:
    """Return the exception that redis-py raises for this error text: what is no text has been replaced in it."""
    text = str(error).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return BaseParser.parse_error(text)  # type: ignore[no-any-return, no-untyped-call]
