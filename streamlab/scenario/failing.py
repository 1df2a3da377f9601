"""What a scenario says of a server that fails: what it keeps, who copies it; and what is done to it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final, Literal

import attrs

from streamlab.scenario.action import Action, ActionError, Button, ProcessAction

#: What a server writes to its disk, as redis.conf has it: ``save``, ``appendonly`` and ``appendfsync``.
Persistence = Literal["none", "rdb", "aof-everysec", "aof-always"]
#: Seconds between two snapshots, and between two syncs of an append-only file to the disk.
SNAPSHOT_EVERY: Final = 2.0
SYNC_EVERY: Final = 1.0


@attrs.frozen(eq=False, repr=False)
class ServerDown(ProcessAction[None]):
    """The server's process is killed, and started again `duration` seconds later with what it has on its disk.

    That is all it had, unless the scenario's `persistence` says otherwise: without any it comes back empty, and with
    snapshots as it was at the last one. An append-only file has all that was answered: the operating system has it.
    """

    word, form = "server-down", "server-down at 3s for 1s"
    button = Button("Take the server down", "server")
    sentence = "the server goes down, for {duration:.3g} s"
    at: float | None = None
    duration: float = 1.0


@attrs.frozen(eq=False, repr=False)
class PowerLoss(ProcessAction[None]):
    """The server's machine goes down, for `duration` seconds: what was not synced to its disk is lost as well.

    So an append-only file that is synced every second (the scenario's `persistence`) lacks what was written since. On
    a real server, which cannot have its power cut off, the file is cut down to what was in it at the last full second.
    """

    word, form = "power-loss", "power-loss at 3s for 1s"
    button = Button("Cut the server's power", "server")
    sentence = "the power of the server's machine is cut, for {duration:.3g} s"
    at: float | None = None
    duration: float = 1.0


@attrs.frozen(eq=False, repr=False)
class Failover(ProcessAction[None]):
    """The primary dies for good, and its Sentinels promote a replica, with what that has got.

    It lacks what the primary was told in the last seconds: the scenario's `replication_delay`. `duration` is for how
    many seconds nobody takes writes in a simulation; real Sentinels take the time they need, about two seconds.
    """

    word, form = "failover", "failover at 3s for 2s"
    button = Button("Kill the primary", "server")
    sentence = "the primary dies, and a replica is promoted"
    at: float | None = None
    duration: float = 2.0


@attrs.frozen(eq=False, repr=False)
class NetworkCut(ProcessAction[None]):
    """The network between the primary and its replicas is cut for `duration` seconds; then they catch up.

    Clients notice nothing, unless the primary dies meanwhile: what it was told since the cut is lost then.
    """

    word, form = "network-cut", "network-cut at 3s for 1s"
    button = Button("Cut off the replicas", "server")
    sentence = "the replicas are cut off from the primary, for {duration:.3g} s"
    at: float | None = None
    duration: float = 1.0


def last_kept(persistence: Persistence | None, at: float, *, by_power_loss: bool) -> float:
    """Return up to when a server still has what it was told, if it dies at a time of the run: both in seconds."""
    if persistence == "none":
        return -math.inf
    if persistence == "rdb":
        return math.floor(at / SNAPSHOT_EVERY) * SNAPSHOT_EVERY if at >= SNAPSHOT_EVERY else -math.inf
    if persistence == "aof-everysec" and by_power_loss:
        return math.floor(at / SYNC_EVERY) * SYNC_EVERY
    return at


def check_servers(action: Action[Any], persistence: Persistence | None, replicas: int, primaries: int) -> None:
    """Require that a server can fail in this way; raise `ActionError`."""
    if isinstance(action, Failover | NetworkCut) and not replicas:
        raise ActionError(f"{action.word}: there is no replica: give the scenario replicas = 1")
    if isinstance(action, ServerDown | PowerLoss) and replicas:
        raise ActionError(f"{action.word}: a replica takes the place of a primary that is gone: write failover at 3s")
    if isinstance(action, ServerDown | NetworkCut) and primaries:
        raise ActionError(f"{action.word} is about one server, and there are {primaries}: leave it out")
    if isinstance(action, PowerLoss) and persistence is None:
        raise ActionError(f"{action.word}: what is on the disk? Give the scenario a persistence: rdb, aof-everysec …")


def fits_servers(action: Action[Any], persistence: Persistence | None, replicas: int, primaries: int) -> bool:
    """Return whether a server can fail in this way."""
    try:
        check_servers(action, persistence, replicas, primaries)
    except ActionError:
        return False
    return True


def kills_servers(actions: Iterable[Action[Any]]) -> bool:
    """Return whether any of these has a server start again with what it has kept."""
    return any(isinstance(action, ServerDown | PowerLoss) for action in actions)
