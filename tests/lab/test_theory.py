"""The simulation against queueing theory."""

from __future__ import annotations

import math
import re
import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlab.lab.lab import Lab
from streamlab.results.run import Run
from streamlab.results.theory import MMc
from streamlab.scenario import Arrivals, Consumer, Producer, Scenario, Service, consumers, load_scenario, producers

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
    scenario = Scenario(
        producers=producers(1, Arrivals("poisson", rate=rho * servers)),
        consumers=consumers(servers, Service("exponential", mean=1.0)),
        entries=5000,
        duration=None,
        drain=1e6,
    )
    expected = MMc.of(scenario).waiting_mean
    means = []
    for seed in range(20):
        waits = [*Lab(scenario.replace(seed=seed)).run().ledger.waits()]
        means.append(statistics.mean(waits[len(waits) // 10 :]))
    error = statistics.stdev(means) / math.sqrt(len(means))
    assert abs(statistics.mean(means) - expected) < T_999 * error
    assert error < 0.1 * expected  # an interval that holds anything proves nothing


# ---- the formulas themselves -----------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "service", "n"), [(100, 0.005, 1), (210, 0.01, 3), (210, 0.01, 4), (0.9, 10, 12)])
def test_erlangs_formulas(rate: float, service: float, n: int) -> None:
    """As the books have them, with their factorials."""
    queue = MMc(rate, service, n)
    assert queue.utilisation == pytest.approx(rate * service / n)
    assert queue.chance_of_waiting == pytest.approx(erlang_c(n, rate * service))
    assert queue.waiting_mean == pytest.approx(erlang_c(n, rate * service) / (n / service - rate))
    assert queue.sojourn_mean == pytest.approx(queue.waiting_mean + service)


def still_there(queue: MMc, t: float) -> float:
    """Return the part of the entries not done after `t`: the wait's distribution and the work's, convolved by sums."""
    mu, spare = 1 / queue.service_time, queue.consumers / queue.service_time - queue.arrival_rate
    n = 20_000
    steps = ((i + 0.5) * t / n for i in range(n))
    waited = sum(mu * math.exp(-mu * s) * queue.chance_of_waiting * math.exp(-spare * (t - s)) for s in steps)
    return math.exp(-mu * t) + waited * t / n


@pytest.mark.parametrize("queue", [MMc(210, 0.01, 3), MMc(100, 0.01, 2), MMc(90, 0.1, 10)], ids=str)
@pytest.mark.parametrize("q", [0.5, 0.99])
def test_within_how_long_a_part_is_done(queue: MMc, q: float) -> None:
    """The second queue has as much to spare as one consumer does, where the general formula divides by zero."""
    assert still_there(queue, queue.sojourn_quantile(q)) == pytest.approx(1 - q, rel=1e-4)


def test_one_consumer_is_the_queue_of_the_first_scenario() -> None:
    """M/M/1: sojourn times are exponential; and half of the entries, here, do not wait at all."""
    queue = MMc(100, 0.005, 1)
    assert queue.sojourn_quantile(0.99) == pytest.approx(math.log(100) / (200 - 100))
    assert queue.waiting_quantile(0.99) == pytest.approx(math.log(0.5 / 0.01) / (200 - 100))
    assert queue.waiting_quantile(0.5) == queue.sojourn_quantile(0.0) == 0


def test_many_consumers_are_no_overflow() -> None:
    """Factorials of hundreds are beyond what a float holds."""
    queue = MMc(1900, 1.0, 2000)
    assert 0 < queue.chance_of_waiting < 0.05
    assert queue.sojourn_quantile(0.99) == pytest.approx(math.log(100), rel=0.01)


def test_what_cannot_keep_up_never_does() -> None:
    for n in (1, 2):
        queue = MMc(200, 0.01, n)
        assert (queue.utilisation, queue.chance_of_waiting) == (1, 1)
        assert queue.waiting_mean == queue.sojourn_mean == queue.sojourn_quantile(0.5) == math.inf


def test_a_scenario_that_is_such_a_queue_and_some_that_are_none() -> None:
    random_one = load_scenario("one-to-one").with_consumers(3)
    assert MMc.of(random_one.with_producers(2)) == MMc(200, 0.005, 3)
    with pytest.raises(ValueError, match="its arrivals are not Poisson"):
        MMc.of(load_scenario("one-to-many"))
    for other in (Service("constant", 0.005), Service("exponential", 0.1)):
        with pytest.raises(ValueError, match="its service is not the same exponential one for all"):
            MMc.of(random_one.with_consumer("C2", service=other))


@pytest.mark.parametrize(
    ("rate", "service", "n", "words"),
    [
        (0, 1, 1, "arrival_rate is 0: give a number above 0"),
        (1, math.inf, 1, "service_time is inf: give a number above 0"),
        (1, 1, 1.5, "consumers is 1.5: give a whole number of at least 1"),
        (1, 1, 0, "consumers is 0: give a whole number of at least 1"),
    ],
)
def test_no_queue(rate: float, service: float, n: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        MMc(rate, service, n)


def test_a_part_of_one_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"q is 99: give a part of 1, such as 0\.99"):
        MMc(1, 0.1, 1).waiting_quantile(99)


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


@settings(max_examples=100)
@given(scenario=scenarios())
def test_littles_law_and_conservation_hold_in_every_run(scenario):
    """L = lambda·W, the mean in the system found from areas; and every entry is done exactly once."""
    run = Lab(scenario).run()
    assert (run.added, run.processed, run.acked) == (scenario.entries,) * 3
    assert (run.lost, run.duplicates, run.pending, run.undelivered, run.broken()) == (0, 0, 0, 0, [])
    if run.duration:
        arrival_rate = run.added / run.duration
        assert mean_in_system(run) == pytest.approx(arrival_rate * run.sojourn.mean, rel=1e-6, abs=1e-9)
