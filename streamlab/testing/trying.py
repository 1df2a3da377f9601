"""Try a consumer under the schedules of a plan, by one process or several; find the first that fails."""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streamlab.checks.grading import Progress, quiet, try_own
from streamlab.checks.schedules import Schedule
from streamlab.checks.unexpected_ends import Diagnosis
from streamlab.results.run import Run
from streamlab.results.verdict import Objection
from streamlab.testing.calling import Called, work_replaced
from streamlab.testing.clients import clients_replaced
from streamlab.testing.plan import Plan
from streamlab.testing.shrinking import shrunk

#: Schedules that a process is given at once: few enough for the first failure to be found soon.
_AT_ONCE: Final = 10
#: How many trials are made to find a smaller schedule, and as how many one counts that comes to no end.
_EFFORT, _ENDLESS = 60, 10
#: Seconds of a trial that is too slow to be tried again and again: one that hangs.
_SLOW: Final = 1.0


@dataclass(frozen=True)
class Trial:
    """A consumer under one schedule: what went wrong, if anything, and the run, if it came to an end."""

    schedule: Schedule
    found: Diagnosis | None
    run: Run | None
    seconds: float


@contextlib.contextmanager
def ready_for(called: Called, *, shows_prints: bool = False) -> Iterator[None]:
    """Let trials be made: clients and work are the simulation's, chance is the seed's, and prints are held back."""
    chance = random.getstate()
    try:
        with quiet(hold_back=not shows_prints), clients_replaced(), work_replaced(called):
            yield
    finally:
        random.setstate(chance)


def trial(called: Called, schedule: Schedule) -> Trial:
    """Try a consumer under a schedule."""
    began = time.process_time()
    random.seed(schedule.scenario.seed)
    try:
        found, run = try_own(called, schedule)
    except Objection as objection:
        found, run = Diagnosis(objection.verdict.words, objection.verdict.hint), None
    return Trial(schedule, found, run, time.process_time() - began)


def smallest(called: Called, failed: Trial) -> Trial:
    """Return the trial of the smallest schedule that goes wrong in the same way."""
    if failed.seconds > _SLOW or failed.found is None:
        return failed
    best, way, effort = failed, _way(failed.found), 0

    def is_wrong(schedule: Schedule) -> bool:
        nonlocal best, effort
        if effort >= _EFFORT:
            return False
        made = trial(called, schedule)
        effort += 1 if made.run is not None else _ENDLESS
        if made.found is None or _way(made.found) != way:
            return False
        best = made
        return True

    shrunk(failed.schedule, is_wrong)
    return best


def _way(found: Diagnosis) -> str:
    """Return in which way something went wrong: what is said of it, without its numbers and names."""
    return re.sub(r"\S*\d\S*|'[^']*'", "#", found.hint or found.words)


# ---- many schedules --------------------------------------------------------------------------------


def first_failure(consumer: Any, handler: Any, plan: Plan, seeds: Sequence[int], jobs: int) -> Trial | None:
    """Return the trial of the first of these seeds that fails, made as small as it gets; None if all go well."""
    called = Called(consumer, handler)
    if jobs != 1:
        seed = _first_of_jobs(consumer, handler, plan, seeds, jobs)
        if seed is None:
            return None
        seeds = [seed]
    with ready_for(called, shows_prints=len(seeds) == 1):
        failed = _first_failed(called, plan, seeds)
    if failed is None:
        return None
    with ready_for(called):
        return smallest(called, failed)


def _first_failed(called: Called, plan: Plan, seeds: Sequence[int]) -> Trial | None:
    with contextlib.closing(Progress(len(seeds))) as progress:
        for seed in seeds:
            made = trial(called, plan.schedule(seed))
            if made.found is not None:
                return made
            progress.step()
    return None


def _first_of_jobs(consumer: Any, handler: Any, plan: Plan, seeds: Sequence[int], jobs: int) -> int | None:
    """Return the first seed that fails, found by joblib's workers: processes here, or whatever else it was told."""
    try:
        import joblib
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"jobs={jobs} needs joblib: pip install 'consumer-group-lab[jobs]'; or leave jobs out", name="joblib"
        ) from None
    first: int | None = None

    def parts() -> Iterator[Sequence[int]]:
        for start in range(0, len(seeds), _AT_ONCE):
            if first is not None:
                return
            yield seeds[start : start + _AT_ONCE]

    calls = (joblib.delayed(_first_seed_of)(consumer, handler, plan, part) for part in parts())
    # In the order of the seeds; what has been begun when the first fails is still waited for.
    for seed in joblib.Parallel(n_jobs=jobs, return_as="generator", pre_dispatch="2*n_jobs")(calls):
        if first is None:
            first = seed
    return first


def _first_seed_of(consumer: Any, handler: Any, plan: Plan, seeds: Sequence[int]) -> int | None:
    called = Called(consumer, handler)
    with ready_for(called):
        failed = _first_failed(called, plan, seeds)
    return None if failed is None else failed.schedule.scenario.seed
