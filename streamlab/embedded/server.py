"""`EmbeddedServer`: fakeredis, its stream type replaced by the model, with ordinary redis-py clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from .divergences import DIVERGENCES, Divergence


class EmbeddedServer:
    """A Redis within the process: no socket, no other process, nothing kept.

    Its clients are redis-py's own; threads and event loops may share it. ``version`` is the version of Redis
    whose streams it has. ``now_ms`` gives the time that ids and idle times go by, in ms since 1970, if it is not to be
    the machine's.
    """

    divergences: ClassVar[tuple[Divergence, ...]] = DIVERGENCES
    """What is known to be different from a real server."""

    def __init__(
        self,
        *,
        version: tuple[int, int, int] = (7, 0, 15),
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        from .fake import (
            StreamServer,  # here: who has a real server need not wait for fakeredis, nor have it
        )

        self.version = version
        self._server = StreamServer(version, now_ms)

    def client(self, client_class: type[redis.Redis] = redis.Redis, **settings: Any) -> redis.Redis:
        """Return a client with the settings of `sync_stream_client`, unless told otherwise."""
        from .fake import SyncConnection

        retry = Retry(NoBackoff(), 0)
        pool = redis.ConnectionPool(
            connection_class=SyncConnection, **self._settings(settings, retry)
        )
        return client_class.from_pool(pool)

    def async_client(
        self, client_class: type[redis.asyncio.Redis] = redis.asyncio.Redis, **settings: Any
    ) -> redis.asyncio.Redis:
        """Return an asyncio client with the settings of `stream_client`, unless told otherwise."""
        from .fake import AsyncConnection

        retry = AsyncRetry(NoBackoff(), 0)
        pool = redis.asyncio.ConnectionPool(
            connection_class=AsyncConnection, **self._settings(settings, retry)
        )
        return client_class.from_pool(pool)

    def _settings(self, settings: dict[str, Any], retry: Any) -> dict[str, Any]:
        usual = {"protocol": 2, "decode_responses": True, "socket_timeout": None, "db": 0}
        return {**usual, "retry": retry, **settings, "server": self._server}

    def close(self) -> None:
        """Refuse all further commands."""
        self._server.connected = False

    def __repr__(self) -> str:
        return f"<EmbeddedServer as of Redis {'.'.join(map(str, self.version))}>"
