"""The simulation against queueing theory."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlab.lab.lab import Lab
from streamlab.results.run import Run
from streamlab.scenario import Arrivals, Consumer, Producer, Scenario, Service, consumers, producers

#: Half-widths of a confidence interval in standard errors; 19 degrees of freedom, 99.9 %.
T_999 = 3.883


def erlang_c(servers: int, load: float) -> float:
    """Return the probability that an arrival has to wait in M/M/c with an offered load in erlangs."""
    rho = load / servers
    last = load**servers / math.factorial(servers) / (1 - rho)
    return last / (sum(load**k / math.factorial(k) for k in range(servers)) + last)


@pytest.mark.parametrize(("servers", "rho"), [(1, 0.5), (1, 0.8), (4, 0.8)])
def test_mean_waiting_time_of_an_mmc_queue(servers, rho):
    """Erlang's C: W = C(c, a) / (c·mu - lambda); 20 replications, a tenth dropped as warm-up, 99.9 %."""
    service = 1.0
    rate = rho * servers / service
    expected = erlang_c(servers, rate * service) / (servers / service - rate)
    means = []
    for seed in range(20):
        scenario = Scenario(
            producers=producers(1, Arrivals("poisson", rate=rate)),
            consumers=consumers(servers, Service("exponential", mean=service)),
            entries=5000,
            duration=None,
            seed=seed,
            drain=1e6,
        )
        waits = [*Lab(scenario).run().ledger.waits()]
        means.append(statistics.mean(waits[len(waits) // 10 :]))
    error = statistics.stdev(means) / math.sqrt(len(means))
    assert abs(statistics.mean(means) - expected) < T_999 * error
    assert error < 0.1 * expected  # an interval that holds anything proves nothing


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Draw a small scenario of any kind of arrivals, service, COUNT and acknowledgement."""
    arrivals = st.builds(
        Arrivals,
        kind=st.sampled_from(["constant", "poisson", "bursts"]),
        rate=st.floats(1, 500),
        burst=st.integers(1, 20),
    )
    service = st.builds(
        Service,
        kind=st.sampled_from(["constant", "exponential", "lognormal"]),
        mean=st.sampled_from([0.0, 0.001, 0.01, 0.1]),
        cv=st.floats(0.1, 3),
    )
    return Scenario(
        producers=tuple(Producer(f"P{n}", draw(arrivals)) for n in range(draw(st.integers(1, 3)))),
        consumers=tuple(
            Consumer(f"C{n}", draw(service), draw(st.integers(1, 20)), draw(st.sampled_from(["each", "batch"])))
            for n in range(draw(st.integers(1, 4)))
        ),
        entries=draw(st.integers(1, 120)),
        duration=None,
        seed=draw(st.integers(0, 2**32)),
        drain=1000,
    )


def mean_in_system(run: Run) -> float:
    """Return how many entries were in the system on average, from areas under the curve: added, and not yet done."""
    ledger = run.ledger
    changes = sorted([(at, 1) for at in ledger.added.values()] + [(at, -1) for at in ledger.processed.values()])
    area, inside, before = 0.0, 0, 0.0
    for at, change in changes:
        area += inside * (at - before)
        inside += change
        before = at
    return area / run.duration


@settings(max_examples=100, deadline=None)
@given(scenario=scenarios())
def test_littles_law_and_conservation_hold_in_every_run(scenario):
    """L = lambda·W, the mean in the system found from areas; and every entry is done exactly once."""
    run = Lab(scenario).run()
    assert (run.added, run.processed, run.acked) == (scenario.entries,) * 3
    assert (run.lost, run.duplicates, run.pending, run.undelivered, run.broken()) == (0, 0, 0, 0, [])
    if run.duration:
        arrival_rate = run.added / run.duration
        assert mean_in_system(run) == pytest.approx(arrival_rate * run.sojourn.mean, rel=1e-6, abs=1e-9)
