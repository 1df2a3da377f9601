"""Servers that are reached as one: by their Sentinels, or as a Redis Cluster. Their URLs, and redis-py's own clients.

    redis+sentinel://USER:PASSWORD@HOST:26379,HOST:26379,HOST:26379/SERVICE/DB?sentinel_password=PASSWORD
    redis+cluster://USER:PASSWORD@HOST:6379,HOST:6379

The user and the password are those of the servers; Sentinels may have their own. ``rediss+…`` is for TLS. Not all
servers need be named: any of them tells of the others.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.sentinel
import redis.cluster
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, parse_url
from redis.retry import Retry

from streamlab.servers.packing import pack_in_c

SCHEMES = ("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
#: Seconds that one Sentinel is given to answer, before the next one is asked.
_SENTINEL_TIMEOUT = 1.0
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Several:
    """What a URL says of several servers. The settings hold passwords."""

    is_cluster: bool
    addresses: tuple[tuple[str, int], ...]
    service: str
    """What the Sentinels call the primary and its replicas."""
    settings: dict[str, Any] = field(repr=False)
    sentinel_settings: dict[str, Any] = field(repr=False)

    @property
    def where(self) -> str:
        """The addresses, in words."""
        return _in_words((f"{host}:{port}" for host, port in self.addresses), self.service)

    def _try_settings(self) -> None:
        """Make a connection object without connecting: a cluster's client ignores parameters that are unknown."""
        of_pool = ("ssl", "max_connections")
        connection: type[Any] = SSLConnection if "ssl" in self.settings else Connection
        connection(**{name: value for name, value in self.settings.items() if name not in of_pool})

    def async_client(self, kind: type[Any], **settings: Any) -> Any:
        """Return an asyncio client of whichever server is the primary; of a cluster, a `RedisCluster`."""
        self._try_settings()
        settings = self.settings | settings | {"retry": AsyncRetry(NoBackoff(), 0)}
        if self.is_cluster:
            if not issubclass(kind, redis.asyncio.RedisCluster):
                kind = redis.asyncio.RedisCluster
            nodes = [redis.asyncio.cluster.ClusterNode(*address) for address in self.addresses]
            return kind(startup_nodes=nodes, require_full_coverage=False, **settings)
        sentinels: Any = _AsyncSentinels(  # type: ignore[no-untyped-call]
            self.addresses, sentinel_kwargs=self.sentinel_settings | {"retry": AsyncRetry(NoBackoff(), 0)}, **settings
        )
        client = sentinels.master_for(self.service, kind, _AsyncPool)
        pack_in_c(client.connection_pool)
        return client

    def client(self, kind: type[Any], **settings: Any) -> Any:
        """Return the same without asyncio; a cluster is asked at once which servers there are."""
        self._try_settings()
        settings = self.settings | settings | {"retry": Retry(NoBackoff(), 0)}
        if self.is_cluster:
            if not issubclass(kind, redis.RedisCluster):
                kind = redis.RedisCluster
            node: Any = redis.cluster.ClusterNode
            nodes = [node(*address) for address in self.addresses]
            return kind(startup_nodes=nodes, require_full_coverage=False, **settings)
        sentinels: Any = _Sentinels(  # type: ignore[no-untyped-call]
            self.addresses, sentinel_kwargs=self.sentinel_settings | {"retry": Retry(NoBackoff(), 0)}, **settings
        )
        return sentinels.master_for(self.service, kind, _Pool)


def is_cluster(url: str) -> bool:
    """Tell whether a URL is that of a cluster."""
    return url.partition("://")[0].endswith("+cluster")


def parse_several(url: str) -> Several | None:
    """Return what a URL says of several servers; None if it is one server's. `ValueError`: it makes no sense."""
    scheme, _, _ = url.partition("://")
    if scheme not in SCHEMES:
        return None
    tls, _, how = scheme.partition("+")
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    is_cluster = how == "cluster"
    service, _, db = ("", "", parts.path.strip("/")) if is_cluster else parts.path.strip("/").partition("/")
    if bool(service) == is_cluster or not (db or "0").isdecimal() or (is_cluster and int(db or 0)):
        raise ValueError("there is no such service or database")
    of_servers, of_sentinels = [], {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if is_cluster or name not in ("sentinel_username", "sentinel_password"):
            of_servers.append((name, value))
        else:
            of_sentinels[name.removeprefix("sentinel_")] = value
    # redis-py knows the types of the parameters; the address is none of theirs.
    plain = f"{tls}://{user}{at}localhost/{db}" + (f"?{urlencode(of_servers)}" if of_servers else "")
    settings: dict[str, Any] = parse_url(plain)  # type: ignore[no-untyped-call]
    del settings["host"]
    if settings.pop("connection_class", None) is SSLConnection:
        settings["ssl"] = True
    return Several(
        is_cluster=is_cluster,
        addresses=tuple(_address(host, 6379 if is_cluster else 26379) for host in hosts.split(",")),
        service=unquote(service),
        settings=settings,
        sentinel_settings={
            **of_sentinels,
            **{name: value for name, value in settings.items() if name.startswith("ssl")},
            "protocol": 2,
            "decode_responses": True,
            "socket_timeout": _SENTINEL_TIMEOUT,
            "socket_connect_timeout": _SENTINEL_TIMEOUT,
        },
    )


def _address(text: str, default_port: int) -> tuple[str, int]:
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError("not a host and its port")
    return found[1].strip("[]"), int(found[2] or default_port)


def where_several(client: Any) -> str | None:
    """Return the addresses of a client of several servers, in words; None if it is one server's."""
    if hasattr(client, "nodes_manager"):
        return _in_words(client.nodes_manager.startup_nodes)
    pool = client.connection_pool
    if not isinstance(pool, _Pool | _AsyncPool):
        return None
    settings = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
    return _in_words((f"{each['host']}:{each['port']}" for each in settings), pool.service_name)


def _in_words(addresses: Iterable[str], service: str = "") -> str:
    return f"{', '.join(sorted(addresses))} ({f'Sentinels, service {service!r}' if service else 'cluster'})"


def at_key(client: Any, key: str) -> dict[str, Any]:
    """Return the option that sends a command without a key to the server that holds this key, if there are several."""
    if isinstance(client, redis.asyncio.RedisCluster):
        return {"target_nodes": client.get_node_from_key(key)}
    return {}


def at_keys(client: Any, keys: Iterable[str]) -> list[dict[str, Any]]:
    """Return the options that send a command to each server, once, that holds one of these keys; see `at_key`."""
    options = [at_key(client, key) for key in keys]
    return [option for n, option in enumerate(options) if option not in options[:n]]


async def nodes_of(client: Any) -> dict[str, dict[str, Any]]:
    """Return what a cluster's nodes are, as one that answers says (``CLUSTER NODES``); none, if there is no cluster."""
    if not isinstance(client, redis.asyncio.RedisCluster):
        return {}
    for node in client.get_nodes():
        with contextlib.suppress(redis.RedisError, redis.RedisClusterException, OSError):  # the next one may answer
            told: dict[str, dict[str, Any]] = await client.execute_command("CLUSTER NODES", target_nodes=node)
            return told
    return {}


class _AsyncSentinels(redis.asyncio.sentinel.Sentinel):
    """Sentinels that say why they name no primary, if that will not pass: a refused password, an unknown service."""

    async def discover_master(self, service_name: str) -> Any:
        try:
            return await super().discover_master(service_name)
        except redis.asyncio.sentinel.MasterNotFoundError:
            for sentinel in self.sentinels:
                with _what_passes_is_ignored():
                    await sentinel.sentinel_master(service_name)
            raise


class _Sentinels(redis.sentinel.Sentinel):
    """The same without asyncio."""

    def discover_master(self, service_name: str) -> Any:
        try:
            return super().discover_master(service_name)  # type: ignore[no-untyped-call]
        except redis.sentinel.MasterNotFoundError:
            for sentinel in self.sentinels:
                with _what_passes_is_ignored():
                    sentinel.sentinel_master(service_name)
            raise


@contextlib.contextmanager
def _what_passes_is_ignored() -> Iterator[None]:
    """Raise what a Sentinel will say again, but not that it cannot be reached."""
    try:
        yield
    except redis.AuthenticationError:
        raise
    except (redis.ConnectionError, redis.TimeoutError):
        return


class _AsyncPool(redis.asyncio.sentinel.SentinelConnectionPool):
    """A pool that takes its connections to the Sentinels with it."""

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


class _Pool(redis.sentinel.SentinelConnectionPool):
    """The same without asyncio."""

    def close(self) -> None:
        super().close()
        self.sentinel_manager.close()
