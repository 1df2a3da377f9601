"""`carry_out`: how each action is done to a run, on either engine.

What is done by a command of Redis is sent as one, by the lab's own client, and written down as it would be typed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from streamlab.actors.events import CLAIMED
from streamlab.lab.course import Course
from streamlab.lab.mishaps import befall
from streamlab.results.recent import in_short
from streamlab.scenario import ScenarioError
from streamlab.scenario.action import Action, CountedAction
from streamlab.scenario.actions import (
    AddConsumer,
    Autoclaim,
    Claim,
    Disconnect,
    Kill,
    LostReply,
    Pause,
    Restart,
    Resume,
    ServerDown,
    SetRate,
    SetRecovery,
    SetService,
    Slow,
)


@singledispatch
async def carry_out(action: Action[Any], course: Course) -> Any:
    """Do an action now; return what comes of it.

    Raises
    ------
    ScenarioError
        If it cannot be done as things are.
    """
    course.note(*await befall(action, course.stage.client, course.scenario, course.log.report))


# ---- processes -------------------------------------------------------------------------------------


@carry_out.register(Kill)
async def _(action: Kill, course: Course) -> None:
    pid = course.pids().get(action.target)
    course.kill(action.target)
    course.note(f"kill -9 {pid or action.target}", "no command: Redis is told nothing")


@carry_out.register(Pause)
async def _(action: Pause, course: Course) -> None:
    course.pause(action.target, action.duration)
    course.note(f"kill -STOP {course.pids().get(action.target, action.target)}", "no command")


@carry_out.register(Resume)
async def _(action: Resume, course: Course) -> None:
    course.resume(action.target)
    course.note(f"kill -CONT {course.pids().get(action.target, action.target)}", "no command")


@carry_out.register(Restart)
async def _(action: Restart, course: Course) -> None:
    course.restart(action.target)
    course.note(f"start {action.target}", "no command; it will read its own history first")


@carry_out.register(AddConsumer)
async def _(action: AddConsumer, course: Course) -> str:
    name = action.target
    assert name is not None
    if name in course.processes:
        raise ScenarioError(f"there is a consumer {name!r} already")
    course.add_consumer(name)
    course.note(f"start {name}", "no command; its first read makes it a consumer of the group")
    return name


@carry_out.register(Slow)
async def _(action: Slow, course: Course) -> None:
    course.slow_down(action.target, action.factor, action.duration)
    course.note(f"slow {action.target}", f"no command; {action.factor:g} times as long for {action.duration:g} s")


@carry_out.register(Disconnect)
async def _(action: Disconnect, course: Course) -> None:
    await course.cut(action.target)
    course.note(f"disconnect {action.target}", "no command; its connections are cut")


@carry_out.register(ServerDown)
async def _(action: ServerDown, course: Course) -> None:
    course.stage.check_outage()
    await course.take_down(action.duration)
    course.note("server-down", f"no command is answered for {action.duration:g} s")


@carry_out.register(CountedAction)
async def _(action: CountedAction, course: Course) -> None:
    course.count(action)
    course.note(f"{action.word} {action.target}", f"no command; it happens at entry {action.nth} from now on")


@carry_out.register(LostReply)
async def _(action: LostReply, course: Course) -> None:
    await course.lose_reply(action)
    course.note(f"lost-reply {action.target}", f"it happens at {action.command} {action.nth} from now on")


# ---- what is pending -------------------------------------------------------------------------------


@carry_out.register(Claim)
async def _(action: Claim, course: Course) -> list[str]:
    owner, min_idle_ms = await _claimer(course, action.consumer), _min_idle_ms(course, action.min_idle)
    stream, group = course.scenario.stream, course.scenario.group
    claimed: list[Any] = await course.stage.client.xclaim(
        stream, group, owner, min_idle_ms, list(action.ids), justid=True
    )
    text = f"XCLAIM {stream} {group} {owner} {min_idle_ms} {' '.join(action.ids)} JUSTID"
    return _claimed(course, owner, text, claimed)


@carry_out.register(Autoclaim)
async def _(action: Autoclaim, course: Course) -> list[str]:
    owner, min_idle_ms = await _claimer(course, action.consumer), _min_idle_ms(course, action.min_idle)
    stream, group, client = course.scenario.stream, course.scenario.group, course.stage.client
    # It looks at ten times COUNT entries at the most: so one command walks through the whole list.
    count = max(100, (await client.xpending(stream, group))["pending"])
    claimed: list[Any] = await client.xautoclaim(stream, group, owner, min_idle_ms, "0-0", count, justid=True)
    text = f"XAUTOCLAIM {stream} {group} {owner} {min_idle_ms} 0-0 COUNT {count} JUSTID"
    return _claimed(course, owner, text, claimed)


async def _claimer(course: Course, name: str | None) -> str:
    """Return for whom to claim: who is named, or the one among the living that holds least."""
    if name is not None:
        return name
    alive = course.running_consumers()
    if not alive:
        raise ScenarioError("there is nobody to claim for: all consumers are dead or paused; restart one, or add one")
    summary = await course.stage.client.xpending(course.scenario.stream, course.scenario.group)
    held = {row["name"]: row["pending"] for row in summary["consumers"]}
    return min(alive, key=lambda each: held.get(each, 0))


def _min_idle_ms(course: Course, min_idle: float | None) -> int:
    return round((course.scenario.recovery.min_idle if min_idle is None else min_idle) * 1000)


def _claimed(course: Course, owner: str, text: str, claimed: Sequence[Any]) -> list[str]:
    """Report what was claimed, and let its new owner look for it."""
    ids = [str(entry_id) for entry_id in claimed if entry_id is not None]
    course.note(text, in_short(ids))
    for entry_id in ids:
        course.log.report(CLAIMED, owner, entry_id)
    if ids:
        course.nudge(owner)
    return ids


# ---- how it goes on --------------------------------------------------------------------------------


@carry_out.register(SetRate)
async def _(action: SetRate, course: Course) -> None:
    for producer in course.scenario.producers:
        if producer.arrivals.kind == "replay":
            raise ScenarioError(f"{course.scenario.name} replays recorded times and has no rate: change its speed")
    for producer in course.scenario.producers:
        course.set_pace(producer.name, action.rate / producer.arrivals.rate)
    course.note(f"rate: {action.rate:g}/s each", "told to all producers")


@carry_out.register(SetService)
async def _(action: SetService, course: Course) -> None:
    for each in [action.consumer] if action.consumer is not None else list(course.consumers):
        course.set_service(each, action.mean)
    course.note(f"service time: {action.mean:g} s", f"told to {action.consumer or 'all consumers'}")


@carry_out.register(SetRecovery)
async def _(action: SetRecovery, course: Course) -> None:
    recovery = action.applied_to(course.scenario.recovery)
    await course.set_recovery(recovery)
    if recovery.restarts_after is not None:  # a supervisor finds dead ones as well
        for name in course.dead_consumers():
            course.start(name)
    does = f"every {recovery.looks_every:g} s" if recovery.claims else ""
    course.note(f"recovery: {recovery.strategy} {does}".strip(), "told to all consumers")
