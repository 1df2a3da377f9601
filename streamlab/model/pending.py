"""Pending entries lists: who was given which entry, when, and how often."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from .ids import MIN_ID, StreamId

_BLOCK_SIZE = 128
#: So many new entries are sorted in even if nobody has asked.
MANY = _BLOCK_SIZE


class Pending:
    """One delivered and not yet acknowledged entry of a group."""

    __slots__ = ("consumer", "delivered_at_ms", "delivery_count")

    def __init__(self, consumer: Consumer, delivered_at_ms: int, delivery_count: int = 1) -> None:
        self.consumer = consumer
        self.delivered_at_ms = delivered_at_ms
        self.delivery_count = delivery_count


class PendingList(dict[StreamId, Pending]):
    """A pending entries list (PEL): a dict that can also be walked in the order of the ids.

    Add with `add()`, remove with `pop()` or `del`. An addition is sorted in when somebody walks, or
    when there are many; most entries are acknowledged before. A removal only touches the dict; the
    sorted ids keep a dead one until a walk passes it or the dead outnumber the living. So everything
    costs O(log n) at most, wherever in the list it happens.
    """

    __slots__ = ("_blocks", "new")

    def __init__(self) -> None:
        super().__init__()
        self._blocks: list[list[StreamId]] = [[]]  # sorted ids, cut into short lists
        self.new: list[StreamId] = []  # not sorted in yet

    def add(self, entry_id: StreamId, pending: Pending) -> None:
        """Insert or replace an entry."""
        self[entry_id] = pending
        new = self.new
        new.append(entry_id)
        if len(new) >= MANY:
            self.settle()

    def settle(self) -> list[list[StreamId]]:
        """Sort in what is new and still there; return the sorted ids."""
        new, self.new = self.new, []
        for entry_id in new:
            if entry_id in self:
                tail = self._blocks[-1]
                if tail and entry_id <= tail[-1]:
                    self._insert(entry_id)
                elif len(tail) < _BLOCK_SIZE:
                    tail.append(entry_id)
                else:
                    self._blocks.append([entry_id])
                    self._forget_dead()
        return self._blocks

    def move_to_end(self, entry_id: StreamId) -> None:
        """Make an entry the last in the order of the dict, which is that of the deliveries."""
        self[entry_id] = self.pop(entry_id)

    def walk(self, start: StreamId = MIN_ID) -> Iterator[StreamId]:
        """Yield the ids from ``start`` on. Entries may be removed meanwhile, but not added."""
        self.settle()
        index = self._block_index(start)
        while index < len(self._blocks):
            block = self._blocks[index]
            i = bisect_left(block, start)
            while i < len(block):
                start = block[i]
                if start in self:
                    yield start
                    i += 1
                else:
                    block = self._without_dead(index)
                    i = bisect_left(block, start)
            if index < len(self._blocks) and self._blocks[index] is block:
                index += 1  # else the block is gone, and the next one is in its place

    def first(self) -> StreamId | None:
        """Return the lowest id."""
        return next(self.walk(), None)

    def last(self) -> StreamId | None:
        """Return the highest id."""
        self.settle()
        while self:
            block = self._blocks[-1]
            if block[-1] in self:
                return block[-1]
            self._without_dead(len(self._blocks) - 1)
        return None

    def _insert(self, entry_id: StreamId) -> None:
        index = self._block_index(entry_id)
        block = self._blocks[index]
        i = bisect_left(block, entry_id)
        if i < len(block) and block[i] == entry_id:  # dead: it lives again
            return
        block.insert(i, entry_id)
        if len(block) > 2 * _BLOCK_SIZE:
            self._blocks[index : index + 1] = [block[:_BLOCK_SIZE], block[_BLOCK_SIZE:]]
            self._forget_dead()

    def _block_index(self, entry_id: StreamId) -> int:
        """Return the index of the first block that ends at or behind an id, or of the last one."""
        blocks = self._blocks
        index = bisect_left(blocks, entry_id, key=lambda block: block[-1] if block else MIN_ID)
        return min(index, len(blocks) - 1)

    def _without_dead(self, index: int) -> list[StreamId]:
        """Drop a block's dead ids, and the block if none is left; return what is left."""
        block = self._blocks[index]
        live = [entry_id for entry_id in block if entry_id in self]
        if live or len(self._blocks) == 1:
            self._blocks[index] = live
        else:
            del self._blocks[index]
        return live

    def _forget_dead(self) -> None:
        """Sort afresh once the dead outnumber the living."""
        if len(self._blocks) * _BLOCK_SIZE < 2 * (len(self) + 2 * _BLOCK_SIZE):
            return
        live = sorted(self)
        cuts = range(0, len(live), _BLOCK_SIZE)
        self._blocks = [live[cut : cut + _BLOCK_SIZE] for cut in cuts] or [[]]


class Consumer:
    """A named reader of a group, with the entries it was given and has not acknowledged."""

    __slots__ = ("active_at_ms", "name", "pending", "seen_at_ms")

    def __init__(self, name: str, now_ms: int) -> None:
        self.name = name
        self.seen_at_ms = now_ms  # last time it asked
        self.active_at_ms: int | None = None  # last time it asked and was given something
        self.pending = PendingList()
