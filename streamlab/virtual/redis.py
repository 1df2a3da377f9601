"""`SimulatedRedis`: a ``redis.asyncio.Redis`` whose commands go to the model rather than to a socket.

redis-py's own methods build the arguments and shape the replies, so that every value a caller sees looks
as it would from a server. Time is that of the running event loop: on a `VirtualLoop` a ``BLOCK 5000``
passes at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import redis.asyncio
from redis.exceptions import ConnectionError, DataError, LockError

from streamlab.actors import scripts
from streamlab.model import EntryLog, StreamModel
from streamlab.model.commands import BlockedCommand, CommandError, Reply, StreamCommands
from streamlab.virtual.fast_path import ConnectionLost, FastPath, as_redis_error, others_first
from streamlab.virtual.journal import Journal
from streamlab.virtual.keys import NO_CONNECTIONS, PlainStreams, Pool, as_text, is_answered_here, open_server
from streamlab.virtual.loop import DEFAULT_EPOCH_MS, VirtualLoop
from streamlab.virtual.pipeline import SimulatedPipeline
from streamlab.virtual.waits import WaitingReads, deliver

if TYPE_CHECKING:
    from streamlab.servers.embedded.fake.virtual import VirtualServer

T = TypeVar("T")


class SimulatedServer(WaitingReads):
    """What the clients of one simulation share: a keyspace and a clock.

    Parameters
    ----------
    version
        The Redis version to behave as.
    epoch_ms
        The server's clock, in milliseconds since 1970, at loop time 0.
    loop
        The only event loop that it will be used on, if known: before Python 3.12, asking for it takes long.
    """

    def __init__(
        self,
        *,
        version: tuple[int, int, int] = (7, 0, 15),
        epoch_ms: int = DEFAULT_EPOCH_MS,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__()
        self.commands = StreamCommands(version=version)
        self.version = version
        self.epoch_ms = epoch_ms
        #: Commands executed so far that were sent by themselves, those in pipelines, and pipelines.
        self.n_alone = self.n_pipelined = self.n_pipelines = 0
        self.known_loop = loop
        self.context = contextvars.Context()  # of its own timers, whichever client caused them
        self.is_down = False  # then every command is refused
        self.reached: Any = self.commands.keys  # by the fast path: nothing while it is down
        #: What does all that is not on streams, once that has been asked for: see `open`.
        self.beside: VirtualServer | None = None
        self.journal: Journal | None = None  # of its commands, each of which then goes the general way

    def keep_journal(self, kept: Callable[[int], float]) -> None:
        """Write down every command from the first one on: see `Journal`."""
        self.commands = self.journal = Journal(version=self.version, kept=kept)
        self._let_reach()

    def open(self) -> VirtualServer:
        """Return the embedded server over these keys, which answers all that is not on streams."""
        if self.beside is None:
            if self.journal is not None:
                raise DataError("a simulated server that may fail knows commands on streams, and simple ones on keys")
            self.beside = open_server(self)
            self._let_reach()
        return self.beside

    def forget(self) -> None:
        """Let go of all that it holds: it knows its clients and they know it, so it would stay for long else."""
        for value in self.commands.keys.values():
            if isinstance(value, StreamModel):
                value.entries = EntryLog()
        self.commands.keys.clear()

    def execute(self, words: list[str], *, may_block: bool = True) -> Reply | BlockedCommand:
        """Execute a command that is answered here, as `StreamCommands.execute` does."""
        if self.beside is not None:
            return self.beside.execute(words, may_block)
        return self.commands.execute(words, self.now_ms(), may_block=may_block)

    def answers(self, args: Sequence[Any]) -> bool:
        """Tell whether a command is answered here, and not by the server beside."""
        return is_answered_here(self.commands, args, self.beside is not None)

    @property
    def n_commands(self) -> int:
        """Commands executed so far."""
        return self.n_alone + self.n_pipelined

    @property
    def n_round_trips(self) -> int:
        """How often something went to the server and its reply back: a pipeline goes once."""
        return self.n_alone + self.n_pipelines

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that its clients run on now."""
        return self.known_loop or asyncio.get_running_loop()

    def now_ms(self) -> int:
        """Return the server's time in milliseconds since 1970."""
        loop = self.known_loop or asyncio.get_running_loop()
        # The added thousandth of a millisecond keeps 0.29 s from becoming 289 ms in binary.
        return self.epoch_ms + int(loop.time() * 1000 + 0.001)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end in virtual time, from loop time 0, and return what it returns."""
        with contextlib.closing(VirtualLoop()) as loop:
            return loop.run_until_complete(coroutine)

    def go_down(self) -> None:
        """Refuse every command from now on, and drop those who wait; what is stored stays."""
        self.is_down = True
        self._let_reach()
        self.end(self.blocked(), ConnectionLost())
        for socket in self.beside.sockets_of() if self.beside is not None else ():
            if not socket.client.is_lab:
                socket.cut(ConnectionLost().error())

    def come_up(self) -> None:
        """Serve again."""
        self.is_down = False
        self._let_reach()

    def _let_reach(self) -> None:
        if self.is_down:
            self.reached = {}
        else:
            self.reached = self.commands.keys if self.beside is None else PlainStreams(self.beside)

    def later(self, when_ms: int, callback: Callable[[], object]) -> None:
        """Call something at a time of day."""
        loop = self.loop
        when = max((when_ms - self.epoch_ms) / 1000, loop.time())
        loop.call_at(when, callback, context=self.context)

    def client(
        self,
        *,
        round_trip: float = 0.0,
        back: Callable[[], float] | None = None,
        wake: Callable[[], float] | None = None,
        name: str = "",
        is_lab: bool = False,
    ) -> SimulatedRedis:
        """Return a client; `round_trip`, `back` and `wake` are as for `SimulatedRedis`.

        The lab's own client (`is_lab`) reaches the server when it is down as well, and is not counted.
        """
        return SimulatedRedis(self, round_trip=round_trip, back=back, wake=wake, name=name, is_lab=is_lab)


class SimulatedRedis(FastPath):
    """A client of a `SimulatedServer`.

    Replies are text (``decode_responses=True``). Commands on streams are those of `StreamCommands`; all others, and
    whatever needs a connection (WATCH, pub/sub), are the embedded server's over the same keys. A command takes
    `round_trip` seconds: half of it before the server executes it, half until its reply is seen. If they are given, a
    reply takes `back()` seconds instead, and `wake()` if it is that to a read that had to wait.
    """

    def __init__(
        self,
        server: SimulatedServer | None = None,
        *,
        round_trip: float = 0.0,
        back: Callable[[], float] | None = None,
        wake: Callable[[], float] | None = None,
        name: str = "",
        is_lab: bool = False,
    ) -> None:
        if not round_trip >= 0:
            raise ValueError(f"round_trip is {round_trip!r}: give seconds, 0 or more")
        self._pool: Any = None
        super().__init__(connection_pool=NO_CONNECTIONS)
        self._pool = None
        self.name = name
        self.server: SimulatedServer = SimulatedServer() if server is None else server
        #: Seconds that a command is on its way, and what gives those of its reply; None: as many.
        self._there, self._back = round_trip / 2, back
        #: Whether commands take time at all.
        self.takes_time = round_trip > 0 or back is not None
        self._wake = wake
        self.is_lab = is_lab
        self._counted = 0 if is_lab else 1
        #: Replies to lose: (command, how many of that name from now on until the one).
        self._to_lose: list[tuple[str, int]] = []
        self._is_severed = False
        #: Where commands may be executed in their plain form: on a known virtual loop, in no time, and where
        #: nothing else has to happen on their way.
        is_plain = not self.takes_time and wake is None and not is_lab and self.server.journal is None
        if is_plain and isinstance(self.server.known_loop, VirtualLoop):
            self._loop = self.server.known_loop

    def __repr__(self) -> str:
        return f"<SimulatedRedis as of Redis {'.'.join(map(str, self.server.version))}>"

    @property
    def connection_pool(self) -> Any:
        """The connections to the simulation, for what needs one."""
        if self._pool is None:
            self._pool = Pool(self)
        return self._pool

    @connection_pool.setter
    def connection_pool(self, pool: Any) -> None:
        self._pool = pool

    # ---- what can go wrong between a client and its server ----------------------------------------

    def cut(self) -> None:
        """Cut the connections: who waits for a reply gets a ConnectionError; the next command connects again."""
        self.server.end(self.server.blocked(self), ConnectionLost())
        for socket in self._sockets():
            socket.cut(ConnectionLost().error())

    def unblock(self) -> None:
        """End what this client waits in, as if its time were over (``CLIENT UNBLOCK``)."""
        self.server.end(self.server.blocked(self), None)
        for socket in self._sockets():
            socket.unblock()

    def sever(self) -> None:
        """Let no command of this client reach the server any more: its process is dead."""
        self._is_severed = True
        self._leave_fast_path()
        for socket in self._sockets():
            socket.forget()

    def _sockets(self) -> list[Any]:
        """List the server's ends of this client's connections."""
        beside = self.server.beside
        return [] if beside is None else beside.sockets_of(self)

    def lose_reply(self, command: str, nth: int = 1) -> None:
        """Execute the `nth` command of this name from now on, lose its reply, and cut the connection."""
        self._to_lose.append((command.upper(), nth))
        self._leave_fast_path()

    def lose_replies_like(self, other: SimulatedRedis) -> None:
        """Lose what another client has yet to lose: it was the same process's, in an earlier life."""
        if other._to_lose:
            self._to_lose = other._to_lose
            self._leave_fast_path()

    def _leave_fast_path(self) -> None:
        """Look at every command before and after it is executed."""
        self._is_troubled = True
        self._loop = None

    def travel_there(self) -> float:
        """Return how many seconds the next command is on its way."""
        return self._there

    def travel_back(self, has_waited: bool) -> float:
        """Return how many seconds a reply is on its way."""
        if has_waited and self._wake is not None:
            return self._wake()
        return self._there if self._back is None else self._back()

    def count(self, n_commands: int) -> None:
        """Count what has been sent at once."""
        server = self.server
        if n_commands == 1:
            server.n_alone += self._counted
        elif n_commands:
            server.n_pipelined += n_commands * self._counted
            server.n_pipelines += self._counted

    def check_way_there(self) -> None:
        """Raise the error that a command meets on its way to the server, if any."""
        if self._is_troubled or self.server.is_down:
            self._check_way_there()

    def check_way_back(self, *commands: str) -> None:
        """Raise the error that comes instead of the reply to these commands, if that is due."""
        if self._is_troubled:
            self._check_way_back(*commands)

    def _check_way_there(self) -> None:
        if self._is_severed:
            raise asyncio.CancelledError("this client's process is dead")
        if self.server.is_down and not self.is_lab:
            raise ConnectionError("the simulated server is down")

    def _check_way_back(self, *commands: str) -> None:
        """Lose the reply, if that is due."""
        for command in commands:
            self._to_lose = [(name, n - (name == command)) for name, n in self._to_lose]
        due = [item for item in self._to_lose if item[1] <= 0]
        if due:
            self._to_lose = [item for item in self._to_lose if item[1] > 0]
            raise ConnectionError(f"connection lost before the reply to {due[0][0]} came")

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command against the model and shape the reply as redis-py does, or send it to the server beside."""
        if not self.server.answers(args):
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        reply = await self._execute(args)
        return self._shaped(args[0], reply, options)

    async def _execute(self, args: tuple[Any, ...]) -> Reply:
        if self.takes_time:
            await asyncio.sleep(self._there)
        server = self.server
        if self._is_troubled or server.is_down:
            self._check_way_there()
        server.n_alone += self._counted
        try:
            reply = server.execute([as_text(arg) for arg in args])
        except CommandError as error:
            await self._travel_back()
            raise as_redis_error(error) from None
        if isinstance(reply, BlockedCommand):
            reply = await self._wait(reply)
            if self._wake is not None or self.takes_time:
                await asyncio.sleep(self.travel_back(has_waited=True))
        else:
            await self._travel_back()
        if self._is_troubled:
            self._check_way_back(args[0].upper())
        return reply

    async def _travel_back(self) -> None:
        """Let the reply travel, and let others have their turn as they do while one waits for a socket."""
        if self.takes_time:
            await asyncio.sleep(self.travel_back(has_waited=False))
            return
        if self._round in (self._last_round, None):
            await others_first()
        self._last_round = self._round

    @property
    def _round(self) -> int | None:
        """The round of the loop; None on a loop that does not count them."""
        return getattr(self.server.loop, "rounds", None)

    async def _wait(self, waiter: BlockedCommand) -> Any:
        """Wait for a blocked read: first come, first served, is the model's; the time-out is the loop's."""
        server = self.server
        future: asyncio.Future[Any] = server.loop.create_future()
        waiter.on_ready = partial(deliver, future)
        if server.journal is not None:
            waiter.on_ready = server.journal.noting(waiter, server.now_ms, waiter.on_ready)
        server.line_up(self, waiter, future)
        try:
            reply = await future
        except asyncio.CancelledError:
            server.commands.cancel(waiter)
            raise
        finally:
            server.leave(waiter)
        if isinstance(reply, CommandError):
            raise as_redis_error(reply)
        if isinstance(reply, ConnectionLost):
            raise reply.error()
        return reply

    def _shaped(self, name: Any, reply: Reply, options: dict[str, Any]) -> Any:
        options.pop("keys", None)
        callback = self.response_callbacks.get(name)
        return reply if callback is None else callback(reply, **options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> SimulatedPipeline:
        """Return a pipeline: one round trip for all its commands, MULTI/EXEC if a `transaction`."""
        return SimulatedPipeline(self, transaction, shard_hint)

    def client(self) -> redis.asyncio.Redis:
        """Return a client that has one connection to the simulation for itself."""
        return redis.asyncio.Redis(connection_pool=self.connection_pool, single_connection_client=True)

    def lock(self, *args: Any, **options: Any) -> Any:
        """Return one of redis-py's locks, if the scripts that release it are known."""
        lock = super().lock(*args, **options)
        if not scripts.knows_lock(type(lock)):
            raise LockError(
                "the scripts of this lock are unknown to a simulation, which has no Lua: it could not be released"
            )
        return lock

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close the client, and its connections if there are any."""
        if self._pool is not None:
            await self._pool.disconnect()
