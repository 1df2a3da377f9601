"""``streamlab sweep``: run all variations of a scenario with many seeds, and show what they come to."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from streamlab.cli.asked import scenario_of
from streamlab.cli.files import check_picture
from streamlab.cli.report import print_table
from streamlab.cli.sweep_options import SweepOptions
from streamlab.lab.at_once import check_jobs
from streamlab.lab.sweep import sweep_over
from streamlab.scenario import ScenarioError
from streamlab.scenario.variations import read_over


def sweep(options: SweepOptions) -> int:
    """Do what ``streamlab sweep`` does; return the exit status."""
    over = _over(options)
    base = scenario_of(options)
    seeds = range(base.seed, base.seed + options.seeds)
    try:
        swept = sweep_over(base, seeds=seeds, jobs=options.jobs, dask=options.dask, **over)
    except ModuleNotFoundError as error:
        raise ScenarioError(f"--{error}") from None
    if options.json:
        print(json.dumps(swept.summary()))
    else:
        print_table(swept.as_table())
    sys.stdout.flush()
    if options.plot is not None:
        from streamlab import plots  # matplotlib is an extra, and slow to import

        plots.sweep(swept).savefig(options.plot)
    for line in swept.broken:
        print(f"streamlab: broken: {line}", file=sys.stderr)
    return 1 if swept.broken else 0


def _over(options: SweepOptions) -> dict[str, Sequence[Any]]:
    """Return what is swept over; refuse what makes no sense, before anything is run."""
    if not options.over:
        raise ScenarioError("nothing is swept over: add --over consumers=1..8, or --over service=2ms,4ms")
    if options.seeds < 1:
        raise ScenarioError(f"--seeds is {options.seeds}: give a whole number of at least 1")
    try:
        check_jobs(options.jobs)
    except ValueError as error:
        raise ScenarioError(f"--{error}") from None
    try:
        over = read_over(options.over)
    except ScenarioError as error:
        raise ScenarioError(f"--over {error}") from None
    for name in over:
        if getattr(options, name) is not None:
            raise ScenarioError(f"{name} is both swept over and given by --{name.replace('_', '-')}: leave one out")
    if options.plot is not None:
        check_picture(options.plot)
    return over
