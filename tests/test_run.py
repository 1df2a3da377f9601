"""`Run` and its metrics: from hand-written events to figures, there and back, side by side."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from streamlab.events import Event, EventLog
from streamlab.metrics import quantile, spread
from streamlab.run import FinalState, Run, RunFileError
from streamlab.scenario import Consumer, Scenario

SCENARIO = Scenario(name="test", consumers=(Consumer("C1"), Consumer("C2")))


def run_of(*events: Event, final: FinalState | None = None, scenario: Scenario = SCENARIO) -> Run:
    return Run(scenario, "simulated", "a test", EventLog.of(events), final or FinalState())


def story(number: int, consumer: str, *at: float) -> list[Event]:
    """Return the events of an entry that is added, delivered, processed, acknowledged at these times."""
    kinds = ("added", "delivered", "processed", "acked")
    actors = ("P1", consumer, consumer, consumer)
    return [
        Event(when, kind, actor, f"{number}-0", int(kind == "delivered"))
        for when, kind, actor in zip(at, kinds, actors, strict=False)
    ]


def test_counts_of_a_run_in_which_all_is_well():
    """Three entries, two consumers, everything done."""
    run = run_of(
        *story(1, "C1", 0, 0, 2, 2), *story(2, "C2", 1, 1, 3, 3), *story(3, "C1", 1.5, 2, 4, 4)
    )
    summary = run.summary()
    assert {key: summary[key] for key in ("added", "processed", "acked", "lost", "duplicates", "pending")} == {
        "added": 3, "processed": 3, "acked": 3, "lost": 0, "duplicates": 0, "pending": 0
    }  # fmt: skip
    assert run.shares == {"C1": pytest.approx(2 / 3), "C2": pytest.approx(1 / 3)}
    assert run.assignment() == [(1, "C1"), (2, "C2"), (3, "C1")]
    assert run.broken() == []


def test_times_of_an_entry():
    """Sojourn is XADD to processed; waiting ends when processing begins, prefetched entries queue up."""
    run = run_of(*story(1, "C1", 0, 1, 3, 3), *story(2, "C1", 0, 1, 5, 5))
    assert sorted(run.lives.sojourns()) == [3, 5]
    assert sorted(run.lives.waits()) == [1, 3]
    assert [stint.begun for stint in run.lives.stints] == [1, 3]


def test_utilisation_is_the_part_of_the_time_spent_processing():
    """C1 is busy for 2 + 2 of 8 s, C2 for 4."""
    run = run_of(
        *story(1, "C1", 0, 0, 2, 2), *story(2, "C1", 3, 3, 5, 5), *story(3, "C2", 4, 4, 8, 8)
    )
    assert {name: c.utilisation for name, c in run.consumers.items()} == {"C1": 0.5, "C2": 0.5}


def test_backlog_and_pending_over_time():
    """Backlog is added and not delivered, pending is delivered and not acknowledged."""
    run = run_of(*story(1, "C1", 0, 0, 2, 2), *story(2, "C1", 1, 2, 4, 5), *story(3, "C1", 1.5))
    assert list(zip(*run.series, strict=True)) == [
        (0, 0, 1), (1, 1, 1), (1.5, 2, 1), (2, 1, 1), (5, 1, 0)
    ]  # fmt: skip
    assert run.backlog_max == 2


def test_an_entry_that_is_nowhere_is_lost():
    """Added, never processed, neither pending nor undelivered at the end."""
    run = run_of(
        *story(1, "C1", 0, 0, 2, 2),
        *story(2, "C1", 1, 1),
        *story(3, "C1", 1),
        *story(4, "C1", 1),
        final=FinalState(pending={"2-0": "C1"}, undelivered=("3-0",)),
    )
    assert (run.lost, run.pending, run.undelivered) == (1, 1, 1)
    assert run.broken() == ["1 of 4 entries are lost, the first is 4-0"]


def test_an_entry_that_was_trimmed_is_not_lost():
    """With MAXLEN, what lies before the stream's first entry was removed on purpose."""
    run = run_of(
        *story(1, "C1", 0),
        *story(9, "C1", 1),
        *story(12, "C1", 1),
        final=FinalState(undelivered=("12-0",), first_id="10-0"),
        scenario=dataclasses.replace(SCENARIO, maxlen=1),
    )
    assert (run.trimmed, run.lost) == (2, 0)


def test_a_trimmed_entry_leaves_the_backlog_when_a_later_one_is_delivered():
    """From then on nobody can be given it any more."""
    run = run_of(
        *story(1, "C1", 0), *story(2, "C1", 1), *story(3, "C1", 2, 5, 6, 6), *story(4, "C1", 7)
    )
    assert list(zip(run.series.at, run.series.backlog, strict=True)) == [
        (0, 1), (1, 2), (2, 3), (5, 0), (6, 0), (7, 1)
    ]  # fmt: skip


def test_a_claimed_entry_is_a_redelivery_and_processing_it_twice_a_duplicate():
    """C1 is slow, C2 claims and does the work, then C1 does it as well."""
    run = run_of(
        *story(1, "C1", 0, 0),
        Event(5, "claimed", "C2", "1-0", 2),
        Event(6, "processed", "C2", "1-0"),
        Event(6, "acked", "C2", "1-0"),
        Event(7, "processed", "C1", "1-0"),
    )
    assert (run.redelivered, run.duplicates, run.processed) == (1, 1, 1)
    assert (
        run.consumers["C2"].claimed,
        run.consumers["C1"].pending,
        run.consumers["C2"].pending,
    ) == (1, 0, 0)
    assert run.lives.sojourns() == [6]
    assert run.broken() == []


def test_an_ack_before_the_effect_is_broken():
    """At-most-once in disguise."""
    run = run_of(
        Event(0, "added", "P1", "1-0"),
        Event(0, "delivered", "C1", "1-0", 1),
        Event(1, "acked", "C1", "1-0"),
        Event(2, "processed", "C1", "1-0"),
    )
    assert run.broken() == ["entry 1-0 was acknowledged before it was processed"]


def test_a_run_in_which_nothing_happened():
    """No division by zero, and JSON without NaN."""
    run = run_of()
    summary = run.summary()
    assert summary["sojourn"] == {"p50": None, "p95": None, "p99": None, "max": None}
    json.dumps(summary, allow_nan=False)
    assert run.throughput == 0
    assert run.lives.mean_in_system() == 0


def test_quantiles_are_interpolated():
    """As numpy's default does."""
    assert quantile([1, 2, 3, 4], 0.5) == 2.5
    assert quantile([1, 2, 3, 4, 5], 0.95) == pytest.approx(4.8)
    assert math.isnan(quantile([], 0.5))
    assert spread([4, 1, 3, 2]) == (2.5, 2.5, pytest.approx(3.85), pytest.approx(3.97), 4)


def test_saved_and_loaded_is_the_same_run(tmp_path):
    """Events, final state and scenario survive."""
    run = run_of(
        *story(1, "C1", 0, 0, 2, 2),
        *story(2, "C1", 1, 1),
        Event(3, "crashed", "C1"),
        final=FinalState({"2-0": "C1"}, ("3-0",), "1-0", 3),
    )
    run.save(tmp_path / "run.jsonl")
    loaded = Run.load(tmp_path / "run.jsonl")
    assert loaded == run
    assert loaded.summary() == run.summary()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "does not hold a run"),
        ("{}\n", "does not hold a run"),
        ("not json\n", "does not hold a run"),
    ],
)
def test_a_file_that_is_no_run_is_refused(tmp_path, content, words):
    """In words, with the file's name."""
    file = tmp_path / "run.jsonl"
    file.write_text(content)
    with pytest.raises(RunFileError, match=rf"run.jsonl {words}"):
        Run.load(file)
    with pytest.raises(RunFileError, match="cannot read"):
        Run.load(tmp_path / "nowhere")


def test_comparison_agrees_within_its_tolerances_only():
    """2 percentage points for shares; 10 % or 2 ms, whichever is more, for sojourn times."""
    one = run_of(*story(1, "C1", 0, 0, 0.100, 0.100), *story(2, "C2", 1, 1, 1.1, 1.1))
    near = run_of(*story(1, "C1", 0, 0, 0.109, 0.109), *story(2, "C2", 1, 1, 1.109, 1.109))
    far = run_of(*story(1, "C1", 0, 0, 0.115, 0.115), *story(2, "C2", 1, 1, 1.115, 1.115))
    uneven = run_of(*story(1, "C1", 0, 0, 0.1, 0.1), *story(2, "C1", 1, 1, 1.1, 1.1))
    assert one.compare(near).agrees
    assert [row[0] for row in one.compare(far).rows() if not row[-1]] == [
        "sojourn p50 (ms)",
        "sojourn p95 (ms)",
    ]
    assert [row[0] for row in one.compare(uneven).rows() if not row[-1]] == [
        "share of C1",
        "share of C2",
    ]
    assert "DIFFERS" in str(one.compare(uneven))


def test_events_there_and_back():
    """A line of JSON each; what is no event is refused."""
    events = [
        *story(1, "C1", 0, 0.25, 2, 2),
        Event(3, "started", "P1"),
        Event(3, "claimed", "C2", "1-0", 2),
    ]
    assert [Event.from_json(event.to_json()) for event in events] == events
    assert json.loads(events[0].to_json()) == {
        "at": 0,
        "kind": "added",
        "id": "1-0",
        "producer": "P1",
    }
    assert json.loads(events[1].to_json())["consumer"] == "C1"
    for line in (
        "",
        "[]",
        '{"at": 1}',
        '{"at": 1, "kind": "eaten", "consumer": "C1"}',
        '{"at": 1, "kind": "acked"}',
    ):
        with pytest.raises(ValueError, match="not an event"):
            Event.from_json(line)
