"""Columns: what is known of many entries, an array for each thing that is known.

A run of a million entries has four million events. An object for each of these, or a few for each entry, would cost
more memory and time than the simulation itself.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from itertools import count, repeat
from typing import Any

#: How much longer columns become at once: an eighth, and so many rows at the least.
_LEAST_ROOM = 64


class Numbers(dict[str, int]):
    """A number for each text, from 0 on, in the order in which they are first asked for: ``numbers[text]``.

    Whoever only wants to know whether there is one asks by `find`. `texts` has them by their numbers: to give numbers
    to many at once, add them to these; that costs nothing until somebody asks.
    """

    __slots__ = ("texts",)

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.texts = list(texts)

    def find(self, text: str) -> int:
        """Return the number of a text, or -1 if it has none."""
        if len(self) < len(self.texts):
            self.update(zip(self.texts, count(), strict=False))
        return self.get(text, -1)

    def __missing__(self, text: str) -> int:
        if len(self) < len(self.texts):
            found = self.find(text)
            if found >= 0:
                return found
        number = self[text] = len(self.texts)
        self.texts.append(text)
        return number

    def __reduce__(self) -> tuple[type[Numbers], tuple[list[str]]]:
        return Numbers, (self.texts,)


def lengthened(n_rows: int, *columns: array[float] | array[int] | bytearray, least: int = 0) -> int:
    """Give columns room for more rows, of which nothing is known yet; return for how many they have it now."""
    more = max(_LEAST_ROOM, n_rows // 8, least + 1 - n_rows)
    for column in columns:
        unknown: Any = math.nan if isinstance(column, array) and column.typecode == "d" else 0
        column.extend(repeat(unknown, more))
    return n_rows + more


class Times(Mapping[str, float]):
    """When something first happened to entries, by their ids, in the order in which it was heard of.

    `at` has it by the entries' numbers, NaN for never; `order` has the numbers of those to which it has happened.
    """

    __slots__ = ("_ids", "at", "order")

    def __init__(self, ids: Numbers) -> None:
        self._ids = ids
        self.at = array("d")
        self.order = array("I")

    def note(self, number: int, at: float) -> bool:
        """Note that it happened to an entry; return whether that was the first time. There is room for it."""
        before = self.at[number]
        if before == before:  # not NaN
            return False
        self.at[number] = at
        self.order.append(number)
        return True

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, entry_id: str) -> float:
        number = self._ids.find(entry_id)
        at = self.at[number] if 0 <= number < len(self.at) else math.nan
        if at != at:  # NaN
            raise KeyError(entry_id)
        return at

    def __iter__(self) -> Iterator[str]:
        return map(self._ids.texts.__getitem__, self.order)

    def __reversed__(self) -> Iterator[str]:
        return map(self._ids.texts.__getitem__, reversed(self.order))

    def values(self) -> ValuesView[float]:
        return _Values(self)

    def items(self) -> ItemsView[str, float]:
        return _Items(self)


class _Values(ValuesView[float]):
    _mapping: Times

    def __iter__(self) -> Iterator[float]:
        return map(self._mapping.at.__getitem__, self._mapping.order)


class _Items(ItemsView[str, float]):
    _mapping: Times

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return zip(self._mapping, self._mapping.values(), strict=True)
