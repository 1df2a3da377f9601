"""A private server, and connections to it that show replies exactly as they came."""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence
from typing import Any

import hiredis

from streamlab.model.commands import CommandError, Reply
from streamlab.servers.private import PrivateServer

Version = tuple[int, int, int]
_PATIENCE_S = 10
VALKEY_AS_REDIS = (7, 2, 4)
Answer = Reply | CommandError


class Map(list[Any]):
    """A map of RESP3, laid out as RESP2 has it: a flat list, or for reads a list of pairs."""


class Line(str):
    """A text that came as a line of its own (``+OK``), and not as a string of so many bytes."""

    __slots__ = ()


class Verbatim(Line):
    """A text that came with its format (RESP3)."""

    __slots__ = ()


class NullArray(list[Reply]):
    """No array (``*-1``), which is not what no string is (``$-1``)."""

    def __repr__(self) -> str:
        return "no array"


class Double(Line):
    """A number with a point (RESP3)."""

    __slots__ = ()


class Members(list[Reply]):
    """A set (RESP3)."""


class Push(list[Reply]):
    """What nobody has asked for (RESP3)."""


class Connection:
    """A blocking connection over a unix socket.

    Replies are told as hiredis reads them; if ``exact``, so that replies which look the same are the same bytes.
    """

    def __init__(self, path: str, protocol: int = 2, *, exact: bool = False) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_PATIENCE_S)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._reader = (
            _ExactReader()
            if exact
            else hiredis.Reader(replyError=CommandError, encoding="utf-8", errors="surrogateescape")
        )
        if protocol == 3:
            self.ask("HELLO", "3")

    def send(self, *commands: Sequence[str]) -> None:
        """Send commands in one write."""
        self._socket.sendall(b"".join(map(_encode, commands)))

    def receive(self) -> Answer:
        """Wait for the next reply."""
        return plain(self.receive_any())

    def receive_any(self) -> object:
        """Wait for the next reply, of whatever kinds it is."""
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(data)
        return reply

    def poll(self) -> Answer | bool:
        """Return a reply if one has come, else False."""
        if not select.select([self._socket], [], [], 0)[0]:
            return False
        return self.receive()  # if it has begun to come, all of it will

    def ask(self, *args: str) -> Answer:
        """Send a command and wait for its reply."""
        self.send(args)
        return self.receive()

    def ask_timed(self, args: Sequence[str]) -> tuple[int, Answer, int]:
        """Send a command; return its reply and the server's time in ms before and after it."""
        self.send(("TIME",), args, ("TIME",))
        before, reply, after = self.receive(), self.receive(), self.receive()
        return _as_ms(before), reply, _as_ms(after)

    def close(self) -> None:
        self._socket.close()


class _ExactReader:
    """Reads replies as `hiredis.Reader` does, but forgets nothing of their form."""

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    def feed(self, data: bytes) -> None:
        self._data = self._data[self._at :] + data
        self._at = 0

    def gets(self) -> object:
        """Return the next reply, or False until all of it has come."""
        began_at = self._at
        try:
            return self._reply()
        except EOFError:
            self._at = began_at
            return False

    def _take(self, length: int) -> str:
        end = self._at + length
        if len(self._data) < end + 2:
            raise EOFError
        assert self._data[end : end + 2] == b"\r\n"
        text = self._data[self._at : end].decode("utf-8", "surrogateescape")
        self._at = end + 2
        return text

    def _reply(self) -> object:
        end = self._data.find(b"\r\n", self._at)
        if end < 0:
            raise EOFError
        line = self._take(end - self._at)
        kind, rest = line[0], line[1:]
        if kind in "+-":
            return Line(rest) if kind == "+" else CommandError(rest)
        if kind == "_":
            return None
        if kind == ",":
            return Double(rest)
        number = int(rest)
        if kind == ":":
            return number
        if number < 0:
            return {"$": None, "*": NullArray()}[kind]
        if kind == "$":
            return self._take(number)
        if kind == "=":
            return Verbatim(self._take(number))
        if kind == "%":
            return {self._reply(): self._reply() for _ in range(number)}
        items = [self._reply() for _ in range(number)]
        return {"*": list, ">": Push, "~": Members}[kind](items)


def _encode(args: Sequence[str]) -> bytes:
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        data = arg.encode("utf-8", "surrogateescape")
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


def plain(reply: object) -> Answer:
    """Check that a reply has only the types that RESP2 knows, and lay out RESP3's maps as RESP2 does."""
    if isinstance(reply, list):
        return type(reply)([plain(item) for item in reply])
    if isinstance(reply, dict):
        values = [plain(value) for value in reply.values()]
        if all(map(_are_entries, values)):  # a read's
            return Map([key, value] for key, value in zip(reply, values, strict=True))
        return Map(item for pair in zip(reply, values, strict=True) for item in pair)
    assert reply is None or isinstance(reply, int | str | CommandError), reply
    return reply


def _are_entries(value: object) -> bool:
    return isinstance(value, list) and not isinstance(value, Map)


def kinds(reply: Answer) -> object:
    """Return the structure of a reply: where it has lists, and where maps; and of what forms the rest is, if exact."""
    if not isinstance(reply, list):
        return type(reply) if isinstance(reply, Line) else None
    return type(reply), *map(kinds, reply)


def _as_ms(reply: Answer) -> int:
    assert isinstance(reply, list)
    seconds, microseconds = reply
    return int(str(seconds)) * 1000 + int(str(microseconds)) // 1000


class Server(PrivateServer):
    """A private server that the model is compared with."""

    def __init__(self, program: str) -> None:
        super().__init__(program)
        # Valkey left Redis at 7.2.4, and counts on its own since.
        self.as_redis = self.version if self.kind == "redis" else VALKEY_AS_REDIS

    def connect(self, protocol: int = 2, *, exact: bool = False) -> Connection:
        return Connection(str(self.socket_path), protocol, exact=exact)
