"""`sweep`: run many scenarios, or many seeds of some, at once; `sweep_over`: a scenario's variations, in figures."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from streamlab.lab.at_once import check_jobs, in_order
from streamlab.lab.how_far import HowFar
from streamlab.lab.lab import Lab
from streamlab.results.run import Run
from streamlab.results.sweep_table import Figures, SweepRow, SweepTable, spoken, value_text
from streamlab.scenario import Scenario, ScenarioError
from streamlab.scenario.variations import combinations, varied

R = TypeVar("R")


def sweep(
    scenarios: Iterable[Scenario | str | Path],
    *,
    seeds: Iterable[int] | None = None,
    jobs: int = 1,
    dask: str | None = None,
) -> list[Run]:
    """Simulate scenarios, and return their runs in the same order: the same whatever ran them.

        runs = sweep([scenario.with_rate(rate) for rate in (100, 200, 400)], seeds=range(1, 11), jobs=2)

    Runs hold every event: of many, take `sweep_over`, which keeps figures only.

    Parameters
    ----------
    scenarios
        Scenarios, their names, or the paths of TOML files.
    seeds
        Run each scenario with each of these; the runs of the first scenario come first. If not given, each has its own.
    jobs
        How many processes to use; needs joblib (``consumer-group-lab[jobs]``).
    dask
        The address of a Dask scheduler, whose workers are used instead; needs ``dask.distributed`` as well.

    Raises
    ------
    ScenarioError
        If a scenario cannot be run: before any is.
    """
    check_jobs(jobs)
    given = [Lab(scenario).scenario for scenario in scenarios]
    if seeds is not None:
        numbers = [*seeds]
        given = [scenario.replace(seed=seed) for scenario in given for seed in numbers]
    with contextlib.closing(_each(_run, given, jobs, dask)) as runs:
        return [*runs]


def sweep_over(
    scenario: Scenario | str | Path,
    *,
    seeds: Iterable[int] = range(1, 11),
    jobs: int = 1,
    dask: str | None = None,
    **over: Iterable[Any],
) -> SweepTable:
    """Simulate all variations of a scenario with each of the seeds, and return what they come to, in figures.

        sweep_over("one-to-one", consumers=range(1, 5), service=[0.005, 0.010])

    The same seed gives each variation the same arrivals, so that variations are compared and not luck. The numbers are
    the same whatever ran them.

    Parameters
    ----------
    scenario
        A scenario, its name, or the path of a TOML file.
    seeds, jobs, dask
        See `sweep`. A mean over more seeds can be trusted further.
    over
        Parameters and their values, times in seconds: ``producers``, ``consumers``, ``rate``, ``service``, ``count``,
        ``speed``, ``entries``, ``duration``, ``recovery``, ``min_idle``, ``interval``, ``heartbeat``,
        ``restart_after``, ``max_deliveries``, as `streamlab run` has them.

    Raises
    ------
    ScenarioError
        If a parameter is unknown, or a variation cannot be run: before any is.
    """
    check_jobs(jobs)
    base = Lab(scenario).scenario
    base.groups.only("scenario.of({})")
    numbers = tuple(seeds)
    if not numbers:
        raise ScenarioError("seeds has no values: give one at least")
    if len({*numbers}) < len(numbers):
        raise ScenarioError("seeds has a value twice: the same run once more says nothing new")
    chosen = combinations(over)
    variations = [_variation(base, values) for values in chosen]
    given = [variation.replace(seed=seed) for variation in variations for seed in numbers]
    rows, broken = [], []
    with contextlib.closing(_each(_figures, given, jobs, dask)) as results:
        for values, variation in zip(chosen, variations, strict=True):
            found = [next(results) for _ in numbers]
            rows.append(SweepRow.of(values, variation, [run.figures for run in found], [run.sojourns for run in found]))
            broken += [
                f"{_told(values)}, seed {seed}: {words}"
                for seed, run in zip(numbers, found, strict=True)
                for words in run.broken
            ]
    return SweepTable(base.name, tuple(over), numbers, tuple(rows), tuple(broken))


def _variation(base: Scenario, values: dict[str, Any]) -> Scenario:
    try:
        return Lab(varied(base, values)).scenario
    except ScenarioError as error:
        raise ScenarioError(f"{_told(values)}: {error}") from None


def _told(values: dict[str, Any]) -> str:
    return ", ".join(f"{spoken(name)} {value_text(name, value)}" for name, value in values.items())


def _each(do: Callable[[Scenario], R], given: list[Scenario], jobs: int, dask: str | None) -> Generator[R, None, None]:
    """Yield what comes of each scenario, and say how far it is."""
    calls = ((scenario,) for scenario in given)
    with (
        contextlib.closing(HowFar(len(given), "runs")) as progress,
        contextlib.closing(in_order(do, calls, jobs=jobs, dask=dask)) as results,
    ):
        for result in results:
            yield result
            progress.step()


def _run(scenario: Scenario) -> Run:
    return Lab(scenario).run()


class _Found(NamedTuple):
    """What is kept of a run."""

    figures: Figures
    sojourns: array[float]
    broken: list[str]


def _figures(scenario: Scenario) -> _Found:
    run = Lab(scenario).run()
    return _Found(Figures.of(run), array("d", run.ledger.sojourns()), run.broken())
