"""Verdicts on the exercises whose answer is a number, or a function that gives one."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Final

from streamlab.checks.attempts import call, count_of, is_about, real_number, returned, shown, whole_number
from streamlab.checks.scenarios import busy_part, run_of
from streamlab.lab.lab import Lab
from streamlab.lab.sweep import sweep_over
from streamlab.results.theory import MMc
from streamlab.results.verdict import Objection, Verdict, judged, nothing_yet
from streamlab.scenario import Arrivals, Producer, Scenario, Service, consumers
from streamlab.scenario.actions import Kill

# ---- how long a backlog lasts ----------------------------------------------------------------------

#: backlog (entries), rate (entries per second), service time (seconds)
_DRAIN_CASES: Final = (200, 50.0, 0.01), (300, 150.0, 0.004), (60, 20.0, 0.02), (100, 100.0, 0.012), (50, 100.0, 0.01)


@judged
def drain_time(answer: object) -> Verdict:
    """Check a function that tells how long a backlog lasts, against simulations.

    ``answer(backlog, rate, service_time)`` is to return the seconds until one consumer has worked off
    `backlog` entries (to 5 %) while `rate` more come each second; infinity if it never will.
    """
    for case in _DRAIN_CASES:
        _check_drain_time(answer, *case)
    return Verdict(True, f"It agrees with the simulation in {len(_DRAIN_CASES)} cases.")


def _check_drain_time(answer: object, backlog: int, rate: float, service: float) -> None:
    case = f"drain_time({backlog}, {rate:g}, {service:g})"
    truth = _measured_drain(backlog, rate, service)
    try:
        said = call(answer, f"In {case}", backlog, rate, service)
    except Objection as objection:
        if math.isclose(rate * service, 1) and isinstance(objection.__cause__, ZeroDivisionError):
            hint = "here as many come as go, and the backlog stays as it is: return math.inf."
            raise Objection(objection.verdict.words, hint) from None
        raise
    number = real_number(said)
    if number is None:
        raise returned(said, f"In {case}", "return a number of seconds; math.inf for never.")
    if math.isinf(truth) and number != math.inf:
        hint = "as much comes in as goes out, or more: return math.inf."
        raise Objection(f"{case} returned {number:.3g}; but this backlog never goes away.", hint)
    if is_about(number, truth):
        return
    words = f"{case} returned {number:.3g} s; in the simulation it took {truth:.3g} s."
    if number == math.inf:
        raise Objection(words, "fewer come than go here: rate × service_time is less than 1.")
    if is_about(number, 1000 * truth):
        raise Objection(words, "that would be milliseconds: return seconds.")
    raise Objection(words, "each second 1 / service_time entries go and rate more come.")


@functools.cache
def _measured_drain(backlog: int, rate: float, service: float) -> float:
    """Return the seconds until a simulated backlog is gone; infinity if it does not get shorter."""
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


# ---- how many --------------------------------------------------------------------------------------


def fewest_consumers(answer: object, scenario: Scenario, *, limit: float) -> Verdict:
    """Check that `answer` consumers are busy at most a part `limit` of the time, and one fewer is not."""
    return _edge(answer, scenario.with_consumers, "consumer", +1, limit)


def most_producers(answer: object, scenario: Scenario, *, limit: float) -> Verdict:
    """Check that with `answer` producers the consumers are busy at most `limit`, and with one more are not."""
    return _edge(answer, scenario.with_producers, "producer", -1, limit)


@judged
def _edge(answer: object, variant: Callable[[int], Scenario], word: str, easier: int, limit: float) -> Verdict:
    """Check a number that is fine, and the next one, in the direction that is harder, is not."""
    n = _whole(answer, f"number of {word}s", 100)
    busy = busy_part(run_of(variant(n)))
    beyond = busy_part(run_of(variant(n - easier))) if n > easier else math.inf
    words = f"With {count_of(n, word)} the consumers are busy {busy:.1%} of the time"
    load = "the load is rate × service time, over the number of consumers"
    if easier < 0:
        load = "the load is the sum of all rates × service time"
    if busy > limit:
        hint = f"take {'more' if easier > 0 else 'fewer'} {word}s: {load}."
        return Verdict(False, f"{words}; {limit:.0%} is the limit.", hint)
    if beyond <= limit:
        words = f"{words}, and with {count_of(n - easier, word)} {beyond:.1%}, which is still allowed."
        return Verdict(False, words, f"{'fewer' if easier > 0 else 'more'} {word}s would do: {load}.")
    other = f"; with {count_of(n - easier, word)} it would be {beyond:.1%}" if beyond < math.inf else ""
    return Verdict(True, f"{words}{other}.")


@judged
def enough_consumers(answer: object, scenario: Scenario, *, limit: float) -> Verdict:
    """Check that with `answer` consumers 99 % of the entries are done within `limit` seconds, and with one fewer not.

    Simulated with several seeds; a scenario in which a consumer dies is judged as it is.
    """
    n = _whole(answer, "number of consumers", 100)
    seen = _p99(scenario, n)
    beyond = _p99(scenario, n - 1) if n > 1 else math.inf
    dead = sum(isinstance(fault, Kill) for fault in scenario.faults)
    who = f"With {count_of(n, 'consumer')}{f', {dead} of them dead,' if dead else ''}"
    words = f"{who} 99 % of the entries are done within {seen * 1000:.0f} ms"
    if math.isinf(seen):
        words = f"{who} not one entry is done"
    if seen > limit:
        hint = f"take more consumers: {'those that are left' if dead else 'they'} have to keep waits short, too."
        return Verdict(False, f"{words}; {limit * 1000:.0f} ms is the limit.", hint)
    if beyond <= limit:
        words = (
            f"{words}, and with {count_of(n - 1, 'consumer')} within {beyond * 1000:.0f} ms, which is still allowed."
        )
        return Verdict(False, words, "fewer consumers would do.")
    other = "" if math.isinf(beyond) else f"; with {count_of(n - 1, 'consumer')} it would be {beyond * 1000:.0f} ms"
    return Verdict(True, f"{words}{other}.")


@functools.cache
def _p99(scenario: Scenario, n: int) -> float:
    """Return within how many seconds 99 % of the entries are done by `n` consumers; infinity if none is."""
    (row,) = sweep_over(scenario, consumers=[n], seeds=range(1, 9)).rows
    value = row.estimate("sojourn_p99").value
    return math.inf if math.isnan(value) else value


#: rate (entries per second), service time (seconds), limit (seconds): none of them close to an edge.
_NEEDED_CASES: Final = (
    (210, 0.010, 0.050), (210, 0.010, 0.100), (5, 0.100, 1.2), (390, 0.025, 0.150), (50, 0.020, 0.080),
)  # fmt: skip


@judged
def consumers_needed(answer: object) -> Verdict:
    """Check a function that tells how many consumers are enough, against queueing theory.

    ``answer(rate, service_time, limit)`` is to return the least number with which 99 % of the entries are done within
    `limit` seconds, all of them alive; infinity if no number is enough.
    """
    for case in _NEEDED_CASES:
        _check_needed(answer, *case)
    return Verdict(True, f"It agrees with queueing theory in {len(_NEEDED_CASES)} cases.")


def _check_needed(answer: object, rate: float, service: float, limit: float) -> None:
    case = f"consumers_needed({rate:g}, {service:g}, {limit:g})"
    truth = _needed(rate, service, limit)
    never = "the work alone takes longer than the limit too often, and more consumers do not shorten it: math.inf."
    try:
        said = call(answer, f"In {case}", rate, service, limit)
    except Objection as objection:
        if math.isinf(truth):
            raise Objection(objection.verdict.words, f"here no number is enough: {never}") from None
        raise
    number = real_number(said)
    if number is None:
        raise returned(said, f"In {case}", "return a number of consumers; math.inf if no number is enough.")
    if number == truth:
        return
    words = f"{case} returned {number:g}; it is {truth:g}."
    if math.isinf(truth):
        raise Objection(words, never)
    if math.isinf(number):
        raise Objection(words, "here the work alone keeps the limit, so that enough consumers do: look for the first.")
    if not number.is_integer() or number < 1:
        raise Objection(words, "a whole number, of at least 1: half a consumer is none.")
    if number > truth:
        raise Objection(words, "fewer would do: begin with 1, and stop at the first that keeps the limit.")
    within = MMc(rate, service, int(number)).sojourn_quantile(0.99)
    if math.isinf(within):
        raise Objection(
            words, "so few cannot keep up at all: rate × service time, divided by their number, is 1 or more."
        )
    hint = (
        f"with {number:g} it takes {within * 1000:.0f} ms until 99 % are done. The mean, or the wait alone, says less."
    )
    raise Objection(words, hint)


def _needed(rate: float, service: float, limit: float) -> float:
    """Return the least number of consumers; infinity if the work alone takes too long."""
    if service * math.log(100) >= limit:
        return math.inf
    return next(n for n in itertools.count(1) if MMc(rate, service, n).sojourn_quantile(0.99) <= limit)


@judged
def enough_maxlen(answer: object, scenario: Scenario) -> Verdict:
    """Check a MAXLEN with which a scenario loses nothing and keeps no more than twice what it must.

    What it must keep are the entries that wait, and those that are in work.
    """
    maxlen = _whole(answer, "MAXLEN", None)
    run = Lab(scenario.replace(maxlen=None)).run()
    waiting = run.backlog_max
    kept = max(b + p for b, p in zip(run.series.backlog, run.series.pending, strict=True))
    in_work = f"at most {waiting:,} entries waited, with {kept - waiting:,} in work"
    trimmed = Lab(scenario.replace(maxlen=maxlen)).run().trimmed
    if trimmed:
        words = f"With MAXLEN ~ {maxlen:,}, {trimmed:,} entries were trimmed before any consumer had read them."
        return Verdict(False, words, "a stream has to hold at least the largest backlog.")
    if maxlen < waiting:
        hint = "MAXLEN ~ may keep more than you ask for, and must not be relied on for it."
        return Verdict(False, f"Nothing was trimmed unread, but {in_work}: it was luck.", hint)
    if maxlen > 2 * kept:
        hint = f"memory is what MAXLEN is for: up to {2 * kept:,} is reasonable here."
        return Verdict(False, f"Nothing was lost, but {in_work}, and {maxlen:,} is more than twice as many.", hint)
    return Verdict(True, f"Nothing was lost: {in_work}, and {maxlen:,} fit.")


def _whole(answer: object, what: str, most: int | None) -> int:
    """Return an answer that should be a whole number from 1 on, up to `most`."""
    if answer is ...:
        raise nothing_yet()
    n = whole_number(answer)
    if n is not None and n >= 1 and (most is None or n <= most):
        return n
    hint = f"a whole number from 1 to {most}." if most else "a whole number of at least 1."
    if answer is None:
        hint = f"{hint} A cell that prints, or a function without `return`, gives back None."
    elif isinstance(answer, Scenario):
        hint = f"give the number itself, and not a scenario that has it: {hint}"
    elif callable(answer):
        hint = f"give the number itself, and not a function: {hint}"
    elif isinstance(answer, float) and n is None:
        hint = f"{hint} Half a one is none: round to the side on which the limit is kept."
    raise Objection(f"{shown(answer)} is not a {what}.", hint)
