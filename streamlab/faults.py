"""Faults as data: what goes wrong in a scenario, when and to whom. The same list serves both engines.

    parse_fault("kill C2 at 3s")                 # a process dies where it stands (SIGKILL)
    parse_fault("crash-before-ack C1 nth 5")     # … after the effect of its 5th entry, before XACK
    parse_fault("poison P1 nth 17")              # P1's 17th entry kills whoever touches it

Each fault's text (``str(fault)``) is what `parse_fault` reads, in files and on the command line as well.
"""

from __future__ import annotations

import dataclasses
import math
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

#: The field by which an entry kills whoever touches it.
POISON_FIELD: Final = "poison"
#: Redis commands whose replies can be lost.
LOSABLE: Final = ("XREADGROUP", "XACK", "XADD", "XAUTOCLAIM", "XCLAIM", "EVALSHA")


class FaultError(ValueError):
    """A fault that makes no sense. The message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong. `at` is in seconds after the start of the run, `nth` counts from 1."""

    word: ClassVar[str] = ""
    #: How it is written; what stands in brackets may be left out.
    form: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            _check(self, item.name, getattr(self, item.name))

    def __str__(self) -> str:
        words = [self.word]
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if item.name in ("target", "command"):
                words.append(str(value))
            elif value is not None and value != item.default:
                name = _WORDS.get(item.name, item.name)
                words.append(f"{name} {_text(item.name, value)}")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class TimedFault(Fault):
    """A fault at a moment of the run, carried out by the engine."""

    @property
    def when(self) -> float:
        """Seconds after the start of the run."""
        return float(self.at)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class CountedFault(Fault):
    """A fault at an entry that a worker handles, or at a command that it sends: carried out where it happens."""


@dataclass(frozen=True, slots=True)
class Kill(TimedFault):
    """The process dies where it stands (SIGKILL). What it held stays pending for it."""

    word, form = "kill", "kill C2 at 3s"
    target: str
    at: float


@dataclass(frozen=True, slots=True)
class Restart(TimedFault):
    """The process is asked to stop (SIGTERM), finishes what it holds, and is started again."""

    word, form = "restart", "restart C2 at 3s"
    target: str
    at: float


@dataclass(frozen=True, slots=True)
class Pause(TimedFault):
    """The process stands still (SIGSTOP) and goes on later (SIGCONT) as if nothing had happened: a zombie."""

    word, form = "pause", "pause C2 at 3s for 2s"
    target: str
    at: float
    duration: float = 1.0


@dataclass(frozen=True, slots=True)
class Slow(TimedFault):
    """The consumer takes `factor` times as long for each entry, for a while."""

    word, form = "slow", "slow C2 at 3s [for 2s] [factor 10]"
    target: str
    at: float
    duration: float = 1.0
    factor: float = 10.0


@dataclass(frozen=True, slots=True)
class Disconnect(TimedFault):
    """The connections of a process are cut; a command that waits for its reply gets an error."""

    word, form = "disconnect", "disconnect C2 at 3s"
    target: str
    at: float


@dataclass(frozen=True, slots=True)
class CrashBeforeEffect(CountedFault):
    """The process dies when the nth entry that it handles is all but done."""

    word, form = "crash-before-effect", "crash-before-effect C1 nth 5"
    target: str
    nth: int = 1


@dataclass(frozen=True, slots=True)
class CrashBeforeAck(CountedFault):
    """The process dies after the effect of the nth entry that it handles, before it is acknowledged."""

    word, form = "crash-before-ack", "crash-before-ack C1 nth 5"
    target: str
    nth: int = 1


@dataclass(frozen=True, slots=True)
class Fail(CountedFault):
    """The handler raises an error at the nth entry (and the next ones: `times` in all)."""

    word, form = "fail", "fail C1 nth 5 [times 3]"
    target: str
    nth: int = 1
    times: int = 1


@dataclass(frozen=True, slots=True)
class PauseInWork(CountedFault):
    """The process stands still for a while in the middle of the nth entry that it handles: a sure zombie."""

    word, form = "pause-in-work", "pause-in-work C2 nth 5 for 2s"
    target: str
    nth: int = 1
    duration: float = 1.0


@dataclass(frozen=True, slots=True)
class LostReply(CountedFault):
    """The server executes the nth `command` of a process; the reply is lost with the connection."""

    word, form = "lost-reply", "lost-reply C1 XACK nth 3"
    target: str
    command: str = "XACK"
    nth: int = 1


@dataclass(frozen=True, slots=True)
class Poison(CountedFault):
    """The nth entry of a producer kills every process that touches it."""

    word, form = "poison", "poison P1 nth 17"
    target: str
    nth: int = 1


@dataclass(frozen=True, slots=True)
class ServerDown(TimedFault):
    """The server cannot be reached for a while; it keeps what it had."""

    word, form = "server-down", "server-down at 3s for 1s"
    at: float
    duration: float = 1.0


@dataclass(frozen=True, slots=True)
class TrimWhilePending(TimedFault):
    """All entries that have been delivered are trimmed from the stream, pending or not (XTRIM)."""

    word, form = "trim-while-pending", "trim-while-pending at 3s"
    at: float


@dataclass(frozen=True, slots=True)
class GroupDestroyed(TimedFault):
    """The group is destroyed, with its position and what is pending (XGROUP DESTROY)."""

    word, form = "group-destroyed", "group-destroyed at 3s"
    at: float


@dataclass(frozen=True, slots=True)
class StreamDeleted(TimedFault):
    """The stream is deleted, with its entries and its groups (DEL)."""

    word, form = "stream-deleted", "stream-deleted at 3s"
    at: float


FAULTS: Final[dict[str, type[Fault]]] = {
    kind.word: kind
    for kind in (
        Kill, Restart, Pause, Slow, Disconnect, CrashBeforeEffect, CrashBeforeAck, Fail, PauseInWork,
        LostReply, Poison, ServerDown, TrimWhilePending, GroupDestroyed, StreamDeleted,
    )
}  # fmt: skip

_WORDS: Final = {"duration": "for"}
_FIELDS: Final = {"for": "duration"}
_COUNTS: Final = ("nth", "times")
_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min|)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "": 1.0}


def seconds(text: str) -> float:
    """Read a time: ``3s``, ``250ms``, ``2min``, or a number of seconds.

    Raises
    ------
    FaultError
        If it is none.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise FaultError(f"{text!r} is not a time: write 3s, 250ms or 2min")
    return float(match[1]) * _UNITS[match[2]]


def parse_fault(text: str) -> Fault:
    """Read a fault as ``str(fault)`` writes it.

    Raises
    ------
    FaultError
        If it is none, or something is missing or out of range.
    """
    words = text.split()
    kind = FAULTS.get(words[0].lower()) if words else None
    if kind is None:
        raise FaultError(f"unknown fault {text!r}: known are {', '.join(FAULTS)}")
    known: dict[str, Any] = {item.name: item for item in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    rest = words[1:]
    for name in ("target", "command"):
        if name in known:
            if not rest:
                raise FaultError(f"{text!r} names no {name}: write {kind.form}")
            word = rest.pop(0)
            values[name] = word.upper() if name == "command" else word
    if len(rest) % 2:
        raise FaultError(f"cannot read the fault {text!r}: write {kind.form}")
    for word, value in zip(rest[::2], rest[1::2], strict=True):
        name = _FIELDS.get(word, word)
        if name not in known or name in values:
            raise FaultError(f"{word!r} does not belong into {text!r}: write {kind.form}")
        values[name] = _number(name, value, kind)
    missing = [
        name
        for name, item in known.items()
        if item.default is dataclasses.MISSING and name not in values
    ]
    if missing:
        raise FaultError(f"{text!r} lacks {' and '.join(missing)}: write {kind.form}")
    return kind(**values)


def _number(name: str, text: str, kind: type[Fault]) -> float | int:
    if name in ("at", "duration"):
        return seconds(text)
    try:
        return int(text) if name in _COUNTS else float(text)
    except ValueError:
        raise FaultError(f"{name} {text!r} is not a number: write {kind.form}") from None


def _text(name: str, value: Any) -> str:
    return f"{value:g}s" if name in ("at", "duration") else f"{value:g}"


def _check(fault: Fault, name: str, value: Any) -> None:
    if name in ("target", "command"):
        if not isinstance(value, str) or not value or " " in value:
            raise FaultError(f"{fault.word}: the {name} is {value!r}: write {fault.form}")
        if name == "command" and value not in LOSABLE:
            raise FaultError(f"{fault.word}: {value} is none of {', '.join(LOSABLE)}")
    elif name in _COUNTS:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise FaultError(f"{fault.word}: {name} is {value!r}: a whole number of at least 1")
    else:
        fine = (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        )
        if not fine or value < 0 or (value == 0 and name != "at"):
            least = "at least 0" if name == "at" else "more than 0"
            raise FaultError(f"{fault.word}: {name} is {value!r}: {least}")


# ---- random ones -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Weights:
    """How often each kind of fault is drawn, compared with the others. Those of the server befall everybody."""

    of: dict[type[Fault], float] = field(
        default_factory=lambda: {
            Kill: 4, Pause: 2, Slow: 1, Restart: 1, Disconnect: 2, CrashBeforeEffect: 2,
            CrashBeforeAck: 3, Fail: 2, PauseInWork: 1, LostReply: 4, Poison: 1, ServerDown: 1, TrimWhilePending: 0.5,
            GroupDestroyed: 0.5, StreamDeleted: 0.25,
        }
    )  # fmt: skip


def random_faults(
    rng: random.Random,
    *,
    consumers: Sequence[str],
    producers: Sequence[str],
    duration: float,
    entries: int,
    most: int = 6,
    weights: Weights | None = None,
) -> tuple[Fault, ...]:
    """Draw a schedule of one to `most` faults for a run of `duration` seconds and about `entries` entries."""
    table = (weights or Weights()).of
    per_consumer = max(entries // max(len(consumers), 1), 1)
    drawn = []
    for _ in range(rng.randint(1, most)):
        kind = rng.choices(list(table), list(table.values()))[0]
        at = round(rng.uniform(0.05, 0.9) * duration, 3)
        values: dict[str, Any] = {}
        names = {item.name for item in dataclasses.fields(kind)}
        if "target" in names:
            values["target"] = rng.choice(producers if kind is Poison else consumers)
        if "at" in names:
            values["at"] = at
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


def random_kills(
    rng: random.Random, *, consumers: Sequence[str], every: float, duration: float
) -> tuple[Fault, ...]:
    """Draw whom to kill, every so many seconds of a run."""
    n = math.ceil(duration / every) - 1
    return tuple(Kill(rng.choice(consumers), round(i * every, 6)) for i in range(1, n + 1))


def targets(faults: Iterable[Fault]) -> set[str]:
    """Return the names of the actors that faults are aimed at."""
    return {str(fault.target) for fault in faults if hasattr(fault, "target")}
