"""The embedded server: event loops, threads, its speed, its safety, and what it rests on."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import redis

from streamlab.servers.embedded import DIVERGENCES, Divergence, EmbeddedServer
from streamlab.servers.embedded.fake import contract
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerBinary
from tests.conftest import Eventually
from tests.redis_targets import Client
from tests.servers.embedded_helpers import run

# ---- event loops -------------------------------------------------------------------------------


def test_others_have_their_turn(server: EmbeddedServer) -> None:
    """A task that sends command after command does not keep others from running."""

    async def scenario() -> None:
        async with server.async_client() as client:
            n_turns = 0

            async def count() -> None:
                nonlocal n_turns
                while True:
                    n_turns += 1
                    await asyncio.sleep(0)

            counting = asyncio.create_task(count())
            for _ in range(100):
                await client.xadd("s", {"f": "1"})
            counting.cancel()
            assert n_turns >= 100

    run(scenario())


def test_one_loop_after_another(server: EmbeddedServer) -> None:
    """What was added in one event loop is there in the next."""

    async def add() -> None:
        async with server.async_client() as client:
            await client.xadd("s", {"f": "1"})

    run(add())
    run(add())
    with server.client() as client:
        assert client.xlen("s") == 2


def test_connections_are_forgotten(server: EmbeddedServer, eventually: Eventually) -> None:
    """The server keeps nothing of clients that have gone."""

    async def visit() -> None:
        async with server.async_client() as client:
            await client.ping()

    for _ in range(3):
        run(visit())
        with server.client() as client:
            client.ping()
    gc.collect()
    with server.client() as client:
        assert client.info("clients")["connected_clients"] == 1


def test_closed(server: EmbeddedServer) -> None:
    """Clients of a server that was closed raise ConnectionError, and what it held is not to be had."""
    with server.client() as client:
        client.ping()
        server.close()
        with pytest.raises(redis.ConnectionError):
            client.ping()
    with server.client() as client, pytest.raises(redis.ConnectionError):
        client.ping()


# ---- how long it takes -------------------------------------------------------------------------


def quickest(call: Callable[[], object]) -> float:
    """Return the least time of many calls: what the machine does besides makes none of them quicker."""
    times = []
    for _ in range(60):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


@pytest.mark.real_time("compares times")
def test_nothing_grows_with_the_pending_list() -> None:
    """XACK, XCLAIM, XAUTOCLAIM, XPENDING take no longer with 20,000 pending entries than with 2,000.

    (In fakeredis as shipped they take ten times as long.)
    """
    costs: list[list[float]] = []
    for n_pending in (2_000, 20_000):
        with EmbeddedServer().client() as client:
            client.xgroup_create("s", "g", mkstream=True)
            pipeline = client.pipeline(transaction=False)
            for n in range(1, n_pending + 1):
                pipeline.xadd("s", {"f": "1"}, id=f"1-{n}")
            pipeline.execute()
            client.xreadgroup("g", "c", {"s": ">"}, count=n_pending)
            numbers = iter(range(n_pending, 0, -1))
            costs.append(
                [
                    quickest(lambda: client.xack("s", "g", f"1-{next(numbers)}")),  # noqa: B023
                    quickest(lambda: client.xautoclaim("s", "g", "d", 0, count=10)),
                    quickest(lambda: client.xclaim("s", "g", "c", 0, ["1-1500"])),
                    quickest(lambda: client.xpending("s", "g")),
                    quickest(lambda: client.xpending_range("s", "g", "-", "+", 10)),
                ]
            )
    assert [many < 3 * few for few, many in zip(*costs, strict=True)] == [True] * 5, costs


# ---- safety ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ("EVAL", "return 1", "0"),
        ("EVAL_RO", "return 1", "0"),
        ("SCRIPT", "LOAD", "return 1"),
        ("FUNCTION", "LOAD", "#!lua name=x"),
        ("FCALL", "f", "0"),
        ("RESTORE", "k", "0", "x"),
        ("DUMP", "k"),
    ],
    ids=lambda command: command[0],
)
def test_no_code_is_run(server: EmbeddedServer, command: tuple[str, ...]) -> None:
    """Scripts and serialised values are refused, with a word on what to do: fakeredis would run them as Python."""
    with server.client() as client:
        client.set("k", "1")
        with pytest.raises(redis.ResponseError, match="real server"):
            client.execute_command(*command)


def test_no_lua_even_if_there_is_one() -> None:
    """With the package that lets fakeredis run scripts, the embedded server refuses them all the same."""
    program = (
        "from streamlab.servers.embedded import EmbeddedServer\n"
        "from fakeredis._socket import FakeSocket\n"
        "from fakeredis._commands import command\n"
        "@command(name='EVAL', fixed=(bytes, bytes), repeat=(bytes,))\n"
        "def evaluate(self, script, *_):\n"
        "    exec(script)\n"
        "FakeSocket.evaluate = evaluate\n"
        "import fakeredis\n"
        "fakeredis.FakeRedis(protocol=2).execute_command('EVAL', 'print(1234)', 0)\n"
        "try:\n"
        "    EmbeddedServer().client().eval('print(5678)', 0)\n"
        "except Exception as error:\n"
        "    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "1234" in said.stdout  # so the test would notice
    assert "5678" not in said.stdout
    assert "no Lua" in said.stdout


# ---- what it rests on, and what it is not ------------------------------------------------------


def test_fakeredis_is_one_that_was_tried() -> None:
    """Nothing of fakeredis' insides that the embedded server uses has changed.

    If this fails, a new fakeredis is installed: `streamlab.servers.embedded.fake.contract` says what to do.
    """
    assert contract.changes() == [], contract.__doc__


def test_a_changed_fakeredis_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that reads differently or is gone, and a missing attribute, are named."""
    name, attribute = "FakeSocket._run_command", "_watches"
    monkeypatch.setitem(contract.DIGESTS, name, "0")
    monkeypatch.setitem(contract.DIGESTS, "Database.gone", "0")
    monkeypatch.setitem(contract.ATTRIBUTES, "Database", (attribute, "_nothing"))
    said = "; ".join(contract.changes())
    assert f"{name} reads differently" in said
    assert "Database.gone" in said
    assert "Database has no attribute _nothing" in said
    assert attribute not in said


@pytest.mark.parametrize(("version", "fits"), [("2.41.3", True), ("2.99.0", True), ("2.99.0", False)])
def test_a_fakeredis_that_was_not_tried_is_looked_into(version: str, fits: bool) -> None:
    """It is taken if it reads as one that was tried; else it is said what to install, before anything is sent."""
    code = (
        "from importlib import metadata; from streamlab import EmbeddedServer\n"
        "known = metadata.version\n"
        f"metadata.version = lambda name: {version!r} if name == 'fakeredis' else known(name)\n"
        f"if not {fits}:\n"
        "    import fakeredis._socket as sockets; sockets.FakeSocket.kill = lambda self: None\n"
        "EmbeddedServer()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    if fits:
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert f"does not fit fakeredis {version}, whose insides it uses (FakeSocket.kill " in done.stderr
        assert done.stderr.endswith("pip install 'fakeredis<2.42'\n")


SHOWN = [each for each in DIVERGENCES if each.try_it]


def outcome(client: Client, commands: tuple[str, ...]) -> object:
    """Return the kind of outcome of the last command, and what there is of it."""
    client.response_callbacks.clear()
    client.flushall()
    try:
        for command in commands:
            reply = client.execute_command(*command.split())
    except redis.ResponseError:
        return "error"
    return "reply" if reply else "nothing"


@pytest.mark.redis
@pytest.mark.parametrize("divergence", SHOWN, ids=[each.what for each in SHOWN])
def test_divergences_are_real(divergence: Divergence, server_binary: ServerBinary) -> None:
    """Each divergence that commands can show is one: it is taken off the list when it is mended."""
    version = server_binary.version
    if divergence.since is not None and (server_binary.kind, version) < ("redis", divergence.since):
        pytest.skip(f"came with Redis {divergence.since}")
    if server_binary.kind != "redis" or (divergence.what.startswith("commands newer") and version >= (7, 4, 0)):
        pytest.skip("about Redis 7.0")
    with (
        PrivateServer(server_binary) as server,
        redis.Redis.from_url(server.url) as real_client,
        EmbeddedServer(version=version).client() as client,
    ):
        assert outcome(real_client, divergence.try_it) != outcome(client, divergence.try_it)


def test_divergences_say_something() -> None:
    """The list is what users read: complete sentences' worth, each subject once."""
    assert len({each.what for each in DIVERGENCES}) == len(DIVERGENCES)
    assert all(each.real and each.embedded for each in DIVERGENCES)
    assert EmbeddedServer.divergences is DIVERGENCES
