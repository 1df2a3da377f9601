"""The kinds of `Action` that are done to entries, to the stream and to the group by a command of Redis, by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs
from attrs import field

from streamlab.scenario.action import POISON_FIELD, Button, ProcessAction, TimedAction


def as_ids(ids: str | Iterable[str]) -> tuple[str, ...]:
    """Return one id, or several, as a tuple."""
    return (ids,) if isinstance(ids, str) else tuple(ids)


@attrs.frozen(eq=False, repr=False)
class Ack(TimedAction[int]):
    """Acknowledge pending entries, whoever owns them (``XACK``), and return how many were pending.

    Redis does not ask whether the work is done: what was not is lost.
    """

    word, form = "ack", "ack 1767225600000-0 at 3s [in workers]"
    button = Button("XACK", "pending entries", at_hand=True)
    ids: tuple[str, ...] = field(converter=as_ids)
    at: float | None = None
    group: str | None = None


@attrs.frozen(eq=False, repr=False)
class PutBack(TimedAction[list[str]]):
    """Put dead letters back into the stream (``XADD``, then ``XDEL``); return the ids that they have there.

    `ids` are those in the dead-letter stream. What is put back is a new entry with the fields that it had, and its
    delivery count begins at 1 again.
    """

    word, form = "put-back", "put-back 1767225600000-0 at 3s"
    button = Button("Put back", "dead letters", at_hand=True)
    ids: tuple[str, ...] = field(converter=as_ids)
    at: float | None = None


def _as_pairs(entry: Mapping[str, object] | Iterable[str]) -> tuple[str, ...]:
    """Return the fields of an entry as they are written: ``item=tea``."""
    return tuple(f"{name}={value}" for name, value in entry.items()) if isinstance(entry, Mapping) else tuple(entry)


@attrs.frozen(eq=False, repr=False)
class Add(TimedAction[str]):
    """Add an entry to the stream (``XADD``), and return its id.

    `entry` are its fields: ``{"item": "tea"}``, written ``item=tea``.
    """

    word, form = "add", "add item=tea cups=2 at 3s"
    button = Button("Add an entry", "stream")
    entry: tuple[str, ...] = field(default=("item=tea",), converter=_as_pairs)
    at: float | None = None

    @property
    def needs_counting(self) -> bool:
        return POISON_FIELD in self.fields

    @property
    def fields(self) -> dict[str, str]:
        """Its fields, by name."""
        pairs = (pair.partition("=") for pair in self.entry)
        return {name: value for name, _, value in pairs}


@attrs.frozen(eq=False, repr=False)
class Trim(TimedAction[int]):
    """Remove the oldest entries of the stream, all but `maxlen` (``XTRIM … MAXLEN``); return how many.

    Redis does not ask the group: what waits or is pending goes as well (since 8.2 it can be told to, by ``ACKED``).
    """

    word, form = "trim", "trim 10 at 3s"
    button = Button("Trim to the newest", "stream")
    maxlen: int = 10
    at: float | None = None


@attrs.frozen(eq=False, repr=False)
class RemoveConsumer(TimedAction[int]):
    """Delete a consumer from the group (``XGROUP DELCONSUMER``); return how many entries were pending for it.

    They are gone from the group with it, and given to nobody any more: claim them first. Its process is told nothing;
    if that lives, its next read makes it a consumer of the group again.
    """

    word, form = "remove-consumer", "remove-consumer C2 at 3s"
    button = Button("Delete from the group", "consumer")
    target: str
    at: float | None = None


@attrs.frozen(eq=False, repr=False)
class LetEnd(ProcessAction[None]):
    """The run does not wait any longer for somebody to restart a producer that was killed by hand."""

    word, form = "let-end", "let-end at 3s"
    button = Button("Let it end", "run")
    at: float | None = None
