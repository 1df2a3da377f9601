"""What is run through in one loop is the run that coroutines make, to the letter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamlab import Arrivals, Consumer, Lab, Producer, Recovery, Scenario, ScenarioError, Service
from streamlab.lab import plain, simulated
from streamlab.lab.overheads import Overheads
from streamlab.lab.plain import NotPlain, PlainRun, is_plain
from streamlab.lab.simulated import SimulatedEngine
from streamlab.scenario import SCENARIOS
from tests.ways.draw import difference, draw, told_of

PLAIN = Scenario(duration=1.0, consumers=(Consumer("C1"), Consumer("C2")))


@pytest.fixture
def in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let others look at a run after few steps."""
    monkeypatch.setattr(plain, "STEPS", 20_000)


def in_one_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no simulation be made of coroutines."""

    def no_engine(*_: Any, **__: Any) -> None:
        raise AssertionError("this was to be run through in one loop")

    monkeypatch.setattr(simulated, "SimulatedEngine", no_engine)


def engines_made(monkeypatch: pytest.MonkeyPatch) -> list[SimulatedEngine]:
    """Return the list to which every simulation of coroutines will be added."""
    made: list[SimulatedEngine] = []

    def engine(*args: Any, **options: Any) -> SimulatedEngine:
        made.append(SimulatedEngine(*args, **options))
        return made[-1]

    monkeypatch.setattr(simulated, "SimulatedEngine", engine)
    return made


def test_random_scenarios_are_the_same_run_in_both_ways() -> None:
    """Events, their order, final states, commands and the end of 200 random scenarios are the same."""
    for seed in range(200):
        assert not difference(draw(seed)), f"seed {seed}"


@pytest.mark.parametrize("name", ["one-to-one", "one-to-many", "many-to-one", "many-to-many", "two-groups"])
def test_named_scenarios_are_the_same_run_in_both_ways(name: str) -> None:
    """So are the scenarios of the course."""
    assert not difference(SCENARIOS[name]())


def test_a_plain_scenario_needs_no_coroutines(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in which nothing can go wrong is run through in one loop, by itself, as often as one likes."""
    in_one_loop(monkeypatch)
    lab = Lab(PLAIN)
    run = lab.run()
    assert run is lab.run()
    assert (lab.finished, len(run.ledger.processed), run.errors) == (True, 100, {})


def test_coroutines_can_be_insisted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `way="coroutines"` the same scenario is run by them; there is no third way."""
    made = engines_made(monkeypatch)
    Lab(PLAIN, way="coroutines").run()
    assert len(made) == 1
    with pytest.raises(ScenarioError, match="there is no way 'plainly': known are quickest, coroutines"):
        Lab(PLAIN, way="plainly")  # type: ignore[arg-type]


NOT_PLAIN: dict[str, Callable[[], Scenario]] = {
    "a fault": lambda: PLAIN.with_faults("kill C2 at 0.5s"),
    "done by hand": lambda: PLAIN.replace(by_hand=("pause C1 at 0.2s for 0.1s",)),
    "a consumer that joins": lambda: PLAIN.with_faults("add-consumer C3 at 0.5s"),
    "recovery": lambda: PLAIN.replace(recovery=Recovery("autoclaim")),
    "no own history": lambda: PLAIN.replace(recovery=Recovery(history=False)),
    "a heartbeat": lambda: PLAIN.replace(recovery=Recovery(heartbeat=0.1)),
    "a limit for deliveries": lambda: PLAIN.replace(recovery=Recovery(max_deliveries=2)),
    "a sink": lambda: PLAIN.replace(sink="idempotent"),
    "batches": lambda: PLAIN.replace(consumers=(Consumer("C1", ack="batch"), Consumer("C2"))),
    "a refused COUNT": lambda: PLAIN.replace(consumers=(Consumer("C1", count=2**63), Consumer("C2"))),
    "ids that may end": lambda: PLAIN.replace(epoch_ms=2**61),
    "a refused MAXLEN": lambda: PLAIN.replace(maxlen=2**63),
}


@pytest.mark.parametrize("what", NOT_PLAIN)
def test_what_is_not_plain_is_done_by_coroutines(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else may happen, coroutines know."""
    scenario = NOT_PLAIN[what]()
    made = engines_made(monkeypatch)
    told = told_of(Lab(scenario).run())
    assert len(made) == 1
    assert told == told_of(Lab(scenario, way="coroutines").run())


def test_overheads_are_charged_to_coroutines(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a simulation that is to be charged with what commands cost."""
    made = engines_made(monkeypatch)
    Lab(PLAIN, overheads=Overheads()).run()
    assert len(made) == 1


def test_an_entry_that_redis_py_refuses_ends_its_producer(tmp_path: Path) -> None:
    """An entry without a field is no plain matter after all: both ways tell of the same error."""
    source = tmp_path / "empty.csv"
    source.write_text("at,at\n0.5,0.5\n1,1\n")
    scenario = PLAIN.replace(producers=(Producer("P1", Arrivals("replay", source=str(source))), Producer("P2")))
    assert is_plain(scenario)
    assert not difference(scenario)
    assert "DataError" in Lab(scenario).run().errors["P1"]


def test_a_clock_that_stands_still_is_left_to_coroutines(in_slices: None) -> None:
    """Where very many steps are taken at one moment, they decide whether that is too many."""
    burst = Arrivals("bursts", rate=1.0, burst=400)
    scenario = PLAIN.replace(producers=(Producer("P1", burst),), consumers=(Consumer("C1", Service(mean=0)),))
    run = PlainRun(scenario)
    with pytest.raises(NotPlain):
        list(iter(run.advance, False))
    assert not difference(scenario)


def test_afterwards_a_lab_is_at_its_end() -> None:
    """Who looks at a lab, goes back in it, or does something to it after its run, finds what coroutines would leave."""
    labs = [Lab(PLAIN.replace(drain=0.0), way=way) for way in ("quickest", "coroutines")]
    seen = []
    for lab in labs:
        run = lab.run()
        seen.append([lab.now, lab.finished, lab.snapshot(), told_of(run), told_of(lab.run())])
        lab.go_to(0.5)
        seen[-1] += [lab.now, lab.finished, lab.snapshot()]
        lab.kill("C2")
        seen[-1] += [told_of(lab.run()), lab.actions]
        lab.begin_again(seed=7)
        seen[-1] += [lab.now, lab.finished, told_of(lab.run())]
    assert seen[0] == seen[1]


def test_progress_is_told_up_to_the_end(in_slices: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress tells times and numbers of events, both rising, the last of them those of the whole run."""
    in_one_loop(monkeypatch)
    told: list[tuple[float, int]] = []
    lab = Lab(PLAIN)
    run = lab.run(lambda now, n: told.append((now, n)))
    assert len(told) > 2
    assert told == sorted(set(told))
    assert told[-1] == (lab.now, len(run.events))


def test_who_looks_on_meanwhile_sees_the_run_as_it_is(in_slices: None) -> None:
    """A lab that is looked at by its progress is at that moment, and the run is the same."""
    lab = Lab(PLAIN)
    seen: list[tuple[float, int, float]] = []

    def look(now: float, n_events: int) -> None:
        if now > 0 and not seen:
            seen.append((lab.now - now, lab.snapshot().n_added, now))

    run = lab.run(look)
    ((behind, n_added, now),) = seen
    assert behind == 0
    assert 0 < n_added == sum(event.at <= now and event.kind == "added" for event in run.events) < 100
    assert told_of(run) == told_of(Lab(PLAIN, way="coroutines").run())


def test_an_interrupt_is_no_loss(in_slices: None) -> None:
    """After an interrupt the lab is at that moment, and goes on as if there had been none."""
    lab = Lab(PLAIN)

    def interrupt(now: float, _: int) -> None:
        reached.append(now)
        raise KeyboardInterrupt

    reached: list[float] = []
    with pytest.raises(KeyboardInterrupt):
        lab.run(interrupt)
    assert lab.now == reached[0] > 0
    assert not lab.finished
    assert told_of(lab.run()) == told_of(Lab(PLAIN, way="coroutines").run())
