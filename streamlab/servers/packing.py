"""Connections that pack commands with hiredis, as redis-py's without asyncio do.

Those with asyncio read replies in C and write commands in Python: writing an XACK of a hundred entries takes them half
as long as reading the entries.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection
from redis.asyncio.connection import UnixDomainSocketConnection as UnixConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.connection import HiredisRespSerializer
from redis.utils import HIREDIS_AVAILABLE


class _PacksInC:
    _packer = HiredisRespSerializer()

    def pack_command(self, *args: Any) -> list[bytes]:
        packed: list[bytes] = self._packer.pack(*args)
        return packed


class _TcpConnection(_PacksInC, Connection):
    pass


class _TlsConnection(_PacksInC, SSLConnection):
    pass


class _UnixConnection(_PacksInC, UnixConnection):
    pass


class _SentinelsConnection(_PacksInC, SentinelManagedConnection):
    pass


class _SentinelsTlsConnection(_PacksInC, SentinelManagedSSLConnection):
    pass


_PACKED_IN_C: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _TcpConnection,
    SSLConnection: _TlsConnection,
    UnixConnection: _UnixConnection,
    SentinelManagedConnection: _SentinelsConnection,
    SentinelManagedSSLConnection: _SentinelsTlsConnection,
}


def pack_in_c(pool: Any) -> None:
    """Let the connections that a pool will make pack their commands in C, if there is hiredis."""
    if HIREDIS_AVAILABLE:
        pool.connection_class = _PACKED_IN_C.get(pool.connection_class, pool.connection_class)
