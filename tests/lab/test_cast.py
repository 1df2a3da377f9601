"""What is done to actors: what their processes hear, what goes on in their next lives, and when.

Here a run begins at 101 s by the loop's clock: what is done at 1 s of the run happens at 102.
"""

from __future__ import annotations

import contextvars

from streamlab.actors.events import PAUSED, RESUMED
from streamlab.lab.course import Course
from streamlab.scenario import Arrivals, Consumer, Producer, Service
from streamlab.scenario.action_texts import parse_action
from streamlab.virtual.task import PROCESS
from tests.lab.bare_stage import ORIGIN, SCENARIO, BareStage, play, until


def counted(stage: BareStage) -> list[str]:
    """Return what happens at entries that are counted in C1's latest life."""
    return [str(action) for action in stage.life("C1").part.counted]


def test_entries_are_counted_through_all_lives():
    """What is planned counts from the first on; what is done by hand from what had been begun then, dead or alive."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        assert counted(stage) == ["crash-before-ack C1 nth 30"]
        assert stage.life("C2").part.counted == ()
        stage.life("C1").n_begun = 5
        await course.do_by_hand(parse_action("pause-in-work C1 nth 2 for 2s"))
        course.kill("C1")
        await course.do_by_hand(parse_action("fail C1 nth 4"))
        course.start("C1")
        assert [text.split(" at ")[0] for text in counted(stage)] == [
            "crash-before-ack C1 nth 30",
            "pause-in-work C1 nth 7 for 2s",
            "fail C1 nth 9",
        ]
        part = stage.life("C1").part
        assert (part.life, part.n_begun) == (2, 5)
        await course.do_by_hand(parse_action("poison P1 nth 3"))
        stage.life("P1").end()

    faults = "crash-before-ack C1 nth 30", "fail C1 nth 20 at 1500ms"
    _, stage = play(SCENARIO.with_faults(*faults), befall)
    assert stage.told("hears") == [(102.0, "P1 hears {'poison': 3}")]


def test_what_a_process_is_told_its_next_life_begins_with():
    """How slow it is, and how long it takes. A producer, which has but one, hears how much faster it is to be."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        for text in ("slow C1 for 2s factor 3", "slow C1 for 1s factor 2", "set-service 300ms for C1", "set-rate 12"):
            await course.do_by_hand(parse_action(text))
        course.kill("C1")
        course.start("C1")
        part = stage.life("C1").part
        assert isinstance(part.actor, Consumer)
        assert (part.slowness, part.actor.service.mean) == (6.0, 0.3)
        await until(3.5)
        stage.life("P1").end()

    _, stage = play(SCENARIO.replace(producers=(Producer("P1", Arrivals(rate=4.0)),)), befall)
    assert stage.told("hears") == [
        (102.0, "C1 hears {'slowness': 3.0}"),
        (102.0, "C1 hears {'slowness': 6.0}"),
        (102.0, "C1 hears {'service': 0.3}"),
        (102.0, "P1 hears {'pace': 3.0}"),
        (103.0, "C1 hears {'slowness': 3.0}"),
        (104.0, "C1 hears {'slowness': 1}"),
    ]


def test_what_is_claimed_goes_to_whoever_is_at_work_and_is_told_to_look():
    """C1 is dead and C2 stands still: C3 gets it. Who has no process of the machine's has no process id."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(0.5)
        ids = await stage.hand_out("C1", "C3")
        stage.life("C3").machine_pid = 4711
        assert course.pids() == {"C3": 4711}
        course.kill("C1")
        course.pause("C2")
        assert course.running_consumers() == ["C3"]
        assert await course.do_by_hand(parse_action("autoclaim min-idle 0s")) == ids
        stage.life("P1").end()

    _, stage = play(SCENARIO.replace(consumers=tuple(map(Consumer, ("C1", "C2", "C3"))), drain=0.0), befall)
    assert stage.told("hears") == [(101.5, "C3 hears {'nudge': True}")]


def test_one_more_consumer_is_like_the_first_and_recovers_as_all_do():
    """Unless the scenario says what it is like; what a recovery writes to is seen to before anybody hears of it."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        course.add_consumer("C9")
        assert course.consumers["C9"] == course.consumers["C1"].replace(name="C9")
        await course.do_by_hand(parse_action("set-recovery restart"))
        stage.life("P1").end()

    slower = Consumer("C1", Service(mean=0.1)), Consumer("C2", Service(mean=0.2))
    _, stage = play(SCENARIO.replace(consumers=slower), befall)
    assert [text[:9] for _, text in stage.told("keys", "hears")] == ["restart k", "C1 hears ", "C2 hears ", "C9 hears "]


def test_a_process_that_stands_still_by_itself_is_only_let_go_on():
    """From the moment of its own that it told; whoever else caused it, it goes on by the lab's hand."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        acting = contextvars.copy_context()
        acting.run(PROCESS.set, stage.life("C1"))
        acting.run(course.is_paused, stage.life("C1"), ORIGIN + 0.75, 1.0)
        stage.loop.hold(stage.life("C1"))
        await until(2.0)
        stage.life("P1").end()

    course, stage = play(SCENARIO, befall)
    assert stage.told("still", "on") == [(102.75, "C1 goes on")]
    assert [(e.at, e.kind) for e in course.log][:2] == [(101.75, PAUSED), (102.75, RESUMED)]


def test_who_is_about_to_be_started_is_started_once_and_as_early_as_anybody_wants():
    """C1 is to begin at 4 s, by the supervisor; at 4 and at 5 s is no other wish, at 3 s is."""

    async def befall(course: Course, stage: BareStage) -> None:
        await until(1.0)
        course.kill("C1")
        for wish in (4.0, 5.0, 3.0):
            course.start("C1", at=ORIGIN + wish)
        stage.life("P1").end()

    _, stage = play(SCENARIO.replace(drain=0.0).with_recovery("none", restart_after=3.0), befall)
    assert stage.told("begins")[3:] == [(102.0, "C1 begins at 105"), (102.0, "C1 begins at 104")]
