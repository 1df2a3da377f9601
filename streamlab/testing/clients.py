"""Clients that a consumer makes itself: within a trial, each stands for one of the simulation's.

A plain ``redis.asyncio.Redis``, wherever and however it was made, asks `TWIN` which client acts in its place; nothing
else of it is changed, and where no simulation runs, nothing at all. What it was made with holds for its twin as well:
whether replies are text or bytes, how long it waits for one, and how often it tries again.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection

from streamlab.checks.attempts import Stop
from streamlab.checks.consumer_client import NotedPipeline, WatchedClient
from streamlab.checks.consumer_watch import Sent
from streamlab.results.verdict import Objection
from streamlab.virtual.keys import Pool
from streamlab.virtual.redis import SimulatedRedis

#: Who acts in the place of a plain client; None: it does.
TWIN: contextvars.ContextVar[Callable[[Any], Any] | None] = contextvars.ContextVar("streamlab_twin", default=None)

#: Of what a client was made with, what holds in a simulation as well.
_KEPT: Final = (
    "decode_responses", "encoding", "encoding_errors", "retry", "retry_on_error", "retry_on_timeout", "socket_timeout",
)  # fmt: skip
_PASSED_ON: Final = ("execute_command", "monitor", "pipeline", "pubsub")


class _OwnPool(Pool):
    """Connections of a client that a consumer has made itself; redis-py may make lost ones again without a word."""

    when_lost: Callable[[], object] = staticmethod(lambda: None)

    def make_connection(self) -> Any:
        connection = super().make_connection()
        connect, n_before = connection._connect, itertools.count()

        async def connects() -> None:
            if next(n_before):
                self.when_lost()
            await connect()

        connection._connect = connects
        return connection


def pool_like(given: redis.asyncio.Redis, client: SimulatedRedis) -> _OwnPool:
    """Return connections to a simulation with the settings of a client."""
    settings = given.connection_pool.connection_kwargs
    if settings.get("protocol") in (3, "3"):
        raise Stop(
            Objection(
                "A client asked for RESP3 (protocol=3).",
                "a simulation answers in the shapes of RESP2: leave it out in the test.",
            )
        )
    pool = _OwnPool(client)
    usual = inspect.signature(AbstractConnection.__init__).parameters
    pool.connection_kwargs.update({name: settings.get(name, usual[name].default) for name in _KEPT})
    return pool


class OwnClient(WatchedClient):
    """The twin of a client that a consumer has made itself: it goes by connections, as that one does."""

    def __init__(self, given: redis.asyncio.Redis, watched: WatchedClient) -> None:
        vars(self).update(vars(watched))
        pool = pool_like(given, watched.inner)
        pool.when_lost = functools.partial(self.note_error, Sent(("",)), redis.ConnectionError())
        redis.asyncio.Redis.__init__(self, connection_pool=pool)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        execute = functools.partial(redis.asyncio.Redis.execute_command, self)
        return self.noted.call(str(args[0]), self.send(execute, args, options))

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        return _OwnPipeline(self, transaction, shard_hint)

    def note_reply(self, sent: Sent, reply: Any, held: dict[str, str]) -> None:
        super().note_reply(sent, as_text(reply), held)


class _OwnPipeline(NotedPipeline, Pipeline):  # type: ignore[misc]  # as redis-py's own
    """A pipeline of an `OwnClient`."""

    def __init__(self, own: OwnClient, transaction: bool, shard_hint: str | None) -> None:
        super().__init__(own.connection_pool, own.response_callbacks, transaction, shard_hint)
        self._watched = own


def as_text(reply: Any) -> Any:
    """Return a reply, or what a handler is given, with all that is bytes as text."""
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "surrogateescape")
    if isinstance(reply, list | tuple):
        return type(reply)(map(as_text, reply))
    if isinstance(reply, dict):
        return {as_text(name): as_text(value) for name, value in reply.items()}
    return reply


@contextlib.contextmanager
def clients_replaced() -> Iterator[None]:
    """Let plain clients ask `TWIN` who acts in their place."""
    before = replace_clients()
    try:
        yield
    finally:
        for of_class, name, method in before:
            setattr(of_class, name, method)


def replace_clients() -> list[tuple[type, str, Any]]:
    """Let plain clients ask `TWIN` from now on; return the methods that do not, each with its class and its name."""
    asyncio_class, sync_class = redis.asyncio.Redis, redis.Redis
    before: list[tuple[type, str, Any]] = [
        (asyncio_class, name, vars(asyncio_class)[name]) for name in (*_PASSED_ON, "initialize", "aclose")
    ]
    before.append((sync_class, "execute_command", vars(sync_class)["execute_command"]))
    for of_class, name, method in before:
        setattr(of_class, name, _stand_in(of_class, name, method))
    return before


def _stand_in(of_class: type, name: str, method: Any) -> Any:
    """Return what takes the place of a method of redis-py's clients."""

    @functools.wraps(method)
    def passes_on(self: Any, *args: Any, **options: Any) -> Any:
        twin_of = TWIN.get()
        if twin_of is None or _is_of_simulation(self):
            return method(self, *args, **options)
        return getattr(twin_of(self), name)(*args, **options)

    @functools.wraps(method)
    async def does_nothing(self: Any, *args: Any, **options: Any) -> Any:
        if TWIN.get() is None or _is_of_simulation(self):
            return await method(self, *args, **options)
        return self

    @functools.wraps(method)
    def refuses(self: Any, *args: Any, **options: Any) -> Any:
        if TWIN.get() is not None and not hasattr(self, "noted"):
            raise RuntimeError(
                "redis.Redis stops the whole event loop while it waits for a reply: use redis.asyncio.Redis"
            )
        return method(self, *args, **options)

    if of_class is redis.Redis:
        return refuses
    return passes_on if name in _PASSED_ON else does_nothing


def _is_of_simulation(client: Any) -> bool:
    if isinstance(client, WatchedClient | SimulatedRedis | Pipeline):
        return True
    return isinstance(client.connection_pool, Pool)
