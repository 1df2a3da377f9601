"""Metrics of failures: tiny histories, written by hand, whose figures were worked out by hand."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest

from streamlab.actors import Recovery
from streamlab.lab.inspection import unseen
from streamlab.lab.lab import Lab
from streamlab.lab.simulated import SimulatedEngine
from streamlab.results.events import EventLog
from streamlab.results.recovery import LostWorker
from streamlab.results.run import EngineName, FinalState, Run
from streamlab.scenario import Scenario, Service, consumers, load_scenario
from tests.events import event

NEVER = math.nan


def run_of(*rows: tuple[Any, ...], final: FinalState | None = None, **scenario: Any) -> Run:
    """Return a run with these events: time, kind, actor, and of entries the number, delivery count."""
    events = [
        event(at, kind, actor, f"{rest[0]}-0" if rest else "", rest[1] if len(rest) > 1 else 0)
        for at, kind, actor, *rest in rows
    ]
    what = Scenario(name="written", consumers=consumers(2, Service()), **scenario)
    return Run(what, "simulated", "a test", EventLog.of(events), final or FinalState())


def given(number: int, consumer: str, at: float) -> list[tuple[Any, ...]]:
    """Return an entry that is added and delivered at a moment."""
    return [(at, "added", "P1", number), (at, "delivered", consumer, number, 1)]


def done(number: int, consumer: str, at: float) -> list[tuple[Any, ...]]:
    return [(at, "processed", consumer, number), (at, "acked", consumer, number)]


def ends(run: Run) -> list[tuple[str, str, float, str]]:
    """Return, of each delivery, entry, consumer, when it was over and by what."""
    return [(s.id, s.consumer, s.over, s.outcome) for s in run.ledger.deliveries]


# ---- how deliveries end -----------------------------------------------------------------------------


def test_the_time_to_recover_ends_when_the_last_entry_is_settled():
    """C1 dies at 1 s with three entries: one is done again at 3 s, one buried at 4 s, one found gone at 2 s."""
    run = run_of(
        *[row for n in (1, 2, 3) for row in given(n, "C1", 0.0)],
        (1.0, "crashed", "C1"),
        (2.0, "trimmed", "C2", 3),
        *[(2.0, "claimed", "C2", n, 2) for n in (1, 2)],
        *done(1, "C2", 3.0),
        (4.0, "dead_lettered", "C2", 2, 2),
    )
    recovery = run.recovery
    assert recovery.lost_workers == (LostWorker("C1", "crashed", 1.0, ("1-0", "2-0", "3-0"), 2, (3.0, 4.0, 2.0)),)
    assert (recovery.recovered, recovery.time_max) == (True, 3.0)
    assert ends(run) == [
        ("1-0", "C1", 2.0, "claimed"),
        ("2-0", "C1", 2.0, "claimed"),
        ("3-0", "C1", 2.0, "trimmed"),
        ("1-0", "C2", 3.0, "acked"),
        ("2-0", "C2", 4.0, "dead_lettered"),
    ]


def test_a_worker_whose_entries_nobody_takes_is_never_recovered():
    """The entry stays pending: no time, and JSON's null rather than NaN."""
    run = run_of(*given(1, "C1", 0.0), (1.0, "crashed", "C1"), final=FinalState(pending={"1-0": "C1"}))
    (lost,) = run.recovery.lost_workers
    assert not lost.recovered
    assert math.isnan(lost.time)
    assert not run.recovery.recovered
    told = run.summary()["recovery"]
    assert (told["recovered"], told["time_max"], told["lost_workers"]) == (False, None, 1)
    json.dumps(told, allow_nan=False)


def test_a_worker_that_held_nothing_is_recovered_at_once():
    """It counts as lost, and not among the times: nobody had to wait for anything."""
    run = run_of(*given(1, "C1", 0.0), *done(1, "C1", 1.0), (2.0, "crashed", "C1"))
    recovery = run.recovery
    assert [(lost.held, lost.time) for lost in recovery.lost_workers] == [((), 0.0)]
    assert (recovery.times, recovery.time_max, recovery.recovered) == ([], 0.0, True)


def test_a_paused_worker_is_lost_if_others_took_over_what_it_held():
    """C1 stands still twice with an entry: the first time it is its own again, the second time C2's."""
    run = run_of(
        *given(1, "C1", 0.0),
        (0.1, "paused", "C1"),
        (0.5, "resumed", "C1"),
        *done(1, "C1", 0.6),
        *given(2, "C1", 1.0),
        (1.1, "paused", "C1"),
        (1.6, "claimed", "C2", 2, 2),
        *done(2, "C2", 1.7),
        (2.0, "resumed", "C1"),
        (2.1, "processed", "C1", 2),
        (2.1, "void", "C1", 2),
    )
    assert run.recovery.lost_workers == (LostWorker("C1", "paused", 1.1, ("2-0",), 1, (1.7,)),)
    assert run.recovery.time_max == pytest.approx(0.6)
    assert run.recovery.void == 1
    # 0.2 s of C1's second time with entry 2; while it stood still it did not work.
    assert run.recovery.wasted == pytest.approx(0.2)
    assert run.consumers["C1"].utilisation == pytest.approx((0.2 + 0.2) / 2.1)


def test_an_acknowledgement_that_nobody_heard_of_settles_an_entry():
    """The XACK was executed and the worker died before its reply: the server has nothing pending."""
    rows = (*given(1, "C1", 0.0), (0.5, "processed", "C1", 1), (0.6, "crashed", "C1"))
    assert run_of(*rows).recovery.lost_workers[0].settled == (0.6,)
    still = run_of(*rows, final=FinalState(pending={"1-0": "C1"}))
    assert not still.recovery.lost_workers[0].recovered


def test_what_was_gone_before_the_worker_needs_no_recovery():
    """XCLAIM drops what was trimmed from the list of pending entries, and says nothing of it."""
    run = run_of(*given(1, "C1", 0.0), (0.5, "trimmed", "lab", 1), (1.0, "crashed", "C1"))
    (lost,) = run.recovery.lost_workers
    assert (lost.held, lost.settled, lost.time) == (("1-0",), (1.0,), 0.0)


def test_an_entry_that_was_settled_once_has_to_be_settled_again():
    """Acknowledged at 1 s, delivered again by a new group, and lost with C1 at 3 s: settled at 4 s."""
    run = run_of(
        *given(1, "C1", 0.0), *done(1, "C1", 1.0),
        (1.5, "group_destroyed", "lab"), (2.0, "recreated", "C1", 0),
        (2.0, "delivered", "C1", 1, 1), (3.0, "crashed", "C1"),
        (3.5, "claimed", "C2", 1, 2), *done(1, "C2", 4.0),
    )  # fmt: skip
    assert [lost.settled for lost in run.recovery.lost_workers] == [(4.0,)]


def test_producers_that_crash_are_no_lost_workers():
    """What is to be recovered is what consumers hold."""
    run = run_of(*given(1, "C1", 0.0), *done(1, "C1", 1.0), (2.0, "crashed", "P1"))
    assert run.recovery.lost_workers == ()


# ---- work ------------------------------------------------------------------------------------------


def test_work_that_was_begun_and_never_finished_is_told_and_wasted():
    """C1 dies 0.3 s into entry 2, fails after 0.1 s at entry 4; entry 3, which it never came to, cost nothing."""
    run = run_of(
        *[row for n in (1, 2, 3) for row in given(n, "C1", 0.0)],
        *done(1, "C1", 0.2),
        (0.5, "crashed", "C1"),
        (1.0, "started", "C1"),
        *[(1.0, "delivered", "C1", n, 2) for n in (2, 3)],
        *done(2, "C1", 1.2),
        *done(3, "C1", 1.4),
        *given(4, "C1", 1.5),
        (1.6, "failed", "C1", 4),
        (2.0, "claimed", "C1", 4, 2),
        *done(4, "C1", 2.2),
    )
    work = [(s.id, s.begun, s.left) for s in run.ledger.deliveries]
    assert work == [
        ("1-0", 0.0, 0.2),
        ("2-0", 0.2, 0.5),
        ("3-0", pytest.approx(NEVER, nan_ok=True), pytest.approx(NEVER, nan_ok=True)),
        ("2-0", 1.0, 1.2),
        ("3-0", 1.2, 1.4),
        ("4-0", 1.5, 1.6),
        ("4-0", 2.0, 2.2),
    ]
    assert run.recovery.wasted == pytest.approx(0.3 + 0.1)
    busy = 0.2 + 0.3 + 0.2 + 0.2 + 0.1 + 0.2
    assert run.consumers["C1"].utilisation == pytest.approx(busy / 2.2)
    # A wait is of what was processed in the end: the entries that had to be given again have one too.
    assert sorted(run.ledger.waits()) == pytest.approx([0, 0.5, 1.0, 1.2])


def test_what_is_at_work_at_the_end_has_begun():
    """No end, and neither wasted nor busy: the run was looked at in the middle of it."""
    run = run_of(*given(1, "C1", 0.5), *given(2, "C1", 0.5))
    assert run.ledger.deliveries[0].begun == 0.5
    assert math.isnan(run.ledger.deliveries[1].begun)
    assert run.recovery.wasted == 0


def test_effects_are_counted_by_the_ledger_if_there_is_one():
    """Processed twice; the idempotent sink had the effect once, the naive one as often as the ledger says."""
    rows = (
        *given(1, "C1", 0.0), (0.5, "processed", "C1", 1), (0.6, "crashed", "C1"),
        (1.0, "claimed", "C2", 1, 2), *done(1, "C2", 1.5),
    )  # fmt: skip
    cases = {
        "none": (FinalState(), 1),
        "idempotent": (FinalState(effects={"1-0": 1}), 0),
        "naive": (FinalState(effects={"1-0": 3, "2-0": 2}), 3),
    }
    for sink, (final, n) in cases.items():
        recovery = run_of(*rows, final=final, sink=sink).recovery
        assert (recovery.duplicates, recovery.duplicate_effects) == (1, n)


# ---- acknowledgements ------------------------------------------------------------------------------


def test_a_zombies_acknowledgement_is_told_with_whose_entry_it_was():
    """C1 acks what C2 owns and is still working at; the owner's own ack finds nothing pending."""
    run = run_of(
        *given(1, "C1", 0.0),
        (0.1, "paused", "C1"),
        (0.6, "claimed", "C2", 1, 2),
        (0.7, "resumed", "C1"),
        (0.8, "processed", "C1", 1),
        (0.8, "acked", "C1", 1),
        (1.0, "processed", "C2", 1),
        (1.0, "void", "C2", 1),
    )
    assert run.recovery.zombie_acks == ((0.8, "1-0", "C1", "C2"),)
    assert run.summary()["recovery"]["zombie_acks"] == 1
    assert ends(run) == [("1-0", "C1", 0.6, "claimed"), ("1-0", "C2", 0.8, "acked")]
    assert run.recovery.wasted == pytest.approx(0.4)  # C2's: C1's was first


def test_a_fenced_acknowledgement_is_refused():
    """C1's is rejected, C2's own counts: no zombie acknowledgement, and the entry was C2's all the time."""
    run = run_of(
        *given(1, "C1", 0.0),
        (0.6, "claimed", "C2", 1, 2),
        (0.8, "processed", "C1", 1),
        (0.8, "rejected", "C1", 1),
        *done(1, "C2", 1.0),
    )
    recovery = run.recovery
    assert (recovery.rejected, recovery.void, recovery.zombie_acks) == (1, 0, ())
    assert ends(run)[-1] == ("1-0", "C2", 1.0, "acked")
    assert list(zip(run.series.at, run.series.pending, strict=True)) == [(0.0, 1), (0.6, 1), (1.0, 0)]


def test_ones_own_acknowledgement_is_no_zombies():
    """Also when the entry was delivered to the same consumer twice."""
    run = run_of(*given(1, "C1", 0.0), (0.5, "delivered", "C1", 1, 2), *done(1, "C1", 1.0))
    assert run.recovery.zombie_acks == ()
    assert run.recovery.redelivered == 1


# ---- the stream and the group ----------------------------------------------------------------------


def test_a_group_that_is_recreated_has_its_backlog_again():
    """Of four entries two are acked and one pending when the group goes; recreated from 1-0, three wait again."""
    run = run_of(
        *given(1, "C1", 0.0), *done(1, "C1", 1.0),
        *given(2, "C1", 1.0), *done(2, "C1", 2.0),
        *given(3, "C1", 2.0),
        (3.0, "added", "P1", 4),
        (4.0, "group_destroyed", "lab"),
        (5.0, "recreated", "C2", 1),
        *[(6.0 + n, "delivered", "C2", n, 1) for n in (2, 3, 4)],
        *[row for n in (2, 3, 4) for row in done(n, "C2", 6.5 + n)],
    )  # fmt: skip
    assert list(zip(*run.series, strict=True)) == [
        (0, 0, 1), (1, 0, 1), (2, 0, 1), (3, 1, 1), (4, 1, 0), (5, 3, 0), (8, 2, 1), (8.5, 2, 0),
        (9, 1, 1), (9.5, 1, 0), (10, 0, 1), (10.5, 0, 0),
    ]  # fmt: skip
    assert (run.redelivered, run.duplicates) == (2, 1)
    assert run.broken() == []
    assert run.ledger.deliveries[2].outcome == "group_destroyed"


def test_a_group_that_is_recreated_from_the_beginning():
    """Redis writes that place "0", which is no whole entry id."""
    run = run_of(*given(1, "C1", 0.0), *done(1, "C1", 1.0), (2.0, "group_destroyed", "lab"))
    run.events.append(event(3.0, "recreated", "C1", "0"))
    assert list(zip(run.series.at, run.series.backlog, strict=True)) == [(0, 0), (1, 0), (3, 1)]


def test_what_is_trimmed_leaves_the_backlog_at_once_and_the_pending_when_it_is_found_gone():
    """The stream is trimmed at 2 s with an entry pending and two in line; at 3 s C2 finds the pending one gone."""
    run = run_of(
        *given(1, "C1", 0.0),
        (1.0, "added", "P1", 2),
        (1.0, "added", "P1", 3),
        *[(2.0, "trimmed", "lab", n) for n in (1, 2, 3)],
        (3.0, "trimmed", "C2", 1),
        *given(4, "C2", 4.0), *done(4, "C2", 5.0),
    )  # fmt: skip
    assert list(zip(*run.series, strict=True)) == [
        (0, 0, 1), (1, 2, 1), (2, 0, 1), (3, 0, 0), (4, 0, 1), (5, 0, 0),
    ]  # fmt: skip
    assert (run.trimmed, run.lost) == (3, 0)
    assert [run.state_of(f"{n}-0") for n in (1, 2, 4)] == ["trimmed", "trimmed", "acked"]
    assert run.broken() == []


def test_a_trimmed_entry_that_nobody_claims_stays_pending():
    """The server still lists it, though nobody can do it any more."""
    run = run_of(*given(1, "C1", 0.0), (1.0, "trimmed", "lab", 1), final=FinalState(pending={"1-0": "C1"}))
    assert (run.trimmed, run.pending, run.lost) == (1, 1, 0)
    assert run.consumers["C1"].pending == 1
    assert not run.recovery.recovered


def test_dead_letters_are_those_of_the_events_and_those_of_the_server():
    """A worker that is killed right after its script leaves one that is in no event."""
    run = run_of(
        *given(1, "C1", 0.0), *given(2, "C1", 0.0), *given(3, "C1", 0.0),
        (1.0, "dead_lettered", "C1", 1, 4),
        final=FinalState(dead_letters=("1-0", "2-0")),
    )  # fmt: skip
    assert (run.dead_lettered, run.lost, run.recovery.dead_lettered) == (2, 1, 2)
    assert run.state_of("2-0") == "dead-lettered"


# ---- a simulated run -------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["none", "autoclaim"])
def test_a_simulated_crash(strategy: str):
    """C2 dies over its 20th entry. Nobody claims: pending for ever. Autoclaim: taken between 0.5 and
    0.75 s after its delivery, and done 20 ms later.
    """
    plain = load_scenario("one-to-many").with_rate(100).with_service(0.02).with_faults("crash-before-effect C2 nth 20")
    scenario = plain.replace(duration=3.0, drain=1.0, recovery=Recovery(strategy))  # type: ignore[arg-type]
    run = Lab(scenario).run()
    recovery = run.recovery
    (lost,) = recovery.lost_workers
    assert (lost.consumer, lost.kind, len(lost.held)) == ("C2", "crashed", 1)
    assert recovery.n_round_trips == run.n_round_trips > 0
    if strategy == "none":
        assert not recovery.recovered
        assert run.pending == 1
        return
    delivered = next(s.delivered for s in run.ledger.deliveries if s.id == lost.held[0])
    assert 0.5 + 0.02 <= lost.settled[0] - delivered <= 0.75 + 0.04
    assert recovery.recovered
    assert recovery.time_max == lost.settled[0] - lost.at
    assert recovery.wasted == pytest.approx(0.02)
    assert run.series.pending[-1] == 0


# ---- what nobody lived to tell ---------------------------------------------------------------------


def test_what_a_consumer_was_given_as_it_died_counts_as_held(engine: EngineName):
    """C1 stands still while it waits for an entry, is given one, and dies without having seen it."""
    scenario = load_scenario("one-to-many").with_consumers(2).with_rate(20).with_service(0.001)
    scenario = scenario.replace(duration=1.2, entries=None)
    scenario = scenario.with_recovery("restart", restart_after=0.5)
    faults = "pause C1 at 400ms for 60s", "kill C1 at 700ms"
    run = Lab(scenario.with_faults(*faults), engine=engine).run()
    (lost,) = [lost for lost in run.recovery.lost_workers if lost.kind == "crashed"]
    (entry,) = lost.held
    again = next(e for e in run.events if e.kind == "delivered" and e.id == entry and e.at > lost.at)
    assert (again.actor, again.delivery_count) == ("C1", 2)
    assert again.at - lost.at <= lost.time < again.at - lost.at + 0.5
    assert run.recovery.recovered


@pytest.mark.parametrize(
    "when", ["500ms", "1s", "1001ms", "2s"]
)  # an entry comes every 10 ms, and C1 waits for every fourth of them
def test_a_kill_at_the_very_moment_of_a_delivery(when: str):
    """Killed just as it is given an entry or a millisecond later: the time to recover is about the same."""
    scenario = load_scenario("crash").replace(faults=())
    scenario = scenario.with_recovery("autoclaim", min_idle=0.5)
    lost = Lab(scenario.with_faults(f"kill C1 at {when}")).run().recovery.lost_workers[0]
    assert len(lost.held) == 1
    assert 0.5 <= lost.time < 0.6


@pytest.mark.parametrize("faults", [(), ("kill C1 at 5s",), ("pause C1 at 1s for 2s",)])
def test_nobody_is_busy_for_more_than_all_of_the_time(faults: tuple[str, ...]):
    """What a consumer is in the midst of when it dies or is stopped belongs to the run as well."""
    scenario = load_scenario("one-to-one").replace(entries=3, duration=None, drain=8.0)
    run = Lab(scenario.with_service(100.0).with_faults(*faults)).run()
    busy = run.consumers["C1"].utilisation
    assert 0.7 < busy <= 1.0


def test_one_that_dies_of_an_error_held_what_it_was_given():
    """However it dies: what it had been given, and reported to nobody, counts."""

    async def read_and_die(client: Any, stream: str, group: str, consumer: str, *_: Any, **__: Any):
        await client.xreadgroup(group, consumer, {stream: ">"}, 1, 5000)
        raise RuntimeError("before it could say so")

    scenario = load_scenario("one-to-one").replace(entries=3, duration=None, drain=1.0)
    with contextlib.closing(SimulatedEngine(scenario, act=read_and_die)) as engine:
        run = engine.run()
    (lost,) = run.recovery.lost_workers
    assert len(lost.held) == 1
    assert not lost.recovered
    # Nobody had planned it: unlike a kill, it is an error of the run's.
    assert run.errors == {"C1": "RuntimeError: before it could say so"}
    assert run.broken() == ["C1 ended by itself: RuntimeError: before it could say so"]


# ---- what was given to one that stood still ----------------------------------------------------------


TAKEN_FROM_C1 = ((0.0, "paused", "C1"), (0.5, "added", "P1", 1), (1.0, "claimed", "C2", 1, 2), *done(1, "C2", 1.1))


def test_what_it_was_given_while_it_stood_still_counts_as_held():
    """C1 waits in a read, is paused, given entry 1, and tells of it only after C2 has taken it and done it."""
    rows = (2.0, "resumed", "C1"), (2.0, "delivered", "C1", 1, 1), (2.1, "processed", "C1", 1), (2.1, "void", "C1", 1)
    run = run_of(*TAKEN_FROM_C1, *rows)
    assert run.recovery.lost_workers == (LostWorker("C1", "paused", 0.0, ("1-0",), 1, (1.1,)),)
    assert ends(run) == [("1-0", "C2", 1.1, "acked"), ("1-0", "C1", 2.0, "claimed")]
    assert (run.redelivered, run.duplicates, run.recovery.zombie_acks) == (1, 1, ())
    assert run.recovery.wasted == pytest.approx(0.1)
    assert list(zip(run.series.at, run.series.pending, strict=True)) == [(0.0, 0), (0.5, 0), (1.0, 1), (1.1, 0)]


def test_a_late_tale_makes_nobody_the_owner():
    """C2 is at work on what it has taken when C1 tells that it was given it before: C2's acknowledgement is its own."""
    late = (1.05, "resumed", "C1"), (1.05, "delivered", "C1", 1, 1)
    run = run_of(*TAKEN_FROM_C1[:3], *late, *TAKEN_FROM_C1[3:])
    assert run.recovery.zombie_acks == ()
    assert run.ledger.last["1-0"].consumer == "C2"
    by_c1 = run_of(*TAKEN_FROM_C1[:3], *late, *done(1, "C1", 1.07))
    assert by_c1.recovery.zombie_acks == ((1.07, "1-0", "C1", "C2"),)


@pytest.mark.parametrize("end", [(), ((2.0, "crashed", "C1"),)])
def test_what_it_never_told_of_is_known_by_the_delivery_count(end: tuple[Any, ...]):
    """C1 never goes on, or dies before it does: C2's is the second delivery, and the first can only have been C1's."""
    lost = run_of(*TAKEN_FROM_C1, *end).recovery.lost_workers
    assert lost[0] == LostWorker("C1", "paused", 0.0, ("1-0",), 1, (1.1,))
    assert [(worker.kind, worker.held) for worker in lost[1:]] == ([("crashed", ())] if end and lost[1:] else [])


@pytest.mark.parametrize(
    "other",
    [
        (0.2, "paused", "C3"),  # it may have been the other one
        (0.3, "crashed", "C3"),
        (0.7, "disconnected", "C3"),  # its reply may have been lost
    ],
)
def test_nobody_is_said_to_have_held_what_another_may_have_held(other: tuple[Any, ...]):
    """The delivery count tells that somebody was given it, and not who."""
    assert run_of(*TAKEN_FROM_C1, (0.1, "started", "C3"), other).recovery.lost_workers == ()


def test_what_is_claimed_without_counting_is_the_claimers():
    """By ``XCLAIM … JUSTID``, whose count is not told; what C1 tells after it, of the delivery before, is late."""
    run = run_of(
        (0.0, "added", "P1", 1), (0.0, "delivered", "C3", 1, 1), (0.1, "claimed", "C1", 1, 2),
        (0.5, "claimed", "C2", 1), (0.6, "delivered", "C3", 1, 1), *done(1, "C2", 0.7),
    )  # fmt: skip
    assert run.recovery.zombie_acks == ()
    assert ends(run)[-1] == ("1-0", "C3", 0.6, "claimed")


@pytest.mark.parametrize("faults", [("pause C1 at 425ms for 60s",), ("pause C1 at 425ms for 60s", "kill C1 at 1s")])
def test_what_others_claim_from_one_that_stood_still(faults: tuple[str, ...]):
    """C1 stands still while it waits for an entry and is given one; C2 claims it 0.3 s later."""
    scenario = load_scenario("one-to-many").with_consumers(2).with_rate(20).with_service(0.001)
    scenario = scenario.replace(duration=1.2, entries=None).with_recovery("autoclaim", min_idle=0.3)
    run = Lab(scenario.with_faults(*faults)).run()
    (lost,) = [lost for lost in run.recovery.lost_workers if lost.kind == "paused"]
    (entry,) = lost.held
    (claim,) = [event for event in run.events if event.kind == "claimed"]
    assert (lost.consumer, lost.taken_over, claim.id, claim.actor) == ("C1", 1, entry, "C2")
    assert lost.settled[0] >= claim.at
    assert run.recovery.recovered


def test_what_it_did_not_live_to_tell_is_known_by_the_delivery_count():
    """C1 had entry 1 once, lost it to C2, and was given it again as it died: that it had it before is no news."""
    log = [event(0.0, "added", "P1", "1-0"), event(0.0, "added", "P1", "2-0"), event(0.1, "delivered", "C1", "1-0", 1)]
    log += [event(0.5, "claimed", "C2", "1-0", 2), event(0.6, "claimed", "C1", "2-0")]
    held = [("1-0", 100, 3), ("2-0", 300, 1)]
    assert unseen(held, "C1", 0.9, reversed(log)) == [event(0.8, "delivered", "C1", "1-0", 3)]
    log.append(event(0.8, "claimed", "C1", "1-0", 3))
    assert unseen(held, "C1", 0.9, reversed(log)) == []
