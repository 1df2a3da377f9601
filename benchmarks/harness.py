"""What the benchmarks share: rivals, interleaved repetitions, medians, a table."""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.util
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

_Row = TypeVar("_Row")
_Found = TypeVar("_Found")


class Outcome(NamedTuple):
    """One measurement: how long it took in seconds of the wall, and how many entries were processed."""

    seconds: float
    n_processed: int


class Miscounted(AssertionError):
    """A rival did not do the work that all are given."""


@dataclass(frozen=True)
class Rival:
    """Something that is measured.

    Attributes
    ----------
    run
        Process this many entries, and say how long that took; what is only preparation is not timed.
    needs
        Modules without which it cannot run, beyond those that streamlab itself needs.
    note
        What a reader of the table should know.
    """

    name: str
    run: Callable[[int], Outcome]
    needs: tuple[str, ...] = ()
    note: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The modules that it needs and that are not installed."""
        return absent(self.needs)


class Candidate(Protocol):
    """Somebody who may be missing here."""

    @property
    def name(self) -> str: ...

    @property
    def missing(self) -> tuple[str, ...]: ...


_C = TypeVar("_C", bound=Candidate)


def absent(needs: Iterable[str]) -> tuple[str, ...]:
    """Return those of some modules that are not installed."""
    return tuple(name for name in needs if importlib.util.find_spec(name) is None)


@dataclass
class Result:
    """A rival's measurements, in entries per second."""

    name: str
    note: str = ""
    n_processed: int = 0
    rates: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.rates)


def imported(name: str) -> Any:
    """Import a rival's module. Typed loosely: not all of them are typed, and none has to be installed."""
    return importlib.import_module(name)


def available(rivals: Sequence[_C], only: Sequence[str] = ()) -> list[_C]:
    """Return the rivals that can run here and whose names hold one of `only`; say which cannot run."""
    wanted = [r for r in rivals if not only or any(o.lower() in r.name.lower() for o in only)]
    for rival in wanted:
        if rival.missing:
            print(
                f"left out: {rival.name} needs {', '.join(rival.missing)} (pip install --group bench)", file=sys.stderr
            )
    return [rival for rival in wanted if not rival.missing]


def run_checked(rival: Rival, n_entries: int) -> Outcome:
    """Run a rival once, from a clean heap, and see that it processed every entry."""
    gc.collect()  # nobody pays for what another has left behind; within a run the collector is on, for all
    outcome = rival.run(n_entries)
    if outcome.n_processed != n_entries:
        raise Miscounted(f"{rival.name} processed {outcome.n_processed:,} of {n_entries:,} entries")
    return outcome


def measure(rivals: Sequence[Rival], n_entries: int, repeats: int, least_seconds: float) -> list[Result]:
    """Let the rivals run in turns, after a warm-up, each turn beginning with another one.

    A rival that is done quickly runs again until its turn has lasted `least_seconds`: in a tenth of a second
    one hiccup of the machine would be all that is measured.
    """
    results = {rival.name: Result(rival.name, rival.note) for rival in rivals}
    for rival in rivals:
        run_checked(rival, max(1, n_entries // 20))
    for turn in range(repeats):
        first = turn % len(rivals)
        for number, rival in enumerate([*rivals[first:], *rivals[:first]], 1):
            progress(f"turn {turn + 1}/{repeats}, {number}/{len(rivals)}: {rival.name}")
            outcomes = [run_checked(rival, n_entries)]
            while sum(outcome.seconds for outcome in outcomes) < least_seconds:
                outcomes.append(run_checked(rival, n_entries))
            seconds = sum(outcome.seconds for outcome in outcomes)
            results[rival.name].rates.append(len(outcomes) * n_entries / seconds)
            results[rival.name].n_processed = outcomes[-1].n_processed
    progress("")
    return list(results.values())


def progress(text: str) -> None:
    """Show what is going on, where somebody is looking."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def ratio(result: Result, base: Result | None) -> float | None:
    """Return how many times faster than `base` a result is: the median of the turns' own ratios."""
    if base is None:
        return None
    return statistics.median(a / b for a, b in zip(result.rates, base.rates, strict=True))


def table(results: Sequence[Result], base: Result | None, base_name: str) -> str:
    """Return the results as a Markdown table, the fastest first."""
    rows = [
        (
            result.name + (f" ({result.note})" if result.note else ""),
            f"{result.median:,.0f}",
            f"{min(result.rates):,.0f}–{max(result.rates):,.0f}",
            "" if (times := ratio(result, base)) is None else f"{times:.3g}",
        )
        for result in sorted(results, key=lambda result: -result.median)
    ]
    header = ("what", "entries/s", "lowest–highest", f"× {base_name}")
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        name, *numbers = (
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {name} | {' | '.join(numbers)} |"

    rule = f"|{'-' * (widths[0] + 2)}|" + "".join(f"{'-' * (width + 1)}:|" for width in widths[1:])
    return "\n".join([line(header), rule, *map(line, rows)])


def as_json(results: Sequence[Result], base: Result | None, **facts: object) -> str:
    """Return the results as one JSON object."""
    rows = [
        {
            "name": result.name,
            "note": result.note,
            "n_processed": result.n_processed,
            "entries_per_s": round(result.median),
            "lowest": round(min(result.rates)),
            "highest": round(max(result.rates)),
            "ratio": None if (times := ratio(result, base)) is None else round(times, 4),
        }
        for result in results
    ]
    facts = {"machine": machine(), **facts, "base": None if base is None else base.name}
    return json.dumps({**facts, "results": rows}, indent=2)


def machine() -> str:
    """Return what the numbers were measured on."""
    return (
        f"Python {platform.python_version()}, redis-py {imported('redis').__version__}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    )


def written(page: Path, begin: str, end: str, markdown: str) -> str:
    """Return a page's text with what is between its markers replaced."""
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{page.name} has no place for the table: put {begin} and {end} into it")
    return f"{before}{begin}\n\n{markdown}\n\n{end}{after}"


def repeated(rows: Iterable[_Row], repeats: int, run: Callable[[_Row], _Found]) -> dict[_Row, list[_Found]]:
    """Run each row so many times, and return what came of it."""
    found: dict[_Row, list[_Found]] = {row: [] for row in rows}
    for row, runs in found.items():
        for number in range(repeats):
            progress(f"{row}: {number + 1} of {repeats}")
            runs.append(run(row))
    progress("")
    return found


def each_time(runs: Sequence[object], name: str) -> str:
    """Return a count of each run, in their order; once, if it was always the same."""
    counts = [getattr(run, name) for run in runs]
    return f"{counts[0]:,}" if len(set(counts)) == 1 else " / ".join(f"{count:,}" for count in counts)


def find(results: Sequence[Result], name: str) -> Result | None:
    """Return the result of that name, if it was measured."""
    return next((result for result in results if result.name == name), None)


def argument_parser(description: str, n_entries: int) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--entries", type=_positive, default=n_entries, help="for each rival (%(default)s)")
    parser.add_argument("--repeats", type=_positive, default=5, help="interleaved repetitions (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.5, help="a rival's turn lasts at least (%(default)s)")
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help="rivals whose name holds one of these")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number of at least 1")
    return value
