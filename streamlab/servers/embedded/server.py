"""`EmbeddedServer`: fakeredis, its stream type replaced by the model, with ordinary redis-py clients."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import redis
import redis.asyncio
import redis.asyncio.lock
import redis.lock
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from streamlab.actors import scripts
from streamlab.servers.client import ServerUnusable

from .divergences import DIVERGENCES, Divergence

if TYPE_CHECKING:
    from .listening import Listener


class EmbeddedServer:
    """A Redis within the process, of which nothing is kept.

    Its clients are redis-py's own; threads and event loops may share it. Other processes reach it at its `url`, as
    long as this process and this object live. ``version`` is the version of Redis whose streams it has. ``now_ms``
    gives the time that ids, idle times and expiry go by, in ms since 1970, if it is not to be the machine's.
    """

    divergences: ClassVar[tuple[Divergence, ...]] = DIVERGENCES
    """What is known to be different from a real server."""

    def __init__(self, *, version: tuple[int, int, int] = (7, 0, 15), now_ms: Callable[[], int] | None = None) -> None:
        from .fake import StreamServer  # here: who has a real server need not wait for fakeredis, nor have it

        self.version = version
        self._server = StreamServer(version, now_ms)
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._listener: Listener | None = None
        self._ports: list[Listener] = []

    @property
    def url(self) -> str:
        """The URL at which other processes reach this server, ``unix:///…``; the socket is opened on first use.

        It is in a folder that only this user may open, and served by a thread of this process.

        Raises
        ------
        ServerUnusable
            There are no unix sockets here, the server has been closed, or this is a fork of its process.
        """
        from .listening import Listener

        if os.getpid() != self._owner:
            raise ServerUnusable(
                "this is a fork, which has only a copy of the embedded server: read the url before forking, or "
                "call connect() again"
            )
        with self._lock:
            if not self._server.connected:
                raise ServerUnusable("the embedded server has been closed: call connect() again")
            if self._listener is None:
                self._listener = self._kept(Listener(self._server))
            return self._listener.url

    def listen(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen on a TCP port as well (0: any that is free), and return the URL, ``redis://127.0.0.1:…``.

        Whoever reaches the address may do everything: there is no password, and this is no production server.

        Raises
        ------
        ServerUnusable
            The address cannot be had.
        """
        from .listening import Listener

        listener = self._kept(Listener(self._server, host, port))
        with self._lock:
            self._ports.append(listener)
        return listener.url

    def _kept(self, listener: Listener) -> Listener:
        # When it is dropped, and at exit; maybe by the garbage collector, which must not wait for a thread.
        weakref.finalize(self, listener.close, wait=False)
        return listener

    def client(self, client_class: type[redis.Redis] = redis.Redis, **settings: Any) -> redis.Redis:
        """Return a client with the settings of `sync_stream_client`, unless told otherwise."""
        from .fake import SyncConnection

        retry = Retry(NoBackoff(), 0)
        pool = redis.ConnectionPool(connection_class=SyncConnection, **self._settings(settings, retry))
        client = client_class.from_pool(pool)
        if not scripts.knows_lock(redis.lock.Lock):
            client.lock = _refuse_lock  # type: ignore[method-assign]
        return client

    def async_client(
        self, client_class: type[redis.asyncio.Redis] = redis.asyncio.Redis, **settings: Any
    ) -> redis.asyncio.Redis:
        """Return an asyncio client with the settings of `stream_client`, unless told otherwise."""
        from .fake import AsyncConnection

        retry = AsyncRetry(NoBackoff(), 0)
        pool = redis.asyncio.ConnectionPool(connection_class=AsyncConnection, **self._settings(settings, retry))
        client = client_class.from_pool(pool)
        if not scripts.knows_lock(redis.asyncio.lock.Lock):
            client.lock = _refuse_lock  # type: ignore[method-assign]
        return client

    def _settings(self, settings: dict[str, Any], retry: Any) -> dict[str, Any]:
        usual = {
            **{"protocol": 2, "decode_responses": True, "encoding_errors": "surrogateescape"},
            **{"socket_timeout": None, "db": 0},
        }
        return {**usual, "retry": retry, **settings, "server": self._server}

    def close(self) -> None:
        """Refuse all further commands, and close the socket for other processes."""
        with self._lock:
            self._server.connected = False
            listeners = [*self._ports] if self._listener is None else [self._listener, *self._ports]
        for listener in listeners:
            listener.close()

    def __repr__(self) -> str:
        return f"<EmbeddedServer as of Redis {'.'.join(map(str, self.version))}>"


def _refuse_lock(*args: Any, **options: Any) -> NoReturn:
    """Refuse a lock that could be acquired and never be released."""
    raise redis.exceptions.LockError(
        f"redis-py {redis.__version__} has locks with scripts of its own that the embedded server, which has no Lua, "
        "does not know: it could not release what it acquires. Use a real server, or redis-py 7.4 to 8.1."
    )
