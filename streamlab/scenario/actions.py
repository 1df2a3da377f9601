"""The kinds of `Action`: what goes wrong in a run, and what is done to it. One list serves both engines.

An action's text (``str(action)``) is what `parse_action` reads: in files, on the command line, from a button of the
control panel. Its fields are the parameters of the method of `Lab` that has its name.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, Final

import attrs
from attrs import field

from streamlab.actors.recovery import Recovery
from streamlab.scenario.action import Action, ActionError, CountedAction, ProcessAction, TimedAction


@attrs.frozen
class Kill(ProcessAction[None]):
    """The process dies where it stands (SIGKILL). What it held stays pending for it."""

    word, form = "kill", "kill C2 at 3s"
    target: str
    at: float | None = None


@attrs.frozen
class Restart(ProcessAction[None]):
    """The process is asked to stop (SIGTERM), finishes what it holds, and is started again; at once, if it is dead.

    It begins with its own history: what was delivered to it and never acknowledged.
    """

    word, form = "restart", "restart C2 at 3s"
    target: str
    at: float | None = None


@attrs.frozen
class Pause(ProcessAction[None]):
    """The process stands still (SIGSTOP) and goes on later (SIGCONT) as if nothing had happened: a zombie.

    `duration` is in seconds; infinity is until somebody lets it go on.
    """

    word, form, may_last_for_ever = "pause", "pause C2 at 3s [for 2s]", True
    target: str
    at: float | None = None
    duration: float = math.inf


@attrs.frozen
class Resume(ProcessAction[None]):
    """A paused process goes on (SIGCONT), as if nothing had happened."""

    word, form = "resume", "resume C2 at 3s"
    target: str
    at: float | None = None


@attrs.frozen
class Slow(ProcessAction[None]):
    """The consumer takes `factor` times as long for each entry, for `duration` seconds."""

    word, form = "slow", "slow C2 at 3s [for 2s] [factor 10]"
    target: str
    at: float | None = None
    duration: float = 1.0
    factor: float = 10.0


@attrs.frozen
class Disconnect(ProcessAction[None]):
    """The connections of a process are cut; a command that waits for its reply gets an error."""

    word, form = "disconnect", "disconnect C2 at 3s"
    target: str
    at: float | None = None


@attrs.frozen
class AddConsumer(ProcessAction[str]):
    """One more consumer joins the group, like the first one. Returns its name: the next one that is free."""

    word, form = "add-consumer", "add-consumer [C4] at 3s"
    target: str | None = None
    at: float | None = None


@attrs.frozen
class SetRate(ProcessAction[None]):
    """Each producer adds `rate` entries per second, from its next entry but one on."""

    word, form = "set-rate", "set-rate 200 at 3s"
    rate: float
    at: float | None = None


@attrs.frozen
class SetService(ProcessAction[None]):
    """A consumer takes `mean` seconds for an entry from the next on; without a name, all of them."""

    word, form = "set-service", "set-service 10ms [for C2] at 3s"
    mean: float
    consumer: str | None = None
    at: float | None = None


@attrs.frozen
class SetRecovery(ProcessAction[None]):
    """Consumers recover in another way from now on: pairs of a field of `Recovery` and its value.

    ``set-recovery autoclaim min-idle 2s``: each looks now and then for what has been idle for two seconds.
    """

    word, form = "set-recovery", "set-recovery autoclaim [min-idle 2s] [interval 1s] at 3s"
    changes: tuple[tuple[str, Any], ...]
    at: float | None = None

    def applied_to(self, recovery: Recovery) -> Recovery:
        """Return a recovery with these changes; raise `ActionError` if they do not go together."""
        try:
            return dataclasses.replace(recovery, **dict(self.changes))
        except ValueError as error:
            raise ActionError(str(error)) from None


def _as_ids(ids: str | Iterable[str]) -> tuple[str, ...]:
    return (ids,) if isinstance(ids, str) else tuple(ids)


@attrs.frozen
class Claim(TimedAction[list[str]]):
    """Make a consumer the owner of pending entries (``XCLAIM … JUSTID``). Returns the ids it was given.

    All that XCLAIM by another client does is to change the owner: the new one is not told, and reads
    only new entries. So the lab nudges it, and it reads its own history (``XREADGROUP … 0``), which
    raises the delivery count. (JUSTID leaves it alone, or the entry would be counted twice.)

    Parameters
    ----------
    consumer
        Who gets them; None: the one among the living that holds least.
    min_idle
        Seconds that an entry must have been idle; None: as the recovery says.
    """

    word, form = "claim", "claim 1767225600000-0 [for C1] [min-idle 2s] at 3s"
    ids: tuple[str, ...] = field(converter=_as_ids)
    consumer: str | None = None
    min_idle: float | None = None
    at: float | None = None


@attrs.frozen
class Autoclaim(TimedAction[list[str]]):
    """Make a consumer the owner of all that has been idle for long (``XAUTOCLAIM … JUSTID``); see `Claim`."""

    word, form = "autoclaim", "autoclaim [for C1] [min-idle 2s] at 3s"
    consumer: str | None = None
    min_idle: float | None = None
    at: float | None = None


@attrs.frozen
class CrashBeforeEffect(CountedAction):
    """The process dies when the nth entry that it handles is all but done."""

    word, form = "crash-before-effect", "crash-before-effect C1 nth 5"
    at: float | None = None


@attrs.frozen
class CrashBeforeAck(CountedAction):
    """The process dies after the effect of the nth entry that it handles, before it is acknowledged."""

    word, form = "crash-before-ack", "crash-before-ack C1 nth 5"
    at: float | None = None


@attrs.frozen
class Fail(CountedAction):
    """The handler raises an error at the nth entry (and the next ones: `times` in all)."""

    word, form = "fail", "fail C1 nth 5 [times 3]"
    times: int = 1
    at: float | None = None


@attrs.frozen
class PauseInWork(CountedAction):
    """The process stands still for `duration` seconds in the middle of the nth entry that it handles: a sure zombie."""

    word, form = "pause-in-work", "pause-in-work C2 nth 5 for 2s"
    duration: float = 1.0
    at: float | None = None


@attrs.frozen
class LostReply(CountedAction):
    """The server executes the nth `command` of a process; the reply is lost with the connection."""

    word, form = "lost-reply", "lost-reply C1 XACK nth 3"
    target: str
    command: str = "XACK"
    nth: int = 1
    at: float | None = None


@attrs.frozen
class Poison(CountedAction):
    """The nth entry of a producer kills every process that touches it."""

    word, form = "poison", "poison P1 nth 17"
    at: float | None = None


@attrs.frozen
class ServerDown(ProcessAction[None]):
    """The server cannot be reached for a while; it keeps what it had."""

    word, form = "server-down", "server-down at 3s for 1s"
    at: float | None = None
    duration: float = 1.0


@attrs.frozen
class TrimWhilePending(TimedAction[None]):
    """All entries that have been delivered are trimmed from the stream, pending or not (XTRIM)."""

    word, form = "trim-while-pending", "trim-while-pending at 3s"
    at: float | None = None


@attrs.frozen
class GroupDestroyed(TimedAction[None]):
    """The group is destroyed, with its position and what is pending (XGROUP DESTROY)."""

    word, form = "group-destroyed", "group-destroyed at 3s"
    at: float | None = None


@attrs.frozen
class StreamDeleted(TimedAction[None]):
    """The stream is deleted, with its entries and its groups (DEL)."""

    word, form = "stream-deleted", "stream-deleted at 3s"
    at: float | None = None


#: What goes wrong.
FAULTS: Final[dict[str, type[Action[Any]]]] = {
    kind.word: kind
    for kind in (
        Kill, Restart, Pause, Slow, Disconnect, CrashBeforeEffect, CrashBeforeAck, Fail, PauseInWork,
        LostReply, Poison, ServerDown, TrimWhilePending, GroupDestroyed, StreamDeleted,
    )
}  # fmt: skip
#: All that can be done to a run.
ACTIONS: Final[dict[str, type[Action[Any]]]] = FAULTS | {
    kind.word: kind for kind in (Resume, AddConsumer, Claim, Autoclaim, SetRate, SetService, SetRecovery)
}


#: What only streamlab's own consumers and entries know of.
OURS_ALONE: Final = (Slow, Fail, Poison, SetService, SetRecovery)


def check_target(action: Action[Any], consumers: Iterable[str], producers: Iterable[str]) -> None:
    """Require that an action is aimed at somebody who is there; raise `ActionError`."""
    target = getattr(action, "consumer", None) or getattr(action, "target", None)
    if target is None or isinstance(action, AddConsumer):
        return
    if isinstance(action, Poison) or getattr(action, "command", "") == "XADD":
        known, role = [*producers], "producer "
    elif isinstance(action, Kill | Pause | Resume | Disconnect):
        known, role = [*consumers, *producers], ""
    else:
        known, role = [*consumers], "consumer "
    if target not in known:
        raise ActionError(f"{action.word}: there is no {role}{target!r}: there are {', '.join(known)}")
