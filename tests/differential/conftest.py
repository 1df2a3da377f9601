"""The servers to compare with: every one on the PATH."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamlab.servers import find_servers

from .compare import Pair
from .wire import Server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "real_server" in metafunc.fixturenames:
        found = find_servers()
        names = [f"{each.kind}-{'.'.join(map(str, each.version))}" for each in found]
        programs = [each.path for each in found]
        metafunc.parametrize("real_server", programs, ids=names, indirect=True)


@pytest.fixture(scope="session")
def real_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A private server; without one on the PATH the tests that need it are skipped."""
    with Server(request.param) as server:
        yield server


@pytest.fixture
def pair(real_server: Server) -> Iterator[Pair]:
    """An empty server and an empty model that are given the same commands."""
    pair = Pair(real_server)
    yield pair
    pair.close()
