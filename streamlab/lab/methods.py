"""Methods of a lab that are declared by actions."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from streamlab.scenario import ScenarioError, actions, deeds, failing
from streamlab.scenario.action import Action, ActionError

P = ParamSpec("P")
R = TypeVar("R")


def doing(kind: Callable[P, Action[R]]) -> Callable[Concatenate[Any, P], R]:
    """Return the method of a lab that does an action of this kind."""

    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            action = kind(*args, **kwargs)
        except ActionError as error:
            raise ScenarioError(str(error)) from None
        done: R = self.do(action)
        return done

    method.__doc__ = kind.__doc__
    method.__name__ = getattr(kind, "word", "").replace("-", "_")
    method.__qualname__ = f"Lab.{method.__name__}"
    method.__signature__ = inspect.signature(kind)  # type: ignore[attr-defined]
    return method


class ByHand(ABC):
    """What is done to a lab by hand: a method for each kind of action."""

    @abstractmethod
    def do(self, action: Action[R] | str) -> R:
        """Do an action by hand: now, or when it is time; return what comes of it."""

    kill = doing(actions.Kill)
    pause = doing(actions.Pause)
    resume = doing(actions.Resume)
    restart = doing(actions.Restart)
    slow = doing(actions.Slow)
    disconnect = doing(actions.Disconnect)
    add_consumer = doing(actions.AddConsumer)
    remove_consumer = doing(deeds.RemoveConsumer)
    claim = doing(actions.Claim)
    autoclaim = doing(actions.Autoclaim)
    ack = doing(deeds.Ack)
    put_back = doing(deeds.PutBack)
    add = doing(deeds.Add)
    trim = doing(deeds.Trim)
    let_end = doing(deeds.LetEnd)
    set_rate = doing(actions.SetRate)
    set_service = doing(actions.SetService)
    crash_before_effect = doing(actions.CrashBeforeEffect)
    crash_before_ack = doing(actions.CrashBeforeAck)
    fail = doing(actions.Fail)
    pause_in_work = doing(actions.PauseInWork)
    lost_reply = doing(actions.LostReply)
    poison = doing(actions.Poison)
    server_down = doing(failing.ServerDown)
    power_loss = doing(failing.PowerLoss)
    failover = doing(failing.Failover)
    network_cut = doing(failing.NetworkCut)
    trim_while_pending = doing(actions.TrimWhilePending)
    group_destroyed = doing(actions.GroupDestroyed)
    stream_deleted = doing(actions.StreamDeleted)

    def set_recovery(self, strategy: str | None = None, **changes: object) -> None:
        """Let consumers recover in another way from now on: a strategy, or other fields of `Recovery`.

        ``set_recovery("autoclaim", min_idle=2.0)``: each looks every second for what has been idle for two.
        ``set_recovery("none")``: nobody does.
        """
        if strategy is not None:
            changes = {"strategy": strategy, **changes}
        try:
            self.do(actions.SetRecovery(tuple(changes.items())))
        except ActionError as error:
            raise ScenarioError(str(error)) from None
