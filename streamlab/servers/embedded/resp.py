"""Commands as a client writes them (RESP, or a line typed by hand), and replies as RESP2 or RESP3 has them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from .replies import Carried, encoded

_MAX_LINE = 1 << 16
_MAX_FIELDS = 1 << 20
_MAX_BULK = 512 << 20  # bytes
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")


class ProtocolError(Exception):
    """What came is no command; the text is Redis' own."""


class CommandReader:
    """Takes commands out of bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._fields: list[bytes] = []
        self._n_due = 0  # fields of the command under way
        self._length = -1  # of the field under way, once it is known

    def feed(self, piece: bytes) -> None:
        """Add what has come."""
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += piece

    def next(self) -> list[bytes] | None:
        """Return the next command, or None until all of it has come; raise `ProtocolError`."""
        while not self._n_due:
            if self._at == len(self._buffer):
                return None
            is_typed = self._buffer[self._at] != ord("*")
            line = self._line("too big inline request" if is_typed else "too big mbulk count string")
            if line is None:
                return None
            if not is_typed:
                self._n_due = max(0, _number(line, _MAX_FIELDS, "invalid multibulk length"))
            elif words := _typed(line):
                return words
        while len(self._fields) < self._n_due:
            if self._length < 0:
                line = self._line("too big bulk count string")
                if line is None:
                    return None
                if line[:1] != b"$":
                    raise ProtocolError(f"expected '$', got '{line[:1].decode('latin-1')}'")
                self._length = _number(line, _MAX_BULK, "invalid bulk length")
                if self._length < 0:
                    raise ProtocolError("invalid bulk length")
            end = self._at + self._length
            if len(self._buffer) < end + 2:
                return None
            self._fields.append(bytes(self._buffer[self._at : end]))
            self._at = end + 2
            self._length = -1
        fields, self._fields, self._n_due = self._fields, [], 0
        return fields

    def _line(self, if_endless: str) -> bytes | None:
        end = self._buffer.find(b"\n", self._at)
        if end < 0:
            if len(self._buffer) - self._at > _MAX_LINE:
                raise ProtocolError(if_endless)
            return None
        line = bytes(self._buffer[self._at : end])
        self._at = end + 1
        return line.removesuffix(b"\r")


def _number(line: bytes, most: int, if_wrong: str) -> int:
    digits = line[1:]
    if not digits.removeprefix(b"-").isdigit() or int(digits) > most:
        raise ProtocolError(if_wrong)
    return int(digits)


def _typed(line: bytes) -> list[bytes]:
    try:
        return [word.encode("latin-1") for word in shlex.split(line.decode("latin-1"))]
    except ValueError:
        raise ProtocolError("unbalanced quotes in request") from None


class Status(bytes):
    """A reply of one line, such as ``+OK``: redis-py makes True of some, and of no text that looks the same."""


class Failure(bytes):
    """An error, at the top or within the replies of a transaction."""


class Push(list[Any]):
    """What nobody has asked for: a message, or word of a subscription."""


class Members(list[Any]):
    """A set."""


class _NullArray:
    pass


NULL_ARRAY = Carried()
"""No array where there might have been one: fakeredis lets it pass within the replies of a transaction."""
NULL_ARRAY.reply = _NullArray()


def encode(reply: Any, protocol: int, known: Callable[[Any], Any]) -> bytes:
    """Return a reply as RESP2 or RESP3 has it; ``known`` makes of other things in it what is known here."""
    pieces: list[bytes] = []
    _encode(reply, protocol == 3, pieces, known)
    return b"".join(pieces)


def _encode(reply: Any, is_resp3: bool, pieces: list[bytes], known: Callable[[Any], Any]) -> None:
    kind = type(reply)
    if kind is str:
        reply, kind = encoded(reply), bytes
    if kind is bytes:
        pieces.append(b"$%d\r\n%b\r\n" % (len(reply), reply))
    elif kind is int:
        pieces.append(b":%d\r\n" % reply)
    elif reply is None or kind is _NullArray:
        pieces.append(b"_\r\n" if is_resp3 else b"$-1\r\n" if reply is None else b"*-1\r\n")
    elif kind is list or kind is Members or kind is Push or kind is tuple:
        mark = _MARKS.get(kind, b"*") if is_resp3 else b"*"
        pieces.append(b"%b%d\r\n" % (mark, len(reply)))
        for item in reply:
            _encode(item, is_resp3, pieces, known)
    elif kind is Carried:
        _encode(reply.reply, is_resp3, pieces, known)
    elif kind is dict:
        pieces.append(b"%%%d\r\n" % len(reply) if is_resp3 else b"*%d\r\n" % (2 * len(reply)))
        for pair in reply.items():
            for item in pair:
                _encode(item, is_resp3, pieces, known)
    elif kind is Status:
        pieces.append(b"+%b\r\n" % reply)
    elif kind is Failure:
        pieces.append(b"-%b\r\n" % reply.translate(_LINE_BREAKS))
    elif kind is float:
        text = b"%.17g" % reply
        pieces.append(b",%b\r\n" % text if is_resp3 else b"$%d\r\n%b\r\n" % (len(text), text))
    elif kind is bool:
        pieces.append((b"#t\r\n" if reply else b"#f\r\n") if is_resp3 else b":%d\r\n" % reply)
    else:
        _encode(known(reply), is_resp3, pieces, known)


_MARKS: dict[type, bytes] = {Members: b"~", Push: b">"}
