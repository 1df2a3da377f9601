"""A reply that is lost on the way: what redis-py's defaults do then, and what this package's clients do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from streamlab.servers.client import stream_client, sync_stream_client
from streamlab.servers.connect import LabAsyncRedis, LabRedis, connect, connect_async
from streamlab.servers.proxy import Proxy


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine, and fail rather than wait for ever."""
    asyncio.run(asyncio.wait_for(coroutine, 30))


def redis_py(url: str) -> redis.Redis:
    """Return a client as ``Redis(…)`` makes it, but that it does not wait before it sends again.

    (``Redis.from_url`` makes one that does not send again, as long as it is not told to.)
    """
    path = parse_url(url)["path"]
    client = redis.Redis(unix_socket_path=path, decode_responses=True, protocol=2)
    retry = client.get_retry()
    assert retry is not None
    assert retry._retries >= 3  # redis-py's own choice
    client.set_retry(Retry(NoBackoff(), retry._retries))
    return client


# ---- redis-py's defaults -----------------------------------------------------------------------


def test_redis_py_adds_twice(redis_url: str) -> None:
    """The trap: an XADD whose reply is lost is sent again, and the entry is there twice."""

    async def scenario() -> None:
        async with Proxy(redis_url) as proxy, stream_client(redis_url) as direct:
            with redis_py(proxy.url) as client:
                proxy.lose_reply("XADD")
                await asyncio.to_thread(client.xadd, "s", {"n": 1})
            assert proxy.n_lost == 1
            entries: Any = await direct.xrange("s")
            assert [fields for _, fields in entries] == [{"n": "1"}] * 2

    run(scenario())


def test_redis_py_orphans_an_entry(redis_url: str) -> None:
    """The trap: XREADGROUP is sent again, gives the next entry, and the first stays pending unseen."""

    async def scenario() -> None:
        async with Proxy(redis_url) as proxy, stream_client(redis_url) as direct:
            await direct.xgroup_create("s", "g", mkstream=True)
            for n in (1, 2):
                await direct.xadd("s", {"n": n}, id=f"{n}-1")
            with redis_py(proxy.url) as client:
                proxy.lose_reply("XREADGROUP")
                read = await asyncio.to_thread(client.xreadgroup, "g", "c", {"s": ">"}, count=1)
            assert read == [["s", [("2-1", {"n": "2"})]]]
            assert (await direct.xpending("s", "g"))["pending"] == 2

    run(scenario())


def test_redis_py_denies_an_acknowledgement(redis_url: str) -> None:
    """The trap: XACK is sent again, and says 0 although it has acknowledged."""

    async def scenario() -> None:
        async with Proxy(redis_url) as proxy, stream_client(redis_url) as direct:
            await direct.xgroup_create("s", "g", mkstream=True)
            await direct.xadd("s", {"n": 1}, id="1-1")
            await direct.xreadgroup("g", "c", {"s": ">"})
            with redis_py(proxy.url) as client:
                proxy.lose_reply("XACK")
                assert await asyncio.to_thread(client.xack, "s", "g", "1-1") == 0
            assert (await direct.xpending("s", "g"))["pending"] == 0

    run(scenario())


# ---- this package's clients --------------------------------------------------------------------


@pytest.mark.parametrize("client_class", [LabRedis, redis.Redis])
def test_a_client_of_ours_adds_once(redis_url: str, client_class: type[redis.Redis]) -> None:
    """The caller is told that the reply was lost; the entry was added once, and nothing is sent again."""

    async def scenario() -> None:
        async with Proxy(redis_url) as proxy, stream_client(redis_url) as direct:
            if client_class is LabRedis:  # connect() looks at the server first: in a thread, as we serve it
                client: redis.Redis = await asyncio.to_thread(connect, proxy.url)
            else:
                client = sync_stream_client(proxy.url)
            with client:
                proxy.lose_reply("XADD")
                with pytest.raises(redis.ConnectionError):
                    await asyncio.to_thread(client.xadd, "s", {"n": 1})
            assert await direct.xlen("s") == 1

    run(scenario())


@pytest.mark.parametrize("client_class", [LabAsyncRedis, redis.asyncio.Redis])
def test_an_asyncio_client_of_ours_adds_once(redis_url: str, client_class: type[redis.asyncio.Redis]) -> None:
    """The same with asyncio, and in a pipeline: none of its commands is sent again."""

    async def scenario() -> None:
        async with Proxy(redis_url) as proxy, stream_client(redis_url) as direct:
            if client_class is LabAsyncRedis:
                client: redis.asyncio.Redis = await connect_async(proxy.url)
            else:
                client = stream_client(proxy.url)
            async with client:
                for command, is_transaction in (("XADD", False), ("EXEC", True)):
                    await direct.delete("s")
                    proxy.lose_reply(command)
                    pipeline: Any = client.pipeline(transaction=is_transaction)
                    pipeline.xadd("s", {"n": 1}).xadd("s", {"n": 2})
                    with pytest.raises(redis.ConnectionError):
                        await pipeline.execute()
                    assert await direct.xlen("s") == 2
                assert proxy.n_lost == 2

    run(scenario())


def test_what_was_read_is_in_the_history(redis_url: str) -> None:
    """After a lost XREADGROUP the entries are pending: the consumer's own history gives them, none is lost."""

    async def scenario() -> None:
        async with Proxy(redis_url) as proxy, stream_client(redis_url) as direct, stream_client(proxy.url) as client:
            await direct.xgroup_create("s", "g", mkstream=True)
            for n in (1, 2, 3):
                await direct.xadd("s", {"n": n}, id=f"{n}-1")
            proxy.lose_reply("XREADGROUP")
            with pytest.raises(redis.ConnectionError):
                await client.xreadgroup("g", "c", {"s": ">"}, count=2)
            history: Any = await client.xreadgroup("g", "c", {"s": "0"})
            assert [entry_id for entry_id, _ in history[0][1]] == ["1-1", "2-1"]
            new: Any = await client.xreadgroup("g", "c", {"s": ">"})
            assert [entry_id for entry_id, _ in new[0][1]] == ["3-1"]

    run(scenario())


@pytest.mark.real_time("compares times")
@pytest.mark.parametrize("is_async", [False, True], ids=["thread", "loop"])
def test_block_5000_returns_after_5_s(redis_url: str, is_async: bool) -> None:
    """On an idle stream BLOCK 5000 returns nothing, after 5 s: redis-py's own time-out of 5 s is off."""

    async def scenario() -> None:
        started = time.monotonic()
        if is_async:
            async with await connect_async(redis_url) as client:
                assert await client.xread({"s": "$"}, block=5000) == []
        else:
            with connect(redis_url) as sync:
                assert await asyncio.to_thread(sync.xread, {"s": "$"}, block=5000) == []
        assert 4.9 < time.monotonic() - started < 6

    run(scenario())
