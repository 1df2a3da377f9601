"""One program on all servers: simulated, embedded, and each real one that there is.

What a simulated client can do beside streams is what real servers do, in virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from redis.exceptions import RedisError, WatchError

from tests.redis_targets import AnyServer


async def attempt(command: Awaitable[Any]) -> Any:
    """Return the reply, or the beginning of the error."""
    try:
        return await command
    except WatchError:
        return "WatchError"
    except RedisError as error:
        return " ".join(str(error).split(" ")[:4])


async def all_of(*commands: Awaitable[Any]) -> list[Any]:
    return [await attempt(command) for command in commands]


WRONGTYPE = "WRONGTYPE Operation against a"


def test_strings(server_everywhere: AnyServer) -> None:
    """SET with all that consumers use, GET, INCR, and what is no number."""

    async def program(server: AnyServer) -> None:
        c = server.connect()
        assert await all_of(
            c.set("seen:1", "1", nx=True, ex=60),
            c.set("seen:1", "2", nx=True, ex=60),
            c.get("seen:1"),
            c.ttl("seen:1"),
            c.set("seen:1", "3", xx=True, keepttl=True),
            c.ttl("seen:1"),
            c.set("seen:1", "4", px=5000, get=True),
            c.set("none", "1", xx=True),
            c.set("new", "ü", get=True),
            c.ttl("new"),
            c.ttl("none"),
            c.incr("n"),
            c.incrby("n", 41),
            c.decr("n"),
            c.incrbyfloat("n", 0.5),
            c.incr("new"),
            c.incr("n"),
            c.mset({"a": "1", "b": "2"}),
            c.mget("a", "none", "b"),
            c.getdel("a"),
            c.append("b", "3"),
            c.get("b"),
            c.setnx("b", "x"),
            c.execute_command("SET", "b", "x", "EX", "no"),
            c.execute_command("SET", "b", "x", "WHAT"),
            c.get("none"),
        ) == [
            *(True, None, "1", 60, True, 60, "3", None, None, -1, -2, 1, 42, 41, 41.5),
            *["value is not an"] * 2,
            *(True, ["1", None, "2"], "1", 2, "23", False),
            *("value is not an", "syntax error", None),
        ]

    server_everywhere.run(program)


def test_hashes_sets_lists_and_sorted_sets(server_everywhere: AnyServer) -> None:
    """Effects by id, sets of what was seen, queues, and entries to try again at a time."""

    async def program(server: AnyServer) -> None:
        c = server.connect()
        assert await all_of(
            c.hset("h", "1-1", "done"),
            c.hset("h", mapping={"1-1": "again", "2-1": "done"}),
            c.hsetnx("h", "1-1", "x"),
            c.hget("h", "1-1"),
            c.hgetall("h"),
            c.hincrby("h", "n", 2),
            c.hexists("h", "2-1"),
            c.hdel("h", "1-1", "none"),
            c.hlen("h"),
            c.sadd("s", "1-1", "1-2"),
            c.sadd("s", "1-2"),
            c.sismember("s", "1-1"),
            c.smembers("s"),
            c.srem("s", "1-1"),
            c.scard("s"),
            c.rpush("l", "a", "b", "c"),
            c.lpush("l", "z"),
            c.lrange("l", 0, -1),
            c.lpop("l"),
            c.rpop("l", 2),
            c.lmove("l", "m", "LEFT", "RIGHT"),
            c.exists("l", "m"),
            c.llen("l"),
            c.zadd("retry", {"1-1": 100, "1-2": 50.5}),
            c.zrangebyscore("retry", "-inf", 60, withscores=True),
            c.zpopmin("retry"),
            c.zscore("retry", "1-1"),
            c.zrem("retry", "1-1"),
            c.type("retry"),
            c.pfadd("p", "x", "y"),
            c.setbit("bits", 7, 1),
        ) == [
            *(1, 1, False, "again", {"1-1": "again", "2-1": "done"}, 2, True, 1, 2),
            *(2, 0, 1, {"1-1", "1-2"}, 1, 1),
            *(3, 4, ["z", "a", "b", "c"], "z", ["c", "b"], "a", 1, 0),
            *(2, [("1-2", 50.5)], [("1-2", 50.5)], 100, 1, "none", 1, 0),
        ]

    server_everywhere.run(program)


def test_keys_of_another_type(server_everywhere: AnyServer) -> None:
    """WRONGTYPE from a stream to all others, and back; TYPE, DEL, RENAME and COPY of a stream."""

    async def program(server: AnyServer) -> None:
        c = server.connect()
        await c.xadd("s", {"f": "1"}, id="1-1")
        await c.xgroup_create("s", "g", "0")
        await all_of(c.set("t", "x"), c.hset("h", "f", "1"), c.lpush("l", "x"), c.sadd("e", "x"))
        seen = [
            *[await attempt(c.xadd(key, {"f": "1"})) for key in ("t", "h", "l", "e")],
            *[await attempt(c.xack(key, "g", "1-1")) for key in ("t", "h", "l", "e")],
            await attempt(c.xreadgroup("g", "c", {"t": ">"})),
            *await all_of(c.get("s"), c.lpush("s", "x"), c.hget("s", "f"), c.sadd("s", "x")),
            *await all_of(c.incr("s"), c.zadd("s", {"x": 1}), c.blpop("s", 1), c.append("s", "x")),
        ]
        assert seen == [WRONGTYPE] * 17
        assert await all_of(
            c.type("s"),
            c.rename("s", "r"),
            c.xlen("s"),
            c.xpending("r", "g"),
            c.copy("r", "s"),
            c.xadd("r", {"f": "2"}, id="2-1"),
            c.xlen("s"),
            c.exists("s", "r", "none"),
            c.delete("r", "none"),
            attempt(c.xpending("r", "g")),
            c.set("s", "over it"),
            attempt(c.xlen("s")),
            c.unlink("s", "t"),
            c.dbsize(),
            c.flushall(),
            c.dbsize(),
        ) == [
            *("stream", True, 0, {"pending": 0, "min": None, "max": None, "consumers": []}),
            *(True, "2-1", 1, 2, 1, "NOGROUP No such key", True, WRONGTYPE, 2, 3, True, 0),
        ]
        for n in range(25):
            await c.xadd(f"key:{n}", {"f": "1"})
        assert len({key async for key in c.scan_iter("key:*", count=4)}) == 25
        assert sorted(await c.keys("key:1?")) == [f"key:{n}" for n in range(10, 20)]

    server_everywhere.run(program)


def test_expiry(server_everywhere: AnyServer) -> None:
    """Keys of every type go when their time is over, streams with their groups; PERSIST keeps them."""

    async def program(server: AnyServer) -> None:
        c = server.connect()
        await c.xadd("s", {"f": "1"})
        await c.xgroup_create("s", "g", "0")
        assert await all_of(
            c.set("t", "x", px=300),
            c.set("seen", "1", nx=True, px=300),
            c.hset("h", "f", "1"),
            c.pexpire("h", 300),
            c.pexpire("s", 300),
            c.set("kept", "x", px=300),
            c.persist("kept"),
            c.set("set again", "x", px=300),
            c.set("set again", "y"),
            c.expire("none", 300),
            c.set("gone", "x"),
            c.expire("gone", 0),
            c.exists("gone"),
        ) == [*[True] * 2, 1, *[True] * 6, False, True, True, 0]
        assert 0 < await c.pttl("s") <= 300
        assert await c.ttl("kept") == -1
        if server.version >= (7, 0, 0):
            assert await c.expiretime("t") > 1_000_000_000
        assert await c.exists("t", "h", "s", "seen") == 4
        await asyncio.sleep(0.35)
        assert await c.exists("t", "h", "s", "seen", "kept", "set again") == 2
        assert await all_of(c.get("t"), c.hgetall("h"), c.xlen("s"), c.xreadgroup("g", "c", {"s": ">"})) == [
            None,
            {},
            0,
            "NOGROUP No such key",
        ]
        assert await c.set("seen", "1", nx=True, px=300) is True
        assert await c.pttl("t") == -2

    server_everywhere.run(program)


def test_transactions_of_both_kinds(server_everywhere: AnyServer) -> None:
    """MULTI with commands on streams and others; what is unknown discards all of it, what fails does not."""

    async def program(server: AnyServer) -> None:
        c = server.connect()
        await c.xgroup_create("s", "g", "0", mkstream=True)
        waiting = asyncio.ensure_future(server.connect().xreadgroup("g", "c", {"s": ">"}, block=9000))
        await server.until_blocked(1)
        pipe = c.pipeline()
        pipe.set("t", "1").xadd("s", {"f": "1"}, id="1-1").incr("t")
        pipe.xadd("s", {"f": "2"}, id="2-1").xadd("t", {"f": "1"}).lpush("s", "x").get("t")
        replies = await pipe.execute(raise_on_error=False)
        assert [r if isinstance(r, (str, int)) else str(r)[:9] for r in replies] == [
            *(True, "1-1", 2, "2-1", "WRONGTYPE", "WRONGTYPE", "2")
        ]
        assert [i for i, _ in (await waiting)[0][1]] == ["1-1", "2-1"]  # when all of it is over
        for unknown in (["NOSUCH", "x"], ["GET"], ["XADD", "s"], ["XNOSUCH", "s"]):
            for streams_only in (False, True):
                pipe = c.pipeline()
                pipe.xadd("s", {"f": "3"})
                if not streams_only:
                    pipe.set("t", "3")
                pipe.execute_command(*unknown)
                error = await attempt(pipe.execute())
                assert error.startswith(f"Command # {3 - streams_only} ({unknown[0]}"), error
                error = await attempt(_refill(pipe, unknown).execute(raise_on_error=False))
                assert error.startswith("Command # 2"), error
        assert await all_of(c.get("t"), c.xlen("s")) == ["2", 2]
        pipe = c.pipeline(transaction=False)
        pipe.set("t", "4").xlen("s").execute_command("NOSUCH")
        pipe.sadd("t", "x").get("t")
        replies = await pipe.execute(raise_on_error=False)
        assert [r if isinstance(r, (str, int)) else str(r)[:9] for r in replies] == [
            *(True, 2, "unknown c", "WRONGTYPE", "4")
        ]

    server_everywhere.run(program)


def _refill(pipe: Any, unknown: list[str]) -> Any:
    pipe.xadd("s", {"f": "4"})
    pipe.execute_command(*unknown)
    return pipe


def test_watch(server_everywhere: AnyServer) -> None:
    """WATCH of streams and of others: what changes the key breaks the transaction, what only reads does not."""

    async def program(server: AnyServer) -> None:
        c, other = server.connect(), server.connect()
        await c.xadd("s", {"f": "1"}, id="1-1")
        await c.xgroup_create("s", "g", "0")
        for key, change, is_noticed in [
            ("s", lambda: other.xadd("s", {"f": "2"}), True),
            ("s", lambda: other.xreadgroup("g", "c", {"s": ">"}), False),
            ("s", lambda: other.xack("s", "g", "1-1"), False),
            ("s", lambda: other.xdel("s", "1-1"), True),
            ("s", lambda: other.xlen("s"), False),
            ("s", lambda: other.expire("s", 100), True),
            ("s", lambda: other.delete("s"), True),
            ("s", lambda: other.xadd("s", {"f": "1"}), True),
            ("s", lambda: other.xadd("another", {"f": "1"}), False),
            ("t", lambda: other.set("t", "1"), True),
            ("t", lambda: other.get("t"), False),
        ]:
            async with c.pipeline() as pipe:
                await pipe.watch(key)
                n = await pipe.exists(key)
                await change()
                pipe.multi()
                pipe.set("result", n)
                assert await attempt(pipe.execute()) == ("WatchError" if is_noticed else [True])

        tries: list[Any] = []

        async def increment(pipe: Any) -> None:
            value = int(await pipe.get("n") or 0)
            if not tries:
                await other.set("n", 10)
            tries.append(value)
            pipe.multi()
            pipe.set("n", value + 1)
            pipe.xadd("log", {"n": value})

        await c.transaction(increment, "n")
        assert (tries, await c.get("n"), await c.xlen("log")) == ([0, 10], "11", 1)

    server_everywhere.run(program)


def test_waiting_for_a_list(server_everywhere: AnyServer) -> None:
    """BLPOP and its like wait, are served, time out; those who came first are served first."""

    async def program(server: AnyServer) -> None:
        c = server.connect()
        told: list[Any] = []

        async def wait(name: str, *keys: str) -> None:
            told.append((name, await server.connect().blpop([*keys], 5)))

        for elements in (["x", "y"], ["1", "2", "3"]):
            names = "abc"[: len(elements)]
            waiting = []
            for name in names:
                waiting.append(asyncio.create_task(wait(name, "none", "l")))
                await server.until_blocked(len(waiting))
            assert await c.rpush("l", *elements) == len(elements)
            await asyncio.gather(*waiting)
            expected = [(name, ("l", e)) for name, e in zip(names, elements, strict=True)]
            assert sorted(told) == expected
            told.clear()
        assert await c.blpop("l", 0.02) is None
        assert await c.bzpopmin("z", 0.02) is None
        served = asyncio.ensure_future(server.connect().bzpopmin("z", 5))
        moved = asyncio.ensure_future(server.connect().brpoplpush("from", "to", 5))
        both = asyncio.ensure_future(server.connect().blpop("to", 5))
        await server.until_blocked(3)
        await c.zadd("z", {"m": 1.5})
        assert await served == ("z", "m", 1.5)
        await c.lpush("from", "x")
        assert (await moved, await both) == ("x", ("to", "x"))
        pipe = c.pipeline()
        pipe.blpop("l", 5).set("t", "at once")
        assert await pipe.execute() == [None, True]

    server_everywhere.run(program)


def test_what_befalls_a_stream_wakes_its_readers(server_everywhere: AnyServer) -> None:
    """A reader waits while its stream is deleted, expires, is overwritten or recreated by another command."""

    async def program(server: AnyServer) -> None:
        c = server.connect()
        gone = "UNBLOCKED the stream key" if server.version < (7, 2, 0) else "NOGROUP No such key"
        wrong = gone if server.version < (7, 2, 0) else WRONGTYPE

        for change, answer in [
            (lambda: c.delete("s"), gone),
            (lambda: c.pexpire("s", 30), gone),
            (lambda: c.rename("s", "elsewhere"), gone),
            (lambda: c.set("s", "a string"), wrong),
            (lambda: c.flushall(), gone),
        ]:
            await c.delete("s")
            await c.xgroup_create("s", "g", "0", mkstream=True)
            waiting = asyncio.create_task(attempt(server.connect().xreadgroup("g", "c", {"s": ">"}, block=9000)))
            await server.until_blocked(1)
            await change()
            assert await waiting == answer
        await c.delete("s")
        await c.xgroup_create("s", "g", "0", mkstream=True)
        await c.pexpire("s", 30)  # before anybody waits
        assert await attempt(c.xreadgroup("g", "c", {"s": ">"}, block=9000)) == gone

    server_everywhere.run(program)


def test_publish_and_subscribe(server_everywhere: AnyServer) -> None:
    """Messages come to who has subscribed, by channel and by pattern, and no more afterwards."""

    async def program(server: AnyServer) -> None:
        c = server.connect()
        async with server.connect().pubsub(ignore_subscribe_messages=True) as inbox:
            await inbox.subscribe("news", "more")
            await inbox.psubscribe("n*")
            assert await inbox.get_message(timeout=0.02) is None
            assert await inbox.get_message(timeout=0.02) is None
            assert await inbox.get_message(timeout=0.02) is None
            assert await c.pubsub_numsub("news", "none") == [("news", 1), ("none", 0)]
            coming = asyncio.create_task(_next(inbox))
            await asyncio.sleep(0.02)
            assert await c.publish("news", "ü") == 2
            told = [await coming, await _next(inbox)]
            assert [(m["type"], m["channel"], m["data"]) for m in told] == [
                ("message", "news", "ü"),
                ("pmessage", "news", "ü"),
            ]
            await inbox.unsubscribe("news")
            await inbox.punsubscribe("n*")
            assert await inbox.get_message(timeout=0.02) is None
            assert await inbox.get_message(timeout=0.02) is None
            assert await c.publish("news", "not heard") == 0
            assert await c.publish("more", "heard") == 1
            assert (await _next(inbox))["data"] == "heard"
        async with asyncio.timeout(5):  # the server hears of it sooner or later
            while await c.publish("more", "nobody"):
                await asyncio.sleep(0.005)

    server_everywhere.run(program)


async def _next(inbox: Any) -> Any:
    async with asyncio.timeout(5):
        while (message := await inbox.get_message(timeout=5)) is None:
            pass
        return message


def test_locks_and_a_connection_of_ones_own(server_everywhere: AnyServer) -> None:
    """redis-py's locks exclude; `client()` has a connection of its own, which blocks in nobody's way."""

    async def program(server: AnyServer) -> None:
        c = server.connect()
        inside: list[str] = []

        async def work(name: str) -> None:
            async with c.lock("l", timeout=5, sleep=0.005) as lock:
                inside.append(name)
                await asyncio.sleep(0.02)
                assert await lock.extend(3) is True
                assert await lock.reacquire() is True
                inside.append(name)

        await asyncio.gather(*map(work, "ab"))
        assert inside in (["a", "a", "b", "b"], ["b", "b", "a", "a"])
        assert await c.exists("l") == 0
        async with c.client() as own:
            await own.xgroup_create("s", "g", "0", mkstream=True)
            assert await own.xreadgroup("g", "c", {"s": ">"}, block=20) == []
            waiting = asyncio.ensure_future(own.xreadgroup("g", "c", {"s": ">"}, block=9000))
            await asyncio.sleep(0.02)
            await c.xadd("s", {"f": "1"}, id="1-1")
            assert await waiting == [["s", [("1-1", {"f": "1"})]]]
            assert await own.xack("s", "g", "1-1") == 1

    server_everywhere.run(program)
