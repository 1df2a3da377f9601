"""Reading the arguments of commands, with the errors that Redis gives for them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from streamlab.model import MAX_ID, MIN_ID, Behaviour, StreamId, next_id, parse_id, previous_id
from streamlab.model.ids import MAX_U64

Reply = None | int | str | list["Reply"]
"""A reply as RESP2 carries it; maps are flat lists."""

SYNTAX_ERROR = "ERR syntax error"
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
NOT_AN_INTEGER = "ERR value is not an integer or out of range"
INVALID_ID = "ERR Invalid stream ID specified as stream command argument"

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_MIN_I64, _MAX_I64 = -(1 << 63), (1 << 63) - 1
_ANY_TIME_MS = 1 << 40  # Redis takes the time of day; the exact limit is nobody's concern
_MANY_IDS = 8  # from here on, reading them together is faster than one by one
_SHORT_ID = 21  # of so many characters, the dash among them, neither half goes beyond 64 bits


class CommandError(Exception):
    """An error reply; its text is the server's, code included (``NOGROUP No such key …``)."""


def syntax_error() -> CommandError:
    return CommandError(SYNTAX_ERROR)


def wrong_arity(command: str) -> CommandError:
    return CommandError(f"ERR wrong number of arguments for '{command}' command")


def shown(text: str, n_bytes: int | None = None) -> str:
    """Return a text as it appears in an error message: one line, cut where C takes it to end.

    With ``n_bytes`` it is cut there at the latest, be it within a character.
    """
    text = as_c_string(text).replace("\r", " ").replace("\n", " ")
    if n_bytes is None:
        return text
    return text.encode("utf-8", "surrogateescape")[:n_bytes].decode("utf-8", "surrogateescape")


def wrong_subcommand(container: str, name: str) -> CommandError:
    return CommandError(
        f"ERR unknown subcommand or wrong number of arguments for '{shown(name, 128)}'. Try {container.upper()} HELP."
    )


def integer(text: str, error: str = NOT_AN_INTEGER) -> int:
    """Read a signed 64-bit number; only its one canonical spelling will do."""
    if _INTEGER.fullmatch(text):
        value = int(text)
        if _MIN_I64 <= value <= _MAX_I64:
            return value
    raise CommandError(error)


def count_of(text: str) -> int:
    """Read a COUNT: negative numbers count as 0."""
    return max(integer(text), 0)


def timeout_ms(text: str, behaviour: Behaviour) -> int:
    """Read the argument of BLOCK."""
    value = integer(text, "ERR timeout is not an integer or out of range")
    if value < 0:
        raise CommandError("ERR timeout is negative")
    if behaviour.block_is_limited and value > _MAX_I64 - _ANY_TIME_MS:
        raise CommandError("ERR timeout is out of range")
    return value


def as_c_string(text: str) -> str:
    """Cut a text where C takes it to end."""
    return text if "\0" not in text else text[: text.index("\0")]


def entry_id(text: str, missing_seq: int = 0) -> StreamId:
    """Read an id that must be one: neither ``-`` nor ``+``."""
    parsed = parse_id(text, missing_seq)
    if parsed is None:
        raise CommandError(INVALID_ID)
    return parsed


def entry_ids(texts: Sequence[str]) -> list[StreamId]:
    """Read ids that must be some, as `entry_id` reads each."""
    n = len(texts)
    if n >= _MANY_IDS and max(map(len, texts)) <= _SHORT_ID:
        joined = " ".join(texts)
        # Without its digits, a list of ids in their usual spelling is this.
        if joined.isascii() and joined.encode().translate(None, b"0123456789") == b" ".join([b"-"] * n):
            numbers = joined.replace("-", " ").split(" ")
            if "" not in numbers:
                halves = map(int, numbers)
                return [*zip(halves, halves, strict=True)]
    return [*map(entry_id, texts)]


def entry_id_or_end(text: str, missing_seq: int = 0) -> StreamId:
    """Read an id, or ``-`` or ``+`` for the smallest and the largest."""
    text = as_c_string(text)
    if text == "-":
        return MIN_ID
    if text == "+":
        return MAX_ID
    return entry_id(text, missing_seq)


def interval_start(text: str) -> StreamId:
    """Read where a range begins; ``(`` before the id excludes it."""
    if len(text) > 1 and text[0] == "(":
        after = next_id(entry_id(text[1:]))
        if after is None:
            raise CommandError("ERR invalid start ID for the interval")
        return after
    return entry_id_or_end(text)


def interval_end(text: str) -> StreamId:
    """Read where a range ends; ``(`` before the id excludes it."""
    if len(text) > 1 and text[0] == "(":
        before = previous_id(entry_id(text[1:], MAX_U64))
        if before is None:
            raise CommandError("ERR invalid end ID for the interval")
        return before
    return entry_id_or_end(text, MAX_U64)
