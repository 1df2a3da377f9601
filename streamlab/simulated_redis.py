"""`SimulatedRedis`: a ``redis.asyncio.Redis`` whose commands go to the model rather than to a socket.

redis-py's own methods build the arguments and shape the replies, so that every value a caller sees looks
as it would from a server. Time is that of the running event loop: on a `VirtualLoop` a ``BLOCK 5000``
passes at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import redis.asyncio
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError, DataError, ResponseError

from streamlab.short_cuts import ConnectionLost, ShortCuts, as_redis_error, others_first
from streamlab.stream_commands import (
    BlockedCommand,
    CommandError,
    Reply,
    StreamCommands,
    Waiter,
)
from streamlab.virtual_task import Promise
from streamlab.virtual_time import DEFAULT_EPOCH_MS, VirtualLoop

#: Seconds, or a function that gives them anew for each half of a command's way.
RoundTrip = float | Callable[[], float]


#: What redis-py's clients want to have, and simulated ones never ask for a connection: one for all of them,
#: since making it takes most of the time that making a client does. Protocol 2: the model answers in RESP2's
#: shapes, and redis-py chooses its callbacks by this.
_NO_CONNECTIONS = redis.asyncio.ConnectionPool(protocol=2, decode_responses=True)


class SimulatedServer:
    """What the clients of one simulation share: a keyspace and a clock.

    Parameters
    ----------
    version
        The Redis version to behave as.
    epoch_ms
        The server's clock, in milliseconds since 1970, at loop time 0.
    loop
        The only event loop that it will be used on, if that is known: before Python 3.12, asking asyncio
        for the running one costs a system call each time.
    """

    def __init__(
        self,
        *,
        version: tuple[int, int, int] = (7, 0, 15),
        epoch_ms: int = DEFAULT_EPOCH_MS,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.commands = StreamCommands(version=version)
        self.version = version
        self.epoch_ms = epoch_ms
        self.n_alone = 0  # commands executed so far that were sent by themselves,
        self.n_pipelined = 0  # those in pipelines,
        self.n_pipelines = 0  # and pipelines
        self.known_loop = loop
        self._waiting: dict[int, _Waiting] = {}
        #: The server's own timers are not those of the client that happened to cause them.
        self.context = contextvars.Context()
        #: What clients reach of its keys: nothing while it is down.
        self.reached = self.commands.keys

    @property
    def is_down(self) -> bool:
        """Whether every command is refused."""
        return self.reached is not self.commands.keys

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

    def go_down(self) -> None:
        """Refuse every command from now on, and drop those who wait; what is stored stays."""
        self.reached = {}
        self.end(self.blocked(), ConnectionLost())

    def come_up(self) -> None:
        """Serve again."""
        self.reached = self.commands.keys

    def waiting(self, timeout_ms: int) -> _Waiting:
        """Return the reads that wait that long at the most (0: for ever)."""
        found = self._waiting.get(timeout_ms)
        if found is None:
            timeout = timeout_ms / 1000 if timeout_ms else math.inf
            found = self._waiting[timeout_ms] = _Waiting(self, timeout)
        return found

    def blocked(self, client: SimulatedRedis | None = None) -> list[Blocked]:
        """Return all reads that wait, or those of a client; the first is the one that has waited longest."""
        reads = [
            read
            for waiting in self._waiting.values()
            for read in waiting.reads.values()
            if not read[2].done() and client in (None, read[1])
        ]
        return sorted(reads, key=lambda read: read[0])

    def end(self, reads: Iterable[Blocked], answer: object) -> None:
        """End reads that wait, with None (their time is out) or an error."""
        for _, _, future, waiter in reads:
            self.commands.cancel(waiter)
            future.set_result(answer)

    def client(
        self,
        *,
        round_trip: RoundTrip = 0.0,
        wake: Callable[[], float] | None = None,
        name: str = "",
        is_lab: bool = False,
    ) -> SimulatedRedis:
        """Return a client; `round_trip` is how long each of its commands takes, in seconds.

        The lab's own client (`is_lab`) reaches the server when it is down as well, and is not counted.
        """
        return SimulatedRedis(self, round_trip=round_trip, wake=wake, name=name, is_lab=is_lab)


#: A read that waits: since when, whose it is, who is woken, and what the model knows of it.
Blocked = tuple[float, ShortCuts, "asyncio.Future[Any] | Promise", Waiter]


class _Waiting:
    """The reads that all wait equally long at the most: one timer is enough for them.

    Most are served long before. A timer for each would be set only to be cancelled.
    """

    def __init__(self, server: SimulatedServer, timeout: float) -> None:
        self._server = server
        self.timeout = timeout
        self.reads: dict[Waiter, Blocked] = {}  # the first to time out first
        self.has_timer = timeout == math.inf  # or needs none

    def set_timer(self) -> None:
        """Look in time what is to be ended."""
        self.has_timer = True
        self._server.loop.call_later(self.timeout, self._check, context=self._server.context)

    def _check(self) -> None:
        loop = self._server.loop
        for read in [*self.reads.values()]:
            if read[2].done():
                continue  # it has only not noticed yet
            when = read[0] + self.timeout
            if when > loop.time():
                loop.call_at(when, self._check, context=self._server.context)
                return
            self._server.end([read], None)
        self.has_timer = False


class SimulatedRedis(ShortCuts):
    """A client of a `SimulatedServer`.

    Replies are text (``decode_responses=True``). Commands are those of `StreamCommands`; any other gives
    the server's own ``unknown command``. A command takes `round_trip` seconds (a number, or a function that
    gives one each time): half of it before the server executes it, half until its reply is seen. The reply
    to a read that had to wait takes `wake()` seconds instead, if that is given.
    """

    def __init__(
        self,
        server: SimulatedServer | None = None,
        *,
        round_trip: RoundTrip = 0.0,
        wake: Callable[[], float] | None = None,
        name: str = "",
        is_lab: bool = False,
    ) -> None:
        if not callable(round_trip) and not round_trip >= 0:
            raise ValueError(f"round_trip is {round_trip!r}: give seconds, 0 or more")
        super().__init__(connection_pool=_NO_CONNECTIONS)
        self.name = name
        self.server: SimulatedServer = SimulatedServer() if server is None else server
        #: Gives the seconds of a round trip; None: it takes no time.
        self._trip: Callable[[], float] | None
        if callable(round_trip):
            self._trip = round_trip
        else:
            self._trip = (lambda: round_trip) if round_trip else None
        self._wake = wake
        self._is_lab = is_lab
        self._counted = 0 if is_lab else 1
        #: Replies to lose: (command, how many of that name from now on until the one).
        self._to_lose: list[tuple[str, int]] = []
        self._is_severed = False
        #: Where commands may be executed in their plain form: on a known virtual loop, in no time, and where
        #: nothing else has to happen on their way.
        if (
            self._trip is None
            and wake is None
            and not is_lab
            and isinstance(self.server.known_loop, VirtualLoop)
        ):
            self._loop = self.server.known_loop

    def __repr__(self) -> str:
        return f"<SimulatedRedis as of Redis {'.'.join(map(str, self.server.version))}>"

    # ---- what can go wrong between a client and its server ----------------------------------------

    def cut(self) -> None:
        """Cut the connection: who waits for a reply gets a ConnectionError; the next command connects anew."""
        self.server.end(self.server.blocked(self), ConnectionLost())

    def unblock(self) -> None:
        """End a read that this client waits in, as if its time were over (``CLIENT UNBLOCK``)."""
        self.server.end(self.server.blocked(self), None)

    def sever(self) -> None:
        """Let no command of this client reach the server any more: its process is dead."""
        self._is_severed = True
        self._take_no_short_cuts()

    def lose_reply(self, command: str, nth: int = 1) -> None:
        """Execute the `nth` command of this name from now on, lose its reply, and cut the connection."""
        self._to_lose.append((command.upper(), nth))
        self._take_no_short_cuts()

    def _take_no_short_cuts(self) -> None:
        """Look at every command before and after it is executed."""
        self._is_troubled = True
        self._loop = None

    def _check_way_there(self) -> None:
        if self._is_severed:
            raise asyncio.CancelledError("this client's process is dead")
        if self.server.is_down and not self._is_lab:
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
        """Execute a command against the model, and shape the reply as redis-py does."""
        reply = await self._execute(args)
        return self._shaped(args[0], reply, options)

    async def _execute(self, args: tuple[Any, ...]) -> Reply:
        if self._trip is not None:
            await asyncio.sleep(self._trip() / 2)
        server = self.server
        if self._is_troubled or server.is_down:
            self._check_way_there()
        server.n_alone += self._counted
        try:
            reply = server.commands.execute([_as_text(arg) for arg in args], server.now_ms())
        except CommandError as error:
            await self._travel_back()
            raise as_redis_error(error) from None
        if isinstance(reply, BlockedCommand):
            reply = await self._wait(reply)
            if self._wake is not None:
                await asyncio.sleep(self._wake())
            elif self._trip is not None:
                await asyncio.sleep(self._trip() / 2)
        else:
            await self._travel_back()
        if self._is_troubled:
            self._check_way_back(args[0].upper())
        return reply

    async def _travel_back(self) -> None:
        """Let the reply travel, and let others have their turn as they do while one waits for a socket."""
        if self._trip is not None:
            await asyncio.sleep(self._trip() / 2)
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
        waiter.on_ready = partial(_deliver, future)
        waiting = server.waiting(waiter.timeout_ms)
        if not waiting.has_timer:
            waiting.set_timer()
        waiting.reads[waiter] = server.loop.time(), self, future, waiter
        if waiter.retry_at_ms is not None:
            self._look_again(waiter, future)
        try:
            reply = await future
        except asyncio.CancelledError:
            server.commands.cancel(waiter)
            raise
        finally:
            del waiting.reads[waiter]
        if isinstance(reply, CommandError):
            raise as_redis_error(reply)
        if isinstance(reply, ConnectionLost):
            raise reply.error()
        return reply

    def _look_again(self, waiter: Waiter, future: asyncio.Future[Any]) -> None:
        """Let a blocked ``XREADGROUP … CLAIM`` look when an entry will have been idle for long enough."""
        if waiter.retry_at_ms is None:
            return
        server, loop = self.server, self.server.loop

        def look() -> None:
            if not future.done():
                server.commands.retry(waiter, server.now_ms())
                if not future.done():
                    self._look_again(waiter, future)

        # At least a millisecond on: an entry that cannot be claimed yet is not asked for in a circle.
        delay = max(waiter.retry_at_ms - server.now_ms(), 1) / 1000
        loop.call_later(delay, look, context=server.context)

    def _shaped(self, name: Any, reply: Reply, options: dict[str, Any]) -> Any:
        options.pop("keys", None)
        callback = self.response_callbacks.get(name)
        return reply if callback is None else callback(reply, **options)

    def pipeline(
        self, transaction: bool = True, shard_hint: str | None = None
    ) -> SimulatedPipeline:
        """Return a pipeline: one round trip for all its commands, MULTI/EXEC if a `transaction`."""
        return SimulatedPipeline(self, transaction, shard_hint)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close the client. There is nothing to close: no connection was ever opened."""


class SimulatedPipeline(Pipeline):
    """A pipeline of a `SimulatedRedis`. WATCH is not among what the model knows."""

    def __init__(self, client: SimulatedRedis, transaction: bool, shard_hint: str | None) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, shard_hint)
        self._client = client

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command at once, as redis-py's pipelines do for some."""
        return await self._client.execute_command(*args, **options)

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Execute the queued commands and return their replies, errors among them.

        Raises
        ------
        redis.exceptions.ResponseError
            The first error among the replies, unless `raise_on_error` is false.
        """
        stack, self.command_stack = list(self.command_stack), []
        if not stack:
            return []
        client, server = self._client, self._client.server
        replies: list[Any] = []
        if client._trip is not None:
            await asyncio.sleep(client._trip() / 2)
        if client._is_troubled or server.is_down:
            client._check_way_there()
        server.n_pipelines += client._counted
        as_transaction = self.is_transaction or self.explicit_transaction
        with server.commands.transaction() if as_transaction else contextlib.nullcontext():
            for args, options in stack:
                server.n_pipelined += client._counted
                try:
                    reply = server.commands.execute(
                        [_as_text(arg) for arg in args],
                        server.now_ms(),
                        may_block=not as_transaction,
                    )
                    if isinstance(reply, BlockedCommand):
                        # A blocked command holds up those behind it on the same connection.
                        reply = await client._wait(reply)
                    replies.append(client._shaped(args[0], reply, dict(options)))
                except CommandError as error:
                    replies.append(as_redis_error(error))
                except ResponseError as error:
                    replies.append(error)
        await client._travel_back()
        if client._is_troubled:
            client._check_way_back(*(str(args[0]).upper() for args, _ in stack))
        if raise_on_error:
            for number, (reply, (args, _)) in enumerate(zip(replies, stack, strict=True), 1):
                if isinstance(reply, ResponseError):
                    self.annotate_exception(reply, number, args)
                    raise reply
        return replies


def _deliver(future: asyncio.Future[Any], reply: Reply | CommandError) -> None:
    """Hand a reply to the reader that waits for it, unless that has been cancelled meanwhile."""
    if not future.done():
        future.set_result(reply)


def _as_text(arg: Any) -> str:
    """Encode an argument as redis-py's encoder does, but to text."""
    if isinstance(arg, str):
        return arg
    if isinstance(arg, bytes | bytearray | memoryview):
        return bytes(arg).decode("utf-8", "surrogateescape")
    if isinstance(arg, bool) or not isinstance(arg, int | float):
        raise DataError(
            f"Invalid input of type: '{type(arg).__name__}'. Convert to a bytes, string, int or float first."
        )
    return repr(arg)
