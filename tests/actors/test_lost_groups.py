"""A group that is destroyed begins where all was acknowledged."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from streamlab.actors import Recovery, produce
from streamlab.actors.redis_calls import place_in
from streamlab.actors.replies import Replies
from streamlab.actors.work import Work
from streamlab.virtual.loop import VirtualLoop
from streamlab.virtual.redis import SimulatedServer
from tests.actors.world import World, busy, collecting, half_dead


@pytest.mark.parametrize("ack", ["each", "batch"])
@pytest.mark.parametrize(
    ("strategy", "interval"),
    [("none", None), ("restart", None), ("claim", 0.05), ("autoclaim", 0.05), ("autoclaim", 600)],
)
def test_what_was_acknowledged_long_before_is_not_done_again(world, strategy, interval, ack):
    """Whatever the strategy, and however seldom it looks for what others left."""
    found: list[Any] = []

    async def main():
        client = await world.stream(*"abcdef")
        recovery = Recovery(strategy, min_idle=60, interval=interval)
        options = {"recovery": recovery, "ack": ack, "count": 4}
        first = world.consume(client, collecting(found), **options)
        await first.until(lambda: len(found) == 6, "all was done")
        await first.until(lambda: len(world.of("acked")) == 6, "all was acknowledged")
        await client.xadd("s", {"v": "g"}, "7-0")
        await first.until(lambda: len(world.of("acked")) == 7, "all was acknowledged")
        began = asyncio.get_running_loop().time()
        await first.until(lambda: asyncio.get_running_loop().time() > began + 0.2, "it has had time to look")
        await client.xgroup_destroy("s", "g")
        await first.until(lambda: world.of("recreated"), "the group was recreated")
        await client.xadd("s", {"v": "h"}, "8-0")
        await first.until(lambda: len(found) > 7, "what came later was done")
        await first.end()

    world.run(main())
    assert [entry_id for entry_id, _ in found] == [f"{n}-0" for n in range(1, 9)]
    assert world.of("recreated") == ["7-0"]


def test_what_was_pending_is_done_again(world):
    """The place lies before what another consumer has not acknowledged, however much came after."""
    found: list[Any] = []

    async def main():
        client = world.client()
        await half_dead(client, "abcd", 1)
        worker = world.consume(client, collecting(found))
        await worker.until(lambda: len(found) == 3, "all was done but what is the dead one's")
        await client.xgroup_destroy("s", "g")
        await worker.until(lambda: len(found) == 7, "all was done")
        await worker.end()

    world.run(main())
    assert world.of("recreated") == [f"0-{2**64 - 1}"]  # just before 1-0
    assert [entry_id for entry_id, _ in found] == ["2-0", "3-0", "4-0", "1-0", "2-0", "3-0", "4-0"]


@pytest.mark.parametrize("block", [0, 5])
@pytest.mark.parametrize("ack", ["each", "batch"])
def test_under_load_no_more_than_some_seconds_are_done_again(ack, block):
    """A read that never comes back empty is no excuse: 60 s of 10 entries each."""
    found: list[Any] = []
    world = World("simulated")

    async def main():
        client = await world.stream()
        worker = world.consume(client, collecting(found), ack=ack, block=block)
        producer = asyncio.ensure_future(produce(world.client(), "s", [(n / 10, {"n": str(n)}) for n in range(600)]))
        await asyncio.sleep(47)
        await client.xgroup_destroy("s", "g")
        await producer
        await worker.until(lambda: found[-1][1]["n"] == "599", "all was done")
        worker.task.cancel()
        return len(found) - len({entry_id for entry_id, _ in found})

    assert world.run(main()) <= 60


@pytest.mark.parametrize("ack", ["each", "batch"])
def test_to_note_the_place_costs_no_round_trip(monkeypatch, ack):
    """And changes nothing that happens: it travels with reads."""

    def life():
        world, loop = World("simulated"), VirtualLoop()
        world.server = SimulatedServer(loop=loop)

        async def main():
            client = await world.stream(*"abc")
            workers = [
                world.consume(world.server.client(), busy(0.3), name, ack=ack, block=1, count=2)
                for name in ("C1", "C2", "C3")
            ]
            await produce(client, "s", [(n / 5 + n // 50 * 7, {"n": str(n)}) for n in range(200)])
            await asyncio.sleep(10)
            for worker in workers:
                await worker.end()
            return world.events, world.server.n_round_trips, world.server.n_commands

        return loop.run_until_complete(main())

    events, n_round_trips, n_commands = life()
    monkeypatch.setattr(Work, "notes_place", False)
    assert life()[:2] == (events, n_round_trips)
    assert 3 * 2 * 2 < n_commands - life()[2] < 3 * 2 * 30


def test_who_may_only_read_and_acknowledge_works_all_the_same(own):
    """XINFO and XPENDING are asked for as a precaution: without them, a lost group begins at 0."""
    found: list[Any] = []

    async def main():
        admin = await own.stream(*"abc")
        await admin.execute_command(
            "ACL", "SETUSER", "poor", "on", ">secret", "~*", "+@connection", "+xreadgroup", "+xack", "+xrevrange",
            "+xgroup|create", "+xgroup",
        )  # fmt: skip
        client = own.client(username="poor", password="secret")
        worker = own.consume(client, collecting(found))
        await worker.until(lambda: len(found) == 3, "all was done")
        await admin.xgroup_destroy("s", "g")
        await worker.until(lambda: len(found) == 6, "all was done again")
        await worker.end()

    own.run(main())
    assert own.of("recreated") == ["0"]


@pytest.mark.parametrize("seed", range(4))
def test_the_place_loses_nothing_whatever_comes_between(seed):
    """Between the two commands anything may happen, also to the group itself: what lies before was acknowledged."""
    random = Random(seed)
    for _ in range(150):
        place, settled, story = a_place_of(random)
        lost = [number for number in range(1, place + 1) if number not in settled]
        assert not lost, f"{lost} before {place}: {story}"


def a_place_of(random):
    """Let things happen to a stream of entries 1-1, 2-1 …; return the place that is found, and what was settled."""
    server, settled, story, known = SimulatedServer(), set(), [], "0-0"

    def send(*words):
        story.append(" ".join(map(str, words)))
        return server.commands.execute([str(word) for word in words], 0)

    def number(entry_id):
        return int(entry_id.partition("-")[0])

    def happen(n_times):
        for _ in range(n_times):
            act = random.choice(["add", "read", "read", "ack", "ack", "ack", "recreate", "force"])
            pending = [row[0] for row in send("XPENDING", "s", "g", "-", "+", 100)]
            length = send("XLEN", "s")
            if act == "add":
                send("XADD", "s", f"{length + 1}-1", "n", length)
            elif act == "read":
                send("XREADGROUP", "GROUP", "g", "C", "COUNT", random.randint(1, 3), "STREAMS", "s", ">")
            elif act == "ack" and pending:
                entry_id = random.choice(pending)
                send("XACK", "s", "g", entry_id)
                settled.add(number(entry_id))
            elif act == "force" and length:  # pending, though it never was delivered
                send("XCLAIM", "s", "g", "C", 0, f"{random.randint(1, length)}-1", "FORCE")
            elif act == "recreate" and random.random() < 0.4:
                start = random.choice(["0", known, "$"])
                send("XGROUP", "DESTROY", "s", "g")
                send("XGROUP", "CREATE", "s", "g", start)
                if start == "$":  # whoever does this wants nothing of them
                    settled.update(range(1, length + 1))

    send("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    replies = Replies(server.client())
    for _ in range(3):
        happen(random.randint(0, 12))
        groups = send("XINFO", "GROUPS", "s")
        happen(random.choice([0, 0, 1, 2, 5]))
        pending, first, *_ = send("XPENDING", "s", "g")
        known = place_in(replies, "g", (groups, {"pending": pending, "min": first}), known)
        story.append(f"place {known}")
    # Ids end in 1: a place n-0 lies before n-1, and the last-delivered id n-1 does not.
    return number(known) - known.endswith("-0"), settled, story
