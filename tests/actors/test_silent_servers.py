"""A server that accepts and never answers."""

from __future__ import annotations

import asyncio
import contextvars
import math
from functools import partial
from typing import Any

import pytest
import redis.asyncio
import redis.exceptions

from streamlab.actors import Recovery, consume, ensure_group, produce, reclaim
from streamlab.virtual.loop import Deadlock, VirtualLoop
from streamlab.virtual.task import PROCESS
from tests.actors.world import World, busy, collecting, half_dead, unlucky


class Silence:
    """Lets a simulated server fall silent at a command: it is executed or not, and nobody hears of it."""

    def __init__(self, client, command, nth=1):
        self.client, self._command, self._n_left = client, command, nth
        self._send, self._pipeline = client.execute_command, client.pipeline
        self.since = math.nan
        client.execute_command, client.pipeline = self._execute, self._make_pipeline

    async def _hush(self, *commands):
        for words in commands:
            texts = (word.decode() if isinstance(word, bytes) else str(word) for word in words)
            self._n_left -= self._command in " ".join(texts)
        if self._n_left <= 0:
            loop = asyncio.get_running_loop()
            self.since = loop.time()
            await loop.create_future()

    async def _execute(self, *args, **options):
        await self._hush(args)
        return await self._send(*args, **options)

    def _make_pipeline(self, *args, **options):
        pipe = self._pipeline(*args, **options)
        execute = pipe.execute

        async def hushed(*args, **options):
            await self._hush(*(words for words, _ in pipe.command_stack))
            return await execute(*args, **options)

        pipe.execute = hushed
        return pipe


@pytest.fixture
def simulated():
    return World("simulated")


#: A command of each kind, with how often it has been answered, and by what recovery and acknowledging it comes.
COMMANDS = [
    ("STREAMS s 0", 1, "none", "each"), ("STREAMS s >", 1, "none", "each"), ("STREAMS s >", 9, "none", "each"),
    ("XACK", 3, "none", "each"), ("XACK", 2, "none", "batch"), ("XPENDING s g", 1, "none", "each"),
    ("XAUTOCLAIM", 1, "autoclaim", "each"), ("XAUTOCLAIM", 4, "autoclaim", "each"),
    ("XPENDING s g IDLE", 2, "claim", "each"), ("XCLAIM", 1, "claim", "each"), ("EVAL", 2, "autoclaim", "each"),
    ("XINFO", 3, "autoclaim", "each"), ("XNACK", 1, "nack", "each"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "nth", "strategy", "ack"), COMMANDS)
def test_a_server_that_falls_silent_ends_a_consumer(simulated, command, nth, strategy, ack):
    """At whichever command: after what a read may block, and patience; not before, and not much later."""

    async def main():
        client = simulated.client()
        await half_dead(client, "abcdef", 2)
        silence = Silence(simulated.client(), command, nth)
        recovery = Recovery(
            strategy, min_idle=2, remove_after=3 if strategy != "none" else None,
            fenced=ack == "each" and strategy != "none", max_deliveries=3,
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        with pytest.raises(redis.exceptions.TimeoutError, match="has not answered for 7 s"):
            await consume(silence.client, "s", "g", "C1", busy(0.2), block=2, patience=5, ack=ack, recovery=recovery)
        waited = loop.time() - silence.since
        await silence.client.aclose()
        return waited, [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    waited, left = simulated.run(main())
    assert 7 <= waited < 8
    assert left == []


def test_a_server_that_falls_silent_ends_the_others_as_well(simulated):
    """A producer, a walk through what is pending, the making of a group."""

    async def ended(act, seconds):
        began = asyncio.get_running_loop().time()
        with pytest.raises(redis.exceptions.TimeoutError, match=f"has not answered for {seconds} s"):
            await act
        return asyncio.get_running_loop().time() - began

    async def main():
        def silent(command, nth=1):
            return Silence(simulated.client(), command, nth).client

        await half_dead(simulated.client(), "abcd", 2)
        await asyncio.sleep(1)
        arrivals = [(n * 100.0, {"n": str(n)}) for n in range(5)]
        reclaiming = reclaim(silent("XACK"), "s", "g", "C2", busy(0), min_idle=1, patience=7)
        return [
            await ended(produce(silent("XADD"), "s", arrivals, patience=5), 5),
            await ended(produce(silent("XADD", 3), "s", arrivals, patience=5), 5) - 200,
            await ended(produce(unlucky(silent("XRANGE")), "s", arrivals, patience=5), 5),
            await ended(reclaiming, 7) - 2,
            await ended(ensure_group(silent("XGROUP"), "s", "h", patience=9), 9) - 4,
            await ended(ensure_group(silent("XGROUP"), "s", "h"), 5),
            await ended(ensure_group(silent("XGROUP"), "s", "h", patience=2), 2) + 3,
        ]

    assert all(5 <= seconds < 6 for seconds in simulated.run(main()))


@pytest.mark.parametrize("block", [0, 2])
def test_a_server_that_takes_long_is_not_silent(simulated, block):
    """Nor is one whose every answer takes nearly as long as it may."""

    async def main():
        client = await simulated.stream(*"abcdefgh")
        slow = simulated.server.client(round_trip=4.5)
        recovery = Recovery("autoclaim", min_idle=1, fenced=True, max_deliveries=9, remove_after=9)
        for options in ({"recovery": recovery}, {"ack": "batch", "count": 2}, {}):
            worker = simulated.consume(slow, busy(0.1), block=block, patience=5, **options)
            await asyncio.sleep(200)
            worker.task.cancel()
            await asyncio.wait([worker.task])
            assert worker.task.cancelled()
            await client.xadd("s", {"v": "i"})
        arrivals = [(float(n), {"n": str(n)}) for n in range(20)]
        return await produce(slow, "s", arrivals, patience=5)

    assert simulated.run(main()) == 20


@pytest.mark.parametrize("block", [0, 2])
def test_a_handler_may_take_any_time(simulated, block):
    """An hour; and the acknowledgement after it is watched again."""

    async def main():
        await simulated.stream(*"ab")
        silence = Silence(simulated.client(), "XACK", 2)
        options = {"block": block, "patience": 5}
        with pytest.raises(redis.exceptions.TimeoutError):
            await consume(silence.client, "s", "g", "C1", busy(3600), **options)
        return silence.since, asyncio.get_running_loop().time()

    since, ended = simulated.run(main())
    assert since == pytest.approx(7200)
    assert 5 <= ended - since < 5 + block + 1


def test_a_read_without_end_has_none(simulated):
    """BLOCK 0: a day without entries is no silence. What is not read is."""

    async def main():
        client = await simulated.stream("a")
        silence = Silence(simulated.client(), "XACK", 2)
        worker = asyncio.ensure_future(consume(silence.client, "s", "g", "C1", busy(0), block=0, patience=5))
        await asyncio.sleep(86_400)
        assert not worker.done()
        await client.xadd("s", {"v": "b"})
        with pytest.raises(redis.exceptions.TimeoutError):
            await worker
        return asyncio.get_running_loop().time() - 86_400

    assert 5 <= simulated.run(main()) < 6


def test_a_process_that_stood_still_is_not_deceived(simulated):
    """It wakes after an hour: time has passed, and the answer is there, which it has not taken in yet."""
    loop, process = VirtualLoop(), object()
    context = contextvars.copy_context()
    context.run(PROCESS.set, process)

    async def main():
        await simulated.stream("a")
        slow = simulated.server.client(round_trip=1)
        worker = loop.create_task(consume(slow, "s", "g", "C1", busy(0.1), block=2, patience=5), context=context)
        for _ in range(50):
            await asyncio.sleep(0.3)  # less than an answer takes
            loop.hold(process)
            await asyncio.sleep(3600)
            loop.release(process)
        await asyncio.sleep(0)
        assert not worker.done()
        worker.cancel()

    loop.run_until_complete(main())
    loop.close()


async def for_ever(*_):
    await asyncio.get_running_loop().create_future()


def waits_for_ever(client):
    loop: Any = asyncio.get_running_loop()
    loop.sleep = for_ever
    return produce(client, "s", [(1.0, {"n": "1"})])


@pytest.mark.parametrize(
    "act",
    [
        lambda client: consume(client, "s", "g", "C1", busy(0), block=0),
        lambda client: consume(client, "s", "g", "C1", for_ever, block=0),
        lambda client: consume(client, "s", "g", "C1", for_ever, block=2),
        waits_for_ever,
    ],
    ids=["nothing comes", "its handler waits", "its handler waits, block 2", "its time never comes"],
)
def test_who_waits_for_nothing_is_still_found_out(simulated, act):
    """In virtual time, a deadlock is one: no timer of ours goes on for ever."""

    async def main():
        client = await simulated.stream(*(["a"] if act.__code__.co_names.count("for_ever") else []))
        await act(client)

    loop = VirtualLoop()
    with pytest.raises(Deadlock):
        loop.run_until_complete(main())
    loop.close()


def test_no_timer_is_left(simulated):
    """Neither when an actor has ended, nor when it was cancelled."""
    loop = VirtualLoop()

    async def main():
        client = await simulated.stream("a")
        worker = simulated.consume(client, busy(0.1))
        await produce(client, "s", [(0.0, {"n": "1"})])
        await reclaim(client, "s", "g", "C2", busy(0), min_idle=1)
        await asyncio.sleep(1)
        await worker.end()
        worker = simulated.consume(client, busy(100))
        await client.xadd("s", {"n": 1})
        await asyncio.sleep(1)
        worker.task.cancel()
        await asyncio.wait([worker.task])

    loop.run_until_complete(main())
    assert loop.next_time() is None
    loop.close()


@pytest.mark.parametrize("as_text", [True, False], ids=["text", "bytes"])
def test_a_real_server_that_stands_still_ends_everybody(own, server, as_text):
    """SIGSTOP: connections stand, and new ones are accepted. Once it goes on, others do."""
    found: list[Any] = []

    async def main():
        await own.stream("a")
        client = partial(own.client, decode_responses=as_text)
        blocked = own.consume(client(), collecting([]), patience=1)
        await blocked.until(lambda: own.of("acked"), "it was done")
        server.pause()
        try:
            began = asyncio.get_running_loop().time()
            ended = await asyncio.gather(
                blocked.error(),
                own.consume(client(), collecting([]), "C2", patience=1).error(),
                produce(client(), "s", [(0.0, {"n": "1"})], patience=1),
                reclaim(client(), "s", "g", "C3", collecting([]), min_idle=1, patience=1),
                return_exceptions=True,
            )
            seconds = asyncio.get_running_loop().time() - began
        finally:
            server.resume()
        # It may give things to those that have gone.
        again = own.consume(client(), collecting(found), recovery=Recovery("autoclaim", min_idle=0.1))
        await produce(client(), "s", [(0.0, {"n": "2"})])
        await again.until(lambda: found, "what came later was done")
        await again.end()
        return ended, seconds

    ended, seconds = own.run(main())
    assert [type(error) for error in ended] == [redis.exceptions.TimeoutError] * 4
    assert 0.9 < seconds < 3
