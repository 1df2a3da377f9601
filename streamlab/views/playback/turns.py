"""The turning points of a run: who was lost, who took over, when all was done again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from streamlab.actors.events import EventKind as Kind
from streamlab.results.events import Event
from streamlab.results.recovery import LostWorker
from streamlab.results.stories import GENERAL, WORDS

#: How many are told: so many are found in no time only on a page that is not searched.
_MOST: Final = 200
_TROUBLE: Final = (Kind.CRASHED, Kind.PAUSED, Kind.DISCONNECTED, Kind.REMOVED, Kind.DEAD_LETTERED)
_SERVER_IS_BACK: Final = (Kind.SERVER_UP, Kind.RECREATED)


class Turn(NamedTuple):
    """A moment at which something changed for good or bad, in words."""

    at: float
    mood: Literal["trouble", "mending", "good"]
    words: str


def turns_of(events: Sequence[Event], lost: Iterable[LostWorker]) -> list[Turn]:
    """Return the turning points, in their order."""
    found = [*_befell(events), *_takeovers(events, lost)]
    return sorted(found, key=lambda turn: (turn.at, turn.mood == "trouble"))[:_MOST]  # poison is taken, and then kills


def _befell(events: Iterable[Event]) -> Iterator[Turn]:
    """Yield what happened to actors, to the server, to the group."""
    dead: set[str] = set()
    for at, kind, actor, entry_id, _ in events:
        if kind in GENERAL:
            words = WORDS[kind].format(id=entry_id)
            who = f"{actor} " if kind == Kind.RECREATED else ""
            yield Turn(at, "mending" if kind in _SERVER_IS_BACK else "trouble", f"{who}{words}")
        elif kind == Kind.DEAD_LETTERED:
            yield Turn(at, "trouble", f"{actor} gave up an entry: a dead letter")
        elif kind in _TROUBLE:
            yield Turn(at, "trouble", f"{actor} {WORDS[kind]}")
        elif kind == Kind.RESUMED or (kind == Kind.STARTED and actor in dead):
            yield Turn(at, "mending", f"{actor} {'went on' if kind == Kind.RESUMED else 'was restarted'}")
        if kind == Kind.CRASHED:
            dead.add(actor)
        elif kind == Kind.STARTED:
            dead.discard(actor)


def _takeovers(events: Iterable[Event], lost: Iterable[LostWorker]) -> Iterator[Turn]:
    """Yield who was given what a lost consumer had held, and when all of that was settled."""
    lost = [worker for worker in lost if worker.held]
    held = {entry_id for worker in lost for entry_id in worker.held}
    given: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.id in held and event.kind in (Kind.DELIVERED, Kind.CLAIMED):
            given[event.id].append(event)
    for worker in lost:
        later = (next((each for each in given[i] if each.at > worker.at), None) for i in worker.held)
        first = sorted((event for event in later if event is not None), key=lambda event: event.at)
        n_given = Counter(event.actor for event in first)
        for actor, n in n_given.items():
            at = next(event.at for event in first if event.actor == actor)
            what = f"{n} {'entry' if n == 1 else 'entries'}"
            is_its_own = actor == worker.consumer
            words = f"was given {what} of its own again" if is_its_own else f"took over {what} of {worker.consumer}"
            yield Turn(at, "mending", f"{actor} {words}")
        if worker.recovered:
            yield Turn(worker.at + worker.time, "good", f"all that {worker.consumer} left is done")
