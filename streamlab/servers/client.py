"""Clients with the settings that streams need, and plain words for a server that cannot be used.

redis-py's defaults suit caches. For streams they lose or double entries, so every client made here has:

- no silent second sending: after a lost reply redis-py may send the command again, and then XADD adds
  twice, XREADGROUP fetches the next entry and orphans the first. The caller sees the error instead.
- no read timeout: redis-py 8's 5 s break ``BLOCK`` and, before Python 3.12, lose task cancellations.
- RESP2, text in and out, and none of RESP3's maintenance notifications. Bytes that are no text come as surrogate
  escapes: an error instead would lose the whole reply, which the server has counted as delivered.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from streamlab.servers.packing import pack_in_c
from streamlab.servers.several import SCHEMES, parse_several, where_several

OLDEST_VERSION = (6, 2, 0)
CONNECT_TIMEOUT = 5.0  # seconds
_SECRET_PARAMETERS = ("password", "ssl_password", "sentinel_password")
_SCHEMES = ("redis", "rediss", "unix", *SCHEMES)


class ServerUnusable(Exception):
    """A Redis server cannot be used; the text says why and what to do, in one line without passwords."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Which server answers, as it says itself."""

    kind: Literal["redis", "valkey"]
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.kind.capitalize()} {'.'.join(map(str, self.version))}"


def stream_client(
    url: str,
    *,
    name: str | None = None,
    decode_responses: bool = True,
    max_connections: int | None = None,
    client_class: type[Any] = redis.asyncio.Redis,
) -> redis.asyncio.Redis:
    """Make an asyncio client for streams: never re-sends, never times out under ``BLOCK``, text.

    ``url`` is ``redis://``, ``rediss://`` or ``unix://``; ``redis+sentinel://HOST:26379,HOST:26379/SERVICE`` for
    whichever server the Sentinels say is the primary, ``redis+cluster://HOST:6379,HOST:6379`` for a cluster: then the
    client is a `redis.asyncio.RedisCluster`. ``name`` shows in ``CLIENT LIST``. Without ``decode_responses`` replies
    are bytes; ``max_connections`` limits the pool. Nothing is sent before the first command. Raises `ServerUnusable`
    if the URL cannot be read.
    """
    settings = _settings(url, name, decode_responses, max_connections)
    client: redis.asyncio.Redis
    with _readable(url):
        several = parse_several(url)
        if several is not None:
            client = several.async_client(client_class, **settings)
        else:
            client = client_class.from_url(url, retry=AsyncRetry(NoBackoff(), 0), **settings)
            pack_in_c(client.connection_pool)
            _try_settings(client.connection_pool)
    return client


def sync_stream_client(
    url: str,
    *,
    name: str | None = None,
    decode_responses: bool = True,
    max_connections: int | None = None,
    read_timeout: float | None = None,
    client_class: type[Any] = redis.Redis,
) -> redis.Redis:
    """Make the same client as `stream_client`, for code without asyncio.

    One that sends no blocking command can have a ``read_timeout``, in seconds. Only that of a cluster asks the servers
    something before the first command, and raises `ServerUnusable` if none of them answers.
    """
    settings = _settings(url, name, decode_responses, max_connections) | {"socket_timeout": read_timeout}
    client: redis.Redis
    with _readable(url):
        several = parse_several(url)
        if several is not None:
            try:
                client = several.client(client_class, **settings)
            except redis.RedisClusterException as error:
                raise ServerUnusable(explain(error, several.where, CONNECT_TIMEOUT)) from None
        else:
            client = client_class.from_url(url, retry=Retry(NoBackoff(), 0), **settings)
            _try_settings(client.connection_pool)
    return client


def _settings(url: str, name: str | None, decode_responses: bool, max_connections: int | None) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "protocol": 2,
        "decode_responses": decode_responses,
        "encoding_errors": "surrogateescape",
        "socket_timeout": None,
        "socket_connect_timeout": CONNECT_TIMEOUT,
    }
    check_url(url)
    if max_connections is not None:
        settings["max_connections"] = max_connections
    # redis-py lets a URL's parameters win, and some of these must hold.
    for parameter, _ in parse_qsl(url.partition("?")[2]):
        if parameter in settings:
            raise ServerUnusable(f"streamlab sets {parameter} itself: leave it out of {redact(url)}")
    if not url.startswith("unix:"):
        # Without a read timeout, it is the keep-alive that notices a vanished host.
        settings["socket_keepalive"] = True
    if name is not None:
        settings["client_name"] = name
    return settings


def with_database(url: str, db: int) -> str:
    """Return the URL of a numbered database of the server at a URL.

    Raises `ServerUnusable` if the URL names another one.
    """
    with _readable(url):
        several = parse_several(url)
        settings = parse_url(url) if several is None else several.settings  # type: ignore[no-untyped-call]
        named = settings.get("db")
        parts = urlsplit(url)
    if named is not None:
        if named != db:
            raise ServerUnusable(f"{redact(url)} names database {named}, and db={db} another: give only one of them")
        return url
    if several is not None:
        if several.is_cluster and db:
            raise ServerUnusable(f"a cluster has no database {db}, but 0 alone: leave it out, or use prefixes of keys")
        return url if several.is_cluster else parts._replace(path=f"{parts.path.rstrip('/')}/{db}").geturl()
    if parts.scheme == "unix" or parts.path not in ("", "/"):
        return f"{url}{'&' if parts.query else '?'}db={db}"
    return parts._replace(path=f"/{db}").geturl()


@contextmanager
def _readable(url: str) -> Iterator[None]:
    """Turn redis-py's complaints about a URL into one line; they may quote a bit of the password."""
    try:
        yield
    except (ValueError, TypeError):
        raise _not_a_url(url) from None


def _not_a_url(url: str) -> ServerUnusable:
    return ServerUnusable(
        f"not a Redis URL: {redact(url)} (write redis://host:port/0, rediss://… for TLS, or "
        "unix:///path/to/redis.sock; redis+sentinel://host:port,host:port/service, redis+cluster://host:port,host:port;"
        " special characters in a password must be percent-encoded)"
    )


def check_url(url: str) -> None:
    """Raise `ServerUnusable` for a URL that a password has cut in the wrong place with its own ``/``, ``?`` or ``#``.

    redis-py takes such a URL, and a piece of the password for the host: it would be looked up in the DNS, and
    stand in every error.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _not_a_url(url) from None
    has_user = "@" in parts.netloc
    if parts.scheme == "unix":
        is_cut = bool(parts.netloc) and (not parts.netloc.endswith("@") or "@" in parts.path)
    else:
        is_cut = "@" in parts.path or (has_user and "@" in parts.query)
    if is_cut or "#" in url or (not has_user and "@" in re.sub(r"(?<==)[^&]*", "", parts.query)):
        raise _not_a_url(url) from None


def _try_settings(pool: Any) -> None:
    """Make a connection object without connecting: only here does redis-py see a parameter it does not know."""
    pool.connection_class(**pool.connection_kwargs)


def redact(url: str) -> str:
    """Return the URL with its password replaced by ``***``, fit to be shown.

    A URL that cannot be taken apart beyond doubt keeps its scheme only.
    """
    scheme, separator, _ = url.partition("://")
    if not separator:
        return url if re.fullmatch(r"[\w.-]*(:\d+)?(/\d*)?", url) else "***"
    hidden = f"{scheme}://***" if scheme in _SCHEMES else "***"
    try:
        parts = urlsplit(url)
        if parse_several(url) is None:
            _ = parts.port  # raises if a bit of the password was taken for it
        parameters = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return hidden
    # A password that was not percent-encoded may have been cut by its own /, ? or #.
    if "@" in parts.path + parts.query + parts.fragment:
        return hidden
    user, at, host = parts.netloc.rpartition("@")
    if at and scheme not in _SCHEMES:
        return hidden
    if at:
        name = user.partition(":")[0] if ":" in user else "***"
        secret = ":***" if ":" in user else ""
        host = f"{name}{secret}@{host}"
    query = urlencode([(key, "***" if key in _SECRET_PARAMETERS else value) for key, value in parameters], safe="*/")
    return f"{scheme}://{host}{parts.path}" + (f"?{query}" if query else "")


async def check_server(client: redis.asyncio.Redis, *, within: float = CONNECT_TIMEOUT) -> ServerInfo:
    """Ask the server what it is (``INFO server``), once, and see that streams can be used on it.

    Raises `ServerUnusable` if it cannot be reached or does not answer ``within`` so many seconds, refuses
    the password, is loading, is older than 6.2, or is no Redis.
    """
    where = address(client)
    try:
        async with asyncio.timeout(within):
            answer = await client.info("server")
    except (redis.RedisError, redis.RedisClusterException, OSError, TimeoutError, UnicodeDecodeError) as error:
        raise ServerUnusable(explain(error, where, within)) from None
    server = _server_info(answer)
    if server is None:
        raise ServerUnusable(f"what answers at {where} is no Redis server: check the URL")
    if server.version < OLDEST_VERSION:
        raise ServerUnusable(
            f"{server} at {where} is too old: consumer groups need 6.2 (XAUTOCLAIM); upgrade it, "
            "or leave the URL out to use a private or simulated server"
        )
    return server


def ask_server(url: str) -> ServerInfo:
    """Check the server at a URL as `check_server` does, for code without asyncio."""
    # In a thread of its own, since a notebook's already runs a loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _ask_server(url)).result()


async def _ask_server(url: str) -> ServerInfo:
    client = stream_client(url)
    try:
        return await check_server(client)
    finally:
        await client.aclose()


async def check_stream_key(client: redis.asyncio.Redis, key: str) -> None:
    """See that ``key`` is a stream or free (``TYPE``); raise `ServerUnusable` if it holds another type."""
    answer = await client.type(key)
    kind = answer.decode() if isinstance(answer, bytes) else answer
    if kind not in ("stream", "none"):
        raise ServerUnusable(
            f"the key {key!r} holds a {kind}, not a stream: choose another key, or delete it (DEL {key})"
        )


def _server_info(answer: dict[str, Any]) -> ServerInfo | None:
    kind: Literal["redis", "valkey"] = "valkey" if "valkey_version" in answer else "redis"
    numbers = str(answer.get(f"{kind}_version", "")).split(".")
    if len(numbers) != 3 or not all(number.isdecimal() for number in numbers):
        return None
    return ServerInfo(kind, (int(numbers[0]), int(numbers[1]), int(numbers[2])))


def address(client: redis.Redis | redis.asyncio.Redis) -> str:
    """Name the server's address; the settings beside it hold the password and are never shown."""
    where = where_several(client)
    if where is not None:
        return where
    settings = client.connection_pool.connection_kwargs
    if "server" in settings:
        return "the embedded server"
    if "path" in settings:
        return str(settings["path"])
    return f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"


def explain(error: Exception, where: str, within: float) -> str:
    """Put a failure to get an answer into one line. The order matters: redis-py derives one from another."""
    # A refusal while connecting comes wrapped in a ConnectionError, or in that of a cluster.
    while isinstance(error.__cause__, redis.RedisError | redis.RedisClusterException):
        error = error.__cause__
    said = " ".join(str(error).split())
    if isinstance(error, redis.AuthenticationError | redis.exceptions.AuthorizationError):
        if "NOAUTH" in said or "required" in said:
            return f"the server at {where} wants a password: write redis://:PASSWORD@host:port/0"
        return f"the server at {where} refuses this user and password ({said}): correct the URL"
    if isinstance(error, redis.exceptions.NoPermissionError):
        return f"this user may not run INFO on the server at {where}: allow it (ACL SETUSER … +info)"
    if isinstance(error, redis.BusyLoadingError):
        return f"the server at {where} is still loading its data: try again in a moment"
    if isinstance(error, TimeoutError | redis.TimeoutError):
        return (
            f"the server at {where} did not answer within {within:g} s: is it overloaded, paused, or behind a firewall?"
        )
    if isinstance(error, redis.ConnectionError | OSError):
        return f"no Redis server can be reached at {where} ({said}): start one, or correct the URL"
    if isinstance(error, redis.RedisClusterException):
        return f"no cluster can be used at {where} ({said}): write redis://host:port/0 for a server that is in none"
    if "No such master" in said:
        return f"no such service is known at {where}: correct its name in the URL (SENTINEL MASTERS lists them)"
    if isinstance(error, redis.InvalidResponse | UnicodeDecodeError):
        return f"what answers at {where} is no Redis server: check the URL"
    if "DB index" in said:
        return f"the server at {where} has no database of this number ({said}): give a lower one (most have 0 to 15)"
    return f"the server at {where} answered: {said}"
