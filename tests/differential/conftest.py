"""The servers to compare with: every one on the PATH."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .compare import Pair
from .wire import PrivateServer, identify, programs


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "real_server" in metafunc.fixturenames:
        found = programs()
        metafunc.parametrize("real_server", found, ids=map(_name, found), indirect=True)


def _name(program: str) -> str:
    kind, version = identify(program)
    return f"{kind}-{'.'.join(map(str, version))}"


@pytest.fixture(scope="session")
def real_server(request: pytest.FixtureRequest) -> Iterator[PrivateServer]:
    """A private server; without one on the PATH the tests that need it are skipped."""
    with PrivateServer(request.param) as server:
        yield server


@pytest.fixture
def pair(real_server: PrivateServer) -> Iterator[Pair]:
    """An empty server and an empty model that are given the same commands."""
    pair = Pair(real_server)
    yield pair
    pair.close()
