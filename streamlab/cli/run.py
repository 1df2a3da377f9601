"""``streamlab run``: run a scenario, show what came of it, and judge it."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from streamlab.cli.asked import scenario_of
from streamlab.cli.files import check_files, write_files
from streamlab.cli.left_pending import left_pending
from streamlab.cli.options import RunOptions
from streamlab.cli.progress import progress
from streamlab.cli.report import print_comparison, print_run
from streamlab.cli.waited import waited
from streamlab.lab.garbage import rare_garbage_collections
from streamlab.lab.lab import Lab
from streamlab.results.comparison import Agreement, Comparison
from streamlab.results.run import EngineName, Run
from streamlab.scenario import Scenario, ScenarioError
from streamlab.servers.stopping import Stopped


def run(options: RunOptions) -> int:
    """Do what ``streamlab run`` does; return the exit status."""
    scenario = scenario_of(options)
    if options.engine == "simulated" and options.redis is not None:
        raise ScenarioError("--redis is for a real run: add --engine live or --engine both")
    if options.open is not None and (options.engine != "live" or options.redis is None):
        raise ScenarioError("--open is for a live run on a server that others reach: add --engine live --redis URL")
    _check_keep(options)
    check_files(options)  # before the run: what is found out after it has cost that run
    if options.keep:
        return _run_and_keep(scenario, options)
    comparison = None
    with rare_garbage_collections():
        with progress(scenario, quiet=options.json or options.events) as show:
            if options.engine == "both":
                from streamlab.lab.both import run_both

                comparison = run_both(scenario, redis_url=options.redis, progress=show)
                runs = [comparison.one, comparison.other]
            else:
                with _lab(scenario, options) as lab:
                    runs = [lab.run(show)]
        _print(options, runs, comparison)
        write_files(options, runs)
        return _judge(runs, comparison)


def _lab(scenario: Scenario, options: RunOptions) -> Lab:
    engine: EngineName = "simulated" if options.engine == "both" else options.engine
    return Lab(scenario, engine=engine, redis_url=options.redis, open_as=options.open)


def _check_keep(options: RunOptions) -> None:
    """Refuse to keep a server where there is none."""
    if options.keep and options.engine != "live":
        raise ScenarioError("--keep is for a real server that a run has: add --engine live")
    if options.port is not None and not options.keep:
        raise ScenarioError("--port is where a server that stays is reached: add --keep")
    if options.port is not None and options.redis is not None:
        raise ScenarioError("--port is for a private server, and --redis names one that has its port: leave one out")
    if options.port is not None:
        from streamlab.cli.serving import check_port

        check_port(options.port)


def _run_and_keep(scenario: Scenario, options: RunOptions) -> int:
    """Run a scenario live, and leave its server as it is until a signal comes; return the run's exit status."""
    from streamlab.cli.serving import free_port, run_and_stay
    from streamlab.servers.client import redact

    port = (options.port or free_port()) if options.redis is None else None
    engine = _lab(scenario, options).live_engine(port)
    status: list[int] = []

    def tell(run: Run) -> None:
        _print(options, [run], None)
        write_files(options, [run])
        status.append(_judge([run], None))
        where = redact(engine.stage.public_url)
        what = "and then this server is ended" if options.redis is None else "and then this run's keys are deleted"
        print(f"streamlab: {where} stays as it is: Ctrl-C ends this command, {what}", file=sys.stderr, flush=True)

    try:
        with progress(scenario, quiet=options.json or options.events) as show:
            run_and_stay(engine, show, tell)
    except Stopped:
        if not status:
            raise
    return status[0]


def _print(options: RunOptions, runs: list[Run], comparison: Comparison | None) -> None:
    """Print what came of it, before any file is written."""
    if options.events:
        for run in runs:
            for event in run.events:
                print(event.to_json())
    elif options.json:
        if comparison is None:
            print(json.dumps(_summary(runs[0])))
        else:
            both: dict[str, Any] = {run.engine: run.summary() for run in runs}
            print(json.dumps(both | {"agrees": comparison.agrees, "verdict": comparison.verdict}))
    elif comparison is None:
        print_run(runs[0])
    else:
        print_comparison(comparison)
    sys.stdout.flush()


def _summary(run: Run) -> dict[str, Any]:
    """Return a run in figures, with what was waited for it until now."""
    ended = time.perf_counter()
    summary = run.summary()
    _ = run.verdicts  # which are told next
    waiting = waited.summary(run.wall, time.perf_counter() - ended)
    found: dict[str, Any] = {}
    for name, value in summary.items():
        found |= waiting if name == "wall" else {name: value}
    return found


def _judge(runs: list[Run], comparison: Comparison | None) -> int:
    """Say on standard error what is wrong with the runs; return the exit status."""
    is_wrong = comparison is not None and comparison.verdict == Agreement.DIFFERS
    is_left = False
    for run in runs:
        for line in run.broken():
            is_wrong = True
            print(f"streamlab: broken ({run.engine}): {line}", file=sys.stderr)
        left = left_pending(run)
        if left:
            is_left = True
            print(f"streamlab: still pending ({run.engine}): {left}", file=sys.stderr)
    return 1 if is_wrong else 3 if is_left else 0
