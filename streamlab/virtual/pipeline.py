"""The pipelines of a `SimulatedRedis`."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from streamlab.model.commands import BlockedCommand, CommandError
from streamlab.virtual.fast_path import as_redis_error
from streamlab.virtual.keys import NO_CONNECTIONS, as_text


class SimulatedPipeline(Pipeline):
    """A pipeline of a `SimulatedRedis`. With WATCH, and with commands of the server beside, it is redis-py's own."""

    def __init__(self, client: Any, transaction: bool, shard_hint: str | None) -> None:
        self._client = client
        super().__init__(NO_CONNECTIONS, client.response_callbacks, transaction, shard_hint)

    @property
    def connection_pool(self) -> Any:
        """The connections of its client."""
        return self._client.connection_pool

    @connection_pool.setter
    def connection_pool(self, pool: Any) -> None:
        """Take no other pool."""

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Execute the queued commands and return their replies, errors among them.

        Raises
        ------
        redis.exceptions.ResponseError
            The first error among the replies, unless `raise_on_error` is false; in a transaction in any case, if it
            was discarded for a command that the server does not know.
        """
        stack, server = list(self.command_stack), self._client.server
        if self.connection is not None or not all(server.answers(args) for args, _ in stack):
            replies: list[Any] = await super().execute(raise_on_error)
            return replies
        self.command_stack = []
        if not stack:
            return []
        return await self._execute_here(stack, raise_on_error)

    def __del__(self, *_: Any) -> None:
        """Do not warn as redis-py does: a simulation that is dropped halfway leaves no socket open."""

    async def reset(self) -> None:  # type: ignore[override]  # as redis-py's own
        """Forget the queued commands, and what is watched."""
        running = asyncio._get_running_loop()
        if running is None or self._client.server.known_loop not in (None, running):
            return  # the simulation has been dropped halfway, and nothing can be awaited any more
        await super().reset()  # type: ignore[no-untyped-call]

    async def _execute_here(self, stack: list[Any], raise_on_error: bool) -> list[Any]:
        client, server = self._client, self._client.server
        replies: list[Any] = []
        if client.takes_time:
            await asyncio.sleep(client.travel_there())
        if client._is_troubled or server.is_down:
            client._check_way_there()
        server.n_pipelines += client._counted
        as_transaction = self.is_transaction or self.explicit_transaction
        if as_transaction and (error := self._discarded(stack)):
            await client._travel_back()
            raise error
        with server.commands.transaction() if as_transaction else contextlib.nullcontext():
            for args, options in stack:
                server.n_pipelined += client._counted
                try:
                    reply = server.execute([as_text(arg) for arg in args], may_block=not as_transaction)
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

    def _discarded(self, stack: list[Any]) -> Exception | None:
        """Return the error for which Redis discards a transaction: a command that is unknown, or has too few words."""
        for number, (args, _) in enumerate(stack, 1):
            try:
                self._client.server.commands.check([as_text(arg) for arg in args])
            except CommandError as error:
                discarded = as_redis_error(error)
                self.annotate_exception(discarded, number, args)
                return discarded
        return None
