"""A simulated client reaches nothing but its simulation; and fakeredis is loaded only if it is needed."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import AuthenticationError, LockError, ResponseError

from streamlab.virtual.loop import VirtualLoop
from streamlab.virtual.redis import SimulatedRedis, SimulatedServer
from tests.virtual.test_simulated_keys import client_of_ones_own

# ---- nothing but the simulation ----------------------------------------------------------------


async def _monitor(client: SimulatedRedis) -> None:
    async with client.monitor() as monitor:
        await monitor.next_command()


async def _subscribe(client: SimulatedRedis) -> None:
    async with client.pubsub() as inbox:
        await inbox.subscribe("news")
        await inbox.psubscribe("n*")
        await inbox.get_message(timeout=1)


async def _connection(client: SimulatedRedis) -> None:
    connection = await client.connection_pool.get_connection()
    await connection.send_command("PING")
    assert await connection.read_response() == "PONG"
    await client.connection_pool.release(connection)


async def _watch(client: SimulatedRedis) -> None:
    async with client.pipeline() as pipe:
        await pipe.watch("k")
        await pipe.unwatch()
    await client.transaction(lambda pipe: pipe.multi() or pipe.set("k", 1), "k")


async def _lock(client: SimulatedRedis) -> None:
    async with client.lock("l", timeout=1):
        pass


async def _context(client: SimulatedRedis) -> None:
    async with client as same:
        await same.get("k")


async def _script(client: SimulatedRedis) -> None:
    from streamlab.actors import scripts

    script = client.register_script(scripts.FENCED_ACK)
    await client.xgroup_create("s", "g", mkstream=True)
    assert await script(keys=["s"], args=["g", "c"]) == []
    pipe = client.pipeline()
    await script(keys=["s"], args=["g", "c"], client=pipe)
    assert await pipe.execute() == [[]]


WAYS: dict[str, Callable[[SimulatedRedis], Awaitable[Any]]] = {
    "monitor": _monitor,
    "pubsub": _subscribe,
    "get_connection": _connection,
    "watch": _watch,
    "lock": _lock,
    "client": client_of_ones_own,
    "async with": _context,
    "script": _script,
    "await client": lambda client: client.initialize(),
    "scan_iter": lambda client: anext(client.scan_iter(), None),
    "wait": lambda client: client.wait(1, 1),
    "cluster": lambda client: client.execute_command("CLUSTER INFO"),
    "replicaof": lambda client: client.replicaof("localhost", 6379),
    "sentinel": lambda client: client.execute_command("SENTINEL MASTERS"),
    "migrate": lambda client: client.migrate("localhost", 6379, "k", 0, 10),
    "auth": lambda client: client.auth("password"),
    "failover": lambda client: client.execute_command("FAILOVER"),
    "shutdown": lambda client: client.shutdown(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_client_reaches_nothing_but_its_simulation(
    way: str, loop: VirtualLoop, server: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever opens a connection of its own opens it to the simulation, or is refused by it."""
    dialled: list[Any] = []

    async def dial(self: Any) -> None:
        dialled.append(self)
        raise OSError("it dials")

    for kind in ("Connection", "UnixDomainSocketConnection"):
        monkeypatch.setattr(getattr(redis.asyncio, kind), "_connect", dial)

    async def main() -> None:
        client = server.client()
        with contextlib.suppress(ResponseError, AuthenticationError):  # refused, by the simulation
            await WAYS[way](client)
        await client.aclose()
        assert await client.incr("still works") == 1

    loop.run_until_complete(main())
    assert not dialled


def test_what_a_simulation_has_not_is_refused_in_words(loop: VirtualLoop, server: SimulatedServer) -> None:
    """One sentence that says that it is a simulation, and what it lacks; and nothing is half done."""

    async def main() -> None:
        client = server.client()
        for words in (
            "SELECT 1",
            "SWAPDB 0 1",
            "MOVE k 1",
            "CLIENT LIST",
            "CLIENT UNBLOCK 1",
            "HEXPIRE h 1 FIELDS 1 f",
            "LASTSAVE",
            "EVAL return(1) 0",
            "SCRIPT LOAD return(1)",
        ):
            with pytest.raises(ResponseError, match=r"simulation|no Lua"):
                await client.execute_command(*words.split())
            pipe = client.pipeline()
            pipe.set("k", "1")
            pipe.execute_command(*words.split())
            with pytest.raises(ResponseError, match=r"simulation|no Lua"):
                await pipe.execute()
        assert await client.select(0) is True

    loop.run_until_complete(main())


def test_a_lock_that_could_not_be_released_is_not_acquired(loop: VirtualLoop, server: SimulatedServer) -> None:
    """A lock with a script of its own is refused before it is taken."""
    from redis.asyncio.lock import Lock

    class Own(Lock):
        LUA_RELEASE_SCRIPT = "return redis.call('unlink', KEYS[1])"

    async def main() -> None:
        with pytest.raises(LockError, match="could not be released"):
            server.client().lock("l", lock_class=Own)

    loop.run_until_complete(main())


# ---- only when it is needed --------------------------------------------------------------------


def _run_alone(program: str) -> str:
    before = (
        "import asyncio, sys\n"
        "from streamlab.virtual.redis import SimulatedServer\n"
        "from streamlab.virtual.loop import VirtualLoop\n"
        "loop = VirtualLoop()\n"
        "client = SimulatedServer(loop=loop).client()\n"
        "run = loop.run_until_complete\n"
    )
    return subprocess.run(
        [sys.executable, "-c", before + program], capture_output=True, text=True, timeout=60, check=True
    ).stdout


def test_streams_do_without_fakeredis() -> None:
    """It is imported with the first command of another kind, and not before."""
    said = _run_alone(
        "run(client.xadd('s', {'f': '1'})); run(client.set('k', 'v')); run(client.delete('k'))\n"
        "run(client.pipeline().xlen('s').execute()); client.pipeline(); client.connection_pool\n"
        "print('fakeredis' in sys.modules)\n"
        "run(client.incr('n'))\n"
        "print('fakeredis' in sys.modules)\n"
    )
    assert said.split() == ["False", "True"]


def test_without_fakeredis_it_is_said_what_to_install() -> None:
    """Streams work; anything else says what is missing."""
    said = _run_alone(
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "import streamlab.virtual.keys as keys\n"
        "keys.find_spec = lambda name, *more: None if name == 'fakeredis' else find(name, *more)\n"
        "print(run(client.xadd('s', {'f': '1'}))[:4])\n"
        "for what in (lambda: client.incr('n'), client.pubsub().ping):\n"
        "    try:\n"
        "        run(what())\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
    ).splitlines()
    assert said[0] == "1767"
    assert len(said) == 3
    assert all("pip install 'fakeredis" in line for line in said[1:])


def test_it_works_on_an_ordinary_loop_too() -> None:
    """Time is then the machine's."""

    async def main() -> None:
        client = SimulatedServer().client()
        assert await client.set("k", "1", px=20, nx=True) is True
        waiting = asyncio.ensure_future(client.blpop("l", 5))
        await asyncio.sleep(0.03)
        assert await client.get("k") is None
        await client.rpush("l", "x")
        assert await waiting == ("l", "x")

    asyncio.run(main())
