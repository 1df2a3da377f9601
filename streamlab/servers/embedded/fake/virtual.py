"""The embedded server in the time of an event loop: for a simulation, whose model's streams are among its keys."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import redis.asyncio
from fakeredis._clients._async import FakeWriter
from fakeredis._core import Item
from fakeredis._helpers import SimpleError
from fakeredis.model import Hash

from streamlab.model import StreamModel
from streamlab.model.commands import BlockedCommand, CommandError, Reply, SortedSet, StreamCommands, Value, Waiter
from streamlab.servers.embedded.blocked import Blocked, BlockedRead
from streamlab.servers.embedded.replies import decoded, encoded

from .connections import AsyncConnection
from .databases import StreamDatabase, StreamServer, StreamValue, as_sorted_set
from .sockets import AsyncStreamSocket, StreamSocket

_RANDOM = frozenset({"spop", "srandmember", "randomkey", "hrandfield", "zrandmember"})
_ONE_DATABASE = "ERR a simulation has no {name}: it has one database, number 0"
_NO_CLIENTS = (
    "ERR a simulation has no CLIENT {name}: most of its clients have no connection; cut(), unblock() and sever() are "
    "methods of each"
)
_NO_FIELD_EXPIRY = "ERR a simulation has no {name}: there only whole keys expire"
_NO_DISK = "ERR a simulation has no {name}: it keeps nothing on a disk"
_REFUSED = {
    **dict.fromkeys(("SWAPDB", "MOVE"), _ONE_DATABASE),
    **dict.fromkeys(("HEXPIRE", "HPEXPIRE", "HEXPIREAT", "HPEXPIREAT", "HSETEX", "HGETEX"), _NO_FIELD_EXPIRY),
    **dict.fromkeys(("SAVE", "BGSAVE", "LASTSAVE"), _NO_DISK),
}
_REFUSED_OF_CLIENT = frozenset({"ID", "INFO", "LIST", "KILL", "UNBLOCK", "PAUSE", "UNPAUSE"})


class Simulation(Protocol):
    """What is needed of a `SimulatedServer`."""

    commands: StreamCommands
    version: tuple[int, int, int]
    context: contextvars.Context

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    def now_ms(self) -> int: ...
    def later(self, when_ms: int, callback: Callable[[], object]) -> None: ...
    def line_up(self, client: Any, waiter: Waiter, future: Any) -> None: ...
    def leave(self, waiter: Waiter) -> None: ...


class Client(Protocol):
    """What is needed of a `SimulatedRedis`: how long its commands take, and what goes wrong on their way."""

    is_lab: bool

    def travel_there(self) -> float: ...
    def travel_back(self, has_waited: bool) -> float: ...
    def check_way_there(self) -> None: ...
    def check_way_back(self, *commands: str) -> None: ...
    def count(self, n_commands: int) -> None: ...


class VirtualServer(StreamServer):
    """The keys of a simulation, streams among them, and all commands but those on streams.

    The streams stay where the simulation has them: in the same `StreamCommands`, whose keys are this server's from
    now on.
    """

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation.version, simulation.now_ms)
        self.simulation = simulation
        # Sets would give messages, and elements, in the order of the addresses that their receivers happen to have.
        self.subscribers = defaultdict(_InOrder)  # type: ignore[arg-type]
        self.psubscribers = defaultdict(_InOrder)  # type: ignore[arg-type]
        self.ssubscribers = defaultdict(_InOrder)  # type: ignore[arg-type]
        self._random = random.Random(0).getstate()
        self.database: StreamDatabase = self.dbs[0]
        self._take_over(simulation.commands)

    def _take_over(self, streams: StreamCommands) -> None:
        before, streams.keys = streams.keys, self.database.streams.keys
        self.database.streams = streams
        for key, value in before.items():
            self.database[encoded(key)] = Item(_as_value(value))

    # ---- commands on streams, which come from clients without a connection ---------------------

    def execute(self, words: list[str], may_block: bool) -> Reply | BlockedCommand:
        """Execute a command on streams, as `StreamCommands.execute` does."""
        database, streams = self.database, self.database.streams
        with self.lock:
            self.forget_the_parted()
            database.time = self.seconds()
            try:
                return database.execute(words, self.now_ms(), may_block)
            finally:
                if streams.has_ready and not streams.is_in_transaction:  # a key has expired
                    with streams.transaction(self.now_ms()):
                        pass

    def plain_stream(self, key: str) -> StreamModel | None:
        """Return a stream that the fast path may be taken to: it does not expire, and no key is watched."""
        database = self.database
        item = database._dict.get(encoded(key))
        if item is None or item.expireat is not None or database._watches:
            return None
        return item.value.model if type(item.value) is StreamValue else None

    # ---- the loop's time -----------------------------------------------------------------------

    def mind_expiry(self, keys: Iterable[str]) -> None:
        """Tell the readers of these keys when one expires."""
        for key in keys:
            item = self.database._dict.get(encoded(key))
            if item is not None and item.expireat is not None:
                self._look_at(item.expireat)

    def expiry_set(self, database: StreamDatabase, key: str, at: float) -> None:
        if any(database.streams.queues.get(key, {}).values()):
            self._look_at(at)

    def _look_at(self, expireat: float) -> None:
        self.simulation.later(round(expireat * 1000) + 1, self.look_at_keys)

    # ---- chance, and connections that break -----------------------------------------------------

    @contextlib.contextmanager
    def dice(self) -> Iterator[None]:
        """Let fakeredis draw from this server's own random numbers: the same run gives the same ones."""
        outer = random.getstate()
        random.setstate(self._random)
        try:
            yield
        finally:
            self._random = random.getstate()
            random.setstate(outer)

    def sockets_of(self, client: Any = None) -> list[VirtualSocket]:
        """List the connections of a client, or all."""
        return [socket for socket in self.sockets if client in (None, socket.client)]


class VirtualSocket(AsyncStreamSocket):
    """The server's end of a connection in a simulation."""

    _server: VirtualServer
    stream_server: VirtualServer

    def __init__(self, server: VirtualServer, client: Client, **options: Any) -> None:
        self.client = client
        self._is_late = False  # whether the next reply is to a command that had to wait
        #: The commands that have been executed, since the client has last looked.
        self.executed: list[str] = []
        super().__init__(server, db=0, client_class=redis.asyncio.Redis, **options)

    def put_response(self, msg: Any) -> None:
        if self.responses is not None:
            is_late, self._is_late = self._is_late, False
            now = self.stream_server.simulation.loop.time()
            self.responses.put_nowait((now, is_late, msg))
            self._response_available.set()

    def _process_command(self, fields: list[bytes]) -> None:
        if fields:
            self.executed.append(decoded(fields[0]).upper())
        super()._process_command(fields)

    def _name_to_func(self, cmd_name: str) -> tuple[Any, Any]:
        name, *more = [decoded(word).upper() for word in self._words[:2]]
        if name in _REFUSED:
            raise SimpleError(_REFUSED[name].format(name=name))
        if name == "SELECT" and more != ["0"]:
            raise SimpleError(_ONE_DATABASE.format(name="SELECT"))
        if name == "CLIENT" and more and more[0] in _REFUSED_OF_CLIENT:
            raise SimpleError(_NO_CLIENTS.format(name=more[0]))
        return super()._name_to_func(cmd_name)

    def _run_command(self, func: Any, sig: Any, args: Any, from_script: bool) -> Any:
        with self._server.dice() if sig.name in _RANDOM else contextlib.nullcontext():
            return super()._run_command(func, sig, args, from_script)

    # ---- waiting -------------------------------------------------------------------------------

    def _block(self, read: Blocked) -> None:
        StreamSocket._block(self, read)
        self._is_late = True
        simulation = self._server.simulation
        loop, context = simulation.loop, simulation.context
        if isinstance(read, BlockedRead):
            waiter = read.waiter
            simulation.line_up(self.client, waiter, _Answer(read))
        else:
            waiter = None
            if read.timeout_ms:
                loop.call_later(read.timeout_ms / 1000, read.give_up, context=context)

        def over() -> None:
            if waiter is not None:
                simulation.leave(waiter)
            # Not now: this is in another's command. If the loop is closed, the reader is gone with it.
            with contextlib.suppress(RuntimeError):
                loop.call_soon(self.finish, context=context)

        read.when_over = over

    def unblock(self) -> None:
        """End what this connection waits in, as if its time were over."""
        if self.read is not None:
            self.read.give_up()

    # ---- connections that break ----------------------------------------------------------------

    def cut(self, error: Exception) -> None:
        """Close the connection; whoever waits for a reply is given the error."""
        self.forget()
        self._killed = True
        self.put_response(error)


class VirtualConnection(AsyncConnection):
    """The client's end of a connection in a simulation."""

    _server: VirtualServer
    _sock: VirtualSocket | None

    def __init__(self, client: Client, server: VirtualServer, **options: Any) -> None:
        super().__init__(server=server, **options)
        self.client = client
        #: The commands to which no reply has been seen yet.
        self.names: list[str] = []

    async def _connect(self) -> None:
        self.client.check_way_there()
        self._sock = socket = VirtualSocket(self._server, self.client, client_info=self._client_info)
        self._reader: Any = _Reader(self, socket)
        self._writer: Any = _Writer(socket)

    async def disconnect(self, *args: Any, **options: Any) -> None:
        # redis-py's own asks for the current task: when a simulation is dropped halfway, there is none.
        socket, self._sock = self._sock, None
        self._reader = self._writer = None
        self.names = []
        self.reset_should_reconnect()  # type: ignore[no-untyped-call]
        if socket is not None:
            socket.part()
            socket._response_available.set()  # whoever waits for a reply sees that there will be none

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Say nothing: there is no database to select, and nobody to be."""

    async def can_read_destructive(self) -> bool:
        # redis-py 7 asks so, and of its parser, which is not used here.
        return await self.can_read(0)

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        client = self.client
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        if delay := client.travel_there():
            await asyncio.sleep(delay)
        client.check_way_there()
        await super().send_packed_command(command, check_health)
        if self._sock is not None:
            self.names, self._sock.executed = self._sock.executed, []
            client.count(len([name for name in self.names if name not in ("MULTI", "EXEC")]))


class _Reader:
    """What a connection reads replies from: each has its way to go."""

    def __init__(self, connection: VirtualConnection, socket: VirtualSocket) -> None:
        self._connection = connection
        self._socket = socket

    async def read(self, _: int) -> Any:
        connection, client = self._connection, self._connection.client
        sent_at, is_late, reply = await self._socket.responses.get()
        loop = self._socket.stream_server.simulation.loop
        delay: float = sent_at + client.travel_back(is_late) - loop.time()
        if delay > 0:
            await asyncio.sleep(delay)
        names, connection.names = connection.names, []
        if names and not isinstance(reply, Exception):
            client.check_way_back(*names)
        return reply


class _Writer(FakeWriter):
    """What a connection writes commands to. What the server does by itself is not of the client's process."""

    _socket: VirtualSocket | None

    def writelines(self, data: Iterable[Any]) -> None:
        if self._socket is not None:
            context = self._socket.stream_server.simulation.context.copy()
            context.run(super().writelines, data)


class _Answer:
    """A read over a connection, as the simulation knows those that wait: by a future."""

    def __init__(self, read: Blocked) -> None:
        self._read = read

    def done(self) -> bool:
        return self._read.is_over

    def set_result(self, answer: Any) -> None:
        # Else the connection has been cut, which then gives the error.
        self._read.end(answer if isinstance(answer, list | CommandError) else None)


class _InOrder(dict[Any, None]):
    """A set that is gone through in the order in which its members came."""

    def add(self, member: Any) -> None:
        self[member] = None

    def discard(self, member: Any) -> None:
        self.pop(member, None)

    def remove(self, member: Any) -> None:
        del self[member]


def _as_value(value: Value) -> Any:
    """Return a value of the simulation's own keys as fakeredis has it."""
    if isinstance(value, StreamModel):
        return StreamValue(value)
    if isinstance(value, SortedSet):
        return as_sorted_set(value)
    if isinstance(value, str):
        return encoded(value)
    fields = Hash()
    fields.update({encoded(f): encoded(v) for f, v in value.items()}, clear_expiration=False)
    return fields
