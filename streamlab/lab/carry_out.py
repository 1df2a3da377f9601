"""`carry_out`: how each action is done to a run, on either engine.

What is done by a command of Redis is sent as one, by the lab's own client, and written down as it would be typed.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import singledispatch
from typing import Any

from streamlab.actors import Entry
from streamlab.actors.events import ACKED, ADDED, CLAIMED, REMOVED, TRIMMED
from streamlab.lab.course import Course
from streamlab.lab.mishaps import befall
from streamlab.results.events import Event
from streamlab.results.recent import in_short
from streamlab.scenario import ScenarioError
from streamlab.scenario.action import LAB, Action, CountedAction
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
    SetRate,
    SetRecovery,
    SetService,
    Slow,
)
from streamlab.scenario.deeds import Ack, Add, LetEnd, PutBack, RemoveConsumer, Trim
from streamlab.scenario.failing import Failover, NetworkCut, PowerLoss, ServerDown


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
    begins = "it will read its own history first" if action.target in course.consumers else "it goes on with its plan"
    course.note(f"start {action.target}", f"no command; {begins}")


@carry_out.register(LetEnd)
async def _(action: LetEnd, course: Course) -> None:
    course.let_end()
    course.note("let-end", "no command; the run does not wait for a producer any longer")


@carry_out.register(AddConsumer)
async def _(action: AddConsumer, course: Course) -> str:
    name = action.target
    assert name is not None
    if name in course.processes:
        raise ScenarioError(f"there is a consumer {name!r} already")
    course.add_consumer(name, action.group)
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


@carry_out.register(PowerLoss)
async def _(action: PowerLoss, course: Course) -> None:
    course.stage.check_outage()
    await course.take_down(action.duration, power_loss=True)
    course.note("power-loss", f"no command is answered for {action.duration:g} s; what was not synced is lost")


@carry_out.register(Failover)
async def _(action: Failover, course: Course) -> None:
    await course.fail_over(action)
    course.note("failover", "the primary is dead; a replica is promoted with what it has")


@carry_out.register(NetworkCut)
async def _(action: NetworkCut, course: Course) -> None:
    await course.stage.cut_replicas(action)
    course.note("network-cut", f"the replicas are told nothing for {action.duration:g} s")


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
    stream, group = course.scenario.stream, _group_of(action, course)
    owner, min_idle_ms = await _claimer(course, group, action.consumer), _min_idle_ms(course, action.min_idle)
    claimed: list[Any] = await course.stage.client.xclaim(
        stream, group, owner, min_idle_ms, list(action.ids), justid=True
    )
    text = f"XCLAIM {stream} {group} {owner} {min_idle_ms} {' '.join(action.ids)} JUSTID"
    return _claimed(course, owner, text, claimed)


@carry_out.register(Autoclaim)
async def _(action: Autoclaim, course: Course) -> list[str]:
    stream, group, client = course.scenario.stream, _group_of(action, course), course.stage.client
    owner, min_idle_ms = await _claimer(course, group, action.consumer), _min_idle_ms(course, action.min_idle)
    # It looks at ten times COUNT entries at the most: so one command walks through the whole list.
    count = max(100, (await client.xpending(stream, group))["pending"])
    claimed: list[Any] = await client.xautoclaim(stream, group, owner, min_idle_ms, "0-0", count, justid=True)
    text = f"XAUTOCLAIM {stream} {group} {owner} {min_idle_ms} 0-0 COUNT {count} JUSTID"
    return _claimed(course, owner, text, claimed)


def _group_of(action: Claim | Autoclaim | Ack, course: Course) -> str:
    """Return the group that an action is about: that of its consumer, if it names none."""
    groups = course.scenario.groups
    consumer = getattr(action, "consumer", None)
    return action.group or (groups.only("group={}") if consumer is None else groups.group_of(consumer))


async def _claimer(course: Course, group: str, name: str | None) -> str:
    """Return for whom to claim: who is named, or the one among the living of a group that holds least."""
    if name is not None:
        return name
    members = course.scenario.groups[group]
    alive = [each for each in course.running_consumers() if each in members]
    if not alive:
        raise ScenarioError("there is nobody to claim for: all consumers are dead or paused; restart one, or add one")
    summary = await course.stage.client.xpending(course.scenario.stream, group)
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


@carry_out.register(Ack)
async def _(action: Ack, course: Course) -> int:
    stream, group = course.scenario.stream, _group_of(action, course)
    pipe = course.stage.client.pipeline(transaction=False)
    for entry_id in action.ids:  # one by one: XACK only tells how many there were
        pipe.xack(stream, group, entry_id)
    acked = [entry_id for entry_id, n in zip(action.ids, await pipe.execute(), strict=True) if n]
    course.note(f"XACK {stream} {group} {' '.join(action.ids)}", str(len(acked)))
    for entry_id in acked:
        course.log.report(ACKED, course.scenario.groups.by_hand(group), entry_id)
    return len(acked)


@carry_out.register(RemoveConsumer)
async def _(action: RemoveConsumer, course: Course) -> int:
    stream, name = course.scenario.stream, action.target
    group = course.scenario.groups.group_of(name)
    n: int = await course.stage.client.xgroup_delconsumer(stream, group, name)
    course.log.report(REMOVED, name, "", n)
    gone = f"{n}: so many were pending for {name}, and are given to nobody any more" if n else "0: nothing was pending"
    course.note(f"XGROUP DELCONSUMER {stream} {group} {name}", gone)
    return n


# ---- the stream --------------------------------------------------------------------------------------


@carry_out.register(Add)
async def _(action: Add, course: Course) -> str:
    entry_id = await _add(course, action.fields)
    course.note(f"XADD {course.scenario.stream} * {_typed(action.fields)}", entry_id)
    return entry_id


@carry_out.register(Trim)
async def _(action: Trim, course: Course) -> int:
    stream = course.scenario.stream
    pipe = course.stage.client.pipeline(transaction=True)  # nothing may be added between the two
    pipe.xrange(stream)
    pipe.xtrim(stream, maxlen=action.maxlen, approximate=False)
    entries, n = await pipe.execute()
    for entry_id, _ in entries[:n]:
        course.log.report(TRIMMED, LAB, entry_id)
    course.note(f"XTRIM {stream} MAXLEN = {action.maxlen}", f"{n}: what was not done of them is lost")
    return int(n)


@carry_out.register(PutBack)
async def _(action: PutBack, course: Course) -> list[str]:
    client, key, stream = course.stage.client, course.scenario.dead_letter_key, course.scenario.stream
    put_back = []
    for letter in action.ids:
        found: list[Entry] = await client.xrange(key, letter, letter)  # type: ignore[assignment]
        for _, fields in found:
            kept = {name: value for name, value in fields.items() if not name.startswith("dead:")}
            # In this order: what is torn between the two is there twice, rather than not at all.
            put_back.append(await _add(course, kept))
            await client.xdel(key, letter)
            course.note(f"XADD {stream} * {_typed(kept)}, then XDEL {key} {letter}", put_back[-1])
    if not put_back:
        raise ScenarioError(f"{key} has no entry {' or '.join(action.ids)}: it holds what was given up, by other ids")
    return put_back


async def _add(course: Course, fields: Mapping[str, str]) -> str:
    """Add an entry, which is the run's own."""
    added = await course.stage.client.xadd(course.scenario.stream, fields)  # type: ignore[arg-type]
    entry_id = str(added)
    course.heard(Event(course.loop.time(), ADDED, LAB, entry_id))
    return entry_id


def _typed(fields: Mapping[str, str]) -> str:
    return " ".join(f"{shlex.quote(name)} {shlex.quote(value)}" for name, value in fields.items())


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
