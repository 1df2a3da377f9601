"""`SweepTable`: what many runs come to, a row for each combination of parameters, with how far to trust it."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from streamlab.results.run import Run
from streamlab.results.statistics import quantile
from streamlab.scenario import Scenario
from streamlab.scenario.small_table import ShowsItself, SmallTable

#: Student's t for 95 %, both sides, by degrees of freedom from 1 on.
_T95: Final = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


class Figures(NamedTuple):
    """A run in figures: times in seconds, the others in entries; `utilisation` is the consumers' mean, from 0 to 1.

    `left` is what was pending or undelivered at the end.
    """

    throughput: float
    utilisation: float
    waiting_mean: float
    sojourn_mean: float
    sojourn_p50: float
    sojourn_p95: float
    sojourn_p99: float
    sojourn_max: float
    backlog_max: float
    left: float
    lost: float
    duplicates: float

    @classmethod
    def of(cls, run: Run) -> Figures:
        """Return a run's figures."""
        busy = [consumer.utilisation for consumer in run.consumers.values()]
        times = run.sojourn
        return cls(
            run.throughput, statistics.fmean(busy), run.waiting.mean, times.mean, times.p50, times.p95, times.p99,
            times.max, run.backlog_max, run.pending + run.undelivered, run.lost, run.duplicates,
        )  # fmt: skip


#: Which of the figures are percentiles of sojourn times.
_PERCENTILES: Final = {"sojourn_p50": 0.50, "sojourn_p95": 0.95, "sojourn_p99": 0.99}


class Estimate(NamedTuple):
    """What a figure comes to, and how far it may be from the true one: half of the 95 % confidence interval.

    The margin is NaN if there was one run only.
    """

    value: float
    margin: float

    @classmethod
    def of(cls, values: Sequence[float], centre: float | None = None) -> Estimate:
        """Return what the values of runs that differ by their seeds come to, by Student's t; around their mean."""
        n = len(values)
        mean = math.fsum(values) / n if centre is None else centre
        if n < 2:
            return cls(mean, math.nan)
        freedom = n - 1
        t = _T95[freedom - 1] if freedom <= len(_T95) else 1.96 + 2.4 / freedom
        return cls(mean, t * math.sqrt(math.fsum((value - mean) ** 2 for value in values) / freedom / n))


@dataclass(frozen=True, slots=True)
class SweepRow:
    """The runs of one combination of parameters, one for each seed.

    Attributes
    ----------
    values
        The parameters' values.
    scenario
        What was run, but for the seed.
    runs
        Each run in figures.
    pooled
        The percentiles of all runs' entries together.
    """

    values: dict[str, Any]
    scenario: Scenario
    runs: tuple[Figures, ...]
    pooled: dict[str, float]

    @classmethod
    def of(
        cls, values: dict[str, Any], scenario: Scenario, runs: Iterable[Figures], sojourns: Iterable[Iterable[float]]
    ) -> SweepRow:
        """Return the row of these runs, each with its entries' sojourn times."""
        ordered = sorted(itertools.chain.from_iterable(sojourns))
        pooled = {name: quantile(ordered, q) for name, q in _PERCENTILES.items()}
        return cls(values, scenario, tuple(runs), pooled)

    def estimate(self, figure: str) -> Estimate:
        """Return what a figure, a field of `Figures`, comes to over the seeds, with its margin.

        It is the mean of the runs' figures; but a percentile is that of all their entries together, since a mean of
        percentiles forgets that bad runs have more than their share of the longest times.
        """
        return Estimate.of([getattr(run, figure) for run in self.runs], self.pooled.get(figure))


@dataclass(frozen=True, slots=True)
class SweepTable(ShowsItself):
    """What a sweep comes to, in the order of its combinations.

    Attributes
    ----------
    over
        What was swept over.
    seeds
        With which seeds each combination was run.
    broken
        What must never be and is, a line each: the combination, the seed, and what is wrong.
    """

    name: str
    over: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: tuple[SweepRow, ...]
    broken: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"<SweepTable of {self.name} over {', '.join(self.over)}: {len(self.rows)} rows, {len(self.seeds)} seeds>"
        )

    def as_table(self) -> SmallTable:
        """Return the rows as texts."""
        n = len(self.seeds)
        lines = [f"{self.name} over {' and '.join(map(spoken, self.over))}: {n * len(self.rows):,} simulated runs"]
        told = "mean and p99 of the sojourn time"
        lines.append(f"{told}, {n} seeds each; ± is half of the 95 % confidence interval" if n > 1 else told)
        head = (*map(spoken, self.over), "busy", "entries/s", "mean (ms)", "p99 (ms)", "largest backlog")
        rows = [self._cells(row) for row in self.rows]
        left = [row.estimate("left").value for row in self.rows]
        if any(left):
            head += ("left undone",)
            rows = [(*cells, f"{n_left:,.1f}") for cells, n_left in zip(rows, left, strict=True)]
        return SmallTable(lines, head, rows)

    def _cells(self, row: SweepRow) -> tuple[str, ...]:
        values = (value_text(name, row.values[name]) for name in self.over)
        busy, done, backlog = (row.estimate(name).value for name in ("utilisation", "throughput", "backlog_max"))
        times = (_time(row.estimate(f"sojourn_{name}")) for name in ("mean", "p99"))
        return (*values, f"{busy:.1%}", f"{done:,.1f}", *times, f"{backlog:,.1f}")

    def summary(self) -> dict[str, Any]:
        """Return it as ``streamlab sweep --json`` prints it; times in seconds, and None where there is no figure."""
        return {
            "scenario": self.name,
            "over": list(self.over),
            "seeds": list(self.seeds),
            "rows": [
                row.values
                | {
                    figure: {name: _rounded(value) for name, value in row.estimate(figure)._asdict().items()}
                    for figure in Figures._fields
                }
                for row in self.rows
            ],
            "broken": list(self.broken),
        }


#: Which of the parameters are times, in seconds.
_TIMES: Final = frozenset({"service", "duration", "min_idle", "interval", "heartbeat", "restart_after"})


def spoken(name: str) -> str:
    """Return a parameter's or a figure's name for reading."""
    return name.replace("_", "-") if name == "min_idle" else name.replace("_", " ")


def value_text(name: str, value: object) -> str:
    """Return a parameter's value for reading."""
    if not isinstance(value, int | float):
        return str(value)
    if name not in _TIMES:
        return f"{value:,g}"
    return f"{value * 1000:g} ms" if value < 1 else f"{value:g} s"


def _time(estimate: Estimate) -> str:
    value, margin = (f"{1000 * seconds:,.1f}" for seconds in estimate)
    if math.isnan(estimate.value):
        return "–"
    return value if math.isnan(estimate.margin) else f"{value}±{margin}"


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
