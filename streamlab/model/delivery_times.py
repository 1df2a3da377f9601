"""Pending entries by the time of their last delivery."""

from __future__ import annotations

from collections.abc import Generator
from heapq import heapify, heappop, heappush

from .ids import StreamId
from .pending import PendingList


class DeliveryTimes:
    """The entries of a pending list, the longest idle ones first.

    A heap of notes ``(time, number, id)``. Only the latest note of an entry counts; the others are
    dropped when they are met, or when they outnumber the entries.
    """

    def __init__(self, pending: PendingList) -> None:
        self._pending = pending
        self._rebuild([(held.delivered_at_ms, entry_id) for entry_id, held in pending.items()])

    def note(self, entry_id: StreamId, delivered_at_ms: int) -> None:
        """Note that an entry is delivered."""
        self._number += 1
        self._latest[entry_id] = self._number
        heappush(self._heap, (delivered_at_ms, self._number, entry_id))
        if len(self._heap) > 2 * len(self._pending) + 64:
            notes = sorted(note for note in self._heap if self._counts(note))
            self._rebuild([(time, entry_id) for time, _, entry_id in notes])

    def walk(self, until_ms: int) -> Generator[StreamId]:
        """Yield the entries delivered by a time; those delivered meanwhile are left out."""
        last_number = self._number
        walked = []
        try:
            while self._heap and self._heap[0][0] <= until_ms:
                note = self._heap[0]
                is_new = note[1] > last_number
                if is_new and self._counts(note):
                    break
                heappop(self._heap)
                if self._counts(note):
                    walked.append(note)
                    yield note[2]
        finally:
            for note in walked:
                if self._counts(note):
                    heappush(self._heap, note)

    def _counts(self, note: tuple[int, int, StreamId]) -> bool:
        _, number, entry_id = note
        return self._latest.get(entry_id) == number and entry_id in self._pending

    def _rebuild(self, deliveries: list[tuple[int, StreamId]]) -> None:
        """Start afresh from deliveries in the order in which they were noted."""
        self._number = len(deliveries)
        self._heap = [(time, n, entry_id) for n, (time, entry_id) in enumerate(deliveries, 1)]
        self._latest = {entry_id: n for _, n, entry_id in self._heap}
        heapify(self._heap)
