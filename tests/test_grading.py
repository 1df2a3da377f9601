"""Recoveries under random faults get a verdict: right ones pass, wrong ones are told what went wrong, and when."""

from __future__ import annotations

import dataclasses

import pytest

from streamlab import checks
from streamlab.actors import Recovery
from streamlab.grading import graded, with_random_faults


@pytest.mark.parametrize("strategy", ["claim", "autoclaim", "restart"])
def test_a_right_recovery_passes(strategy):
    """Twenty schedules of faults, and nothing is broken."""
    assert checks.recovery(Recovery(strategy, min_idle=0.2))


def test_a_min_idle_that_is_too_short_is_told_so():
    """Its consumers take entries from each other."""
    verdict = checks.recovery(Recovery("autoclaim", min_idle=0.005), schedules=3)
    assert not verdict
    assert "min_idle is 0.005 s" in verdict.words
    assert "heartbeat" in verdict.hint


def test_a_failure_can_be_seen_again_by_its_seed():
    """The verdict names the seed; with it, the same comes out."""
    recovery = Recovery("restart", history=False)
    verdict = checks.recovery(recovery)
    assert not verdict
    seed = int(verdict.words.removeprefix("With seed ").split()[0])
    assert checks.recovery(recovery, seed=seed, schedules=1) == verdict


async def careless(client, stream, group, consumer, handler, stop):
    while not stop.is_set():
        for _, entries in await client.xreadgroup(group, consumer, {stream: ">"}, 1, 100):
            for entry_id, fields in entries:
                await client.xack(stream, group, entry_id)
                await handler(entry_id, fields)


async def careful(client, stream, group, consumer, handler, stop):
    async def work(entries):
        for entry_id, fields in entries:
            if fields:
                await handler(entry_id, fields)
            await client.xack(stream, group, entry_id)

    while not stop.is_set():
        cursor = None
        while cursor != "0-0":
            cursor, entries, _ = await client.xautoclaim(
                stream, group, consumer, 200, cursor or "0-0", 10
            )
            await work(entries)
        for _, entries in await client.xreadgroup(group, consumer, {stream: ">"}, 1, 100):
            await work(entries)


async def hasty(client, stream, group, consumer, handler, stop):
    while not stop.is_set():
        await client.xlen(stream)


def kills_only(scenario):
    names = [consumer.name for consumer in scenario.consumers]
    return dataclasses.replace(
        scenario.with_recovery(restart_after=0.1).with_faults(
            *(f"crash-before-ack {name} nth {n}" for n, name in enumerate(names, 3))
        )
    )


def test_ones_own_consumer_is_watched():
    """It reports nothing by itself; what it does is seen at its client and its handler."""
    from streamlab.grading import _try

    assert _try(kills_only(graded()), careful)
    verdict = _try(kills_only(graded()), careless)
    assert not verdict
    assert verdict.story


def test_one_that_acknowledges_first_is_found():
    """The first entry is enough."""
    verdict = checks.recovery(careless, schedules=5)
    assert not verdict


def test_one_that_never_waits_is_stopped():
    """A busy loop ends in words, not in a notebook that hangs."""
    verdict = checks.recovery(hasty, schedules=1)
    assert "the clock never moved" in verdict.words


def test_what_is_no_answer():
    """An ellipsis, a number, a plain function."""
    assert "no answer yet" in checks.recovery(...).words
    assert "no Recovery" in checks.recovery(7).words
    assert "no async function" in checks.recovery(lambda: None).words


def test_somebody_survives():
    """Without a supervisor, at least one consumer meets nothing that kills it."""
    for seed in range(50):
        scenario = with_random_faults(graded(), seed)
        deadly = {
            getattr(f, "target", "")
            for f in scenario.faults
            if f.word in ("kill", "crash-before-ack", "crash-before-effect")
        }
        assert len(deadly) < len(scenario.consumers)
