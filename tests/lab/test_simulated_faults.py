"""Faults on the simulated engine, to the moment: what each does to whom, and what comes of it."""

from __future__ import annotations

from typing import Any

import pytest

from streamlab import checks
from streamlab.actors import Recovery
from streamlab.lab.lab import Lab
from streamlab.scenario import Arrivals, Producer, Scenario, Service, consumers, producers

# Ten entries, one a second from 1 s on; two consumers that take half a second for each, in turns.
SCENARIO = Scenario(
    name="test",
    producers=(Producer("P1", Arrivals("constant", rate=1, start=1.0)),),
    consumers=consumers(2, Service("constant", 0.5)),
    duration=None,
    entries=10,
    drain=20.0,
    epoch_ms=0,
    sink="idempotent",
    recovery=Recovery("autoclaim", min_idle=1.0),
)


def run(*faults: str, scenario: Scenario = SCENARIO, **recovery: Any):
    scenario = scenario.with_faults(*faults).with_recovery(**recovery)
    run = Lab(scenario).run()
    assert checks.invariants(run), checks.invariants(run)
    return run


def kinds(run, *wanted: str) -> list[tuple[float, str, str]]:
    return [(round(e.at, 3), e.kind, e.actor) for e in run.events if e.kind in wanted]


def test_a_killed_consumer_leaves_what_it_held_to_the_other():
    """C1 dies at 1.2 s with the first entry, which is idle for 1 s at 2 s."""
    it = run("kill C1 at 1.2s")
    assert kinds(it, "crashed", "claimed") == [(1.2, "crashed", "C1"), (2.5, "claimed", "C2")]
    assert (it.processed, it.duplicates, it.pending) == (10, 0, 0)


def test_it_may_be_killed_at_the_very_moment_at_which_it_is_to_be_started_again() -> None:
    """Then it has lived for no time, and is started once more."""
    it = run("kill C1 at 1.25s", "kill C1 at 1.75s", strategy="restart", restart_after=0.5)
    assert kinds(it, "crashed") == [(1.25, "crashed", "C1"), (1.75, "crashed", "C1")]
    assert (it.processed, it.pending) == (10, 0)


def test_a_paused_consumer_is_a_zombie_when_it_wakes():
    """C1 stands still from 1.2 to 6 s in the middle of an entry; C2 takes it over and both process it."""
    it = run("pause C1 at 1.2s for 4.8s")
    assert kinds(it, "paused", "resumed") == [(1.2, "paused", "C1"), (6, "resumed", "C1")]
    assert [e.actor for e in it.events if e.kind == "processed" and e.id == "1000-0"] == ["C2", "C1"]
    assert [e.actor for e in it.events if e.kind == "void"] == ["C1"]


def test_a_slow_consumer_and_when_it_is_over():
    """Three times as long for what it begins between 1 and 2 s."""
    it = run("slow C1 at 0.5s for 1s factor 3", min_idle=5.0)
    took = {e.id: round(e.at - it.ledger.added[e.id], 3) for e in it.events if e.kind == "processed"}
    assert took["1000-0"] == 1.5
    assert set(took.values()) == {0.5, 1.5}


def test_a_restart_finishes_what_is_held_first():
    """SIGTERM at 1.2 s: the entry is done at 1.5 s, then the consumer restarts."""
    it = run("restart C1 at 1.2s")
    story = [e for e in kinds(it, "stopped", "started") if e[2] == "C1" and 0 < e[0] < 9]
    assert story == [(1.5, "stopped", "C1"), (1.5, "started", "C1")]
    assert it.redelivered == 0


def test_a_server_that_is_down_is_waited_for():
    """Nobody reaches it for two seconds; what was to be added then is added late, nothing twice."""
    it = run("server-down at 3.2s for 2s")
    assert kinds(it, "server_down", "server_up") == [(3.2, "server_down", "lab"), (5.2, "server_up", "lab")]
    assert (it.added, it.processed, it.duplicates) == (10, 10, 0)


def test_what_is_trimmed_is_told():
    """C1 dies with the first entry, and all that was delivered is trimmed: gone, and not lost."""
    it = run("kill C1 at 1.2s", "trim-while-pending at 1.8s")
    assert {e.id for e in it.events if e.kind == "trimmed"} == {"1000-0"}
    assert (it.processed, it.pending) == (9, 0)


@pytest.mark.parametrize("fault", ["group-destroyed at 5.2s", "stream-deleted at 5.7s"])
def test_a_group_that_is_gone_is_recreated(fault):
    """By the first who finds out; all that could be done is done."""
    it = run(fault)
    assert len(kinds(it, "recreated")) == 1
    assert it.processed == 10


@pytest.mark.parametrize("count", [1, 10])
@pytest.mark.parametrize("limit", [1, 3])
def test_poison_kills_as_often_as_the_limit_says_and_delays_others_by_min_idle_at_most(count, limit):
    """100 entries/s, the 17th is poison: dead-lettered after `limit` deaths, none of the others dies with it."""
    scenario = SCENARIO.replace(
        producers=producers(1, Arrivals("constant", rate=100)),
        consumers=consumers(4, Service("constant", 0.02), count=count),
        entries=200,
    )
    it = run("poison P1 nth 17", scenario=scenario, restart_after=0.2, max_deliveries=limit)
    assert it.final.dead_letters == ("160-0",)
    assert len(kinds(it, "crashed")) == limit
    assert it.processed == 199
    # A look comes every half of min_idle, and what is claimed takes its time.
    assert it.sojourn.max < 1.0 + 0.5 + 0.2


def test_of_overlapping_outages_the_last_to_end_counts_and_each_is_one():
    """What is done to the stream waits for the server; when it is up again, it may go down once more."""
    it = run(
        "server-down at 3.2s for 1s", "server-down at 3.7s for 1s", "server-down at 3.8s for 100ms",
        "server-down at 7.2s for 500ms", "group-destroyed at 7.4s",
    )  # fmt: skip
    assert kinds(it, "server_down", "server_up", "group_destroyed") == [
        (3.2, "server_down", "lab"), (4.7, "server_up", "lab"),
        (7.2, "server_down", "lab"), (7.7, "server_up", "lab"), (7.7, "group_destroyed", "lab"),
    ]  # fmt: skip


def test_what_cannot_be_done_as_planned_is_written_down():
    """And the run goes on."""
    scenario = SCENARIO.with_faults("kill C1 at 1s", "kill C2 at 1s", "autoclaim at 2s").with_recovery("none")
    with Lab(scenario) as lab:
        lab.run_until(3.0)
        noted = [command for command in lab.commands if command.by == "lab"][-1]
    assert (noted.at, noted.text) == (2.0, "autoclaim at 2s")
    assert noted.reply.startswith("(error) there is nobody to claim for")


def test_one_that_waits_in_a_read_hears_of_another_recovery_at_once():
    """It waits for an entry that is long in coming; told to claim, it does so before that."""
    slow = SCENARIO.replace(producers=producers(1, Arrivals("constant", rate=0.1)), entries=2).with_recovery("none")
    with Lab(slow) as lab:
        while not lab.snapshot().pending:
            assert lab.step()
        (left,) = lab.snapshot().pending
        lab.kill(left.owner)
        lab.run_until(lab.now + 1.0)
        lab.set_recovery("autoclaim", min_idle=0.5)
        lab.run_until(lab.now + 2.0)
        assert lab.snapshot().pending == ()
