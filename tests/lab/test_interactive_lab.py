"""`Lab` while it runs: kill, claim, recover, go back in time; by its methods alone, on both engines."""

from __future__ import annotations

import gc
import math
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from streamlab.lab.lab import Lab, LabError
from streamlab.lab.simulated import SimulatedEngine
from streamlab.results.run import EngineName
from streamlab.results.snapshot import Snapshot
from streamlab.scenario import Arrivals, Scenario, ScenarioError, Service, consumers, producers
from tests.conftest import Eventually

pytestmark = pytest.mark.real_time("compares the wall's clock with the run's")

#: C1 and C2 take four entries each, and half a second for each of them.
BUSY = Scenario(
    name="busy",
    producers=producers(2, Arrivals("poisson", rate=4)),
    consumers=consumers(2, Service("exponential", mean=0.2), count=4),
    duration=60.0,
).with_recovery(min_idle=2.0)


def owned_by(lab: Lab, name: str) -> list[str]:
    return [row.id for row in lab.snapshot().pending if row.owner == name]


def run_until_holding(lab: Lab, name: str, n: int) -> None:
    while len(owned_by(lab, name)) < n:
        assert lab.step(), f"{name} never held {n} entries"


def pause_while_holding(lab: Lab, name: str) -> list[str]:
    """Let a consumer stand still while it holds something; return what."""
    while True:
        lab.wait_until(lambda now: now.consumer(name).holding)
        lab.pause(name)
        if found := owned_by(lab, name):
            return found
        lab.resume(name)  # it had just done all of it


def test_the_whole_story_by_methods(engine: EngineName):
    """Kill C2: its entries stay, and grow idle. XAUTOCLAIM: C1 is their owner, does them, and the list is empty.

    Then a supervisor restarts C2, and one more consumer does its part.
    """
    shown = BUSY.with_service(0.15).replace(duration=None, entries=120)
    with Lab(shown, engine=engine) as lab:
        stranded = pause_while_holding(lab, "C2")
        lab.kill("C2")
        dead = lab.snapshot().consumer("C2")
        assert (dead.state, dead.holding, dead.pending, dead.pid) == ("dead", (), len(stranded), None)
        assert lab.autoclaim("C1") == []  # not idle for long enough yet
        assert owned_by(lab, "C2") == stranded
        lab.wait_until(lambda now: min(row.idle for row in now.pending if row.owner == "C2") > 2.0)
        assert lab.autoclaim("C1") == stranded
        typed = [command.text for command in lab.commands if command.by == "lab"]
        assert typed[-1].startswith("XAUTOCLAIM orders workers C1 2000 0-0 COUNT 100 JUSTID")
        now = lab.snapshot()
        assert [row for row in now.pending if row.owner == "C2"] == []
        assert now.consumer("C1").claimed == len(stranded)
        lab.wait_until(lambda now: not {row.id for row in now.pending} & {*stranded})
        lab.set_recovery("restart")
        lab.wait_until(lambda now: now.consumer("C2").state != "dead")
        assert lab.add_consumer() == "C3"
        lab.wait_until(lambda now: now.consumer("C3").acked)
        lab.set_rate(100.0)
        lab.set_service(0.01)
        run = lab.run()
    assert (run.pending, run.lost, run.undelivered) == (0, 0, 0)
    done_by = {event.id: event.actor for event in run.events if event.kind == "processed"}
    assert {done_by[entry_id] for entry_id in stranded} == {"C1"}


def test_a_claim_by_hand_wakes_an_idle_consumer_and_counts_one_delivery_more():
    """XCLAIM changes the owner only; C1, blocked in a read, is nudged, reads its own history and does the entry."""
    scenario = BUSY.with_producers(1).with_rate(0.5).with_service(0.3)
    with Lab(scenario) as lab:
        run_until_holding(lab, "C2", 1)
        (entry,) = owned_by(lab, "C2")
        lab.kill("C2")
        assert lab.claim([entry], "C1", min_idle=0.0) == [entry]
        lab.run_until(lab.now + 0.01)
        (row,) = lab.snapshot().pending
        assert (row.owner, row.delivery_count) == ("C1", 2)
        lab.run_until(lab.now + 0.5)
        assert entry not in [row.id for row in lab.snapshot().pending]
        # And it reads new entries again.
        acked = lab.snapshot().consumer("C1").acked
        lab.run_until(lab.now + 10.0)
        assert lab.snapshot().consumer("C1").acked > acked


def test_claims_for_the_dead_wait_until_it_is_started_again():
    """The server does not care whether the new owner lives; its next life reads its own history."""
    with Lab(BUSY) as lab:
        run_until_holding(lab, "C1", 2)
        entries = owned_by(lab, "C1")
        lab.kill("C1")
        lab.kill("C2")
        lab.claim(entries, "C2", min_idle=0.0)
        with pytest.raises(ScenarioError, match="nobody to claim for"):
            lab.autoclaim()
        lab.run_until(lab.now + 3.0)
        assert set(entries) <= set(owned_by(lab, "C2"))
        lab.restart("C2")
        lab.run_until(lab.now + 3.0)
        assert set(owned_by(lab, "C2")).isdisjoint(entries)


@pytest.mark.parametrize("strategy", ["autoclaim", "claim", "restart"])
def test_automatic_recovery_can_be_switched_on_while_it_runs(strategy: str):
    """Nobody claims; then the consumers do (or a supervisor starts the dead one), and nothing is left."""
    with Lab(BUSY) as lab:
        run_until_holding(lab, "C2", 2)
        stranded = owned_by(lab, "C2")
        lab.kill("C2")
        lab.run_until(lab.now + 10.0)
        assert owned_by(lab, "C2") == stranded
        lab.set_recovery(strategy)
        lab.run_until(lab.now + 4.0)
        assert not {row.id for row in lab.snapshot().pending} & set(stranded)
        assert lab.recovery.strategy == strategy
        lab.set_recovery("none")
        victim = "C1"
        run_until_holding(lab, victim, 1)
        stranded = owned_by(lab, victim)
        lab.kill(victim)
        lab.run_until(lab.now + 10.0)
        assert owned_by(lab, victim) == stranded


def test_a_paused_consumer_stands_still_and_goes_on():
    """SIGSTOP: what it holds stays, nothing is acknowledged; SIGCONT: it goes on."""
    with Lab(BUSY) as lab:
        run_until_holding(lab, "C2", 2)
        lab.pause("C2")
        before = lab.snapshot().consumer("C2")
        lab.run_until(lab.now + 5.0)
        after = lab.snapshot().consumer("C2")
        assert (before.state, after.state, after.acked) == ("paused", "paused", before.acked)
        lab.resume("C2")
        lab.run_until(lab.now + 5.0)
        assert lab.snapshot().consumer("C2").acked > before.acked


def test_rate_service_and_consumers_can_be_changed():
    """Twice the arrivals, half the service time, one more consumer, which gets its share."""
    with Lab(BUSY) as lab:
        lab.run_until(5.0)
        lab.set_rate(8.0)
        lab.set_service(0.05)
        assert lab.add_consumer() == "C3"
        with pytest.raises(ScenarioError, match="there is a consumer 'C1' already"):
            lab.add_consumer("C1")
        before = lab.snapshot()
        lab.run_until(25.0)
        after = lab.snapshot()
    assert after.n_added - before.n_added == pytest.approx(20 * 16, rel=0.2)
    assert after.backlog <= 2
    assert after.consumer("C3").acked > 20
    assert (lab.rate, lab.service) == (8.0, 0.05)


def interfere(lab: Lab) -> None:
    """Do one of everything."""
    lab.run_until(2.0)
    lab.kill("C2")
    lab.run_until(4.5)
    lab.set_recovery("autoclaim", min_idle=1.0)
    lab.add_consumer()
    lab.run_until(6.0)
    lab.pause("C1")
    lab.run_until(7.25)
    lab.resume("C1")
    lab.set_service(0.1)
    lab.restart("C2")
    lab.run_until(8.0)
    lab.set_rate(6.0)
    lab.kill("C3")
    lab.autoclaim("C1", min_idle=0.0)
    lab.run_until(9.0)
    lab.restart("C3")


@pytest.mark.parametrize("when", [0.0, 1.3, 2.0, 5.0, 6.5, 8.0, 8.7, 12.0])
def test_going_back_and_playing_on_is_exact(when: float):
    """What was clicked is done again at its time: the same events, snapshot and commands as if undisturbed."""
    with Lab(BUSY) as undisturbed, Lab(BUSY) as lab:
        interfere(undisturbed)
        undisturbed.run_until(15.0)
        interfere(lab)
        lab.run_until(11.0)
        lab.go_to(when)
        assert lab.now == when
        while lab.now < 13.0:  # by single steps, looking at everything
            lab.step()
            lab.snapshot()
        lab.go_to(15.0)
        assert lab.snapshot() == undisturbed.snapshot()
        assert lab.commands == undisturbed.commands
        assert lab.run().events == undisturbed.run().events


def test_a_new_click_makes_another_future():
    """After going back before a kill and adding a consumer instead, nobody is killed."""
    with Lab(BUSY) as lab, Lab(BUSY) as other:
        lab.run_until(5.0)
        lab.kill("C2")
        lab.run_until(9.0)
        lab.go_to(3.0)
        assert [action.word for action in lab.actions] == ["kill"]
        lab.add_consumer()
        assert [action.word for action in lab.actions] == ["add-consumer"]
        other.run_until(3.0)
        other.add_consumer()
        assert lab.run().events == other.run().events


def test_played_and_frozen_is_the_same_run(eventually: Eventually):
    """Time that passes in the background gives what stepping gives, whatever the speed."""
    with Lab(BUSY) as lab, Lab(BUSY) as other:
        lab.play(20.0)
        eventually(lambda: lab.now > 5.0, "five seconds pass")
        lab.kill("C2")
        lab.play(100.0)
        assert lab.speed == 100.0
        eventually(lambda: lab.now > 20.0, "twenty seconds pass")
        lab.freeze()
        assert not lab.is_playing
        frozen = lab.now
        other.run_until(math.nextafter(lab.actions[0].when, 0.0))
        other.kill("C2")
        other.run_until(frozen)
        assert lab.now == frozen
        assert lab.snapshot() == other.snapshot()
        assert lab.run().events == other.run().events


@pytest.mark.parametrize(
    "use",
    [
        Lab.snapshot, Lab.step, Lab.run, Lab.play,
        lambda lab: lab.run_until(30.0), lambda lab: lab.go_to(30.0), lambda lab: lab.kill("C2"),
    ],
    ids=["snapshot", "step", "run", "play", "run_until", "go_to", "kill"],
)  # fmt: skip
def test_what_the_background_met_is_told_once_whatever_is_done_next(
    use: Callable[[Lab], object], eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody sees its thread. Then it can be gone on with; and who begins again has nothing to be told."""

    def fail(*_: object) -> None:
        raise RuntimeError("met in the background")

    with Lab(BUSY) as lab:
        lab.begin_again()
        for is_to_be_told in (True, False):
            with monkeypatch.context() as broken:
                broken.setattr(SimulatedEngine, "run_until", fail)
                lab.play()
                eventually(lambda: not lab.is_playing, "the background has ended by its error")
            if is_to_be_told:
                with pytest.raises(RuntimeError, match="met in the background"):
                    use(lab)
            else:
                lab.begin_again()
            use(lab)
            lab.freeze()
            lab.begin_again()


def test_time_passes_at_the_speed_that_was_asked_for(eventually: Eventually):
    """At 5 ×, a second of the wall's is five of the run's."""
    with Lab(BUSY) as lab:
        lab.play(5.0)
        eventually(lambda: lab.now > 0.5, "time passes")
        began, at = time.perf_counter(), lab.now
        eventually(lambda: lab.now > at + 3.0, "three seconds pass")
        assert (lab.now - at) / (time.perf_counter() - began) == pytest.approx(5.0, rel=0.3)


def test_another_seed_is_another_run_and_the_same_seed_the_same():
    """Beginning again forgets what was clicked."""
    with Lab(BUSY) as lab:
        lab.run_until(5.0)
        lab.kill("C1")
        first = lab.snapshot()
        lab.begin_again(seed=7)
        assert (lab.now, lab.seed, lab.actions) == (0.0, 7, ())
        lab.run_until(5.0)
        assert lab.snapshot().last_delivered_id != first.last_delivered_id
        lab.begin_again(seed=1)
        lab.run_until(5.0)
        assert lab.snapshot().last_delivered_id == first.last_delivered_id


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda lab: lab.kill("C9"), r"there is no 'C9': there are C1, C2, P1, P2"),
        (lambda lab: lab.pause("C9"), r"there is no 'C9'"),
        (lambda lab: lab.remove_consumer("P1"), r"there is no consumer 'P1': there are C1, C2"),
        (lambda lab: lab.claim(["1-0"], "C9"), r"there is no consumer 'C9': there are C1, C2"),
        (lambda lab: lab.claim([], "C1"), r"there is nothing to claim"),
        (lambda lab: lab.autoclaim("C1", min_idle=-1.0), r"min_idle is -1.0: at least 0"),
        (lambda lab: lab.set_rate(0), r"rate is 0: more than 0"),
        (lambda lab: lab.set_service(float("nan")), r"mean is nan"),
        (lambda lab: lab.set_service(1.0, "C9"), r"there is no consumer 'C9'"),
        (lambda lab: lab.set_recovery("magic"), r"recovery.strategy is 'magic'"),
        (lambda lab: lab.set_recovery(patience=3), r"patience"),
        (lambda lab: lab.play(0), r"speed is 0"),
        (lambda lab: lab.go_to(-1.0), r"-1.0 is no moment"),
    ],
)
def test_wrong_use_is_said_in_one_line_and_changes_nothing(act: Callable[[Lab], object], message: str):
    """A ScenarioError that names what is there; it is not among the clicks."""
    with Lab(BUSY) as lab:
        lab.run_until(1.0)
        with pytest.raises(ScenarioError, match=message) as caught:
            act(lab)
        assert "\n" not in str(caught.value)
        assert lab.actions == ()


def test_a_replay_has_no_rate():
    """Recorded times are what they are."""
    with Lab("departures-day") as lab:
        assert lab.rate is None
        with pytest.raises(ScenarioError, match="replays recorded times"):
            lab.set_rate(1.0)


def test_untrusted_payloads_are_cut_and_cleaned():
    """A megabyte, markup, control characters, a text that turns the direction of writing."""
    with Lab(BUSY) as lab:
        lab.run_until(1.0)
        nasty: dict[Any, Any] = {"a": "x" * 1_000_000, "b": "<script>alert(1)</script>", "c": "\x1b[31m\0\u202e"}
        lab.pause("C2")
        lab.pause("C1")
        lab._timeline.ask(lambda lookout: lookout._engine.client.xadd("orders", nasty, id="9999999999999-0"))
        lab._timeline.ask(lambda lookout: lookout._engine.client.xgroup_setid("orders", "workers", "9999999999998-0"))
        lab._timeline.ask(lambda lookout: lookout._engine.client.xreadgroup("workers", "C2", {"orders": ">"}, 1))
        fields = next(row.fields for row in lab.snapshot().pending if row.id == "9999999999999-0")
    assert fields["a"] == "x" * 60 + "… (1,000,000 characters)"
    assert fields["b"] == nasty["b"]  # a text is a text: whoever shows it must not take it for markup
    assert fields["c"] == "·[31m··"


def test_the_stream_and_the_group_may_go_under_a_lab_that_looks():
    """Deleted: nothing is pending, nothing waits, and the lab can still be looked at."""
    with Lab(BUSY.with_faults("stream-deleted at 1s").with_recovery(history=True)) as lab:
        lab.run_until(0.9)
        before = lab.snapshot()
        lab.run_until(1.0)
        after = lab.snapshot()
    assert before.length > 0
    assert (after.length, after.n_pending, after.last_delivered_id) == (0, 0, "0-0")


def test_no_clock_is_left_behind(eventually: Eventually):
    """A lab that nobody has any more takes its thread with it."""
    lab = Lab(BUSY)
    lab.play()
    names = [thread.name for thread in threading.enumerate()]
    assert "streamlab-pacer" in names
    del lab
    gc.collect()
    eventually(
        lambda: "streamlab-pacer" not in [thread.name for thread in threading.enumerate()], "the clock's thread ends"
    )


# ---- live ------------------------------------------------------------------------------------------


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.redis
def test_processes_are_killed_and_end_with_their_lab():
    """SIGKILL, and it is gone at once; the others go as the lab is closed, and its thread with them."""
    with Lab(BUSY, engine="live") as lab:
        before = lab.snapshot()
        pid = before.consumer("C2").pid
        assert pid is not None
        assert is_running(pid)
        lab.kill("C2")
        assert not is_running(pid)
        assert f"kill -9 {pid}" in [command.text for command in lab.commands]
        with pytest.raises(LabError, match="only a simulated lab can be stepped"):
            lab.go_to(0.0)
        pids = [consumer.pid for consumer in before.consumers]
    assert not any(is_running(pid) for pid in pids if pid is not None)
    assert not [t for t in threading.enumerate() if t.name.startswith("streamlab-")]
    with pytest.raises(LabError, match="has been closed"):
        lab.kill("C1")


@pytest.mark.redis
def test_a_live_lab_that_nobody_has_any_more_ends_its_processes(eventually: Eventually):
    """Its cell was run again: the variable holds another lab."""
    lab = Lab(BUSY, engine="live")
    lab.play()
    pids = [c.pid for c in lab.snapshot().consumers if c.pid is not None]
    assert len(pids) == 2
    del lab
    gc.collect()
    eventually(lambda: not any(map(is_running, pids)), "the workers end", timeout=10.0)


def test_what_it_is_at_its_end_is_looked_at_as_well(engine: EngineName):
    """A run that ends while one looks at it is looked at once more, before it is said that it never came to that."""
    with Lab(BUSY.replace(duration=0.5), engine=engine) as lab:
        lab.play()

        def has_ended(now: Snapshot) -> bool:
            lab.run()  # which ends here, after it was looked at
            return now.finished

        assert lab.wait_until(has_ended).finished


def test_waiting_until_something_is_so_and_giving_up():
    """Virtual time passes until it is so, and stands there; what never comes is told, not waited for."""
    with Lab(BUSY) as lab:
        found = lab.wait_until(lambda now: len(now.consumer("C2").holding) >= 3)
        assert found == lab.snapshot()
        assert len(found.consumer("C2").holding) >= 3
        with pytest.raises(TimeoutError, match="it has not come to that"):
            lab.wait_until(lambda now: now.consumer("C2").state == "dead", timeout=2.0)
        assert found.at + 2.0 < lab.now < found.at + 5.0
