"""What every test may use: private real servers, and a polite step aside where there is none.

``pytest --redis-server PATH`` (or STREAMLAB_TEST_SERVER) runs against another server program; the tests that
ask for `server_binary` otherwise run against each one found on the PATH.

A test that is not marked may run beside any others, however busy the machine. One that looks at real times, or at what
processes do meanwhile, says so: ``@pytest.mark.real_time("why")``. ``make test`` runs the first by
``--real-time=without``, then the second by ``--real-time=only``, which mostly wait, and then the lessons.

What tries the same again, on another server, with more seeds or at greater length, or takes long, says so as well:
``@pytest.mark.further("how")``. ``make test`` leaves that to ``make further``; continuous integration runs both.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from streamlab.results.run import EngineName
from streamlab.servers.client import sync_stream_client
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerBinary, ServerStartError, find_servers, identify_server, usable_servers
from tests import browser
from tests.redis_targets import AnyServer, any_server, each_server, names_of_servers

NO_SERVER = (
    "no redis-server or valkey-server on the PATH, so nothing was tried on a real one "
    "(Debian, Ubuntu: apt install redis-server)"
)
_SERVER_FIXTURES = {"server_binary", "default_server_binary", "redis_server", "redis_url"}
# A busy machine is no reason to fail: how long an example took says something of the machine, and not of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
_binaries = pytest.StashKey[list[ServerBinary]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--redis-server",
        default=os.environ.get("STREAMLAB_TEST_SERVER"),
        metavar="PATH",
        help="server program to test with, instead of those on the PATH",
    )
    for option, whose in (("--real-time", "of real time"), ("--further", "that try the same further")):
        parser.addoption(option, choices=["only", "without"], help=f"only the tests {whose}, or those without")
    parser.addoption("--lite", metavar="FOLDER", help="the site that `make lite` has made, to be tried: tests/lite")
    parser.addoption("--panel-figures", metavar="FOLDER", help="put the control panel's pictures into this folder")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "redis: needs a real redis-server or valkey-server")
    config.addinivalue_line("markers", "browser: needs Chromium and playwright")
    config.addinivalue_line("markers", "real_time(reason): compares real times, or looks at processes meanwhile")
    config.addinivalue_line("markers", "further(reason): tries the same again, elsewhere or at greater length")
    # As in the background of a script, or under nohup; and whatever is started here would ignore them as well.
    for signum, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(signum) == signal.SIG_IGN:
            signal.signal(signum, usual)
    wanted = config.getoption("--redis-server")
    try:
        found = [identify_server(wanted)] if wanted else find_servers()
    except ServerStartError as error:
        raise pytest.UsageError(f"--redis-server: {error}") from error
    config.stash[_binaries] = found


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the tests of the site for a browser alone, unless there is one: `make trylite` makes it."""
    return True if collection_path.name == "lite" and not config.getoption("--lite") else None


def pytest_report_header(config: pytest.Config) -> str:
    found = config.stash[_binaries]
    return f"servers: {', '.join(map(str, found))}" if found else f"servers: {NO_SERVER}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    found = metafunc.config.stash[_binaries]
    if "server_binary" in metafunc.fixturenames:
        metafunc.parametrize("server_binary", each_server(found) or [pytest.param(None, id="none")])
    if "server_everywhere" in metafunc.fixturenames:
        metafunc.parametrize("server_everywhere", names_of_servers(found), indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    no_browser = browser.missing()
    for item in items:
        if no_browser and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=no_browser))
        if _SERVER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.redis)
        if item.get_closest_marker("redis") and not config.stash[_binaries]:
            item.add_marker(pytest.mark.skip(reason=NO_SERVER))
    for option, is_one in (("--real-time", is_real_time), ("--further", is_further)):
        if part := config.getoption(option):
            chosen = [item for item in items if is_one(item) == (part == "only")]
            config.hook.pytest_deselected(items=[item for item in items if is_one(item) != (part == "only")])
            items[:] = chosen


def is_real_time(item: pytest.Item) -> bool:
    """Whether a test is one of real time; those in a browser are."""
    return has_reason(item, "real_time") or item.get_closest_marker("browser") is not None


def is_further(item: pytest.Item) -> bool:
    """Whether a test tries what another one has tried."""
    return has_reason(item, "further")


def has_reason(item: pytest.Item, name: str) -> bool:
    """Whether a test has a marker that gives a reason; without one, it is an error."""
    mark = item.get_closest_marker(name)
    if mark and not (len(mark.args) == 1 and isinstance(mark.args[0], str)):
        raise pytest.UsageError(f"{item.nodeid}: say why: @pytest.mark.{name}('…')")
    return mark is not None


@pytest.fixture(scope="session")
def default_server_binary(pytestconfig: pytest.Config) -> ServerBinary:
    """The server program that `redis_server` runs."""
    return pytestconfig.stash[_binaries][0]


@pytest.fixture(scope="session")
def other_server_binaries(pytestconfig: pytest.Config) -> list[ServerBinary]:
    """Those on the PATH but for the first, on which a lab and the lessons run unless they are told otherwise."""
    usable, _ = usable_servers()
    others = [each for each in pytestconfig.stash[_binaries] if each not in usable[:1]]
    if not others:
        pytest.skip("no second redis-server or valkey-server on the PATH")
    return others


@pytest.fixture(scope="session")
def redis_server(default_server_binary: ServerBinary) -> Iterator[PrivateServer]:
    """A private real server for the whole session: do not kill it; `redis_url` gives it empty."""
    with PrivateServer(default_server_binary) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: PrivateServer) -> str:
    """The URL of the session's server, emptied (``FLUSHALL``)."""
    with sync_stream_client(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def server_everywhere(request: pytest.FixtureRequest) -> Iterator[AnyServer]:
    """A server, once of each kind: simulated, embedded, and each program on the PATH."""
    with any_server(request.param) as server:
        yield server


@pytest.fixture(
    params=["simulated", pytest.param("live", marks=[pytest.mark.redis, pytest.mark.real_time("runs real processes")])]
)
def engine(request: pytest.FixtureRequest) -> EngineName:
    """Each engine in turn: what holds on both is written once. `Lab.wait_until` lets time pass on either."""
    name: EngineName = request.param
    return name


Eventually = Callable[..., None]


@pytest.fixture
def eventually() -> Eventually:
    """Wait for a condition instead of sleeping: ``eventually(lambda: …, "what should have happened")``."""
    return _eventually


def _eventually(condition: Callable[[], object], what: str, timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"within {timeout:g} s, {what}: it did not happen")
        time.sleep(0.01)
