"""Where times lie: quantiles and spreads; and the order of entry ids."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """Where times lie, in seconds; all NaN if there are none."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: float


class Wait(NamedTuple):
    """How many seconds a worker was ready to go on and had no processor: in `total`, and the `longest` at a time."""

    total: float
    longest: float


def rounded(seconds: float) -> float | None:
    """Return a time to the microsecond; None, which JSON knows, for a time that does not exist."""
    return None if math.isnan(seconds) else round(seconds, 6)


def id_key(entry_id: str) -> tuple[int, ...]:
    """Return what entry ids are sorted by: milliseconds, then sequence number; then shard, where there are several."""
    ms, _, seq = entry_id.partition("-")
    try:
        return int(ms), int(seq)
    except ValueError:
        shard, _, ms = ms.partition("/")
        return int(ms), int(seq), int(shard)


def quantile(ordered: Sequence[float], q: float) -> float:
    """Return the `q` quantile of ascending values, interpolated linearly; NaN if there are none."""
    if not ordered:
        return math.nan
    at = q * (len(ordered) - 1)
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


def spread(times: Iterable[float]) -> Spread:
    """Return mean, median, 95th and 99th percentile and maximum."""
    ordered = sorted(times)
    if not ordered:
        return Spread(math.nan, math.nan, math.nan, math.nan, math.nan)
    return Spread(
        math.fsum(ordered) / len(ordered),
        quantile(ordered, 0.5),
        quantile(ordered, 0.95),
        quantile(ordered, 0.99),
        ordered[-1],
    )
