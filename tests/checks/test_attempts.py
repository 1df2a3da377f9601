"""Whatever a learner's function does ends in words, and in time; only the learner's own interruption passes."""

from __future__ import annotations

import asyncio
import fractions
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from streamlab.checks import attempts
from streamlab.checks.attempts import OutOfTime, Stop, call, listed, time_limit
from streamlab.results.verdict import Objection

needs_alarms = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarms here")


def leaves(x: int) -> None:
    sys.exit("enough")


def calls_itself(x: int) -> Any:
    return calls_itself(x)


def has_nothing(x: int) -> Any:
    entries: list[int] = []
    return entries[-1]


def is_told_to_stop(x: int) -> None:
    raise Stop(Objection("It asked too often.", "ask once."))


async def waits(x: int) -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("answer", "words", "hint"),
    [
        (leaves, "it ended the whole program (sys.exit)", "use return"),
        (calls_itself, "it raised RecursionError", "what makes it stop"),
        (has_nothing, "IndexError: list index out of range, in the line 'return entries[-1]'", "there is nothing"),
        (is_told_to_stop, "It asked too often.", "ask once."),
        (waits, "waits is an async function.", "without await"),
        (lambda x: waits(x), "<lambda> is an async function.", "without await"),
        (lambda: 1, "cannot be called with 1 argument: it is <lambda>().", "first line"),
        (lambda x: cast(Any, None).id, "AttributeError: 'NoneType' object has no attribute 'id'", "is None"),
        (lambda x: unknown, "NameError: name 'unknown' is not defined", "spelled"),  # type: ignore[name-defined]  # noqa: F821
        (lambda x: 1 / 0, "ZeroDivisionError", "in a cell of its own"),
        (..., "There is no answer yet.", "replace"),
        (lambda x: ..., "There is no answer yet.", "replace"),
        (None, "None is not a function.", "without `return` gives back None"),
        ("text", "'text' is not a function.", "def"),
    ],
)  # fmt: skip
def test_what_a_function_does_is_told_in_words(answer: object, words: str, hint: str) -> None:
    with pytest.raises(Objection) as caught:
        call(answer, "With 3 entries,", 3)
    assert words in caught.value.verdict.words
    assert hint in caught.value.verdict.hint


def test_the_learner_may_interrupt_it() -> None:
    def interrupted(x: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(interrupted, "", 3)


def test_an_error_that_is_allowed_passes_by_whatever_name() -> None:
    """Also where another one is raised because of it, or it is one of a group."""

    def translates(x: int) -> None:
        try:
            raise LookupError("the first")
        except LookupError as error:
            raise SystemExit(1) from error

    def gathers(x: int) -> None:
        raise ExceptionGroup("several", [ValueError(), LookupError("the first")])

    for answer in (translates, gathers):
        with pytest.raises(LookupError, match="the first"):
            call(answer, "", 3, may_raise=LookupError)


# ---- what does not end -----------------------------------------------------------------------------


def loops(x: int) -> None:
    while True:
        x += 1


def sleeps(x: int) -> None:
    time.sleep(60)


def swallows_all(x: int) -> None:
    while True:
        try:
            x += 1
        except BaseException:
            x = 0


def swallows_all_inside(x: int) -> None:
    try:
        while True:
            try:
                sleeps(x)
            except BaseException:
                continue
    finally:
        x = 0


@needs_alarms
@pytest.mark.parametrize("answer", [loops, sleeps, swallows_all, swallows_all_inside])
def test_what_does_not_end_is_ended(answer: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """In time, and without a trace: no alarm is left, and no tracing."""
    monkeypatch.setattr(attempts, "TIME_LIMIT", 0.2)
    tracer, began = sys.gettrace(), time.monotonic()
    with pytest.raises(Objection, match=r"still running after 0\.2 s, in the line '[a-z]"):
        call(answer, "With 3 entries,", 3)
    assert time.monotonic() - began < 4
    assert sys.gettrace() is tracer
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


@needs_alarms
def test_a_generator_that_never_yields_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "TIME_LIMIT", 0.2)
    endless = (x for x in itertools.count() if x < 0)
    with pytest.raises(Objection, match="still running"):
        listed(endless, "", 3, "")
    assert listed(itertools.count(), "", 3, "") == [0, 1, 2]


@needs_alarms
def test_somebody_elses_alarm_is_left_alone() -> None:
    """There is no limit then; and there is none within a limit."""
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        with time_limit(0.001):
            assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(OutOfTime), time_limit(0.05), time_limit(60):
        time.sleep(5)


#: Stops itself for 0.8 s, twice, with 0.3 s to work in; and sleeps for longer than that.
STOPPED = """
import os, signal, subprocess, time
from streamlab.checks.attempts import OutOfTime, time_limit
with time_limit(0.3):
    for _ in range(2):
        subprocess.Popen(["sh", "-c", f"sleep 0.8; kill -CONT {os.getpid()}"])
        os.kill(os.getpid(), signal.SIGSTOP)
try:
    with time_limit(0.3):
        time.sleep(30)
except OutOfTime:
    print("in time")
"""


@needs_alarms
def test_the_time_in_which_a_process_could_not_work_is_none_of_its_own() -> None:
    """As when it is stopped by Ctrl-Z, or has no processor; what it sleeps is."""
    done = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("in time\n", "")


# ---- what an answer may be -------------------------------------------------------------------------


def test_numbers_of_all_kinds() -> None:
    nan = float("nan")
    assert [attempts.whole_number(n) for n in (4, np.int64(4), 4.0, np.float64(4))] == [4] * 4
    assert [attempts.whole_number(n) for n in (True, 4.5, "4", None, [4], nan)] == [None] * 6
    assert attempts.real_number(fractions.Fraction(1, 2)) == 0.5
    assert attempts.real_number(np.array([1.0, 2.0])) is None


def test_what_is_shown_is_short_and_never_fails() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    assert attempts.shown(Odd()) == "a Odd"
    assert len(attempts.shown("x" * 10_000)) < 100
