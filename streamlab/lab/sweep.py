"""`sweep`: run many scenarios, or many seeds of some, at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from streamlab.lab.at_once import check_jobs, in_order
from streamlab.lab.how_far import HowFar
from streamlab.lab.lab import Lab
from streamlab.results.run import Run
from streamlab.scenario import Scenario


def sweep(
    scenarios: Iterable[Scenario | str | Path],
    *,
    seeds: Iterable[int] | None = None,
    jobs: int = 1,
    dask: str | None = None,
) -> list[Run]:
    """Simulate scenarios, and return their runs in the same order: the same whatever ran them.

        runs = sweep([scenario.with_rate(rate) for rate in (100, 200, 400)], seeds=range(1, 11), jobs=2)

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
    runs: list[Run] = []
    calls = ((scenario,) for scenario in given)
    with (
        contextlib.closing(HowFar(len(given), "runs")) as progress,
        contextlib.closing(in_order(_run, calls, jobs=jobs, dask=dask)) as results,
    ):
        for run in results:
            runs.append(run)
            progress.step()
    return runs


def _run(scenario: Scenario) -> Run:
    return Lab(scenario).run()
