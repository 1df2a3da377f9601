"""What a simulation executes for every entry: XADD, XREADGROUP and XACK, without arguments to build and to parse.

`ShortCuts` is the part of `SimulatedRedis` that does nothing new. Each command here does what redis-py's own would
do by way of the grammar, if it has its plain form (`streamlab.stream_commands.plain`) and nothing can go wrong
on its way; else it leaves it to that. A test holds the two together.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator, Sequence
from typing import Any

import redis.asyncio
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError

from streamlab.stream_commands import CommandError, ReadRequest, Waiter, plain
from streamlab.stream_model import Fields, StreamId, format_id
from streamlab.virtual_task import Promise
from streamlab.virtual_time import VirtualLoop


class _Read(Promise, Waiter):
    """A read in its plain form that a client sends again and again, and may wait for in a `VirtualLoop`."""

    __slots__ = ("is_plain", "key", "queue", "request", "waiting")
    retry_at_ms = None
    on_ready = Promise.set_result

    def __init__(self, server: Any, request: ReadRequest) -> None:
        super().__init__(server.loop)
        self.request = request
        self.key = request.keys[0]
        self.waiting = server.waiting(request.block_ms or 0)
        self.queue = plain.queue(server.commands, request)
        # From Redis 7.2 on the command is run again, whatever has changed.
        self.is_plain = not server.commands.behaviour.rerun_blocked


class ShortCuts(redis.asyncio.Redis):
    """XADD, XREADGROUP and XACK of a `SimulatedRedis`."""

    server: Any  #: the `SimulatedServer`
    #: Where commands may be executed in their plain form; None: nowhere.
    _loop: VirtualLoop | None
    _counted: int  # 0 for a client whose commands are not to be counted

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._loop = None
        #: The round of the loop in which this client had its last command executed.
        self._last_round = -1
        #: What the last read asked for, and as a read in its plain form, if it has one.
        self._last_asked: tuple[Any, ...] = ()
        self._read: _Read | None = None
        #: The entries that the last read gave, and their ids as the model knows them: XACK names them next.
        self._given: dict[str, StreamId] = {}

    async def xadd(  # type: ignore[override]
        self, name: Any, fields: Any, id: Any = "*", maxlen: int | None = None, **options: Any
    ) -> Any:
        """Append an entry (``XADD``) and return its id."""
        loop, server = self._loop, self.server
        if (
            loop is None
            or server.is_down
            or id != "*"
            or maxlen is not None
            or options
            or not fields
            or type(fields) is not dict
            or (flat := plain.flattened(name, fields)) is None
        ):
            return await super().xadd(name, fields, id, maxlen, **options)
        server.n_alone += self._counted
        now_ms = server.epoch_ms + int(loop.now * 1000 + 0.001)
        try:
            return plain.add(server.commands, name, fields, flat, now_ms)
        except CommandError as error:
            raise as_redis_error(error) from None
        finally:
            if loop.rounds == self._last_round:
                await self._give_turn()
            self._last_round = loop.rounds

    async def xreadgroup(  # type: ignore[override]
        self,
        groupname: Any,
        consumername: Any,
        streams: Any,
        count: int | None = None,
        block: int | None = None,
        **options: Any,
    ) -> Any:
        """Read entries as a consumer of a group (``XREADGROUP``)."""
        loop, server = self._loop, self.server
        asked = groupname, consumername, streams, count, block
        if asked != self._last_asked:  # readers repeat themselves
            request = _plain_request(*asked)
            self._read = _Read(server, request) if request is not None else None
            streams_asked = dict(streams) if isinstance(streams, dict) else None
            self._last_asked = groupname, consumername, streams_asked, count, block
        read = self._read
        if (
            loop is None
            or server.is_down
            or not loop.in_task
            or read is None
            or read in read.waiting.reads  # another task of this client waits in it
            or options
        ):
            return await super().xreadgroup(
                groupname, consumername, streams, count, block, **options
            )
        server.n_alone += self._counted
        try:
            found = plain.read_new(server.commands, read.key, read.request, server.now_ms)
        except CommandError as error:
            raise as_redis_error(error) from None
        if found:
            if loop.rounds == self._last_round:
                await self._give_turn()
            self._last_round = loop.rounds
            if len(found) == 1:
                ((given_id, flat),) = found
                text = format_id(given_id)
                self._given = {text: given_id}
                return [[read.key, [(text, _as_dict(flat))]]]
            self._given = {format_id(given_id): given_id for given_id, _ in found}
            entries = [(text, _as_dict(f)) for text, (_, f) in zip(self._given, found, strict=True)]
            return [[read.key, entries]]
        # As _wait() does, without a coroutine more.
        waiting = read.waiting
        if not waiting.has_timer:
            waiting.set_timer()
        waiting.reads[read] = loop.now, self, read, read
        read.queue[read] = None
        try:
            reply = await read.wait()
        except asyncio.CancelledError:
            read.queue.pop(read, None)
            raise
        finally:
            del waiting.reads[read]
        if type(reply) is tuple:
            given_id, text, fields = reply
            self._given = {text: given_id}
            return [[read.key, [(text, fields)]]]
        if isinstance(reply, CommandError):
            raise as_redis_error(reply)
        if isinstance(reply, ConnectionLost):
            raise reply.error()
        return [[read.key, [(i, _as_dict(f)) for i, f in reply[0][1]]]] if reply else []

    async def xack(self, name: Any, groupname: Any, *ids: Any) -> Any:
        """Acknowledge entries (``XACK``) and return how many were pending."""
        loop, server = self._loop, self.server
        known: Sequence[StreamId]
        try:
            given = self._given
            known = (given[ids[0]],) if len(ids) == 1 else [*map(given.__getitem__, ids)]
        except (KeyError, TypeError):
            known = ()
        if loop is None or server.is_down or not known or not type(name) is type(groupname) is str:
            return await super().xack(name, groupname, *ids)
        server.n_alone += self._counted
        try:
            return plain.ack(server.commands, name, groupname, known)
        except CommandError as error:
            raise as_redis_error(error) from None
        finally:
            if loop.rounds == self._last_round:
                await self._give_turn()
            self._last_round = loop.rounds

    async def _give_turn(self) -> None:
        await others_first()
        self._last_round = getattr(self.server.loop, "rounds", -1)


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


def _plain_request(
    group: Any, consumer: Any, streams: Any, count: Any, block_ms: Any
) -> ReadRequest | None:
    """Return a read of new entries of one stream in its plain form; None if that is not what it is."""
    if not isinstance(streams, dict) or [*streams.values()] != [">"]:
        return None
    (key,) = streams
    if not _are_texts(group, consumer, key) or {type(count), type(block_ms)} != {int}:
        return None
    if count < 1 or block_ms < 0:
        return None
    return plain.new_entries(key, group, consumer, count, block_ms)


def _are_texts(*args: Any) -> bool:
    """Return whether all these are text already, with nothing to encode."""
    try:
        "".join(args)  # the fastest way to look at each of them
    except TypeError:
        return False
    return True


def as_redis_error(error: CommandError) -> Exception:
    """Return the exception that redis-py raises for this error text."""
    return BaseParser.parse_error(str(error))  # type: ignore[no-any-return, no-untyped-call]
