"""``streamlab serve``, and a live run's server that stays: what other programs look at until they have seen enough."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Callable

from streamlab.cli.progress import progress
from streamlab.cli.report import print_run
from streamlab.lab.live import LiveEngine
from streamlab.lab.running import run_coroutine
from streamlab.lab.timeline import Progress
from streamlab.results.run import Run
from streamlab.scenario import Scenario, ScenarioError, load_scenario
from streamlab.servers.embedded import EmbeddedServer
from streamlab.servers.stopping import Stopped

#: Where nobody but this machine's own users comes in.
_LOCAL = ("127.0.0.1", "::1", "localhost")
_HIGHEST_PORT = 65_535


def serve(*, host: str, port: int, scenario: str | None) -> int:
    """Serve the embedded server on a TCP port until it is stopped; return the exit status."""
    check_port(port)
    played = None if scenario is None else load_scenario(scenario)
    if played is not None and played.needs_persistence:
        raise ScenarioError(f"{played.name} takes its server down, which the embedded one cannot: leave --scenario out")
    server = EmbeddedServer()
    try:
        url = server.listen(host, port)
        if host not in _LOCAL:
            print(
                f"streamlab: warning: whoever reaches {host} may read, change and delete everything: there is no "
                "password, no TLS, and no limit",
                file=sys.stderr,
            )
        print(
            f"{url} is the embedded server, with streams as of Redis {'.'.join(map(str, server.version))}: for courses "
            "and tools, no production server, and nothing is kept. Ctrl-C ends it.",
            flush=True,
        )
        _stay(played, url)
    except Stopped as stopped:
        if stopped.signum != signal.SIGINT:
            raise
    finally:
        server.close()
    return 0


def _stay(scenario: Scenario | None, url: str) -> None:
    """Play a scenario, if there is one, and stay until a signal comes."""
    if scenario is None:
        threading.Event().wait()
        return
    with progress(scenario, quiet=False) as show:
        run_and_stay(LiveEngine(scenario, redis_url=url), show, print_run)


def run_and_stay(engine: LiveEngine, show: Progress | None, tell: Callable[[Run], None]) -> None:
    """Run a scenario live, tell of it, and leave its server and its keys as they are until a signal comes."""

    async def work() -> None:
        async with engine:
            tell(await engine.run(show))
            sys.stdout.flush()
            await asyncio.Event().wait()

    run_coroutine(work, lambda: engine.is_closing)


def check_port(port: int | None) -> None:
    """Refuse what is no port."""
    if port is not None and not 0 <= port <= _HIGHEST_PORT:
        raise ScenarioError(f"--port is {port}: a port is a number up to {_HIGHEST_PORT}")


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
