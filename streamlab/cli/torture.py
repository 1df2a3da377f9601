"""``streamlab torture``: run somebody's own consumer under faults, and say what it lost or did twice."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shlex
import sys

from streamlab.cli.asked import expanded, time_of
from streamlab.cli.files import check_writable
from streamlab.cli.progress import progress
from streamlab.cli.report import print_run
from streamlab.cli.torture_options import TortureOptions
from streamlab.lab.at_once import check_jobs, in_order
from streamlab.lab.foreign import Program
from streamlab.lab.timeline import Progress
from streamlab.lab.torture import Outcome
from streamlab.lab.torture import torture as put_to_torture
from streamlab.results.whole_file import write_whole
from streamlab.scenario import Arrivals, Scenario, ScenarioError, consumers, producers
from streamlab.scenario.actors import Service
from streamlab.scenario.random_faults import steady_faults


def torture(options: TortureOptions) -> int:
    """Do what ``streamlab torture`` does; return the exit status."""
    _check(options)
    scenarios = [_scenario(options, seed) for seed in range(options.seed, options.seed + options.seeds)]
    if options.html is not None:  # before the run: what is found out after it has cost that run
        check_writable(options.html, "--html")
    if options.seeds == 1:
        with progress(scenarios[0], quiet=options.json) as show:
            outcome = _outcome(options, scenarios[0], show)
        if options.json:
            print(json.dumps(outcome.summary()))
    else:
        outcome = _first_that_fails(options, scenarios)
    if not options.json:
        print_run(outcome.run)
    sys.stdout.flush()
    if options.html is not None:
        from streamlab.views.torture_page import torture_page  # which draws, where it can

        typed = _typed(dataclasses.replace(options, seed=outcome.run.scenario.seed, seeds=1, jobs=1, dask=None))
        write_whole(options.html, [torture_page(outcome, typed).encode()])
    for words, story in outcome.broken:
        _tell("broken", words, story)
    if outcome.left:
        _tell("left", outcome.left, outcome.left_story)
    for hint in outcome.hints:
        print(f"streamlab: hint: {hint}", file=sys.stderr)
    return outcome.status


def _check(options: TortureOptions) -> None:
    """Refuse what makes no sense together, before anything runs."""
    if options.seeds < 1:
        raise ScenarioError(f"--seeds is {options.seeds}: give a whole number of at least 1")
    if options.seeds > 1 and options.faults is None:
        raise ScenarioError("--seeds makes a difference only where faults are drawn by a seed: add --faults random")
    try:
        check_jobs(options.jobs)
    except ValueError as error:
        raise ScenarioError(f"--{error}") from None
    if options.redis is not None and (options.jobs != 1 or options.dask is not None):
        raise ScenarioError("--redis is one server for one run at a time: leave --jobs and --dask out")


def _outcome(options: TortureOptions, scenario: Scenario, show: Progress | None = None) -> Outcome:
    program = Program(options.worker, options.effects, options.restart)
    return put_to_torture(scenario, program, redis_url=options.redis, may_repeat=options.may_repeat, progress=show)


def _first_that_fails(options: TortureOptions, scenarios: list[Scenario]) -> Outcome:
    """Go through the seeds, a line each; return the first outcome that is none to be content with, else the last."""
    calls = ((options, scenario) for scenario in scenarios)
    try:
        with contextlib.closing(in_order(_outcome, calls, jobs=options.jobs, dask=options.dask)) as outcomes:
            for outcome in outcomes:
                summary, run = outcome.summary(), outcome.run
                told = f"seed {run.scenario.seed}: {summary['verdict']}, {run.processed:,} of {run.added:,} processed"
                print(json.dumps(summary) if options.json else told, flush=True)
                if outcome.status:
                    break
    except ModuleNotFoundError as error:
        raise ScenarioError(f"--{error}") from None
    return outcome


def _typed(options: TortureOptions) -> str:
    """Return what to type to run the same again."""
    words = ["streamlab", "torture"]
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        name = field.name.replace("_", "-")
        if field.name in ("json", "html", "redis") or value == field.default:
            continue  # a URL may hold a password
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            for each in value if isinstance(value, list) else [value]:
                words += [f"--{name}", str(each)]
    return shlex.join(words)


def _tell(what: str, words: str, story: tuple[str, ...]) -> None:
    print(f"streamlab: {what}: {words}", file=sys.stderr)
    for line in story:
        print(f"    {line}", file=sys.stderr)


def _scenario(options: TortureOptions, seed: int) -> Scenario:
    """Return the scenario that the options come to by a seed: one producer, and as many consumers as are asked for."""
    if options.consumers < 1:
        raise ScenarioError(f"--consumers is {options.consumers}: give a whole number of at least 1")
    duration = time_of(options.duration, "--duration")
    scenario = Scenario(
        name="torture",
        producers=producers(1, Arrivals(rate=options.rate)),
        consumers=consumers(options.consumers, Service()),
        duration=duration,
        drain=time_of(options.drain, "--drain"),
        seed=seed,
        stream=options.stream,
        group=options.group,
    )
    for text in options.fault or ():
        scenario = scenario.with_faults(*expanded(text, scenario))
    if options.faults == "random":
        names = [consumer.name for consumer in scenario.consumers]
        every = time_of(options.every, "--every")
        faults = steady_faults(
            scenario.rng("faults"), consumers=names, duration=duration, every=every, server=options.redis is None
        )
        scenario = scenario.with_faults(*faults)
    return scenario
