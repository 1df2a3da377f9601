"""The pytest plugin: fixtures, and the marker `streams`. What they need is imported when a test asks for it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from streamlab.testing.asked import ASKED, Asked

if TYPE_CHECKING:
    from streamlab.servers.embedded import EmbeddedServer
    from streamlab.servers.private import PrivateServer
    from streamlab.testing.simulation import Simulation

#: How many schedules a marked test is given, if it does not say.
_SCHEDULES = 20


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("streams", "consumers of Redis Streams under faults (streamlab)")
    group.addoption("--streams-seed", type=int, metavar="N", help="try the schedule of this seed only")
    group.addoption("--streams-schedules", type=int, metavar="N", help="try so many schedules, whatever tests say")
    group.addoption("--streams-jobs", type=int, metavar="N", help="try them in so many processes (needs joblib)")
    group.addoption("--streams-dask", metavar="ADDRESS", help="try them by the workers of this Dask scheduler")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"streams(schedules={_SCHEDULES}, seed=1, **options): a test that asks for the fixture `streams` is given a "
        "schedule of faults each time; options are those of streamlab.testing.assert_survives",
    )
    for what in vars(ASKED):
        setattr(ASKED, what, config.getoption(f"--streams-{what}"))


def pytest_unconfigure() -> None:
    vars(ASKED).update(vars(Asked()))


class Streams:
    """One schedule of faults, for a test that is marked with `streams`.

    `seed` is its number; `options` what the marker says beside.
    """

    def __init__(self, seed: int, options: dict[str, Any]) -> None:
        self.seed, self.options = seed, options

    def __repr__(self) -> str:
        return f"<schedule {self.seed}>"

    def assert_survives(self, consumer: Any, **options: Any) -> None:
        """Run a consumer under this schedule; see `streamlab.testing.assert_survives`."""
        __tracebackhide__ = True
        from streamlab.testing import assert_survives

        seed = self.seed if ASKED.seed is None else ASKED.seed
        assert_survives(consumer, seed=seed, schedules=1, **{**self.options, **options})


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("streams")
    if mark is None or not _is_ours(metafunc):
        return
    options = dict(mark.kwargs)
    schedules, first = options.pop("schedules", _SCHEDULES), options.pop("seed", 1)
    seeds = range(first, first + (ASKED.schedules or schedules)) if ASKED.seed is None else [ASKED.seed]
    metafunc.parametrize(
        "streams", [Streams(n, options) for n in seeds], indirect=True, ids=[f"seed-{n}" for n in seeds]
    )


def _is_ours(metafunc: pytest.Metafunc) -> bool:
    """Whether the fixture `streams` that a test asks for is this plugin's, and not another of the project's own."""
    named: Any = getattr(metafunc.definition, "_fixtureinfo", None)
    found: Any = named.name2fixturedefs.get("streams", ()) if named is not None else ()
    return bool(found) and getattr(found[-1].func, "__module__", "") == __name__


@pytest.fixture
def streams(request: pytest.FixtureRequest) -> Streams:
    """One schedule of faults; with the marker `streams`, a test is given many, one after the other."""
    given: Streams | None = getattr(request, "param", None)
    return given or Streams(1, {})


@pytest.fixture
def simulated_redis(request: pytest.FixtureRequest) -> Iterator[Simulation]:
    """A simulated server and its clients in virtual time; `async def` tests that ask for it run in it."""
    from streamlab.testing.simulation import Simulation

    if type(request.node).__module__.startswith("pytest_asyncio") or request.node.get_closest_marker("anyio"):
        pytest.fail(
            "another plugin runs this async test, in real time: make it an ordinary one that calls "
            "simulated_redis.run(…); or take its marker away, or set asyncio_mode = strict",
            pytrace=False,
        )
    simulation = Simulation()
    yield simulation
    simulation.close()


@pytest.fixture
def embedded_redis() -> Iterator[EmbeddedServer]:
    """A Redis within this process: `client()`, `async_client()`, and a `url` for other processes."""
    from streamlab.servers.embedded import EmbeddedServer

    server = EmbeddedServer()
    yield server
    server.close()


@pytest.fixture
def private_redis() -> Iterator[PrivateServer]:
    """A real server of the test's own, at its `url`; the test steps aside where there is no server program."""
    from streamlab.servers.private import PrivateServer
    from streamlab.servers.programs import ServerStartError, best_server

    try:
        program = best_server()
    except ServerStartError as error:
        pytest.skip(f"private_redis: {error}")
    with PrivateServer(program) as server:
        yield server


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test that asks for `simulated_redis` in its virtual time."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj) or "simulated_redis" not in pyfuncitem.fixturenames:
        return None
    simulation = pyfuncitem.funcargs["simulated_redis"]
    if not hasattr(simulation, "run") or type(simulation).__module__ != "streamlab.testing.simulation":
        return None
    names = pyfuncitem._fixtureinfo.argnames
    simulation.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
