"""What the tests of actors are given."""

from __future__ import annotations

import pytest

from streamlab.servers.private import PrivateServer
from tests.actors.world import KINDS, World, make_world


@pytest.fixture(params=KINDS)
def world(request):
    return make_world(request)


@pytest.fixture(params=KINDS[1:])
def wire(request):
    """A world whose clients may be given settings: bytes, strictness."""
    return make_world(request)


@pytest.fixture
def server(server_binary):
    with PrivateServer(server_binary) as server:
        yield server


@pytest.fixture
def own(server):
    """A world on a real server of its own, which may be made to refuse what it likes."""
    return World("real", server.url)
