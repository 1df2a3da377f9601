"""The server's end of a connection whose client is another process: replies leave it as bytes of RESP."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Protocol

import redis
from fakeredis._helpers import SimpleError, SimpleString
from fakeredis._socket import FakeSocket

from streamlab.model.commands import Reply
from streamlab.servers.embedded.blocked import Blocked
from streamlab.servers.embedded.replies import encoded
from streamlab.servers.embedded.resp import (
    NULL_ARRAY,
    CommandReader,
    Failure,
    Members,
    ProtocolError,
    Push,
    Status,
    encode,
)

from .databases import StreamServer
from .sockets import AsyncStreamSocket

_OF_ENTRIES = frozenset({"XREAD", "XREADGROUP", "XRANGE", "XREVRANGE"})
_OF_STATUS = frozenset({"XGROUP", "XSETID", "XCFGSET"})
_OF_MEMBERS = frozenset({"smembers", "sinter", "sunion", "sdiff", "spop"})
_OF_ARRAYS = frozenset({"exec", "lmpop", "zmpop", "blpop", "brpop", "bzpopmin", "bzpopmax", "blmpop", "bzmpop"})
"""Commands of fakeredis' that reply with an array, or none."""
_OF_ARRAYS_IF_LONG = {"lpop": 1, "rpop": 1, "zrank": 2, "zrevrank": 2}
"""Those that do so if they have more arguments than this: LPOP with a count, ZRANK with WITHSCORE."""
_FAILED = "the embedded server made a mistake"


class Wire(Protocol):
    """What carries the replies."""

    def write(self, data: bytes) -> None:
        """Send bytes, sooner or later, in this order; from any thread, and at once."""

    def hang_up(self) -> None:
        """Send what has been written, and close; from any thread, and at once."""

    def fileno(self) -> int:
        """Return the number of the socket."""


class RemoteSocket(AsyncStreamSocket):
    """The end of a connection that reaches the server over a real socket.

    fakeredis makes of a reply what redis-py would: here it stays as it is, until it is written.
    """

    def __init__(self, server: StreamServer, wire: Wire, address: str, local_address: str) -> None:
        self._wire = wire
        self._has_left = False
        info = {
            **{"addr": address, "laddr": local_address, "fd": wire.fileno(), "name": ""},
            **{"idle": 0, "flags": "N", "db": 0, "sub": 0, "psub": 0, "ssub": 0, "multi": -1},
            **{"qbuf": 0, "qbuf_free": 0, "argv_mem": 0, "multi_mem": 0, "rbs": 0, "rbp": 0},
            **{"obl": 0, "oll": 0, "omem": 0, "tot_mem": 0, "events": "r", "cmd": "NULL"},
            **{"redir": -1, "resp": 2},
        }
        super().__init__(server, 0, client_class=redis.Redis, client_info=info)

    # ---- commands ------------------------------------------------------------------------------

    def _parse_commands(self) -> Generator[None, bytes, None]:
        reader = CommandReader()
        while True:
            reader.feed((yield))
            try:
                while not (self._paused or self._killed) and (fields := reader.next()) is not None:
                    self._process_command(fields)
            except ProtocolError as error:
                self.put_response(SimpleError(f"ERR Protocol error: {error}"))
                self._end()

    def _process_command(self, fields: list[bytes]) -> None:
        if fields[0].upper() == b"QUIT":
            self.put_response(SimpleString(b"OK"))
            self._end()
            return
        try:
            super()._process_command(fields)
        except Exception as error:
            # A mistake in here: its client is told, and nobody else is concerned.
            self.put_response(SimpleError(f"ERR {_FAILED}: {type(error).__name__}: {error}"))

    def _end(self) -> None:
        """Hang up, and execute nothing any more."""
        self.pause()
        self._has_left = True
        self._wire.hang_up()

    def resume(self) -> None:
        if not self._has_left:
            super().resume()

    def kill(self) -> None:
        FakeSocket.kill(self)  # which has `_cleanup` cancel a blocked read
        self._wire.hang_up()

    # ---- replies -------------------------------------------------------------------------------

    def put_response(self, msg: Any) -> None:
        if self._has_left:
            return
        if type(msg) is tuple:
            (msg,) = msg
        elif type(msg) is list:
            msg = Push(msg)
        try:
            data = encode(msg, self._resp_version, _known)
        except TypeError as error:
            data = encode(SimpleError(f"ERR {_FAILED}: {error}"), 2, _known)
        self._wire.write(data)

    def _decode_result(self, result: Any) -> Any:
        # A tuple: what fakeredis puts out without this method is a message that nobody has asked for.
        return (result,) if isinstance(result, list) else result

    def _decode_error(self, error: SimpleError) -> Any:
        return error

    def _shaped(self, words: Sequence[str], reply: Reply) -> Any:
        command = words[0].upper()
        if reply == "OK" and command in _OF_STATUS:
            return SimpleString(b"OK")
        if reply is None and command in _OF_ENTRIES:
            return NULL_ARRAY
        if command == "XPENDING" and isinstance(reply, list) and reply[-1:] == [None]:
            reply = [*reply[:-1], NULL_ARRAY]  # nothing is pending, for no consumers
        elif command == "XREADGROUP" and isinstance(reply, list):
            reply = [[key, _with_null_arrays(entries)] for key, entries in reply]  # type: ignore[misc, str-unpack]
        return super()._shaped(words, reply)

    def _run_command(self, func: Any, sig: Any, args: Any, from_script: bool) -> Any:
        result = super()._run_command(func, sig, args, from_script)
        if result is None and (sig.name in _OF_ARRAYS or len(args) > _OF_ARRAYS_IF_LONG.get(sig.name, len(args))):
            return NULL_ARRAY
        if type(result) is list and sig.name in _OF_MEMBERS:
            return Members(result)
        return result

    # ---- waiting -------------------------------------------------------------------------------

    def _block(self, read: Blocked) -> None:
        super()._block(read)
        wake = read.when_over
        self._server.watch(self._wire.fileno(), self)

        def over() -> None:
            self.stream_server.unwatch(self._wire.fileno())
            wake()

        read.when_over = over

    def _popped(self, found: Any) -> Any:
        return NULL_ARRAY if found is None else found

    def leave(self) -> None:
        """Forget this connection: the other process has gone, or is to go. In the loop's thread."""
        self._has_left = True
        self.part()
        self.close()


def _with_null_arrays(entries: Any) -> Any:
    """Return entries of an own history, of which some are gone from the stream: they have no array of fields."""
    if not any(entry[1] is None for entry in entries):
        return entries
    return [entry if entry[1] is not None else [entry[0], NULL_ARRAY, *entry[2:]] for entry in entries]


def _known(reply: Any) -> Status | Failure:
    """Return a piece of fakeredis' replies in a kind that `encode` knows."""
    if isinstance(reply, SimpleString):
        return Status(reply.value)
    if isinstance(reply, SimpleError):
        has_code = reply.value.partition(" ")[0].isupper()
        return Failure(encoded(reply.value if has_code else f"ERR {reply.value}"))
    raise TypeError(f"no reply is a {type(reply).__name__}: {reply!r}")
