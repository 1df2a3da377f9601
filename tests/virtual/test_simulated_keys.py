"""What a simulated client does beside streams: in virtual time, with the faults of a simulation, and nowhere else.

That it does what servers do is told by `test_one_program`.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import ConnectionError, ResponseError, WatchError

from streamlab.virtual.loop import Deadlock, VirtualLoop
from streamlab.virtual.redis import SimulatedRedis, SimulatedServer
from streamlab.virtual.task import PROCESS

# ---- time --------------------------------------------------------------------------------------


def test_keys_expire_in_virtual_time(loop: VirtualLoop, server: SimulatedServer) -> None:
    """A day passes at once; a key lives to the millisecond, whatever fractions of seconds are in binary."""

    async def main() -> None:
        client = server.client()
        assert await client.set("day", "1", ex=86400)
        await asyncio.sleep(86400)
        assert (await client.exists("day"), await client.pttl("day")) == (1, 0)
        await asyncio.sleep(0.001)
        assert (await client.exists("day"), await client.ttl("day")) == (0, -2)
        for ms in (1, 29, 290, 1001, 4999):
            await client.set("k", "1", px=ms)
            assert await client.pttl("k") == ms
            await asyncio.sleep(ms / 1000)
            assert await client.exists("k") == 1
            await asyncio.sleep(0.001)
            assert await client.exists("k") == 0
        assert await client.time() == (int(loop.time()), round(loop.time() % 1 * 1e6))
        await client.expireat("none", 1)
        await client.set("past", "1")
        assert await client.expireat("past", 1) is True
        assert await client.exists("past") == 0
        # An entry's id and a key's end are of one clock.
        entry_id = await client.xadd("s", {"f": "1"})
        await client.expire("s", 10)
        assert await client.pexpiretime("s") == int(entry_id.split("-")[0]) + 10_000

    start = time.perf_counter()
    loop.run_until_complete(main())
    assert time.perf_counter() - start < 5
    assert loop.time() > 86400


def test_a_wait_ends_at_its_time_or_when_it_is_served(loop: VirtualLoop, server: SimulatedServer) -> None:
    """BLPOP: the first who came is served first, at the moment of the push; nothing ticks meanwhile."""
    told: list[Any] = []

    async def wait(name: str, start: float, timeout_s: float) -> None:
        await asyncio.sleep(start)
        told.append((name, await server.client().blpop("l", timeout_s), loop.time()))

    async def main() -> None:
        client = server.client()
        waiting = [
            asyncio.create_task(wait(*what))
            for what in [("late", 2, 0), ("first", 0, 0), ("short", 1, 0.25), ("second", 1.5, 500)]
        ]
        await asyncio.sleep(100)
        await client.rpush("l", "a")
        await asyncio.sleep(100)
        n_rounds = loop.rounds
        await asyncio.sleep(100)
        assert loop.rounds - n_rounds < 5
        await client.rpush("l", "b", "c")
        await asyncio.gather(*waiting)

    loop.run_until_complete(main())
    assert told == [
        ("short", None, 1.25),
        ("first", ("l", "a"), 100),
        ("second", ("l", "b"), 300),
        ("late", ("l", "c"), 300),
    ]


def test_a_cancelled_wait_takes_nothing(loop: VirtualLoop, server: SimulatedServer) -> None:
    """Its element goes to the next in line, or stays; the client goes on."""

    async def main() -> None:
        client = server.client()
        gone = asyncio.ensure_future(client.blpop("l", 0))
        await asyncio.sleep(1)
        gone.cancel()
        await asyncio.sleep(1)
        await client.rpush("l", "a")
        assert await client.lrange("l", 0, -1) == ["a"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await client.brpop("none", 0)
        await client.rpush("none", "b")
        assert await client.brpop("none", 0) == ("none", "b")

    loop.run_until_complete(main())


def test_who_waits_for_ever_is_a_deadlock(loop: VirtualLoop, server: SimulatedServer) -> None:
    """And is named; so is who waits for a message, or for a stream that has a while to live."""

    async def subscribe(client: SimulatedRedis) -> None:
        inbox = client.pubsub()
        await inbox.subscribe("news")
        async for message in inbox.listen():
            assert message["type"] == "subscribe"

    async def read(client: SimulatedRedis) -> None:
        await client.xadd("s", {"f": "1"})
        await client.expire("s", 1000)
        await client.xread({"s": "$"}, block=0)  # of a stream that is gone, XREAD is told nothing

    for wait in (lambda c: c.blpop("l", 0), subscribe, read):
        with pytest.raises(Deadlock, match=r"Task-\d+ in .*(execute_command|listen|read)\(\)"):
            loop.run_until_complete(_as_coroutine(wait(server.client())))
    assert loop.time() == pytest.approx(1000.001)  # when the stream was gone


async def _as_coroutine(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def test_a_stream_that_expires_ends_short_reads_too(loop: VirtualLoop, server: SimulatedServer) -> None:
    """Who waits on the fast path when EXPIRE comes hears of it; a stream without an expiry keeps its fast path."""

    async def main() -> None:
        client, reader = server.client(), server.client()
        await client.set("k", "1", ex=5)  # the embedded server has the keys from here on
        await client.xgroup_create("s", "g", "0", mkstream=True)
        await client.xadd("s", {"f": "1"})
        assert len(await reader.xreadgroup("g", "c", {"s": ">"}, 1, 0)) == 1
        waiting = asyncio.create_task(reader.xreadgroup("g", "c", {"s": ">"}, 1, 0))
        await asyncio.sleep(1)
        await client.pexpire("s", 500)
        with pytest.raises(ResponseError, match="UNBLOCKED"):
            await waiting
        assert loop.time() == pytest.approx(1.501)
        await client.xgroup_create("s", "g", "0", mkstream=True)
        waiting = asyncio.create_task(reader.xreadgroup("g", "c", {"s": ">"}, 1, 0))
        await asyncio.sleep(1)
        entry_id = await client.xadd("s", {"f": "2"})
        assert await waiting == [["s", [(entry_id, {"f": "2"})]]]

    loop.run_until_complete(main())


# ---- round trips and faults --------------------------------------------------------------------

Command = Callable[[Any], Awaitable[Any]]


async def _in_pipeline(client: Any) -> Any:
    pipe = client.pipeline()
    pipe.incr("n")
    pipe.xlen("s")
    return await pipe.execute()


async def client_of_ones_own(client: Any) -> Any:
    async with client.client() as own:
        return await own.incr("n")


COMMANDS: dict[str, Command] = {
    "INCR": lambda client: client.incr("n"),
    "EXEC": _in_pipeline,
    "client()": client_of_ones_own,
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_round_trip_takes_its_time(loop: VirtualLoop, server: SimulatedServer, name: str) -> None:
    """Half there and half back, once for a pipeline; it is counted as other commands are."""

    async def main() -> None:
        client = server.client(round_trip=0.2)
        watcher = server.client()
        command = asyncio.create_task(_as_coroutine(COMMANDS[name](client)))
        await asyncio.sleep(0.09)
        assert await watcher.get("n") is None
        await asyncio.sleep(0.02)
        assert await watcher.get("n") == "1"
        await command
        assert loop.time() == pytest.approx(0.2)
        is_pipeline = name == "EXEC"
        assert (server.n_alone, server.n_pipelined, server.n_pipelines) == (
            *(2 + (not is_pipeline), 2 * is_pipeline, 1 * is_pipeline),
        )

    loop.run_until_complete(main())


def test_a_reply_to_one_who_waited_takes_the_time_to_wake(loop: VirtualLoop, server: SimulatedServer) -> None:
    """As for reads of streams; and a message is half a round trip under way."""

    async def main() -> None:
        client = server.client(round_trip=0.2, wake=lambda: 0.05)
        pusher = server.client()
        waiting = asyncio.ensure_future(client.blpop("l", 0))
        await asyncio.sleep(1)
        await pusher.lpush("l", "x")
        await waiting
        assert loop.time() == pytest.approx(1.05)
        inbox = client.pubsub(ignore_subscribe_messages=True)
        await inbox.subscribe("news")
        await inbox.get_message(timeout=1)
        start = loop.time()
        for _ in range(3):
            await pusher.publish("news", "x")
        for _ in range(3):  # they travel together
            assert (await inbox.get_message(timeout=1))["data"] == "x"
        assert loop.time() - start == pytest.approx(0.1)

    loop.run_until_complete(main())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_lost_reply_is_of_a_command_that_was_executed(loop: VirtualLoop, server: SimulatedServer, name: str) -> None:
    """The n-th of its name from now on: its effect is there, its reply a ConnectionError; then all goes on."""

    async def main() -> None:
        client = server.client()
        await COMMANDS[name](client)
        client.lose_reply("INCRBY", 2)  # which redis-py sends for incr()
        await COMMANDS[name](client)
        with pytest.raises(ConnectionError, match="before the reply to INCRBY"):
            await COMMANDS[name](client)
        assert await server.client().get("n") == "3"
        await COMMANDS[name](client)
        assert await server.client().get("n") == "4"

    loop.run_until_complete(main())


@pytest.mark.parametrize("how", ["cut", "down", "down and up"])
def test_who_waits_hears_that_the_connection_is_lost(loop: VirtualLoop, server: SimulatedServer, how: str) -> None:
    """Waits, subscriptions and watched keys are gone with it; the next command reconnects, if it can."""

    async def main() -> None:
        client, lab = server.client(), server.client(is_lab=True)
        await client.xgroup_create("s", "g", "0", mkstream=True)
        inbox, pipe, own = client.pubsub(), client.pipeline(), client.client()
        await inbox.subscribe("news")
        await inbox.get_message(timeout=1)
        await pipe.watch("k")
        await own.initialize()
        waiting = [
            asyncio.create_task(_as_coroutine(what))
            for what in (
                client.blpop("l", 0),
                inbox.get_message(timeout=None),
                own.xreadgroup("g", "c", {"s": ">"}, block=0),
                client.xreadgroup("g", "c", {"s": ">"}, block=0),
            )
        ]
        await asyncio.sleep(1)
        if how == "cut":
            client.cut()
        else:
            server.go_down()
        for result in await asyncio.gather(*waiting, return_exceptions=True):
            assert type(result) is ConnectionError
            assert "the simulated server" in str(result)
        await own.aclose()
        if how == "down":
            for name, command in COMMANDS.items():
                with pytest.raises(ConnectionError, match="server is down"):
                    await command(client)
                assert await command(lab), name
            assert await lab.publish("news", "x") == 0
            return
        server.come_up()
        # redis-py subscribes again, if it can.
        assert await lab.publish("news", "x") == (how == "cut")
        assert await lab.rpush("l", "a") == 1
        await lab.xadd("s", {"f": "1"})
        assert (await lab.xpending("s", "g"))["pending"] == 0
        assert await client.lpop("l") == "a"
        pipe.multi()
        pipe.set("k", "1")
        with pytest.raises(WatchError):
            await pipe.execute()
        assert await client.get("k") is None
        await pipe.reset()
        for command in COMMANDS.values():
            assert await command(client)

    loop.run_until_complete(main())


def test_a_severed_client_reaches_the_server_no_more(loop: VirtualLoop, server: SimulatedServer) -> None:
    """Its process is dead: it is served nothing, and hears nothing."""

    async def main() -> None:
        client, other = server.client(), server.client()
        inbox = client.pubsub()
        await inbox.subscribe("news")
        waiting = asyncio.ensure_future(client.blpop("l", 0))
        await asyncio.sleep(1)
        client.sever()
        assert await other.publish("news", "x") == 0
        assert await other.rpush("l", "a") == 1
        assert await other.lpop("l") == "a"
        waiting.cancel()
        for command in COMMANDS.values():
            task = asyncio.create_task(_as_coroutine(command(client)))
            await asyncio.wait([task])
            assert task.cancelled()
        assert await other.get("n") is None

    loop.run_until_complete(main())


def test_who_is_unblocked_goes_on_with_nothing(loop: VirtualLoop, server: SimulatedServer) -> None:
    """As if its time were over."""

    async def main() -> None:
        client = server.client()
        waiting = [asyncio.ensure_future(client.blpop("l", 0)) for _ in range(2)]
        await asyncio.sleep(1)
        client.unblock()
        assert await asyncio.gather(*waiting) == [None, None]
        await client.rpush("l", "a")
        assert await client.blpop("l", 0) == ("l", "a")

    loop.run_until_complete(main())


def test_a_process_that_is_held_back_is_served_and_does_not_notice(loop: VirtualLoop, server: SimulatedServer) -> None:
    """The server's timers go on, and its queues: what was its turn is its element."""
    told: list[Any] = []

    async def work() -> None:
        client = server.client()
        told.append(await client.blpop("l", 5))
        told.append((await client.blpop("none", 5), loop.time()))

    async def main() -> None:
        process, client = object(), server.client()
        context = contextvars.copy_context()
        context.run(PROCESS.set, process)
        task = loop.create_task(work(), context=context)
        await asyncio.sleep(1)
        loop.hold(process)
        await client.rpush("l", "a")
        assert await client.llen("l") == 0
        waiting = asyncio.ensure_future(client.blpop("l", 2))
        assert (await waiting, loop.time(), told) == (None, 3, [])
        loop.release(process)
        await asyncio.sleep(1)
        loop.hold(process)
        await asyncio.sleep(9)
        await client.rpush("none", "b")  # its time was over at 8
        assert await client.llen("none") == 1
        loop.release(process)
        await task

    loop.run_until_complete(main())
    assert told == [("l", "a"), (None, 13)]


# ---- one keyspace ------------------------------------------------------------------------------


def test_what_was_there_before_is_there_afterwards(loop: VirtualLoop, server: SimulatedServer) -> None:
    """With the first other command the keys change hands: none is lost, and who waits goes on waiting."""

    async def main() -> None:
        client = server.client()
        await client.xadd("s", {"f": "\udcff"})
        await client.xgroup_create("s", "g", "$")
        await client.set("text", "ü\udcff")
        await client.hset("h", "f", "1") if server.beside else await client.hsetnx("h", "f", "1")
        await client.hincrby("h", "n", 7)
        assert server.beside is None
        waiting = asyncio.create_task(server.client().xreadgroup("g", "c", {"s": ">"}, 1, 0))
        await asyncio.sleep(1)
        assert await client.dbsize() == 3
        assert server.beside is not None
        assert await client.get("text") == "ü\udcff"
        assert await client.hgetall("h") == {"f": "1", "n": "7"}
        assert (await client.xrange("s"))[0][1] == {"f": "\udcff"}
        entry_id = await client.xadd("s", {"f": "2"})
        assert (await waiting)[0][1][0][0] == entry_id

    loop.run_until_complete(main())


# ---- the same run again ------------------------------------------------------------------------

STORY = """
import asyncio, random
from streamlab.virtual.redis import SimulatedServer
from streamlab.virtual.loop import VirtualLoop

loop = VirtualLoop()
server = SimulatedServer(loop=loop)
told = []

async def listen(name):
    inbox = server.client().pubsub(ignore_subscribe_messages=True)
    await (inbox.subscribe if name % 2 else inbox.psubscribe)("news")
    while True:
        message = await inbox.get_message(timeout=None)
        if message:
            told.append((name, message["data"], loop.time()))

async def pop(name):
    told.append((name, await server.client().brpop(["a", "b"], 3), loop.time()))

async def main():
    client = server.client()
    listeners = [asyncio.create_task(listen(n)) for n in range(12)]
    await client.sadd("set", *map(str, range(50)))
    await client.zadd("z", {str(n): n for n in range(50)})
    await client.hset("h", mapping={str(n): n for n in range(50)})
    waiting = [asyncio.create_task(pop(n)) for n in range(12)]
    await asyncio.sleep(1)
    for n in range(9):
        await client.publish("news", n)
        await client.lpush("ab"[n % 2], n)
        told.append(await client.spop("set", 2) and await client.spop("set"))
        told.append([await client.srandmember("set", 3), await client.randomkey()])
        told.append([await client.zrandmember("z", 2), await client.hrandfield("h", 2)])
    await asyncio.gather(*waiting)
    told.append([key async for key in client.scan_iter(count=2)])

loop.run_until_complete(main())
print(told)
"""


def test_a_run_is_the_same_whatever_the_hashes_are() -> None:
    """In which order sets are gone through, and what SPOP draws, is the same in every process."""
    runs = [
        subprocess.run(
            [sys.executable, "-c", f"pad = [object() for _ in range({seed})]\n{STORY}"],
            env={"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for seed in (1, 2, 77)
    ]
    assert runs[0] == runs[1] == runs[2]
    assert runs[0].count("\n") == 1
    assert len(runs[0]) > 2000


def test_no_random_number_of_the_program_is_used_up(loop: VirtualLoop, server: SimulatedServer) -> None:
    """What a program draws after SPOP is what it would have drawn without."""

    async def main() -> None:
        client = server.client()
        await client.sadd("set", *range(20))
        random.seed(7)
        drawn = [await client.spop("set") for _ in range(3)]
        assert len(set(drawn)) == 3

    loop.run_until_complete(main())
    after = random.random()
    random.seed(7)
    assert after == random.random()
