"""The entries of a stream, in the order of their ids, in nodes as Redis keeps them.

Redis stores a stream as a tree of *nodes*, each holding up to 100 entries or 4096 bytes. This
log is cut at the same places, because ``MAXLEN ~`` removes whole nodes only: what an approximate
trim leaves behind can be told exactly. The nodes also make every operation cheap, wherever in
the stream it happens.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator

from .ids import MAX_ID, MIN_ID, StreamId
from .node_size import entry_size, header_size, n_bytes, rest_bound

Fields = tuple[str, ...]
"""Field, value, field, value …: as sent, repeated fields included."""

StoredEntry = tuple[StreamId, Fields]

NODE_MAX_ENTRIES = 100
NODE_MAX_BYTES = 4096


class Node:
    """Up to 100 consecutive entries.

    Its size in bytes is only reckoned out when a rough upper bound says that it may be full.
    """

    __slots__ = ("_not_reckoned", "_size", "_size_bound", "entries", "first_id", "last_id", "n_ever", "names")

    def __init__(self, entry: StoredEntry) -> None:
        entry_id, fields = entry
        self.first_id = entry_id
        self.last_id = entry_id  # of all that were ever in this node, deleted ones included
        self.names = fields[::2]  # entries with the field names of the first one take less room
        self.n_ever = 1  # entries ever added, deleted ones included
        self.entries = [entry]  # the live ones
        self._not_reckoned = [entry]  # entries that are not in the size yet
        self._size = header_size(self.names)
        self._size_bound = NODE_MAX_BYTES  # nothing is known of the first entry yet

    @classmethod
    def full(cls, entries: list[StoredEntry]) -> Node | None:
        """Return a node of 100 entries at once; None unless that many are given, and plainly fit into one."""
        if len(entries) < NODE_MAX_ENTRIES:
            return None
        first_id, names = entries[0][0], entries[0][1][::2]
        values: list[str] = []
        for _, fields in entries:
            if fields[::2] != names:
                return None
            values += fields[1::2]
        text = "".join(values)
        if not text.isascii() or max(map(len, values), default=0) >= 64:
            return None
        bound = header_size(names) + len(text) + 2 * len(values)
        if bound + len(entries) * rest_bound(first_id, entries[-1][0], names) >= NODE_MAX_BYTES:
            return None
        node = cls(entries[0])
        node.entries, node.last_id = entries, entries[-1][0]
        node.n_ever, node._not_reckoned = len(entries), []
        return node

    def append(self, entry: StoredEntry) -> bool:
        """Add an entry; False if the node is full."""
        if self.n_ever >= NODE_MAX_ENTRIES:
            return False
        entry_id, fields = entry
        # Entries with the field names of the first one are stored without them.
        stored = fields[1::2] if fields[::2] == self.names else fields
        text = "".join(stored)
        n = len(text)
        is_short = n < 64 and text.isascii()
        bound = n + 2 * len(stored) + 28 if is_short else 4 * n + 10 * len(stored) + 28
        if self._size_bound + bound >= NODE_MAX_BYTES:
            self._reckon()
            if self._size + n_bytes("".join(fields)) >= NODE_MAX_BYTES:
                return False
        self.entries.append(entry)
        self.last_id = entry_id
        self.n_ever += 1
        self._size_bound += bound
        self._not_reckoned.append(entry)
        if self.n_ever == NODE_MAX_ENTRIES:
            self._not_reckoned = []  # its size matters no more
        return True

    def _reckon(self) -> None:
        for entry_id, fields in self._not_reckoned:
            self._size += entry_size(entry_id, fields, self.first_id, self.names)
        self._not_reckoned = []
        self._size_bound = self._size


class EntryLog:
    """Entries sorted by id: appended at the end, removed anywhere."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._node_ids: list[StreamId] = []  # the nodes' first ids, for bisection
        self._length = 0  # of what is in the nodes
        #: Whether ids may be missing above the first entry's: entries that were deleted, or ids that go back (XSETID).
        self.may_have_gaps = False
        #: The last entries, in no node yet: append to it. A hundred at once are put into a node much faster
        #: than each by itself, and most are read again before somebody asks for what only the nodes know.
        self.new: list[StoredEntry] = []

    def __len__(self) -> int:
        return self._length + len(self.new)

    def __iter__(self) -> Iterator[StoredEntry]:
        for node in self._settle():
            yield from node.entries

    @property
    def n_nodes(self) -> int:
        return len(self._settle())

    @property
    def first(self) -> StoredEntry | None:
        return next(iter(self), None)

    @property
    def last(self) -> StoredEntry | None:
        for node in reversed(self._settle()):
            if node.entries:
                return node.entries[-1]
        return None

    def _settle(self) -> list[Node]:
        """Put the new entries into nodes, as if each had been when it came; return all nodes."""
        nodes, new = self._nodes, self.new
        if not new:
            return nodes
        self.new = []
        self._length += len(new)
        done = 0
        while done < len(new):
            full = None
            if not nodes or nodes[-1].n_ever == NODE_MAX_ENTRIES:
                full = Node.full(new[done : done + NODE_MAX_ENTRIES])
            if full is not None:
                nodes.append(full)
                self._node_ids.append(full.first_id)
                done += NODE_MAX_ENTRIES
                continue
            if not nodes or not nodes[-1].append(new[done]):
                nodes.append(Node(new[done]))
                self._node_ids.append(new[done][0])
            done += 1
        return nodes

    def get(self, entry_id: StreamId) -> Fields | None:
        """Return an entry's fields; None if it is not (or no longer) here."""
        nodes = self._settle()
        if not nodes:
            return None
        entries = nodes[self._node_index(entry_id)].entries
        i = bisect_left(entries, (entry_id,))
        return entries[i][1] if i < len(entries) and entries[i][0] == entry_id else None

    @property
    def whole_from(self) -> StreamId:
        """The id from which on everything that was ever here still is; `MAX_ID` if that cannot be said."""
        first = None if self.may_have_gaps else self.first
        return MAX_ID if first is None else first[0]

    def __getitem__(self, entry_id: StreamId) -> Fields:
        if (fields := self.get(entry_id)) is None:
            raise KeyError(entry_id)
        return fields

    def __contains__(self, entry_id: StreamId) -> bool:
        return self.get(entry_id) is not None

    def after(self, entry_id: StreamId, count: int | None = None) -> list[StoredEntry]:
        """Return up to ``count`` entries above an id, lowest first."""
        ms, seq = entry_id
        start = ms, seq + 1
        if self._nodes and entry_id < self._nodes[-1].last_id:
            return self.range(start, MAX_ID, count)
        new = self.new  # the usual case: near the end
        i = bisect_left(new, (start,))
        return new[i:] if count is None else new[i : i + count]

    def range(self, start: StreamId = MIN_ID, end: StreamId = MAX_ID, count: int | None = None) -> list[StoredEntry]:
        """Return up to ``count`` entries with start ≤ id ≤ end, lowest first."""
        nodes, new = self._nodes, self.new
        found: list[StoredEntry] = []
        for index in range(self._node_index(start), len(nodes)):
            node = nodes[index]
            if node.first_id > end:
                return found
            entries = node.entries
            low = bisect_left(entries, (start,)) if start > node.first_id else 0
            high = len(entries) if end >= node.last_id else _after(entries, end)
            if count is not None and len(found) + high - low >= count:
                found += entries[low : low + count - len(found)]
                return found
            found += entries[low:high]
        if new:
            low, high = bisect_left(new, (start,)), _after(new, end)
            found += new[low : high if count is None else min(high, low + count - len(found))]
        return found

    def reversed_range(
        self, end: StreamId = MAX_ID, start: StreamId = MIN_ID, count: int | None = None
    ) -> list[StoredEntry]:
        """Return up to ``count`` entries with start ≤ id ≤ end, highest first."""
        nodes = self._settle()
        found: list[StoredEntry] = []
        if not nodes:
            return found
        for index in range(self._node_index(end), -1, -1):
            node = nodes[index]
            if node.last_id < start:
                break
            low = bisect_left(node.entries, (start,))
            high = _after(node.entries, end)
            found += node.entries[low:high][::-1]
            if count is not None and len(found) >= count:
                return found[:count]
        return found

    def remove(self, entry_id: StreamId) -> bool:
        """Delete one entry; a node that loses its last entry goes with it."""
        nodes = self._settle()
        if not nodes:
            return False
        index = self._node_index(entry_id)
        entries = nodes[index].entries
        i = bisect_left(entries, (entry_id,))
        if i == len(entries) or entries[i][0] != entry_id:
            return False
        self.may_have_gaps = True
        del entries[i]
        self._length -= 1
        if not entries:
            self._remove_node(index)
        return True

    def trim(
        self,
        *,
        max_length: int | None = None,
        min_id: StreamId = MIN_ID,
        whole_nodes: bool = False,
        limit: int = 0,
        may_remove: Callable[[StreamId], bool] | None = None,
    ) -> int:
        """Remove the oldest entries; return how many went.

        Those beyond ``max_length``, or else those below ``min_id``. With ``whole_nodes`` only
        nodes that go altogether, and no more than ``limit`` entries (0: any number). If there is
        ``may_remove``, it is asked for each entry (and, as in Redis, nodes are cut all the same).
        """
        n_removed = 0
        index = 0
        nodes = self._settle()
        while index < len(nodes):
            node = nodes[index]
            n_in_node = len(node.entries)
            n_too_many = len(self) if max_length is None else len(self) - max_length
            if max_length is not None and n_too_many <= 0:
                break
            if limit and n_removed + n_in_node > limit:
                break
            if max_length is None:
                goes_altogether = node.last_id < min_id
                n_candidates = bisect_left(node.entries, (min_id,))
            else:
                goes_altogether = n_in_node <= n_too_many
                n_candidates = min(n_too_many, n_in_node)

            if may_remove is not None:
                self.may_have_gaps = True
                if max_length is not None:
                    n_candidates = n_in_node  # those that stay do not make others stay
                kept = _keep(node.entries, n_candidates, n_too_many, may_remove)
                n = n_in_node - len(kept)
                node.entries = kept
            elif goes_altogether or not whole_nodes:
                n = n_candidates
                del node.entries[:n]
            else:
                break
            self._length -= n
            n_removed += n
            if not goes_altogether:
                break
            if n == n_in_node:
                self._remove_node(index)
            else:
                index += 1
        return n_removed

    def _node_index(self, entry_id: StreamId) -> int:
        """Return the index of the node where an id belongs."""
        ids = self._node_ids
        if not ids or entry_id >= ids[-1]:  # the usual case: at the end
            return max(len(ids) - 1, 0)
        return max(bisect_right(ids, entry_id) - 1, 0)

    def _remove_node(self, index: int) -> None:
        del self._nodes[index]
        del self._node_ids[index]


def _after(entries: list[StoredEntry], entry_id: StreamId) -> int:
    """Return the index behind an id."""
    i = bisect_left(entries, (entry_id,))
    return i + 1 if i < len(entries) and entries[i][0] == entry_id else i


def _keep(
    entries: list[StoredEntry], n_candidates: int, at_most: int, may_remove: Callable[[StreamId], bool]
) -> list[StoredEntry]:
    """Remove ``at_most`` of the first entries, of those that may be removed; return the others."""
    kept: list[StoredEntry] = []
    for i, entry in enumerate(entries[:n_candidates]):
        if at_most == 0:
            return kept + entries[i:]
        if may_remove(entry[0]):
            at_most -= 1
        else:
            kept.append(entry)
    return kept + entries[n_candidates:]
