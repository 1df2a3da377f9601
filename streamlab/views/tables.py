"""A `Run` as pandas data frames: entries, deliveries, consumers, backlog, events, recovery, and runs compared.

    from streamlab import tables
    tables.consumers(run)  # or run.to_frame("consumers")

Times are in seconds since the run began, and missing (NaN) for what never happened. Counts are whole
numbers. The same run gives the same frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from streamlab.actors.events import EventKind
from streamlab.lab.strategies import RecoveryTable, as_dicts, compare
from streamlab.results.comparison import Agreement, Comparison
from streamlab.results.frames import backlog, consumers, deliveries, entries, events, frame_of, recovery
from streamlab.results.ledger import Ledger
from streamlab.results.run import Run
from streamlab.results.sweep_table import Figures, SweepTable

__all__ = [
    "backlog", "comparison", "consumers", "deliveries", "entries", "events", "plain", "recovery", "story", "strategies",
    "sweep",
]  # fmt: skip

#: What befalls the one who has an entry, and what befalls all: part of an entry's story.
_OF_OWNERS = [EventKind(word) for word in ("crashed", "paused", "resumed", "disconnected", "started")]
_OF_ALL = [EventKind.GROUP_DESTROYED, EventKind.STREAM_DELETED]
_BEGINNINGS = [EventKind.ADDED, EventKind.DELIVERED, EventKind.CLAIMED]


def strategies(runs: Mapping[str, Sequence[Run]] | Iterable[Run] | RecoveryTable) -> pd.DataFrame:
    """Return a row for every strategy of recovery, see `StrategyRow`: give runs, or what `compare` returned.

    Times that never came are infinite.
    """
    table = runs if isinstance(runs, RecoveryTable) else compare(runs)
    return pd.DataFrame(as_dicts(table)).set_index("strategy")


def sweep(swept: SweepTable) -> pd.DataFrame:
    """Return a row for every combination of a sweep's parameters, which are the index.

    Columns: ``runs``, and each of the `Figures` with its ``…_margin``, half of the 95 % confidence interval; times in
    seconds, counts as means over the runs.
    """
    rows = []
    for row in swept.rows:
        estimates = {name: row.estimate(name) for name in Figures._fields}
        rows.append((len(row.runs), *(value for estimate in estimates.values() for value in estimate)))
    types = {"runs": "int64"} | {column: "float64" for name in Figures._fields for column in (name, f"{name}_margin")}
    frame = frame_of(rows, types)
    values = pd.DataFrame([row.values for row in swept.rows], columns=list(swept.over))
    return frame.set_index([values[name] for name in swept.over])


def story(run: Run, entry_id: str) -> pd.DataFrame:
    """Return an entry's whole story, a row for every event: who had it, when, and what happened.

    Columns: ``at`` (seconds), ``event``, ``actor``, ``delivery_count`` (missing where an event has none), ``owner``
    (the consumer for which it is pending from then on; empty for nobody) and ``since`` (seconds since it was
    last delivered or claimed). What befell the one who had it (a crash, a pause) is part of its story.

    Raises
    ------
    ValueError
        If the run has no such entry.
    """
    rows: list[tuple[float, str, str, int | None, str, float]] = []
    ledger = Ledger(run.scenario)
    for event in run.events:
        at, kind, actor, id, delivery_count = event
        is_own, owner = id == entry_id and kind != EventKind.RECREATED, ledger.owner(entry_id)
        is_owners = owner == actor and kind in _OF_OWNERS
        if is_own or (owner and (is_owners or kind in _OF_ALL)):
            ledger.apply(event)
            last = ledger.last.get(entry_id)
            since = at - last.delivered if last is not None else math.nan
            rows.append((at, kind, plain(actor), delivery_count or None, plain(ledger.owner(entry_id)), since))
    if not any(kind in _BEGINNINGS for _, kind, *_ in rows):
        raise ValueError(f"this run has no entry {plain(entry_id)!r}: see tables.entries(run)")
    types = {"at": "float64", "event": "str", "actor": "str", "delivery_count": "Int64", "owner": "str"}
    return frame_of(rows, types | {"since": "float64"})


def plain(text: str) -> str:
    """Return text without what could act on a screen: control characters are written as ``\\x1b``.

    Names come from whoever calls; pandas escapes HTML in its tables, and leaves control characters alone.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def comparison(one: Run | Comparison, other: Run | None = None) -> pd.DataFrame:
    """Return what is compared of two runs, a row each: the two values, their difference, ``agrees``.

    Give two runs, or a `Comparison`. The values' columns have the engines' names, or are
    called ``one`` and ``other`` if both runs had the same.

    Raises
    ------
    TypeError
        If there is one run only.
    """
    if isinstance(one, Run):
        if other is None:
            raise TypeError("there is one run and nothing to compare it with: give two")
        one = Comparison(one, other)
    names = (one.one.engine, one.other.engine)
    first, second = names if names[0] != names[1] else ("one", "other")
    rows = one.rows()
    frame = frame_of(
        ((a, b, b - a, agreement == Agreement.AGREES) for _, a, b, agreement in rows),
        {first: "float64", second: "float64", "difference": "float64", "agrees": "bool"},
    )
    frame.index = pd.Index([row.what for row in rows], dtype="str", name="")
    return frame
