"""Replies of the grammar on their way to the client: text, in RESP2's shapes or RESP3's, or bytes if it wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from streamlab.stream_commands import Reply


class Carried(int):
    """A reply in a shape that fakeredis passes on unread: it takes it for a number.

    That spares three walks through it, to make bytes of its text and text of its bytes.
    """

    reply: Any

    def __new__(cls, reply: Any) -> Self:
        """Wrap a reply."""
        carried = super().__new__(cls, 0)
        carried.reply = reply
        return carried


def delivered(reply: Any, encoder: Any) -> Any:
    """Return a reply as a client with this encoder gets it; what is carried in a transaction's replies, too."""
    if type(reply) is Carried:
        return _as_client_has_it(reply.reply, encoder)
    if type(reply) is list and any(type(item) is Carried for item in reply):
        return [delivered(item, encoder) for item in reply]
    return reply


def _as_client_has_it(reply: Any, encoder: Any) -> Any:
    kind = type(reply)
    if kind is str:
        if encoder.decode_responses and reply.isascii():
            return reply  # in any encoding but a few that nobody uses
        return encoder.decode(encoded(reply))
    if kind is list:
        if encoder.decode_responses and _is_ascii(reply):
            return reply
        return [_as_client_has_it(item, encoder) for item in reply]
    if kind is dict:
        return {
            _as_client_has_it(name, encoder): _as_client_has_it(value, encoder)
            for name, value in reply.items()
        }
    return reply


def _is_ascii(reply: list[Any]) -> bool:
    for item in reply:
        kind = type(item)
        if kind is str:
            if not item.isascii():
                return False
        elif kind is dict or (kind is list and not _is_ascii(item)):
            return False
    return True


def decoded(data: bytes) -> str:
    """Return bytes as the grammar's text, whatever they are."""
    return data.decode("utf-8", "surrogateescape")


def encoded(text: str) -> bytes:
    """Return the bytes that the grammar's text stands for."""
    return text.encode("utf-8", "surrogateescape")


def as_resp3(words: Sequence[str], reply: Reply) -> Any:
    """Return the reply to a command as RESP3 has it: with maps."""
    command = words[0].upper()
    if isinstance(reply, list):
        if command in ("XREAD", "XREADGROUP"):
            return dict(reply)  # type: ignore[arg-type]
        if command == "XINFO" and words[1].upper() == "STREAM":
            return _stream(reply)
        if command == "XINFO":
            return [_map(item) for item in reply]
    return reply


def _map(flat: Reply) -> dict[str, Any]:
    assert isinstance(flat, list)
    return dict(zip(flat[::2], flat[1::2], strict=True))  # type: ignore[arg-type]


def _stream(flat: Reply) -> dict[str, Any]:
    """Return XINFO STREAM's reply; with FULL, groups and consumers within are maps, too."""
    figures = _map(flat)
    if isinstance(figures["groups"], list):
        figures["groups"] = [_map(group) for group in figures["groups"]]
        for group in figures["groups"]:
            group["consumers"] = [_map(consumer) for consumer in group["consumers"]]
    return figures
