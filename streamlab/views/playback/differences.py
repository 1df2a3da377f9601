"""What is different from one moment to the next, so that a run is not written down anew for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Rows of a table by their keys, which are whole numbers and give their order.
Rows = Mapping[int, Any]


class Differences:
    """Remembers what was shown, and tells what is new. What it tells is added up by ``recording.mjs``.

    A table that is no more than a list of what came last is among `logs`: what has left it is not told.
    """

    def __init__(self, logs: Mapping[str, int]) -> None:
        self._logs = logs
        self._values: dict[str, Any] = {}
        self._figures: dict[str, Any] = {}
        self._tables: dict[str, dict[int, Any]] = {}

    def of(self, values: Mapping[str, Any], figures: Mapping[str, Any], tables: Mapping[str, Rows]) -> dict[str, Any]:
        """Return what is different now: values by their names, figures, and of each table ``[rows, keys gone]``."""
        found = _changed(self._values, values)
        changed = _changed(self._figures, figures)
        if changed:
            found["figures"] = changed
        for name, rows in tables.items():
            difference = self._of_table(name, rows)
            if difference:
                found[name] = difference
        return found

    def _of_table(self, name: str, rows: Rows) -> list[Any]:
        before = self._tables.get(name, {})
        changed = [[key, row] for key, row in rows.items() if key not in before or before[key] != row]
        self._tables[name] = {**rows}
        gone = [] if name in self._logs else [key for key in before if key not in rows]
        return [changed, gone] if gone else [changed] if changed else []


def _changed(before: dict[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    changed = {name: value for name, value in now.items() if name not in before or before[name] != value}
    before.update(changed)
    return changed
