"""Replies of the grammar, which are RESP2's and text, as the bytes and maps that a connection carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamlab.stream_commands import Reply


def decoded(data: bytes) -> str:
    """Return bytes as the grammar's text, whatever they are."""
    return data.decode("utf-8", "surrogateescape")


def encoded(reply: Reply) -> Any:
    """Return a reply with bytes for text."""
    if isinstance(reply, str):
        return reply.encode("utf-8", "surrogateescape")
    if isinstance(reply, list):
        return [encoded(item) for item in reply]
    return reply


def as_resp3(words: Sequence[str], reply: Reply) -> Any:
    """Return the reply to a command as RESP3 has it: with maps."""
    command = words[0].upper()
    if isinstance(reply, list):
        if command in ("XREAD", "XREADGROUP"):
            return {encoded(key): encoded(entries) for key, entries in _pairs(reply)}
        if command == "XINFO":
            if words[1].upper() == "STREAM":
                return _stream(reply)
            return [_map(item) for item in reply]
    return encoded(reply)


def _pairs(reply: list[Reply]) -> Any:
    return reply


def _map(flat: Reply) -> dict[bytes, Any]:
    assert isinstance(flat, list)
    return {
        encoded(name): encoded(value) for name, value in zip(flat[::2], flat[1::2], strict=True)
    }


def _stream(flat: list[Reply]) -> dict[bytes, Any]:
    """Return XINFO STREAM's reply; with FULL, groups and consumers within are maps, too."""
    figures = _map(flat)
    groups = dict(zip(flat[::2], flat[1::2], strict=True)).get("groups")
    if isinstance(groups, list):
        figures[b"groups"] = [_group(group) for group in groups]
    return figures


def _group(flat: Reply) -> dict[bytes, Any]:
    assert isinstance(flat, list)
    figures = _map(flat)
    consumers = dict(zip(flat[::2], flat[1::2], strict=True))["consumers"]
    assert isinstance(consumers, list)
    figures[b"consumers"] = [_map(consumer) for consumer in consumers]
    return figures
