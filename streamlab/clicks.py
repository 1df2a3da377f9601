"""What can be done to a running lab, on either engine: what a click on the control panel does.

Each is a function of a `Desk` and an engine. What is done by a command of Redis is sent as one, by the lab's
own client, and written down as it would be typed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streamlab.actors import Recovery
from streamlab.engines.live import LiveEngine
from streamlab.engines.simulated import SimulatedEngine
from streamlab.events import CLAIMED
from streamlab.scenario import Scenario, ScenarioError
from streamlab.snapshot import Looker, Snapshot
from streamlab.tally import Command, Tally, in_short

Engine = SimulatedEngine | LiveEngine


@dataclass(frozen=True, slots=True)
class Click:
    """Something that was done to a running lab: when (seconds of the run), which method, with what."""

    at: float
    name: str
    args: tuple[Any, ...]

    def __str__(self) -> str:
        given = [str(arg) for arg in self.args if isinstance(arg, str | int | float)]
        return f"{self.name.replace('_', ' ')} {' '.join(given)}".strip()


class Desk:
    """What a lab knows of the run that it looks at: added up from its events, and what was set by hand."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.tally = Tally(scenario)
        self.looker = Looker(scenario)
        self.recovery: Recovery = scenario.recovery
        rates = [p.arrivals.rate for p in scenario.producers if p.arrivals.kind != "replay"]
        #: Entries per second of each producer; None: they replay recorded times.
        self.rate = rates[0] if rates else None
        #: Mean seconds that a consumer takes for an entry.
        self.service = scenario.consumers[0].service.mean

    def read(self, engine: Engine) -> Tally:
        """Bring the tally up to this moment."""
        self.tally.read(engine.log, engine.now, engine.origin)
        return self.tally

    async def look(self, engine: Engine, finished: bool) -> Snapshot:
        """Take a snapshot."""
        tally = self.read(engine)
        return await self.looker.look(engine.client, tally, engine.now, finished, engine.pids())

    def note(self, engine: Engine, text: str, reply: str = "") -> None:
        """Write down what the lab has sent."""
        self.read(engine).commands.append(Command(engine.now, "lab", text, reply))

    def check(self, name: str) -> None:
        """Require that there is a consumer of this name."""
        if name not in self.tally.doings:
            known = ", ".join(self.tally.doings)
            raise ScenarioError(f"there is no consumer {name!r}: there are {known}")

    def claimer(self, engine: Engine, name: str | None) -> str:
        """Return for whom to claim: who is named, or the one among the living that holds least."""
        if name is not None:
            self.check(name)
            return name
        owned = list(self.read(engine).owner.values())
        alive = [n for n, doings in self.tally.doings.items() if doings.state == "running"]
        if not alive:
            raise ScenarioError(
                "there is nobody to claim for: all consumers are dead or paused; restart one, or add one"
            )
        return min(alive, key=owned.count)


# ---- consumers -------------------------------------------------------------------------------------


def kill(desk: Desk, engine: Engine, name: str) -> None:
    """SIGKILL."""
    _check_actor(desk, engine, name)
    pid = engine.pids().get(name)
    engine.kill(name)
    desk.note(engine, f"kill -9 {pid or name}", "no command: Redis is told nothing")


def pause(desk: Desk, engine: Engine, name: str) -> None:
    """SIGSTOP."""
    _check_actor(desk, engine, name)
    engine.pause(name)
    desk.note(engine, f"kill -STOP {engine.pids().get(name, name)}", "no command")


def resume(desk: Desk, engine: Engine, name: str) -> None:
    """SIGCONT."""
    _check_actor(desk, engine, name)
    engine.resume(name)
    desk.note(engine, f"kill -CONT {engine.pids().get(name, name)}", "no command")


def restart(desk: Desk, engine: Engine, name: str) -> None:
    """SIGTERM if it lives, and a new process of the same name: it reads its own history first."""
    desk.check(name)
    engine.resume(name)
    engine.restart(name)
    desk.note(engine, f"start {name}", "no command; it will read its own history first")


def add_consumer(desk: Desk, engine: Engine, name: str) -> None:
    """One more process, like the first consumer."""
    if name in desk.tally.doings:
        raise ScenarioError(f"there is a consumer {name!r} already")
    like = engine.consumers[desk.scenario.consumers[0].name]
    consumer = dataclasses.replace(like, name=name, service=like.service.with_mean(desk.service))
    desk.tally.joined(consumer)
    engine.add_consumer(consumer)
    desk.note(
        engine, f"start {name}", "no command; its first read makes it a consumer of the group"
    )


# ---- what is pending -------------------------------------------------------------------------------


async def claim(
    desk: Desk, engine: Engine, ids: Sequence[str], consumer: str | None, min_idle: float | None
) -> list[str]:
    """XCLAIM … JUSTID, and a nudge."""
    owner = desk.claimer(engine, consumer)
    min_idle_ms = _min_idle_ms(desk, min_idle)
    if not ids:
        raise ScenarioError("there is nothing to claim: give the ids of pending entries")
    stream, group = desk.scenario.stream, desk.scenario.group
    claimed: list[Any] = await engine.client.xclaim(
        stream, group, owner, min_idle_ms, list(ids), justid=True
    )
    text = f"XCLAIM {stream} {group} {owner} {min_idle_ms} {' '.join(ids)} JUSTID"
    return _claimed(desk, engine, owner, text, claimed)


async def autoclaim(
    desk: Desk, engine: Engine, consumer: str | None, min_idle: float | None
) -> list[str]:
    """XAUTOCLAIM … JUSTID, and a nudge."""
    owner = desk.claimer(engine, consumer)
    min_idle_ms = _min_idle_ms(desk, min_idle)
    stream, group = desk.scenario.stream, desk.scenario.group
    # It looks at ten times COUNT entries at the most: so one command walks through the whole list.
    count = max(100, (await engine.client.xpending(stream, group))["pending"])
    claimed: list[Any] = await engine.client.xautoclaim(
        stream, group, owner, min_idle_ms, "0-0", count, justid=True
    )
    text = f"XAUTOCLAIM {stream} {group} {owner} {min_idle_ms} 0-0 COUNT {count} JUSTID"
    return _claimed(desk, engine, owner, text, claimed)


def _claimed(
    desk: Desk, engine: Engine, owner: str, text: str, claimed: Sequence[Any]
) -> list[str]:
    """Report what was claimed, and let its new owner look for it."""
    ids = [str(entry_id) for entry_id in claimed if entry_id is not None]
    desk.note(engine, text, in_short(ids))
    for entry_id in ids:
        engine.report(CLAIMED, owner, entry_id)
    if ids:
        engine.nudge(owner)
    return ids


def _min_idle_ms(desk: Desk, min_idle: float | None) -> int:
    seconds = desk.recovery.min_idle if min_idle is None else min_idle
    _check_number(seconds, "min_idle (seconds)", least=0.0)
    return round(seconds * 1000)


# ---- how it goes on --------------------------------------------------------------------------------


def set_rate(desk: Desk, engine: Engine, rate: float) -> None:
    """Each producer's rate."""
    _check_number(rate, "rate (entries per second)", above=True)
    for producer in desk.scenario.producers:
        if producer.arrivals.kind == "replay":
            raise ScenarioError(
                f"{desk.scenario.name} replays recorded times and has no rate: change its speed"
            )
    for producer in desk.scenario.producers:
        engine.set_pace(producer.name, rate / producer.arrivals.rate)
    desk.rate = rate


def set_service(desk: Desk, engine: Engine, mean: float, name: str | None) -> None:
    """The mean service time of one consumer, or of all."""
    _check_number(mean, "service (mean seconds)", least=0.0)
    if name is not None:
        desk.check(name)
    for each in [name] if name is not None else list(desk.tally.doings):
        engine.set_service(each, mean)
    if name is None:
        desk.service = mean


async def set_recovery(desk: Desk, engine: Engine, changes: tuple[tuple[str, Any], ...]) -> None:
    """How consumers recover from now on."""
    try:
        recovery = dataclasses.replace(desk.recovery, **dict(changes))
    except (ValueError, TypeError) as error:
        raise ScenarioError(str(error)) from None
    await engine.set_recovery(recovery)
    desk.recovery = recovery
    if recovery.restarts_after is not None:  # a supervisor finds dead ones as well
        for name, doings in desk.read(engine).doings.items():
            if doings.state == "dead":
                engine.start(name)
    does = f"every {recovery.looks_every:g} s" if recovery.claims else ""
    desk.note(engine, f"recovery: {recovery.strategy} {does}".strip(), "told to all consumers")


CLICKS: Final[dict[str, Callable[..., Any]]] = {
    act.__name__: act
    for act in (
        kill, pause, resume, restart, add_consumer, claim, autoclaim, set_rate, set_service,
        set_recovery,
    )
}  # fmt: skip


def _check_actor(desk: Desk, engine: Engine, name: str) -> None:
    """Require that there is an actor of this name: producers can be killed as well."""
    producers = [producer.name for producer in desk.scenario.producers]
    known = [*desk.tally.doings, *producers]
    if name not in known:
        raise ScenarioError(f"there is no {name!r}: there are {', '.join(known)}")


def _check_number(
    value: object, what: str, *, least: float | None = None, above: bool = False
) -> None:
    fine = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not fine or (above and not value > 0) or (least is not None and not value >= least):  # type: ignore[operator]
        raise ScenarioError(f"{what} is {value!r}: give a number {'above' if above else 'from'} 0")
