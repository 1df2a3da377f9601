"""Servers with a stream to be watched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamlab import find_servers, sync_stream_client
from tests.redis_targets import each_server
from tests.watch.watched import Place, fill, serving


@pytest.fixture(params=["embedded", "embedded as of 8.6", *each_server(find_servers())])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """The stream on each kind of server."""
    with serving(request.param) as made:
        yield made


@pytest.fixture
def real(redis_url: str) -> Iterator[Place]:
    """The stream on the session's real server."""
    with sync_stream_client(redis_url) as client:
        fill(client)
        yield Place(redis_url, client)
