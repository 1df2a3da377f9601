"""A `Run` as pandas data frames: entries, deliveries, consumers, backlog, events, recovery, and runs compared.

    from streamlab import tables
    tables.consumers(run)

Times are in seconds since the run began, and missing (NaN) for what never happened. Counts are whole
numbers. The same run gives the same frame.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from streamlab.actors.events import EventKind
from streamlab.lab.strategies import RecoveryTable, as_dicts, compare
from streamlab.results.comparison import Agreement, Comparison
from streamlab.results.deliveries import Delivery
from streamlab.results.ledger import Ledger
from streamlab.results.run import Run
from streamlab.results.sweep_table import Figures, SweepTable

#: What befalls the one who has an entry, and what befalls all: part of an entry's story.
_OF_OWNERS = [EventKind(word) for word in ("crashed", "paused", "resumed", "disconnected", "started")]
_OF_ALL = [EventKind.GROUP_DESTROYED, EventKind.STREAM_DELETED]
_BEGINNINGS = [EventKind.ADDED, EventKind.DELIVERED, EventKind.CLAIMED]


def entries(run: Run) -> pd.DataFrame:
    """Return a row for every entry that was added, in the order of the stream.

    Columns
    -------
    number (index)
        1 for the first entry of the stream.
    id, producer
        Its id, and who added it.
    consumer
        Who has or had it last; empty if it was never delivered.
    added, delivered, begun, processed, acked
        When each first happened, in seconds.
    waiting, sojourn
        Seconds from ``added`` until ``begun``, and until ``processed``.
    deliveries
        How often it was delivered or claimed.
    state
        How it stood at the end, see `Run.state_of`.
    """
    ledger = run.ledger
    by_entry: dict[str, list[Delivery]] = {entry_id: [] for entry_id in run.numbers}
    for delivery in ledger.deliveries:
        if delivery.id in by_entry:
            by_entry[delivery.id].append(delivery)
    rows = (
        (
            entry_id,
            ledger.producer[entry_id],
            ledger.last[entry_id].consumer if entry_id in ledger.last else "",
            ledger.added[entry_id],
            *(_first(given, what) for what in ("delivered", "begun")),
            ledger.processed.get(entry_id, math.nan),
            _first(given, "acked"),
        )
        for entry_id, given in by_entry.items()
    )
    types = dict.fromkeys(("id", "producer", "consumer"), "str")
    frame = _frame(rows, types | dict.fromkeys(("added", "delivered", "begun", "processed", "acked"), "float64"))
    frame["waiting"] = frame["begun"] - frame["added"]
    frame["sojourn"] = frame["processed"] - frame["added"]
    frame["deliveries"] = pd.Series([len(deliveries) for deliveries in by_entry.values()], dtype="int64")
    frame["state"] = pd.Series([run.state_of(entry_id) for entry_id in by_entry], dtype="str")
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="number")
    return frame


def deliveries(run: Run) -> pd.DataFrame:
    """Return a row for every delivery and claim, in their order: an entry with a consumer.

    Columns: ``number`` and ``id`` of the entry, ``consumer``, ``delivery_count``, ``claimed``, and when it
    was ``delivered``, ``begun``, ``processed`` and ``acked``, in seconds.
    """
    types = {"number": "int64", "id": "str", "consumer": "str", "delivery_count": "int64", "claimed": "bool"}
    types |= dict.fromkeys(("delivered", "begun", "processed", "acked"), "float64")
    of = operator.attrgetter(*list(types)[1:])
    # 0 for an entry that was in the stream before the run.
    return _frame(((run.numbers.get(d.id, 0), *of(d)) for d in run.ledger.deliveries), types)


def consumers(run: Run) -> pd.DataFrame:
    """Return a row for every consumer: what it did.

    Columns: ``delivered``, ``processed``, ``acked``, ``claimed``, ``pending`` (entries), ``share`` of what
    was acknowledged and ``utilisation`` (both from 0 to 1). The index is the consumer's name.
    """
    counts, shares = ("delivered", "processed", "acked", "claimed", "pending"), run.shares
    rows = ((*(getattr(c, what) for what in counts), shares[name], c.utilisation) for name, c in run.consumers.items())
    frame = _frame(rows, dict.fromkeys(counts, "int64") | {"share": "float64", "utilisation": "float64"})
    frame.index = pd.Index(list(run.consumers), dtype="str", name="consumer")
    return frame


def backlog(run: Run) -> pd.DataFrame:
    """Return how many entries were in the ``backlog`` and ``pending`` from each moment ``at`` (the index)."""
    series = run.series
    return pd.DataFrame(
        {"backlog": series.backlog, "pending": series.pending}, index=pd.Index(series.at, dtype="float64", name="at")
    )


def events(run: Run) -> pd.DataFrame:
    """Return a row for every event: ``at`` (seconds), ``kind``, ``actor``, ``id``, ``delivery_count``."""
    types = {"at": "float64", "kind": "str", "actor": "str", "id": "str", "delivery_count": "int64"}
    return _frame(run.events, types)


def recovery(run: Run) -> pd.DataFrame:
    """Return a row for every worker that was lost: a consumer that died, or stood still and was replaced.

    Columns: ``consumer``, ``kind`` (``crashed`` or ``paused``), ``at`` (seconds), ``held`` (entries that were
    pending for it), ``taken_over`` (of these, by others), ``settled`` (of these, in the end), ``time`` (seconds
    until the last of them was; missing if that never came) and ``recovered``.
    """
    rows = (
        (
            lost.consumer, lost.kind, lost.at, len(lost.held), lost.taken_over,
            sum(not math.isnan(at) for at in lost.settled), lost.time, lost.recovered,
        )
        for lost in run.recovery.lost_workers
    )  # fmt: skip
    types = {
        "consumer": "str", "kind": "str", "at": "float64", "held": "int64", "taken_over": "int64", "settled": "int64",
        "time": "float64", "recovered": "bool",
    }  # fmt: skip
    return _frame(rows, types)


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
    frame = _frame(rows, types)
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
    return _frame(rows, types | {"since": "float64"})


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
    frame = _frame(
        ((a, b, b - a, agreement == Agreement.AGREES) for _, a, b, agreement in rows),
        {first: "float64", second: "float64", "difference": "float64", "agrees": "bool"},
    )
    frame.index = pd.Index([row.what for row in rows], dtype="str", name="")
    return frame


def _first(deliveries: list[Delivery], what: str) -> float:
    """Return the first time at which something happened in any of an entry's deliveries; NaN if it never did."""
    times = [getattr(delivery, what) for delivery in deliveries]
    return min((time for time in times if not math.isnan(time)), default=math.nan)


def _frame(rows: Iterable[tuple[object, ...]], types: dict[str, str]) -> pd.DataFrame:
    """Return rows as a frame whose columns have these types, also if there is no row."""
    return pd.DataFrame(list(rows), columns=list(types)).astype(types)
