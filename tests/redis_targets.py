"""Servers that a test may be given, each with a way to connect ordinary redis-py clients to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import fakeredis
import redis

from streamlab.connection import sync_stream_client
from streamlab.embedded import EmbeddedServer


@dataclass
class Target:
    """A server under test: ordinary redis-py clients of it, and how many of them are blocked."""

    connect: Callable[[], redis.Redis]
    n_blocked: Callable[[], int]


def embedded(version: tuple[int, int, int] = (7, 0, 15)) -> Target:
    server = EmbeddedServer(version=version)
    return Target(server.client, lambda: server._server.n_blocked)


def as_shipped() -> Target:
    """Give fakeredis as it is."""
    server = fakeredis.FakeServer(version=(7, 0, 15))
    return Target(
        lambda: fakeredis.FakeRedis(server=server, decode_responses=True, protocol=2),
        lambda: sum(socket._blocked for socket in server.sockets),
    )


def real(url: str) -> Target:
    client = sync_stream_client(url)
    return Target(
        lambda: sync_stream_client(url), lambda: client.info("clients")["blocked_clients"]
    )
