"""What was typed to a Redis by hand in this process: ``%redis`` writes it down, and a panel of that server shows it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from redis.connection import parse_url

from streamlab.servers.several import parse_several

#: Commands that are kept.
_MOST: Final = 100


class Typed(NamedTuple):
    """A command on streams, with its reply in a line. `at` is the machine's time (``time.monotonic``)."""

    number: int
    at: float
    where: str
    text: str
    reply: str


_typed: deque[Typed] = deque(maxlen=_MOST)


def where_of(settings: Mapping[str, Any]) -> str:
    """Return which server a connection with these settings is to, and which of its databases."""
    host = str(settings.get("host", "localhost")).replace("127.0.0.1", "localhost")
    place = settings.get("path") or f"{host}:{settings.get('port', 6379)}"
    return f"{place}/{settings.get('db') or 0}"


def note_typed(settings: Mapping[str, Any], words: list[str], reply: str) -> None:
    """Keep a command on streams; others may hold secrets."""
    if words[0].upper().startswith("X"):
        number = _typed[-1].number + 1 if _typed else 1
        _typed.append(Typed(number, time.monotonic(), where_of(settings), " ".join(words), reply))


def typed_to(url: str, after: int) -> list[Typed]:
    """Return what was typed to the server at a URL, after the one of this number."""
    if parse_several(url) is not None:
        return []  # which of them a command went to is not noted
    where = where_of(parse_url(url))  # type: ignore[no-untyped-call]
    return [each for each in [*_typed] if each.number > after and each.where == where]
