"""`Course` by itself, on a stage that takes its time: who is told what and when, and what a dead consumer left.

Here a run begins at 101 s by the loop's clock: what is done at 1 s of the run happens at 102.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest
import redis.exceptions

from streamlab.lab.course import Course
from streamlab.scenario import Scenario, Service, consumers
from streamlab.scenario.action_texts import parse_action
from tests.lab.bare_stage import ORIGIN, SCENARIO, BareStage, play, until


def told(course: Course) -> list[tuple[float, str, str, str]]:
    """Return the events of a run: when they happened by the loop's clock, what, to whom, with which entry."""
    return [(e.at, str(e.kind), e.actor, e.id) for e in course.log]


# ---- from the beginning to the end -----------------------------------------------------------------


def test_everybody_is_made_first_then_begins_then_ends():
    """Consumers wait one by one before producers begin, all of them at the run's own time; C3 joins later."""
    faults = "lost-reply C1 XACK nth 2", "lost-reply C2 XACK nth 1 at 500ms", "crash-before-ack C1 nth 3"
    scenario = SCENARIO.replace(consumers=consumers(3, Service()), by_hand=(parse_action("add-consumer C3 at 1s"),))

    async def befall(course: Course, stage: BareStage) -> None:
        assert math.isnan(course.now)
        await until(2.0)
        assert (course.origin, course.now) == (ORIGIN, 2.0)
        stage.life("P1").end()

    course, stage = play(scenario.with_faults(*faults), befall)
    assert stage.story == [
        (100.0, "open"),
        (100.0, "lost-reply C1 XACK nth 2"),
        (100.0, "spawn C1"),
        (100.0, "spawn C2"),
        (100.0, "spawn P1"),
        (100.5, "ready: C1 C2 P1"),
        (100.5, "C1 begins at 100.5"),
        (100.625, "C2 begins at 100.625"),
        (100.75, "P1 begins at 101"),
        (101.5, "lost-reply C2 XACK at 0.5s"),
        (102.0, "spawn C3"),
        (102.0, "C3 begins at 102"),
        *[(103.0, f"{name} is to stop at the end") for name in ("C1", "C2", "C3")],
        *[(103.375, "over")],
    ]
    assert (course.errors, course.dead_consumers()) == ({}, [])
    assert course.as_planned == course.scenario
    assert course.now == 2.375  # which may be asked while its loop stands still


def test_what_is_planned_for_after_the_last_entry_happens_all_the_same():
    """Production has ended at 1 s, and the run goes on until a pause at 3 s."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        stage.life("P1").end()

    _, stage = play(SCENARIO.with_faults("pause C1 at 3s"), befall)
    assert stage.told("still", "stop", "on") == [
        (104.0, "C1 stands still"),
        (104.0, "C1 goes on"),
        (104.0, "C1 is to stop at the end"),
        (104.0, "C2 is to stop at the end"),
    ]


def test_a_recovery_that_was_changed_by_hand_is_not_in_what_was_planned():
    """The change is among what was done by hand, and is made again when the plan is run again."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        await course.do_by_hand(parse_action("set-recovery restart restart-after 1s"))
        stage.life("P1").end()

    course, _ = play(SCENARIO, befall)
    assert course.scenario.recovery.strategy == "restart"
    assert course.as_planned.recovery == SCENARIO.recovery
    assert [str(action) for action in course.as_planned.by_hand] == ["set-recovery restart restart-after 1s at 1s"]


# ---- until all is done -----------------------------------------------------------------------------


def drained(scenario: Scenario, befall: Callable[[Course, BareStage], Coroutine[Any, Any, None]]) -> BareStage:
    """Run a scenario in which C1 and C2 hold an entry each, and production ends at 1 s; return its stage."""

    async def all_that(course: Course, stage: BareStage) -> None:
        await until(0.5)
        await stage.hand_out("C1", "C2")
        await befall(course, stage)
        await until(1.0)
        stage.life("P1").end()

    return play(scenario, all_that)[1]


async def nothing(course: Course, stage: BareStage) -> None:
    """Let nothing befall a run."""


def test_looks_whether_all_is_done_come_ever_more_seldom():
    """After a millisecond, then after half as long again, at last every `longest_look`: until the time is over."""
    stage = drained(SCENARIO, nothing)
    pauses = [later - sooner for sooner, later in pairwise(stage.looks)]
    assert stage.looks[0] == 102.0
    assert pauses[:3] == pytest.approx([0.001, 0.0015, 0.00225])
    assert pauses[-1] == pytest.approx(stage.longest_look)
    assert max(pauses) == pytest.approx(stage.longest_look)
    (last_words,) = {at for at, _ in stage.told("stop")}
    assert 106.5 < stage.looks[-1] < 107.0 <= last_words < 107.5


def test_without_time_to_drain_nobody_looks():
    """What is pending then stays pending."""
    stage = drained(SCENARIO.replace(drain=0.0), nothing)
    assert stage.looks == []
    assert {at for at, _ in stage.told("stop")} == {102.0}


def test_it_is_over_as_soon_as_all_is_done():
    """Both entries are acknowledged at 3 s."""

    async def befall(course: Course, stage: BareStage) -> None:
        async def ack() -> None:
            await until(3.0)
            rows = await stage.hand.xpending_range(SCENARIO.stream, SCENARIO.group, "-", "+", 10)
            await stage.hand.xack(SCENARIO.stream, SCENARIO.group, *[row["message_id"] for row in rows])

        course.do(ack())

    stage = drained(SCENARIO, befall)
    (last_words,) = {at for at, _ in stage.told("stop")}
    assert 104.0 <= last_words <= 104.0 + stage.longest_look


async def _c1_dies_and_c2_acks(course: Course, stage: BareStage) -> None:
    course.kill("C1")
    (row,) = await stage.hand.xpending_range(SCENARIO.stream, SCENARIO.group, "-", "+", 10, "C2")
    await stage.hand.xack(SCENARIO.stream, SCENARIO.group, row["message_id"])


@pytest.mark.parametrize(
    ("strategy", "options", "waits"),
    [
        ("none", {}, False),
        ("none", {"restart_after": 90.0}, True),
        ("autoclaim", {}, True),
        ("autoclaim", {"restart_after": 90.0}, True),
    ],
)
def test_what_the_dead_hold_is_waited_for_if_something_may_come_of_it(strategy, options, waits):
    """C1 died with an entry: it counts if somebody claims, or if C1 is to be started again."""
    stage = drained(SCENARIO.with_recovery(strategy, **options), _c1_dies_and_c2_acks)
    (last_words,) = {at for at, text in stage.told("stop") if "C2" in text}
    assert (last_words >= 107.0) is waits
    assert (last_words == 102.0) is not waits


def test_what_the_living_hold_is_waited_for():
    """C1 died with an entry of which nothing will come, and C2 still has one."""

    async def befall(course: Course, stage: BareStage) -> None:
        course.kill("C1")

    assert drained(SCENARIO, befall).told("stop")[0][0] >= 107.0


def test_nobody_is_left_to_wait_for():
    """All have died: the run is over at once, whatever is pending, and nobody has looked."""

    async def befall(course: Course, stage: BareStage) -> None:
        stage.life("C1").end()
        stage.life("C2").end()

    stage = drained(SCENARIO, befall)
    assert (stage.looks, stage.told("stop"), stage.story[-1]) == ([], [], (102.0, "over"))


def test_a_server_that_is_down_is_not_asked():
    """From 0.9 to 2.15 s."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(0.75)
        await course.take_down(1.0)

    stage = drained(SCENARIO, befall)
    assert stage.told("down", "up") == [(101.75, "down"), (103.0, "up")]
    assert stage.looks[0] >= 103.0


# ---- the last call ---------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["", "would not stop"])
def test_who_does_not_stop_is_ended_after_the_last_call(why):
    """C1 has stopped, C2 goes on and stops in time, C3 and C4 have to be killed: nobody starts them again.

    What C3 and C4 hold the server is asked, however long that takes.
    """
    ids: list[str] = []

    async def befall(course: Course, stage: BareStage) -> None:
        await until(0.5)
        ids.extend(await stage.hand_out("C3"))
        course.pause("C2")
        stage.life("C1").end()
        await until(1.0)
        stage.life("P1").end()

    scenario = SCENARIO.replace(consumers=consumers(4, Service()), drain=0.0).with_recovery("restart")
    seldom = {"C2": 1.0, "C3": math.inf, "C4": math.inf}
    course, stage = play(scenario, befall, stops_after=seldom, why=why, round_trip=0.25)
    assert [told for told in stage.story if told[0] > ORIGIN] == [
        (101.5, "C2 stands still"),
        (102.0, "C2 goes on"),
        (102.0, "C2 is to stop at the end"),
        (102.0, "C3 is to stop at the end"),
        (102.0, "C4 is to stop at the end"),
        (104.0, "C3 is killed"),
        (104.0, "pending of C3?"),
        (104.0, "C4 is killed"),
        (104.0, "pending of C4?"),
        (104.25, "over"),
    ]
    assert course.errors == ({"C3": why, "C4": why} if why else {})
    assert ("delivered", "C3", ids[0]) in [(kind, actor, entry_id) for _, kind, actor, entry_id in told(course)]
    assert course.dead_consumers() == ["C3", "C4"]


# ---- what is done beside everything else -----------------------------------------------------------


async def fail(error: Exception) -> None:
    raise error


def test_the_first_error_beside_a_run_ends_it():
    """At once, and whatever else is done is cancelled; one that was cancelled is no error."""
    others: list[asyncio.Task[None]] = []
    stages: list[BareStage] = []

    async def befall(course: Course, stage: BareStage) -> None:
        stages.append(stage)
        others.extend(course.do(asyncio.sleep(1000)) for _ in range(2))
        others[1].cancel()
        await until(1.0)
        course.do(fail(LookupError("the first")))
        course.do(fail(LookupError("the second")))

    with pytest.raises(LookupError, match="the first"):
        play(SCENARIO, befall)
    assert stages[0].loop.time() == 102.0
    assert all(other.cancelled() for other in others)


def test_an_error_in_asking_what_the_dead_held_ends_the_run():
    """The server has gone, and the lab has not been told to expect it."""
    stages: list[BareStage] = []

    async def befall(course: Course, stage: BareStage) -> None:
        stages.append(stage)
        await until(1.0)
        stage.server.go_down()
        stage.life("C1").end(died_at=ORIGIN + 1.0)

    with pytest.raises(redis.exceptions.ConnectionError):
        play(SCENARIO, befall)
    assert stages[0].loop.time() == 102.0
