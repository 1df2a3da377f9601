"""Verdicts on the exercises about scenarios: how busy, which shares, how many in a row, who gets what."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from streamlab.checks.attempts import count_of, shown, whole_number
from streamlab.lab.lab import Lab
from streamlab.results.run import Run
from streamlab.results.verdict import Objection, Verdict, judged, nothing_yet
from streamlab.scenario import Scenario

#: A scenario with more than this is a slip of the finger, and would take a minute.
MOST_ENTRIES: Final = 100_000
_MOST_ACTORS: Final = 1_000
#: Seconds for one entry that are more likely to be milliseconds; the lessons' entries take milliseconds.
_LONG_SERVICE: Final = 0.5

_BEGIN: Final = "begin with one from above, and change it."


@judged
def utilisation(answer: object, target: float, *, tolerance: float = 0.02) -> Verdict:
    """Check that the consumers of a scenario are busy a part `target` of the time, on average.

    `answer` is a `Scenario`; `target` and `tolerance` are parts of 1.
    """
    run = run_of(answer)
    busy = busy_part(run)
    words = f"{_names(run)} busy {busy:.1%} of the time; {target:.0%} was asked for."
    is_growing = run.backlog_max > run.added / 10
    if is_growing:
        words += f" The backlog grew to {run.backlog_max:,} entries."
    elif abs(busy - target) <= tolerance:
        return Verdict(True, words)
    more = "more" if busy < target else "less"
    hint = f"utilisation is rate × service time: one of the two has to be {more}."
    if is_growing:
        hint = "rate × service time, over the number of consumers, has to stay under 1."
    return Verdict(False, words, about_units(run.scenario) or hint)


@judged
def share(answer: object, consumer: str, target: float, *, tolerance: float = 0.01) -> Verdict:
    """Check that `consumer` gets a part `target` of all entries of a scenario, where all but it are alike."""
    run = run_of(answer)
    if consumer not in run.shares:
        return Verdict(False, f"There is no {consumer} in it.", "change a consumer, do not remove one.")
    others = [c for c in run.scenario.consumers if c.name != consumer]
    if len({(c.service, c.count, c.ack) for c in others}) > 1:
        hint = f'leave them as they are, and change {consumer}: with_consumer("{consumer}", service=…).'
        return Verdict(False, f"{', '.join(c.name for c in others)} are not alike any more.", hint)
    (changed,) = [c for c in run.scenario.consumers if c.name == consumer]
    if others and others[0].replace(name=consumer) == changed:
        words = f"{consumer} is like the {len(others)} others, and gets as much as each of them."
        hint = f'change {consumer}, and leave the others as they are: with_consumer("{consumer}", service=…).'
        return Verdict(False, words, hint)
    got = run.shares[consumer]
    words = f"{consumer} got {got:.1%} of the entries; {target:.0%} was asked for."
    if abs(got - target) <= tolerance:
        return Verdict(True, words)
    pace = "slower" if got > target else "faster"
    return Verdict(False, words, about_units(run.scenario) or f"shares follow from pace alone: make {consumer} {pace}.")


@judged
def in_a_row(answer: object, n: int) -> Verdict:
    """Check that in a scenario one consumer is given `n` entries in a row, though two others are there."""
    run = run_of(answer)
    if len(run.consumers) < 3:
        there = "is 1 consumer" if len(run.consumers) == 1 else f"are {len(run.consumers)} consumers"
        return Verdict(False, f"There {there}; 3 were asked for.", "leave them all in the group.")
    stretches = itertools.groupby(name for _, name in run.assignment())
    length, name = max(((len(list(group)), name) for name, group in stretches), default=(0, "nobody"))
    words = f"The most entries in a row were {length}, for {name}; {n} were asked for."
    if length >= n:
        return Verdict(True, words)
    if run.added < n:
        return Verdict(False, f"There are only {run.added} entries; {n} were asked for.", _BEGIN)
    hint = "a consumer takes several at once if it asks for several (COUNT), and several are waiting."
    if max(c.count for c in run.scenario.consumers) > 1:
        hint = (
            "COUNT is the most that a consumer gets, not the least: several have to be waiting at the moment when it "
            "asks, as in a burst."
        )
    return Verdict(False, words, hint)


# ---- who gets what ---------------------------------------------------------------------------------


@judged
def assignment(answer: object, scenario: Scenario) -> Verdict:
    """Check who is given entry 1, 2, 3 … of a scenario.

    `answer` has the consumers' names in the order of the entries: a list, a tuple, a Series, a text with blanks or
    commas. Or it has the numbers with them: pairs of a number and a name, or a dict of either kind.
    """
    if answer is ...:
        return nothing_yet().verdict
    known = [consumer.name for consumer in scenario.consumers]
    truth = [name for _, name in Lab(scenario).run().assignment()]
    said = _names_in_order(answer, known)
    if len(said) != len(truth):
        words = f"You give {count_of(len(said), 'name')}; there are {count_of(len(truth))}."
        return Verdict(False, words, "one name for each entry, in the order of the entries.")
    for number, (name, right) in enumerate(zip(said, truth, strict=True), 1):
        if name != right:
            before = {1: "", 2: "; the 1 before it is right"}.get(number, f"; the {number - 1} before it are right")
            hint = f"who waits when entry {number} comes, and which of them has waited longest?"
            return Verdict(False, f"Entry {number} does not go to {name}{before}.", hint)
    told = ", ".join(f"{number}→{name}" for number, name in enumerate(truth, 1))
    return Verdict(True, f"{told}.")


def _names_in_order(answer: object, known: list[str]) -> list[str]:
    """Return the names that are meant, in the order of the entries."""
    hint = f"one name for each entry, in their order: for instance {shown([*known, '…'])}."
    refused = Objection(f"{shown(answer)} is not a list of names.", hint)
    if isinstance(answer, str):
        for mark in ",;→->\n":
            answer = answer.replace(mark, " ")
        answer = [word for word in answer.split() if not word.strip(":.").isdecimal()]
    if isinstance(answer, Mapping):
        answer = _pairs_of(answer, known)
    if not isinstance(answer, Iterable) or isinstance(answer, set | frozenset | bytes):
        raise refused
    items = [item.tolist() if hasattr(item, "tolist") else item for item in answer]
    if items and all(isinstance(item, tuple | list) and len(item) == 2 for item in items):
        items = [name for _, name in _sorted_by_number(items, known)]
    names = [_name(item, known) for item in items]
    if wrong := [item for item, name in zip(items, names, strict=True) if name is None]:
        if all(isinstance(item, str) and item[:1].isalpha() for item in items):
            words = f"There is no consumer {shown(wrong[0])}."
            raise Objection(words, f"there are {', '.join(known)}.")
        raise refused
    return [name for name in names if name is not None]


def _pairs_of(answer: Mapping[Any, Any], known: list[str]) -> Iterable[tuple[Any, Any]]:
    """Return pairs of a number and a name, whether the keys are numbers, or names with lists of numbers."""
    if answer and all(_name(key, known) and not _is_number(key) for key in answer):
        lists = {k: v if isinstance(v, Iterable) and not isinstance(v, str) else [v] for k, v in answer.items()}
        return [(number, name) for name, numbers in lists.items() for number in numbers]
    return list(answer.items())


def _sorted_by_number(pairs: list[Any], known: list[str]) -> list[tuple[Any, Any]]:
    """Sort pairs by the number of the entry, whichever of the two it is."""
    if all(_is_number(second) and not _is_number(first) for first, second in pairs):
        pairs = [(number, name) for name, number in pairs]
    if all(_is_number(first) for first, _ in pairs):
        return sorted(pairs, key=lambda pair: int(pair[0]))
    return [(first, second) for first, second in pairs]


def _is_number(item: object) -> bool:
    return (isinstance(item, str) and item.isdecimal()) or whole_number(item) is not None


def _name(item: object, known: list[str]) -> str | None:
    """Return the consumer that is meant: C2 also by "c2", and by 2 if the consumers are numbered."""
    if isinstance(item, str):
        return next((name for name in known if name.lower() == item.strip().lower()), None)
    number = whole_number(item)
    return f"C{number}" if number is not None and f"C{number}" in known else None


# ---- trying an answer ------------------------------------------------------------------------------


def run_of(answer: object) -> Run:
    """Run an answer that should be a scenario; raise `Objection` if it cannot be tried."""
    if answer is ...:
        raise nothing_yet()
    if not isinstance(answer, Scenario):
        raise Objection(f"{shown(answer)} is not a Scenario.", _about_no_scenario(answer))
    expected = _expected_entries(answer)
    if expected > MOST_ENTRIES:
        hint = "rates are in entries per second; a smaller rate or a shorter duration will do."
        raise Objection(f"That would be about {expected:,.0f} entries: too many to try.", hint)
    n_actors = len(answer.consumers) + len(answer.producers)
    if n_actors > _MOST_ACTORS:
        raise Objection(f"That would be {n_actors:,} producers and consumers: too many to try.", "some dozens will do.")
    return Lab(answer).run()


def _about_no_scenario(answer: object) -> str:
    if answer is None:
        return f"a cell that prints, or a function without `return`, gives back None: {_BEGIN}"
    if isinstance(answer, Lab | Run):
        return "give the scenario itself, not its Lab or its run."
    if isinstance(answer, Callable):  # type: ignore[arg-type]  # a method that was not called
        return "a method is called with what it needs: with_rate(…), with_service(…)."
    return _BEGIN


def about_units(scenario: Scenario) -> str:
    """Return a hint for who may have given milliseconds for seconds, or a rate of another unit; else nothing."""
    longest = max(consumer.service.mean for consumer in scenario.consumers)
    if longest >= _LONG_SERVICE:
        in_seconds = f"{longest:g} ms is {longest / 1000:g}"
        return f"an entry takes {longest:g} s there: service times are in seconds, {in_seconds}."
    rates = [p.arrivals.rate for p in scenario.producers if p.arrivals.kind != "replay"]
    if rates and sum(rates) < 1:
        return f"{sum(rates):g} entries come in a second: rates are in entries per second."
    return ""


def busy_part(run: Run) -> float:
    """Return which part of the time the consumers of a run are busy, on average."""
    return sum(c.utilisation for c in run.consumers.values()) / len(run.consumers)


def _expected_entries(scenario: Scenario) -> float:
    if any(p.arrivals.kind == "replay" for p in scenario.producers):
        return 0.0  # as many as were recorded: no slip
    rate = sum(p.arrivals.rate for p in scenario.producers)
    by_time = math.inf if scenario.duration is None else rate * scenario.duration
    return min(by_time, math.inf if scenario.entries is None else scenario.entries)


def _names(run: Run) -> str:
    names = list(run.consumers)
    return f"{names[0]} is" if len(names) == 1 else f"{', '.join(names)} are"
