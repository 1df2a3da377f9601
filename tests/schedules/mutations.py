"""What consumers get wrong, made one at a time: each must be caught within 200 schedules.

A mutation is a function that takes pytest's `monkeypatch` and spoils the actors with it; it may also change
the scenarios that are drawn, where what is wrong is a setting.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from streamlab.actors import processing, reading, scripts, work
from streamlab.actors.events import CLAIMED, DELIVERED, TRIMMED
from streamlab.actors.redis_calls import run_script
from streamlab.actors.replies import entries_of
from streamlab.actors.work import Work
from streamlab.scenario import Scenario
from streamlab.virtual.redis import SimulatedRedis

Mutation = Callable[[pytest.MonkeyPatch], Callable[[Scenario], Scenario] | None]


def history_always_from_0(patch: pytest.MonkeyPatch) -> None:
    """Read the own history from 0 each time, so that what stays pending is read again and again."""

    async def own_history(self: Work, count: int) -> None:
        while not self.is_stopping:
            streams: Any = {self.stream: "0"}
            reply = await self.client.xreadgroup(self.group, self.consumer, streams, count)
            entries = entries_of(reply)
            if not entries:
                return
            await self.process_again(DELIVERED, entries)
            await self.settle()

    patch.setattr(Work, "own_history", own_history)


def stop_at_an_empty_page(patch: pytest.MonkeyPatch) -> None:
    """End the walk of XAUTOCLAIM at the first page that is empty, whatever its cursor."""

    async def autoclaim(self: Work, count: int) -> None:
        cursor: Any = "0-0"
        count = self.count_of_redelivered(count)
        while True:
            cursor, entries, *gone = await self.client.xautoclaim(
                self.stream, self.group, self.consumer, self.min_idle_ms, cursor, count
            )
            for entry_id in gone[0] if gone else ():
                self.report(TRIMMED, self.consumer, entry_id)
            await self.process_again(CLAIMED, entries)
            await self.settle()
            if not entries or cursor == "0-0" or self.is_stopping:
                return

    patch.setattr(Work, "autoclaim", autoclaim)


def claim_with_justid(patch: pytest.MonkeyPatch) -> None:
    """Claim with JUSTID, which counts no delivery, and fetch the entries by themselves."""

    async def autoclaim(self: Work, count: int) -> None:
        key, group, idle = self.stream, self.group, self.min_idle_ms
        rows: Any = await self.client.xpending_range(key, group, "-", "+", 1000, idle=idle)
        for row in rows:
            entry_id = row["message_id"]
            if await self.client.xclaim(key, group, self.consumer, idle, [entry_id], justid=True):
                found: Any = await self.client.xrange(key, entry_id, entry_id)
                await self.process_again(CLAIMED, found)
                await self.settle()

    patch.setattr(Work, "autoclaim", autoclaim)


def ack_before_effect(patch: pytest.MonkeyPatch) -> None:
    """Acknowledge what was read at once, before it is processed."""
    process = Work.process

    async def early(self: Work, entries: Sequence[Any]) -> None:
        for entry in entries:
            self.done.append(entry[0])
            await self.settle()
            self.held[entry[0]] = 1  # as if it were still its own
            await process(self, [entry])
            self.done.clear()

    patch.setattr(Work, "process", early)


def dead_letter_by_multi(patch: pytest.MonkeyPatch) -> None:
    """Move a dead letter by MULTI, which acknowledges also if the XADD before it failed."""

    async def multi(client: Any, script: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        if script != scripts.DEAD_LETTER:
            return await run_script(client, script, keys, args)
        group, _, entry_id = args
        found = await client.xrange(keys[0], entry_id, entry_id)
        pipe = client.pipeline(transaction=True)
        pipe.xadd(keys[1], {"dead:id": entry_id, **found[0][1]})
        pipe.xack(keys[0], group, entry_id)
        return (await pipe.execute())[0]

    patch.setattr(processing, "run_script", multi)


def group_recreated_at_the_end(patch: pytest.MonkeyPatch) -> None:
    """Recreate a lost group at $: what nobody has been given yet never comes."""

    async def at_the_end(client: Any, stream: str, safe_id: str) -> str:
        return "$"

    patch.setattr(reading, "start_of_new_group", at_the_end)


def remove_unchecked(patch: pytest.MonkeyPatch) -> None:
    """Remove idle consumers without a look at what they hold (XGROUP DELCONSUMER)."""

    async def unchecked(client: Any, script: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        if script != scripts.REMOVE_IDLE_CONSUMERS:
            return await run_script(client, script, keys, args)
        group, own, idle_ms = args
        names = [
            consumer["name"]
            for consumer in await client.xinfo_consumers(keys[0], group)
            if consumer["idle"] >= idle_ms and consumer["name"] != own
        ]
        for name in names:
            await client.xgroup_delconsumer(keys[0], group, name)
        return names

    patch.setattr(work, "run_script", unchecked)


def count_0_for_count_1(patch: pytest.MonkeyPatch) -> None:
    """Ask for COUNT 0 where one entry is meant: to a server, that is no limit (redis-py sends it not at all)."""
    xreadgroup = SimulatedRedis.xreadgroup

    async def without_limit(
        self: SimulatedRedis, group: Any, name: Any, streams: Any, count: Any = None, *more: Any, **options: Any
    ) -> Any:
        return await xreadgroup(self, group, name, streams, None if count == 1 else count, *more, **options)

    patch.setattr(SimulatedRedis, "xreadgroup", without_limit)


def no_history_after_a_lost_connection(patch: pytest.MonkeyPatch) -> None:
    """Go on with new entries after a lost connection: what a lost reply had brought is never looked for."""
    own_history = Work.own_history

    async def only_once(self: Work, count: int) -> None:
        if not self.has_read:
            await own_history(self, count)

    patch.setattr(Work, "own_history", only_once)


def min_idle_too_short(patch: pytest.MonkeyPatch) -> Callable[[Scenario], Scenario]:
    """Claim after less time than an entry takes, and renew nothing."""

    def change(scenario: Scenario) -> Scenario:
        mean = scenario.consumers[0].service.mean
        recovery = dataclasses.replace(scenario.recovery, min_idle=mean / 2, heartbeat=None)
        return scenario.replace(recovery=recovery)

    return change


MUTATIONS: dict[str, Mutation] = {
    f.__name__: f
    for f in (
        history_always_from_0,
        stop_at_an_empty_page,
        claim_with_justid,
        ack_before_effect,
        dead_letter_by_multi,
        group_recreated_at_the_end,
        remove_unchecked,
        count_0_for_count_1,
        no_history_after_a_lost_connection,
        min_idle_too_short,
    )
}
