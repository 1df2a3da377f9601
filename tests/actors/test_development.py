"""The two programs of lesson 07, as they stand there: nothing is lost, and every effect happens exactly once.

They run as processes against the embedded server and against each real one, and are killed, stopped, cut off and
refused. ``python -m tests.soak.lesson`` does the same for as long as you like.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from streamlab import connect
from streamlab.servers.connect import close_servers
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerBinary
from streamlab.servers.proxy import Proxy
from tests.conftest import Eventually
from tests.process_table import runs
from tests.redis_targets import KILLED_WITH_ALL
from tests.soak.lesson import CONSUMERS, GROUP, STREAM, Figures, Service, programs, soak

pytestmark = pytest.mark.real_time("kills processes at times of its own")

PROJECT = Path(__file__).parents[2]
#: Non-blank lines that a program may have.
MOST_LINES = 67
#: Seconds in which anything here has to come about, also on a busy machine.
PATIENCE = 60.0


@pytest.fixture
def embedded_url() -> Iterator[str]:
    """The address of an embedded server, of this process, at which other processes reach it."""
    yield connect("embedded://", server="test-development").url
    close_servers("test-development")


@pytest.fixture
def service(tmp_path: Path, embedded_url: str) -> Iterator[Service]:
    """The two programs, not running yet, with an embedded server."""
    with Service(tmp_path, embedded_url) as service:
        yield service


def entries_of(client: Any) -> list[tuple[str, dict[str, str]]]:
    entries: list[tuple[str, dict[str, str]]] = client.xrange(STREAM)
    return entries


def assert_all_is_well(service: Service, n: int, eventually: Eventually) -> None:
    """Let the service do all that there is, stop it, and look at what came of it."""
    eventually(lambda: service.n_done() >= n and not service.held_by(), f"{n} are booked", PATIENCE)
    statuses = {service.terminate(name) for name in service.processes if name != "P"}
    bookings = service.bookings()
    assert sorted(bookings) == list(range(1, n + 1)), "something was lost"
    assert bookings.total() == n, "something was done twice"
    assert service.held_by() == []
    # One that is still starting does not listen yet, and has nothing to finish.
    assert statuses <= {0, -signal.SIGTERM}, service.log()
    assert service.unexpected == [], service.log()


# ---- the files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["consumer.py", "producer.py"])
def test_a_program_is_short_and_plain(name: str, tmp_path: Path) -> None:
    """Plain redis-py, no more lines than promised, and clean by the project's own rules."""
    text = programs()[name]
    assert "streamlab" not in text
    assert len([line for line in text.splitlines() if line.strip()]) <= MOST_LINES
    (tmp_path / name).write_text(text)
    ruff = shutil.which("ruff", path=os.pathsep.join([str(Path(sys.executable).parent), os.defpath]))
    if ruff is None:
        pytest.skip("ruff is not installed")
    for command in (["check"], ["format", "--check"]):
        options = ["--config", str(PROJECT / "notebooks" / "solutions" / "ruff.toml"), "--no-cache"]
        done = subprocess.run([ruff, *command, *options, tmp_path / name], capture_output=True)
        assert done.returncode == 0, done.stdout.decode()


# ---- killed and stopped ----------------------------------------------------------------------------


def run_with_kills(service: Service, eventually: Eventually, n: int, between: Callable[[], object]) -> None:
    """Let consumers share `n` departures while they and the producer are killed, with something between."""
    rng = random.Random(7)
    service.write_departures(n, rate=400)
    for name in (*CONSUMERS, "P"):
        service.start(name)
    for part in range(1, 9):
        enough = n * part // 10
        eventually(lambda enough=enough: service.n_done() >= enough, f"{enough} are booked", PATIENCE)
        if part == 4:
            between()
        name = "P" if part in (2, 6) else rng.choice(CONSUMERS)
        service.kill(name)
        if part != 5:  # this one's entries are taken over, by colleagues
            service.start(name)
        else:
            del service.processes[name]
    assert_all_is_well(service, n, eventually)


def test_kills_lose_nothing_and_double_nothing_on_the_embedded_server(service: Service, eventually: Eventually) -> None:
    run_with_kills(service, eventually, 300, between=lambda: None)


def test_kills_lose_nothing_and_double_nothing(
    tmp_path: Path, server_binary: ServerBinary, eventually: Eventually
) -> None:
    """Not even that of the server, which comes back with its append-only file."""
    with PrivateServer(server_binary, persistence="aof", options=KILLED_WITH_ALL) as server:

        def kill_server() -> None:
            server.kill()
            server.restart()

        with Service(tmp_path, server.url) as service:
            run_with_kills(service, eventually, 300, between=kill_server)
            pids = [process.pid for process in service.processes.values()]
    assert not any(map(runs, pids))


def test_sigterm_finishes_the_entry_and_begins_no_other(service: Service, eventually: Eventually) -> None:
    """Of ten that it was given, what is booked is acknowledged, and the others stay pending."""
    service.write_departures(200, rate=1e6)
    service.start("P")
    service.start("C1")
    eventually(lambda: service.n_done() >= 20, "some are booked", PATIENCE)
    assert service.terminate("C1") == 0
    held = service.held_by("C1")
    assert {entry_id for _, entry_id, _, _ in service.done()}.isdisjoint(held)
    assert service.n_done() < 200
    service.start("C1")
    service.processes.pop("P").wait(PATIENCE)
    assert_all_is_well(service, 200, eventually)


def test_its_own_history_comes_first(service: Service, eventually: Eventually) -> None:
    """What a killed consumer held is the first that it does when it comes back, though new entries wait."""
    service.write_departures(150, rate=1e6)
    service.start("P").wait(PATIENCE)
    service.start("C1")
    eventually(lambda: service.n_done() >= 25, "some are booked", PATIENCE)
    service.kill("C1")
    n_before, held = service.n_done(), service.held_by("C1")
    numbers = {entry_id: fields["number"] for entry_id, fields in entries_of(service.client)}
    waiting = [int(numbers[entry_id]) for entry_id in held]
    assert waiting
    service.start("C1")
    eventually(lambda: service.n_done() >= n_before + len(held), "it has gone on", PATIENCE)
    done = [number for number, *_ in service.done()]
    # The first of them may have been booked before the kill, and not acknowledged.
    left = [number for number in waiting if number not in done[:n_before]]
    assert done[n_before:][: len(left)] == left
    assert_all_is_well(service, 150, eventually)


def test_the_effect_and_its_number_are_one_transaction(service: Service, eventually: Eventually) -> None:
    """A program that dies between the two leaves neither, and the entry pending."""
    service.write_departures(20, rate=1e6)
    with closing(sqlite3.connect(service.folder / "ledger.db", timeout=30)) as ledger:
        ledger.execute("CREATE TABLE bookings (number, origin)")
        ledger.execute(
            "CREATE TRIGGER dies BEFORE INSERT ON bookings WHEN NEW.number = '7' "
            "BEGIN SELECT RAISE(ABORT, 'here it dies'); END"
        )
        service.start("P").wait(PATIENCE)
        assert service.start("C1").wait(PATIENCE) == 1
        assert "here it dies" in service.log()
        assert 7 not in [number for number, *_ in service.done()]
        assert len(service.held_by("C1")) >= 1
        ledger.execute("DROP TRIGGER dies")
    service.start("C1")
    assert_all_is_well(service, 20, eventually)


def test_what_is_added_twice_is_booked_once(service: Service, eventually: Eventually) -> None:
    """Two entries with two ids, and one departure: a producer did not hear that it had added it."""
    for number in (1, 1, 2):
        service.client.xadd(STREAM, {"number": number, "origin": "JFK"})
    service.start("C1")
    assert_all_is_well(service, 2, eventually)
    assert service.client.xlen(STREAM) == 3


# ---- what is not there -----------------------------------------------------------------------------


def test_a_group_that_goes_is_made_again(service: Service, eventually: Eventually) -> None:
    """From the beginning of the stream: what was done already has no effect."""
    service.write_departures(60, rate=1e6)
    service.start("P").wait(PATIENCE)
    service.start("C1")
    eventually(lambda: service.n_done() >= 20, "some are booked", PATIENCE)
    service.client.xgroup_destroy(STREAM, GROUP)
    assert_all_is_well(service, 60, eventually)


def test_deleted_entries_are_acknowledged(service: Service, eventually: Eventually) -> None:
    """Pending ones without fields, from its own history: nothing is booked, nothing stays pending."""
    service.client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    ids = [service.client.xadd(STREAM, {"number": n, "origin": "JFK"}) for n in (1, 2, 3)]
    service.client.xreadgroup(GROUP, "C1", {STREAM: ">"})
    service.client.xdel(STREAM, ids[1], ids[2])
    service.start("C1")
    assert_all_is_well(service, 1, eventually)


@pytest.mark.redis
@pytest.mark.parametrize("name", ["C1", "P"])
def test_a_wrong_password_is_not_tried_again(name: str, tmp_path: Path, default_server_binary: ServerBinary) -> None:
    """redis-py calls it a ConnectionError. The password itself is not told."""
    with PrivateServer(default_server_binary, password="right") as server, Service(tmp_path, server.url) as service:
        service.write_departures(1, rate=1)
        wrong = server.url.replace(":right@", ":wrong-one@")
        assert service.start(name, url=wrong).wait(PATIENCE) == 1
        assert "AuthenticationError" in service.log()
        assert "wrong-one" not in service.log()


# ---- lost replies ----------------------------------------------------------------------------------


@contextmanager
def proxy_before(url: str) -> Iterator[tuple[Proxy, Callable[[Coroutine[Any, Any, Any]], Any]]]:
    """A proxy on a loop in a thread of its own, for programs that are other processes."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def do(coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(PATIENCE)

    proxy = Proxy(url)
    try:
        do(proxy.start())
        yield proxy, do
        do(proxy.close())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_lost_replies_lose_nothing_and_double_nothing(service: Service, eventually: Eventually) -> None:
    """Of XADD: it is added once. Of reads, claims and acknowledgements: nothing is orphaned."""
    n = 120
    service.write_departures(n, rate=200)
    with proxy_before(service.url) as (proxy, do):

        async def lose() -> None:
            for command, nth in (("XADD", 20), ("XREADGROUP", 9), ("XACK", 30), ("XAUTOCLAIM", 2)):
                proxy.lose_reply(command, nth)

        do(lose())
        for name in ("C1", "C2", "P"):
            service.start(name, url=proxy.url)
        eventually(lambda: proxy.n_lost == 4, "four replies are lost", PATIENCE)
        assert_all_is_well(service, n, eventually)
    assert service.client.xlen(STREAM) == n
    assert len(re.findall("^(C1|C2|producer): ", service.log(), re.M)) >= 4


# ---- trimming --------------------------------------------------------------------------------------


def test_trimming_leaves_what_any_group_still_needs(service: Service) -> None:
    """What is pending for one group, or was not delivered to another, is there; what all are done with is not."""
    client = service.client
    client.xgroup_create(STREAM, "audit", id="0", mkstream=True)
    client.xgroup_create(STREAM, GROUP, id="0")
    service.write_departures(450, rate=1e6)
    service.start("P").wait(PATIENCE)
    assert client.xlen(STREAM) == 450
    given: Any = client.xreadgroup("audit", "A", {STREAM: ">"}, 420)
    ((_, entries),) = given
    ids = [entry_id for entry_id, _ in entries]
    client.xack(STREAM, "audit", *ids[:150], *ids[151:])
    client.xreadgroup(GROUP, "C", {STREAM: ">"}, 400)
    client.xack(STREAM, GROUP, *ids[:400])

    service.write_departures(700, rate=1e6)
    service.start("P").wait(PATIENCE)
    there = [entry_id for entry_id, _ in entries_of(client)]
    assert there.index(ids[150]) == 50, "blocks of a hundred entries went, up to that of the pending one"
    numbers = [int(fields["number"]) for _, fields in entries_of(client)]
    assert numbers == list(range(101, 701))


# ---- for as long as you like -----------------------------------------------------------------------


def test_the_soak_kills_and_counts(tmp_path: Path, default_server_binary: ServerBinary) -> None:
    """A few seconds of what ``python -m tests.soak.lesson`` does."""
    with PrivateServer(default_server_binary, persistence="aof", options=KILLED_WITH_ALL) as server:
        figures = soak(server, tmp_path, minutes=0.05, rate=60, seed=3, n_server_kills=1)
    assert figures.is_right, "\n".join(figures.lines())
    assert figures.entries == 180
    assert figures.kills["kills of the server"] == 1
    assert figures.kills.total() >= 3


@pytest.mark.parametrize("wrong", [{"lost": 1}, {"twice": 1}, {"pending": 1}, {"unexpected": ["C1"]}])
def test_the_soak_says_that_something_is_wrong(wrong: dict[str, Any]) -> None:
    assert Figures(entries=9).is_right
    assert not Figures(entries=9, **wrong).is_right
