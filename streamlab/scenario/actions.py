"""The kinds of `Action`: what goes wrong in a run, and what is done to it. One list serves both engines.

An action's text (``str(action)``) is what `parse_action` reads: in files, on the command line, from the control panel,
which has the buttons that are declared here. Its fields are the parameters of the method of `Lab` that has its name.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, Final

import attrs
from attrs import field

from streamlab.actors.recovery import Recovery
from streamlab.scenario.action import LOSABLE, Action, ActionError, Button, CountedAction, ProcessAction, TimedAction
from streamlab.scenario.deeds import Ack, Add, LetEnd, PutBack, RemoveConsumer, Trim, as_ids
from streamlab.scenario.failing import Failover, NetworkCut, PowerLoss, ServerDown


@attrs.frozen(eq=False, repr=False)
class Kill(ProcessAction[None]):
    """The process dies where it stands (SIGKILL). What it held stays pending for it."""

    word, form = "kill", "kill C2 at 3s"
    button = Button("Kill", "actor", at_hand=True, needs="alive")
    sentence = "{target} is killed (SIGKILL)"
    target: str
    at: float | None = None


@attrs.frozen(eq=False, repr=False)
class Restart(ProcessAction[None]):
    """The process is asked to stop (SIGTERM), finishes what it holds, and is started again; at once, if it is dead.

    A consumer begins with its own history: what was delivered to it and never acknowledged. A producer goes on with
    what it has not added yet.
    """

    word, form = "restart", "restart C2 at 3s"
    button = Button("Restart", "actor", at_hand=True)
    sentence = "{target} is asked to stop (SIGTERM), and then started again"
    target: str
    at: float | None = None


@attrs.frozen(eq=False, repr=False)
class Pause(ProcessAction[None]):
    """The process stands still (SIGSTOP) and goes on later (SIGCONT) as if nothing had happened: a zombie.

    `duration` is in seconds; infinity is until somebody lets it go on.
    """

    word, form, may_last_for_ever = "pause", "pause C2 at 3s [for 2s]", True
    button = Button("Pause", "actor", at_hand=True, needs="alive")
    sentence = "{target} stands still for {duration:.3g} s"
    target: str
    at: float | None = None
    duration: float = math.inf


@attrs.frozen(eq=False, repr=False)
class Resume(ProcessAction[None]):
    """A paused process goes on (SIGCONT), as if nothing had happened."""

    word, form = "resume", "resume C2 at 3s"
    button = Button("Resume", "actor", at_hand=True, needs="paused", undoes="pause")
    target: str
    at: float | None = None


@attrs.frozen(eq=False, repr=False)
class Slow(ProcessAction[None]):
    """The consumer takes `factor` times as long for each entry, for `duration` seconds."""

    word, form = "slow", "slow C2 at 3s [for 2s] [factor 10]"
    button = Button("Slow down", "consumer")
    sentence = "{target} becomes {factor:g} times slower, for {duration:.3g} s"
    target: str
    at: float | None = None
    duration: float = 1.0
    factor: float = 10.0


@attrs.frozen(eq=False, repr=False)
class Disconnect(ProcessAction[None]):
    """The connections of a process are cut; a command that waits for its reply gets an error."""

    word, form = "disconnect", "disconnect C2 at 3s"
    button = Button("Cut connections", "actor", needs="alive")
    sentence = "the connection of {target} is cut"
    target: str
    at: float | None = None


@attrs.frozen(eq=False, repr=False)
class AddConsumer(ProcessAction[str]):
    """One more consumer joins a group, like the first one of it.

    Returns its name: the next one that is free. `group` is which; None: that of the scenario's first consumer.
    """

    word, form = "add-consumer", "add-consumer [C4] at 3s [in workers]"
    button = Button("Add consumer", "group", at_hand=True)
    target: str | None = None
    at: float | None = None
    group: str | None = None


@attrs.frozen(eq=False, repr=False)
class SetRate(ProcessAction[None]):
    """Each producer adds `rate` entries per second, from its next entry but one on."""

    word, form = "set-rate", "set-rate 200 at 3s"
    button = Button("arrival rate", "producers", at_hand=True)
    rate: float
    at: float | None = None


@attrs.frozen(eq=False, repr=False)
class SetService(ProcessAction[None]):
    """A consumer takes `mean` seconds for an entry from the next on; without a name, all of them."""

    word, form = "set-service", "set-service 10ms [for C2] at 3s"
    button = Button("service time", "consumers", at_hand=True)
    mean: float
    consumer: str | None = None
    at: float | None = None


@attrs.frozen(eq=False, repr=False)
class SetRecovery(ProcessAction[None]):
    """Consumers recover in another way from now on.

    `changes` are pairs of a field of `Recovery` and its value. ``set-recovery autoclaim min-idle 2s``: each looks now
    and then for what has been idle for two seconds.
    """

    word, form = "set-recovery", "set-recovery autoclaim [min-idle 2s] [interval 1s] at 3s"
    button = Button("recover automatically", "recovery", at_hand=True)
    changes: tuple[tuple[str, Any], ...]
    at: float | None = None

    def applied_to(self, recovery: Recovery) -> Recovery:
        """Return a recovery with these changes; raise `ActionError` if they do not go together."""
        try:
            return dataclasses.replace(recovery, **dict(self.changes))
        except ValueError as error:
            raise ActionError(str(error)) from None


@attrs.frozen(eq=False, repr=False)
class Claim(TimedAction[list[str]]):
    """Make a consumer the owner of pending entries (``XCLAIM … JUSTID``).

    Returns the ids it was given. All that XCLAIM by another client does is to change the owner: the new one is not
    told, and reads only new entries. So the lab nudges it, and it reads its own history (``XREADGROUP … 0``), which
    raises the delivery count. (JUSTID leaves it alone, or the entry would be counted twice.)

    Parameters
    ----------
    consumer
        Who gets them; None: the one among the living that holds least.
    min_idle
        Seconds that an entry must have been idle; None: as the recovery says.
    group
        Where they are pending; None: in the consumer's group, or the only one.
    """

    word, form = "claim", "claim 1767225600000-0 [for C1] [min-idle 2s] at 3s [in workers]"
    button = Button("XCLAIM", "pending entries", at_hand=True)
    ids: tuple[str, ...] = field(converter=as_ids)
    consumer: str | None = None
    min_idle: float | None = None
    at: float | None = None
    group: str | None = None


@attrs.frozen(eq=False, repr=False)
class Autoclaim(TimedAction[list[str]]):
    """Make a consumer the owner of all that has been idle for long (``XAUTOCLAIM … JUSTID``).

    Returns the ids it was given, as `Claim` does.
    """

    word, form = "autoclaim", "autoclaim [for C1] [min-idle 2s] at 3s [in workers]"
    button = Button("XAUTOCLAIM", "pending entries", at_hand=True)
    consumer: str | None = None
    min_idle: float | None = None
    at: float | None = None
    group: str | None = None


@attrs.frozen(eq=False, repr=False)
class CrashBeforeEffect(CountedAction):
    """The process dies when the nth entry that it handles is all but done."""

    word, form = "crash-before-effect", "crash-before-effect C1 nth 5"
    button = Button("Crash before the effect", "consumer")
    sentence = "{target} dies at the {nth} entry it handles, before the effect"
    at: float | None = None


@attrs.frozen(eq=False, repr=False)
class CrashBeforeAck(CountedAction):
    """The process dies after the effect of the nth entry that it handles, before it is acknowledged."""

    word, form = "crash-before-ack", "crash-before-ack C1 nth 5"
    button = Button("Crash before XACK", "consumer")
    sentence = "{target} dies at the {nth} entry it handles, after the effect and before XACK"
    at: float | None = None


@attrs.frozen(eq=False, repr=False)
class Fail(CountedAction):
    """The handler raises an error at the nth entry (and the next ones: `times` in all)."""

    word, form = "fail", "fail C1 nth 5 [times 3]"
    button = Button("Fail in the handler", "consumer")
    sentence = "the handler of {target} raises an error at the {nth} entry"
    times: int = 1
    at: float | None = None

    def in_words(self) -> str:
        return super().in_words() + (f", and at the {self.times - 1} after it" if self.times > 1 else "")


@attrs.frozen(eq=False, repr=False)
class PauseInWork(CountedAction):
    """The process stands still for `duration` seconds in the middle of the nth entry that it handles: a sure zombie."""

    word, form = "pause-in-work", "pause-in-work C2 nth 5 for 2s"
    button = Button("Pause in work", "consumer")
    sentence = "{target} stands still for {duration:.3g} s in the middle of the {nth} entry it handles"
    duration: float = 1.0
    at: float | None = None


@attrs.frozen(eq=False, repr=False)
class LostReply(CountedAction):
    """The server executes the nth `command` of a process; the reply is lost with the connection."""

    word, form = "lost-reply", "lost-reply C1 XACK nth 3"
    button = Button("Lose a reply", "actor")
    sentence = "the reply to the {nth} {command} of {target} is lost with the connection"
    target: str
    command: str = "XACK"
    nth: int = 1
    at: float | None = None


@attrs.frozen(eq=False, repr=False)
class Poison(CountedAction):
    """The nth entry of a producer kills every process that touches it."""

    word, form = "poison", "poison P1 nth 17"
    button = Button("Add a poison entry", "producer")
    sentence = "the {nth} entry of {target} kills whatever touches it"
    at: float | None = None


@attrs.frozen(eq=False, repr=False)
class TrimWhilePending(TimedAction[None]):
    """All entries that have been delivered, to whichever group, are trimmed from the stream, pending or not (XTRIM)."""

    word, form = "trim-while-pending", "trim-while-pending at 3s"
    button = Button("Trim what is delivered", "stream")
    sentence = "all that has been delivered is trimmed from the stream (XTRIM)"
    at: float | None = None


@attrs.frozen(eq=False, repr=False)
class GroupDestroyed(TimedAction[None]):
    """The group is destroyed, with its position and what is pending (XGROUP DESTROY)."""

    word, form = "group-destroyed", "group-destroyed at 3s [in workers]"
    button = Button("Destroy the group", "group")
    sentence = "the group is destroyed (XGROUP DESTROY)"
    at: float | None = None
    group: str | None = None


@attrs.frozen(eq=False, repr=False)
class StreamDeleted(TimedAction[None]):
    """The stream is deleted, with its entries and its groups (DEL)."""

    word, form = "stream-deleted", "stream-deleted at 3s"
    button = Button("Delete the stream", "stream")
    sentence = "the stream is deleted (DEL)"
    at: float | None = None


#: What goes wrong.
FAULTS: Final[dict[str, type[Action[Any]]]] = {
    kind.word: kind
    for kind in (
        Kill, Pause, Restart, Slow, Disconnect, CrashBeforeEffect, CrashBeforeAck, Fail, PauseInWork,
        LostReply, Poison, ServerDown, PowerLoss, Failover, NetworkCut, TrimWhilePending, GroupDestroyed, StreamDeleted,
    )
}  # fmt: skip
#: All that can be done to a run.
ACTIONS: Final[dict[str, type[Action[Any]]]] = FAULTS | {
    kind.word: kind
    for kind in (
        Resume, AddConsumer, RemoveConsumer, Claim, Autoclaim, Ack, PutBack, Add, Trim, LetEnd,
        SetRate, SetService, SetRecovery,
    )
}  # fmt: skip


#: What only streamlab's own consumers and entries know of.
OURS_ALONE: Final = (Slow, Fail, Poison, SetService, SetRecovery)


def check_target(action: Action[Any], consumers: Iterable[str], producers: Iterable[str]) -> None:
    """Require that an action is aimed at somebody who is there; raise `ActionError`."""
    target = getattr(action, "consumer", None) or getattr(action, "target", None)
    if target is None or isinstance(action, AddConsumer):
        return
    aim = LOSABLE[action.command] if isinstance(action, LostReply) else action.button.aim
    if aim == "producer":
        known, role = [*producers], "producer "
    elif aim == "actor":
        known, role = [*consumers, *producers], ""
    else:
        known, role = [*consumers], "consumer "
    if target not in known:
        raise ActionError(f"{action.word}: there is no {role}{target!r}: there are {', '.join(known)}")
