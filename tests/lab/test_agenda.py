"""What is done to a course by hand: when it happens, what comes of it, and what is kept for another run.

Here a run begins at 101 s by the loop's clock: what is done at 1 s of the run happens at 102.
"""

from __future__ import annotations

import contextvars
import gc
from typing import Any

import pytest

from streamlab.lab.course import Course
from streamlab.scenario import Consumer, ScenarioError
from streamlab.scenario.action_texts import parse_action
from streamlab.virtual.task import PROCESS
from tests.lab.bare_stage import SCENARIO, BareStage, play, until


def by_hand(course: Course) -> list[str]:
    """Return what is kept of what was done by hand."""
    return [str(action) for action in course.as_planned.by_hand]


def test_what_is_done_now_happens_now_and_is_dated():
    """Or as the run begins, if it has not: what comes of it is returned."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(-0.125)
        await course.do_by_hand(parse_action("pause C1"))
        await until(0.5)
        assert await course.do_by_hand(parse_action("add-consumer C7")) == "C7"
        stage.life("P1").end()

    course, stage = play(SCENARIO, befall)
    assert stage.told("still", "spawn")[3:] == [(101.0, "C1 stands still"), (101.5, "spawn C7")]
    assert by_hand(course) == ["pause C1 at 0s", "add-consumer C7 at 0.5s"]


def test_what_is_dated_happens_when_it_is_time():
    """Nobody waits for it."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(0.5)
        assert await course.do_by_hand(parse_action("kill C1 at 2s")) is None
        assert course.now == 0.5
        await until(3.0)
        stage.life("P1").end()

    course, stage = play(SCENARIO, befall)
    assert stage.told("killed") == [(103.0, "C1 is killed")]
    assert by_hand(course) == ["kill C1 at 2s"]


def test_what_was_noted_needs_no_reply():
    """After how many events, when, and what; no reply is the empty one."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.5)
        course.note("look out")
        stage.life("P1").end()

    course, _ = play(SCENARIO, befall)
    assert course.notes == [(0, 1.5, "look out", "")]


@pytest.mark.parametrize(("there", "name"), [(("C1", "C2"), "C3"), (("C2", "C3"), "C1"), (("C1", "C3"), "C2")])
def test_a_consumer_of_no_name_gets_the_next_one_that_is_free(there, name):
    """And joins under it when it is run again."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(0.5)
        assert await course.do_by_hand(parse_action("add-consumer")) == name
        stage.life("P1").end()

    course, stage = play(SCENARIO.replace(consumers=tuple(map(Consumer, there))), befall)
    assert stage.told("spawn")[3:] == [(101.5, f"spawn {name}")]
    assert by_hand(course) == [f"add-consumer {name} at 0.5s"]


def test_what_is_for_somebody_who_is_not_there_is_refused():
    """At once, or when it is time, if they are still to come; it is not kept, and everything else is."""
    told: list[Any] = []

    async def befall(course: Course, stage: BareStage) -> None:
        stage.loop.set_exception_handler(lambda _, context: told.append(context))
        await until(0.5)
        with pytest.raises(ScenarioError, match=r"^kill: there is no 'C9'"):
            await course.do_by_hand(parse_action("kill C9"))
        await course.do_by_hand(parse_action("add-consumer C9 at 3s"))
        done, nobody_asks = (course.schedule(parse_action(f"kill C9 at {when}s")) for when in (1, 2))
        assert by_hand(course) == ["add-consumer C9 at 3s", "kill C9 at 1s", "kill C9 at 2s"]
        with pytest.raises(ScenarioError, match="there is no 'C9'"):
            await done
        assert (course.now, by_hand(course)) == (1.0, ["add-consumer C9 at 3s", "kill C9 at 2s"])
        await until(2.5)
        assert nobody_asks.done()
        await until(3.5)
        stage.life("P1").end()

    course, stage = play(SCENARIO, befall)
    assert by_hand(course) == ["add-consumer C9 at 3s"]
    assert stage.told("spawn")[3:] == [(104.0, "spawn C9")]
    del course, stage
    gc.collect()
    assert told == []  # no error that nobody took


def test_what_was_to_come_is_forgotten():
    """After 1.5 s; what comes at that moment still does."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(0.5)
        for text in ("pause C1 at 1500ms", "pause C2 at 1600ms", "kill C2 at 2s"):
            await course.do_by_hand(parse_action(text))
        course.forget(after=1.5)
        assert by_hand(course) == ["pause C1 at 1.5s"]
        await until(3.0)
        stage.life("P1").end()

    _, stage = play(SCENARIO, befall)
    assert stage.told("still", "killed") == [(102.5, "C1 stands still")]


def test_what_is_to_be_done_is_not_held_back_with_whoever_asked_for_it():
    """C1 has asked for it, and stands still when it is time."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(0.5)
        acting = contextvars.copy_context()
        acting.run(PROCESS.set, stage.life("C1"))
        acting.run(course.schedule, parse_action("kill C2 at 1s"))
        stage.loop.hold(stage.life("C1"))
        await until(2.0)
        stage.life("P1").end()

    _, stage = play(SCENARIO, befall)
    assert stage.told("killed") == [(102.0, "C2 is killed")]
