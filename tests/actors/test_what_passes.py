"""What passes is waited for, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from functools import partial
from typing import Any

import pytest
import redis.asyncio
import redis.exceptions
from redis._parsers.base import BaseParser
from redis.asyncio.sentinel import MasterNotFoundError

from streamlab.actors import Recovery, consume, ensure_group, produce, reclaim
from streamlab.actors.trouble import Patience, explain, is_group_gone, is_hopeless, passes
from tests.actors.world import SOON, World, collecting, failing, half_dead
from tests.soak.pair import Pair


def with_errors(client):
    """Return a client, and the list of the errors that its commands end with from now on."""
    errors, send, pipeline = [], client.execute_command, client.pipeline

    async def execute_command(*args, **options):
        try:
            return await send(*args, **options)
        except Exception as error:
            errors.append(error)
            raise

    def watched_pipeline(*args, **options):
        pipe = pipeline(*args, **options)
        execute = pipe.execute

        async def watched_execute(*args, **options):
            replies = await execute(*args, **options)
            errors.extend(reply for reply in replies if isinstance(reply, Exception))
            return replies

        pipe.execute = watched_execute
        return pipe

    client.execute_command, client.pipeline = execute_command, watched_pipeline
    return client, errors


@contextlib.asynccontextmanager
async def a_replica(admin, server):
    await admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        await admin.execute_command("REPLICAOF", "NO", "ONE")


@contextlib.asynccontextmanager
async def a_replica_that_keeps_still(admin, server):
    await admin.config_set("replica-serve-stale-data", "no")
    async with a_replica(admin, server):
        yield


@contextlib.asynccontextmanager
async def configured(admin, server, name, value, usual):
    await admin.config_set(name, value)
    try:
        yield
    finally:
        await admin.config_set(name, usual)


without_replicas = partial(configured, name="min-replicas-to-write", value="1", usual="0")
out_of_memory = partial(configured, name="maxmemory", value="1", usual="0")


@contextlib.asynccontextmanager
async def unable_to_save(admin, server):
    async def saved(status):
        await admin.bgsave()
        while (info := await admin.info("persistence"))["rdb_bgsave_in_progress"]:
            await asyncio.sleep(0.01)
        assert info["rdb_last_bgsave_status"] == status

    (server.folder / "dump.rdb").mkdir()  # which no file can replace
    await admin.config_set("save", "3600 100000")
    await saved("err")
    try:
        yield
    finally:
        (server.folder / "dump.rdb").rmdir()
        await saved("ok")


@contextlib.asynccontextmanager
async def busy_with_a_script(admin, server):
    await admin.config_set("lua-time-limit", "10")
    script = asyncio.ensure_future(admin.eval("while true do end", 0))
    try:
        yield
    finally:
        while not script.done():
            with contextlib.suppress(redis.exceptions.ResponseError):  # not busy for long enough
                await admin.script_kill()
        assert isinstance(script.exception(), redis.exceptions.ResponseError)


STATES: dict[str, Any] = {
    "READONLY": a_replica, "MASTERDOWN": a_replica_that_keeps_still, "NOREPLICAS": without_replicas,
    "OOM": out_of_memory, "MISCONF": unable_to_save, "BUSY": busy_with_a_script,
}  # fmt: skip


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("strategy", ["none", "autoclaim"])
def test_a_state_that_passes_is_waited_out(own, server, state, strategy):
    """Everybody lives, everything is added once and done once; out of memory, consumers go on."""
    found: list[Any] = []

    async def main():
        admin = await own.stream()
        client, met = with_errors(own.client())
        source, refused = with_errors(own.client())

        def arrivals():  # until it has been refused: who knows how long it takes to bring the state about
            for i in itertools.count():
                if i >= 40 and len(refused) > 1:
                    return
                yield i / 200, {"n": str(i)}

        recovery = Recovery(strategy, min_idle=5, interval=0.02, fenced=strategy != "none")
        worker = own.consume(client, collecting(found), recovery=recovery, patience=10)
        producer = asyncio.ensure_future(produce(source, "s", arrivals(), patience=10))
        await worker.until(lambda: found, "it had begun")
        async with STATES[state](admin, server):
            # Out of memory, consumers read; and one that is blocked when a script begins stays so.
            is_met = state in ("OOM", "BUSY")
            await worker.until(lambda: len(refused) > 1 and (met or is_met), "all were refused")
            assert not producer.done()
        n = await producer
        await worker.until(lambda: len(found) >= n, "all was done")
        await worker.end()
        assert [type(error) for error in met if state == "OOM"] in ([], [redis.exceptions.NoScriptError])
        assert (await admin.xpending("s", "g"))["pending"] == 0
        assert await admin.xlen("s") == n
        return n

    n = own.run(main())
    assert sorted(int(fields["n"]) for _, fields in found) == [*range(n)]
    assert own.of("disconnected") == own.of("recreated") == []


@pytest.mark.parametrize("actor", ["consume", "produce", "heartbeat"])
def test_after_a_failover_no_connection_stays_with_the_replica(default_server_binary, actor):
    """Also one that was in use when roles changed: what it read later might be old. Nor do heartbeats stay there."""
    with Pair(default_server_binary) as pair:
        found: list[Any] = []
        world = World("real", pair.url)

        async def main():
            client = await world.stream(client=world.client(client_name="C1"))
            pool = client.connection_pool
            in_use = [await pool.get_connection() for _ in range(2)]
            if actor == "produce":
                await produce(client, "s", [(0.0, {"n": "1"})])
            elif actor == "consume":
                worker = world.consume(client, collecting(found), block=1)
                while not pair.master.client.info("clients")["blocked_clients"]:
                    await asyncio.sleep(0.01)
            else:
                # It is given an entry, holds it meanwhile, and learns by its heartbeat alone.
                await client.xadd("s", {"n": 1})
                recovery = Recovery("autoclaim", min_idle=10, heartbeat=0.05)
                may_end = asyncio.Event()

                async def handle(entry_id, fields):
                    found.append(entry_id)
                    await may_end.wait()

                worker = world.consume(client, handle, recovery=recovery)
                await worker.until(lambda: found, "it has begun")
            await asyncio.to_thread(pair.fail_over)
            if actor == "produce":
                await produce(client, "s", [(0.0, {"n": "2"})])
            elif actor == "consume":
                await world.client().xadd("s", {"n": 1})
                await worker.until(lambda: found, "it was done")
            else:
                await worker.until(lambda: len(connections(pair.replica)) == 2, "the heartbeat has left")
                may_end.set()
            for connection in in_use:
                await pool.release(connection)
            if actor != "produce":
                await worker.end()
            return len(connections(pair.replica))

        def connections(node):
            return [row for row in node.client.client_list() if row["name"] == "C1"]

        assert world.run(main()) == 0


def test_what_does_not_pass_in_time_is_raised(own, server):
    """Patience has an end: with what the server said."""

    async def main():
        admin = await own.stream("a")
        async with without_replicas(admin, server):
            began = asyncio.get_running_loop().time()
            producing = produce(own.client(), "s", [(0.0, {"n": "1"})], patience=0.2)
            reclaiming = reclaim(own.client(), "s", "g", "C2", collecting([]), min_idle=1, patience=0.2)
            ensuring = ensure_group(own.client(), "s", "h", patience=0.2)
            said = await asyncio.gather(
                own.consume(own.client(), collecting([]), patience=0.2).error(),
                producing, reclaiming, ensuring, return_exceptions=True,
            )  # fmt: skip
            return [str(error) for error in said], asyncio.get_running_loop().time() - began

    said, seconds = own.run(main())
    assert [words.partition(" ")[0] for words in said] == ["NOREPLICAS"] * 4
    assert 0.2 <= seconds < SOON


def test_a_walk_begins_again_once_the_server_lets_it(own, server):
    """`reclaim` waits as well; what it has claimed without hearing of it is left for the next one."""
    found: list[Any] = []

    async def main():
        admin = own.client()
        await half_dead(admin, "abcd", 2)
        client, met = with_errors(own.client())
        async with without_replicas(admin, server):
            task = asyncio.ensure_future(
                reclaim(client, "s", "g", "C2", collecting(found), min_idle=0.001, patience=10)
            )
            while not met:
                await asyncio.sleep(0.01)
        return await task

    assert own.run(main()) == 4


def test_a_reader_that_is_blocked_in_a_failover_goes_on(own, server):
    """UNBLOCKED, instance state changed: the group is not gone, and is not recreated."""
    found: list[Any] = []

    async def main():
        admin = await own.stream()
        client, met = with_errors(own.client())
        worker = own.consume(client, collecting(found), block=1, patience=10)
        while not (await admin.info("clients"))["blocked_clients"]:
            await asyncio.sleep(0.01)
        async with a_replica(admin, server):
            await worker.until(lambda: len(met) > 1, "it was refused")
        await admin.xadd("s", {"v": "a"}, "1-0")
        await worker.until(lambda: found, "it was done")
        await worker.end()
        return str(met[0])

    assert own.run(main()).startswith("UNBLOCKED")
    assert own.of("recreated") == own.of("disconnected") == []


def test_out_of_memory_what_cannot_be_buried_stays_pending(own, server):
    """XADD to the dead letters is refused: that is told, the others are done, and later it is buried."""
    tries: list[Any] = []

    async def main():
        admin = await own.stream("a", "b", "c")
        recovery = Recovery("autoclaim", min_idle=0.05, max_deliveries=1, heartbeat=0.02, fenced=True)
        worker = own.consume(own.client(), failing(LookupError(), tries), recovery=recovery)
        async with out_of_memory(admin, server):
            await worker.until(lambda: len(own.errors) > 2, "its burial was refused")
            pending = (await admin.xpending("s", "g"))["pending"]
        await worker.until(lambda: own.of("dead_lettered"), "it was buried")
        await worker.end()
        return pending

    assert own.run(main()) == 1
    assert tries == ["1-0", "2-0", "3-0"]
    assert isinstance(own.errors[1][1], redis.exceptions.OutOfMemoryError)


async def all_actors(world, client, stream="s", **options):
    """Return what each actor ends with."""
    return await asyncio.gather(
        consume(client(), stream, "g", "C1", collecting([]), block=0.05, **options),
        produce(client(), stream, [(0.0, {"n": "1"})]),
        reclaim(client(), stream, "g", "C2", collecting([]), min_idle=1),
        ensure_group(client(), stream, "h", patience=30),
        return_exceptions=True,
    )


def test_a_key_that_is_no_stream_ends_everybody_at_once(world):
    """With words that name it, and what to do."""

    async def main():
        await world.client().set("s", "text")
        return await asyncio.wait_for(all_actors(world, world.client), SOON)

    said = [str(error) for error in world.run(main())]
    assert all("WRONGTYPE" in words and "the key 's' holds no stream" in words for words in said)
    assert all(("group 'g'" in words) == (n in (0, 2)) for n, words in enumerate(said))


def test_words_are_added_once():
    """Whoever passes an error on has no need to know who has explained it."""
    error = BaseParser.parse_error("WRONGTYPE Operation against a key")
    for _ in range(2):
        explain(error, "s", "g")
    assert str(error).count("the key 's' holds no stream") == 1


def test_a_missing_permission_ends_everybody_at_once(own):
    """It does not pass; the words say what to allow, and where."""

    async def main():
        admin = await own.stream("a")
        await admin.execute_command("ACL", "SETUSER", "poor", "on", ">secret", "~*", "+@connection")
        poor = partial(own.client, username="poor", password="secret")
        return await asyncio.wait_for(all_actors(own, poor), SOON)

    for error in own.run(main()):
        assert isinstance(error, redis.exceptions.NoPermissionError)
        assert "ACL SETUSER" in str(error)
        assert "stream 's'" in str(error)


def test_a_refused_password_ends_everybody_at_once(own):
    """The words say what to correct; no password is among them."""

    async def main():
        await own.stream("a")
        intruder = partial(own.client, username="nobody", password="wrong")
        return await asyncio.wait_for(all_actors(own, intruder), SOON)

    for error in own.run(main()):
        assert is_hopeless(error)  # redis-py wraps it in a ConnectionError
        assert "correct the user and the password" in str(error)
        assert "wrong'" not in str(error)


@pytest.mark.parametrize(
    ("words", "passing"),
    [
        ("READONLY You can't write against a read only replica.", True),
        ("MASTERDOWN Link with MASTER is down", True),
        ("CLUSTERDOWN The cluster is down", True),
        ("TRYAGAIN Multiple keys request during rehashing of slot", True),
        ("OOM command not allowed when used memory > 'maxmemory'.", True),
        ("NOREPLICAS Not enough good replicas to write.", True),
        ("MISCONF Redis is configured to save RDB snapshots, but it's unable to persist", True),
        ("BUSY Redis is busy running a script.", True),
        ("LOADING Redis is loading the dataset in memory", True),
        ("UNBLOCKED force unblock from blocking operation, instance state changed", True),
        ("UNBLOCKED the stream key no longer exists", False),
        ("ERR Error running script (call to f_1): @user_script:8: @user_script: 8: -OOM command not allowed", True),
        ("NOREPLICAS Not enough good replicas to write. script: 1f, on @user_script:8.", True),
        ("BUSYGROUP Consumer Group name already exists", False),
        ("NOGROUP No such key 'OOM' or consumer group 'BUSY g' in XREADGROUP with GROUP option", False),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", False),
        ("NOPERM this user has no permissions to run the 'xadd' command", False),
        ("ERR unknown command 'XNACK'", False),
    ],
)  # fmt: skip
def test_what_a_server_says_passes_or_does_not(words, passing):
    """As redis-py makes errors of it."""
    error = BaseParser.parse_error(words)
    assert passes(error) == passing
    assert is_group_gone(error) == words.startswith(("NOGROUP", "UNBLOCKED the"))


@pytest.mark.parametrize(
    ("error", "cause", "passing"),
    [
        (redis.exceptions.ClusterError("TTL exhausted."), None, True),
        (redis.exceptions.SlotNotCoveredError('Slot "5" not covered by the cluster.'), None, True),
        (redis.exceptions.RedisClusterException("cannot be connected"), redis.exceptions.ConnectionError(), True),
        (redis.exceptions.RedisClusterException("cannot be connected"), redis.exceptions.TimeoutError(), True),
        (redis.exceptions.RedisClusterException("cannot be connected"), redis.exceptions.AuthenticationError(), False),
        (redis.exceptions.RedisClusterException("all keys must map to the same key slot"), None, False),
        (MasterNotFoundError("No master found for 'lab'"), None, True),
    ],
)  # fmt: skip
def test_what_redis_py_says_of_several_servers_passes_or_does_not(error, cause, passing):
    """A cluster or Sentinels in the middle of a failover are waited out; what is refused is not asked again."""
    error.__cause__ = cause
    assert passes(error) == passing
    assert not is_group_gone(error)


def test_patience_counts_the_time_that_tries_take():
    """A server that is slow to refuse is tried less often, and for no longer. (In virtual time: this is exact.)"""

    async def main():
        patience, refusal = Patience(0.5), redis.exceptions.ReadOnlyError()
        for n in range(9):
            try:
                await patience.wait(refusal)
            except redis.exceptions.ReadOnlyError:
                return n
            await asyncio.sleep(0.2)

    assert World("simulated").run(main()) == 2


def test_a_client_that_gives_up_an_idle_read_is_no_lost_server(world):
    """With a time-out shorter than BLOCK each read fails, and nothing is wrong with the server."""
    found: list[Any] = []

    async def main():
        client = await world.stream()
        send = client.execute_command

        async def execute_command(*args, **options):
            if ">" not in args:
                return await send(*args, **options)
            try:
                async with asyncio.timeout(0.05):
                    return await send(*args, **options)
            except TimeoutError:
                raise redis.exceptions.TimeoutError("Timeout reading") from None

        client.execute_command = execute_command
        worker = world.consume(client, collecting(found), block=0.1, patience=0.2)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await worker.until(lambda: loop.time() > began + 1, "it has had time to lose patience")
        await world.client().xadd("s", {"v": "a"})
        await worker.until(lambda: found, "what came was done")
        await worker.end()

    world.run(main())


def test_what_fails_each_time_after_a_first_answer_is_not_tried_for_ever(world):
    """The own history is answered, new entries never are: patience has an end."""

    async def main():
        client = await world.stream("a")
        send = client.execute_command

        async def execute_command(*args, **options):
            if ">" in args:
                raise redis.exceptions.ConnectionError("cut")
            return await send(*args, **options)

        client.execute_command = execute_command
        return await world.consume(client, collecting([]), patience=0.3).error()

    assert "cut" in str(world.run(main()))
