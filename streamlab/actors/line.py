"""`Line`: a connection of a consumer's own, by which commands go without waiting for the replies to those before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any

import redis.asyncio
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import ConnectionError

from .trouble import sends_again

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Seconds of work after which replies are waited for, before more is begun.
_HEARD_WITHIN = 0.01
#: Connections that have to be left in a pool for others, handlers among them.
_ROOM = 32
#: What of redis-py a line does by itself. If anybody has put something else in its place, all goes through that.
_OF_CLIENTS = ("execute_command", "parse_response", "xack", "xreadgroup")
_OF_CONNECTIONS = ("send_packed_command", "read_response")


class Line:
    """Acknowledges and reads by one connection: writes at once, and reads the replies later, in their order.

    redis-py's own methods take a connection out of the pool for each command, wait for its reply, and put it back. Here
    an acknowledgement is sent before the next entry is begun, and its reply is heard later, at most `_HEARD_WITHIN` of
    work later. With the last one goes the next read, in one write: its acknowledgement is heard before that read waits.

    The connection is the pool's again after `give_back`, without any reply that was not read: else it is closed first.
    """

    def __init__(self, client: Redis, stream: str, group: str) -> None:
        self._client: Any = client
        self._pool: Any = client.connection_pool
        self._xack = "XACK", stream, group
        self._connection: Any = None
        #: Acknowledgements that were sent and not heard of.
        self.n_acks = 0
        #: The entries in them, and all replies that are still to be read.
        self._n_sent = self._n_unread = 0
        self._clock = asyncio.get_running_loop().time
        self._hear_at = 0.0

    async def send(self, done: Sequence[str], *command: str | int) -> None:
        """Acknowledge those of `done` that were not yet (``XACK``), and send a command after that, in one write."""
        unsent = done[self._n_sent :]
        commands: list[tuple[str | int, ...]] = [(*self._xack, *unsent)] if unsent else []
        n_acks = len(commands)
        if command:
            commands.append(command)
        if not commands:
            return
        connection, is_quiet = self._connection, not self._n_unread
        if connection is not None and is_quiet and connection.should_reconnect():
            await self.give_back()
            connection = None
        if connection is None:
            connection = self._connection = await self._pool.get_connection()
        elif not (is_quiet or connection.is_connected):  # it would connect again, and wait for what never comes
            raise ConnectionError("the connection was closed before all replies came")
        self._n_sent, self.n_acks = len(done), self.n_acks + n_acks
        self._n_unread += len(commands)
        await connection.send_packed_command(connection.pack_commands(commands), check_health=is_quiet)

    @property
    def is_to_hear(self) -> bool:
        """Whether it is time to hear what has become of acknowledgements."""
        return self._clock() >= self._hear_at

    async def hear(self) -> None:
        """Read the replies to all acknowledgements; raise the first error among them."""
        for _ in range(self.n_acks):
            await self.reply("XACK")
        self._n_sent = self.n_acks = 0

    async def reply(self, name: str) -> Any:
        """Return the next reply, which is to a command of this name, as the client would."""
        reply = await self._client.parse_response(self._connection, name)
        self._n_unread -= 1
        self._hear_at = self._clock() + _HEARD_WITHIN
        return reply

    async def give_back(self) -> None:
        """Give the connection back to the pool; close it first if there are replies to come."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._n_unread:
            await connection.disconnect(nowait=True)
        self._n_sent = self.n_acks = self._n_unread = 0
        await self._pool.release(connection)


def line_of(client: Redis, stream: str, group: str) -> Line | None:
    """Return a line to a client's server; None if its commands have to go the client's own way.

    Which is so for the client of a cluster or of a simulation, one with a single connection, one that sends again or
    renews its password, one of which something was replaced (to trace it, say), and where connections are few.
    """
    usual: Any = redis.asyncio.Redis
    if not isinstance(client, usual) or client.single_connection_client or sends_again(client):
        return None
    pool: Any = client.connection_pool
    if not isinstance(pool, ConnectionPool) or pool.connection_kwargs.get("credential_provider") is not None:
        return None
    is_plain = _are_as_made(type(client), _OF_CLIENTS) and not vars(client).keys() & set(_OF_CLIENTS)
    if not is_plain or not _are_as_made(pool.connection_class, _OF_CONNECTIONS):
        return None
    _, (n_in_use, _) = pool.get_connection_count()
    return Line(client, stream, group) if pool.max_connections - n_in_use > _ROOM else None


def _are_as_made(of_class: type, names: Sequence[str]) -> bool:
    """Return whether these methods of a class are redis-py's, with nothing around them or in their place."""
    methods = [getattr(of_class, name) for name in names]
    return all(type(m) is FunctionType and m.__globals__["__name__"].startswith("redis.") for m in methods)
