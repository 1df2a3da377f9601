"""`SortedSet`: as much of Redis' sorted sets as the scripts of the actors need."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator


class SortedSet:
    """Members with a score each, in the order of scores; those of one score, by their bytes."""

    def __init__(self) -> None:
        self._scores: dict[bytes, float] = {}
        self._in_order: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._scores)

    def __iter__(self) -> Iterator[tuple[float, bytes]]:
        return iter(self._in_order)

    @property
    def first(self) -> tuple[float, bytes] | None:
        """The lowest score, and whose it is; None if it is empty."""
        return self._in_order[0] if self._in_order else None

    def n_before(self, member: bytes) -> int:
        """Return how many come before a member, or would if it had the score 0."""
        return bisect_left(self._in_order, (self._scores.get(member, 0), member))

    def add(self, member: bytes, score: float) -> None:
        """Add a member, or give it another score."""
        if self._scores.get(member) != score:
            self.discard(member)
            self._scores[member] = score
            insort(self._in_order, (score, member))

    def discard(self, member: bytes) -> None:
        """Remove a member, if it is there."""
        score = self._scores.pop(member, None)
        if score is not None:
            del self._in_order[bisect_left(self._in_order, (score, member))]
