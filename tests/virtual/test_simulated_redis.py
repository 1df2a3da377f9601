"""`SimulatedRedis`: redis-py's own methods over the model, on any event loop."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest
from redis.exceptions import ConnectionError, DataError, ResponseError

from streamlab.virtual.redis import SimulatedRedis, SimulatedServer
from streamlab.virtual.task import PROCESS


def test_values_look_as_redis_py_gives_them(loop):
    """Ids, entries, groups, pending summaries: shaped by redis-py's own callbacks."""

    async def main() -> None:
        client = SimulatedServer(epoch_ms=1000).client()
        assert await client.ping() is True
        assert await client.xadd("s", {"a": 1, "b": 2.5}) == "1000-0"
        assert await client.xgroup_create("s", "g", id="0") is True
        assert await client.xreadgroup("g", "C1", {"s": ">"}, 1) == [["s", [("1000-0", {"a": "1", "b": "2.5"})]]]
        assert await client.xpending("s", "g") == {
            "pending": 1,
            "min": "1000-0",
            "max": "1000-0",
            "consumers": [{"name": "C1", "pending": 1}],
        }
        assert await client.xpending_range("s", "g", "-", "+", 10) == [
            {"message_id": "1000-0", "consumer": "C1", "time_since_delivered": 0, "times_delivered": 1}
        ]
        assert await client.xack("s", "g", "1000-0") == 1
        (group,) = await client.xinfo_groups("s")
        assert (group["name"], group["pending"], group["lag"]) == ("g", 0, 0)

    loop.run_until_complete(main())


def test_errors_are_redis_pys_own_exceptions(loop):
    """The text is the server's, the class the one that redis-py makes of it."""

    async def main() -> None:
        client = SimulatedServer().client()
        await client.set("text", "x")
        with pytest.raises(ResponseError, match=r"^WRONGTYPE Operation against a key"):
            await client.xadd("text", {"a": "b"})
        with pytest.raises(ResponseError, match=r"^NOGROUP No such key 's' or consumer group 'g'"):
            await client.xreadgroup("g", "c", {"s": ">"})
        with pytest.raises(ResponseError, match="unknown command 'LPUSHH'"):
            await client.execute_command("LPUSHH", "list", "x")
        with pytest.raises(DataError, match="Invalid input of type: 'NoneType'"):
            await client.xack("s", "g", None)

    loop.run_until_complete(main())


def test_a_blocked_read_ends_after_its_time(loop):
    """BLOCK 5000 on an idle stream: nothing, after 5 s exactly."""

    async def main() -> tuple[object, float]:
        client = SimulatedServer().client()
        await client.xgroup_create("s", "g", mkstream=True)
        return await client.xreadgroup("g", "c", {"s": ">"}, block=5000), loop.time()

    assert loop.run_until_complete(main()) == ([], 5)


def test_blocked_readers_are_served_first_come_first_served(loop):
    """Whoever has waited longest gets the next entry, at the moment it is added."""
    served: list[tuple[float, str, str]] = []

    async def main() -> None:
        server = SimulatedServer(epoch_ms=0)
        await server.client().xgroup_create("s", "g", mkstream=True)

        async def reader(name: str, start: float) -> None:
            client = server.client()
            await asyncio.sleep(start)
            ((_, ((entry_id, _),)),) = await client.xreadgroup("g", name, {"s": ">"}, 1, block=0)
            served.append((loop.time(), name, entry_id))

        async with asyncio.TaskGroup() as group:
            for number, name in enumerate(["C3", "C1", "C2"]):
                group.create_task(reader(name, number))
            for number in range(3):
                await asyncio.sleep(10)
                await server.client().xadd("s", {"n": number})

    loop.run_until_complete(main())
    assert served == [(10, "C3", "10000-0"), (20, "C1", "20000-0"), (30, "C2", "30000-0")]


def test_a_cancelled_reader_takes_no_entry(loop):
    """It is gone before the entry comes: the entry goes to the next in line, none to its pending list."""

    async def main() -> tuple[object, int]:
        server = SimulatedServer(epoch_ms=0)
        client = server.client()
        await client.xgroup_create("s", "g", mkstream=True)
        first = asyncio.create_task(server.client().xreadgroup("g", "C1", {"s": ">"}, block=0))
        second = asyncio.create_task(server.client().xreadgroup("g", "C2", {"s": ">"}, block=0))
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.sleep(1)
        await client.xadd("s", {"n": 1})
        return await second, (await client.xpending("s", "g"))["consumers"]

    assert loop.run_until_complete(main()) == ([["s", [("2000-0", {"n": "1"})]]], [{"name": "C2", "pending": 1}])


def test_a_blocked_read_with_claim_takes_an_entry_once_it_is_idle(loop):
    """XREADGROUP CLAIM (8.4): C2 waits for new entries, and gets C1's after its 3 s of idleness."""

    async def main() -> tuple[float, object]:
        server = SimulatedServer(version=(8, 4, 0), epoch_ms=0)
        client = server.client()
        await client.xgroup_create("s", "g", mkstream=True)
        await client.xadd("s", {"n": 1})
        await client.xreadgroup("g", "C1", {"s": ">"}, 1)
        reply = await client.execute_command(
            "XREADGROUP", "GROUP", "g", "C2", "BLOCK", 0, "CLAIM", 3000, "STREAMS", "s", ">"
        )
        return loop.time(), reply[0][1][0][0]

    assert loop.run_until_complete(main()) == (3, "0-1")


def test_a_pipeline_is_one_round_trip_and_a_transaction_is_atomic(loop):
    """Two commands, one trip; a reader is woken when MULTI ends, and sees both entries."""

    async def main() -> tuple[float, list[object], object]:
        server = SimulatedServer(epoch_ms=0)
        client = server.client(round_trip=0.5)
        await server.client().xgroup_create("s", "g", mkstream=True)
        reader = asyncio.create_task(server.client().xreadgroup("g", "C1", {"s": ">"}, 10, block=0))
        await asyncio.sleep(1)
        pipe = client.pipeline(transaction=True)
        pipe.xadd("s", {"n": 1})
        pipe.xadd("s", {"n": 2})
        replies = await pipe.execute()
        return loop.time(), replies, await reader

    took, replies, read = loop.run_until_complete(main())
    assert took == 1.5
    assert replies == ["1250-0", "1250-1"]
    assert read == [["s", [("1250-0", {"n": "1"}), ("1250-1", {"n": "2"})]]]


def test_a_pipeline_raises_its_first_error_or_returns_it(loop):
    """As redis-py does: the command's number and text are in the message, the others were executed."""

    async def main() -> object:
        client = SimulatedServer().client()
        await client.set("text", "x")
        pipe = client.pipeline(transaction=False)
        pipe.xlen("text")
        pipe.ping()
        with pytest.raises(ResponseError, match=r"Command # 1 \(XLEN text\).*WRONGTYPE"):
            await pipe.execute()
        pipe.xlen("text")
        pipe.ping()
        return await pipe.execute(raise_on_error=False)

    error, pong = loop.run_until_complete(main())
    assert isinstance(error, ResponseError)
    assert pong is True


def test_a_round_trip_takes_its_time_half_there_half_back(loop):
    """The server executes a command in the middle of its round trip."""

    async def main() -> tuple[str, float]:
        client = SimulatedServer(epoch_ms=0).client(round_trip=0.010)
        return await client.xadd("s", {"n": 1}), loop.time()

    assert loop.run_until_complete(main()) == ("5-0", 0.010)


def test_a_client_that_never_waits_still_gives_others_their_turn(loop):
    """Two clients that only send commands get on side by side, as on a server."""
    order: list[str] = []

    async def main() -> None:
        server = SimulatedServer()

        async def busy(name: str) -> None:
            client = server.client()
            for _ in range(3):
                await client.ping()
                order.append(name)

        await asyncio.gather(busy("A"), busy("B"))

    loop.run_until_complete(main())
    assert order != ["A", "A", "A", "B", "B", "B"]
    assert sorted(order) == ["A", "A", "A", "B", "B", "B"]


def test_it_runs_on_an_ordinary_event_loop():
    """Then BLOCK takes real time."""

    async def main() -> tuple[object, bool]:
        loop = asyncio.get_running_loop()
        client = SimulatedServer().client()
        await client.xgroup_create("s", "g", mkstream=True)
        began = loop.time()
        reply = await client.xreadgroup("g", "c", {"s": ">"}, block=50)
        return reply, loop.time() - began >= 0.049

    assert asyncio.run(main()) == ([], True)


def test_bytes_that_are_not_text_survive(loop):
    """A payload may be anything; what is not UTF-8 comes back as surrogates, and is the same bytes."""

    async def main() -> bytes:
        client: Any = SimulatedServer().client()
        await client.xadd("s", {"raw": b"\xff\x00"})
        ((_, fields),) = await client.xrange("s")
        raw: str = fields["raw"]
        return raw.encode("utf-8", "surrogateescape")

    assert loop.run_until_complete(main()) == b"\xff\x00"


def test_a_negative_round_trip_is_refused():
    """In words."""
    with pytest.raises(ValueError, match="0 or more"):
        SimulatedServer().client(round_trip=-1)


# ---- what can go wrong between a client and its server -----------------------------------------------


@pytest.fixture(params=["on the general path", "on the fast path"])
def server(request, loop):
    return SimulatedServer(loop=loop if request.param == "on the fast path" else None)


async def a_group(server: SimulatedServer) -> SimulatedRedis:
    lab = server.client(is_lab=True)
    await lab.xgroup_create("s", "g", "0", mkstream=True)
    return lab


def test_a_cut_connection_ends_the_wait_and_the_next_command_reconnects(loop, server):
    """The blocked reader hears of it, is out of the queue, and takes no entry with it."""

    async def main():
        lab, client, other = await a_group(server), server.client(), server.client()
        waiting = asyncio.ensure_future(client.xreadgroup("g", "C1", {"s": ">"}, 1, 0))
        behind = asyncio.create_task(other.xreadgroup("g", "C2", {"s": ">"}, 1, 0))
        await asyncio.sleep(1)
        client.cut()
        with pytest.raises(ConnectionError, match="connection closed"):
            await waiting
        await lab.xadd("s", {"n": "1"}, id="1-1")
        return await behind, await client.xlen("s")

    assert loop.run_until_complete(main()) == ([["s", [("1-1", {"n": "1"})]]], 1)


def test_tasks_that_share_a_client_each_get_an_entry(loop, server):
    """The same read in two tasks, also while the first has been served and does not know it yet; then a time-out."""

    async def main():
        await a_group(server)
        client, producer = server.client(), server.client()

        def read() -> asyncio.Task[list[object]]:
            return asyncio.ensure_future(client.xreadgroup("g", "C1", {"s": ">"}, 1, 2000))

        first, second = read(), read()
        await asyncio.sleep(1)
        await producer.xadd("s", {"n": "1"})
        third = read()
        await producer.xadd("s", {"n": "2"})
        given: list[Any] = [await first, await second]
        got = [fields["n"] for ((_, ((_, fields),)),) in given]
        return got, await third, loop.now, await client.xpending("s", "g")

    got, third, when, pending = loop.run_until_complete(main())
    assert (got, third, when, pending["pending"]) == (["1", "2"], [], 3, 2)


def test_a_lost_reply_is_of_a_command_that_was_executed(loop, server):
    """The second XADD from now on, alone or in a pipeline; the one after it is answered again."""

    async def main():
        client = server.client()
        client.lose_reply("xadd", 2)
        await client.xadd("s", {"n": "1"})
        with pytest.raises(ConnectionError, match="before the reply to XADD"):
            await client.xadd("s", {"n": "2"})
        await client.xadd("s", {"n": "3"})
        client.lose_reply("XLEN")
        pipe = client.pipeline(transaction=False)
        pipe.xadd("s", {"n": "4"})
        pipe.xlen("s")
        with pytest.raises(ConnectionError, match="XLEN"):
            await pipe.execute()
        return await client.xlen("s")

    assert loop.run_until_complete(main()) == 4


def test_a_severed_client_reaches_the_server_no_more(loop, server):
    """What is left of a dead process executes nothing."""

    async def main():
        client = server.client()
        client.sever()
        with pytest.raises(asyncio.CancelledError):
            await client.xadd("s", {"n": "1"})
        return await server.client().xlen("s")

    assert loop.run_until_complete(main()) == 0


def test_a_server_that_is_down_refuses_all_but_the_lab(loop, server):
    """Who waits is dropped, who comes is refused; what was stored is there when it is back."""

    async def main():
        lab, client = await a_group(server), server.client()
        await client.xadd("s", {"n": "1"}, id="1-1")
        await client.xreadgroup("g", "C1", {"s": ">"}, 1)
        waiting = asyncio.ensure_future(client.xreadgroup("g", "C1", {"s": ">"}, 1, 0))
        await asyncio.sleep(1)
        server.go_down()
        with pytest.raises(ConnectionError):
            await waiting
        for command in (
            client.xadd("s", {"n": "2"}),
            client.xack("s", "g", "1-1"),
            client.pipeline().xlen("s").execute(),
        ):
            with pytest.raises(ConnectionError, match="is down"):
                await command
        seen_by_the_lab = await lab.xlen("s")
        server.come_up()
        return seen_by_the_lab, await client.xack("s", "g", "1-1")

    assert loop.run_until_complete(main()) == (1, 1)


def test_a_reader_that_is_unblocked_goes_on_with_nothing(loop, server):
    """As after CLIENT UNBLOCK; the entry that comes next is for who waits behind it."""

    async def main():
        lab, client, other = await a_group(server), server.client(), server.client()
        waiting = asyncio.ensure_future(client.xreadgroup("g", "C1", {"s": ">"}, 1, 0))
        behind = asyncio.create_task(other.xreadgroup("g", "C2", {"s": ">"}, 1, 0))
        await asyncio.sleep(1)
        client.unblock()
        nothing = await waiting
        await lab.xadd("s", {"n": "1"}, id="1-1")
        return nothing, await behind

    assert loop.run_until_complete(main()) == ([], [["s", [("1-1", {"n": "1"})]]])


def test_a_client_that_is_held_back_holds_up_nobody_elses_time_out(loop, server):
    """It waited first, so that the timer for both is of its making; it finds its own time over later."""
    told = []

    async def read(name, delay):
        await asyncio.sleep(delay)
        told.append((name, await server.client().xreadgroup("g", name, {"s": ">"}, 1, 1000), loop.now))

    async def main():
        await a_group(server)
        process, context = object(), contextvars.copy_context()
        context.run(PROCESS.set, process)
        held = loop.create_task(read("C1", 0), context=context)
        other = loop.create_task(read("C2", 0.25))
        await asyncio.sleep(0.5)
        loop.hold(process)
        await other
        await asyncio.sleep(3 - loop.now)
        loop.release(process)
        await held

    loop.run_until_complete(main())
    assert told == [("C2", [], 1.25), ("C1", [], 3)]


def test_a_server_runs_a_coroutine_in_virtual_time() -> None:
    """From second 0 on, and the loop is closed afterwards, also if it fails."""
    server = SimulatedServer(epoch_ms=1000)
    loops = []

    async def main(fails: bool) -> str:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(3600)
        if fails:
            raise LookupError
        return str(await server.client().xadd("s", {"a": 1}))

    assert server.run(main(False)) == "3601000-0"
    with pytest.raises(LookupError):
        server.run(main(True))
    assert [loop.is_closed() for loop in loops] == [True, True]
