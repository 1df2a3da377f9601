"""The databases of a fakeredis server, with streams that are the model's.

A stream is one more value in fakeredis' database, so that whatever works on keys works on streams.
"""

from __future__ import annotations

import copy
import select
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from functools import partial
from typing import Any, Self

from fakeredis._core import Database, FakeServer, Item
from fakeredis.model import BaseModel, ZSet

from streamlab.model import StreamModel
from streamlab.model.commands import BlockedCommand, Reply, SortedSet, StreamCommands, Value
from streamlab.servers.embedded.replies import decoded, encoded

from .pops import Pops

Version = tuple[int, int, int]
_HUNG_UP = getattr(select, "POLLRDHUP", 0)  # POLLHUP and POLLERR are told in any case


class StreamValue(BaseModel):
    """A stream as a value of a fakeredis database. Unlike a list, it stays when it is empty."""

    _model_type = b"stream"
    __slots__ = ("model",)

    def __init__(self, model: StreamModel) -> None:
        self.model = model

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        behaviour = self.model.behaviour  # one object a version, compared by identity
        return type(self)(copy.deepcopy(self.model, {**memo, id(behaviour): behaviour}))


class _SortedSet(SortedSet):
    """A sorted set of fakeredis' as the grammar sees it."""

    def __init__(self, value: ZSet) -> None:
        self._value = value

    def __len__(self) -> int:
        return len(self._value)

    @property
    def first(self) -> tuple[float, bytes] | None:
        return next(iter(self._value._byscore), None)

    def n_before(self, member: bytes) -> int:
        return int(self._value._byscore.bisect_left((self._value.get(member, 0), member)))

    def add(self, member: bytes, score: float) -> None:
        self._value.add(member, score)

    def discard(self, member: bytes) -> None:
        self._value.discard(member)


def as_sorted_set(value: SortedSet) -> ZSet:
    """Return a sorted set of the model's as fakeredis has it."""
    made = ZSet()
    for score, member in value:
        made.add(member, score)
    return made


class _Keys(MutableMapping[str, Value]):
    """A fakeredis database as the grammar sees it: streams, sorted sets, and a text for any other value."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __getitem__(self, key: str) -> Value:
        value = self._database[key.encode("utf-8", "surrogateescape")].value
        if type(value) is StreamValue:
            return value.model
        return _SortedSet(value) if isinstance(value, ZSet) else ""

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def __setitem__(self, key: str, value: Value) -> None:
        if isinstance(value, _SortedSet):  # it is there, and has been changed
            self._database.notify_watch(encoded(key))
        elif isinstance(value, SortedSet):
            self._database[encoded(key)] = Item(as_sorted_set(value))
        elif isinstance(value, StreamModel):
            self._database[encoded(key)] = Item(StreamValue(value))
        else:
            raise TypeError("fakeredis keeps the values of all other types itself")

    def __delitem__(self, key: str) -> None:
        del self._database[encoded(key)]

    def __iter__(self) -> Iterator[str]:
        return map(decoded, self._database)

    def __len__(self) -> int:
        return len(self._database)


class StreamDatabase(Database):
    """A database whose streams are the model's, and which tells their readers of whatever befalls the keys."""

    def __init__(self, server: StreamServer) -> None:
        self._clock = server.seconds
        self._on_expiry = server.expiry_set
        super().__init__(server.lock)
        self.streams = StreamCommands(version=server.stream_version)
        self.streams.keys = _Keys(self)  # type: ignore[assignment]
        self.pops = Pops()
        self._touched: dict[bytes, object] = {}

    @property
    def time(self) -> float:
        """The time of the command that is executed, in seconds since 1970."""
        return self._time

    @time.setter
    def time(self, _: float) -> None:
        # Whatever fakeredis has read from the machine's clock: the server's may be another.
        self._time = self._clock()

    def schedule_expiry(self, key: bytes, expireat: float | None) -> None:
        if expireat is not None:
            # To the millisecond, as Redis: sums of seconds in binary are now below, now above.
            expireat = self._dict[key].expireat = round(expireat, 3)
            if expireat <= self.time:  # it is over at once, as after EXPIRE with 0
                del self[key]
                return
            super().schedule_expiry(key, expireat)
            self._on_expiry(self, decoded(key), expireat)

    def notify_watch(self, key: bytes) -> None:
        super().notify_watch(key)
        self.pops.has_changed = True
        self._touched.setdefault(key, self._value(key))

    def settle(self) -> None:
        """Signal the keys that hold another value than before the command: EXPIRE and PERSIST wake nobody."""
        for key, value in self._touched.items():
            if self._value(key) is not value:
                self.streams.signal(decoded(key))
        self._touched.clear()

    def _value(self, key: bytes) -> object:
        return getattr(self._dict.get(key), "value", None)

    def swap(self, other: Database) -> None:
        assert isinstance(other, StreamDatabase)
        before = [self.states(self._watches), other.states(other._watches)]
        super().swap(other)
        for database, states in zip((self, other), before, strict=True):
            database.notify_changed(states)
            database.pops.has_changed = True
            database.streams.signal_all()

    def __getitem__(self, key: bytes) -> Any:
        item = self._dict[key]
        if item.expireat is not None and self.expired(item):
            self.streams.signal(decoded(key))
            return super().__getitem__(key)  # which removes it, and raises KeyError
        return item

    def __setitem__(self, key: bytes, value: Any) -> None:
        super().__setitem__(key, value)
        self.streams.signal(decoded(key))

    def __delitem__(self, key: bytes) -> None:
        super().__delitem__(key)
        self.streams.signal(decoded(key))

    def _remove_expired(self) -> None:
        if self._expiry_heap and self._expiry_heap[0][0] < self.time:
            awaited = [key for key in self.streams.queues if encoded(key) in self._dict]
            super()._remove_expired()
            for key in awaited:
                if encoded(key) not in self._dict:
                    self.streams.signal(key)

    def execute(self, words: list[str], now_ms: int, may_block: bool) -> Reply | BlockedCommand:
        """Execute a command on streams, as `StreamCommands.execute` does, and tell those who watch what it changes."""
        # XSETID changes nothing that WATCH minds.
        is_minded = self._watches and words[0].upper() != "XSETID"
        watched = self.states(self._watches) if is_minded else None
        try:
            return self.streams.execute(words, now_ms, may_block=may_block)
        finally:
            if watched is not None:
                self.notify_changed(watched)

    def states(self, keys: Iterable[bytes]) -> dict[bytes, object]:
        """Return what WATCH goes by, of some keys: it minds a stream's entries, not its groups."""
        return {key: self._state(key) for key in [*keys]}

    def _state(self, key: bytes) -> object:
        value = self._value(key)
        if type(value) is not StreamValue:
            return id(value)
        model = value.model
        return id(model), len(model), model.entries_added

    def notify_changed(self, before: dict[bytes, object]) -> None:
        """Tell those who watch keys that have changed."""
        for key, state in before.items():
            if self._state(key) != state:
                super().notify_watch(key)


class StreamServer(FakeServer):
    """What the connections of an embedded server share.

    ``now_ms`` gives the time for ids, idle times and delivery times: in ms since 1970.
    """

    dbs: dict[int, StreamDatabase]  # type: ignore[assignment]

    def __init__(self, version: Version, now_ms: Callable[[], int] | None) -> None:
        super().__init__(version=version)
        self.stream_version = version
        self.now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self.has_own_clock = now_ms is not None
        self.dbs = _Databases(partial(StreamDatabase, self))
        self.started = self.seconds()
        self.has_rules = False
        """Whether there may be other users than the default one, who may do everything (``ACL``)."""
        self.is_all_text = True
        """Whether all that commands on streams have ever been given is text in UTF-8."""
        self._parted: deque[Any] = deque()
        self._watched: dict[int, Any] = {}
        self._hang_ups = select.poll() if hasattr(select, "poll") else None

    def words(self, fields: list[bytes]) -> list[str]:
        """Return the fields of a command as the grammar's text."""
        try:
            return [*map(bytes.decode, fields)]
        except UnicodeDecodeError:
            self.is_all_text = False
            return [*map(decoded, fields)]

    # ---- clients that go -----------------------------------------------------------------------

    def part(self, socket: Any) -> None:
        """Forget a connection, whose client has gone, before the next command is executed.

        It never waits for the lock: the garbage collector may close a connection in the midst of anything.
        """
        self._parted.append(socket)
        if self.lock.acquire(blocking=False):
            try:
                self.forget_the_parted()
            finally:
                self.lock.release()

    def forget_the_parted(self) -> None:
        """Forget the connections whose clients have gone; with the lock held."""
        # In this order: one that is watched no more has parted before.
        if self._watched:
            assert self._hang_ups is not None
            for number, _ in self._hang_ups.poll(0):
                socket = self._watched.get(number)
                if socket is not None:
                    socket.forget()
        while self._parted:
            self._parted.popleft().forget()

    def watch(self, number: int, socket: Any) -> None:
        """Look before each command whether the process behind a real socket is still there.

        The loop that serves it would notice, but maybe after an entry has been added and given away.
        """
        assert self._hang_ups is not None
        self._watched[number] = socket
        self._hang_ups.register(number, _HUNG_UP)

    def unwatch(self, number: int) -> None:
        """Look no more."""
        if self._watched.pop(number, None) is not None:
            assert self._hang_ups is not None
            self._hang_ups.unregister(number)

    def look_at_keys(self) -> None:
        """Remove the keys that have expired, and serve the readers whom that concerns; with the lock held."""
        self.forget_the_parted()
        for database in [*self.dbs.values()]:
            database.time = self.seconds()
            with database.streams.transaction(self.now_ms()):
                database._remove_expired()

    def seconds(self) -> float:
        """Return the time by which keys expire, in seconds since 1970: whole milliseconds, as in Redis."""
        return self.now_ms() / 1000

    def expiry_set(self, database: StreamDatabase, key: str, at: float) -> None:
        """Take note that a key expires at a time, in seconds since 1970."""

    @property
    def n_blocked(self) -> int:
        """How many clients are blocked."""
        return sum(socket._blocked for socket in self.sockets)


class _Databases(defaultdict[int, StreamDatabase]):
    """The databases by number; each is made when it is first used."""

    def __missing__(self, number: int) -> StreamDatabase:
        assert self.default_factory is not None
        self[number] = made = self.default_factory()
        return made
