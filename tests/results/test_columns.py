"""Columns: an event comes out as it went in; what is entered all at once is what comes of one event after the other."""

from __future__ import annotations

import json
import pickle
import random
from typing import Any

import pytest

from streamlab.actors.events import EventKind
from streamlab.lab.lab import Lab
from streamlab.lab.simulated import SimulatedEngine
from streamlab.results.events import Event, EventLog
from streamlab.results.ledger import Ledger
from streamlab.results.plain_events import ledger_of, read_plain
from streamlab.scenario import SCENARIOS, Arrivals, Scenario, Service, consumers, producers


def books(ledger: Ledger) -> dict[str, Any]:
    """Return all that a ledger knows; as text, because NaN is equal to nothing."""
    known = {
        "records": [
            (r.name, r.state, r.owned, r.holding, r.delivered, r.processed, r.acked, r.busy, r.free_at, r.idle_since)
            for r in ledger.consumers.values()
        ],
        "deliveries": list(ledger.deliveries),
        "times": [list(times.items()) for times in (ledger.added, ledger.processed, ledger.acked)],
        "producer": dict(ledger.producer),
        "last": sorted(ledger.last.items()),
        "pending": dict(ledger.pending),
        "series": ledger.changes.series(),
        "most": ledger.changes.backlog_max(),
        "backlog": (ledger.backlog.size, ledger.backlog.first(5)),
        "figures": [
            ledger.n_processed, ledger.end, ledger.last_event, ledger.last_work, ledger.longest_hold, ledger.lost,
            ledger.n_redelivered, sorted(ledger.sojourns()), list(ledger.waits()),
        ],
        "actors": [ledger.losses, ledger.pauses, ledger.actors.dead_producers, ledger.actors.last_trouble],
    }  # fmt: skip
    return {name: repr(value) for name, value in known.items()}


def one_by_one(scenario: Scenario, events: list[Event]) -> Ledger:
    return Ledger.of(scenario, events)


PLAIN = {
    "one-to-many": SCENARIOS["one-to-many"]().replace(duration=0.4),
    "a backlog": SCENARIOS["one-to-many"]().replace(duration=0.2).with_rate(4000.0),
    "many at once": SCENARIOS["one-to-many"]().replace(duration=0.2).with_rate(20_000.0).with_count(10),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_plain_is_entered_all_at_once_and_comes_to_the_same(name: str) -> None:
    """Wherever the log is cut off: also with entries in hand, and others in the backlog."""
    scenario = PLAIN[name]
    events = list(Lab(scenario).run().events)
    for n in (*range(0, 60), len(events) // 2, len(events)):
        log = EventLog.of(events[:n])
        assert books(ledger_of(scenario, log)) == books(one_by_one(scenario, events[:n])), n
    # Up to where consumers stop, nothing of it goes one by one.
    assert read_plain(Ledger(scenario), EventLog.of(events)) >= len(events) - 2 * len(scenario.consumers)


def random_scenario(rng: random.Random) -> Scenario:
    """Return one in which nothing goes wrong, and much happens at the same moments."""
    arrivals = Arrivals(rng.choice(("constant", "poisson")), rate=rng.choice((50.0, 200.0, 1000.0)))
    service = Service(rng.choice(("constant", "exponential")), mean=rng.choice((0.0, 0.005, 0.02)))
    return Scenario(
        name="random",
        producers=producers(rng.randint(1, 3), arrivals),
        consumers=consumers(rng.randint(1, 5), service, count=rng.randint(1, 4)),
        duration=0.2,
        seed=rng.randrange(1000),
    )


@pytest.mark.parametrize("seed", range(40))
def test_random_runs_come_to_the_same_all_at_once(seed: int) -> None:
    """Whichever way they were simulated, and wherever they are cut off."""
    rng = random.Random(seed)
    scenario = random_scenario(rng)
    for run in (Lab(scenario).run(), SimulatedEngine(scenario).run()):
        events = list(run.events)
        for n in (rng.randint(1, len(events)), rng.randint(1, len(events)), len(events)):
            log = EventLog.of(events[:n])
            assert books(ledger_of(scenario, log)) == books(one_by_one(scenario, events[:n])), n


def test_what_follows_what_is_plain_finds_everything_in_its_place() -> None:
    """A crash in the midst of a run: all before it is entered at once, and the rest goes on from there."""
    scenario = SCENARIOS["crash"]()
    events = list(Lab(scenario).run().events)
    log = EventLog.of(events)
    assert 400 < read_plain(Ledger(scenario), log) < len(events) // 2
    assert books(ledger_of(scenario, log)) == books(one_by_one(scenario, events))


#: Two consumers who start and are given an entry each; what comes then is not plain.
BEGIN = (
    "0 started C1", "0 started C2", "0 added P1 1-0", "0 delivered C1 1-0 1", "0 added P1 2-0", "0 delivered C2 2-0 1",
)  # fmt: skip
ODD = {
    "processed, and acked together later": (
        "1 added P1 3-0",
        "1 delivered C1 3-0 1",
        "2 processed C1 1-0",
        "3 processed C1 3-0",
        "4 acked C1 1-0",
        "5 acked C1 3-0",
    ),
    "processed by another": ("1 processed C2 1-0",),
    "processed by nobody known": ("1 processed C9 1-0",),
    "processed out of turn": ("1 added P1 3-0", "1 delivered C1 3-0 1", "2 processed C1 3-0", "3 processed C1 1-0"),
    "processed twice": ("1 processed C1 1-0", "2 processed C1 1-0"),
    "acked unprocessed": ("1 acked C1 1-0",),
    "acked by another": ("1 processed C1 1-0", "2 acked C2 1-0"),
    "acked by hand": ("1 processed C1 1-0", "2 acked lab 1-0"),
    "acked twice": ("1 processed C1 1-0", "2 acked C1 1-0", "3 acked C1 1-0"),
    "acked, and unknown": ("1 acked C1 9-0",),
    "another acked, and unknown": ("1 processed C1 1-0", "2 acked C1 9-0"),
    "delivered twice": ("1 delivered C2 1-0 2",),
    "delivered, and unknown": ("1 delivered C1 3-0 1",),
    "delivered before it was added": ("1 delivered C1 3-0 1", "1 added P1 3-0"),
    "added too late": ("1 delivered C1 3-0 1", "2 added P1 3-0"),
    "added late, in another order": (
        "1 delivered C1 3-0 1",
        "1 added P1 4-0",
        "1 delivered C2 4-0 1",
        "1 added P2 3-0",
        "1 added P1 5-0",
        "2 processed C1 1-0",
        "2 acked C1 1-0",
    ),
    "added out of turn, later": ("1 added P1 4-0", "2 added P2 3-0", "3 delivered C1 3-0 1"),
    "added in another order": ("1 added P1 4-0", "1 added P2 3-0", "3 delivered C1 3-0 1"),
    "processed at the moment of its delivery": (
        "0 processed C2 2-0",
        "0 acked C2 2-0",
        "1 processed C1 1-0",
        "1 acked C1 1-0",
    ),
    "processed before it was delivered": (
        "1 added P1 3-0",
        "1 processed C1 1-0",
        "1 acked C1 1-0",
        "1 processed C1 3-0",
        "1 acked C1 3-0",
        "1 delivered C1 3-0 1",
    ),
    "processed and never delivered": (
        "1 added P1 3-0",
        "1 processed C1 1-0",
        "1 acked C1 1-0",
        "1 processed C1 3-0",
        "1 acked C1 3-0",
    ),
    "processed by another, and acked": ("1 processed C2 1-0", "1 acked C2 1-0"),
    "taken before what came first": ("1 added P1 3-0", "1 delivered C1 3-0 1", "2 processed C1 3-0", "2 acked C1 3-0"),
    "acked by another at once": ("1 processed C1 1-0", "1 acked C2 1-0", "2 processed C2 2-0", "2 acked C1 2-0"),
    "acked later": (
        "1 added P1 3-0",
        "1 delivered C1 3-0 1",
        "2 processed C1 1-0",
        "3 acked C1 1-0",
        "4 processed C1 3-0",
    ),
    "delivered out of turn": ("1 added P1 3-0", "1 added P1 4-0", "1 delivered C1 4-0 1", "1 delivered C2 3-0 1"),
    "delivered to nobody known": ("1 added P1 3-0", "1 delivered C9 3-0 1"),
    "added twice": ("1 added P1 2-0",),
    "added out of turn": ("1 added P1 10-0", "1 added P1 9-0", "1 delivered C1 9-0 1"),
    "an earlier time": ("3 added P1 3-0", "2 added P1 4-0"),
    "a consumer that stops": ("1 processed C1 1-0", "1 stopped C2", "2 acked C1 1-0"),
    "a producer that stops": ("1 stopped P1", "1 processed C1 1-0", "2 acked C1 1-0"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_not_plain_goes_one_by_one(what: str) -> None:
    """Each of these comes to the same, whether it is read from a log or one event after the other."""
    scenario = Scenario(name="written", consumers=consumers(2, Service()))
    events = []
    for line in (*BEGIN, *ODD[what]):
        at, kind, actor, *rest = line.split()
        entry_id, count = rest[0] if rest else "", int(rest[1]) if rest[1:] else 0
        events.append(Event(float(at), EventKind(kind), actor, entry_id, count))
    log = EventLog()
    for event in events:
        log.append(event)
    assert books(ledger_of(scenario, log)) == books(one_by_one(scenario, events))


def test_events_come_out_of_their_columns_as_they_went_in() -> None:
    """Before and after they are put there; by number, in turn, copied, pickled; whatever their counts are."""
    log = EventLog()
    events = [
        Event(n / 8, kind, f"C{n % 3}", f"{n // 2}-0" if n % 5 else "", (0, 1, 254, 255, 256, 2**62)[n % 6])
        for n, kind in enumerate([*EventKind] * 120)
    ]
    for number, event in enumerate(events):
        log.append(event)
        assert log[number] == event
    assert len(log) == len(events)
    assert [log[n] for n in range(len(events))] == events
    half = log.copy()
    log.report(EventKind.ADDED, "P1", "9-9", at=7.0)
    assert list(half) == events == list(log)[:-1]
    assert (log[-1], log[-2]) == (Event(7.0, EventKind.ADDED, "P1", "9-9"), events[-1])
    assert list(log.latest_first()) == list(log)[::-1]
    assert pickle.loads(pickle.dumps(log)) == log != half
    with pytest.raises(IndexError):
        log[len(log)]


def test_a_line_of_an_event_is_what_json_makes_of_it() -> None:
    """Also of names that have to be quoted; and many lines are read as each of them is."""
    events = [
        Event(1 / 3, EventKind.ADDED, 'a "P"\n', "1-0"),
        Event(-1.0, EventKind.STARTED, "Zoë"),
        Event(1e-7, EventKind.CLAIMED, "C1", "1-0", 3),
        Event(1e9, EventKind.REMOVED, "C1", "", 2),
    ]
    for event in events:
        row = json.loads(event.to_json())
        assert json.dumps(row) == event.to_json()
        assert Event.from_json(event.to_json()) == event._replace(at=round(event.at, 6))
    lines = [event.to_json() for event in events]
    assert Event.from_lines(lines) == [Event.from_json(line) for line in lines]
    for wrong in ("{}", "", f"{lines[0]},{lines[1]}", "[", lines[0][:-1]):
        with pytest.raises(ValueError, match="not an event"):
            Event.from_lines([lines[0], wrong])
