"""`Comparison`: tolerances, what a starved machine leaves open, and what it measures."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from pathlib import Path
from typing import Any

import pytest

from streamlab.lab import worker
from streamlab.lab.job import Job
from streamlab.lab.lab import Lab
from streamlab.lab.overheads import Measured, Overheads, Trace
from streamlab.lab.processor import ProcessorWaits
from streamlab.results.comparison import Agreement, Comparison
from streamlab.results.final_state import FinalState
from streamlab.results.run import Run, RunFileError
from streamlab.results.statistics import Wait
from streamlab.scenario import Consumer, Service, load_scenario
from tests import agreement
from tests.further import beyond
from tests.results.test_run import run_of, story


def made(*shares: str, service: float = 0.1, sojourn: float = 0.2, waits: dict[str, Wait] | None = None) -> Run:
    """Return a run of 10 s, of an entry a second for each name in `shares`."""
    stories = (
        story(n, name, n, n + sojourn - service, n + sojourn, n + sojourn) for n, name in enumerate(shares * 5, 1)
    )
    return dataclasses.replace(run_of(*(event for events in stories for event in events)), waits=waits or {})


STARVED = {"C1": Wait(1.0, 0.030), "C2": Wait(2.0, 0.040)}


def differing(comparison: Comparison, agreement: Agreement = Agreement.DIFFERS) -> list[str]:
    """Return what differs, or is inconclusive."""
    return [row.what for row in comparison.rows() if row.agreement == agreement]


def test_runs_agree_within_their_tolerances_only() -> None:
    """2 percentage points for shares, 10 % or 2 ms for sojourn times, 2 % for the service time."""
    one = made("C1", "C2")
    assert Comparison(one, made("C1", "C2", sojourn=0.218)).agrees
    assert Comparison(one, made("C1", "C2", service=0.102)).agrees
    assert differing(Comparison(one, made("C1", "C2", sojourn=0.23))) == ["sojourn p50 (ms)", "sojourn p95 (ms)"]
    assert differing(Comparison(one, made("C1", "C2", service=0.12))) == ["service (ms)"]
    uneven = Comparison(one, made("C1", "C1", "C1", "C2"))
    assert {"share of C1", "share of C2"} <= set(differing(uneven))
    assert not uneven.agrees
    assert uneven.verdict == Agreement.DIFFERS
    assert "DIFFERS" in str(uneven)
    assert "inconclusive" not in str(uneven)


def test_a_difference_as_large_as_its_limit_is_within_it() -> None:
    """21 and 22 of 50 are 2 points apart, whatever 0.44 - 0.42 comes to."""
    one, other = made(*["C1"] * 21, *["C2"] * 29), made(*["C1"] * 22, *["C2"] * 28)
    assert 0.44 - 0.42 > 0.02
    assert differing(Comparison(one, other)) == []
    assert "share of C1" in differing(Comparison(one, made(*["C1"] * 23, *["C2"] * 27)))


def test_what_a_starved_machine_may_have_caused_is_inconclusive() -> None:
    """Neither agreement nor difference, with the time for which the machine kept a worker waiting."""
    one = made("C1", "C2")
    for other in (made("C1", "C2", sojourn=0.24, waits=STARVED), made("C1", "C2", service=0.105, waits=STARVED)):
        comparison = Comparison(one, other)
        assert comparison.verdict == Agreement.INCONCLUSIVE
        assert not comparison.agrees
        assert "inconclusive: this machine kept a worker waiting for 40 ms (C2; 2.0 s in all)" in str(comparison)
        assert "DIFFERS" not in str(comparison)
    assert Comparison(one, made("C1", "C2", waits=STARVED)).agrees


def test_what_no_machine_causes_differs_on_any() -> None:
    """More than the longest wait, shares off by more, and whatever is lost: a starved machine is no excuse."""
    one = made("C1", "C2")
    assert differing(Comparison(one, made("C1", "C2", sojourn=0.27, waits=STARVED))) != []
    assert differing(Comparison(one, made("C1", "C2", service=0.13, waits=STARVED))) == ["service (ms)"]
    assert "share of C1" in differing(Comparison(one, made(*["C1"] * 11, *["C2"] * 9, waits=STARVED)))
    lost = dataclasses.replace(made("C1", "C2", waits=STARVED), final=FinalState(pending={"1-0": "C1"}))
    assert differing(Comparison(one, lost)) == ["pending"]


def test_a_machine_that_had_time_is_no_excuse() -> None:
    """Up to a twentieth of the run, waiting for a processor is nothing out of the ordinary."""
    calm = {"C1": Wait(0.4, 0.040)}
    assert Comparison(made("C1", "C2"), made("C1", "C2", sojourn=0.24, waits=calm)).verdict == Agreement.DIFFERS


def busy_machine(seed: int) -> Overheads:
    """Return what a busy machine costs: 2 ms for each command and timer, and now and then 40 ms."""
    rng = random.Random(seed)

    def trace(every: float, mean: float) -> Trace:
        moments = [n * every for n in range(int(6 / every))]
        costs = [(at, 0.04 if rng.random() < 0.02 else rng.expovariate(1 / mean)) for at in moments]
        return Trace(Measured(at, seconds, at + seconds) for at, seconds in costs)

    consumers = ("C1", "C2", "C3", "C4")
    return Overheads(
        {name: trace(0.003, 0.001) for name in consumers} | {"P1": Trace.constant(0.0002)},
        {name: trace(0.005, 0.001) for name in consumers} | {"P1": trace(0.00125, 0.0005)},
        {name: trace(0.005, 0.0005) for name in consumers},
    )


@pytest.mark.parametrize("seed", beyond(1, range(3), "more seeds"))
def test_right_and_wrong_simulations_of_a_busy_machine_are_told_apart(seed: int) -> None:
    """A machine that takes as long for an entry as the entry does, simulated: only its events are known."""
    scenario = load_scenario("one-to-many").replace(duration=4.0)
    live = Lab(scenario, overheads=busy_machine(seed)).run()
    assert live.sojourn.p95 > 0.02  # there was a backlog
    right = Comparison(agreement.right(live), live)
    assert right.agrees, f"\n{right}"
    added = [sorted(run.ledger.added.values()) for run in (right.one, live)]
    assert added[0] == pytest.approx(added[1], abs=1e-5)
    for wrong in (agreement.slower, agreement.uneven):
        assert Comparison(wrong(live), live).verdict == Agreement.DIFFERS


def test_waits_are_kept_in_a_file_and_older_files_have_none(tmp_path: Path) -> None:
    """There and back; without them; and nonsense in their place."""
    file = tmp_path / "run.jsonl"
    made("C1", "C2", waits=STARVED).save(file)
    assert Run.load(file).waits == STARVED
    text = file.read_text()
    waits = ', "waits": {"C1": [1.0, 0.03], "C2": [2.0, 0.04]}'
    assert waits in text
    file.write_text(text.replace(waits, ""))
    assert Run.load(file).waits == {}
    for wrong in ('{"C1": [1.0]}', '{"C1": [1.0, 0.1, 2]}', '{"C1": ["a", 1]}', "[]"):
        file.write_text(text.replace(waits, f', "waits": {wrong}'))
        with pytest.raises(RunFileError, match="waits"):
            Run.load(file)


@pytest.mark.parametrize("counts", [True, False], ids=["as the system counts", "by timers alone"])
def test_a_late_timer_is_measured(counts: bool) -> None:
    """Something else has the processor for 0.3 s: so long it was waited; not if the process was stopped."""

    async def measure(stopped: bool) -> ProcessorWaits:
        waits = ProcessorWaits()
        if not counts:
            waits._file = -1
            waits._counted = 0.0
        sleeping = asyncio.create_task(waits.sleep(0.001))
        await asyncio.sleep(0)
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            pass
        if stopped:
            waits.note_stopped()
        await sleeping
        first = waits.longest
        await waits.sleep(0.001)
        assert waits.total >= waits.longest >= first
        return waits

    assert asyncio.run(measure(False)).longest > 0.298
    # As far as timers tell: what the system counts besides depends on who else is at work.
    if not counts:
        assert asyncio.run(measure(True)).longest < 0.25


def test_a_worker_measures_as_its_actors_wait() -> None:
    """They sleep as their event loop does, and a worker's takes note of how late that ended."""

    async def sleep() -> float:
        loop: Any = asyncio.get_running_loop()
        loop.waits._file, loop.waits._counted = -1, 0.0
        job = Job((), Consumer(service=Service(mean=0.001)), random.Random(1), breakpoint, breakpoint, counts=False)
        serving: asyncio.Future[object] = asyncio.ensure_future(job.handler(None)("1-0", {}))
        loop.call_soon(time.sleep, 0.05)
        await serving
        return float(loop.waits.longest)

    with asyncio.Runner(loop_factory=worker._Loop) as runner:
        assert runner.run(sleep()) > 0.048
