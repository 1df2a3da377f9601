"""`SimulatedRedis`: a ``redis.asyncio.Redis`` whose commands go to the model rather than to a socket.

redis-py's own methods build the arguments and shape the replies, so that every value a caller sees looks
as it would from a server. Time is that of the running event loop: on a `VirtualLoop` a ``BLOCK 5000``
passes at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import redis.asyncio
from redis._parsers.base import BaseParser
from redis.asyncio.client import Pipeline
from redis.exceptions import DataError, ResponseError

from streamlab.stream_commands import CommandError, Reply, StreamCommands, Waiter
from streamlab.virtual_time import DEFAULT_EPOCH_MS

#: Seconds, or a function that gives them anew for each half of a command's way.
RoundTrip = float | Callable[[], float]


class SimulatedServer:
    """What the clients of one simulation share: a keyspace and a clock.

    Parameters
    ----------
    version
        The Redis version to behave as.
    epoch_ms
        The server's clock, in milliseconds since 1970, at loop time 0.
    """

    def __init__(
        self, *, version: tuple[int, int, int] = (7, 0, 15), epoch_ms: int = DEFAULT_EPOCH_MS
    ) -> None:
        self.commands = StreamCommands(version=version)
        self.version = version
        self.epoch_ms = epoch_ms
        #: Commands executed so far.
        self.n_commands = 0

    def now_ms(self) -> int:
        """Return the server's time in milliseconds since 1970."""
        # The added thousandth of a millisecond keeps 0.29 s from becoming 289 ms in binary.
        return self.epoch_ms + int(asyncio.get_running_loop().time() * 1000 + 0.001)

    def client(self, *, round_trip: RoundTrip = 0.0, name: str = "") -> SimulatedRedis:
        """Return a client; `round_trip` is how long each of its commands takes, in seconds."""
        return SimulatedRedis(self, round_trip=round_trip, name=name)


class SimulatedRedis(redis.asyncio.Redis):
    """A client of a `SimulatedServer`.

    Replies are text (``decode_responses=True``). Commands are those of `StreamCommands`; any other gives
    the server's own ``unknown command``. A command takes `round_trip` seconds (a number, or a function that
    gives one each time): half of it before the server executes it, half until its reply is seen.
    """

    def __init__(
        self, server: SimulatedServer | None = None, *, round_trip: RoundTrip = 0.0, name: str = ""
    ) -> None:
        if not callable(round_trip) and not round_trip >= 0:
            raise ValueError(f"round_trip is {round_trip!r}: give seconds, 0 or more")
        # Protocol 2: the model answers in RESP2's shapes, and redis-py chooses its callbacks by this.
        super().__init__(protocol=2, decode_responses=True, client_name=name or None)
        self.server = SimulatedServer() if server is None else server
        #: Gives the seconds of a round trip; None: it takes no time.
        self._trip: Callable[[], float] | None
        if callable(round_trip):
            self._trip = round_trip
        else:
            self._trip = (lambda: round_trip) if round_trip else None
        self._last_round = -1

    def __repr__(self) -> str:
        return f"<SimulatedRedis as of Redis {'.'.join(map(str, self.server.version))}>"

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command against the model, and shape the reply as redis-py does."""
        reply = await self._execute(args)
        return self._shaped(args[0], reply, options)

    async def _execute(self, args: tuple[Any, ...]) -> Reply:
        if self._trip is not None:
            await asyncio.sleep(self._trip() / 2)
        server = self.server
        server.n_commands += 1
        try:
            reply = server.commands.execute([_as_text(arg) for arg in args], server.now_ms())
        except CommandError as error:
            await self._travel_back()
            raise _as_redis_error(error) from None
        if isinstance(reply, Waiter):
            reply = await self._wait(reply)
            if self._trip is not None:
                await asyncio.sleep(self._trip() / 2)
        else:
            await self._travel_back()
        return reply

    async def _travel_back(self) -> None:
        """Let the reply travel, and let others have their turn as they do while one waits for a socket."""
        if self._trip is not None:
            await asyncio.sleep(self._trip() / 2)
            return
        # A client that has had to wait since its last command has given others their turn already.
        rounds = getattr(asyncio.get_running_loop(), "rounds", None)
        if rounds is None or rounds == self._last_round:
            await asyncio.sleep(0)
        self._last_round = getattr(asyncio.get_running_loop(), "rounds", -1)

    async def _wait(self, waiter: Waiter) -> Reply:
        """Wait for a blocked read: first come, first served, is the model's; the time-out is the loop's."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply | CommandError] = loop.create_future()

        def deliver(reply: Reply | CommandError) -> None:
            if not future.done():
                future.set_result(reply)

        waiter.on_ready = deliver
        timer = (
            loop.call_later(waiter.timeout_ms / 1000, self._time_out, waiter, future)
            if waiter.timeout_ms
            else None
        )
        try:
            reply = await future
        except asyncio.CancelledError:
            self.server.commands.cancel(waiter)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if isinstance(reply, CommandError):
            raise _as_redis_error(reply)
        return reply

    def _time_out(self, waiter: Waiter, future: asyncio.Future[Reply | CommandError]) -> None:
        if not future.done():
            self.server.commands.cancel(waiter)
            future.set_result(None)

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
        as_transaction = self.is_transaction or self.explicit_transaction
        with server.commands.transaction() if as_transaction else contextlib.nullcontext():
            for args, options in stack:
                server.n_commands += 1
                try:
                    reply = server.commands.execute(
                        [_as_text(arg) for arg in args],
                        server.now_ms(),
                        may_block=not as_transaction,
                    )
                    if isinstance(reply, Waiter):
                        # A blocked command holds up those behind it on the same connection.
                        reply = await client._wait(reply)
                    replies.append(client._shaped(args[0], reply, dict(options)))
                except CommandError as error:
                    replies.append(_as_redis_error(error))
                except ResponseError as error:
                    replies.append(error)
        await client._travel_back()
        if raise_on_error:
            for number, (reply, (args, _)) in enumerate(zip(replies, stack, strict=True), 1):
                if isinstance(reply, ResponseError):
                    self.annotate_exception(reply, number, args)
                    raise reply
        return replies


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


def _as_redis_error(error: CommandError) -> Exception:
    """Return the exception that redis-py raises for this error text."""
    return BaseParser.parse_error(str(error))  # type: ignore[no-any-return, no-untyped-call]
