"""Replies of the grammar on their way to the client: text, in RESP2's shapes or RESP3's, or bytes if it wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamlab.model.commands import Reply


class Carried(int):
    """A reply in a shape that fakeredis passes on unread: it takes it for a number.

    That spares three walks through it, to make bytes of its text and text of its bytes. ``is_text``: all of it is
    text in UTF-8, so that a client that decodes it as such gets it as it is.
    """

    reply: Any
    is_text: bool


def delivered(reply: Any, encoder: Any) -> Any:
    """Return a reply as a client with this encoder gets it; what is carried in a transaction's replies, too."""
    if type(reply) is Carried:
        if not encoder.decode_responses:
            return _with_texts(reply.reply, encoded)
        if reply.is_text and encoder.encoding in ("utf-8", "utf8", "UTF-8"):
            return reply.reply
        return _with_texts(reply.reply, lambda text: encoder.decode(encoded(text)))
    if type(reply) is list and any(type(item) is Carried for item in reply):
        return [delivered(item, encoder) for item in reply]
    return reply


def _with_texts(reply: Any, convert: Callable[[str], Any]) -> Any:
    """Return a reply with each of its texts converted."""
    kind = type(reply)
    if kind is str:
        return convert(reply)
    if kind is list:
        return [
            convert(item) if type(item) is str else (item if type(item) is int else _with_texts(item, convert))
            for item in reply
        ]
    if kind is dict:
        return {convert(name): _with_texts(value, convert) for name, value in reply.items()}
    return reply


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
