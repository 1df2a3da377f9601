"""Strategies of recovery side by side: the same schedules of faults under each, in one table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from streamlab.results.run import Run


@dataclass(frozen=True, slots=True)
class StrategyRow:
    """How one strategy did: sums over its runs, times in seconds.

    Attributes
    ----------
    n_entries
        Entries that were added, in all its runs.
    n_losses, n_unrecovered
        Workers that were lost while they held entries, and those of them that were never made good.
    time_p50, time_p95
        From such a loss until the last of what the worker held was done again: the time within which half,
        and 95 %, of the losses were made good. Infinity if fewer ever were, NaN if there was none.
    duplicates, duplicate_effects
        How often an entry was processed again, and an effect happened again.
    left, lost
        Entries left pending or undelivered at the end, and entries that are nowhere.
    dead_lettered
        Entries that were given up.
    round_trips
        Round trips to the server for an entry, on average; NaN where it is not known.
    wasted
        Seconds of work that did not count.
    """

    strategy: str
    n_runs: int
    n_entries: int
    n_losses: int
    n_unrecovered: int
    time_p50: float
    time_p95: float
    duplicates: int
    duplicate_effects: int
    left: int
    lost: int
    dead_lettered: int
    round_trips: float
    wasted: float


@dataclass(frozen=True, slots=True)
class RecoveryTable:
    """Strategies of recovery side by side, in the order in which they were given."""

    rows: tuple[StrategyRow, ...]

    def to_markdown(self) -> str:
        """Return the table as Markdown."""
        head, *body = self._cells()
        rule = ["---", *["--:"] * (len(head) - 1)]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *body))

    def __str__(self) -> str:
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        )

    def _cells(self) -> list[list[str]]:
        head = [
            "strategy", "time to recover p50", "p95", "never recovered", "processed again",
            "effects again", "left undone", "lost", "dead letters", "round trips per entry", "work wasted",
        ]  # fmt: skip
        return [head, *([
            row.strategy,
            _seconds(row.time_p50),
            _seconds(row.time_p95),
            f"{row.n_unrecovered} of {row.n_losses}",
            f"{row.duplicates:,}",
            f"{row.duplicate_effects:,}",
            f"{row.left:,}",
            f"{row.lost:,}",
            str(row.dead_lettered),
            "–" if math.isnan(row.round_trips) else f"{row.round_trips:.2f}",
            f"{row.wasted:.2f} s",
        ] for row in self.rows)]  # fmt: skip


def compare(runs: Mapping[str, Sequence[Run]] | Iterable[Run]) -> RecoveryTable:
    """Set strategies of recovery side by side.

    Parameters
    ----------
    runs
        The runs of each strategy, by its name; or runs, which are then told apart by the strategies of
        their scenarios. To compare like with like, give each the same schedules of faults.

    Raises
    ------
    ValueError
        If there is no run, or a strategy has none.
    """
    if isinstance(runs, Mapping):
        by_name = {name: list(of) for name, of in runs.items()}
    else:
        by_name = {}
        for run in runs:
            by_name.setdefault(run.scenario.recovery.strategy, []).append(run)
    empty = [name for name, of in by_name.items() if not of]
    if empty or not by_name:
        what = f"strategy {empty[0]} has" if empty else "there are"
        raise ValueError(f"{what} no runs: nothing can be compared")
    return RecoveryTable(tuple(_row(name, of) for name, of in by_name.items()))


def _row(name: str, runs: Sequence[Run]) -> StrategyRow:
    recoveries = [run.recovery for run in runs]
    times = sorted(math.inf if math.isnan(time) else time for of in recoveries for time in of.times)
    n_added = sum(run.added for run in runs)
    round_trips = sum(of.n_round_trips for of in recoveries)
    return StrategyRow(
        strategy=name,
        n_runs=len(runs),
        n_entries=n_added,
        n_losses=len(times),
        n_unrecovered=sum(map(math.isinf, times)),
        time_p50=_within(times, 0.5),
        time_p95=_within(times, 0.95),
        duplicates=sum(of.duplicates for of in recoveries),
        duplicate_effects=sum(of.duplicate_effects for of in recoveries),
        left=sum(run.pending + run.undelivered for run in runs),
        lost=sum(run.lost for run in runs),
        dead_lettered=sum(of.dead_lettered for of in recoveries),
        round_trips=round_trips / n_added if round_trips and n_added else math.nan,
        wasted=math.fsum(of.wasted for of in recoveries),
    )


def _within(ascending: Sequence[float], part: float) -> float:
    """Return the time within which at least this part of the losses was made good; NaN if there was none.

    Not interpolated: between a time and never there is nothing.
    """
    if not ascending:
        return math.nan
    return ascending[max(math.ceil(part * len(ascending)) - 1, 0)]


def _seconds(time: float) -> str:
    return "–" if math.isnan(time) else "never" if math.isinf(time) else f"{time:.2f} s"


def as_dicts(table: RecoveryTable) -> list[dict[str, object]]:
    """Return the rows as dictionaries, as they go into JSON and data frames."""
    return [dataclasses.asdict(row) for row in table.rows]
