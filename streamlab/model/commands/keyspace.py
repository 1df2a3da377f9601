"""The keys, and the readers that are blocked on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamlab.model import Behaviour, Group, StreamModel

from .arguments import WRONG_TYPE, CommandError, shown
from .sorted_set import SortedSet

#: What a key may hold.
Value = StreamModel | str | dict[str, str] | SortedSet


def no_group(key: str, name: str, purpose: str = "") -> CommandError:
    return CommandError(f"NOGROUP No such key '{shown(key)}' or consumer group '{shown(name)}'{purpose}")


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """The arguments of XREAD, or of XREADGROUP (which has a group)."""

    keys: tuple[str, ...]
    places: tuple[tuple[str, str], ...]  # the keys, and the ids behind which to read
    group: str | None = None
    consumer: str = ""
    count: int | None = None
    block_ms: int | None = None
    noack: bool = False
    claim_ms: int | None = None
    is_simple: bool = False  # new entries of one key, for a group, without CLAIM


class Waiter:
    """A blocked XREAD or XREADGROUP.

    `on_ready` is called once, with the reply or the error, by the command that ends the wait.
    Time-outs (`timeout_ms`; 0: none) are the business of whoever holds the waiter: call
    `StreamCommands.cancel`. So is `retry_at_ms`, a time of day that only XREADGROUP CLAIM has:
    then an entry may have become old enough to be claimed, so call `StreamCommands.retry`.
    """

    __slots__ = ()
    request: ReadRequest
    retry_at_ms: int | None
    is_plain: bool = False  # whether it takes a new entry as `FastPath.xadd` hands it over
    on_ready: Callable[[Any], None]

    @property
    def keys(self) -> tuple[str, ...]:
        return self.request.keys

    @property
    def timeout_ms(self) -> int:
        return self.request.block_ms or 0


def _nobody(_: object) -> None:
    """Take a reply that nobody waits for."""


class BlockedCommand(Waiter):
    """A command that blocks; who executed it says where the reply goes."""

    __slots__ = ("on_ready", "request", "retry_at_ms")

    def __init__(self, request: ReadRequest) -> None:
        self.request = request
        self.retry_at_ms = None
        self.on_ready = _nobody


class Keyspace:
    """Streams by key; and strings, hashes and sorted sets: to meet WRONGTYPE, to count effects, and to know members."""

    def __init__(self, *, version: tuple[int, int, int] = (7, 0, 15)) -> None:
        self.version = version
        self.behaviour = Behaviour.of(version)
        self.keys: dict[str, Value] = {}
        # Per key and group (None: XREAD), in the order of arrival. That of different groups does not
        # matter: they take nothing away from each other.
        self.queues: defaultdict[str, defaultdict[str | None, dict[Waiter, None]]]
        self.queues = defaultdict(lambda: defaultdict(dict))
        self._ready: list[str] = []  # keys whose readers may have something to read now

    def stream(self, key: str) -> StreamModel | None:
        """Return the stream at a key, None if there is no such key."""
        value = self.keys.get(key)
        if value is None or isinstance(value, StreamModel):
            return value
        raise CommandError(WRONG_TYPE)

    def stream_or_new(self, key: str) -> StreamModel:
        """Return the stream at a key, created if need be."""
        stream = self.stream(key)
        if stream is None:
            stream = self.keys[key] = StreamModel(self.behaviour)
            self.signal(key)
        return stream

    def sorted_set(self, key: str) -> SortedSet:
        """Return the sorted set at a key, or a new one: `put` it there once it has been changed."""
        value = self.keys.get(key)
        if value is None:
            return SortedSet()
        if isinstance(value, SortedSet):
            return value
        raise CommandError(WRONG_TYPE)

    def put(self, key: str, value: SortedSet) -> None:
        """Store a sorted set; an empty one is not kept."""
        if value:
            self.keys[key] = value
        else:
            self.delete(key)

    def group(self, key: str, name: str) -> tuple[StreamModel, Group]:
        """Return a stream and one of its groups."""
        stream = self.stream(key)
        if stream is None or name not in stream.groups:
            raise no_group(key, name)
        return stream, stream.groups[name]

    def delete(self, key: str) -> bool:
        """Remove a key; readers blocked on it will hear of it."""
        value = self.keys.pop(key, None)
        if isinstance(value, StreamModel):
            self.signal(key)
        return value is not None

    # --- blocked readers ----------------------------------------------------------------------

    @property
    def has_ready(self) -> bool:
        """Whether readers may have something to read that have not been served yet."""
        return bool(self._ready)

    def block(self, waiter: Waiter) -> None:
        """Put a reader at the end of the queue of its group at each of its keys."""
        for key in waiter.keys:
            self.queues[key][waiter.request.group][waiter] = None

    def cancel(self, waiter: Waiter) -> None:
        """Forget a blocked reader: its time is out, or its client is gone."""
        for key in waiter.keys:
            self.queues[key][waiter.request.group].pop(waiter, None)

    def is_blocked(self, waiter: Waiter) -> bool:
        """Tell whether a reader still waits."""
        return waiter in self.queues[waiter.keys[0]][waiter.request.group]

    def signal(self, key: str) -> None:
        """Note that the readers blocked on a key must be looked at when the command is over."""
        if key in self.queues and key not in self._ready:
            self._ready.append(key)

    def signal_all(self) -> None:
        """Note the same of all keys that readers are blocked on."""
        for key in self.queues:
            self.signal(key)
