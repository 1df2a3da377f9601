"""The values of RESP in a stream of bytes: whole commands and replies, for who looks on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

try:
    import hiredis
except ModuleNotFoundError:  # a browser has none, and nothing to look on at
    hiredis = None  # type: ignore[assignment]

_NOT_YET: Final = object()


class Values:
    """Reads values, in bytes that come in pieces of any size; without what nobody has asked for (RESP3's pushes)."""

    def __init__(self) -> None:
        self._reader: Any = hiredis.Reader(notEnoughData=_NOT_YET)

    def read(self, piece: bytes) -> Iterator[Any]:
        """Yield the values that end in the next piece: bytes, numbers, lists, maps, errors (`hiredis.ReplyError`).

        After what is not RESP (commands typed by hand, for instance) nothing more is understood.
        """
        if self._reader is None:
            return
        self._reader.feed(piece)
        try:
            while (value := self._reader.gets()) is not _NOT_YET:
                if not isinstance(value, hiredis.PushNotification):
                    yield value
        except (hiredis.ProtocolError, TypeError):  # a map whose keys are lists
            self._reader = None
