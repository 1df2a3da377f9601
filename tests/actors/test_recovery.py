"""`Recovery`, and what consumers do by it: claim, renew, give up, fence, recreate a lost group."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any

import pytest
from redis.exceptions import AuthenticationError, ConnectionError, ResponseError, TimeoutError

from streamlab.actors import Recovery, consume, ensure_group, produce
from streamlab.actors.redis_calls import ignore, safe_start, start_of_new_group
from streamlab.actors.trouble import Patience, is_connection_lost, is_group_gone
from streamlab.actors.work import Work
from streamlab.virtual.redis import SimulatedServer
from tests.actors.test_actors import World, busy_for


@pytest.fixture
def world():
    world = World()
    yield world
    world.loop.close()


@pytest.fixture
def world_8():
    """A world whose server knows XREADGROUP … CLAIM."""
    world = World()
    world.server = SimulatedServer(epoch_ms=0, version=(8, 6, 0))
    world.client = world.server.client()
    yield world
    world.loop.close()


async def stream_of(world, n):
    """Make a stream of n entries 0-1, 0-2 … with a group at its begin."""
    await ensure_group(world.client, "s", "g")
    for number in range(n):
        await world.client.xadd("s", {"n": str(number)})


async def for_a_while(world, seconds, *names, handler=None, client=None, **options):
    """Let consumers work for so long, then stop them."""
    stop = asyncio.Event()
    handler = handler or busy_for(0.1)
    options = {"block": 1, "report": world.log.report} | options
    tasks = [
        asyncio.create_task(consume(client or world.client, "s", "g", name, handler, stop=stop, **options))
        for name in names
    ]
    await asyncio.sleep(seconds)
    stop.set()
    return await asyncio.gather(*tasks)


async def n_pending(world):
    return (await world.client.xpending("s", "g"))["pending"]


# ---- data ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"strategy": "hope"}, "recovery.strategy is 'hope': known are none, restart"),
        ({"min_idle": 0}, "recovery.min_idle is 0: give seconds, more than 0"),
        ({"min_idle": None}, "recovery.min_idle is None"),
        ({"interval": -1.0}, "recovery.interval is -1.0"),
        ({"heartbeat": True}, "recovery.heartbeat is True"),
        ({"remove_after": float("inf")}, "recovery.remove_after is inf"),
        ({"max_deliveries": 0}, "recovery.max_deliveries is 0: give a whole number of at least 1"),
        ({"min_idle": 1.0, "heartbeat": 0.6}, "take at most half of min_idle"),
    ],
)
def test_a_recovery_that_makes_no_sense(values, words):
    """Each value is named, and what to give instead."""
    with pytest.raises(ValueError, match=re.escape(words)):
        Recovery(**values)


def test_what_follows_from_a_recovery():
    """How often it looks, when it restarts, where dead letters go: to the stream's own hash slot."""
    assert Recovery("claim", min_idle=0.5).looks_every == 0.25
    assert (Recovery("restart").restarts_after, Recovery("claim").restarts_after) == (0.5, None)
    assert Recovery().dead_letter_of("orders") == "{orders}:dead"
    assert Recovery().dead_letter_of("{shop}:orders") == "{shop}:orders:dead"
    assert Recovery(dead_letter="dlq").dead_letter_of("orders") == "dlq"


# ---- taking over -----------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["claim", "autoclaim"])
def test_what_a_dead_consumer_held_is_taken_over_once_it_is_idle(world, strategy):
    """Not before min_idle is over, and at the next look after that."""

    async def main():
        await stream_of(world, 1)
        await world.client.xreadgroup("g", "dead", {"s": ">"})
        recovery = Recovery(strategy, min_idle=1.0, interval=0.3)
        await for_a_while(world, 3, "C1", recovery=recovery)
        return await n_pending(world)

    assert world.run(main()) == 0
    claimed = [(round(e.at, 3), e.id, e.delivery_count) for e in world.log if e.kind == "claimed"]
    assert claimed == [(1.2, "0-1", 2)]


def test_a_read_with_claim_takes_over_and_drops_what_is_gone(world_8):
    """XREADGROUP … CLAIM passes over a deleted entry for ever; XCLAIM drops it."""

    async def main():
        await stream_of(world_8, 2)
        await world_8.client.xreadgroup("g", "dead", {"s": ">"})
        await world_8.client.xdel("s", "0-1")
        await for_a_while(world_8, 3, "C1", recovery=Recovery("read-claim", min_idle=1.0))
        return await n_pending(world_8)

    assert world_8.run(main()) == 0
    assert [e.id for e in world_8.log if e.kind == "processed"] == ["0-2"]


def test_what_a_read_brings_to_wait_is_held_from_the_begin(world_8):
    """A claimed entry and a new one come together: both are known to be given before the first is processed."""

    async def main():
        await stream_of(world_8, 2)
        await world_8.client.xreadgroup("g", "dead", {"s": ">"}, 1)
        await asyncio.sleep(1.5)
        await for_a_while(world_8, 1, "C1", count=10, recovery=Recovery("read-claim", min_idle=1.0))

    world_8.run(main())
    story = [(e.kind, e.id) for e in world_8.log if e.kind in ("claimed", "delivered", "processed")]
    assert story == [
        ("claimed", "0-1"), ("delivered", "0-2"), ("processed", "0-1"), ("processed", "0-2")
    ]  # fmt: skip


def test_a_heartbeat_keeps_what_takes_long(world):
    """An entry of 3 s, min_idle 1 s: with a heartbeat nobody takes it; without, it is done twice."""

    async def main(heartbeat):
        await world.client.delete("s")
        await stream_of(world, 1)
        recovery = Recovery("autoclaim", min_idle=1.0, heartbeat=heartbeat)
        done = await for_a_while(world, 8, "C1", "C2", handler=busy_for(3), recovery=recovery)
        return sum(done)

    assert world.run(main(0.4)) == 1
    assert world.run(main(None)) > 1


def test_an_error_leaves_the_entry_pending_until_it_is_idle(world):
    """It is told, tried again after min_idle, and not what comes after it is held up."""
    errors = []

    async def main():
        await stream_of(world, 2)
        tries: list[Any] = []

        async def handle(entry_id, fields):
            tries.append(entry_id)
            if tries == ["0-1"]:
                raise LookupError("no such customer")

        await for_a_while(
            world, 3, "C1", handler=handle, recovery=Recovery("autoclaim", min_idle=1.0),
            on_error=lambda entry_id, error: errors.append((entry_id, str(error))),
        )  # fmt: skip
        return tries, await n_pending(world)

    assert world.run(main()) == (["0-1", "0-2", "0-1"], 0)
    assert errors == [("0-1", "no such customer")]


def test_without_claims_an_error_ends_the_consumer(world):
    """Nobody would try it again: better loud than stuck."""

    async def main():
        await stream_of(world, 1)

        async def handle(entry_id, fields):
            raise LookupError("no such customer")

        with pytest.raises(LookupError):
            await consume(world.client, "s", "g", "C1", handler=handle)
        return await n_pending(world)

    assert world.run(main()) == 1


# ---- giving up -------------------------------------------------------------------------------------


class Poisoned(BaseException):
    """What the process dies of."""


async def lives(world, n, recovery, poisonous, **options):
    """Let a consumer die of poison and start again under its name; return what its handler was given."""
    tries: list[Any] = []

    async def handle(entry_id, fields):
        tries.append(entry_id)
        if entry_id == poisonous:
            raise Poisoned

    for _ in range(n):
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(5, stop.set)
        with contextlib.suppress(Poisoned):
            await consume(
                world.client, "s", "g", "C1", handle, block=1, recovery=recovery, stop=stop,
                report=world.log.report, **options,
            )  # fmt: skip
    return tries


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 10])
def test_poison_is_dead_lettered_after_exactly_the_limit(world, limit, count):
    """Its handler has it as often as the limit says; those that were fetched with it are all processed."""

    async def main():
        await stream_of(world, 8)
        tries = await lives(world, limit + 1, Recovery("restart", max_deliveries=limit), "0-3", count=count)
        return tries, await n_pending(world), await world.client.xrange("{s}:dead")

    tries, pending, letters = world.run(main())
    assert tries.count("0-3") == limit
    assert pending == 0
    assert [fields for _, fields in letters] == [
        {"dead:id": "0-3", "dead:group": "g", "dead:consumer": "C1", "dead:deliveries": str(limit + 1), "n": "2"}
    ]  # fmt: skip
    assert {e.id for e in world.log if e.kind == "processed"} == {f"0-{n}" for n in (1, 2, 4, 5, 6, 7, 8)}


def test_a_dead_letter_key_of_the_wrong_type_loses_nothing(world):
    """The entry stays pending, its handler never sees it again, and the error is told."""
    errors = []

    async def main():
        await stream_of(world, 1)
        await world.client.set("{s}:dead", "text")
        tries = await lives(
            world, 4, Recovery("restart", max_deliveries=2), "0-1",
            on_error=lambda entry_id, error: errors.append(str(error)),
        )  # fmt: skip
        return tries, await n_pending(world), await world.client.xlen("s")

    assert world.run(main()) == (["0-1", "0-1"], 1, 1)
    assert all("WRONGTYPE" in error for error in errors)
    assert errors


# ---- who owns it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fenced", [False, True])
def test_a_zombies_acknowledgement(world, fenced):
    """C1 is paused in the middle of an entry, C2 takes it over, C1 wakes: fenced, its XACK is refused."""

    async def main():
        await stream_of(world, 1)
        recovery = Recovery("autoclaim", min_idle=1.0, fenced=fenced)
        zombie = asyncio.create_task(for_a_while(world, 1, "C1", handler=busy_for(4), recovery=recovery))
        await asyncio.sleep(0.5)
        await for_a_while(world, 6, "C2", handler=busy_for(4), recovery=recovery)
        await zombie

    world.run(main())
    ends = [(e.kind, e.actor) for e in world.log if e.kind in ("acked", "void", "rejected")]
    assert ends == ([("rejected", "C1"), ("acked", "C2")] if fenced else [("acked", "C1"), ("void", "C2")])


# ---- lost connections ------------------------------------------------------------------------------


def test_an_entry_whose_delivery_was_lost_is_found_in_the_own_history(world):
    """The server gave it, the reply never came: it is delivered for the second time."""

    async def main():
        await stream_of(world, 1)
        client = world.server.client()
        client.lose_reply("XREADGROUP", 2)  # the first one looks for the own history
        await for_a_while(world, 3, "C1", client=client)
        return await n_pending(world)

    assert world.run(main()) == 0
    assert [(e.kind, e.delivery_count) for e in world.log if e.kind in ("disconnected", "delivered")] == [
        ("disconnected", 0), ("delivered", 2)
    ]  # fmt: skip


def test_an_acknowledgement_whose_reply_was_lost_is_ours_all_the_same(world):
    """The second XACK gives 0; that is no sign of anybody else."""

    async def main():
        await stream_of(world, 1)
        client = world.server.client()
        client.lose_reply("XACK")
        await for_a_while(world, 3, "C1", client=client)

    world.run(main())
    assert [e.kind for e in world.log if e.id == "0-1"] == ["delivered", "processed", "acked"]


def test_a_server_that_is_down_for_long_ends_patience(world):
    """Tries get rarer; after 2 s of waiting, the error is the caller's."""

    async def main():
        await stream_of(world, 0)
        world.server.go_down()
        with pytest.raises(ConnectionError):
            await consume(world.client, "s", "g", "C1", busy_for(0), patience=2.0)
        return asyncio.get_running_loop().time()

    assert 2 <= world.run(main()) < 3.2


def test_a_group_is_ensured_once_the_server_is_back(world):
    """`ensure_group` waits as long as it has patience."""

    async def main():
        world.server.go_down()
        asyncio.get_running_loop().call_later(3, world.server.come_up)
        made = await ensure_group(world.client, "s", "g", patience=10)
        world.server.go_down()
        with pytest.raises(ConnectionError):
            await ensure_group(world.client, "s", "g")
        return made

    assert world.run(main()) is True


def test_patience_doubles_its_pauses_up_to_a_second(world):
    """0.05, 0.1, 0.2 … 1 s; and is reset to the shortest once a try has succeeded."""

    async def main():
        patience, pauses = Patience(100), []
        for number in range(8):
            before = asyncio.get_running_loop().time()
            await patience.wait(ConnectionError())
            pauses.append(round(asyncio.get_running_loop().time() - before, 3))
            if number == 6:
                patience.restore()
        return pauses

    assert world.run(main()) == [0.05, 0.1, 0.2, 0.4, 0.8, 1, 1, 0.05]


@pytest.mark.parametrize(
    ("patience", "outages", "entries"),
    [
        pytest.param(30, [(1, 9), (11, 11.2)], [11.21], id="while it waits for its first entry again"),
        pytest.param(2, [(1, 2.5), (3, 4.5)], [2.8, 4.51], id="soon after it has read again"),
    ],
)
def test_a_second_outage_is_waited_out_as_the_first(world, patience, outages, entries):
    """Once the server has answered, pauses are short again; once it has given something, patience is whole again."""
    read_at = []

    async def handle(entry_id, fields):
        read_at.append(world.loop.time())

    async def main():
        stop, adding = asyncio.Event(), []
        await ensure_group(world.client, "s", "g")
        for down, up in outages:
            world.loop.call_later(down, world.server.go_down)
            world.loop.call_later(up, world.server.come_up)
        for at in entries:
            world.loop.call_later(at, lambda: adding.append(asyncio.ensure_future(world.client.xadd("s", {"n": "1"}))))
        world.loop.call_later(entries[-1] + 3, stop.set)
        await consume(world.server.client(), "s", "g", "C1", handle, stop=stop, patience=patience)

    world.run(main())
    assert len(read_at) == len(entries)
    assert read_at[-1] < outages[-1][1] + 0.5


def test_a_refused_password_is_not_a_lost_connection():
    """To try again would be hammering; also if redis-py wraps it in an error of its own."""
    wrapped = ConnectionError("connecting failed")
    wrapped.__cause__ = AuthenticationError("WRONGPASS")
    assert not is_connection_lost(AuthenticationError())
    assert not is_connection_lost(wrapped)
    assert not is_connection_lost(ResponseError())
    assert is_connection_lost(TimeoutError())
    assert is_connection_lost(ConnectionResetError())


def test_a_producer_looks_before_it_sends_again(world):
    """XADD was executed and its reply lost: the entry is there once. Refused, it is sent again."""

    async def main():
        client = world.server.client()
        client.lose_reply("XADD", 2)
        loop = asyncio.get_running_loop()
        loop.call_later(3.5, world.server.go_down)
        loop.call_later(4.5, world.server.come_up)
        arrivals = [(float(n), {"n": str(n)}) for n in range(6)]
        n = await produce(client, "s", arrivals, report=world.log.report)
        return n, [fields["n"] for _, fields in await world.client.xrange("s")]

    assert world.run(main()) == (6, ["0", "1", "2", "3", "4", "5"])
    assert [e.at for e in world.log if e.kind == "added"] == [0, 1, 2, 3, 4, 5]


# ---- a group that is gone --------------------------------------------------------------------------


@pytest.mark.parametrize("down", [False, True])
def test_a_lost_group_is_recreated_from_where_all_was_done(world, down):
    """Destroyed while its consumer waits, also if the server goes down in that moment: nothing is lost."""

    async def main():
        await stream_of(world, 5)
        loop = asyncio.get_running_loop()
        recovery = Recovery("autoclaim", min_idle=1.0)
        work = asyncio.create_task(for_a_while(world, 8, "C1", recovery=recovery))
        await asyncio.sleep(2.2)
        await world.client.xgroup_destroy("s", "g")
        if down:
            loop.call_soon(world.server.go_down)
            loop.call_later(1, world.server.come_up)
        await asyncio.sleep(2)
        await world.client.xadd("s", {"n": "5"})
        await work
        return await n_pending(world)

    assert world.run(main()) == 0
    assert [e.id for e in world.log if e.kind == "recreated"] == ["0-5"]
    processed = [e.id for e in world.log if e.kind == "processed"]
    assert len(processed) == len(set(processed)) == 6


def test_a_safe_start_lies_before_everything_that_is_pending(world):
    """The last-delivered id, or just before the first pending entry; NOGROUP if there is none."""

    async def main():
        client = world.client
        await stream_of(world, 3)
        found = [await safe_start(client, "s", "g")]
        await client.xreadgroup("g", "C1", {"s": ">"}, 2)
        found.append(await safe_start(client, "s", "g"))
        await client.xack("s", "g", "0-1")
        found.append(await safe_start(client, "s", "g"))
        await client.xack("s", "g", "0-2")
        found.append(await safe_start(client, "s", "g"))
        for key in ("s", "nothing"):
            with pytest.raises(ResponseError) as caught:
                await safe_start(client, key, "h")
            assert is_group_gone(caught.value)
        return found

    assert world.run(main()) == ["0-0", "0-0", "0-1", "0-2"]


def test_another_stream_of_the_same_name_is_read_from_its_begin(world):
    """Its ids may lie below the place up to which all was done in the old one."""

    async def main():
        client = world.client
        starts = [await start_of_new_group(client, "s", "5-0")]
        await client.xadd("s", {"n": "1"}, id="3-0")
        starts.append(await start_of_new_group(client, "s", "5-0"))
        await client.xadd("s", {"n": "2"}, id="7-0")
        starts.append(await start_of_new_group(client, "s", "5-0"))
        return starts

    assert world.run(main()) == ["0", "0", "5-0"]


def test_a_worker_that_is_started_again_makes_a_lost_group(world):
    """One that never had a group does not: that is a mistake."""

    async def main():
        await world.client.xadd("s", {"n": "1"})
        with pytest.raises(ResponseError, match="NOGROUP"):
            await for_a_while(world, 1, "C1")
        return await for_a_while(world, 1, "C1", must_exist=False)

    assert world.run(main()) == [1]


def test_only_consumers_that_hold_nothing_are_removed(world):
    """One holds an entry that is not idle yet, one nothing, one is ourselves."""

    async def main():
        await stream_of(world, 1)
        await world.client.xreadgroup("g", "holds", {"s": ">"})
        await world.client.xgroup_createconsumer("s", "g", "empty")
        recovery = Recovery("autoclaim", min_idle=100, interval=0.5, remove_after=2)
        await for_a_while(world, 5, "C1", recovery=recovery)
        return [row["name"] for row in await world.client.xinfo_consumers("s", "g")]

    assert world.run(main()) == ["C1", "holds"]
    assert [e.actor for e in world.log if e.kind == "removed"] == ["empty"]


def test_who_need_not_keep_track_any_more_forgets_what_was_held(world):
    """Else a heartbeat that is adopted later would renew what is long acknowledged."""
    heartbeat = Recovery("autoclaim", min_idle=1.0, heartbeat=0.3)
    work = Work(world.client, "s", "g", "C1", world.client.ping, heartbeat, patience=0, on_error=print, report=ignore)
    work.held["0-1"] = 1
    work.adopt(Recovery("none"))
    assert work.held == {}
