"""`Forgotten`: what a server had acknowledged, and has forgotten: entries, and acknowledgements of entries."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from streamlab.actors.events import ACKED, CLAIMED, DELIVERED, LOST, PROCESSED, SET_BACK
from streamlab.results.events import Event
from streamlab.results.final_state import FinalState
from streamlab.results.statistics import id_key
from streamlab.scenario.shards import place_of


class Forgotten(NamedTuple):
    """The ids of what a server had acknowledged and lost, by a crash or a failover, in their order.

    `entries` are no longer in the stream; of these, nobody had processed the `unprocessed`, nor ever will. `acks` are
    of entries that are still there: they were acknowledged before, and are delivered again.
    """

    entries: tuple[str, ...] = ()
    unprocessed: tuple[str, ...] = ()
    acks: tuple[str, ...] = ()

    @classmethod
    def of(cls, events: Iterable[Event], final: FinalState) -> Forgotten:
        """Return what a run's server has forgotten, as its events tell and the server's state at the end."""
        lost: set[str] = set()
        processed: set[str] = set()
        acked: dict[str, float] = {}
        again: set[str] = set()
        set_back: defaultdict[str, float] = defaultdict(lambda: -math.inf)  # by shard

        def had_acked(entry_id: str) -> bool:
            return entry_id in acked and acked[entry_id] <= set_back[place_of(entry_id)[0]]

        for event in events:
            if event.kind == LOST:
                lost.add(event.id)
            elif event.kind == SET_BACK:
                set_back[place_of(event.id)[0]] = event.at
            elif event.kind == PROCESSED:
                processed.add(event.id)
            elif event.kind == ACKED:
                acked.setdefault(event.id, event.at)
            elif event.kind in (DELIVERED, CLAIMED) and had_acked(event.id):
                again.add(event.id)
        again.update(filter(had_acked, (*final.pending, *final.undelivered)))
        return cls(_in_order(lost), _in_order(lost - processed), _in_order(again))

    def counts(self) -> dict[str, int]:
        """Return how many of each there are."""
        return {name: len(ids) for name, ids in self._asdict().items()}

    def in_words(self) -> str:
        """Return what is lost, by name; "" if nothing is."""
        said = []
        if self.entries:
            said.append(f"{_named(self.entries, 'entry', 'entries')} ({len(self.unprocessed)} never processed)")
        if self.acks:
            said.append(_named(self.acks, "acknowledgement", "acknowledgements"))
        return " and ".join(said)


NOTHING_FORGOTTEN: Final = Forgotten()


def _in_order(ids: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(ids, key=id_key))


def _named(ids: tuple[str, ...], one: str, several: str) -> str:
    if len(ids) == 1:
        return f"1 {one}, {ids[0]}"
    return f"{len(ids)} {several}, {ids[0]} to {ids[-1]}"
