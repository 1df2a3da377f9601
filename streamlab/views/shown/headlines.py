"""What is going on in a lab, in a sentence or two: the panel's headline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from streamlab.results.actor_records import State as Doing
from streamlab.results.snapshot import ConsumerView, Snapshot

#: How serious it is. "twice": entries are done that had been done before.
Mood = Literal["calm", "alarm", "mending", "twice"]


def headline(
    snapshot: Snapshot, is_claiming: bool, *, is_down: bool = False, dead_producers: Sequence[str] = ()
) -> tuple[Mood, str]:
    """Return what is going on, and how serious it is.

    No figure that changes from moment to moment: it is read aloud when it changes.
    """
    mood, words = _news(snapshot, is_claiming, is_down)
    if snapshot.duplicates and not any(consumer.taken_away for consumer in snapshot.consumers):
        again = _done_again(snapshot)
        if mood == "calm":
            mood, words = "twice", words.removeprefix(_all_alive(snapshot.consumers)).strip()
        words = f"{words} {again}" if mood == "alarm" else f"{again} {words}"
    if dead_producers and not snapshot.finished:
        mood, words = "alarm", f"{_dead_producers(dead_producers)} {words}"
    if snapshot.lost:
        mood, words = "alarm", f"{words} {_lost(snapshot.lost)}"
    if snapshot.forgotten.entries:
        mood, words = "alarm", f"{words} {_forgotten(len(snapshot.forgotten.entries))}"
    return mood, words


def _news(snapshot: Snapshot, is_claiming: bool, is_down: bool) -> tuple[Mood, str]:
    consumers = snapshot.consumers
    gone = [c for c in consumers if c.state in (Doing.DEAD, Doing.STOPPED)]
    paused = [c for c in consumers if c.state == Doing.PAUSED]
    stranded = [c for c in [*gone, *paused] if c.pending]
    unaware = [c.name for c in consumers if c.taken_away]
    took_over = sorted({row.owner for row in snapshot.pending if row.delivery_count > 1})
    if snapshot.finished:
        return "calm", "The run has ended."
    away = _away(consumers)
    if is_down:
        return "alarm", f"{away} {_down(snapshot)}".strip()
    if len(gone) == len(consumers):
        return "alarm", "No consumer is left: what is added is given to nobody."
    deserted = _deserted(snapshot, gone)
    if stranded:
        how = _next_owner(stranded) if snapshot.shards else _next_claim(stranded, is_claiming)
        return "alarm", f"{away} {_left_pending(stranded)} {how} {deserted}".strip()
    if deserted:
        return "alarm", f"{away} {deserted}"
    if unaware:
        does, it = ("does", "it") if len(unaware) == 1 else ("do", "them")
        return "twice", f"{_and(unaware)} {does} not know that entries were taken from {it}: they are done twice."
    if took_over:
        has, is_ = ("has", "is") if len(took_over) == 1 else ("have", "are")
        return "mending", f"{away} {_and(took_over)} {has} taken over what was left, and {is_} working on it.".strip()
    if away:
        done = "" if snapshot.lost else ": others have done all that was left"
        return "calm", f"{away} Nothing is stranded{done}."
    return "calm", f"{_all_alive(consumers)} Nothing is stranded."


def _deserted(snapshot: Snapshot, gone: Sequence[ConsumerView]) -> str:
    """Say which groups have nobody left; "" if none, or there is only one."""
    left = {consumer.group for consumer in snapshot.consumers if consumer not in gone}
    names = [group.name for group in snapshot.groups if group.name not in left]
    if not names:
        return ""
    return f"No consumer of {_and(names)} is left: entries wait there until one is started."


def _all_alive(consumers: Sequence[ConsumerView]) -> str:
    n = len(consumers)
    return f"All {n} consumers are alive." if n > 1 else f"{consumers[0].name} is alive."


def _down(snapshot: Snapshot) -> str:
    if any(server.role == "replica" for server in snapshot.servers):
        return "The primary is dead: nothing can be added, read or acknowledged until a replica is promoted."
    return "The server is down: nothing can be added, read or acknowledged."


def _left_pending(stranded: Sequence[ConsumerView]) -> str:
    n = sum(consumer.pending for consumer in stranded)
    entries = "1 entry is" if n == 1 else f"{n} entries are"
    return f"{entries} still pending for {_and(consumer.name for consumer in stranded)}."


def _next_claim(stranded: Sequence[ConsumerView], is_claiming: bool) -> str:
    is_one = sum(consumer.pending for consumer in stranded) == 1
    them, have = ("it", "it has") if is_one else ("them", "they have")
    if is_claiming:
        return f"Another consumer will claim {them} once {have} been idle for long enough."
    return f"No other consumer is given {them} until somebody claims {them}."


def _next_owner(stranded: Sequence[ConsumerView]) -> str:
    whose = f"the leases of {_and(consumer.name for consumer in stranded)} are" if len(stranded) > 1 else "its lease is"
    return f"Other consumers take over as soon as {whose} over."


def _done_again(snapshot: Snapshot) -> str:
    """Say how many entries were done twice, and by whom."""
    n = snapshot.duplicates
    whom = _and(consumer.name for consumer in snapshot.consumers if consumer.processed_again)
    return f"{'1 entry was' if n == 1 else f'{n:,} entries were'} done twice, the second time by {whom}."


def _dead_producers(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} is dead: it adds nothing until it is restarted."
    return f"{_and(names)} are dead: they add nothing until they are restarted."


def _lost(n: int) -> str:
    entries, were, they = ("1 entry", "was", "it") if n == 1 else (f"{n:,} entries", "were", "they")
    return f"{entries} will never be done: {they} {were} acknowledged, or deleted from the group with the consumer."


def _forgotten(n: int) -> str:
    entries, them = ("1 entry", "it") if n == 1 else (f"{n:,} entries", "them")
    return f"{entries} {'is' if n == 1 else 'are'} lost: the server has forgotten {them}."


def _away(consumers: Iterable[ConsumerView]) -> str:
    """Say who is not there."""
    said = []
    for state, one, more in (
        (Doing.DEAD, "is dead", "are dead"),
        (Doing.STOPPED, "has stopped", "have stopped"),
        (Doing.PAUSED, "is paused", "are paused"),
    ):
        names = [consumer.name for consumer in consumers if consumer.state == state]
        if names:
            said.append(f"{_and(names)} {one if len(names) == 1 else more}.")
    return " ".join(said)


def _and(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
