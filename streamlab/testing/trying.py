"""Try a consumer under the schedules of a plan, by one process or several; find the first that fails."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from streamlab.checks.grading import quiet, try_own
from streamlab.checks.schedules import Schedule
from streamlab.checks.unexpected_ends import Diagnosis
from streamlab.lab.at_once import check_jobs, in_order
from streamlab.lab.how_far import HowFar
from streamlab.results.run import Run
from streamlab.results.verdict import Objection
from streamlab.testing.calling import Called, work_replaced
from streamlab.testing.clients import clients_replaced
from streamlab.testing.plan import Plan
from streamlab.testing.shrinking import shrunk

#: Schedules that are tried here before other processes are asked: one of each kind; and how many one is given at once,
#: few enough for the first failure to be found soon.
_HERE, _AT_ONCE = 10, 4
_NOT_HERE: Final = (
    "this was in another process; here, the same schedule goes well. What differs from one process to the next? What a "
    "consumer keeps outside of its own life, the clock on the wall, the order of a set; how busy its processor is."
)
#: How many trials are made to find a smaller schedule, and as how many one counts that comes to no end.
_EFFORT, _ENDLESS = 60, 10


@dataclass(frozen=True)
class Trial:
    """A consumer under one schedule: what went wrong, if anything, and the run, if it came to an end."""

    schedule: Schedule
    found: Diagnosis | None
    run: Run | None


#: A process makes one trial at a time: what is replaced for it, others would see. (Dask's workers may have threads.)
_ALONE: Final = threading.RLock()


@contextlib.contextmanager
def ready_for(called: Called, *, shows_prints: bool = False) -> Iterator[None]:
    """Let trials be made: clients and work are the simulation's, chance is the seed's, and prints are held back."""
    with _ALONE:
        chance = random.getstate()
        try:
            with quiet(hold_back=not shows_prints), clients_replaced(), work_replaced(called):
                yield
        finally:
            random.setstate(chance)


def trial(called: Called, schedule: Schedule) -> Trial:
    """Try a consumer under a schedule."""
    random.seed(schedule.scenario.seed)
    try:
        found, run = try_own(called, schedule)
    except Objection as objection:
        found, run = Diagnosis(objection.verdict.words, objection.verdict.hint), None
    return Trial(schedule, found, run)


def smallest(called: Called, failed: Trial) -> Trial:
    """Return the trial of the smallest schedule that goes wrong in the same way: on a slow machine, the same one.

    What hung until it was cut off is not tried again and again, which would take a minute.
    """
    if failed.found is None or failed.found.hung:
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


def first_failure(
    consumer: Any, handler: Any, plan: Plan, seeds: Sequence[int], *, jobs: int = 1, dask: str | None = None
) -> Trial | None:
    """Return the trial of the first of these seeds that fails, made as small as it gets; None if all go well.

    `jobs` and `dask` are those of `in_order`. What fails soon fails here, before any other process has been asked.
    """
    check_jobs(jobs)
    called = Called(consumer, handler)
    n_here = len(seeds) if jobs == 1 and dask is None else _HERE
    with contextlib.closing(HowFar(len(seeds), "schedules")) as progress:
        with ready_for(called, shows_prints=len(seeds) == 1):
            failed = _first_failed(called, plan, seeds[:n_here], progress.step)
        if failed is None and seeds[n_here:]:
            parts = (seeds[start : start + _AT_ONCE] for start in range(n_here, len(seeds), _AT_ONCE))
            calls = ((consumer, handler, plan, part) for part in parts)
            with contextlib.closing(in_order(_first_of_part, calls, jobs=jobs, dask=dask)) as firsts:
                failed = _seen_here(called, plan, firsts, partial(progress.step, _AT_ONCE))
    if failed is None:
        return None
    with ready_for(called):
        return smallest(called, failed)


def _first_failed(
    called: Called, plan: Plan, seeds: Sequence[int], step: Callable[[], object] = lambda: None
) -> Trial | None:
    for seed in seeds:
        made = trial(called, plan.schedule(seed))
        if made.found is not None:
            return made
        step()
    return None


def _first_of_part(consumer: Any, handler: Any, plan: Plan, seeds: Sequence[int]) -> tuple[int, Diagnosis] | None:
    """Return the first seed that fails, and what went wrong; in words only, as an error of one's own may not travel."""
    called = Called(consumer, handler)
    with ready_for(called):
        failed = _first_failed(called, plan, seeds)
    if failed is None or failed.found is None:
        return None
    return failed.schedule.scenario.seed, Diagnosis(failed.found.words, _NOT_HERE)


def _seen_here(
    called: Called, plan: Plan, firsts: Iterable[tuple[int, Diagnosis] | None], step: Callable[[], object]
) -> Trial | None:
    """Return the trial, made here, of the first seed that failed elsewhere."""
    for first in firsts:
        if first is not None:
            seed, found = first
            with ready_for(called):
                made = trial(called, plan.schedule(seed))
            return made if made.found is not None else dataclasses.replace(made, found=found)
        step()
    return None
