"""`WatchedClient`: the client that a learner's consumer is given. What passes through it is reported as events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import redis.asyncio
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from streamlab.actors.events import EventKind, Report
from streamlab.checks.attempts import count_of
from streamlab.checks.consumer_watch import Life, Lock, Sent, Walk, Watch
from streamlab.checks.watched import words_of
from streamlab.model import parse_id
from streamlab.results.verdict import Objection
from streamlab.virtual.pipeline import SimulatedPipeline
from streamlab.virtual.redis import SimulatedRedis

#: A consumer that asks for new entries so often after it was told to stop does not look.
_DEAF: Final = 5
_ABOUT_REMOVAL: Final = (
    "DELCONSUMER destroys what is pending. Leave the consumer in the group, or remove it only once XPENDING says that "
    "it holds nothing."
)
#: In place of the fields of an entry of which only the id was given.
_ID_ONLY: Final = {"": ""}


class WatchedClient(redis.asyncio.Redis):
    """The client of one life of a learner's consumer.

    A larger COUNT of XAUTOCLAIM is made to `page`, so that lists need not be very long to be long; None: it is not.
    """

    def __init__(
        self,
        inner: SimulatedRedis,
        watch: Watch,
        life: Life,
        report: Report,
        *,
        stream: str,
        group: str,
        stop: asyncio.Event,
        page: int | None = None,
    ) -> None:
        super().__init__(connection_pool=inner.connection_pool)
        self.inner = inner
        self.noted, self._life, self._report, self._stop = watch, life, report, stop
        self._stream, self._group = stream, group
        self._page = page

    def __repr__(self) -> str:
        return repr(self.inner)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return self.noted.call(str(args[0]), self.send(self.inner.execute_command, args, options))

    def client(self) -> redis.asyncio.Redis:
        """Return this client: there are no connections to have one of for oneself."""
        return self

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        return _WatchedPipeline(self, transaction, shard_hint)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close the client. There is nothing to close."""

    async def send(self, by: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Send a command by some client's method, and take note of what it is and does."""
        sent, args, held = await self.note(args)
        try:
            reply = await by(*args, **options)
        except Exception as error:
            self.note_error(sent, error)
            raise
        self.note_reply(sent, reply, held)
        return reply

    async def note(self, args: tuple[Any, ...]) -> tuple[Sent, tuple[Any, ...], dict[str, str]]:
        """Take note of a command before it is sent; return it, what to send, and who holds what it names."""
        life, watch = self._life, self.noted
        if life.is_over or watch.objection is not None:
            await for_ever()
        sent = Sent(words_of(args), consumer=life.consumer, at=asyncio.get_running_loop().time())
        life.last_at = sent.at
        watch.sent.append(sent)
        watch.uses[sent.name] += 1
        held: dict[str, str] = {}
        if sent.name == "XREADGROUP":
            self._note_read(sent)
        elif sent.name in ("XACK", "XCLAIM"):
            held = self._holders(sent.words[3:])
        elif sent.name == "XAUTOCLAIM" and self._page is not None:
            args = tuple(sent.with_count(args, self._page))
        if sent.name in ("XCLAIM", "XAUTOCLAIM") and len(sent.words) > 4:
            life.names[sent.words[3]] = None
            self._note_min_idle(sent)
        return sent, args, held

    def note_error(self, sent: Sent, error: Exception) -> None:
        """Take note of an error that came in place of a reply."""
        life = self._life
        life.last_error = str(error)
        life.n_errors += 1
        if isinstance(error, ConnectionError | TimeoutError):
            life.losses.append(asyncio.get_running_loop().time())
            if not life.is_cut_off:
                life.is_cut_off = True
                self._report(EventKind.DISCONNECTED, life.consumer)
        elif isinstance(error, ResponseError) and str(error).startswith(
            ("unknown command", "unknown subcommand", "there is no Lua")
        ):
            self.noted.unknown[sent.name] = None

    def note_reply(self, sent: Sent, reply: Any, held: dict[str, str]) -> None:
        """Report what a command has brought about; `held` is who held what it names, before."""
        words, is_justid = sent.words, "JUSTID" in sent.upper
        self._life.is_cut_off = False
        self._life.n_errors = 0
        match sent.name:
            case "XREADGROUP":
                for key, entries in reply or ():
                    if key == self._stream:
                        self._given(EventKind.DELIVERED, entries)
            case "XCLAIM" if is_justid:  # of its own entries it is a heartbeat
                self._given_ids([i for i in reply if held.get(i) not in self._life.names])
            case "XCLAIM":
                self._given(EventKind.CLAIMED, reply)
            case "XAUTOCLAIM" if is_justid:
                self._given_ids(reply)
            case "XAUTOCLAIM":
                start = words[5] if len(words) > 5 else "0-0"
                self._life.walk = Walk(start, str(reply[0]), len(reply[1]))
                self._given(EventKind.CLAIMED, reply[1])
            case "XACK" if words[1] == self._stream:
                for entry_id in words[3:]:
                    self._acked(entry_id, _plain(entry_id) in held)
            case "XADD" if words[1] != self._stream:
                self.noted.dead_letters.append(dict(zip(words[3::2], words[4::2], strict=False)))
            case "SETNX":
                self._note_lock(words[1], bool(reply))
            case "SET" if "NX" in sent.upper[3:]:
                self._note_lock(words[1], reply is not None)
            case "XGROUP" if words[2:4] == (self._stream, self._group):
                self._note_group(words, reply)

    # ---- what commands mean --------------------------------------------------------------------

    def _note_read(self, sent: Sent) -> None:
        watch, life, upper = self.noted, self._life, sent.upper
        if name := sent.words[upper.index("GROUP") + 2 :][:1] if "GROUP" in upper else []:
            life.names[name[0]] = None
        if "NOACK" in upper:
            watch.uses["NOACK"] += 1
        at = upper.index("STREAMS") + 1 if "STREAMS" in upper else len(upper)
        keys_and_ids = sent.words[at:]
        half = len(keys_and_ids) // 2
        ids = dict(zip(keys_and_ids[:half], keys_and_ids[half:], strict=False))
        start = ids.get(self._stream)
        if start != ">":
            watch.uses["history"] += start is not None
            life.histories.append(sent.at)
            return
        watch.uses[">"] += 1
        if self._stop.is_set():
            life.n_after_stop += 1
            if life.n_after_stop > _DEAF:
                words = f"{life.consumer} was asked to stop (stop is set), and went on reading new entries."
                hint = "look at stop before each read: while not stop.is_set()."
                watch.refuse(Objection(words, hint), life.consumer)

    def _note_min_idle(self, sent: Sent) -> None:
        try:
            min_idle = float(sent.words[4])
        except ValueError:
            return
        ids = sent.words[5:]
        is_heartbeat = sent.name == "XCLAIM" and "JUSTID" in sent.upper
        if ids and not is_heartbeat:
            self.noted.min_idles.add(min_idle)

    def _note_lock(self, key: str, is_set: bool) -> None:
        locks = self.noted.locks
        if is_set:
            locks[key] = Lock(key, self._life)
        elif key in locks and locks[key].life is not self._life:
            locks[key].kept_out[self._life.consumer] = None

    def _given(self, kind: EventKind, entries: Any) -> None:
        """Report entries that were given, each with its delivery count."""
        group = self._group_now()
        for entry_id, fields in entries or ():
            if not fields:
                self._life.ghosts.add(entry_id)
            elif fields is not _ID_ONLY:
                self.noted.fields.setdefault(entry_id, fields)
            pending = group.pending.get(parse_id(entry_id)) if group is not None else None
            count = pending.delivery_count if pending is not None else 1
            self._report(kind, self._life.consumer, entry_id, count)

    def _given_ids(self, ids: Any) -> None:
        """Report entries of which only the ids were given (``JUSTID``)."""
        self._given(EventKind.CLAIMED, [(entry_id, _ID_ONLY) for entry_id in ids or ()])

    def _acked(self, entry_id: str, was_pending: bool) -> None:
        if not was_pending:
            kind = EventKind.VOID
        elif entry_id in self._life.ghosts or not self._fields_of(entry_id):
            kind = EventKind.TRIMMED
        else:
            kind = EventKind.DEAD_LETTERED if self._is_dead_letter(entry_id) else EventKind.ACKED
        self._report(kind, self._life.consumer, entry_id)

    def _is_dead_letter(self, entry_id: str) -> bool:
        """Return whether it was added to another stream: by its id among the values, or by all its fields."""
        flat = self._fields_of(entry_id)
        fields = dict(zip(flat[::2], flat[1::2], strict=True)).items()
        return any(entry_id in letter.values() or fields <= letter.items() for letter in self.noted.dead_letters)

    def _note_group(self, words: Sequence[str], reply: Any) -> None:
        consumer = self._life.consumer
        match words[1].upper():
            case "CREATE" | "SETID" as how:
                if how == "CREATE":
                    self.noted.created_at.append(words[4])
                self._report(EventKind.RECREATED, consumer, words[4])
            case "DESTROY" if reply:
                self._report(EventKind.GROUP_DESTROYED, consumer)
            case "DELCONSUMER" if reply:
                removed = "itself" if words[4] == consumer else words[4]
                words = (
                    f"{consumer} removed {removed} from the group (XGROUP DELCONSUMER) with {count_of(reply)} pending, "
                    "which no consumer will ever be given again."
                )
                self.noted.refuse(Objection(words, _ABOUT_REMOVAL), consumer)
            case "DELCONSUMER":
                self._report(EventKind.REMOVED, words[4])

    # ---- a look at the model -------------------------------------------------------------------

    def _stream_now(self) -> Any:
        return self.inner.server.commands.keys.get(self._stream)

    def _group_now(self) -> Any:
        return getattr(self._stream_now(), "groups", {}).get(self._group)

    def _fields_of(self, entry_id: str) -> Sequence[str]:
        """Return an entry's fields and values; nothing if it is not in the stream."""
        entries = getattr(self._stream_now(), "entries", None)
        return (entries.get(parse_id(entry_id)) if entries is not None else None) or ()

    def _holders(self, ids: Sequence[str]) -> dict[str, str]:
        """Return who has which of these entries pending."""
        group = self._group_now()
        if group is None:
            return {}
        found = {_plain(text): group.pending.get(parse_id(text)) for text in ids}
        return {entry_id: pending.consumer.name for entry_id, pending in found.items() if pending}


# What an AttributeError says: to the learner it is a client like any other.
WatchedClient.__name__ = WatchedClient.__qualname__ = "Redis"


class NotedPipeline:
    """What takes note of the commands of a pipeline: mixed into one of `_watched`."""

    _watched: WatchedClient
    command_stack: Any

    def execute(self, raise_on_error: bool = True) -> Any:
        return self._watched.noted.call("execute", self._execute_watched(raise_on_error))

    async def _execute_watched(self, raise_on_error: bool) -> list[Any]:
        notes = []
        for number, (args, options) in enumerate(list(self.command_stack)):
            sent, args_sent, held = await self._watched.note(tuple(args))
            self.command_stack[number] = (args_sent, options)
            notes.append((sent, held))
        try:
            replies = await super().execute(raise_on_error=False)  # type: ignore[misc]
        except Exception as error:
            self._watched.note_error(notes[0][0], error)
            raise
        for (sent, held), reply in zip(notes, replies, strict=True):
            if isinstance(reply, Exception):
                self._watched.note_error(sent, reply)
            else:
                self._watched.note_reply(sent, reply, held)
        for reply in replies if raise_on_error else ():
            if isinstance(reply, Exception):
                raise reply
        done: list[Any] = replies
        return done

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        by = super().immediate_execute_command  # type: ignore[misc]
        return self._watched.noted.call(str(args[0]), self._watched.send(by, args, options))


class _WatchedPipeline(NotedPipeline, SimulatedPipeline):  # type: ignore[misc]  # as redis-py's own
    """A pipeline of a `WatchedClient`."""

    def __init__(self, watched: WatchedClient, transaction: bool, shard_hint: str | None) -> None:
        super().__init__(watched.inner, transaction, shard_hint)
        self._watched = watched


async def for_ever() -> None:
    """Wait for what never comes: the process is dead, and not one more line of it may have an effect."""
    await asyncio.get_running_loop().create_future()


def _plain(entry_id: str) -> str:
    """Return an id as Redis writes it."""
    parsed = parse_id(entry_id)
    return entry_id if parsed is None else f"{parsed[0]}-{parsed[1]}"
