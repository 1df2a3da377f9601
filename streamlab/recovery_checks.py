"""Verdicts on the exercises about failures: what is left behind, and whether a recovery survives random faults."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Mapping
from typing import Final

from streamlab.actors import Recovery
from streamlab.faults import CrashBeforeAck, CrashBeforeEffect, Kill, Pause, Weights, random_faults
from streamlab.invariants import NEEDLESS, examine
from streamlab.lab import Lab
from streamlab.metrics import id_key
from streamlab.run import Run
from streamlab.scenario import Scenario
from streamlab.stories import story_of
from streamlab.verdict import Objection, Verdict, nothing_yet

#: What befalls the consumers in the schedules of `survives`.
_WEIGHTS: Final = Weights({Kill: 4, CrashBeforeEffect: 2, CrashBeforeAck: 3, Pause: 1})
_LONGEST_WAIT: Final = 3600.0


def left_behind(answer: object, scenario: Scenario) -> Verdict:
    """Check what is pending for whom at the end of a scenario (``XPENDING``).

    `answer` has a list of entries for each consumer that has any: their numbers, 1 for the first that was added.
    """
    if answer is ...:
        return nothing_yet().verdict
    if not isinstance(answer, Mapping) or not all(
        isinstance(numbers, list | tuple | set) for numbers in answer.values()
    ):
        return Verdict(
            False,
            f"{answer!r} does not say which entries are pending for whom.",
            'for instance {"C1": [7], "C3": [8, 9]}.',
        )
    run = Lab(scenario).run()
    number = {entry_id: n for n, entry_id in enumerate(sorted(run.lives.added, key=id_key), 1)}
    truth: dict[str, set[int]] = {}
    for entry_id, name in run.final.pending.items():
        truth.setdefault(name, set()).add(number[entry_id])
    said = {str(name): set(numbers) for name, numbers in answer.items() if numbers}
    for name in sorted(said.keys() | truth.keys()):
        if wrong := said.get(name, set()) - truth.get(name, set()):
            one = min(wrong, key=str)
            return Verdict(
                False,
                f"{one} is not pending for {name}.",
                "it was never given to it, or it had been done and acknowledged before.",
            )
        if missing := truth.get(name, set()) - said.get(name, set()):
            return Verdict(
                False,
                f"{len(missing)} more pending for {name}.",
                "all that it was given and had not acknowledged, begun or not, is pending.",
            )
    told = "; ".join(f"{', '.join(map(str, sorted(of)))} for {n}" for n, of in truth.items())
    return Verdict(True, f"Pending: {told or 'nothing'}.")


def survives(
    answer: object, scenario: Scenario, *, n_schedules: int = 20, within: float = math.inf
) -> Verdict:
    """Check that with a `Recovery` a scenario comes through random schedules of faults, with everything done.

    In each, consumers are killed, crash before and after the effect, and stand still. Nothing may be left, lost or
    break an invariant; nothing may be taken from a consumer that is well; and what a lost one held has to
    be settled `within` seconds.
    """
    if answer is ...:
        return nothing_yet().verdict
    if not isinstance(answer, Recovery):
        return Verdict(False, f"{answer!r} is not a Recovery.", 'for instance Recovery("claim").')
    for name in ("min_idle", "looks_every", "restarts_after"):
        if (getattr(answer, name) or 0.0) > _LONGEST_WAIT:
            return Verdict(
                False, f"{name} is {getattr(answer, name):,.0f} s.", "it is given in seconds."
            )
    if scenario.recovery.restart_after is not None:
        answer = dataclasses.replace(answer, restart_after=scenario.recovery.restart_after)
    n_faults, n_entries, slowest = 0, 0, 0.0
    try:
        for seed in range(1, n_schedules + 1):
            run = _under_schedule(scenario, answer, seed)
            _object(run, seed, within)
            n_faults += len(run.scenario.faults)
            n_entries += run.added
            slowest = max(slowest, run.recovery.time_max)
    except Objection as objection:
        return objection.verdict
    return Verdict(
        True,
        f"{n_schedules} schedules, {n_faults} faults: all {n_entries:,} entries are done, none was taken from a "
        f"consumer that was well, and the slowest loss was made good in {slowest:.2f} s.",
    )


def _under_schedule(scenario: Scenario, recovery: Recovery, seed: int) -> Run:
    faults = random_faults(
        random.Random(f"survives/{seed}"),
        consumers=[consumer.name for consumer in scenario.consumers],
        producers=[producer.name for producer in scenario.producers],
        duration=scenario.expected_duration(),
        entries=scenario.expected_entries(),
        most=5,
        weights=_WEIGHTS,
    )
    return Lab(dataclasses.replace(scenario, recovery=recovery, faults=faults, seed=seed)).run()


def _object(run: Run, seed: int, within: float) -> None:
    """Object to what went wrong in a run, the worst first; with the story of the entry that it befell."""
    case = f"Schedule {seed} ({'; '.join(map(str, run.scenario.faults))}):"
    pending = run.final.pending
    if pending:
        entry_id = min(pending, key=id_key)
        raise _objection(
            f"{case} {len(pending)} still pending at the end, {entry_id} for {pending[entry_id]}.",
            "nothing is redelivered by itself: who takes over, or who starts the dead again?",
            story_of(entry_id, run.events, run.final),
        )
    if run.undelivered:
        raise _objection(
            f"{case} {run.undelivered} entries were never delivered: nobody was left to read.",
            "to take over is not enough when all have died: somebody has to start them again.",
        )
    verdicts = examine(run.scenario, run.events, run.final)
    for verdict in sorted(verdicts, key=lambda verdict: verdict.rule == NEEDLESS):
        if not verdict:
            raise _objection(f"{case} {verdict.words}.", verdict.hint, verdict.story)
    slow = [lost for lost in run.recovery.lost_workers if lost.held and not lost.time <= within]
    if slow:
        raise _objection(
            f"{case} what {slow[0].consumer} held was done {slow[0].time:.2f} s after it was lost; "
            f"{within:g} s were asked for.",
            "look sooner (min_idle, interval), and let a heartbeat protect those that are at work.",
        )


def _objection(words: str, hint: str, story: tuple[str, ...] = ()) -> Objection:
    objection = Objection(words, hint)
    objection.verdict = dataclasses.replace(objection.verdict, story=story)
    return objection
