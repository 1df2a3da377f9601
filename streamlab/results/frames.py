"""A run as data frames of pandas, for `Run.to_frame`; nothing else in this room may need pandas.

Times are in seconds since the run began, and missing (NaN) for what never happened. Counts are whole
numbers. The same run gives the same frame.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

try:
    import pandas as pd
except ModuleNotFoundError as error:
    if sys.platform == "emscripten":
        raise  # which says how it is had there
    raise ModuleNotFoundError(
        "tables need pandas, which is not installed: pip install 'consumer-group-lab[course]'", name=error.name
    ) from None

from streamlab.results.backlog import Series
from streamlab.results.deliveries import ConsumerMetrics, Delivery
from streamlab.results.events import EventLog
from streamlab.results.ledger import Ledger
from streamlab.results.recovery import RecoveryMetrics


class Happened(Protocol):
    """What came of a scenario: a `Run`."""

    @property
    def events(self) -> EventLog: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def numbers(self) -> Mapping[str, int]: ...
    @property
    def consumers(self) -> Mapping[str, ConsumerMetrics]: ...
    @property
    def shares(self) -> Mapping[str, float]: ...
    @property
    def series(self) -> Series: ...
    @property
    def recovery(self) -> RecoveryMetrics: ...
    def state_of(self, entry_id: str) -> str: ...


def entries(run: Happened) -> pd.DataFrame:
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
    frame = frame_of(rows, types | dict.fromkeys(("added", "delivered", "begun", "processed", "acked"), "float64"))
    frame["waiting"] = frame["begun"] - frame["added"]
    frame["sojourn"] = frame["processed"] - frame["added"]
    frame["deliveries"] = pd.Series([len(deliveries) for deliveries in by_entry.values()], dtype="int64")
    frame["state"] = pd.Series([run.state_of(entry_id) for entry_id in by_entry], dtype="str")
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="number")
    return frame


def deliveries(run: Happened) -> pd.DataFrame:
    """Return a row for every delivery and claim, in their order: an entry with a consumer.

    Columns: ``number`` and ``id`` of the entry, ``consumer``, ``delivery_count``, ``claimed``, and when it
    was ``delivered``, ``begun``, ``processed`` and ``acked``, in seconds.
    """
    types = {"number": "int64", "id": "str", "consumer": "str", "delivery_count": "int64", "claimed": "bool"}
    types |= dict.fromkeys(("delivered", "begun", "processed", "acked"), "float64")
    of = operator.attrgetter(*list(types)[1:])
    # 0 for an entry that was in the stream before the run.
    return frame_of(((run.numbers.get(d.id, 0), *of(d)) for d in run.ledger.deliveries), types)


def consumers(run: Happened) -> pd.DataFrame:
    """Return a row for every consumer: what it did.

    Columns: ``delivered``, ``processed``, ``acked``, ``claimed``, ``pending`` (entries), ``share`` of what
    was acknowledged and ``utilisation`` (both from 0 to 1). The index is the consumer's name.
    """
    counts, shares = ("delivered", "processed", "acked", "claimed", "pending"), run.shares
    rows = ((*(getattr(c, what) for what in counts), shares[name], c.utilisation) for name, c in run.consumers.items())
    frame = frame_of(rows, dict.fromkeys(counts, "int64") | {"share": "float64", "utilisation": "float64"})
    frame.index = pd.Index(list(run.consumers), dtype="str", name="consumer")
    return frame


def backlog(run: Happened) -> pd.DataFrame:
    """Return how many entries were in the ``backlog`` and ``pending`` from each moment ``at`` (the index)."""
    series = run.series
    return pd.DataFrame(
        {"backlog": series.backlog, "pending": series.pending}, index=pd.Index(series.at, dtype="float64", name="at")
    )


def events(run: Happened) -> pd.DataFrame:
    """Return a row for every event: ``at`` (seconds), ``kind``, ``actor``, ``id``, ``delivery_count``."""
    types = {"at": "float64", "kind": "str", "actor": "str", "id": "str", "delivery_count": "int64"}
    return frame_of(run.events, types)


def recovery(run: Happened) -> pd.DataFrame:
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
    return frame_of(rows, types)


def _first(deliveries: list[Delivery], what: str) -> float:
    """Return the first time at which something happened in any of an entry's deliveries; NaN if it never did."""
    times = [getattr(delivery, what) for delivery in deliveries]
    return min((time for time in times if not math.isnan(time)), default=math.nan)


def frame_of(rows: Iterable[tuple[object, ...]], types: dict[str, str]) -> pd.DataFrame:
    """Return rows as a frame whose columns have these types, also if there is no row."""
    return pd.DataFrame(list(rows), columns=list(types)).astype(types)


_FRAMES: Final[dict[str, Callable[[Happened], pd.DataFrame]]] = {
    of.__name__: of for of in (entries, deliveries, consumers, backlog, events, recovery)
}


def frame(run: Happened, table: str) -> pd.DataFrame:
    """Return the frame of a name. Raises `ValueError` if there is none."""
    if table not in _FRAMES:
        raise ValueError(f"there is no table {table!r} of a run: take one of {', '.join(_FRAMES)}")
    return _FRAMES[table](run)
