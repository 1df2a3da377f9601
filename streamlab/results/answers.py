"""What a ledger is asked: `Answers`, from what has been entered into its columns."""

from __future__ import annotations

from collections.abc import Iterator
from operator import ne, sub

from streamlab.results.actor_records import Actors, ConsumerRecord
from streamlab.results.columns import Numbers, Times
from streamlab.results.deliveries import Deliveries, Delivery, Pending


class Answers:
    """Questions to a `Ledger`, which has all these."""

    ids: Numbers
    added: Times
    processed: Times
    dead_lettered: dict[str, float]
    trimmed: dict[str, float]
    deliveries: Deliveries
    pending: Pending
    actors: Actors
    consumers: dict[str, ConsumerRecord]
    acked_early: dict[str, None]
    n_processed: int

    @property
    def duplicates(self) -> int:
        """Times that an entry was processed again."""
        return self.n_processed - len(self.processed)

    @property
    def lost(self) -> int:
        """Entries that nobody has processed or will: they were removed with a consumer, or acknowledged."""
        gone = {*self.acked_early, *(entry_id for _, _, held in self.actors.removed for entry_id in held)}
        for places in (self.processed, self.dead_lettered, self.trimmed, self.pending):
            gone = {entry_id for entry_id in gone if entry_id not in places}
        if not gone:
            return 0
        in_hand = {i for record in self.consumers.values() for i in self.deliveries.ids_of(record.in_hand.values())}
        return sum(entry_id not in in_hand for entry_id in gone)

    @property
    def wasted(self) -> list[Delivery]:
        """Deliveries that were worked on and did not count: see `Actors`."""
        return [self.deliveries[number] for number in self.actors.wasted]

    def is_duplicate(self, delivery: Delivery) -> bool:
        """Return whether a delivery was processed though its entry had been; or its consumer is about to do so."""
        if delivery.processed == delivery.processed:  # not NaN
            return self.processed.at[self.deliveries.entry[delivery.number]] != delivery.processed
        return self.actors.is_unaware_of(self.consumers[delivery.consumer], delivery.number)

    def owner(self, entry_id: str) -> str:
        """Return for which consumer an entry is pending; "" for none."""
        delivery = self.pending.get(entry_id)
        return delivery.consumer if delivery is not None else ""

    def was_tried(self, entry_id: str) -> bool:
        """Return whether a handler ever had an entry, as far as it mattered.

        It was processed or failed, or it was the one that was being processed when its consumer died or lost its
        connection.
        """
        return entry_id in self.processed or self.ids.find(entry_id) in self.actors.tried_in_vain

    def worked(self, delivery: Delivery) -> float:
        """Return for how many seconds its consumer worked on an entry; while it is paused it does not."""
        return self.consumers[delivery.consumer].worked(delivery.number)

    def unprocessed(self) -> Iterator[str]:
        """Yield the ids of the entries that were added, and never processed."""
        processed = self.processed.at
        if len(processed) == len(self.processed) and not any(map(ne, processed, processed)):  # no NaN
            return iter(())
        return (self.ids.texts[entry] for entry in self.added.order if processed[entry] != processed[entry])

    def sojourns(self) -> list[float]:
        """Return, for every entry that was processed, the seconds from XADD to its first processing."""
        return [seconds for seconds in map(sub, self.processed.at, self.added.at) if seconds == seconds]

    def waits(self) -> Iterator[float]:
        """Yield, for every delivery that was processed, the seconds from XADD to the begin of processing."""
        deliveries, added = self.deliveries, self.added.at
        for entry, begun, processed in zip(deliveries.entry, deliveries.begun, deliveries.processed, strict=True):
            if processed == processed:
                wait = begun - added[entry]
                if wait == wait:  # not NaN
                    yield wait
