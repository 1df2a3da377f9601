"""Other processes on the embedded server's socket share streams, lists and messages; whoever goes is noticed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import redis
import redis.asyncio

from streamlab.servers.embedded import EmbeddedServer, listening
from tests.conftest import Eventually
from tests.differential.wire import Connection
from tests.redis_targets import Client
from tests.servers.embedded_helpers import PATIENCE, READ, path_of, until_blocked

# ---- other processes ---------------------------------------------------------------------------

PRODUCER = """
import sys
import redis
r = redis.Redis.from_url(sys.argv[1])
r.xgroup_create("orders", "billing", id="0", mkstream=True)
for n in range(60):
    r.xadd("orders", {"n": n})
"""
# Text or bytes, as sys.argv says; stands still with four entries when it has been given the one that is named.
CONSUMER = """
import sys, time
import redis
url, name, settings, until = sys.argv[1:]
r = redis.Redis.from_url(url, **eval(settings))
done = 0
while True:
    reply = r.xreadgroup("billing", name, {"orders": ">"}, count=4, block=200)
    for _, entries in reply.items() if isinstance(reply, dict) else reply or []:
        if done >= int(until):
            print("holds", *(str(i) for i, _ in entries), flush=True)
            time.sleep(60)
        for entry_id, fields in entries:
            r.xack("orders", "billing", entry_id)
            done += 1
    if not reply:
        print("done", done, flush=True)
        break
"""


def test_one_produces_two_consume_one_is_killed(
    server: EmbeddedServer, client: Client, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """Plain redis-py programs share the server with this process; what a killed one held is recovered by others."""
    url = server.url
    assert start(PRODUCER, url).wait(PATIENCE) == 0
    assert client.xlen("orders") == 60
    doomed = start(CONSUMER, url, "doomed", "{}", "8")
    assert doomed.stdout is not None
    held = doomed.stdout.readline().split()
    assert held[0] == "holds"
    assert len(held) == 5
    other = start(CONSUMER, url, "other", "{'decode_responses': True}", "1000")
    assert other.stdout is not None
    assert other.stdout.readline() == "done 48\n"
    doomed.kill()
    doomed.wait(PATIENCE)
    pending = client.xpending_range("orders", "billing", "-", "+", 10)
    assert {each["consumer"] for each in pending} == {"doomed"}
    # Two of the four by their own history, as the consumer would that is started again; the others by XAUTOCLAIM.
    with redis.Redis.from_url(url) as again:
        history = again.xreadgroup("billing", "doomed", {"orders": "0"}, count=2)
        for entry_id, _ in history[0][1] if isinstance(history, list) else history[b"orders"][0]:
            assert again.xack("orders", "billing", entry_id) == 1
    with redis.Redis.from_url(url, decode_responses=True) as rescuer:
        _, claimed, _ = rescuer.xautoclaim("orders", "billing", "rescuer", 0)
        assert [fields["n"] for _, fields in claimed] == [fields["n"] for _, fields in client.xrange("orders")[10:12]]
        assert rescuer.xack("orders", "billing", *(entry_id for entry_id, _ in claimed)) == 2
    assert client.xpending("orders", "billing")["pending"] == 0


BLOCKED = """
import sys
import redis
r = redis.Redis.from_url(sys.argv[1], socket_timeout=None)
r.xreadgroup("g", "killed", {"s": ">"}, block=0)
"""


def test_a_killed_reader_is_given_nothing(
    server: EmbeddedServer, client: Client, start: Callable[..., subprocess.Popen[str]], eventually: Eventually
) -> None:
    """A process that is killed while it waits is gone for the very next entry, as it is on a real server."""
    client.xgroup_create("s", "g", mkstream=True)
    reader = start(BLOCKED, server.url)
    eventually(lambda: server._server.n_blocked == 1, "it should be blocked", timeout=PATIENCE)
    reader.send_signal(signal.SIGKILL)
    reader.wait(PATIENCE)
    client.xadd("s", {"f": "1"})
    assert client.xpending("s", "g")["pending"] == 0


@pytest.mark.parametrize("by", ["within", "over the socket", "in a transaction"])
def test_whoever_hangs_up_is_given_nothing(
    server: EmbeddedServer, client: Client, reach: Callable[..., Connection], eventually: Eventually, by: str
) -> None:
    """The same, at once and time and again, whoever adds; also if more commands of the reader's are under way."""
    client.xgroup_create("s", "g", mkstream=True)
    other = reach()
    for n in range(30):
        reader = Connection(path_of(server))
        reader.send(READ, ("PING",))
        until_blocked(server, 1, eventually)
        reader.close()
        if by == "within":
            client.xadd("s", {"f": "1"})
        elif by == "over the socket":
            other.ask("XADD", "s", "*", "f", "1")
        else:
            client.pipeline().xadd("s", {"f": "1"}).execute()
        assert client.xpending("s", "g")["pending"] == 0, n
        client.xgroup_setid("s", "g", "$")


def test_a_list_loses_nothing_to_the_dead(
    server: EmbeddedServer, client: Client, reach: Callable[..., Connection], eventually: Eventually
) -> None:
    """BLPOP by somebody who has hung up takes nothing; by somebody who waits it does, whoever pushes."""
    for n in range(10):
        dead = Connection(path_of(server))
        dead.send(("BLPOP", "list", "0"), ("SET", "late", "1"))
        until_blocked(server, 1, eventually)
        dead.close()
        client.rpush("list", n)
        assert client.lpop("list") == str(n)
    until_blocked(server, 0, eventually)
    living, pusher = reach(), reach()
    living.send(("BLPOP", "list", "0"), ("GET", "late"))
    until_blocked(server, 1, eventually)
    pusher.ask("RPUSH", "list", "x")
    assert [living.receive(), living.receive()] == [["list", "x"], None]
    living.send(("BLPOP", "list", "0"))
    until_blocked(server, 1, eventually)
    client.rpush("list", "y")
    assert living.receive() == ["list", "y"]


def test_a_list_loses_nothing_to_who_has_just_died(
    server: EmbeddedServer, client: Client, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """Not even if the client goes, and the element comes, after the loop has looked and before it acts."""
    dead = Connection(path_of(server))
    dead.send(("BLPOP", "list", "0"))
    until_blocked(server, 1, eventually)
    listener = server._listener
    assert listener is not None
    select = listener._selector.select

    def look_and_be_late(_: float | None = None) -> Any:
        monkeypatch.undo()
        found = select(0)
        dead.close()
        client.rpush("list", "x")
        return found

    monkeypatch.setattr(listener._selector, "select", look_and_be_late)
    listener.loop.call_soon_threadsafe(lambda: None)
    until_blocked(server, 0, eventually)
    assert client.lpop("list") == "x"


def test_all_wait_in_one_queue(
    server: EmbeddedServer, client: Client, reach: Callable[..., Connection], eventually: Eventually
) -> None:
    """Readers in threads, in event loops and in other processes are served in the order in which they came."""
    client.xgroup_create("s", "g", mkstream=True)
    got: dict[int, str] = {}

    def first_id(reply: Any) -> str:
        return str(reply[0][1][0][0])

    async def scenario() -> None:
        async with server.async_client() as looping:
            tasks: list[asyncio.Task[Any]] = []
            remote: dict[int, Connection] = {}
            for number in range(9):
                if number % 3 == 0:
                    remote[number] = reach()
                    remote[number].send(READ)
                else:
                    within: Any = looping if number % 3 == 1 else client
                    read = within.xreadgroup
                    arguments: Any = ("g", "c", {"s": ">"}, 1, 0)
                    waiting = read(*arguments) if within is looping else asyncio.to_thread(read, *arguments)
                    task = asyncio.ensure_future(waiting)
                    task.add_done_callback(
                        lambda done, number=number: got.update({number: first_id(done.result())})  # type: ignore[misc]
                    )
                    tasks.append(task)
                async with asyncio.timeout(PATIENCE):
                    while server._server.n_blocked != number + 1:
                        await asyncio.sleep(0.001)
            adder = reach()
            for n in range(9):
                if n % 2:
                    adder.ask("XADD", "s", f"{n + 1}-0", "f", "1")
                else:
                    await looping.xadd("s", {"f": "1"}, id=f"{n + 1}-0")
            await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
            got.update({number: first_id(each.receive()) for number, each in remote.items()})

    asyncio.run(scenario())
    assert got == {n: f"{n + 1}-0" for n in range(9)}


def test_asyncio_clients(server: EmbeddedServer, client: Client) -> None:
    """redis-py's asyncio clients of the URL read, wait, pipeline and subscribe."""

    async def scenario() -> None:
        async with (
            redis.asyncio.Redis.from_url(server.url, decode_responses=True) as one,
            redis.asyncio.Redis.from_url(server.url, decode_responses=True, protocol=2) as two,
        ):
            await one.xgroup_create("s", "g", mkstream=True)
            reading = asyncio.ensure_future(two.xreadgroup("g", "c", {"s": ">"}, block=2000))
            async with asyncio.timeout(PATIENCE):
                while not server._server.n_blocked:
                    await asyncio.sleep(0.001)
            pipeline: Any = one.pipeline()
            replies = await pipeline.set("a", 1).xadd("s", {"f": "1"}, id="1-1").execute()
            assert replies == [True, "1-1"]
            assert await reading == [["s", [("1-1", {"f": "1"})]]]
            async with one.pubsub() as subscriber:
                await subscriber.subscribe("c")
                assert (await subscriber.get_message(timeout=PATIENCE))["type"] == "subscribe"
                await asyncio.to_thread(client.publish, "c", "m")
                message = await subscriber.get_message(timeout=PATIENCE)
                assert (message["type"], message["data"]) == ("message", "m")

    asyncio.run(scenario())


# ---- messages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3])
def test_messages_keep_their_order(
    server: EmbeddedServer, client: Client, reach: Callable[..., Connection], protocol: int
) -> None:
    """A subscriber gets what this and other processes publish, in that order; with RESP3 as pushes."""
    subscriber, publisher = reach(protocol), reach()
    subscriber.ask("SUBSCRIBE", "c")
    for n in range(200):
        if n % 2:
            client.publish("c", str(n))
        else:
            publisher.ask("PUBLISH", "c", str(n))
    subscriber.send(("PING",))
    got = [subscriber.receive() for _ in range(201)]
    assert got[:200] == [["message", "c", str(n)] for n in range(200)]
    assert {type(each).__name__ for each in got[:200]} == {"Push" if protocol == 3 else "list"}
    assert got[200] == (["pong", ""] if protocol == 2 else "PONG")


def test_a_subscriber_that_does_not_read_is_cut(
    server: EmbeddedServer,
    client: Client,
    reach: Callable[..., Connection],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
) -> None:
    """What it leaves unread does not fill the memory: there is a limit, as there is in Redis."""
    monkeypatch.setattr(listening, "_PUBSUB_LIMIT", 1 << 20)
    reach().ask("SUBSCRIBE", "c")
    eventually(lambda: client.publish("c", "x" * 100_000) == 0, "it should be cut", timeout=PATIENCE)
