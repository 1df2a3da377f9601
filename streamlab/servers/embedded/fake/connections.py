"""The client's end of a connection to an embedded server, as redis-py's pools make them."""

from __future__ import annotations

import asyncio
from typing import Any

import redis
from fakeredis._clients import FakeAsyncRedisConnection, FakeRedisConnection
from fakeredis._clients._async import FakeReader, FakeWriter
from redis._parsers import Encoder

from streamlab.servers.embedded.replies import Carried, delivered

from .databases import StreamServer
from .sockets import AsyncStreamSocket, StreamSocket, SyncStreamSocket

_AS_BYTES = Encoder("utf-8", "strict", decode_responses=False)  # type: ignore[no-untyped-call]
_GONE = "the embedded server has been closed"


def _see_that_it_lives(socket: StreamSocket, has_reply: bool) -> None:
    """Raise `ConnectionError` if the server has closed a connection (QUIT, CLIENT KILL) and all has been read."""
    if socket._killed and not has_reply:
        raise redis.ConnectionError("the connection was closed by the embedded server")


class SyncConnection(FakeRedisConnection):
    """A connection of a `redis.Redis`."""

    _server: StreamServer

    def _connect(self) -> SyncStreamSocket:
        if not self._server.connected:
            raise redis.ConnectionError(_GONE)
        return SyncStreamSocket(
            self._server, client_class=self._client_class, db=self.db, client_info=self._client_info
        )

    def can_read(self, timeout: float | None = 0) -> bool:
        """Tell whether there is a reply, maybe after waiting for one; redis-py asks before each command."""
        is_there: bool
        socket = self._sock
        if timeout == 0 and socket is not None and self._server.connected:
            is_there = not socket.responses.empty()
            _see_that_it_lives(socket, is_there)
            return is_there
        is_there = super().can_read(timeout)
        return is_there

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Wait for a reply, and return it; as on a real connection, whatever interrupts that closes it."""
        try:
            socket = self._sock
            if socket is not None and socket.read is not None and socket.responses.empty():
                socket.wait(self.socket_timeout)
                socket = self._sock  # it may have been closed meanwhile
            if socket is not None and self._server.connected:
                _see_that_it_lives(socket, not socket.responses.empty())
                reply = socket.responses.get()
                if isinstance(reply, redis.RedisError):
                    raise reply
                if type(reply) is not Carried and not kwargs.get("disable_decoding"):
                    reply = self._decode(reply)
            else:
                reply = super().read_response(*args, **kwargs)
        except TimeoutError:
            self.disconnect()
            raise redis.TimeoutError("Timeout reading from the embedded server") from None
        except redis.ResponseError:
            raise
        except BaseException:  # an interrupt among them
            self.disconnect()
            raise
        if kwargs.get("disable_decoding"):
            return delivered(reply, _AS_BYTES)
        return delivered(reply, self.encoder)

    def disconnect(self, *args: Any) -> None:
        socket = self._sock
        super().disconnect(*args)  # type: ignore[no-untyped-call]
        if socket is not None:
            socket.part()


class AsyncConnection(FakeAsyncRedisConnection):
    """A connection of a `redis.asyncio.Redis`."""

    _server: StreamServer
    _sock: AsyncStreamSocket | None  # type: ignore[assignment]

    async def _connect(self) -> None:
        if not self._server.connected:
            raise redis.ConnectionError(_GONE)
        self._sock = AsyncStreamSocket(
            self._server, client_class=self._client_class, db=self.db, client_info=self._client_info
        )
        self._reader = FakeReader(self._sock)
        self._writer = FakeWriter(self._sock)

    async def can_read(self, *args: Any, **kwargs: Any) -> bool:
        """Tell whether there is a reply, maybe after waiting for one; redis-py asks before each command."""
        if self._sock is not None:
            _see_that_it_lives(self._sock, not self._sock.responses.empty())
        is_there: bool = await super().can_read(*args, **kwargs)
        return is_there

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Wait for a reply, and return it; as on a real connection, whatever interrupts that closes it."""
        timeout = kwargs.get("timeout")
        socket = self._sock
        try:
            await asyncio.sleep(0)  # others have their turn, as while one waits for a network
            if timeout is None and self.socket_timeout is not None:
                async with asyncio.timeout(self.socket_timeout):
                    reply = await super().read_response(*args, **kwargs)
            else:
                reply = await super().read_response(*args, **kwargs)
            if isinstance(reply, redis.ConnectionError):
                raise reply
            if self._sock is not socket:
                raise redis.ConnectionError("the connection was closed while it waited for a reply")
        except TimeoutError:
            await self.disconnect()
            raise redis.TimeoutError("Timeout reading from the embedded server") from None
        except redis.ResponseError:
            raise
        except BaseException:  # a cancellation among them
            await self.disconnect()
            raise
        if kwargs.get("disable_decoding"):
            return delivered(reply, _AS_BYTES)
        return delivered(reply, self.encoder)

    async def disconnect(self, *args: Any, **kwargs: Any) -> None:
        socket = self._sock
        await super().disconnect(*args, **kwargs)
        if socket is not None:
            socket.part()
            socket._response_available.set()  # whoever waits for a reply sees that there will be none
