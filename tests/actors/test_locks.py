"""redis-py's own locks, which brokers take, on the embedded server and on real ones."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import redis.asyncio.lock
import redis.lock
from redis.exceptions import LockError, LockNotOwnedError, NoScriptError
from redis.maint_notifications import MaintNotificationsConfig

from streamlab.actors import scripts
from streamlab.servers.client import sync_stream_client
from streamlab.servers.embedded import EmbeddedServer
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerBinary

KINDS = ("embedded", "embedded, by its socket", "embedded as of 8.6", "real")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames and "server_binary" not in metafunc.fixturenames:
        metafunc.parametrize("kind", [pytest.param(k, marks=[pytest.mark.redis] * (k == "real")) for k in KINDS])


@pytest.fixture
def connect(kind: str, request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Connect to a server: ``connect(redis.Redis, protocol=3)``."""
    server = EmbeddedServer(version=(8, 6, 0) if "8.6" in kind else (7, 0, 15))
    if kind == "real" or "socket" in kind:
        url = request.getfixturevalue("redis_url") if kind == "real" else server.url
        # A client with RESP3 asks for notifications, which redis-py 7 cannot do on a unix socket.
        silent = {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}
        yield lambda cls, **settings: cls.from_url(
            url, decode_responses=True, **(silent if cls is redis.Redis else {}), **settings
        )
    else:
        yield (
            lambda cls, **settings: server.client(**settings) if cls is redis.Redis else server.async_client(**settings)
        )
    server.close()


def life(client: redis.Redis) -> Iterator[Any]:
    """Take a lock and do with it all that there is: one step after the other, each a call or what it gives."""
    lock, other = client.lock("l", timeout=5), client.lock("l", timeout=9)
    yield lock.acquire(blocking=False)
    yield other.acquire(blocking=False)
    yield lock.extend(3)
    yield client.pttl("l")
    yield lock.extend(4, replace_ttl=True)
    yield client.pttl("l")
    yield lock.reacquire()
    yield client.pttl("l")
    yield lock.release()
    yield client.exists("l")
    # Another holds it by now: nothing that this one does touches it.
    yield lock.acquire()
    yield client.set("l", "another's")
    yield lock.extend(1)
    yield lock.reacquire()
    yield lock.release()
    yield client.get("l")
    yield client.pttl("l")
    # It may have no time to live, or be gone; or the key may hold something else.
    endless = client.lock("endless")
    yield endless.acquire()
    yield client.evalsha(scripts.LOCK_EXTEND, 1, "endless", cast(str, client.get("endless")), "5", "0")
    yield endless.release()
    yield client.evalsha(scripts.LOCK_RELEASE, 1, "gone", "token")
    yield client.evalsha(scripts.LOCK_EXTEND, 1, "gone", "token", "5", "0")
    yield client.xadd("s", {"f": "1"}, id="1-1")
    yield client.eval(redis.lock.Lock.LUA_RELEASE_SCRIPT, 1, "s", "token")
    yield client.script_exists(scripts.LOCK_RELEASE, "0" * 40)
    pipe = client.pipeline()
    pipe.set("l", "token", px=5000)
    pipe.evalsha(scripts.LOCK_REACQUIRE, 1, "l", "token", 7000)
    pipe.evalsha(scripts.LOCK_RELEASE, 1, "l", "token")
    yield pipe.execute()
    yield client.exists("l")


STAYS = [True, False, True, 8000, True, 4000, True, 5000, None, 0]
NOT_OWNED = [True, True, LockNotOwnedError, LockNotOwnedError, LockNotOwnedError, "another's", -1]
ODD = [True, 0, None, 0, 0, "1-1", "WRONGTYPE", [True, False], [True, 1, 1], 0]


def told(what: object) -> object:
    """Return what came of a step: times to half a second, errors by what they are."""
    if isinstance(what, LockError):
        return type(what)
    if isinstance(what, redis.ResponseError):
        return str(what).split(" ")[0]
    if type(what) is int and what > 1000:
        return round(what + 200, -3)
    return what


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_lock_is_taken_extended_and_given_back(connect: Any, protocol: int) -> None:
    """What each step gives is the same everywhere, and what real servers give."""
    with connect(redis.Redis, protocol=protocol) as client:
        load_locks(client)
        seen, steps = [], life(cast(Any, Caught(client)))
        for step in steps:
            seen.append(told(step))
    assert seen == STAYS + NOT_OWNED + ODD


def load_locks(client: Any) -> list[Any]:
    """Load the scripts: a real server knows only those that it has been given."""
    lock = redis.lock.Lock
    texts = [lock.LUA_RELEASE_SCRIPT, lock.LUA_EXTEND_SCRIPT, lock.LUA_REACQUIRE_SCRIPT]
    return [client.script_load(text) for text in texts]


class Caught:
    """Something whose methods return the error that they raise."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def call(*args: Any, **options: Any) -> Any:
            try:
                made = method(*args, **options)
            except redis.RedisError as error:
                return error
            return Caught(made) if isinstance(made, redis.lock.Lock) else made

        return call


@pytest.mark.parametrize("protocol", [2, 3])
def test_an_asyncio_lock_excludes_others(connect: Any, protocol: int) -> None:
    """Three tasks, one at a time; and one that waits no longer than it may."""
    inside: list[str] = []

    async def main() -> None:
        client = connect(redis.asyncio.Redis, protocol=protocol)

        async def work(name: str) -> None:
            async with client.lock("l", timeout=5, sleep=0.001) as lock:
                inside.append(name)
                await asyncio.sleep(0.01)
                assert await lock.extend(3) is True
                assert 5000 < await client.pttl("l") <= 8000
                assert await lock.reacquire() is True
                assert await client.pttl("l") <= 5000
                impatient = client.lock("l", blocking_timeout=0.001, sleep=0.001)
                assert await impatient.acquire() is False
                inside.append(name)

        await asyncio.gather(*map(work, "abc"))
        assert await client.exists("l") == 0
        await client.aclose()

    asyncio.run(asyncio.wait_for(main(), 20))
    assert sorted(inside[::2]) == ["a", "b", "c"]
    assert inside[::2] == inside[1::2]


def test_what_is_known_is_what_redis_py_runs(server_binary: ServerBinary) -> None:
    """The digests are those by which a real server has the scripts; both kinds of lock have the same."""
    for lock_class in (redis.lock.Lock, redis.asyncio.lock.Lock):
        assert scripts.knows_lock(lock_class)
        assert hashlib.sha1(lock_class.LUA_EXTEND_SCRIPT.encode()).hexdigest() == (scripts.LOCK_EXTEND)
    with PrivateServer(server_binary) as server, sync_stream_client(server.url) as client:
        assert load_locks(client) == [scripts.LOCK_RELEASE, scripts.LOCK_EXTEND, scripts.LOCK_REACQUIRE]
        assert client.evalsha(scripts.LOCK_RELEASE, 1, "l", "token") == 0
        with pytest.raises(NoScriptError):
            client.evalsha("0" * 40, 0)


def test_what_could_not_be_released_is_not_acquired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where redis-py brings scripts that the embedded server does not know, there are no locks at all."""
    server = EmbeddedServer()
    for lock_class in (redis.lock.Lock, redis.asyncio.lock.Lock):
        monkeypatch.setattr(lock_class, "LUA_RELEASE_SCRIPT", "return redis.call('unlink', 'x')")
    with pytest.raises(LockError, match="could not release"), server.client() as client:
        client.lock("l")

    async def main() -> None:
        with pytest.raises(LockError, match="could not release"):
            server.async_client().lock("l")

    asyncio.run(main())
