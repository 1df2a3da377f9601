"""Recoveries, and consumers of one's own, under random faults: right ones pass, wrong ones are told what went wrong."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import importlib.util
import re
import sys
import types
from typing import Any

import pytest

from streamlab import checks
from streamlab.actors import Recovery
from streamlab.checks import grading
from streamlab.checks.attempts import has_alarms
from streamlab.checks.schedules import Schedule, graded, schedule, with_random_faults
from streamlab.lab import how_far
from streamlab.lab.lab import Lab
from streamlab.results.verdict import Verdict
from streamlab.scenario.action_texts import parse_action
from streamlab.scenario.actions import FAULTS
from streamlab.scenario.random_faults import RANDOM_FAULTS
from tests.checks.own_consumers import MISTAKES, RIGHT, Mistake, consumer_of, dies_of_errors, no_claim

#: Schedules within which each mistake is found; a learner's capstone has ten times as many.
N_SCHEDULES = 20

# ---- recoveries ------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["claim", "autoclaim", "restart"])
def test_a_right_recovery_passes(strategy: Any) -> None:
    """Twenty schedules of faults, and nothing is broken."""
    assert checks.recovery(Recovery(strategy, min_idle=0.2))


def test_a_min_idle_that_is_too_short_is_told_so() -> None:
    """Its consumers take entries from each other."""
    verdict = checks.recovery(Recovery("autoclaim", min_idle=0.005), schedules=3)
    assert not verdict
    assert "min_idle is 0.005 s" in verdict.words
    assert "heartbeat" in verdict.hint


def test_milliseconds_given_for_seconds_are_told_so() -> None:
    assert "200 ms is 0.2" in checks.recovery(Recovery("autoclaim", min_idle=200)).hint
    assert "no time at all" in checks.recovery(Recovery("autoclaim", min_idle=0.0002)).hint


def test_a_recovery_that_recovers_nothing_is_refused() -> None:
    verdict = checks.recovery(Recovery())
    assert "still pending" in verdict.words
    assert "who takes over" in verdict.hint


def test_a_recovery_that_the_server_does_not_have_is_told_so() -> None:
    verdict = checks.recovery(Recovery("read-claim", min_idle=0.2))
    assert "Redis 8.4" in verdict.words
    assert "redis_version" in verdict.hint
    new = graded().replace(redis_version="8.4.0")
    assert checks.recovery(Recovery("read-claim", min_idle=0.2), new, schedules=5)


def test_a_failure_can_be_seen_again_by_its_seed() -> None:
    """The verdict names the seed; with it, the same comes out."""
    recovery = Recovery("restart", history=False)
    verdict = checks.recovery(recovery)
    assert not verdict
    seed = int(verdict.words.removeprefix("With seed ").split()[0])
    assert checks.recovery(recovery, seed=seed, schedules=1) == verdict


# ---- consumers of one's own ------------------------------------------------------------------------


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_consumer_passes_in_any_style(name: str) -> None:
    """Each kind of schedule once."""
    assert checks.recovery(RIGHT[name], schedules=10)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_and_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with a hint of its own, within a few schedules."""
    mistake: Mistake = MISTAKES[name]
    if name == "never awaits":
        if not has_alarms():
            pytest.skip("there are no alarms here")
        monkeypatch.setattr(grading, "_TIME_LIMIT", 0.5)
    verdict = checks.recovery(mistake.consumer, schedules=N_SCHEDULES, seed=mistake.seed)
    assert not verdict
    assert mistake.words in verdict.words
    assert mistake.hint in verdict.hint


def test_hints_are_of_ones_own() -> None:
    """No two of the mistakes about entries that are left, lost or done twice are given the same hint."""
    names = [
        "until an empty page", "ten of XPENDING", "XACK before the effect", "XACK though it failed", "NOACK",
        "no history after a restart", "no history after a lost connection", "the group again at $",
        "a min-idle that is shorter than the work", "dies of a ConnectionError", "never claims", "does it twice",
        "leaves the group with entries pending", "its own history only, and from 0",
        "its own history before each read",
    ]  # fmt: skip
    hints = {}
    for name in names:
        mistake = MISTAKES[name]
        verdict = checks.recovery(mistake.consumer, schedules=N_SCHEDULES, seed=mistake.seed)
        hints[name] = re.sub(r"C\d|\d+", "", verdict.hint)
    assert len({*hints.values()}) == len(names)


def test_a_verdict_tells_the_faults_the_story_and_how_to_see_it_again() -> None:
    consumer = MISTAKES["XACK before the effect"].consumer
    verdict = checks.recovery(consumer)
    assert verdict.words.startswith("With seed 1 (fail C4 nth 49; lost-reply C3 XACK nth 11; server-down")
    assert verdict.story[0] == "What goes wrong in this schedule:"
    assert "  - the reply to the 11th XACK of C3 is lost with the connection" in verdict.story
    story = verdict.story[verdict.story.index("What happened to the entry:") + 1 :]
    assert "P1: added it" in story[0]
    assert "C3: was given it" in story[1]
    assert verdict.story[-1] == "To see it again: checks.recovery(my_consumer, seed=1, schedules=1)"
    assert checks.recovery(consumer, seed=1, schedules=1) == verdict


def test_who_ended_by_itself_is_shown_with_its_last_commands() -> None:
    verdict = checks.recovery(MISTAKES["dies of a ConnectionError"].consumer)
    assert "in the line 'await client.xack(stream, group, entry_id)'" in verdict.words
    at = verdict.story.index("Its last commands:")
    assert "XREADGROUP GROUP workers C3" in "".join(verdict.story[at:])


def test_what_it_prints_is_shown_for_one_schedule_only(capsys: pytest.CaptureFixture[str]) -> None:
    async def chatty(*args: Any) -> None:
        print("hello")
        await consumer_of()(*args)

    assert checks.recovery(chatty, schedules=2)
    assert capsys.readouterr().out == ""
    assert checks.recovery(chatty, schedules=1)
    assert capsys.readouterr().out == "hello\n" * 4


def test_it_may_be_interrupted() -> None:
    async def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checks.recovery(interrupted)


def test_a_scenario_of_ones_own_says_whether_the_dead_are_started_again() -> None:
    """Where a supervisor does that, nobody has to claim; if handlers' errors end a consumer, they are dead as well."""
    never_claims = consumer_of(claim=no_claim, work=dies_of_errors)
    supervised = graded().with_recovery("restart", restart_after=0.2)
    assert checks.recovery(never_claims, supervised, schedules=10)
    verdict = checks.recovery(never_claims, graded(), schedules=10)
    assert not verdict
    assert verdict.story[-1].startswith("To see it again: checks.recovery(my_consumer, …, seed=")


def test_all_that_die_of_their_handlers_errors() -> None:
    """Nobody is left: the hint is about the handler."""
    scenario = graded().with_faults(*(f"fail C{n} nth {n}" for n in range(1, 5)))
    found, _ = grading.try_own(consumer_of(work=dies_of_errors), Schedule(scenario))
    assert found is not None
    assert "never delivered" in found.words or "still pending" in found.words
    assert "handler" in found.hint


def test_a_handler_in_another_task_dies_with_its_process() -> None:
    """SIGKILL is no exception: neither gather nor a TaskGroup sees it, and no line runs after it."""
    after: list[str] = []

    async def my_consumer(client: Any, stream: str, group: str, consumer: str, handler: Any, stop: Any) -> None:
        async def one(entry_id: str, fields: Any) -> None:
            try:
                await handler(entry_id, fields)
            except BaseException as error:
                if not isinstance(error, asyncio.CancelledError):
                    after.append(repr(error))
                raise
            await client.xack(stream, group, entry_id)

        while not stop.is_set():
            for _, entries in await client.xreadgroup(group, consumer, {stream: ">"}, 3, 100) or ():
                async with asyncio.TaskGroup() as tasks:
                    for entry in entries:
                        tasks.create_task(one(*entry))

    scenario = graded().with_recovery("restart", restart_after=0.2).with_faults("crash-before-effect C2 nth 5")
    grading.try_own(my_consumer, Schedule(scenario))
    assert after == []


def test_background_tasks_end_with_their_consumer() -> None:
    """A heartbeat that is not cancelled goes on for no longer than its consumer."""
    beats: list[float] = []
    hearts: list[asyncio.Task[None]] = []

    async def my_consumer(*args: Any) -> None:
        async def beat() -> None:
            while True:
                await asyncio.sleep(0.05)
                beats.append(asyncio.get_running_loop().time())

        hearts.append(asyncio.create_task(beat()))
        await consumer_of()(*args)

    assert checks.recovery(my_consumer, schedules=2)
    assert beats


# ---- what is no answer -----------------------------------------------------------------------------


class NotAsync:
    def __call__(self, *args: object) -> None:
        """Do nothing."""


async def too_few(client: object, stream: object) -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("answer", "words", "hint"),
    [
        (..., "There is no answer yet.", "replace"),
        (None, "None is no Recovery, and no async function.", "was the function called"),
        (7, "7 is no Recovery, and no async function.", "async def my_consumer"),
        ("autoclaim", "'autoclaim' is not a Recovery.", "Recovery('autoclaim')"),
        (Recovery, "is not a Recovery.", "it is the class"),
        (graded(), "is not a Recovery.", "not a scenario that has it"),
        (lambda *_: None, "<lambda> is no async function.", "it has to be a coroutine"),
        (print, "print is no async function.", "it has to be a coroutine"),
        (NotAsync(), "NotAsync is no async function.", "it has to be a coroutine"),
        (type(RIGHT["an object"]), "Worker is a class.", "an instance"),
        (too_few, "cannot be called with the six arguments", "async def too_few(client, stream, group"),
        (functools.partial(too_few, 1), "cannot be called with the six", "async def"),
    ],
)
def test_what_is_no_answer(answer: object, words: str, hint: str) -> None:
    verdict = checks.recovery(answer)
    assert not verdict
    assert words in verdict.words
    assert hint in verdict.hint


def test_a_function_that_was_called_is_told_so() -> None:
    verdict = checks.recovery(too_few(1, 2))
    assert "That is a coroutine" in verdict.words
    assert "without brackets" in verdict.hint


def test_a_number_of_schedules() -> None:
    assert "schedules is 0" in checks.recovery(Recovery(), schedules=0).words


# ---- the schedules ---------------------------------------------------------------------------------


def test_somebody_survives() -> None:
    """Without a supervisor, at least one consumer meets nothing that kills it."""
    deadly = ("kill", "crash-before-ack", "crash-before-effect")
    for seed in range(1, 60):
        for scenario in (with_random_faults(graded(), seed), schedule(seed).scenario):
            if scenario.recovery.restarts_after is not None:
                continue
            killed = {getattr(f, "target", "") for f in scenario.faults if f.word in deadly}
            assert len(killed) < len(scenario.consumers)


def test_twenty_schedules_have_everything_in_them() -> None:
    """Each fault but poison; a supervisor and none; a calm one; an entry that cannot be done; a long list."""
    drawn = [schedule(seed) for seed in range(1, 21)]
    words = {fault.word for one in drawn for fault in one.scenario.faults}
    assert words >= RANDOM_FAULTS.keys() - {"poison", "slow", "pause", "restart"}
    assert {one.scenario.recovery.restarts_after is None for one in drawn} == {True, False}
    assert any(one.told() == ("nothing at all",) for one in drawn)
    assert any(one.impossible for one in drawn)
    assert any(one.n_crowd > 100 for one in drawn)


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert schedule(17) == schedule(17)
    assert schedule(17) != schedule(27)
    assert {f.word for f in schedule(3, poison=True).scenario.faults} <= FAULTS.keys()


@pytest.mark.parametrize("word", FAULTS)
def test_each_fault_is_told_in_words(word: str) -> None:
    """None is left as it is written in a file."""
    form = re.sub(r"[\[\]]", "", FAULTS[word].form)
    assert parse_action(form).in_words() != str(parse_action(form))


# ---- progress --------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(how_far, "_PATIENCE", 0.0)
    monkeypatch.setattr(how_far, "_EVERY", 0.0)


class Terminal:
    """A standard error that somebody watches, or nobody."""

    def __init__(self, is_watched: bool) -> None:
        self.is_watched = is_watched
        self.text = ""

    def isatty(self) -> bool:
        return self.is_watched

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("is_watched", [True, False])
def test_progress_is_shown_in_a_terminal_only(
    is_watched: bool, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(is_watched)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert checks.recovery(Recovery("restart"), schedules=3)
    assert ("1 of 3 schedules" in terminal.text) == is_watched
    assert terminal.text.endswith("\r") == is_watched


def in_a_notebook(monkeypatch: pytest.MonkeyPatch, allow_stdin: bool) -> Terminal:
    """Make it look as if this were a notebook without widgets; return its standard error."""
    parent = {"content": {"allow_stdin": allow_stdin}}
    kernel = types.SimpleNamespace(get_parent=lambda channel: parent)
    ipython = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(kernel=kernel))
    terminal = Terminal(is_watched=False)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    return terminal


@pytest.mark.parametrize("allow_stdin", [True, False])
def test_progress_is_shown_in_a_notebook_that_somebody_looks_at(
    allow_stdin: bool, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that executes a notebook says that nobody can be asked anything, and compares outputs."""
    terminal = in_a_notebook(monkeypatch, allow_stdin)
    assert checks.recovery(Recovery("restart"), schedules=3)
    assert ("1 of 3 schedules |" in terminal.text) == allow_stdin
    assert terminal.text.endswith("\r") == allow_stdin


@pytest.mark.parametrize("allow_stdin", [True, False])
def test_a_run_shows_how_far_it_is_in_a_notebook(
    allow_stdin: bool, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own time, up to its end, and with or without a known length; the run is the same."""
    expected = Lab("one-to-many").run()
    terminal = in_a_notebook(monkeypatch, allow_stdin)
    assert Lab("one-to-many").run().events == expected.events
    assert (" of 10 s run, " in terminal.text, "10 of 10 s run" in terminal.text) == (allow_stdin, allow_stdin)
    Lab(expected.scenario.replace(duration=None, entries=2000)).run()
    assert (" s run, 8,010 events" in terminal.text) == allow_stdin
    assert terminal.text.endswith("\r") == allow_stdin


def test_a_verdict_shows_itself() -> None:
    verdict = checks.recovery(MISTAKES["until an empty page"].consumer)
    assert isinstance(verdict, Verdict)
    assert "another program of the group holds" in repr(verdict)
    assert "night-shift" not in repr(verdict)
    assert 'role="status"' in verdict._repr_html_()


def test_one_that_swallows_its_end_leaves_nothing_behind() -> None:
    """It is ended all the same, and complains to nobody."""
    with contextlib.redirect_stderr(None):
        assert not checks.recovery(MISTAKES["catches everything"].consumer)
    assert grading._undead == [] or not has_alarms()
    assert dataclasses.is_dataclass(Schedule)
