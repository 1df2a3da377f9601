"""`Course` by itself: what a dead consumer left, who is started again and when, and what is dropped.

Here a run begins at 101 s by the loop's clock: what is done at 1 s of the run happens at 102.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref

import pytest

from streamlab.actors.events import CRASHED, DELIVERED
from streamlab.lab.course import Course
from streamlab.virtual.task import PROCESS
from tests.events import event
from tests.lab.bare_stage import HEARD_AFTER, ORIGIN, SCENARIO, BareStage, play, staged, until

# ---- what it held ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["asked", "told at once", "asked when up"])
def test_what_the_server_had_given_to_the_dead_is_told_just_before_their_death(way):
    """C1 told of its first entry and not of its second; what C2 holds is C2's. A producer holds nothing."""
    ids: list[str] = []

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        ids.extend(await stage.hand_out("C1", "C1", "C2"))
        stage.hears(event(102.0, "delivered", "C1", ids[0], 1))
        if way == "asked when up":
            await course.take_down(1.0)
        await until(1.25)
        stage.life("C1").end(died_at=ORIGIN + 1.25)
        stage.life("P1").end(died_at=ORIGIN + 1.25)

    course, stage = play(SCENARIO.replace(drain=3.0), befall, tells_at_once=way == "told at once")
    told = [e for e in course.log if e.kind in (DELIVERED, CRASHED)]
    at = 102.25 if way == "told at once" else 102.0
    assert sorted(told) == sorted(
        [
            event(102.0, "delivered", "C1", ids[0], 1),
            event(at, "delivered", "C1", ids[1], 1),
            event(102.25, "crashed", "C1"),
            event(102.25, "crashed", "P1"),
        ]
    )
    assert stage.told("pending") == [(102.25, "pending of C1?")]


def test_a_delivery_is_told_before_the_death_whatever_the_clocks_say():
    """By the server's clock the entry was handed out at 2 s, when C1 had been dead for a second by the lab's."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(2.0)
        await stage.hand_out("C1")
        stage.life("C1").end(died_at=ORIGIN + 1.0)
        stage.life("P1").end()

    course, _ = play(SCENARIO, befall)
    first, second = sorted(e for e in course.log if e.actor == "C1")
    assert [first.kind, second.kind, second.at] == [DELIVERED, CRASHED, 102.0]
    assert 101.99999 < first.at < 102.0


def test_of_a_group_that_is_gone_nothing_is_pending():
    """The run goes on."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        await stage.hand_out("C1")
        await stage.hand.xgroup_destroy(SCENARIO.stream, SCENARIO.group)
        stage.life("C1").end(died_at=ORIGIN + 1.0)
        stage.life("P1").end()

    course, stage = play(SCENARIO, befall)
    assert [e.kind for e in course.log if e.actor == "C1"] == [CRASHED]
    at, last = stage.told("C2")[-1]
    assert 107.0 <= at <= 107.5
    assert last == "C2 is to stop at the end"


def test_what_the_lab_does_is_not_held_back_with_whoever_caused_it():
    """C1 stands still: what comes of its doing and of its death happens, and an outage that it began ends."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        await stage.hand_out("C1")
        process = stage.life("C1")
        stage.loop.hold(process)
        acting = contextvars.copy_context()
        acting.run(PROCESS.set, process)
        acting.run(course.do, stage.remark("done for C1"))
        acting.run(lambda: process.end(died_at=ORIGIN + 1.0))
        await until(1.25)
        assert [e.kind for e in course.log] == [CRASHED, DELIVERED]
        stage.loop.release(process)
        await asyncio.create_task(course.take_down(1.0), context=acting)
        stage.loop.hold(process)
        stage.life("P1").end()

    _, stage = play(SCENARIO, befall)
    assert stage.told("done", "down", "up") == [(102.0, "done for C1"), (102.25, "down"), (103.5, "up")]


def test_what_is_done_is_let_go():
    """A course that does much does not gather it."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        before = asyncio.all_tasks()
        course.do(stage.remark("done"))
        stage.life("C1").end(died_at=ORIGIN + 1.0)
        since = weakref.WeakSet(asyncio.all_tasks() - before)
        assert len(since) == 2
        await until(2.0)
        gc.collect()
        assert len(since) == 0
        stage.life("P1").end()

    play(SCENARIO, befall)


# ---- who is started again --------------------------------------------------------------------------


def started_in(stage: BareStage) -> list[tuple[float, str]]:
    """Return who was started after the run had begun: when that was, and for when."""
    return [(at, text) for at, text in stage.told("begins") if at > ORIGIN]


def test_one_that_is_restarted_begins_as_it_stopped():
    """By its own word, at 1.25 s, of which the lab hears later; and once only: its next death is for good."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        course.restart("C1")
        await until(1.3)
        stage.hears(event(102.3, "delivered", "C1", "1-0", 1))
        await until(2.0)
        course.kill("C1")
        stage.life("P1").end()

    _, stage = play(SCENARIO, befall)
    assert started_in(stage) == [(102.25 + HEARD_AFTER, "C1 begins at 102.25")]


def test_one_that_dies_as_it_is_to_stop_begins_as_it_died():
    """Killed at 1.125 s, of which the lab hears at 1.25 s; nobody waits for the supervisor."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        course.restart("C1")
        await until(1.125)
        stage.life("C1").end(died_at=ORIGIN + 1.125 - HEARD_AFTER)
        await until(2.0)
        stage.life("P1").end()

    _, stage = play(SCENARIO.with_recovery("none", restart_after=0.5), befall)
    assert started_in(stage) == [(102.125, "C1 begins at 102")]


def test_the_supervisor_starts_consumers_that_have_died():
    """Half a second after the death, whenever the lab heard of it; not who has stopped, and no producer."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        stage.life("P1").end(died_at=ORIGIN + 0.5)
        stage.life("C1").end(died_at=ORIGIN + 0.75, why="fell over")
        stage.life("C2").end()
        assert course.dead_consumers() == []  # C1 is about to begin again

    course, stage = play(SCENARIO.replace(drain=0.0).with_recovery("none", restart_after=0.5), befall)
    assert started_in(stage) == [(102.0, "C1 begins at 102.25")]
    assert course.errors == {"C1": "fell over"}
    assert [(e.at, e.kind, e.actor) for e in course.log] == [(101.5, CRASHED, "P1"), (101.75, CRASHED, "C1")]


def test_who_dies_is_dead_and_who_stops_is_not():
    """As long as nobody starts them again."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        stage.life("C1").end(died_at=ORIGIN + 1.0)
        stage.life("C2").end()
        assert course.dead_consumers() == ["C1"]
        stage.life("P1").end()

    course, _ = play(SCENARIO, befall)
    assert course.errors == {}


# ---- what other processes tell, and what is done to them -------------------------------------------


def test_the_stage_is_told_of_entries_that_were_added():
    """And of no other event."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        stage.hears(event(101.5, "added", "P1", "1-0"))
        stage.hears(event(101.75, "delivered", "C1", "1-0", 1))
        stage.life("P1").end()

    course, stage = play(SCENARIO, befall)
    assert stage.told("added") == [(102.0, "added 1-0")]
    assert [(e.at, e.kind) for e in course.log][:2] == [(101.5, "added"), (101.75, "delivered")]


def test_connections_are_cut_unless_there_is_no_server():
    """At 1 s C1's; at 2 s the server is down, and nobody has a connection."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        await course.cut("C1")
        await until(1.5)
        await course.take_down(1.0)
        await until(2.0)
        await course.cut("C2")
        stage.life("P1").end()

    _, stage = play(SCENARIO, befall)
    assert stage.told("cut") == [(102.0, "C1 is cut")]


# ---- what is dropped -------------------------------------------------------------------------------


def test_a_run_that_is_cancelled_is_cancelled():
    """And all that is done beside it."""
    course, stage = staged(SCENARIO)
    loop = stage.loop

    async def main() -> None:
        running = asyncio.create_task(course.run())
        await until(1.0)
        beside = course.do(asyncio.sleep(1000))
        running.cancel()
        await asyncio.wait([running, beside])
        assert (running.cancelled(), beside.cancelled(), loop.time()) == (True, True, 102.0)

    loop.run_until_complete(main())
    loop.close()


def test_of_a_course_that_was_dropped_nothing_is_told_and_nobody_started():
    """Whatever is under way tidies up first, and is not asked how that went."""
    course, stage = staged(SCENARIO.with_recovery("restart"))
    loop = stage.loop

    async def tidy(then: Exception | None) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(0.5)
            if then is not None:
                raise then

    async def main() -> None:
        running = asyncio.create_task(course.run())
        await until(1.0)
        running.cancel()
        await asyncio.wait([running])
        beside = [course.do(tidy(None)), course.do(tidy(LookupError("torn")))]
        await asyncio.sleep(0)
        await course.drop()
        assert all(task.done() for task in beside)
        assert loop.time() == 102.5
        before = list(stage.story)
        for name in ("C1", "C2", "P1"):
            stage.life(name).end(died_at=loop.time())
        course.start("C1")
        assert (list(course.log), stage.story) == ([], before)

    loop.run_until_complete(main())
    loop.close()
