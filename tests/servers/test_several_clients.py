"""Clients of servers that are reached as one: by their Sentinels, or as a cluster."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import redis
import redis.asyncio

from streamlab.actors import consume, ensure_group, produce
from streamlab.actors.events import ADDED, PROCESSED, RECREATED
from streamlab.lab.lab import Lab
from streamlab.scenario import Arrivals, Producer, Scenario, ScenarioError, Service, consumers
from streamlab.servers.client import ServerUnusable, redact, stream_client, sync_stream_client, with_database
from streamlab.servers.cluster import PrivateCluster
from streamlab.servers.connect import connect, connect_async
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerBinary
from streamlab.servers.proxy import Proxy
from streamlab.servers.replicas import PrivateReplicas
from streamlab.servers.several import at_key, parse_several
from streamlab.servers.together import PrivateServers, ask

STREAM, GROUP = "orders", "workers"
#: Why the tests of failovers are tests of real time.
SLOW_IS_DEAD = "a server that does not get to answer is taken for dead"


@pytest.fixture(scope="module")
def replicas(default_server_binary: ServerBinary) -> Iterator[PrivateReplicas]:
    with PrivateReplicas(default_server_binary, n_replicas=1, n_sentinels=1) as servers:
        yield servers


@pytest.fixture(scope="module")
def cluster(default_server_binary: ServerBinary) -> Iterator[PrivateCluster]:
    with PrivateCluster(default_server_binary, n_replicas=0) as servers:
        yield servers


@pytest.fixture(params=["replicas", "cluster"])
def several(request: pytest.FixtureRequest) -> PrivateServers:
    """Servers of either kind, which are not to be killed."""
    servers: PrivateServers = request.getfixturevalue(request.param)
    return servers


def password_of(servers: PrivateServers) -> str:
    return servers.url.partition("//:")[2].partition("@")[0]


# ---- URLs ----------------------------------------------------------------------------------------------


def test_urls_name_several_servers() -> None:
    """Hosts, ports, the service, the database, and the passwords of servers and Sentinels."""
    url = "redis+sentinel://me:s%40crit@one,two:7000,[::1]:7001/lab/2?sentinel_password=t%26op&health_check_interval=3"
    found = parse_several(url)
    assert found
    assert found.addresses == (("one", 26379), ("two", 7000), ("::1", 7001))
    assert (found.service, found.is_cluster) == ("lab", False)
    assert found.settings == {"username": "me", "password": "s@crit", "db": 2, "health_check_interval": 3}
    assert found.sentinel_settings["password"] == "t&op"
    assert "username" not in found.sentinel_settings

    found = parse_several("rediss+cluster://:secret@one:1,two")
    assert found
    assert found.addresses == (("one", 1), ("two", 6379))
    assert (found.is_cluster, found.settings) == (True, {"password": "secret", "ssl": True})
    assert parse_several("redis://one:1/0") is None


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://one:1,two:2",  # which service?
        "redis+sentinel://one:1/lab/two",
        "redis+sentinel://one:1,/lab",
        "redis+sentinel://one:123456/lab",
        "redis+sentinel://:sec/ret@one:1/lab",
        "redis+sentinel://one:1/lab?nonsense=1",
        "redis+sentinel://one:1/lab?sentinel_nonsense=1",
        "redis+cluster://one:1/2",
        "redis+cluster://one:1/lab",
        "redis+cluster://one:x",
        "redis+cluster://one:1?nonsense=1",
    ],
)
def test_urls_that_make_no_sense(url: str) -> None:
    """They are refused in a line that shows how they are written, and no password."""
    for make in (stream_client, sync_stream_client):
        with pytest.raises(ServerUnusable, match="not a Redis URL") as refused:
            make(url)
        assert "redis+sentinel://host:port,host:port/service" in str(refused.value)
        assert "ret" not in str(refused.value)


def test_passwords_are_not_shown() -> None:
    """Addresses and the service are; of a URL that makes no sense nothing is."""
    url = "redis+sentinel://me:secret@one:1,two:2/lab?sentinel_password=secret"
    assert redact(url) == "redis+sentinel://me:***@one:1,two:2/lab?sentinel_password=***"
    assert redact("redis+cluster://:secret@one:1,two:2") == "redis+cluster://:***@one:1,two:2"
    assert redact("redis+cluster://:sec:ret@one:1:two") == "redis+cluster://***"
    assert "secret" not in repr(parse_several(url))


def test_databases() -> None:
    """Behind Sentinels there are several; a cluster has one."""
    assert with_database("redis+sentinel://one:1/lab?a=b", 3) == "redis+sentinel://one:1/lab/3?a=b"
    assert with_database("redis+sentinel://one:1/lab/3", 3) == "redis+sentinel://one:1/lab/3"
    with pytest.raises(ServerUnusable, match="names database 3, and db=4 another"):
        with_database("redis+sentinel://one:1/lab/3", 4)
    assert with_database("redis+cluster://one:1", 0) == "redis+cluster://one:1"
    with pytest.raises(ServerUnusable, match="a cluster has no database 1"):
        with_database("redis+cluster://one:1", 1)


# ---- connecting ----------------------------------------------------------------------------------------


def test_connect(several: PrivateServers) -> None:
    """With asyncio and without, a client of redis-py's own meets the same data, and sends nothing again by itself."""
    asyncio.run(connecting(several))


async def connecting(several: PrivateServers) -> None:
    is_cluster = isinstance(several, PrivateCluster)
    asyncio_client = await connect_async(several.url, max_connections=7)
    with connect(several.url, max_connections=7) as client:
        assert isinstance(client, redis.RedisCluster if is_cluster else redis.Redis)
        assert isinstance(asyncio_client, redis.asyncio.RedisCluster if is_cluster else redis.asyncio.Redis)
        client.set("key", "value")
        assert await asyncio_client.get("key") == "value"
        clients: list[Any] = [client, asyncio_client]
        for each in clients:
            retry = each.retry if is_cluster else each.get_retry()
            assert retry.get_retries() == 0
            assert password_of(several) not in repr(each)
            assert "127.0.0.1" in repr(each)
            assert each.url == several.url
    await asyncio_client.aclose()


@pytest.mark.parametrize("wrong", ["password", "sentinel_password", "service", "ports"])
def test_what_will_not_pass_is_said_at_once(several: PrivateServers, wrong: str) -> None:
    """A refused password, of a server or a Sentinel, an unknown service, and servers that are not there."""
    password = password_of(several)
    url, words = {
        "password": (several.url.replace(password, "wrong", 1), "refuses this user and password"),
        "sentinel_password": (several.url.replace(f"={password}", "=wrong"), "refuses this user and password"),
        "service": (several.url.replace("/lab?", "/bal?"), "no such service"),
        "ports": (several.url.partition("@")[0] + "@127.0.0.1:1/lab".removesuffix("" if "?" in several.url else "/lab"),
                  "no Redis server can be reached at 127.0.0.1:1"),
    }[wrong]  # fmt: skip
    if url == several.url:
        assert isinstance(several, PrivateCluster)  # which has no Sentinels
        return
    with pytest.raises(ServerUnusable, match=words) as refused:
        connect(url)
    assert password not in str(refused.value)
    with pytest.raises(ServerUnusable, match=words):
        asyncio.run(connect_async(url))


def test_a_client_that_is_not_asked_first_says_it_as_well(replicas: PrivateReplicas) -> None:
    """Of a Sentinel's refusal, redis-py itself says only that there is no primary."""
    url = replicas.url.replace(f"={password_of(replicas)}", "=wrong")
    with sync_stream_client(url) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


@pytest.mark.parametrize("key", ["{a}", "{b}", "{c}"])
def test_a_command_without_a_key_can_go_where_a_key_is(several: PrivateServers, key: str) -> None:
    """In a cluster each key has its server; behind Sentinels there is one."""

    async def port() -> int:
        async with stream_client(several.url) as client:
            return int((await client.info("server", **at_key(client, key)))["tcp_port"])

    primary = several.primary_of(key) if isinstance(several, PrivateCluster) else several.servers[0]
    assert asyncio.run(port()) == primary.port


def test_actors_do_not_hammer_a_refused_password(several: PrivateServers) -> None:
    """It is raised at once, however patient they are."""

    async def ask_for_a_group() -> None:
        async with asyncio.timeout(10):
            client = stream_client(several.url.replace(password_of(several), "wrong", 1))
            with pytest.raises((redis.AuthenticationError, redis.RedisClusterException)):
                await ensure_group(client, STREAM, GROUP, patience=60)
            await client.aclose()

    asyncio.run(ask_for_a_group())


def test_a_server_that_is_in_no_cluster(default_server_binary: ServerBinary) -> None:
    """It is said that it is not."""
    with PrivateReplicas(default_server_binary, n_replicas=0, n_sentinels=0) as alone:
        url = alone.url.replace("redis://", "redis+cluster://")
        with pytest.raises(ServerUnusable, match=r"no cluster can be used at 127.* write redis://"):
            connect(url)


# ---- failovers -----------------------------------------------------------------------------------------


def fail_over(servers: PrivateReplicas) -> None:
    """Let a Sentinel promote a replica, while the primary lives and becomes a replica itself."""
    ask(servers.sentinels[0], "SENTINEL", "FAILOVER", "lab")


def kill_primary(servers: Any) -> None:
    primary: PrivateServer = servers.primary_of(STREAM) if isinstance(servers, PrivateCluster) else servers.primary
    primary.kill()


async def work_through(servers: PrivateServers, end: Callable[[Any], None]) -> tuple[list[str], Counter[str]]:
    """Produce and consume while a primary goes; return what was added and is still there, and how often it was done.

    Consumers are blocked in a read as it goes, since producing is slow; they come to their end by themselves.
    """
    async with AsyncExitStack() as stack:
        clients = [stream_client(servers.url, name=f"C{number}") for number in range(3)]
        for client in clients:
            stack.push_async_callback(client.aclose)
        return await work_with(clients, servers, end)


async def work_with(
    clients: list[redis.asyncio.Redis], servers: PrivateServers, end: Callable[[Any], None]
) -> tuple[list[str], Counter[str]]:
    events: Counter[str] = Counter()
    added: list[str] = []
    done: Counter[str] = Counter()
    stop = asyncio.Event()

    def report(kind: str, actor: str, id: str = "", delivery_count: int = 0, at: float | None = None) -> None:
        events[kind] += 1
        if kind == ADDED:
            added.append(id)

    async def handle(entry_id: str, fields: Any) -> None:
        done[entry_id] += 1

    await ensure_group(clients[0], STREAM, GROUP, patience=10)
    working = [
        asyncio.create_task(consume(client, STREAM, GROUP, name, handle, block=2.0, stop=stop, report=report))
        for client, name in zip(clients[1:], ("C1", "C2"), strict=True)
    ]
    arrivals = ((number / 40, {"number": number}) for number in range(100))
    producing = asyncio.create_task(produce(clients[0], STREAM, arrivals, report=report))  # type: ignore[arg-type]
    while events[PROCESSED] < 10:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(end, servers)
    assert await producing == 100
    held: Any = await clients[0].xrange(STREAM)
    kept = {entry_id for entry_id, _ in held}
    async with asyncio.timeout(20):
        while (await clients[0].xpending(STREAM, GROUP))["pending"] or not kept <= done.keys():
            await asyncio.sleep(0.05)
    stop.set()
    await asyncio.gather(*working)
    assert events[RECREATED] == 0
    return [entry_id for entry_id in added if entry_id in kept], done


@pytest.mark.real_time(SLOW_IS_DEAD)
@pytest.mark.parametrize("end", [fail_over, kill_primary])
def test_workers_carry_on_after_a_failover(default_server_binary: ServerBinary, end: Callable[..., None]) -> None:
    """By Sentinels: whether the primary lives or not, all that the new one has is done, and its group is not gone."""
    with PrivateReplicas(default_server_binary, n_replicas=1, down_after=1.0) as servers:
        kept, done = asyncio.run(work_through(servers, end))
        assert servers.primary is servers.servers[1]
    assert len(kept) >= 80  # what was not copied in time is gone
    assert all(done[entry_id] for entry_id in kept)


@pytest.mark.real_time(SLOW_IS_DEAD)
def test_workers_carry_on_after_a_promotion_in_a_cluster(default_server_binary: ServerBinary) -> None:
    """In a cluster: all that the killed primary's replica has is done, and its group is not gone."""
    with PrivateCluster(default_server_binary) as servers:
        kept, done = asyncio.run(work_through(servers, kill_primary))
        assert servers.primary_of(STREAM) in servers.servers[3:]
    assert len(kept) >= 80  # what was not copied in time is gone
    assert all(done[entry_id] for entry_id in kept)


# ---- live runs -----------------------------------------------------------------------------------------


@pytest.mark.real_time("runs real processes while a cluster replaces a primary")
def test_a_live_run_on_a_cluster(default_server_binary: ServerBinary) -> None:
    """It goes on while a primary is replaced, judges itself, cuts and unblocks its workers, and leaves no key."""
    scenario = Scenario(
        name="cluster",
        stream=STREAM,
        producers=(Producer("P1", Arrivals(rate=50.0)),),
        consumers=consumers(2, Service(mean=0.002)),
        duration=4.0,
        sink="idempotent",
    )
    scenario = scenario.with_recovery("autoclaim", max_deliveries=3).with_faults("disconnect C2 at 500ms")
    with PrivateCluster(default_server_binary) as servers, connect(servers.url) as client:

        def kill_in_mid_run() -> None:
            while client.xlen(STREAM) < 50:
                threading.Event().wait(0.02)
            kill_primary(servers)

        killer = threading.Thread(target=kill_in_mid_run)
        killer.start()
        run = Lab(scenario, engine="live", redis_url=servers.url).run()
        killer.join()
        assert not run.errors
        assert run.added == 200
        assert run.processed + run.lost >= 200
        assert not run.final.pending
        with connect(servers.url) as after:
            assert not [
                key
                for key in (STREAM, scenario.ledger_key_of(scenario.group), scenario.dead_letter_key)
                if after.exists(key)
            ]


def test_a_proxy_is_for_one_server(cluster: PrivateCluster) -> None:
    """Replies of several servers cannot be lost on purpose: it is said before anything is done."""
    with pytest.raises(ValueError, match=r"one server: redis\+cluster://:\*\*\*@.* names several"):
        Proxy(cluster.url)
    scenario = Scenario(
        producers=(Producer("P1", Arrivals(rate=50.0)),), consumers=consumers(1, Service(mean=0.002)), duration=0.1
    )
    with pytest.raises(ScenarioError, match="one server, not of several"):
        Lab(scenario.with_faults("lost-reply P1 XADD nth 3"), engine="live", redis_url=cluster.url).run()
