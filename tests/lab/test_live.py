"""The live engine: real processes, a real server, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from streamlab.cli import main
from streamlab.lab import live
from streamlab.lab.both import run_both
from streamlab.lab.course import Course
from streamlab.lab.lab import Lab, LabError
from streamlab.lab.live import LiveEngine, LiveStage
from streamlab.results.comparison import Agreement, Comparison
from streamlab.results.run import Run
from streamlab.scenario import Arrivals, Scenario, Service, consumers, load_scenario, producers, to_toml
from streamlab.servers.client import ServerUnusable, sync_stream_client
from streamlab.servers.private import PrivateServer
from tests import agreement
from tests.further import beyond
from tests.process_table import runs, workers

pytestmark = [pytest.mark.real_time("compares live runs with what the scenario says"), pytest.mark.redis]

SHORT = Scenario(
    name="short",
    producers=producers(2, Arrivals("constant", rate=100)),
    consumers=consumers(2, Service("constant", mean=0.002)),
    duration=1.0,
)


def descendants(pid: int) -> dict[int, str]:
    """Return the processes below one, with their command lines."""
    listing = subprocess.run(
        ["ps", "-axww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [(int(p), int(pp), args) for p, pp, args in (line.split(None, 2) for line in listing.splitlines())]
    found: dict[int, str] = {}
    frontier = {pid}
    while frontier:
        frontier = {p for p, parent, _ in rows if parent in frontier}
        found |= {p: args for p, _, args in rows if p in frontier}
    return found


def assert_right_and_wrong_are_told_apart(comparison: Comparison) -> None:
    """The simulation agrees with the live run, as far as this machine lets us tell; wrong ones of it are found."""
    print(comparison)
    live = comparison.other
    assert live.broken() == []
    assert comparison.verdict != Agreement.DIFFERS, f"\n{comparison}"
    slow = Comparison(agreement.slower(live), live)
    assert slow.verdict == Agreement.DIFFERS, f"\nserved a fifth longer:\n{slow}"
    for part in live.groups.values():
        if len(part.consumers) > 1:
            uneven = Comparison(agreement.uneven(part), part)
            moved = {"share of C1", f"share of C{len(part.consumers)}"}
            found = {row.what: row.agreement for row in uneven.rows() if row.what in moved}
            assert found.keys() == moved
            assert Agreement.AGREES not in found.values(), f"\nshares moved:\n{uneven}"
            # While one stood still for so long, others may have done as many entries as were moved here.
            longest = max(wait.longest for wait in part.waits.values())
            if longest < 0.025 * part.acked * part.service:
                assert {*found.values()} == {Agreement.DIFFERS}, f"\nshares moved:\n{uneven}"


@pytest.mark.parametrize("name", beyond(2, ["one-to-one", "many-to-many", "one-to-many", "many-to-one"], "other loads"))
def test_both_engines_agree(name):
    """Shares, service and sojourn times within tolerance, nothing lost or duplicated; a wrong simulation is found."""
    assert_right_and_wrong_are_told_apart(run_both(name))


def test_both_engines_agree_on_two_groups():
    """Each of them: their shares, service and sojourn times."""
    assert_right_and_wrong_are_told_apart(run_both(load_scenario("two-groups").faster(40).replace(duration=10.0)))


@pytest.mark.further("on a busy machine")
def test_both_engines_agree_beside_busy_loops():
    """On a machine that keeps its workers waiting, a right simulation and a wrong one are told apart as well."""
    scenario = load_scenario("one-to-many").replace(duration=4.0)
    with agreement.busy_loops(os.cpu_count() or 1):
        comparison = run_both(scenario)
    assert max(wait.total for wait in comparison.other.waits.values()) > 0
    assert_right_and_wrong_are_told_apart(comparison)


def test_a_run_on_a_server_of_ones_own_leaves_nothing_there(redis_url):
    """The stream is deleted at the end; what was there before is untouched."""
    with sync_stream_client(redis_url) as client:
        client.set("mine", "untouched")
        run = Lab(SHORT, engine="live", redis_url=redis_url).run()
        assert (run.added, run.processed, run.lost) == (200, 200, 0)
        assert client.keys() == ["mine"]


@pytest.mark.parametrize(("kind", "words"), [("string", "holds a string"), ("stream", "exists already")])
def test_somebody_elses_key_is_not_touched(redis_url, kind, words):
    """A key that exists already is refused, and is the same afterwards."""
    with sync_stream_client(redis_url) as client:
        if kind == "string":
            client.set("orders", "x")
        else:
            client.xadd("orders", {"somebody": "else's"})
        before = client.dump("orders")
        with pytest.raises(ServerUnusable, match=words):
            Lab(SHORT, engine="live", redis_url=redis_url).run()
        assert client.dump("orders") == before


def test_a_worker_that_fails_is_named_with_its_words(redis_url, monkeypatch):
    """The server runs out of memory in the middle of a run: the producers' OOM is told, nothing hangs."""
    monkeypatch.setattr(live, "PATIENCE", 3.0)

    async def main() -> Run:
        async with LiveEngine(SHORT.replace(drain=5.0), redis_url=redis_url) as engine:
            running = asyncio.create_task(engine.run())
            async with asyncio.timeout(30):
                while not engine.log:
                    await asyncio.sleep(0.01)
            await engine.client.config_set("maxmemory", "1")
            try:
                return await running
            finally:
                await engine.client.config_set("maxmemory", "0")

    run = asyncio.run(main())
    assert set(run.errors) == {"P1", "P2"}
    assert all("memory" in words for words in run.errors.values())
    assert {line.split(":")[0] for line in run.broken()} == {"P1 ended by itself", "P2 ended by itself"}
    assert run.lost == 0  # what was added is still read and acknowledged


@pytest.mark.parametrize("first", ["who looks after its process", "a client"])
def test_a_server_that_goes_away_is_told(first, monkeypatch):
    """SIGKILL of the server in the middle of a run: one clear error whoever sees it first, no hanging, nothing left."""

    def ping(stage: Any) -> None:
        with sync_stream_client(stage._private.url) as client:
            client.ping()

    if first == "a client":
        monkeypatch.setattr(LiveStage, "check_alive", ping)

    async def main() -> list[int | None]:
        async with LiveEngine(SHORT) as engine:
            running = asyncio.create_task(engine.run())
            async with asyncio.timeout(30):
                while not engine.log:
                    await asyncio.sleep(0.01)
            pids = [worker.pid for worker in engine.course.processes.values()]
            assert isinstance(engine.stage._private, PrivateServer)
            engine.stage._private.kill()
            with pytest.raises(LabError, match=r"went away in the middle of the run; its last words: .*\w"):
                await running
            return pids

    pids = asyncio.run(main())
    assert not any(runs(pid) for pid in pids if pid is not None)
    assert None not in pids


def test_a_server_that_goes_away_at_the_very_end_is_told_alike(monkeypatch):
    """When all is done, and it is to be asked what it holds."""

    async def main() -> None:
        async with LiveEngine(SHORT) as engine:
            run = engine.course.run

            async def run_and_kill() -> None:
                await run()
                assert isinstance(engine.stage._private, PrivateServer)
                engine.stage._private.kill()

            monkeypatch.setattr(engine.course, "run", run_and_kill)
            with pytest.raises(LabError, match=r"went away in the middle of the run; its last words: .*\w"):
                await engine.run()

    asyncio.run(main())


def test_a_run_that_is_cancelled_as_its_server_comes_back_leaves_none(monkeypatch):
    """Who ends the server waits for the thread that starts it again, or it would be started behind his back."""
    at_work, restart, is_there = threading.Event(), PrivateServer.restart, []

    def slow_restart(server: PrivateServer, timeout: float) -> PrivateServer:
        at_work.set()
        threading.Event().wait(2.0)
        try:
            return restart(server, timeout)
        finally:
            is_there.append(server.alive)

    monkeypatch.setattr(PrivateServer, "restart", slow_restart)

    async def main() -> None:
        scenario = SHORT.with_faults("server-down at 100ms for 100ms")
        async with asyncio.timeout(30), LiveEngine(scenario) as engine:
            running = asyncio.create_task(engine.run())
            while not at_work.is_set():
                await asyncio.sleep(0.01)
            server = engine.stage._private
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        assert isinstance(server, PrivateServer)
        assert is_there == [False]  # it was given up
        assert not server.alive

    asyncio.run(main())


def test_what_is_due_when_a_run_has_been_dropped_is_not_done():
    """A server that is down would be started again behind the back of who has just ended it."""

    async def main() -> list[str]:
        done: list[str] = []

        async def do(what: str) -> None:
            done.append(what)

        async with asyncio.timeout(30), LiveEngine(SHORT) as engine:
            await engine.course.do(do("before"))
            await engine.course.drop()
            await engine.course.do(do("afterwards"))
        return done

    assert asyncio.run(main()) == ["before"]


def test_a_run_is_closed_to_the_end_however_often_it_is_cancelled(monkeypatch):
    """A cancellation comes again until it has been seen: so one may come while all is being ended."""
    drop, is_dropping = Course.drop, asyncio.Event()

    async def slow_drop(course: Course) -> None:
        is_dropping.set()
        await asyncio.sleep(0.2)
        await drop(course)

    monkeypatch.setattr(Course, "drop", slow_drop)

    async def main() -> list[bool]:
        async def play(engine: LiveEngine) -> None:
            async with engine:
                await engine.run()

        engine = LiveEngine(SHORT)
        playing = asyncio.create_task(play(engine))
        async with asyncio.timeout(30):
            while not engine.log:
                await asyncio.sleep(0.01)
            pids = [worker.pid for worker in engine.course.processes.values() if worker.pid is not None]
            server = engine.stage._private
            playing.cancel()
            await is_dropping.wait()
            for _ in range(3):
                playing.cancel()
                await asyncio.sleep(0.01)
            with pytest.raises(asyncio.CancelledError):
                await playing
        assert isinstance(server, PrivateServer)
        return [server.alive, *map(runs, pids)]

    assert not any(asyncio.run(main()))


@pytest.fixture
def live_run(tmp_path):
    """A live run of a minute, as a process of its own, once all its workers are at work."""
    file = tmp_path / "long.toml"
    file.write_text(to_toml(SHORT.replace(duration=60.0)))
    lab: Any = subprocess.Popen(
        [sys.executable, "-m", "streamlab", "run", str(file), "--engine", "live"], stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while True:
        below = descendants(lab.pid)
        # Two producers and two consumers, who they are forked from, a server, and each one's guard.
        if len(workers(below)) == 4:
            break
        assert time.monotonic() < deadline, f"the workers did not start: {below}"
        assert lab.poll() is None, lab.stderr.read()
        time.sleep(0.05)
    assert any("redis-server" in args or "valkey-server" in args for args in below.values())
    time.sleep(0.5)  # somewhere in the run, not at a chosen point of it
    yield lab, list(below)
    lab.kill()
    lab.wait()
    lab.stderr.close()


def test_ctrl_c_ends_everything(live_run, eventually):
    """SIGINT: a line, status 130, and no process is left."""
    lab, below = live_run
    lab.send_signal(signal.SIGINT)
    assert lab.wait(10) == 130
    assert lab.stderr.read() == b"interrupted: workers and private servers have been ended\n"
    eventually(lambda: not any(map(runs, below)), "all workers and the server are gone")


def test_sigkill_of_the_lab_ends_everything(live_run, eventually):
    """The lab itself has no chance to clean up, and still no process is left."""
    lab, below = live_run
    lab.kill()
    eventually(lambda: not any(map(runs, below)), "all workers and the server are gone")


def test_a_wrong_password_is_one_line_and_one_attempt(redis_server, capsys):
    """No retry storm: the server counts one rejected command, not dozens."""
    with sync_stream_client(redis_server.url) as client:
        client.config_set("requirepass", "right")
        try:
            wrong = redis_server.url.replace("unix://", "unix://:wrong@")
            assert main(["run", "one-to-one", "--engine", "live", "--redis", wrong]) == 2
            errors = client.info("errorstats")
        finally:
            client.config_set("requirepass", "")
        client.config_resetstat()
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "refuses this user and password" in err
    assert "wrong" not in err.replace("WRONGPASS", "")
    assert errors["errorstat_WRONGPASS"] == {"count": 1}
