"""Verdicts on the exercises: right or not yet, in words, with a hint.

An exercise is checked by running what the learner made and looking at what happened, so that every answer
that does what was asked is right, not only the one that the author had in mind.

    checks.utilisation(my_scenario, 0.80)
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence

from streamlab.choice_checks import choices
from streamlab.claim_checks import heartbeat
from streamlab.dead_letter_checks import gives_up, puts_back
from streamlab.effect_checks import adds_once, books_once
from streamlab.grading import recovery
from streamlab.group_checks import pending_exactly, worker
from streamlab.invariants import examine, summary
from streamlab.lab import Lab
from streamlab.model_checks import left_after_trim, tiny_group
from streamlab.recovery_checks import left_behind, survives
from streamlab.run import Run
from streamlab.scenario import Arrivals, Producer, Scenario, Service, consumers
from streamlab.service_checks import alarms
from streamlab.stream_checks import bookmark, pages
from streamlab.takeover_checks import take_over
from streamlab.verdict import Objection, Verdict, nothing_yet

#: A scenario with more entries than this is a slip of the finger, and would take a minute.
MOST_ENTRIES = 100_000


# ---- one producer, one consumer --------------------------------------------------------------------


def utilisation(answer: object, target: float, *, tolerance: float = 0.02) -> Verdict:
    """Check that the consumers of a scenario are busy a part `target` of the time, on average.

    `answer` is a `Scenario`; `target` and `tolerance` are parts of 1.
    """
    try:
        run = _run(answer)
    except Objection as objection:
        return objection.verdict
    busy = sum(c.utilisation for c in run.consumers.values()) / len(run.consumers)
    words = f"{_names(run)} busy {busy:.1%} of the time; {target:.0%} was asked for."
    if run.backlog_max > run.added / 10:
        return Verdict(
            False,
            f"{words} The backlog grew to {run.backlog_max:,} entries.",
            "rate × service time, over the number of consumers, has to stay under 1.",
        )
    if abs(busy - target) <= tolerance:
        return Verdict(True, words)
    more = "more" if busy < target else "less"
    return Verdict(
        False, words, f"utilisation is rate × service time: one of the two has to be {more}."
    )


#: backlog (entries), rate (entries per second), service time (seconds)
_DRAIN_CASES = ((200, 50.0, 0.010), (300, 150.0, 0.004), (60, 20.0, 0.020), (100, 100.0, 0.012))


def drain_time(answer: object) -> Verdict:
    """Check a function that tells how long a backlog lasts, against simulations.

    ``answer(backlog, rate, service_time)`` is to return the seconds until one consumer has worked off
    `backlog` entries (to 5 %) while `rate` more come each second; infinity if it never will.
    """
    if answer is ...:
        return nothing_yet().verdict
    if not callable(answer):
        return Verdict(False, f"{answer!r} is not a function.", "def drain_time(backlog, rate, …):")
    for backlog, rate, service in _DRAIN_CASES:
        case = f"drain_time({backlog}, {rate:g}, {service:g})"
        truth = _measured_drain(backlog, rate, service)
        try:
            said = answer(backlog, rate, service)
        except Exception as error:  # whatever a learner's function may do
            return Verdict(
                False,
                f"{case} raised {type(error).__name__}: {error}",
                "try it in a cell of its own.",
            )
        if said is ... or said is None:
            return nothing_yet().verdict
        if not isinstance(said, int | float):
            return Verdict(False, f"{case} returned {said!r}.", "return a number of seconds.")
        if math.isinf(truth) and said != math.inf:
            return Verdict(
                False,
                f"{case} returned {said:.3g}; but this backlog never goes away.",
                "what comes in is more than what goes out: return math.inf.",
            )
        if not math.isinf(truth) and not abs(said - truth) <= 0.05 * truth:
            return Verdict(
                False,
                f"{case} returned {said:.3g} s; in the simulation it took {truth:.3g} s.",
                "each second 1 / service_time entries go and rate more come.",
            )
    return Verdict(True, f"It agrees with the simulation in {len(_DRAIN_CASES)} cases.")


def _measured_drain(backlog: int, rate: float, service: float) -> float:
    """Return the seconds until a simulated backlog is gone; infinity if it grows."""
    if rate * service >= 1:
        return math.inf
    waiting = Arrivals("bursts", rate=1e-6, burst=backlog)
    coming = Arrivals("constant", rate=rate, start=1 / rate)
    scenario = Scenario(
        producers=(Producer("P0", waiting), Producer("P1", coming)),
        consumers=consumers(1, Service("constant", service)),
        duration=2 * backlog / (1 / service - rate),
    )
    series = Lab(scenario).run().series
    return next(at for at, left in zip(series.at, series.backlog, strict=True) if at and not left)


# ---- several consumers, several producers ----------------------------------------------------------


def fewest_consumers(answer: object, scenario: Scenario, *, limit: float) -> Verdict:
    """Check that `answer` consumers are busy at most a part `limit` of the time, and one fewer is not."""
    return _edge(answer, scenario.with_consumers, "consumer", +1, limit)


def most_producers(answer: object, scenario: Scenario, *, limit: float) -> Verdict:
    """Check that with `answer` producers the consumers are busy at most `limit`, and with one more are not."""
    return _edge(answer, scenario.with_producers, "producer", -1, limit)


def _edge(
    answer: object, variant: Callable[[int], Scenario], word: str, easier: int, limit: float
) -> Verdict:
    """Check a number that is fine, and the next one, in the direction that is harder, is not."""
    if answer is ...:
        return nothing_yet().verdict
    if not isinstance(answer, int) or isinstance(answer, bool) or not 1 <= answer <= 100:
        return Verdict(
            False, f"{answer!r} is not a number of {word}s.", "a whole number from 1 to 100."
        )
    try:
        busy = _busy(variant(answer))
        beyond = _busy(variant(answer - easier)) if answer > easier else math.inf
    except Objection as objection:
        return objection.verdict
    words = f"With {_count(answer, word)} the consumers are busy {busy:.1%} of the time"
    if busy > limit:
        return Verdict(
            False,
            f"{words}; {limit:.0%} is the limit.",
            f"take {'more' if easier > 0 else 'fewer'} {word}s.",
        )
    if beyond <= limit:
        return Verdict(
            False,
            f"{words}, and with {_count(answer - easier, word)} {beyond:.1%}, which is still allowed.",
            f"{'fewer' if easier > 0 else 'more'} {word}s would do.",
        )
    other = (
        f"with {_count(answer - easier, word)} it would be {beyond:.1%}"
        if beyond < math.inf
        else ""
    )
    return Verdict(True, f"{words}{f'; {other}' if other else ''}.")


def share(answer: object, consumer: str, target: float, *, tolerance: float = 0.01) -> Verdict:
    """Check that `consumer` gets a part `target` of all entries of a scenario."""
    try:
        run = _run(answer)
    except Objection as objection:
        return objection.verdict
    if consumer not in run.shares:
        return Verdict(
            False, f"There is no {consumer} in it.", "change a consumer, do not remove one."
        )
    got = run.shares[consumer]
    words = f"{consumer} got {got:.1%} of the entries; {target:.0%} was asked for."
    if abs(got - target) <= tolerance:
        return Verdict(True, words)
    pace = "slower" if got > target else "faster"
    return Verdict(False, words, f"shares follow from pace alone: make {consumer} {pace}.")


def enough_maxlen(answer: object, scenario: Scenario) -> Verdict:
    """Check a MAXLEN with which a scenario loses nothing and keeps no more than twice what it must."""
    if answer is ...:
        return nothing_yet().verdict
    if not isinstance(answer, int) or isinstance(answer, bool) or answer < 1:
        return Verdict(False, f"{answer!r} is not a MAXLEN.", "a whole number of at least 1.")
    needed = Lab(dataclasses.replace(scenario, maxlen=None)).run().backlog_max
    trimmed = Lab(dataclasses.replace(scenario, maxlen=answer)).run().trimmed
    if trimmed:
        return Verdict(
            False,
            f"With MAXLEN ~ {answer:,}, {trimmed:,} entries were trimmed before anybody had read them.",
            "a stream has to hold at least the largest backlog.",
        )
    if answer < needed:
        return Verdict(
            False,
            f"Nothing was trimmed unread, but the backlog reached {needed:,} entries: it was luck.",
            "MAXLEN ~ may keep more than you ask for, and must not be relied on for it.",
        )
    if answer > 2 * needed:
        return Verdict(
            False,
            f"Nothing was lost, but {answer:,} is far more than the {needed:,} entries that ever waited.",
            "memory is what MAXLEN is for: up to twice the largest backlog is reasonable here.",
        )
    return Verdict(
        True, f"Nothing was lost: at most {needed:,} entries waited, and {answer:,} fit."
    )


# ---- who gets what ---------------------------------------------------------------------------------


def assignment(answer: object, scenario: Scenario) -> Verdict:
    """Check a list of consumers' names: who is given entry 1, 2, 3 … of a scenario."""
    if answer is ...:
        return nothing_yet().verdict
    if not isinstance(answer, Sequence) or isinstance(answer, str):
        return Verdict(
            False, f"{answer!r} is not a list of names.", 'for instance ["C1", "C2", "C3"].'
        )
    names = [name for _, name in Lab(scenario).run().assignment()]
    if len(answer) != len(names):
        return Verdict(
            False,
            f"The list has {len(answer)} names; there are {len(names)} entries.",
            "one for each.",
        )
    for number, (said, name) in enumerate(zip(answer, names, strict=True), 1):
        if said != name:
            return Verdict(
                False,
                f"Entry {number} does not go to {said}; the {number - 1} before it are right.",
                f"who waits when entry {number} comes, and who of them has waited longest?",
            )
    told = ", ".join(f"{number}→{name}" for number, name in enumerate(names, 1))
    return Verdict(True, f"{told}.")


def in_a_row(answer: object, n: int, *, least_consumers: int = 3) -> Verdict:
    """Check that in a scenario one consumer is given `n` entries in a row, though others are there."""
    try:
        run = _run(answer)
    except Objection as objection:
        return objection.verdict
    if len(run.consumers) < least_consumers:
        return Verdict(
            False,
            f"There are {len(run.consumers)} consumers; {least_consumers} were asked for.",
            "leave them all in the group.",
        )
    stretches = itertools.groupby(name for _, name in run.assignment())
    length, name = max(
        ((len(list(group)), name) for name, group in stretches), default=(0, "nobody")
    )
    words = f"The most entries in a row were {length}, for {name}; {n} were asked for."
    if length >= n:
        return Verdict(True, words)
    return Verdict(
        False,
        words,
        "a consumer takes several at once if it asks for several, and several are waiting.",
    )


# ---- failures and recovery ---------------------------------------------------------------------------


def invariants(run: Run) -> Verdict:
    """Check that a run breaks no invariant; tell the story of the first entry that breaks one.

    All of them, one by one: ``streamlab.invariants.examine(run.scenario, run.events, run.final)``.
    """
    return summary(examine(run.scenario, run.events, run.final))


# ---- trying an answer ------------------------------------------------------------------------------


def _run(answer: object) -> Run:
    """Run an answer that should be a scenario; raise `Objection` if it cannot be tried."""
    if answer is ...:
        raise nothing_yet()
    if not isinstance(answer, Scenario):
        raise Objection(
            f"{answer!r} is not a Scenario.", "begin with one from above, and change it."
        )
    expected = _expected_entries(answer)
    if expected > MOST_ENTRIES:
        raise Objection(
            f"That would be about {expected:,.0f} entries: too many to try.",
            "a smaller rate or a shorter duration will do.",
        )
    return Lab(answer).run()


def _busy(scenario: Scenario) -> float:
    run = _run(scenario)
    return sum(c.utilisation for c in run.consumers.values()) / len(run.consumers)


def _expected_entries(scenario: Scenario) -> float:
    if any(p.arrivals.kind == "replay" for p in scenario.producers):
        return 0.0  # as many as were recorded: nobody's slip
    rate = sum(p.arrivals.rate for p in scenario.producers)
    by_time = math.inf if scenario.duration is None else rate * scenario.duration
    return min(by_time, math.inf if scenario.entries is None else scenario.entries)


def _names(run: Run) -> str:
    names = list(run.consumers)
    return f"{names[0]} is" if len(names) == 1 else f"{', '.join(names)} are"


def _count(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


__all__ = [
    "Verdict", "adds_once", "alarms", "assignment", "bookmark", "books_once", "choices", "drain_time",
    "enough_maxlen", "fewest_consumers", "gives_up", "heartbeat", "in_a_row", "invariants", "left_after_trim",
    "left_behind", "most_producers", "pages", "pending_exactly", "puts_back", "recovery", "share", "survives",
    "take_over", "tiny_group", "utilisation", "worker",
]  # fmt: skip
