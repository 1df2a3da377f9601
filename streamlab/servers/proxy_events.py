"""What passes through a proxy, in the words of consumer groups: who was given what, and what was acknowledged.

So a program need not tell anything: it is known by its commands (XREADGROUP, XCLAIM, XAUTOCLAIM, XACK …) and by their
replies, those of a pipeline or a transaction as well. What a script does is not to be seen; that it had an entry's id
among its arguments is, and so are entries that it returns as XREADGROUP would.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

#: An entry, and how often it had been delivered, if the reply says so.
Given = tuple[str, int | None]
How = Literal["new", "history", "claimed", "renamed", "by a script"]

ENTRY_ID: Final = re.compile(r"\d+-\d+")
_ACKS: Final = ("XACK", "XACKDEL")
_SCRIPTS: Final = ("EVAL", "EVALSHA", "FCALL")
_EFFECTS: Final = ("HINCRBY", "HSET", "HSETNX", "HMSET", "XADD")


class Witness(Protocol):
    """Who hears of what a program does to its group."""

    def asks(self, name: str, how: How, min_idle_ms: int) -> None:
        """Note that it asks for entries, under a name; of what it claims, how long it must have been idle."""

    def is_to_ack(self, ids: Sequence[str]) -> bool:
        """Note that an acknowledgement is on its way; return whether it may be passed on."""

    def is_to_have_effect(self, ids: Sequence[str]) -> bool:
        """Note that effects are on their way; return whether they may be passed on."""

    def given(self, entries: Sequence[Given], how: How) -> None:
        """Note what it was given; "renamed": claimed with JUSTID, so that only the owner has changed; "by a script":
        read or claimed, one cannot know."""

    def acked(self, ids: Sequence[str], n: int) -> None:
        """Note that of these `n` were pending, and are not any more."""

    def effect(self, entry_id: str) -> None:
        """Note that an effect has happened."""

    def unheard(self, ids: Sequence[str]) -> None:
        """Note what may have been acknowledged: a script had these ids among its arguments, or a reply never came."""

    def found_gone(self, ids: Sequence[str]) -> None:
        """Note that it was told of entries that are pending, and not in the stream any more."""

    def stops_at_empty_page(self) -> None:
        """Note that it left a walk by XAUTOCLAIM at a page that was empty, before the list had ended."""

    def recreated(self, start: str) -> None:
        """Note that it has made the group."""

    def removed(self, name: str, n_pending: int) -> None:
        """Note that it has removed a consumer, with what was pending for it."""

    def cut(self) -> None:
        """Note that it has lost a connection."""


@dataclass(slots=True)
class GroupWatcher:
    """Looks on at a connection for one group; of effects, what is written to a key (a hash or a stream)."""

    stream: str
    group: str
    effects: str | None
    witness: Witness
    _waiting: deque[list[str]] = field(default_factory=deque)
    _queued: list[list[str]] | None = None  # of a transaction
    _cursor: str | None = None  # of a walk whose last page was empty, and which has not ended

    # ---- commands ------------------------------------------------------------------------------

    def sent(self, command: list[bytes]) -> bool:
        words = [_text(word) for word in command]
        words[:1] = [word.upper() for word in words[:1]]
        is_passed_on = self._may_pass(words)
        if is_passed_on:
            self._waiting.append(words)
        return is_passed_on

    def _may_pass(self, words: list[str]) -> bool:
        """Tell what a command is about; return whether it may be passed on."""
        name = words[0] if words else ""
        if ids := self._to_ack(words):
            return self.witness.is_to_ack(ids)
        if name in _EFFECTS and words[1:2] == [self.effects]:
            return self.witness.is_to_have_effect(_ids(words[2:]))
        if name == "XREADGROUP":
            self._ask(words)
        elif name in ("XCLAIM", "XAUTOCLAIM") and self._is_ours(words[1:3]) and len(words) > 4:
            self.witness.asks(words[3], "claimed", _number(words[4]))
            if name == "XAUTOCLAIM" and self._cursor not in (None, *words[5:6]):
                self.witness.stops_at_empty_page()
        return True

    def _to_ack(self, words: list[str]) -> list[str]:
        """Return the ids that a command acknowledges; of a script, those that it may."""
        name = words[0] if words else ""
        if name in _ACKS and self._is_ours(words[1:3]):
            return _ids(words[3:])
        if name in _SCRIPTS and self._keys(words) & {self.stream, self.effects}:
            return _ids(words)
        return []

    def _ask(self, words: list[str]) -> None:
        read = _Read.of(words)
        start = read.streams.get(self.stream)
        if read.group == self.group and start is not None:
            self.witness.asks(read.consumer, "new" if start == ">" else "history", 0)
            if read.min_idle_ms is not None:
                self.witness.asks(read.consumer, "claimed", read.min_idle_ms)

    def _is_ours(self, names: list[str]) -> bool:
        return names == [self.stream, self.group]

    def _keys(self, words: list[str]) -> set[str | None]:
        return {*words[3 : 3 + _number(words[2])]} if len(words) > 2 else set()

    # ---- replies -------------------------------------------------------------------------------

    def answered(self, reply: object) -> None:
        if not self._waiting:
            return  # a connection that did not begin with us
        words = self._waiting.popleft()
        name = words[0] if words else ""
        if self._queued is not None:
            if name == "EXEC":
                queued, self._queued = self._queued, None
                if isinstance(reply, list):
                    self._executed(list(zip(queued, reply, strict=False)))
            elif name == "DISCARD":
                self._queued = None
            elif reply == b"QUEUED":
                self._queued.append(words)
        elif name == "MULTI" and reply == b"OK":
            self._queued = []
        else:
            self._done(words, reply)

    def _executed(self, answers: list[tuple[list[str], Any]]) -> None:
        """Take note of a transaction: all of it happens at once, so effects do not come after acknowledgements."""
        for is_effect in (True, False):
            for words, reply in answers:
                if (words[0] in _EFFECTS) == is_effect:
                    self._done(words, reply)

    def _done(self, words: list[str], reply: Any) -> None:
        name = words[0] if words else ""
        if isinstance(reply, Exception):
            return
        if name in _EFFECTS and words[1:2] == [self.effects]:
            self._had_effect(words, reply)
        elif name in _SCRIPTS:
            self._is_unheard(words)
            self._give(self._returned(reply), "by a script")
        elif name in _AFTER:
            _AFTER[name](self, words, reply)

    def _returned(self, reply: Any) -> list[list[Any]]:
        """Return the entries of our stream in a script's reply, if that has the shape of XREADGROUP's."""
        rows = [row for row in reply if isinstance(row, list) and len(row) == 2] if isinstance(reply, list) else []
        found = [row[1] for row in rows if row[0] == self.stream.encode() and isinstance(row[1], list)]
        return [entry for entries in found for entry in entries if isinstance(entry, list) and _is_entry(entry)]

    def _had_effect(self, words: list[str], reply: Any) -> None:
        is_new = words[0] in ("HINCRBY", "XADD") or reply not in (0, b"0")
        for entry_id in _ids(words[2:]) if is_new else ():
            self.witness.effect(entry_id)

    def _was_read(self, words: list[str], reply: Any) -> None:
        read = _Read.of(words)
        start = read.streams.get(self.stream)
        if read.group != self.group or start is None or not reply:
            return
        rows = dict(reply.items() if isinstance(reply, Mapping) else reply)
        entries = rows.get(self.stream.encode(), [])
        if start != ">":
            self._give(entries, "history")
            return
        again = [entry for entry in entries if len(entry) > 3 and entry[3]]
        self._give(again, "claimed")
        self._give([entry for entry in entries if entry not in again], "new")
        if read.noack:
            ids = [_text(entry[0]) for entry in entries]
            self.witness.acked(ids, len(ids))

    def _was_claimed(self, words: list[str], reply: Any) -> None:
        if not self._is_ours(words[1:3]):
            return
        rows, gone = (reply[1], reply[2:3]) if words[0] == "XAUTOCLAIM" else (reply, [])
        if "JUSTID" in (word.upper() for word in words[5:]):
            self.witness.given([(_text(row), None) for row in rows], "renamed")
        else:
            self._give([row for row in rows if row], "claimed")
        if words[0] == "XAUTOCLAIM":
            is_over = bool(rows) or any(gone) or reply[0] == b"0-0"
            self._cursor = None if is_over else _text(reply[0])
        for ids in gone:
            if ids:
                self.witness.found_gone([_text(each) for each in ids])

    def _give(self, rows: Iterable[Sequence[Any]], how: How) -> None:
        """Tell of entries; those that are pending and not in the stream any more have no fields."""
        there, gone = [], []
        for entry_id, fields, *more in rows:
            if fields is None:
                gone.append(_text(entry_id))
            else:
                there.append((_text(entry_id), int(more[1]) if len(more) > 1 else None))
        if there:
            self.witness.given(there, how)
        if gone:
            self.witness.found_gone(gone)

    def _was_acked(self, words: list[str], reply: Any) -> None:
        if self._is_ours(words[1:3]):
            n = reply if isinstance(reply, int) else sum(each != -1 for each in reply)
            self.witness.acked(_ids(words[3:]), n)

    def _was_changed(self, words: list[str], reply: Any) -> None:
        if not self._is_ours(words[2:4]):
            return
        if words[1].upper() == "CREATE":
            self.witness.recreated(words[4])
        elif words[1].upper() == "DELCONSUMER":
            self.witness.removed(words[4], int(reply))

    def closed(self, *, by_client: bool) -> None:
        for words in (*(self._queued or ()), *self._waiting):  # they reached the server, or did not
            self._is_unheard(words)
        if not by_client:
            self.witness.cut()

    def _is_unheard(self, words: list[str]) -> None:
        """Note what a command may have acknowledged: no reply tells."""
        if ids := self._to_ack(words):
            self.witness.unheard(ids)


_AFTER: Final[dict[str, Callable[[GroupWatcher, list[str], Any], None]]] = {
    "XREADGROUP": GroupWatcher._was_read,
    "XCLAIM": GroupWatcher._was_claimed,
    "XAUTOCLAIM": GroupWatcher._was_claimed,
    "XACK": GroupWatcher._was_acked,
    "XACKDEL": GroupWatcher._was_acked,
    "XGROUP": GroupWatcher._was_changed,
}


@dataclass(frozen=True, slots=True)
class _Read:
    """What an XREADGROUP asks for."""

    group: str = ""
    consumer: str = ""
    noack: bool = False
    min_idle_ms: int | None = None
    streams: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, words: list[str]) -> _Read:
        upper = [word.upper() for word in words]
        if "STREAMS" not in upper or upper[1:2] != ["GROUP"] or len(words) < 4:
            return cls()  # the server will refuse it
        last = upper.index("STREAMS", 4) if "STREAMS" in upper[4:] else len(words)
        options, rest = upper[4:last], words[last + 1 :]
        half = len(rest) // 2
        idle = options[options.index("CLAIM") + 1 :][:1] if "CLAIM" in options else []
        return cls(
            words[2],
            words[3],
            "NOACK" in options,
            _number(idle[0]) if idle else None,
            dict(zip(rest[:half], rest[half:], strict=False)),
        )


def _text(value: Any) -> str:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)


def _is_entry(row: list[Any]) -> bool:
    return len(row) == 2 and ENTRY_ID.fullmatch(_text(row[0])) is not None and isinstance(row[1], list)


def _ids(words: Iterable[str]) -> list[str]:
    return [word for word in dict.fromkeys(words) if ENTRY_ID.fullmatch(word)]


def _number(word: str) -> int:
    return int(word) if word.isdecimal() else 0
