"""`Replies`: what a client answers, made alike for clients of text and of bytes, whatever an entry holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from redis.client import NEVER_DECODE

if TYPE_CHECKING:
    from redis.asyncio import Redis


#: The option of a command whose reply is to be left as bytes.
AS_BYTES: Any = {NEVER_DECODE: True}


class Replies:
    """Reads a client's replies as bytes, and gives ids and names as text, fields as the client would.

    redis-py's clients give bytes unless they are told ``decode_responses=True``; and one that is told so fails at
    the first entry that is no text, when the server has counted it as delivered. Here such an entry has surrogate
    escapes: ``value.encode(errors="surrogateescape")`` is what was added.
    """

    def __init__(self, client: Redis) -> None:
        encoder = client.get_encoder()  # type: ignore[no-untyped-call]
        self._client = client
        self._encoding: str = encoder.encoding
        #: Whether the client decodes.
        self.give_text: bool = encoder.decode_responses

    async def ask(self, *command: Any, **options: Any) -> Any:
        """Send a command and return its reply, in redis-py's shape, with all text in it as bytes.

        (A simulated client has only text.)
        """
        return await self._client.execute_command(*command, **options, **AS_BYTES)  # type: ignore[no-untyped-call]

    def text(self, value: Any) -> Any:
        """Return an id or a name as text; what is neither bytes nor text, as it is."""
        if not isinstance(value, bytes):
            return value
        try:
            return value.decode(self._encoding, "surrogateescape")
        except UnicodeDecodeError:  # of some encodings, not all can be escaped
            return value.decode("latin-1")

    def texts(self, values: Iterable[Any]) -> list[Any]:
        """Return ids or names as text."""
        return [self.text(value) for value in values]

    def entries(self, rows: Iterable[Any]) -> list[Any]:
        """Return entries with their ids as text; without those that Redis 6.2 gives as nothing at all."""
        return [
            (self.text(entry_id), self._fields(fields), *more)
            for entry_id, fields, *more in rows
            if entry_id is not None
        ]

    def read(self, reply: Any) -> list[Any]:
        """Return the entries in a reply to a read of one stream; none if the read timed out."""
        return self.entries(entries_of(reply))

    def _fields(self, fields: Any) -> Any:
        if not self.give_text or not fields:
            return fields
        return {self.text(name): self.text(value) for name, value in fields.items()}


def entries_of(reply: Any) -> list[Any]:
    """Return the entries in a reply to a read of one stream, as they are; none if the read timed out."""
    if not reply:
        return []
    if isinstance(reply, list):
        return reply[0][1]  # type: ignore[no-any-return]
    entries: list[Any] = next(iter(reply.values()))
    # Some versions of redis-py wrap a RESP3 reply once more.
    return entries[0] if entries and isinstance(entries[0], list) else entries
