"""What the tests of servers are given: an embedded server, and ways to reach it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from streamlab.servers.client import sync_stream_client
from streamlab.servers.embedded import EmbeddedServer
from tests.differential.wire import Connection
from tests.redis_targets import Client, Target, embedded, real
from tests.servers.embedded_helpers import path_of


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    server = EmbeddedServer()
    yield server
    server.close()


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Client]:
    """A client within this process."""
    with server.client() as client:
        yield client


@pytest.fixture(params=["embedded", "socket", pytest.param("real", marks=pytest.mark.redis)])
def target(request: pytest.FixtureRequest, server: EmbeddedServer) -> Iterator[Target]:
    """The embedded server, from within and as others reach it, and a real one: what holds here holds on all."""
    if request.param == "real":
        yield real(request.getfixturevalue("redis_url"))
    elif request.param == "socket":
        url = server.url
        yield Target(lambda: sync_stream_client(url), lambda: server._server.n_blocked)
        server.close()
    else:
        yield embedded()


@pytest.fixture
def clients(target: Target) -> Iterator[Callable[[], Client]]:
    """Make clients that are closed at the end."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(target.connect())


@pytest.fixture
def reach(server: EmbeddedServer) -> Iterator[Callable[..., Connection]]:
    """Make raw connections over the socket, which are closed at the end."""
    with ExitStack() as stack:

        def connect(protocol: int = 2) -> Connection:
            connection = Connection(path_of(server), protocol, exact=True)
            stack.callback(connection.close)
            return connection

        yield connect


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start programs of one's own, with arguments; they end with the test."""
    with ExitStack() as stack:

        def run(program: str, *args: str) -> subprocess.Popen[str]:
            process = stack.enter_context(
                subprocess.Popen([sys.executable, "-c", program, *args], stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            return process

        yield run
