"""What a simulated client can do beside streams: all that the embedded server can, over the same keys.

Commands on streams, and a few on keys, are answered by the simulation itself. With the first other command the
embedded server takes over the keys, its clock being the loop's: expiry, waiting for lists, WATCH and pub/sub happen in
virtual time. Until then nothing of it is even imported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import DataError

from streamlab.actors import scripts
from streamlab.model import StreamModel
from streamlab.model.commands import StreamCommands

if TYPE_CHECKING:
    from streamlab.servers.embedded.fake.virtual import Simulation, VirtualServer

_EVALS = ("EVAL", "EVALSHA")

#: What redis-py's clients want to have when they are made, one for all of them: making a pool takes most of the time
#: that making a client does, and few ask for a connection. Protocol 2: the model answers in RESP2's shapes, and
#: redis-py chooses its callbacks by this.
NO_CONNECTIONS = redis.asyncio.ConnectionPool(protocol=2, decode_responses=True)


class Pool(redis.asyncio.ConnectionPool):
    """The connections of a simulated client: to its simulation, and nowhere else. Each is made when one is needed."""

    def __init__(self, client: Any) -> None:
        super().__init__(
            protocol=2,  # the model answers in RESP2's shapes
            decode_responses=True,
            encoding_errors="surrogateescape",
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        self._client = client

    def make_connection(self) -> Any:
        """Make a connection to the simulation."""
        server = self._client.server.open()
        from streamlab.servers.embedded.fake.virtual import VirtualConnection

        return VirtualConnection(self._client, server, **self.connection_kwargs)


class PlainStreams:
    """The keys as the fast path sees them, once the embedded server has them: streams, unless there is more to do."""

    def __init__(self, server: VirtualServer) -> None:
        self._server = server

    def get(self, key: Any) -> StreamModel | None:
        """Return a stream; None for all else."""
        return self._server.plain_stream(key) if type(key) is str else None


def open_server(simulation: Simulation) -> VirtualServer:
    """Let the embedded server take over a simulation's keys.

    Raises
    ------
    ImportError
        fakeredis is not installed, or not one that fits.
    """
    if find_spec("fakeredis") is None:
        raise ImportError(
            "a simulation needs fakeredis for all commands but those on streams: pip install 'fakeredis>=2.40'"
        )
    from streamlab.servers.embedded.fake.virtual import VirtualServer

    return VirtualServer(simulation)


def is_answered_here(streams: StreamCommands, args: Sequence[Any], has_server: bool) -> bool:
    """Tell whether a command is for the simulation itself, and not for the embedded server."""
    first = args[0] if type(args[0]) is str else as_text(args[0])
    name = first.partition(" ")[0].upper()
    if name.startswith("X"):
        return True
    if name in _EVALS:
        return len(args) < 2 or not _is_of_lock(name, args[1])
    if has_server or not streams.has(name):
        return False
    return name != "SET" or len(args) <= 3


def _is_of_lock(name: str, script: Any) -> bool:
    text = as_text(script)
    if name == "EVAL":
        text = hashlib.sha1(text.encode("utf-8", "surrogateescape")).hexdigest()
    return text.lower() in scripts.LOCKS


def as_text(arg: Any) -> str:
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
