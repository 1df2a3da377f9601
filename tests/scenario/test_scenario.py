"""Scenarios: what they say about arrivals and service, TOML there and back, and nonsense refused in words."""

from __future__ import annotations

import itertools
import random
import statistics
from datetime import date, datetime, time
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest

from streamlab.scenario import (
    SCENARIOS,
    Arrivals,
    Consumer,
    Producer,
    Scenario,
    ScenarioError,
    Service,
    from_toml,
    load_scenario,
    producers,
    to_toml,
)
from streamlab.scenario.replay import DEPARTURES_EPOCH, ReplayError, replay


def times(arrivals: Arrivals, n: int, seed: int = 1) -> list[float]:
    return list(itertools.islice(arrivals.times(random.Random(seed)), n))


def test_constant_arrivals_do_not_drift():
    """The 8,001st entry of 800/s comes at 10 s exactly."""
    assert times(Arrivals(rate=800), 8001)[-1] == 10


def test_bursts_come_together_and_keep_the_rate():
    """10 entries at once, 20 a second: a burst every half second."""
    assert times(Arrivals("bursts", rate=20, burst=10), 21) == [0.0] * 10 + [0.5] * 10 + [1.0]


def test_poisson_gaps_are_exponential():
    """Mean and standard deviation of the gaps are both 1/rate (a tenth of it off would be 10 sigma)."""
    at = times(Arrivals("poisson", rate=50), 20_000)
    gaps = [b - a for a, b in itertools.pairwise(at)]
    assert statistics.mean(gaps) == pytest.approx(1 / 50, rel=0.1)
    assert statistics.stdev(gaps) == pytest.approx(1 / 50, rel=0.1)


@pytest.mark.parametrize(
    ("service", "cv"),
    [(Service("constant", 0.2), 0), (Service("exponential", 0.2), 1), (Service("lognormal", 0.2, 0.5), 0.5)],
)
def test_service_times_have_the_mean_and_variation_asked_for(service, cv):
    """Mean 0.2 s; the coefficient of variation is the kind's, or the one given."""
    sample = service.sampler(random.Random(7))
    drawn = [sample() for _ in range(50_000)]
    assert statistics.mean(drawn) == pytest.approx(0.2, rel=0.03)
    assert statistics.stdev(drawn) / 0.2 == pytest.approx(cv, abs=0.03)


def test_the_same_seed_gives_the_same_arrivals_and_another_one_others():
    """Random numbers come from the seed and the actor's name alone."""
    one = load_scenario("one-to-one")
    again, other = load_scenario("one-to-one"), one.replace(seed=2)
    assert list(one.arrivals(one.producers[0])) == list(again.arrivals(again.producers[0]))
    assert list(one.arrivals(one.producers[0])) != list(other.arrivals(other.producers[0]))


def test_another_consumer_does_not_change_what_the_producer_does():
    """Each actor draws from its own source."""
    one = load_scenario("one-to-one")
    two = one.with_consumers(2)
    assert list(one.arrivals(one.producers[0])) == list(two.arrivals(two.producers[0]))


def test_a_number_of_entries_is_for_all_producers_together():
    """Seven entries of three producers that take turns: 3, 2, 2."""
    scenario = load_scenario("many-to-many").replace(entries=7, duration=None)
    assert [len(list(scenario.arrivals(p))) for p in scenario.producers] == [3, 2, 2]


def test_duration_ends_production():
    """800/s for 10 s is 8,000 entries, the one at 10 s not among them."""
    scenario = load_scenario("one-to-many")
    assert len(list(scenario.arrivals(scenario.producers[0]))) == 8000


@pytest.mark.parametrize("name", SCENARIOS)
def test_toml_there_and_back_is_the_same_scenario(name):
    """What is written can be read, and says the same."""
    scenario = load_scenario(name)
    assert from_toml(to_toml(scenario)) == scenario


def test_toml_with_strings_that_need_escaping():
    """Quotes and backslashes survive."""
    scenario = Scenario(name='a "quoted" \\ name', stream="größe")
    assert from_toml(to_toml(scenario)) == scenario


def test_toml_file(tmp_path):
    """A file gives a scenario; what it leaves out has its default."""
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\nentries = 5\n[[consumers]]\nname = "A"\nservice = { mean = 1 }\n')
    scenario = load_scenario(file)
    assert (scenario.name, scenario.entries, scenario.duration) == ("mine", 5, None)
    assert scenario.consumers == (Consumer("A", Service(mean=1.0)),)
    assert scenario.producers == (Producer(),)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("nam = 'x'", r"nam is an unknown key: did you mean name\?"),
        ("[[consumers]]\nservce = { mean = 1 }", r"consumers\.0\.servce is an unknown key: did you mean service\?"),
        (
            "[[producers]]\narrivals = { rate = -5 }",
            "producers.0.arrivals.rate is -5.0: give a number of entries per second above 0",
        ),
        ("[[producers]]\narrivals = { rate = 0 }", "above 0"),
        (
            "[[producers]]\narrivals = { kind = 'poison' }",
            r"kind is 'poison': did you mean poisson\? known are constant",
        ),
        ("[[producers]]\narrivals = { kind = 'replay' }", "a replay needs a source"),
        ("[[consumers]]\nservice = { mean = 'fast' }", r"consumers\.0\.service\.mean is 'fast': give a number"),
        ("[[consumers]]\ncount = 0", "count is 0: give a whole number of at least 1"),
        ("[[consumers]]\ncount = 1.5", r"consumers\.0\.count is 1\.5: give a whole number"),
        ("consumers = 3", r"consumers is 3: .*\[\[consumers\]\] tables"),
        ("producers = []", "producers are 0: give at least 1"),
        ("consumers = []", "consumers are 0: give at least 1"),
        ("duration = true", "duration is True: give a number"),
        ("duration = nan", "duration is nan"),
        ("seed = -1", "seed is -1"),
        ("name = ''", "name is '': give a printable name"),
        ("[[consumers]]\nname = 'P1'", r"consumers\.0\.name is 'P1', given twice"),
        ("name = ", "not TOML"),
    ],
)
def test_nonsense_in_toml_is_named(toml, words):
    """Every error names the key, the value, and what to write instead."""
    with pytest.raises(ScenarioError, match=words):
        from_toml(toml)


def test_an_unknown_name_gets_a_suggestion():
    """A typing error is answered with the name that was meant, and all that there are."""
    with pytest.raises(ScenarioError, match=r"did you mean one-to-many.*departures"):
        load_scenario("one-to-mny")


def test_a_producer_without_end_is_refused():
    """Neither duration nor entries: the run would never end."""
    with pytest.raises(ScenarioError, match="P1 never ends"):
        Scenario(duration=None)


def test_changing_one_consumer():
    """Only the one that is named changes; a number for the service is its mean."""
    scenario = load_scenario("one-to-many").with_consumer("C2", service=0.016)
    assert [c.service.mean for c in scenario.consumers] == [0.0025, 0.016, 0.0025, 0.0025]
    with pytest.raises(
        ScenarioError, match=r"there is no consumer 'C9': (did you mean C.\? )?known are C1, C2, C3, C4"
    ):
        scenario.with_consumer("C9", count=2)


def test_producers_of_a_constant_rate_take_turns():
    """Three of 100/s: an entry every 3.33 ms, not three every 10 ms; a new rate keeps the turns."""
    scenario = load_scenario("many-to-many").with_rate(10)
    assert [p.arrivals.start for p in scenario.producers] == pytest.approx([0, 1 / 30, 2 / 30])


def test_a_csv_file_is_replayed_with_its_payload(tmp_path):
    """The column ``at`` is the time, the others are the fields."""
    file = tmp_path / "calls.csv"
    file.write_text("at,number\n0.5,17\n2,18\n")
    arrivals = Arrivals("replay", source=str(file), speed=2)
    assert list(arrivals.entries("P1", random.Random())) == [(0.25, {"number": "17"}), (1, {"number": "18"})]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("when,number\n1,2\n", "one called 'at'"),
        ("at,number\nsoon,2\n", "line 2: 'at' is not a number"),
        ("at,number\n2,2\n1,2\n", "line 3: 'at' is 1 after 2: sort"),
        ("at,number\n2\n", "line 2: not as many values"),
    ],
)
def test_a_csv_file_that_makes_no_sense_is_refused(tmp_path, content, words):
    """The error names the line."""
    file = tmp_path / "calls.csv"
    file.write_text(content)
    with pytest.raises(ReplayError, match=words):
        list(replay(str(file)))


def test_departures_of_2013():
    """All that departed, in the order in which they did; the first at 5:17 in New York."""
    everything = list(replay("departures"))
    assert len(everything) == 328_521
    assert everything[0][0] == (5 * 60 + 17) * 60
    assert everything[0][1]["carrier"] == "UA"
    assert everything[0][1]["dest"] == "IAH"
    at = [at for at, _ in everything]
    assert at == sorted(at)
    by_airport = [len(list(replay(f"departures:{airport}"))) for airport in ("EWR", "JFK", "LGA")]
    assert sum(by_airport) == 328_521
    day = list(replay("departures:JFK:2013-02-08"))
    assert day
    assert all(0 <= at < 86_400 and fields["origin"] == "JFK" for at, fields in day)


@pytest.mark.parametrize(("day", "hours"), [("2013-03-10", 23), ("2013-03-11", 24), ("2013-11-03", 25)])
def test_a_day_is_as_long_as_new_yorks_clocks_made_it(day: str, hours: int) -> None:
    """Each flight is of the day on which it departed, also where summer time begins or ends."""
    midnight = datetime.combine(date.fromisoformat(day), time(), ZoneInfo("America/New_York"))
    since = midnight.timestamp() - DEPARTURES_EPOCH.timestamp()
    that_day = [at - since for at, _ in replay("departures") if since <= at < since + hours * 3600]
    assert [at for at, _ in replay(f"departures::{day}")] == that_day != []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("departures:XYZ", "known are EWR, JFK, LGA"),
        ("departures:JFK:someday", "write it as 2013-02-08"),
        ("departures:JFK:2014-02-08", "those of 2013"),
        ("/nowhere/calls.csv", "cannot replay"),
    ],
)
def test_a_source_that_is_not_there_is_named(source, words):
    """The error says what there is."""
    with pytest.raises(ReplayError, match=words):
        list(replay(source))


def test_all_producers_may_add_in_another_way() -> None:
    """They keep their names; constant ones take turns, and no others do."""
    three = Scenario(producers=tuple(Producer(name) for name in ("A", "B", "C")))
    bursts = three.with_arrivals("bursts", rate=60, burst=300)
    assert [(p.name, p.arrivals) for p in bursts.producers] == [
        (name, Arrivals("bursts", rate=60, burst=300)) for name in ("A", "B", "C")
    ]
    assert [p.arrivals.start for p in bursts.with_arrivals("constant", rate=10).producers] == pytest.approx(
        [0, 1 / 30, 2 / 30]
    )


def test_all_consumers_may_work_in_another_way() -> None:
    """The kind stays what it is if none is given."""
    two = Scenario().with_consumers(2).with_service(0.005, kind="exponential")
    assert [c.service for c in two.consumers] == [Service("exponential", mean=0.005)] * 2
    assert [c.service for c in two.with_service(0.01).consumers] == [Service("exponential", mean=0.01)] * 2


@pytest.mark.parametrize(
    "limits", [{"duration": 2, "entries": None}, {"duration": None, "entries": 37}, {"entries": 29}]
)
@pytest.mark.parametrize("kind", ["constant", "poisson", "bursts"])
def test_times_are_those_of_the_arrivals(
    kind: Literal["constant", "poisson", "bursts"], limits: dict[str, Any]
) -> None:
    """With the same limits, and for each of several producers."""
    scenario = Scenario(producers=producers(2, arrivals=Arrivals(kind, rate=30.0, start=0.1)), duration=1.0)
    scenario = scenario.replace(**limits)
    for producer in scenario.producers:
        assert list(scenario.times(producer)) == [at for at, _ in scenario.arrivals(producer)] != []
