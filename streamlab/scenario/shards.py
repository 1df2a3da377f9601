"""What a scenario says of keys and shards: which of it fits together, and how an entry of a shard is called.

The ids of different streams may be the same. So in a sharded run an entry's id has the number of its shard before it,
``"3/1767225600000-0"``, wherever the run tells of it: in events, tables and stories. Redis is asked by the plain id.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from streamlab.actors import Recovery
from streamlab.actors.shards import lease_key, members_keys, shard_keys
from streamlab.scenario import actions
from streamlab.scenario.action import Action, ActionError
from streamlab.scenario.actors import Producer
from streamlab.scenario.deeds import LetEnd
from streamlab.scenario.failing import Failover, Persistence, ServerDown
from streamlab.scenario.groups import Groups
from streamlab.scenario.values import Record

if TYPE_CHECKING:
    from streamlab.actors import Fields

#: The field that holds an entry's key.
KEY_FIELD: Final = "key"
#: How many keys there are where nobody says.
USUAL_KEYS: Final = 100
#: What can be done to a sharded run. All else is about a stream, or about entries of one.
_FIT: Final = (
    actions.Kill, actions.Restart, actions.Pause, actions.Resume, actions.Slow, actions.Disconnect,
    actions.AddConsumer, actions.SetRate, actions.SetService, actions.CrashBeforeEffect, actions.CrashBeforeAck,
    actions.Fail, actions.PauseInWork, actions.LostReply, actions.Poison, ServerDown, Failover, LetEnd,
)  # fmt: skip


class Sharded(Record):
    """The part of a `Scenario` that is about its keys and shards."""

    __slots__ = ()
    if TYPE_CHECKING:
        stream: str
        producers: tuple[Producer, ...]
        recovery: Recovery
        maxlen: int | None
        persistence: Persistence | None
        replicas: int
        replication_delay: float
        primaries: int
        shards: int | None
        keys: int | None

        @property
        def groups(self) -> Groups:
            """The consumer groups."""

        def rng(self, actor: str) -> random.Random:
            """Return the source of an actor's random numbers."""

    @property
    def streams(self) -> tuple[str, ...]:
        """The keys of all streams: of the one that there is, or of all shards."""
        return (self.stream,) if self.shards is None else shard_keys(self.stream, self.shards)

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """What stands before the ids of a stream's entries, ``"3/"`` for instance, and its key; of all streams."""
        return tuple((f"{i}/" if self.shards is not None else "", stream) for i, stream in enumerate(self.streams))

    def leases_at(self, stream: str) -> tuple[str, ...]:
        """Return the keys by which each group's consumers share the shards, as far as they lie beside this one."""
        if self.shards is None:
            return ()
        leases = tuple(lease_key(stream, group) for group in self.groups)
        if stream != self.streams[0]:
            return leases
        return (*leases, *(key for group in self.groups for key in members_keys(stream, group)))

    @property
    def n_keys(self) -> int:
        """How many keys there are; 0 if entries have none."""
        return self.keys or (0 if self.shards is None else USUAL_KEYS)

    def keys_of(self, producer: str) -> Iterator[str]:
        """Yield the keys of what a producer adds: of its first entry, of its second …"""
        return drawn_keys(self.rng(f"{producer}: keys"), self.n_keys)

    def _check_shards(self) -> None:
        """Require that all else goes with keys and shards; raise `InvalidValue`."""
        recovery = self.recovery
        replays = any(producer.arrivals.kind == "replay" for producer in self.producers)
        if self.n_keys and replays:
            raise self.invalid("keys", f"are {self.n_keys}, and entries that are replayed have fields of their own")
        if self.shards is None:
            if self.primaries:
                problem = f"are {self.primaries}, and a stream lies on one server: give it shards"
                raise self.invalid("primaries", problem)
            return
        if recovery.strategy not in ("claim", "autoclaim"):
            problem = (
                f"is {recovery.strategy!r}: of a shard, the next owner takes over what is pending: take 'autoclaim'"
            )
            raise self.invalid("recovery", problem, "strategy")
        if recovery.max_deliveries == 1:
            problem = "is 1: of several shards, an entry may wait for its turn when its consumer dies: give at least 2"
            raise self.invalid("recovery", problem, "max_deliveries")
        if recovery.dead_letter:
            problem = f"is {recovery.dead_letter!r}: each shard has a dead-letter stream of its own, so leave it out"
            raise self.invalid("recovery", problem, "dead_letter")
        if recovery.remove_after is not None:
            raise self.invalid("recovery", "is for one stream: leave it out of a sharded scenario", "remove_after")
        if self.maxlen is not None:
            raise self.invalid("maxlen", f"is {self.maxlen}: it is for one stream, so leave it out with shards")
        if self.persistence is not None:
            raise self.invalid("persistence", "says what one stream loses: leave it out of a sharded scenario")
        if self.replicas and not self.primaries:
            problem = "are of a server with one stream: give a sharded scenario primaries, or leave them out"
            raise self.invalid("replicas", problem)
        if self.replication_delay:
            problem = "is not for a cluster, whose replicas copy as fast as they can: leave it out"
            raise self.invalid("replication_delay", problem)


def check_fits(action: Action[Any], n_shards: int | None) -> None:
    """Require that an action can be done to a run with so many shards; raise `ActionError`."""
    if n_shards is not None and not isinstance(action, _FIT):
        raise ActionError(f"{action.word} is about one stream, and there are {n_shards} shards: leave it out")


def place_of(entry_id: str) -> tuple[str, str]:
    """Return what stands before the id that Redis knows an entry by, as in `Scenario.places`, and that id."""
    end = entry_id.find("/") + 1
    return entry_id[:end], entry_id[end:]


def drawn_keys(rng: random.Random, n_keys: int) -> Iterator[str]:
    """Yield the keys of a producer's entries, one after the other, for ever."""
    return (f"k{rng.randrange(n_keys)}" for _ in itertools.count())


def keyed(entries: Iterable[tuple[float, Fields]], keys: Iterator[str]) -> Iterator[tuple[float, Fields]]:
    """Yield the entries, each with its key."""
    return ((at, {**fields, KEY_FIELD: key}) for (at, fields), key in zip(entries, keys, strict=False))
