"""A stream to be watched, on a server of any kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from streamlab import EmbeddedServer, PrivateServer, sync_stream_client
from streamlab.servers.programs import ServerBinary

STREAM, GROUP, DEAD = "{orders}:events", "billing", "{orders}:dead"


def fill(client: Any) -> None:
    """Add 30 entries; C1 and C2 are given 10 each, C2 has acknowledged 3, and 2 are dead letters."""
    for number in range(30):
        client.xadd(STREAM, {"number": number}, id=f"{number + 1}-0")
    client.xgroup_create(STREAM, GROUP, "0")
    for name in ("C1", "C2"):
        client.xreadgroup(GROUP, name, {STREAM: ">"}, count=10)
    client.xack(STREAM, GROUP, "11-0", "12-0", "13-0")
    for number in range(2):
        client.xadd(DEAD, {"number": number})


@dataclass
class Place:
    """A server with a stream, a client for what others do, and the URL."""

    url: str
    others: Any


@contextmanager
def serving(server: str | ServerBinary) -> Iterator[Place]:
    if isinstance(server, ServerBinary):
        with PrivateServer(server) as private, sync_stream_client(private.url) as client:
            fill(client)
            yield Place(private.url, client)
        return
    embedded = EmbeddedServer(version=(7, 0, 15) if server == "embedded" else (8, 6, 0))
    with embedded.client() as client:
        fill(client)
        yield Place(embedded.url, client)
    embedded.close()
