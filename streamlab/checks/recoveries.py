"""Verdicts on the exercises about failures: what is left behind, and whether a recovery survives random faults."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterable, Mapping
from typing import Final

from streamlab.actors import RECOVERIES, Recovery
from streamlab.checks.attempts import shown, whole_number
from streamlab.checks.schedules import told, with_faults
from streamlab.lab.lab import Lab
from streamlab.results.invariants import NEEDLESS
from streamlab.results.run import Run
from streamlab.results.statistics import id_key
from streamlab.results.stories import story_of
from streamlab.results.verdict import Objection, Verdict, judged, nothing_yet
from streamlab.scenario import Scenario
from streamlab.scenario.actions import CrashBeforeAck, CrashBeforeEffect, Kill, Pause
from streamlab.scenario.random_faults import Weights

#: What befalls the consumers in the schedules of `survives`.
_WEIGHTS: Final = Weights({Kill: 4, CrashBeforeEffect: 2, CrashBeforeAck: 3, Pause: 1})
#: Seconds that are more likely to be milliseconds: scenarios last some seconds.
_LONG_WAIT: Final = 20.0
#: Seconds below which a consumer would do nothing but look.
_SHORTEST_WAIT: Final = 0.001


@judged
def left_behind(answer: object, scenario: Scenario) -> Verdict:
    """Check what is pending for whom at the end of a scenario (``XPENDING``).

    `answer` has a list of entries for each consumer that has any: their numbers, 1 for the first that was added.
    """
    said = _numbers_by_name(answer)
    run = Lab(scenario).run()
    truth: dict[str, set[int]] = {}
    for entry_id, name in run.final.pending.items():
        truth.setdefault(name, set()).add(run.numbers[entry_id])
    if unknown := sorted(said.keys() - {consumer.name for consumer in scenario.consumers}):
        hint = f"there are {', '.join(consumer.name for consumer in scenario.consumers)}."
        return Verdict(False, f"There is no consumer {shown(unknown[0])}.", hint)
    for name in sorted(said.keys() | truth.keys()):
        if wrong := said.get(name, set()) - truth.get(name, set()):
            one = min(wrong)
            hint = "it was never given to it, or it had been done and acknowledged before."
            if one not in run.numbers.values():
                hint = f"the entries are numbered from 1 to {len(run.numbers)}."
            return Verdict(False, f"{one} is not pending for {name}.", hint)
        if missing := truth.get(name, set()) - said.get(name, set()):
            hint = "all that it was given and had not acknowledged, begun or not, is pending."
            return Verdict(False, f"{len(missing)} more pending for {name}.", hint)
    told = "; ".join(f"{', '.join(map(str, sorted(of)))} for {n}" for n, of in truth.items())
    return Verdict(True, f"Pending: {told or 'nothing'}.")


def _numbers_by_name(answer: object) -> dict[str, set[int]]:
    """Return which entries are said to be pending for whom; names without any are left out."""
    if answer is ...:
        raise nothing_yet()
    refused = Objection(
        f"{shown(answer)} does not say which entries are pending for whom.",
        'a dict of lists: for instance {"C1": [7], "C3": [8, 9]}; {} if nothing is pending.'
        + (" A cell that prints gives back None." if answer is None else ""),
    )
    if not isinstance(answer, Mapping):
        raise refused
    said: dict[str, set[int]] = {}
    for name, numbers in answer.items():
        one = whole_number(numbers)
        if isinstance(numbers, str | bytes) or (one is None and not isinstance(numbers, Iterable)):
            raise refused
        meant = [one] if one is not None else [whole_number(number) for number in numbers]
        if None in meant:
            raise refused
        if meant:
            said[str(name).strip().upper()] = {number for number in meant if number is not None}
    return said


@judged
def survives(answer: object, scenario: Scenario, *, n_schedules: int = 20, within: float = math.inf) -> Verdict:
    """Check that with a `Recovery` a scenario comes through random schedules of faults, with everything done.

    In each, consumers are killed, crash before and after the effect, and stand still. Nothing may be left, lost or
    break an invariant; nothing may be taken from a consumer that is well; and what a lost one held has to
    be settled `within` seconds.
    """
    n_faults, n_entries, slowest = 0, 0, 0.0
    answer = as_recovery(answer)
    if scenario.recovery.restart_after is not None:
        answer = dataclasses.replace(answer, restart_after=scenario.recovery.restart_after)
    for seed in range(1, n_schedules + 1):
        rng = random.Random(f"survives/{seed}")
        faults = scenario.random_faults(most=5, rng=rng, weights=_WEIGHTS)
        run = Lab(scenario.replace(recovery=answer, faults=faults, seed=seed)).run()
        _object(run, seed, within)
        n_faults += len(run.scenario.faults)
        n_entries += run.added
        slowest = max(slowest, run.recovery.time_max)
    return Verdict(
        True,
        f"{n_schedules} schedules, {n_faults} faults: all {n_entries:,} entries are done, none was taken from a "
        f"consumer that was well, and what a lost consumer held was recovered within {slowest:.2f} s.",
    )


def as_recovery(answer: object) -> Recovery:
    """Return an answer that should be a `Recovery`, if it can be tried."""
    if answer is ...:
        raise nothing_yet()
    if not isinstance(answer, Recovery):
        hint = 'for instance Recovery("claim", min_idle=0.5).'
        if answer is Recovery:
            hint = f"it is the class: call it, {hint}"
        elif isinstance(answer, Scenario):
            hint = f"give the recovery itself, not a scenario that has it: {hint}"
        elif isinstance(answer, str) and answer in RECOVERIES:
            hint = f"that is the name of a strategy: Recovery({answer!r})."
        elif answer is None:
            hint = f"a cell that prints gives back None: {hint}"
        raise Objection(f"{shown(answer)} is not a Recovery.", hint)
    for name in ("min_idle", "looks_every", "heartbeat") if answer.claims else ():
        given = getattr(answer, name)
        if given is not None and given < _SHORTEST_WAIT:
            name = {"looks_every": "interval (by default half of min_idle)"}.get(name, name)
            hint = "it is given in seconds, and Redis counts idle time in whole milliseconds: less is no time at all."
            raise Objection(f"{name} is {given:g} s.", hint)
    return answer


def about_units(recovery: Recovery) -> str:
    """Return a hint for who may have given milliseconds for seconds, if that explains a failure; else nothing."""
    names = ["min_idle", "interval", "heartbeat"] if recovery.claims else []
    for name in [*names, "restart_after"]:
        given = getattr(recovery, name) or 0.0
        if given >= _LONG_WAIT:
            return f"{name} is {given:,g} s: it is given in seconds, {given:g} ms is {given / 1000:g}."
    return ""


def _object(run: Run, seed: int, within: float) -> None:
    """Object to what went wrong in a run, the worst first; with the story of the entry that it befell."""
    pending = run.final.pending
    if pending:
        entry_id = min(pending, key=id_key)
        words = f"{len(pending)} still pending at the end, {entry_id} for {pending[entry_id]}."
        hint = "nothing is redelivered by itself: who takes over, or who starts the dead again?"
        raise _objection(run, seed, words, hint, story_of(entry_id, run.events, run.final))
    if run.undelivered:
        words = f"{run.undelivered} entries were never delivered: no consumer was left to read them."
        hint = "to take over is not enough when all have died: something has to start them again."
        raise _objection(run, seed, words, hint)
    for verdict in sorted(run.verdicts, key=lambda verdict: verdict.rule == NEEDLESS):
        if not verdict:
            raise _objection(run, seed, f"{verdict.words}.", verdict.hint, verdict.story)
    slow = [lost for lost in run.recovery.lost_workers if lost.held and not lost.time <= within]
    if slow:
        took = f"what {slow[0].consumer} held was done {slow[0].time:.2f} s after it was lost"
        hint = "look sooner (min_idle, interval), and let a heartbeat protect those that are at work."
        raise _objection(run, seed, f"{took}; {within:g} s were asked for.", hint)


def _objection(run: Run, seed: int, words: str, hint: str, story: tuple[str, ...] = ()) -> Objection:
    objection = Objection(f"In schedule {seed}, {words}", about_units(run.scenario.recovery) or hint)
    story = with_faults(told(run.scenario.faults), story)
    objection.verdict = dataclasses.replace(objection.verdict, story=story)
    return objection
