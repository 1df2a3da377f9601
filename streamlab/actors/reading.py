"""`Reader`: reads a group's entries as one of its consumers, and notes where a lost group could begin again."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoPermissionError, ResponseError

from .redis_calls import ask_for_place, place_in, safe_start, start_of_new_group
from .replies import AS_BYTES, Replies, entries_of
from .watch import Watch

if TYPE_CHECKING:
    from redis.asyncio import Redis


class Reader:
    """What a consumer asks its server for, however the client decodes and whatever entries hold."""

    def __init__(self, client: Redis, stream: str, group: str, consumer: str, watch: Watch) -> None:
        self.client, self.replies, self._watch = client, Replies(client), watch
        self.stream, self.group, self.consumer = self.replies.texts((stream, group, consumer))
        #: Whether new entries, too, are read as bytes: some of them are no text.
        self.is_careful = False
        #: From where a lost group could begin again, and whether we may ask.
        self._safe_id = "0"
        self.may_ask_for_place = True

    async def ask(self, *command: Any, **options: Any) -> Any:
        """Send a command, and return its reply as `Replies.ask` does."""
        reply = await self.replies.ask(*command, **options)
        self._watch.n_answers += 1
        return reply

    def command(self, count: int, last_id: str, *options: str | int) -> list[str | int]:
        """Return the command that reads entries after an id, or new ones."""
        who = ["XREADGROUP", "GROUP", self.group, self.consumer]
        return [*who, "COUNT", count, *options, "STREAMS", self.stream, last_id]

    async def read(self, command: Sequence[str | int], *, notes_place: bool = False, **options: Any) -> list[Any]:
        """Return the entries that a command reads, whatever they hold.

        From where a lost group could begin again is asked in the same round trip, if that is wanted.
        """
        if not notes_place:
            return self.replies.read(await self.ask(*command, **options))
        pipe = self.client.pipeline(transaction=False)
        ask_for_place(pipe, self.stream, self.group)
        pipe.execute_command(*command, **options, **AS_BYTES)
        *place, reply = await pipe.execute(raise_on_error=False)
        self._watch.n_answers += 1
        self._note_place(place)
        if isinstance(reply, Exception):
            raise reply
        return self.replies.read(reply)

    async def acknowledge_and_read(
        self, ids: Sequence[str], command: Sequence[str | int], *, notes_place: bool = False, **options: Any
    ) -> list[Any]:
        """Acknowledge entries, and return those that a command reads, in one round trip."""
        pipe = self.client.pipeline(transaction=False)
        pipe.xack(self.stream, self.group, *ids)
        if notes_place:
            ask_for_place(pipe, self.stream, self.group)
        pipe.execute_command(*command, **options, **(AS_BYTES if self.is_careful else {}))
        n_acked, *place, reply = await pipe.execute(raise_on_error=False)
        self._watch.n_answers += 1
        if place:
            self._note_place(place)
        for answer in (n_acked, reply):
            if isinstance(answer, Exception):
                raise answer
        return self.entries_in(reply)

    def entries_in(self, reply: Any) -> list[Any]:
        """Return the entries in a reply to a command that reads new ones."""
        is_plain = self.replies.give_text and not self.is_careful
        return entries_of(reply) if is_plain else self.replies.read(reply)

    # ---- where a lost group could begin again ----------------------------------------------------

    def _note_place(self, answers: Sequence[Any]) -> None:
        """Remember from where a lost group could begin again."""
        if any(isinstance(answer, NoPermissionError) for answer in answers):
            self.may_ask_for_place = False  # who may only read and acknowledge works all the same
        with contextlib.suppress(ResponseError):  # the read beside it meets the same, if it matters
            self._safe_id = place_in(self.replies, self.group, answers, self._safe_id)

    async def look_for_place(self) -> None:
        """Ask from where a lost group could begin again; raise ``NOGROUP`` if it is lost."""
        self._safe_id = await safe_start(self.client, self.stream, self.group, self._safe_id)
        self._watch.n_answers += 1

    async def place_of_new_group(self) -> str:
        """Return where the group has to begin, now that it is lost."""
        place = await start_of_new_group(self.client, self.stream, self._safe_id)
        self._watch.n_answers += 1
        return place
