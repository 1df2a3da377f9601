"""Where the frames of RESP, the protocol of Redis, begin in a stream of bytes, and which commands they are."""

from __future__ import annotations

from collections.abc import Iterator

_MAX_LINE = 1 << 20  # bytes; Redis' own errors and numbers are far below


class ProtocolError(Exception):
    """What came is not RESP."""


class Frames:
    """Finds where the frames of RESP begin, in bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._due: list[int] = []  # of each aggregate that is open, the elements still to come
        self._line = b""  # the beginning of a line whose end has not come
        self._to_skip = 0  # bytes of a bulk string, with its line end
        self._is_inside = False

    def begun(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """Give place and first byte of each frame that begins in the next piece."""
        at = 0
        while at < len(piece):
            if self._to_skip:
                bulk = piece[at : at + self._to_skip]
                self._bulk(bulk)
                at += len(bulk)
                self._to_skip -= len(bulk)
                if not self._to_skip:
                    self._element_ends()
                continue
            if not self._is_inside:
                self._is_inside = True
                yield at, piece[at : at + 1]
            end = piece.find(b"\n", at) + 1
            self._line += piece[at : end or len(piece)]
            if len(self._line) > _MAX_LINE:
                raise ProtocolError("a line without end")
            if not end:
                return
            line, self._line, at = self._line, b"", end
            self._read_line(line)

    def _read_line(self, line: bytes) -> None:
        kind = line[:1]
        try:
            if kind in b"$=!":
                length = int(line[1:])
                if length >= 0:
                    self._to_skip = length + 2
                    return
            elif kind in b"*~>%|":
                n_elements = int(line[1:]) * (2 if kind in b"%|" else 1)
                if n_elements > 0:
                    self._due.append(n_elements)
                    return
        except ValueError:
            raise ProtocolError(f"not RESP: {line[:40]!r}") from None
        self._other(line)
        self._element_ends()

    def _element_ends(self) -> None:
        while self._due:
            self._due[-1] -= 1
            if self._due[-1]:
                return
            self._due.pop()
        self._is_inside = False
        self._frame_ends()

    def _bulk(self, part: bytes) -> None:
        """Take note of a part of a bulk string."""

    def _other(self, line: bytes) -> None:
        """Take note of an element of one line."""

    def _frame_ends(self) -> None:
        """Take note of a frame's end."""


class Commands(Frames):
    """Finds the names of commands."""

    def __init__(self) -> None:
        super().__init__()
        self._name = b""
        self._names: list[bytes] = []
        #: Where in the last piece each command begins (0: before it).
        self.begins: list[int] = []

    def names(self, piece: bytes) -> list[bytes]:
        """Return the names, in capitals, of the commands that end in the next piece."""
        self.begins = [0] if self._is_inside else []
        self.begins += (at for at, _ in self.begun(piece))
        names, self._names = self._names, []
        return names

    def _bulk(self, part: bytes) -> None:
        if b"\n" not in self._name:  # the first string of a command; its line end closes it
            self._name += part

    def _other(self, line: bytes) -> None:
        if not self._due and line.strip():  # typed by hand, as in netcat
            self._name = line.split()[0]

    def _frame_ends(self) -> None:
        if self._name:
            self._names.append(self._name.strip().upper())
        self._name = b""
