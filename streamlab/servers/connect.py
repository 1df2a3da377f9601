"""`connect`: a Redis for everyone. An ordinary redis-py client, of the best server there is here.

That is, in this order: the server at a URL, that at STREAMLAB_REDIS_URL, a private one of the first usable program on
the PATH, or the embedded one. Private and embedded servers go by name: whoever connects to the same name within the
process meets the same data, with asyncio or without. A client's `url` leads other processes to the same server.
"""

from __future__ import annotations

import html
import os
import re
import threading
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import redis
import redis.asyncio

from streamlab.servers.client import (
    ServerInfo,
    ServerUnusable,
    ask_server,
    check_server,
    redact,
    stream_client,
    sync_stream_client,
    with_database,
)
from streamlab.servers.embedded import EmbeddedServer
from streamlab.servers.in_browser import IN_BROWSER, why_not
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerStartError, find_servers
from streamlab.servers.several import is_cluster

EMBEDDED_URL = "embedded://"
#: What may follow it: the version of Redis whose streams it shall have.
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
N_EMBEDDED_DATABASES = 16
URL_VARIABLE = "STREAMLAB_REDIS_URL"
# What the course's last lessons need, and the Redis that brought it. Valkey has none of it so far.
LATER_COMMANDS = {(8, 2, 0): "XACKDEL, XDELEX", (8, 4, 0): "XREADGROUP CLAIM", (8, 6, 0): "XADD IDMP"}


def later_commands_missing(server: ServerInfo) -> list[str]:
    """List the later commands that a server does not know, each with the Redis that brought it."""
    return [
        f"{commands} (Redis {since[0]}.{since[1]})"
        for since, commands in LATER_COMMANDS.items()
        if server.kind != "redis" or server.version < since
    ]


@dataclass(frozen=True, slots=True)
class Connected:
    """What a client is connected to."""

    how: Literal["url", "private", "embedded"]
    server: ServerInfo
    """Kind and version; of the embedded server, those that its streams are like."""
    where: str
    """An address without a password, or the program."""
    cannot: tuple[str, ...]
    """What the server cannot do, of what the course speaks of."""

    def __str__(self) -> str:
        what = {
            "url": f"{self.server} at {self.where}",
            "private": f"{self.server}, private to this process ({self.where})",
            "embedded": f"embedded in {self.where}, streams as of {self.server}",
        }[self.how]
        return f"{what}; without {', '.join(self.cannot)}" if self.cannot else what


class _Lab:
    """A client that shows which server it is connected to."""

    connected: Connected
    _reached: str | EmbeddedServer
    _kind = "Redis"

    @property
    def url(self) -> str:
        """The URL at which other processes reach the same server; with its password, if it has one.

        That of the embedded server is opened on first use, and leads somewhere as long as this process lives.

        Raises
        ------
        ServerUnusable
            The embedded server has been closed, or this platform has no unix sockets.
        """
        return _url(self, self._reached)

    def __repr__(self) -> str:
        return f"<{self._kind} client: {self.connected}>"

    def _repr_html_(self) -> str:
        return _shown(self.connected)


class LabRedis(_Lab, redis.Redis):
    """An ordinary `redis.Redis` that shows which server it is connected to."""


class LabAsyncRedis(_Lab, redis.asyncio.Redis):  # type: ignore[misc] # bases of redis-py differ among themselves
    """An ordinary `redis.asyncio.Redis` that shows which server it is connected to."""

    _kind = "asyncio Redis"


class LabCluster(_Lab, redis.RedisCluster):
    """An ordinary `redis.RedisCluster` that shows which cluster it is connected to."""


class LabAsyncCluster(_Lab, redis.asyncio.RedisCluster):  # type: ignore[misc]
    """An ordinary `redis.asyncio.RedisCluster` that shows which cluster it is connected to."""

    _kind = "asyncio Redis"


#: What is made of a URL of a cluster instead.
_OF_CLUSTER: dict[type, type] = {LabRedis: LabCluster, LabAsyncRedis: LabAsyncCluster}


def _url(client: Any, reached: str | EmbeddedServer) -> str:
    if isinstance(reached, str):
        return reached
    db = client.connection_pool.connection_kwargs["db"]
    return with_database(reached.url, db) if db else reached.url


def _shown(connected: Connected) -> str:
    return f"<div>Connected: {html.escape(str(connected))}</div>"


@dataclass(frozen=True, slots=True)
class _Shared:
    """A server that goes by a name."""

    server: PrivateServer | EmbeddedServer
    connected: Connected

    @property
    def reached(self) -> str | EmbeddedServer:
        """Where it is reached; the embedded one says so only when it is asked, for it has to open a socket."""
        return self.server if isinstance(self.server, EmbeddedServer) else self.server.url


_shared: dict[str, _Shared] = {}
_lock = threading.RLock()


def connect(
    url: str | None = None,
    *,
    server: str = "lab",
    fresh: bool = False,
    db: int | None = None,
    decode_responses: bool = True,
    max_connections: int | None = None,
) -> LabRedis:
    """Connect to a Redis server, whichever there is, with the settings that streams need.

    Parameters
    ----------
    url
        ``redis://``, ``rediss://`` or ``unix://`` for a server of yours; ``embedded://`` for the embedded one, with a
        version behind it (``embedded://8.6``) for streams as that has them.
        ``redis+sentinel://HOST:26379,HOST:26379/SERVICE`` for the primary that Sentinels name: after a failover, the
        client finds the new one. ``redis+cluster://HOST:6379,HOST:6379`` for a cluster: then the client is a
        `redis.RedisCluster`, which has the same methods, and is given out as if it were what is written here.
        Without it, it is the private or embedded server of this name, if there is one by now; then STREAMLAB_REDIS_URL
        is looked at, then programs on the PATH; else it is the embedded one.
    server
        The name of the private or embedded server: the same name, the same data, in all of this process.
    fresh
        Empty it first (``FLUSHALL``). Refused on a server that was given by URL: its data may be somebody's.
    db
        The number of the database; that of the URL, or 0, if left out.
    decode_responses
        Whether replies are text; else they are bytes, as the default of redis-py is.
    max_connections
        How many connections the client may open at most; any number, if left out.

    Raises
    ------
    ServerUnusable
        The server cannot be used, or has no such database; the text says why.
    ValueError
        A number makes no sense.
    """
    settings = _client_settings(db, decode_responses, max_connections)
    client, is_unknown = _client(LabRedis, _resolve(url, server, fresh), db, settings)
    if is_unknown:
        _note(client, ask_server(client.url))
    return client


async def connect_async(
    url: str | None = None,
    *,
    server: str = "lab",
    fresh: bool = False,
    db: int | None = None,
    decode_responses: bool = True,
    max_connections: int | None = None,
) -> LabAsyncRedis:
    """Connect as `connect` does, with asyncio; a client of the same name sees the same data."""
    settings = _client_settings(db, decode_responses, max_connections)
    client, is_unknown = _client(LabAsyncRedis, _resolve(url, server, fresh), db, settings)
    if is_unknown:
        try:
            _note(client, await check_server(client))
        except BaseException:
            await client.aclose()
            raise
    return client


C = TypeVar("C", LabRedis, LabAsyncRedis)


def _client(kind: type[C], target: str | _Shared, db: int | None, settings: dict[str, Any]) -> tuple[C, bool]:
    """Return a client, and whether its server has still to be asked: who it is, or whether it has this database."""
    is_async = issubclass(kind, redis.asyncio.Redis)
    make: Any
    if isinstance(target, _Shared) and isinstance(target.server, EmbeddedServer):
        make = target.server.async_client if is_async else target.server.client
        client: C = make(kind, db=_embedded_database(db), **settings)
        client._reached, is_unknown = target.reached, False
    else:
        address = _address(target, db)
        make = stream_client if is_async else sync_stream_client
        client = make(address, client_class=_OF_CLUSTER[kind] if is_cluster(address) else kind, **settings)
        client._reached, is_unknown = address, isinstance(target, str) or bool(db)
    if isinstance(target, _Shared):
        client.connected = target.connected
    return client, is_unknown


def _note(client: LabRedis | LabAsyncRedis, info: ServerInfo) -> None:
    """Note what a server says that was given by URL."""
    if not hasattr(client, "connected"):
        client.connected = Connected("url", info, redact(client.url), tuple(later_commands_missing(info)))


def _client_settings(db: int | None, decode_responses: bool, max_connections: int | None) -> dict[str, Any]:
    """Return what a client is made with; raise `ValueError` for what makes no sense."""
    if db is not None and (type(db) is not int or db < 0):
        raise ValueError(f"db is the number of a database, 0 or more, and not {db!r}")
    if type(decode_responses) is not bool:
        raise ValueError(f"decode_responses is True or False, and not {decode_responses!r}")
    if max_connections is not None and (type(max_connections) is not int or max_connections < 1):
        raise ValueError(
            f"max_connections is how many connections there may be, 1 or more, and not {max_connections!r}"
        )
    return {"decode_responses": decode_responses, "max_connections": max_connections}


def _embedded_database(db: int | None) -> int:
    if db is not None and db >= N_EMBEDDED_DATABASES:
        raise ServerUnusable(
            f"the embedded server has no database {db}: give a lower one (it has 0 to {N_EMBEDDED_DATABASES - 1})"
        )
    return db or 0


def _address(target: str | _Shared, db: int | None) -> str:
    """Return the URL of a real server, or of its database of this number."""
    url = target if isinstance(target, str) else target.reached
    assert isinstance(url, str)
    return url if db is None else with_database(url, db)


def close_servers(*names: str) -> None:
    """End private and embedded servers of these names, or all; what they hold is gone.

    They end with the process anyway, however it ends. Clients of a server that was closed raise ``ConnectionError``.
    """
    with _lock:
        for name in names or [*_shared]:
            shared = _shared.pop(name, None)
            if shared is None:
                raise ValueError(f"no server goes by the name {name!r}: there are {[*_shared]}")
            if isinstance(shared.server, EmbeddedServer):
                shared.server.close()
            else:
                shared.server.stop()


def _resolve(url: str | None, name: str, fresh: bool) -> str | _Shared:
    """Decide on a server: return its URL, or one that goes by the name, started if need be."""
    with _lock:
        shared = _shared.get(name)
        if shared is not None and not _is_usable(shared):
            shared = None  # it was killed, or this is a fork of the process that it belonged to
        wanted = url or (None if shared else os.environ.get(URL_VARIABLE))
        if wanted and not wanted.startswith(EMBEDDED_URL):
            if fresh:
                raise ServerUnusable(
                    f"fresh=True would delete all data of {redact(wanted)}, which is not this process's own: "
                    "delete the keys that you mean, or leave the URL out to use a private server"
                )
            if IN_BROWSER:
                instead = "leave the URL out for the embedded server"
                raise ServerUnusable(why_not(f"a server at {redact(wanted)}", "sockets", instead))
            return wanted
        if shared is None:
            shared = _shared[name] = _embedded(version=_version_of(wanted)) if wanted else _best()
        elif wanted and not _is_embedded(shared, wanted):
            raise ServerUnusable(
                f"the server named {name!r} is {shared.connected.server} already: give another name "
                f"(connect({wanted!r}, server=…)), or end that one first (close_servers({name!r}))"
            )
    if fresh:
        _empty(shared)
    return shared


def _version_of(url: str) -> tuple[int, int, int] | None:
    """Return the version that a URL of the embedded server asks for; None if it asks for none."""
    text = url.removeprefix(EMBEDDED_URL)
    if not text:
        return None
    if (found := _VERSION.fullmatch(text)) is None:
        raise ServerUnusable(f"{text!r} is no version of Redis: write {EMBEDDED_URL}8.6, or just {EMBEDDED_URL}")
    return int(found[1]), int(found[2]), int(found[3] or 0)


def _is_embedded(shared: _Shared, url: str) -> bool:
    """Whether a server is the embedded one that a URL asks for."""
    version = _version_of(url)
    return isinstance(shared.server, EmbeddedServer) and version in (None, shared.server.version)


def _is_usable(shared: _Shared) -> bool:
    return isinstance(shared.server, EmbeddedServer) or shared.server.alive


def _best() -> _Shared:
    """Start a private server of the first usable program on the PATH, or the embedded one."""
    server = PrivateServer()
    try:
        server.start()
    except (ServerStartError, OSError) as error:
        return _embedded(server.passed_over or _why_not(error))
    info = ServerInfo(server.kind, server.version)
    cannot = tuple(later_commands_missing(info))
    return _Shared(server, Connected("private", info, server.binary.path, cannot))


def _why_not(error: Exception) -> list[str]:
    """Say why there is no private server; nothing if there is just no program for one."""
    return [" ".join(str(error).split())[:200]] if find_servers() else []


def _embedded(problems: list[str] | None = None, version: tuple[int, int, int] | None = None) -> _Shared:
    server = EmbeddedServer() if version is None else EmbeddedServer(version=version)
    info = ServerInfo("redis", server.version)
    cannot = ("persistence", "Lua scripts", *later_commands_missing(info))
    why = f" ({'; '.join(problems)})" if problems else ""
    return _Shared(server, Connected("embedded", info, f"this process{why}", cannot))


def _empty(shared: _Shared) -> None:
    client = (
        shared.server.client() if isinstance(shared.server, EmbeddedServer) else sync_stream_client(shared.server.url)
    )
    with client:
        client.flushall()


def _forget_after_fork() -> None:
    """Let a forked child begin with no servers: those of its parent are its parent's."""
    global _lock
    _lock = threading.RLock()
    _shared.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
