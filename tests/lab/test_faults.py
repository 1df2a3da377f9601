"""Faults, on both engines: what is done to an actor, a connection, the server or the stream; and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

import pytest

from streamlab.actors import Recovery
from streamlab.lab.lab import Lab
from streamlab.lab.live import LiveEngine
from streamlab.lab.simulated import SimulatedEngine
from streamlab.results.run import EngineName, Run
from streamlab.results.statistics import id_key
from streamlab.scenario import Arrivals, Scenario, Service, consumers, load_scenario, producers

BUSY = Scenario(
    name="busy",
    producers=producers(1, Arrivals("constant", rate=100)),
    consumers=consumers(3, Service("constant", mean=0.01)),
    duration=2.0,
    sink="idempotent",
    recovery=Recovery("autoclaim", min_idle=0.3, interval=0.1, restart_after=0.1),
)


def run_of(scenario: Scenario | str, engine: EngineName) -> Run:
    return Lab(scenario, engine=engine).run()


def run_patiently(name: str, engine: EngineName) -> Run:
    """Run a named scenario with such a min-idle that a consumer who waits for a processor is not taken for dead."""
    return run_of(load_scenario(name).with_recovery(min_idle=3.0), engine)


def assert_all_done_once(run: Run) -> None:
    """Every entry was processed, its effect happened exactly once, and nothing is left pending."""
    assert run.processed == run.added > 0
    assert run.final.effects == dict.fromkeys(run.ledger.added, 1)
    assert run.final.pending == {}
    assert run.final.undelivered == ()
    assert run.broken() == []


def events(run: Run, kind: str) -> list[str]:
    return [event.actor for event in run.events if event.kind == kind]


def test_crashes_before_effect_and_before_ack(engine: EngineName) -> None:
    """The scenario `crash`: one dies in mid-work, one between effect and XACK; both entries are done again."""
    run = run_patiently("crash", engine)
    assert_all_done_once(run)
    assert sorted(events(run, "crashed")) == ["C2", "C3"]
    assert run.redelivered == 2
    assert run.duplicates == 1


def test_poison_is_given_up_after_exactly_the_limit(engine: EngineName) -> None:
    """Three workers die of each of two entries; at the fourth delivery it goes to the dead letters."""
    run = run_of("poison", engine)
    dead = set(run.final.dead_letters)
    assert len(dead) == 2
    assert len(events(run, "crashed")) == 6
    times_handled = Counter(s.id for s in run.ledger.deliveries if s.delivery_count <= 3)
    assert [times_handled[entry_id] for entry_id in dead] == [3, 3]
    assert run.final.effects == {i: 1 for i in run.ledger.added if i not in dead}
    assert run.final.pending == {}
    assert run.broken() == []


def test_lost_replies_lose_and_double_nothing(engine: EngineName) -> None:
    """The scenario `lost-reply`: of XADD, XREADGROUP and XACK, the commands having been executed."""
    run = run_patiently("lost-reply", engine)
    assert_all_done_once(run)
    assert run.added == 500
    assert run.duplicates == 0
    assert sorted(events(run, "disconnected")) == ["C1", "C2", "P1"]


def test_a_rolling_restart_redelivers_nothing(engine: EngineName) -> None:
    """SIGTERM lets each consumer finish what it holds: no delivery twice."""
    run = run_patiently("rolling-restart", engine)
    assert_all_done_once(run)
    assert run.redelivered == run.duplicates == 0
    assert Counter(events(run, "started"))["C1"] == 2
    assert Counter(events(run, "stopped")) == {"C1": 2, "C2": 2, "C3": 2, "C4": 2, "P1": 1}


@pytest.mark.parametrize("fenced", [False, True])
def test_a_zombie_acknowledges_what_is_not_its_own_unless_fenced(fenced: bool, engine: EngineName) -> None:
    """SIGSTOP beyond min-idle: another consumer takes over; the zombie's XACK counts, a fenced one does not."""
    run = run_of(load_scenario("zombie").with_recovery(fenced=fenced), engine)
    (taken,) = [e for e in run.events if e.kind == "claimed"]
    (resumed,) = [e.at for e in run.events if e.kind == "resumed"]
    acks = [
        (e.kind, e.actor)
        for e in run.events
        if e.id == taken.id and e.kind in ("acked", "void", "rejected") and e.at >= resumed
    ]
    if fenced:
        assert acks == [("rejected", "C2"), ("acked", taken.actor)]
    else:
        assert acks == [("acked", "C2"), ("void", taken.actor)]
    assert run.final.effects[taken.id] == 2  # fencing keeps the books right, not the effects


@pytest.mark.parametrize(
    "fault",
    [
        "server-down at 0.7s for 0.5s",
        "disconnect C2 at 0.7s",
        "group-destroyed at 0.7s",
        "slow C2 at 0.5s for 1s factor 20",
        "kill C1 at 0.7s",
    ],
)
def test_everything_is_done_in_spite_of(fault: str, engine: EngineName) -> None:
    """Whatever happens to a process, a connection, the server or the group."""
    run = run_of(BUSY.with_faults(fault), engine)
    assert run.added == 200
    assert_all_done_once(run)


@pytest.mark.parametrize("fault", ["trim-while-pending at 0.7s", "stream-deleted at 0.7s"])
def test_what_was_destroyed_is_told(fault: str, engine: EngineName) -> None:
    """Entries that were removed before anybody had processed them are trimmed, and none is lost."""
    run = run_of(BUSY.with_service(0.028).with_faults(fault), engine)  # nearly saturated: there is a backlog
    assert run.added == 200
    assert run.lost == 0
    trimmed = {event.id for event in run.events if event.kind == "trimmed"}
    assert {i for i in run.ledger.added if i not in run.ledger.processed} <= trimmed
    assert run.final.pending == {}
    assert run.broken() == []


def test_a_random_worker_is_killed_every_second(engine: EngineName) -> None:
    """800 entries a second, 4 workers, SIGKILL and restart: 8,000 of 8,000, effects exactly once."""
    scenario = load_scenario("one-to-many")
    scenario = scenario.replace(duration=10.0, sink="idempotent").with_recovery("autoclaim", restart_after=0.2)
    run = run_of(scenario.with_faults(*scenario.random_kills(every=1.0)), engine)
    assert run.added == 8_000
    assert_all_done_once(run)
    n_kills = len(scenario.random_kills(every=1.0))
    assert n_kills == 9
    # Who is drawn a second time before its new process stands dies one time less.
    assert n_kills / 2 < len(events(run, "crashed")) <= n_kills


# ---- one fault, step by step ---------------------------------------------------------------------------

#: Ten entries for two consumers that take turns; each waits when its turn comes.
TEN = BUSY.with_rate(20).with_consumers(2).replace(entries=10, duration=None, drain=5.0)
TEN = TEN.with_recovery(restart_after=None)


def test_a_dead_consumer_leaves_what_it_held_to_the_other(engine: EngineName) -> None:
    """C1 dies over its first entry; once that has been idle for long enough, C2 claims it."""
    run = run_of(TEN.with_faults("crash-before-effect C1 nth 1"), engine)
    assert_all_done_once(run)
    assert events(run, "crashed") == ["C1"]
    (claimed,) = [event for event in run.events if event.kind == "claimed"]
    assert (claimed.actor, claimed.delivery_count) == ("C2", 2)
    assert run.duplicates == 0


def test_a_supervisor_restarts_it_and_it_reads_its_history(engine: EngineName) -> None:
    """Under its own name: no claim is needed."""
    shown = TEN.with_recovery("restart", restart_after=0.1)
    run = run_of(shown.with_faults("crash-before-effect C1 nth 1"), engine)
    assert_all_done_once(run)
    again = [(event.kind, event.actor) for event in run.events if event.delivery_count > 1 and event.kind != "begun"]
    assert again == [("delivered", "C1")]
    assert (events(run, "crashed"), events(run, "claimed")) == (["C1"], [])


def test_without_recovery_it_stays_pending_and_the_run_ends_all_the_same(engine: EngineName) -> None:
    """Nothing is redelivered by itself."""
    shown = TEN.with_recovery("none").replace(drain=0.5)
    run = run_of(shown.with_faults("crash-before-effect C1 nth 1"), engine)
    first = min(run.ledger.added, key=id_key)
    assert (run.processed, run.pending, run.lost) == (9, 1, 0)
    assert run.final.pending == {first: "C1"}
    assert run.broken() == []


def test_an_error_in_the_handler_is_tried_again(engine: EngineName) -> None:
    """Twice in a row for C1; then it works."""
    run = run_of(TEN.with_faults("fail C1 nth 1 times 2"), engine)
    assert_all_done_once(run)
    assert events(run, "failed") == ["C1", "C1"]
    assert run.errors == {}


def test_a_dead_letter_key_of_another_type_loses_nothing(engine: EngineName) -> None:
    """The move fails as a whole: the poison stays pending, and everything else is done."""
    shown = TEN.with_recovery(max_deliveries=1, restart_after=0.1, dead_letter="{orders}:graveyard").replace(drain=2.0)
    shown = shown.with_faults("poison P1 nth 3")

    async def live() -> Run:
        async with LiveEngine(shown) as engine:
            await engine.client.set("{orders}:graveyard", "no stream")
            return await engine.run()

    if engine == "live":
        run = asyncio.run(live())
    else:
        with contextlib.closing(SimulatedEngine(shown)) as simulated:
            simulated.call(simulated.client.set("{orders}:graveyard", "no stream"))
            run = simulated.run()
    (poison,) = run.final.pending
    assert poison == sorted(run.ledger.added, key=id_key)[2]
    assert (run.processed, run.lost, len(events(run, "crashed"))) == (9, 0, 1)
    assert "failed" in {event.kind for event in run.events}


# ---- who died --------------------------------------------------------------------------------------------


def test_a_kill_is_no_error(engine: EngineName) -> None:
    """By plan, by hand, or at an entry: it is told as a crash, and a worker is lost; nothing is broken."""
    shown = BUSY.with_recovery(restart_after=None).with_faults("kill C1 at 500ms", "crash-before-effect C2 nth 5")
    with Lab(shown.replace(drain=0.5), engine=engine) as lab:
        lab.wait_until(lambda now: now.consumer("C1").state == now.consumer("C2").state == "dead")
        lab.kill("C3")
        run = lab.run()
    assert sorted(events(run, "crashed")) == ["C1", "C2", "C3"]
    assert sorted((lost.consumer, lost.kind) for lost in run.recovery.lost_workers) == [
        ("C1", "crashed"), ("C2", "crashed"), ("C3", "crashed")
    ]  # fmt: skip
    assert run.errors == {}
    assert run.broken() == []
