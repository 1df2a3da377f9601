"""Faults in words: what goes wrong in a schedule, for the verdict on who did not survive it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from streamlab.scenario.action import Action
from streamlab.scenario.actions import (
    CrashBeforeAck,
    CrashBeforeEffect,
    Disconnect,
    Fail,
    GroupDestroyed,
    Kill,
    LostReply,
    Pause,
    PauseInWork,
    Poison,
    Restart,
    ServerDown,
    Slow,
    StreamDeleted,
    TrimWhilePending,
)


def told(faults: Iterable[Action[Any]]) -> tuple[str, ...]:
    """Return a line for each fault, those with a moment first, in their order."""
    return tuple(in_words(fault) for fault in sorted(faults, key=_when))


def with_faults(faults: Iterable[str], story: Sequence[str]) -> tuple[str, ...]:
    """Return a story with what goes wrong in its schedule, a line for each, before it."""
    heading = () if not story or story[0].endswith(":") else ("What happened to the entry:",)
    return ("What goes wrong in this schedule:", *(f"  - {line}" for line in faults), *heading, *story)


def _when(fault: Action[Any]) -> tuple[bool, float]:
    at = getattr(fault, "at", None)
    return (True, 0.0) if at is None else (False, float(at))


def in_words(fault: Action[Any]) -> str:
    """Return what a fault does, as a sentence without a full stop."""
    match fault:
        case Kill(target, at):
            return f"at {at:.3f} s {target} is killed (SIGKILL)"
        case Restart(target, at):
            return f"at {at:.3f} s {target} is asked to stop (SIGTERM), and then started again"
        case Pause(target, at, duration):
            return f"at {at:.3f} s {target} stands still for {duration:.3g} s"
        case Slow(target, at, duration, factor):
            return f"at {at:.3f} s {target} becomes {factor:g} times slower, for {duration:.3g} s"
        case Disconnect(target, at):
            return f"at {at:.3f} s the connection of {target} is cut"
        case ServerDown(at, duration):
            return f"at {at:.3f} s the server goes down, for {duration:.3g} s"
        case TrimWhilePending(at):
            return f"at {at:.3f} s all that has been delivered is trimmed from the stream (XTRIM)"
        case GroupDestroyed(at):
            return f"at {at:.3f} s the group is destroyed (XGROUP DESTROY)"
        case StreamDeleted(at):
            return f"at {at:.3f} s the stream is deleted (DEL)"
        case _:
            return _counted_in_words(fault)


def _counted_in_words(fault: Action[Any]) -> str:
    match fault:
        case CrashBeforeEffect(target, nth):
            return f"{target} dies at the {ordinal(nth)} entry it handles, before the effect"
        case CrashBeforeAck(target, nth):
            return f"{target} dies at the {ordinal(nth)} entry it handles, after the effect and before XACK"
        case Fail(target, nth, times):
            until = f", and at the {times - 1} after it" if times > 1 else ""
            return f"the handler of {target} raises an error at the {ordinal(nth)} entry{until}"
        case PauseInWork(target, nth, duration):
            return f"{target} stands still for {duration:.3g} s in the middle of the {ordinal(nth)} entry it handles"
        case LostReply(target, command, nth):
            return f"the reply to the {ordinal(nth)} {command} of {target} is lost with the connection"
        case Poison(target, nth):
            return f"the {ordinal(nth)} entry of {target} kills whatever touches it"
        case _:
            return str(fault)


def ordinal(n: int) -> str:
    """Return ``1st``, ``2nd``, ``11th``, ``23rd``."""
    return f"{n}{'th' if 10 <= n % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"
