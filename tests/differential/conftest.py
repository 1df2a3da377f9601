"""The servers to compare with: every one on the PATH."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from streamlab.servers.programs import ServerBinary, find_servers

from ..conftest import NO_SERVER
from ..redis_targets import each_server
from .compare import Pair
from .embedded import WAYS, EmbeddedPair
from .wire import Server


@functools.cache  # each program is run to ask for its version, and this is asked for each test here
def servers() -> list[ServerBinary]:
    return find_servers()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "real_server" in metafunc.fixturenames:
        none = pytest.param(None, id="none", marks=pytest.mark.skip(reason=NO_SERVER))
        # The newest Redis has commands that the first one on the PATH need not have.
        newest_first = sorted(servers()[1:], key=lambda each: (each.kind == "redis", each.version), reverse=True)
        metafunc.parametrize("real_server", each_server([*servers()[:1], *newest_first], 2) or [none], indirect=True)


@pytest.fixture(scope="session")
def real_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A private server; without one on the PATH the tests that need it are skipped."""
    with Server(request.param.path) as server:
        yield server


@pytest.fixture
def model_pair(real_server: Server) -> Iterator[Pair]:
    """An empty server and an empty model that are given the same commands."""
    pair = Pair(real_server)
    yield pair
    pair.close()


SINGLY = [way for way in WAYS if not way.is_pipelined]


@pytest.fixture(params=[None, *SINGLY], ids=["model", *(f"embedded-{way}" for way in SINGLY)])
def pair(request: pytest.FixtureRequest, real_server: Server) -> Iterator[Pair]:
    """The same with the model, and with the embedded server in its place."""
    way = request.param
    pair = Pair(real_server) if way is None else EmbeddedPair(real_server, way)
    yield pair
    pair.close()


# Replies in RESP3 are compared byte for byte only.
FEW = [way for way in SINGLY if way.by == "socket" or way.protocol == 2]


@pytest.fixture(params=FEW, ids=[str(way) for way in FEW])
def embedded_pair(request: pytest.FixtureRequest, real_server: Server) -> Iterator[EmbeddedPair]:
    """An empty server and an empty embedded one, asked in each way but with pipelines."""
    pair = EmbeddedPair(real_server, request.param)
    yield pair
    pair.close()
