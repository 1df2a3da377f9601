"""`Lab`: run through, stepped, killed, dropped; and what its simulation is charged with."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from typing import Any, cast

import pytest

from streamlab.lab.lab import Lab, LabError
from streamlab.lab.overheads import Measured, Overheads, Trace
from streamlab.results.run import EngineName
from streamlab.scenario import Arrivals, Scenario, ScenarioError, Service, consumers, load_scenario, producers
from tests.process_table import runs

SHORT = Scenario(
    name="short",
    producers=producers(2, Arrivals("constant", rate=5)),
    consumers=consumers(2, Service("constant", mean=0.15)),
    duration=2.0,
)


def test_stepping_gives_the_same_run_as_running_through():
    """Moment by moment, in pieces, or at once: the same events."""
    stepped, pieces = Lab(SHORT), Lab(SHORT)
    while stepped.step():
        pass
    for when in (0.1, 0.15, 1.0, 1.7):
        pieces.run_until(when)
    assert stepped.run().events == pieces.run().events == Lab(SHORT).run().events


def test_progress_does_not_change_the_run():
    """It is told the time and the number of events, and nothing else happens."""
    told: list[tuple[float, int]] = []
    run = Lab("many-to-one").run(lambda now, n_events: told.append((now, n_events)))
    assert run.events == Lab("many-to-one").run().events
    assert told == sorted(told)
    assert told[-1][1] == len(run.events)


def test_a_run_so_far_stays_as_it_was():
    """What `run_until` returned does not grow with the simulation."""
    lab = Lab(SHORT)
    half = lab.run_until(1.0)
    n_events = len(half.events)
    whole = lab.run()
    assert len(half.events) == n_events < len(whole.events)
    assert (half.added, whole.added) == (11, 20)


def test_time_does_not_run_back():
    """An earlier moment needs a new lab, and the error says so."""
    lab = Lab(SHORT)
    lab.run_until(1.0)
    assert lab.now == 1.0
    with pytest.raises(ValueError, match=r"it is 1 s already.*0.5"):
        lab.run_until(0.5)


def test_trimming_loses_what_was_not_read_and_the_run_says_so():
    """MAXLEN does not ask the group."""
    scenario = SHORT.with_consumers(1).with_service(0.01).with_rate(500).replace(maxlen=100, duration=4.0)
    run = Lab(scenario).run()
    assert run.trimmed > 0
    assert run.lost == 0
    assert run.added == run.processed + run.trimmed
    assert run.series.backlog[-1] == 0


def test_overheads_cost_what_they_say():
    """A round trip of 10 ms and timers 5 ms late: an entry takes 5 + 5 ms to arrive, and 155 to be done."""
    scenario = SHORT.with_producers(1).with_consumers(1).replace(entries=1)
    overheads = Overheads({"C1": Trace.constant(0.010), "P1": Trace.constant(0.010)}, {"C1": Trace.constant(0.005)})
    run = Lab(scenario, overheads=overheads).run()
    assert run.sojourn.p50 == pytest.approx(0.010 + 0.155)
    (delivery,) = run.ledger.deliveries
    assert delivery.acked - delivery.processed == pytest.approx(0.010)


def test_overheads_are_found_again_in_the_events_of_a_run():
    """What a run was charged with is what `Overheads.of` finds in it."""
    scenario = SHORT.with_service(0.05)
    actors = ("C1", "C2", "P1", "P2")
    charged = Overheads(
        {name: Trace.constant(0.004) for name in actors}, {name: Trace.constant(0.002) for name in actors}
    )
    found = Overheads.of(Lab(scenario, overheads=charged).run())
    for name in actors:
        assert found.round_trips[name].reader(lambda: 1.0)() == pytest.approx(0.004, abs=1e-6), name
        assert found.delays[name].reader(lambda: 1.0)() == pytest.approx(0.002, abs=1e-6), name
    assert found.wakes["C1"].reader(lambda: 1.0)() == pytest.approx(0.002, abs=1e-6)


def test_late_starts_are_found_again_in_the_events_of_a_run():
    """However a life came about: by a supervisor, by hand before the supervisor's turn, after a stop, by joining."""
    faults = ("kill C1 at 500ms", "restart C2 at 1s", "kill C3 at 1s", "restart C3 at 1.1s", "add-consumer C4 at 1.2s")
    scenario = SHORT.with_consumers(3).with_recovery("restart", restart_after=0.4).with_faults(*faults)
    scenario = scenario.replace(duration=4.0)
    starts = {("C1", 2): 0.3, ("C2", 2): 0.25, ("C3", 2): 0.2, ("C4", 1): 0.15}
    found = Overheads.of(Lab(scenario, overheads=Overheads(starts=starts)).run()).starts
    assert {life: late for life, late in found.items() if late} == pytest.approx(starts)
    assert not any(Overheads.of(Lab(scenario).run()).starts.values())


def test_who_is_about_to_start_is_not_asked_again():
    """Between the time at which it was to start and that at which it does, as long as a real process takes."""
    scenario = SHORT.with_faults("restart C1 at 500ms", "restart C1 at 800ms")
    run = Lab(scenario, overheads=Overheads(starts={("C1", 2): 0.6})).run()
    stopped, *_ = (event.at for event in run.events if (event.kind, event.actor) == ("stopped", "C1"))
    started = [event.at for event in run.events if (event.kind, event.actor) == ("started", "C1")]
    assert started[1:] == pytest.approx([stopped + 0.6])


def test_a_trace_gives_each_measurement_once_and_the_median_after_that():
    """What was measured last before a moment; a stall strikes once; never less than nothing."""
    now = 0.0
    costs = [(2.0, 0.9), (1.0, 0.1), (3.0, -0.3), (4.0, 0.2)]
    read = Trace(Measured(at, seconds, at + seconds) for at, seconds in costs).reader(lambda: now)
    given = []
    for now in (0.5, 1.0, 1.5, 2.0, 2.5, 3.5, 9.0):  # noqa: B007
        given.append(read())
    assert given == pytest.approx([0.15, 0.1, 0.15, 0.9, 0.15, 0.0, 0.2])
    assert Trace([]).reader(lambda: 5.0)() == 0
    with pytest.raises(ValueError, match="0 or more"):
        Trace.constant(-1)


def test_an_account_leaves_nothing_out_that_was_measured():
    """The median, and what was measured on top of it since; less if it was less; not what ended a while ago."""
    now = 0.0
    costs = [(1.0, 0.004), (2.0, 0.009), (2.001, 0.004), (3.0, 0.001), (3.001, 0.001), (4.0, 0.500)]
    trace = Trace(Measured(at, seconds, at + seconds) for at, seconds in costs)
    read, rest = (trace.account(lambda: now, paid=paid) for paid in (0, 0.002))
    given = []
    for now in (0.5, 1.0, 2.002, 2.003, 3.002, 3.003, 4.490, 4.6):  # noqa: B007
        given.append((read(), rest()))
    assert [x for x, _ in given] == pytest.approx([0.004, 0.004, 0.009, 0.004, 0.0, 0.002, 0.024, 0.004])
    # Of each, 2 ms are paid; where there was less to pay, the next costs less.
    assert [x for _, x in given] == pytest.approx([0.002, 0.002, 0.007, 0.002, 0.0, 0.0, 0.020, 0.002])
    late = trace.account(lambda: 4.6)
    assert late() == pytest.approx(0.004)  # all of it is over


def test_a_busy_machine_is_charged_in_full():
    """Each third round trip and timer took 20 ms, and the next 11: the consumer loses all of it, one by one or not."""
    scenario = SHORT.with_producers(1).with_consumers(1).with_service(0.02).replace(duration=20.0)
    scenario = scenario.with_rate(20)
    slow = [
        Measured(at / 10 + after, seconds if at % 3 == 0 else 0.001, at / 10 + 0.09)
        for at in range(1, 200)
        for after, seconds in ((-0.001, 0.020), (-0.0005, 0.011))
    ]
    charged = Overheads({"C1": Trace(slow)}, {"C1": Trace(slow)}, {"C1": Trace([])})
    plain, busy = Lab(scenario).run(), Lab(scenario, overheads=charged).run()
    acks = [sum(s.acked - s.processed for s in run.ledger.deliveries) for run in (plain, busy)]
    work = [sum(s.processed - s.begun for s in run.ledger.deliveries) for run in (plain, busy)]
    n = busy.acked
    assert n == 400
    assert acks == pytest.approx([0.0, 66 * 0.029 + n * 0.001], rel=0.02)
    assert work == pytest.approx([n * 0.02, n * 0.021 + 66 * 0.029], rel=0.02)


def test_what_a_fault_does_is_not_charged_as_well():
    """A pause, a slow consumer and a restart are in the simulation: what they took is no cost of the machine's."""
    workers = consumers(2, Service("exponential", mean=0.03))
    scenario = SHORT.replace(consumers=workers, duration=4.0).with_rate(20)
    scenario = scenario.with_recovery("autoclaim", restart_after=0.2)
    scenario = scenario.with_faults("pause C1 at 1s for 1s", "slow C2 at 1s for 1s factor 4", "kill C1 at 2.5s")
    found = Overheads.of(dataclasses.replace(Lab(scenario).run(), engine="live"))
    for traces in (found.round_trips, found.delays, found.wakes):
        for name, trace in traces.items():
            assert max((item.seconds for item in trace.measured), default=0.0) < 1e-6, name


def test_what_a_lab_cannot_do_is_said():
    """An unknown engine, a URL for the simulation, stepping a live lab."""
    with pytest.raises(ScenarioError, match="known are simulated, live"):
        Lab(SHORT, engine=cast(Any, "virtual"))
    with pytest.raises(ScenarioError, match="leave the URL out"):
        Lab(SHORT, redis_url="redis://localhost")
    with pytest.raises(LabError, match="only a simulated lab can be stepped"):
        Lab(SHORT, engine="live").step()


# ---- on both engines -----------------------------------------------------------------------------------


def test_a_killed_consumer_ends_where_it_stands_and_what_it_held_stays_pending(engine: EngineName) -> None:
    """C2 is killed in the middle of an entry; C1 does all the rest, and nobody does that one."""
    scenario = SHORT.with_service(0.02).with_consumer("C2", service=30.0).replace(drain=1.0)
    with Lab(scenario, engine=engine) as lab:
        pid = lab.wait_until(lambda now: now.consumer("C2").holding).consumer("C2").pid
        moment = lab.now
        lab.kill("C2")
        assert (lab.snapshot().consumer("C2").state, pid is None) == ("dead", engine == "simulated")
        assert pid is None or not runs(pid)
        lab.kill("C2")  # dead already: nothing more happens
        with pytest.raises(ScenarioError, match="there is no 'C9': there are C1, C2, P1, P2"):
            lab.kill("C9")
        run = lab.run()
    (crashed,) = [event for event in run.events if event.kind == "crashed"]
    assert crashed.actor == "C2"
    if engine == "simulated":  # just after all that happened at that moment
        assert crashed.at == math.nextafter(moment, math.inf)
    assert list(run.final.pending.values()) == ["C2"]
    assert (run.processed, run.added, run.lost) == (19, 20, 0)
    assert (run.consumers["C2"].processed, run.consumers["C2"].pending) == (0, 1)
    assert run.broken() == []


def test_a_run_ends_when_everybody_is_dead(engine: EngineName) -> None:
    """Nobody is left to drain the stream: the run ends, and says what is undelivered."""
    with Lab(SHORT.with_service(30.0).replace(drain=60.0), engine=engine) as lab:
        lab.wait_until(lambda now: all(consumer.holding for consumer in now.consumers))
        lab.kill("C1")
        lab.kill("C2")
        run = lab.run()
        assert lab.now < 30.0
    assert (run.pending, run.undelivered, run.lost) == (2, 18, 0)
    assert run.broken() == []


def test_an_overloaded_consumer_leaves_the_rest_undelivered(engine: EngineName) -> None:
    """When the time to drain is over, what is left is undelivered, not lost."""
    scenario = SHORT.with_consumers(1).with_service(0.5).replace(duration=1.0, drain=0.5)
    run = Lab(scenario, engine=engine).run()
    assert run.added == 10
    assert run.processed + run.undelivered == 10
    assert run.undelivered > 0
    assert run.lost == 0


def test_a_lab_runs_inside_a_running_loop(engine: EngineName) -> None:
    """As in a notebook's cell: a plain call, and ``await`` as well, of one lab."""
    scenario = SHORT.with_service(0.002).replace(duration=0.5)

    async def cell() -> tuple[int, int]:
        lab = Lab(scenario, engine=engine)
        return lab.run().processed, (await lab.run_async()).processed

    assert asyncio.run(cell()) == (5, 5)


def test_consumers_wait_in_order_and_take_turns(engine: EngineName) -> None:
    """1→C1, 2→C2, 3→C3, 4→C1, … while each waits when its turn comes."""
    scenario = load_scenario("many-to-many").with_rate(5).with_service(0.001)
    run = Lab(scenario.replace(entries=12, duration=None), engine=engine).run()
    assert run.assignment() == [(n, f"C{(n - 1) % 3 + 1}") for n in range(1, 13)]


def test_a_day_of_departures(engine: EngineName) -> None:
    """All that departed on a day, 12,000 times as fast, at their times and in their order."""
    scenario = load_scenario("departures-day").faster(12_000 / 3600)
    run = Lab(scenario, engine=engine).run()
    assert (run.added, run.processed, run.lost, run.duplicates, run.pending) == (977, 977, 0, 0, 0)
    assert run.broken() == []
    assert run.duration == pytest.approx(86_400 / 12_000, rel=0.1)
