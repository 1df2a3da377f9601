"""``streamlab torture``: run somebody's own consumer under faults, and say what it lost or did twice."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys

from streamlab.cli.asked import expanded, time_of
from streamlab.cli.files import check_writable
from streamlab.cli.progress import progress
from streamlab.cli.report import print_run
from streamlab.cli.torture_options import TortureOptions
from streamlab.lab.foreign import Program
from streamlab.lab.torture import torture as put_to_torture
from streamlab.results.whole_file import write_whole
from streamlab.scenario import Arrivals, Scenario, ScenarioError, consumers, producers
from streamlab.scenario.actors import Service
from streamlab.scenario.random_faults import steady_faults


def torture(options: TortureOptions) -> int:
    """Do what ``streamlab torture`` does; return the exit status."""
    scenario = _scenario(options)
    if options.html is not None:  # before the run: what is found out after it has cost that run
        check_writable(options.html, "--html")
    program = Program(options.worker, options.effects, options.restart)
    with progress(scenario, quiet=options.json) as show:
        outcome = put_to_torture(
            scenario, program, redis_url=options.redis, may_repeat=options.may_repeat, progress=show
        )
    if options.json:
        print(json.dumps(outcome.summary()))
    else:
        print_run(outcome.run)
    sys.stdout.flush()
    if options.html is not None:
        from streamlab.views.torture_page import torture_page  # which draws, where it can

        write_whole(options.html, [torture_page(outcome, _typed(options)).encode()])
    for words, story in outcome.broken:
        _tell("broken", words, story)
    if outcome.left:
        _tell("left", outcome.left, outcome.left_story)
    for hint in outcome.hints:
        print(f"streamlab: hint: {hint}", file=sys.stderr)
    return outcome.status


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


def _scenario(options: TortureOptions) -> Scenario:
    """Return the scenario that the options come to: one producer, and as many consumers as are asked for."""
    if options.consumers < 1:
        raise ScenarioError(f"--consumers is {options.consumers}: give a whole number of at least 1")
    duration = time_of(options.duration, "--duration")
    scenario = Scenario(
        name="torture",
        producers=producers(1, Arrivals(rate=options.rate)),
        consumers=consumers(options.consumers, Service()),
        duration=duration,
        drain=time_of(options.drain, "--drain"),
        seed=options.seed,
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
