"""Faults that are drawn at random, by a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any, Final

import attrs
from attrs import field

from streamlab.scenario import actions
from streamlab.scenario.action import Action, CountedAction
from streamlab.scenario.failing import ServerDown


@attrs.frozen
class Weights:
    """How often each kind of fault is drawn, compared with the others. Those of the server befall everybody."""

    of: dict[type[Action[Any]], float] = field(
        factory=lambda: {
            actions.Kill: 4, actions.Pause: 2, actions.Slow: 1, actions.Restart: 1, actions.Disconnect: 2,
            actions.CrashBeforeEffect: 2, actions.CrashBeforeAck: 3, actions.Fail: 2, actions.PauseInWork: 1,
            actions.LostReply: 4, actions.Poison: 1, ServerDown: 1, actions.TrimWhilePending: 0.5,
            actions.GroupDestroyed: 0.5, actions.StreamDeleted: 0.25,
        }
    )  # fmt: skip


#: By their words, those that can befall any scenario: the others take servers of which it says how they fail.
RANDOM_FAULTS: Final[dict[str, type[Action[Any]]]] = {
    word: kind for word, kind in actions.FAULTS.items() if kind in Weights().of
}


def random_faults(
    rng: random.Random,
    *,
    consumers: Sequence[str],
    producers: Sequence[str],
    duration: float,
    entries: int,
    most: int = 6,
    weights: Weights | None = None,
    groups: Sequence[str] = (),
) -> tuple[Action[Any], ...]:
    """Draw a schedule of one to `most` faults for a run of `duration` seconds and about `entries` entries."""
    table = (weights or Weights()).of
    per_consumer = max(entries // max(len(consumers), 1), 1)
    drawn = []
    for _ in range(rng.randint(1, most)):
        kind = rng.choices(list(table), list(table.values()))[0]
        at = round(rng.uniform(0.05, 0.9) * duration, 3)
        values: dict[str, Any] = {}
        names = attrs.fields_dict(kind)
        if "target" in names:
            values["target"] = rng.choice(producers if kind is actions.Poison else consumers)
        if not issubclass(kind, CountedAction):
            values["at"] = at
        if "group" in names and len(groups) > 1:
            values["group"] = rng.choice(groups)
        if "duration" in names:
            values["duration"] = round(rng.uniform(0.05, 0.3) * duration, 3)
        if "nth" in names:
            values["nth"] = rng.randint(1, per_consumer)
        if "times" in names:
            values["times"] = rng.randint(1, 3)
        if "command" in names:
            command = rng.choice(("XREADGROUP", "XACK", "XADD"))
            values["command"] = command
            if command == "XADD":
                values["target"] = rng.choice(producers)
        drawn.append(kind(**values))
    return tuple(drawn)


#: What befalls programs of somebody's own, as often: nothing of which only our own consumers know, and nothing that an
#: operator does to the stream.
_OF_PROGRAMS: Final[dict[type[Action[Any]], float]] = {
    actions.Kill: 4, actions.Pause: 2, actions.Restart: 1, actions.Disconnect: 2, actions.CrashBeforeEffect: 2,
    actions.CrashBeforeAck: 3, actions.PauseInWork: 1, actions.LostReply: 4, ServerDown: 1,
}  # fmt: skip


def steady_faults(
    rng: random.Random, *, consumers: Sequence[str], duration: float, every: float, server: bool = True
) -> tuple[Action[Any], ...]:
    """Draw a fault every `every` seconds on average; `server`: whether the server may be taken down."""
    table = {kind: weight for kind, weight in _OF_PROGRAMS.items() if server or kind is not ServerDown}
    drawn: list[Action[Any]] = []
    at = rng.expovariate(1 / every)
    while at < duration * 0.95:
        kind = rng.choices(list(table), list(table.values()))[0]
        values: dict[str, Any] = {"at": round(at, 3)}
        names = attrs.fields_dict(kind)
        if "target" in names:
            values["target"] = rng.choice(consumers)
        if "duration" in names:
            values["duration"] = round(rng.uniform(0.1, 2.0), 3)
        if "command" in names:
            values["command"] = rng.choice(("XREADGROUP", "XACK"))
        drawn.append(kind(**values))
        at += rng.expovariate(1 / every)
    return tuple(drawn)


def random_kills(
    rng: random.Random, *, consumers: Sequence[str], every: float, duration: float
) -> tuple[Action[Any], ...]:
    """Draw whom to kill, every so many seconds of a run."""
    n = math.ceil(duration / every) - 1
    return tuple(actions.Kill(rng.choice(consumers), round(i * every, 6)) for i in range(1, n + 1))
