"""`Run` and its metrics: from hand-written events to figures, there and back, side by side."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import pytest

from streamlab import checks
from streamlab.results import invariants, run_file
from streamlab.results.events import Event, EventLog
from streamlab.results.run import FinalState, Run, RunFileError
from streamlab.results.statistics import quantile, spread
from streamlab.scenario import Consumer, Scenario
from tests.events import event

SCENARIO = Scenario(name="test", consumers=(Consumer("C1"), Consumer("C2")))


def run_of(*events: Event, final: FinalState | None = None, scenario: Scenario = SCENARIO) -> Run:
    return Run(scenario, "simulated", "a test", EventLog.of(events), final or FinalState())


def story(number: int, consumer: str, *at: float) -> list[Event]:
    """Return the events of an entry that is added, delivered, processed, acknowledged at these times."""
    kinds = ("added", "delivered", "processed", "acked")
    actors = ("P1", consumer, consumer, consumer)
    return [
        event(when, kind, actor, f"{number}-0", int(kind == "delivered"))
        for when, kind, actor in zip(at, kinds, actors, strict=False)
    ]


def test_counts_of_a_run_in_which_all_is_well():
    """Three entries, two consumers, everything done."""
    run = run_of(*story(1, "C1", 0, 0, 2, 2), *story(2, "C2", 1, 1, 3, 3), *story(3, "C1", 1.5, 2, 4, 4))
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
    assert sorted(run.ledger.sojourns()) == [3, 5]
    assert sorted(run.ledger.waits()) == [1, 3]
    assert [delivery.begun for delivery in run.ledger.deliveries] == [1, 3]


def test_utilisation_is_the_part_of_the_time_spent_processing():
    """C1 is busy for 2 + 2 of 8 s, C2 for 4."""
    run = run_of(*story(1, "C1", 0, 0, 2, 2), *story(2, "C1", 3, 3, 5, 5), *story(3, "C2", 4, 4, 8, 8))
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
        scenario=SCENARIO.replace(maxlen=1),
    )
    assert (run.trimmed, run.lost) == (2, 0)


def test_a_trimmed_entry_leaves_the_backlog_when_a_later_one_is_delivered():
    """From then on nobody can be given it any more."""
    run = run_of(*story(1, "C1", 0), *story(2, "C1", 1), *story(3, "C1", 2, 5, 6, 6), *story(4, "C1", 7))
    assert list(zip(run.series.at, run.series.backlog, strict=True)) == [
        (0, 1), (1, 2), (2, 3), (5, 0), (6, 0), (7, 1)
    ]  # fmt: skip


def test_a_claimed_entry_is_a_redelivery_and_processing_it_twice_a_duplicate():
    """C1 is slow, C2 claims and does the work, then C1 does it as well."""
    run = run_of(
        *story(1, "C1", 0, 0),
        event(5, "claimed", "C2", "1-0", 2),
        event(6, "processed", "C2", "1-0"),
        event(6, "acked", "C2", "1-0"),
        event(7, "processed", "C1", "1-0"),
    )
    assert (run.redelivered, run.duplicates, run.processed) == (1, 1, 1)
    assert (run.consumers["C2"].claimed, run.consumers["C1"].pending, run.consumers["C2"].pending) == (1, 0, 0)
    assert run.ledger.sojourns() == [6]
    assert run.broken() == []


def test_an_ack_before_the_effect_is_broken():
    """At-most-once in disguise."""
    run = run_of(
        event(0, "added", "P1", "1-0"),
        event(0, "delivered", "C1", "1-0", 1),
        event(1, "acked", "C1", "1-0"),
        event(2, "processed", "C1", "1-0"),
    )
    assert run.broken() == ["entry 1-0 was acknowledged before it was processed"]


def test_a_run_is_judged_once(monkeypatch):
    """However often it is asked what is broken, and by whom."""
    judged = []
    examine = invariants.examine

    def count(*args):
        judged.append(args)
        return examine(*args)

    monkeypatch.setattr(invariants, "examine", count)
    run = run_of(*story(1, "C1", 0, 0, 2, 2))
    assert [run.broken(), run.broken(), [v for v in run.verdicts if not v]] == [[], [], []]
    assert checks.invariants(run)
    assert len(judged) == 1


def test_a_run_in_which_nothing_happened():
    """No division by zero, and JSON without NaN."""
    run = run_of()
    summary = run.summary()
    assert summary["sojourn"] == {"p50": None, "p95": None, "p99": None, "max": None}
    json.dumps(summary, allow_nan=False)
    assert run.throughput == 0


def test_quantiles_are_interpolated():
    """As numpy's default does."""
    assert quantile([1, 2, 3, 4], 0.5) == 2.5
    assert quantile([1, 2, 3, 4, 5], 0.95) == pytest.approx(4.8)
    assert math.isnan(quantile([], 0.5))
    assert spread([4, 1, 3, 2]) == pytest.approx((2.5, 2.5, 3.85, 3.97, 4))


def test_saved_and_loaded_is_the_same_run(tmp_path):
    """Events, final state and scenario survive."""
    run = run_of(
        *story(1, "C1", 0, 0, 2, 2),
        *story(2, "C1", 1, 1),
        event(3, "crashed", "C1"),
        final=FinalState({"2-0": "C1"}, ("3-0",), "1-0", 3),
    )
    run.save(tmp_path / "run.jsonl")
    loaded = Run.load(tmp_path / "run.jsonl")
    assert loaded == run
    assert loaded.summary() == run.summary()


@pytest.fixture
def saved(tmp_path):
    """A saved run: its file, and its lines."""
    file = tmp_path / "run.jsonl"
    run = run_of(*story(1, "C1", 0, 0, 2, 2), final=FinalState({"2-0": "C1"}, ("3-0",), "1-0", 3))
    run.save(file)
    return file, file.read_text().splitlines(keepends=True)


def refused(file: Path, content: str | bytes) -> str:
    """Write a file that holds no run, and return what is said of it."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunFileError, match=r"run\.jsonl does not hold a run: .") as said:
        Run.load(file)
    return str(said.value)


def test_half_a_file_is_no_run(saved):
    """Wherever it was cut off, between two lines or within one; and so is one with a line too many."""
    file, lines = saved
    whole = "".join(lines)
    assert "events: the rest is missing" in refused(file, "".join(lines[:-1]))
    for end in range(len(whole) - 2):
        refused(file, whole[:end])
    refused(file, whole + lines[-1])


@pytest.mark.parametrize(
    "content",
    [
        "", "{}", "not json", "[]", "null", "5", '"text"', b"\xff\xfe", "[" * 100_000, "9" * 6_000,
        b"\x00" * 100, '{"n_events": NaN}',
    ],
)  # fmt: skip
def test_a_file_that_is_no_run_is_refused(saved, content):
    """In words, with the file's name."""
    refused(saved[0], content)


def test_nonsense_in_any_place_is_refused(saved):
    """Whatever stands in the place of any value of the header, of the final state and of an event."""
    file, (first, *events) = saved
    header = json.loads(first)
    nonsense = [None, -1.5, "nonsense", [1, [2]], {"a": {"b": None}}, 10**400, math.nan]
    tried = 0
    places = [(header, name) for name in header if name != "streamlab"]
    places += [(header["final"], name) for name in header["final"]]
    for holder, name in places:
        right = holder[name]
        for wrong in nonsense:
            if type(wrong) is type(right) and isinstance(wrong, str):
                continue  # another server's name, say
            holder[name] = wrong
            assert refused(file, json.dumps(header) + "\n" + "".join(events)), (name, wrong)
            tried += 1
        holder[name] = right
    event = json.loads(events[0])
    for name, right in [*event.items()]:
        for wrong in nonsense:
            if isinstance(right, str) and isinstance(wrong, str) and name != "kind":
                continue
            if name == "at" and isinstance(wrong, float) and not math.isnan(wrong):
                continue
            event[name] = wrong
            refused(file, first + json.dumps(event) + "\n" + "".join(events[1:]))
            tried += 1
        event[name] = right
    assert tried > 100


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(RunFileError, match="cannot read"):
            Run.load(path)


def test_a_save_that_fails_leaves_the_old_file(saved, monkeypatch):
    """A full disk or an interrupt in the midst of writing: the old run is still there, and nothing lies about."""
    file, lines = saved
    run = Run.load(file)
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):

        def fails(*_, error=error):
            raise error

        with monkeypatch.context() as broken:
            broken.setattr(run_file, "line_of", fails)
            with pytest.raises(type(error)):
                run.save(file)
        assert file.read_text() == "".join(lines)
        assert list(file.parent.iterdir()) == [file]


def test_a_file_named_gz_is_compressed_and_refused_unless_it_is_whole(saved, tmp_path):
    """The same run comes back from it; what gzip does not know, or is cut off, is no run."""
    run = Run.load(saved[0])
    compressed = tmp_path / "run.jsonl.gz"
    run.save(compressed)
    found = compressed.read_bytes()
    assert gzip.decompress(found).decode() == "".join(saved[1])
    assert Run.load(compressed) == run
    for broken in (found[:-9], saved[0].read_bytes(), found[:40] + b"x" + found[41:]):
        compressed.write_bytes(broken)
        with pytest.raises(RunFileError, match="does not hold a run"):
            Run.load(compressed)


def test_a_save_through_a_link_and_to_a_pipe(saved, tmp_path):
    """A link stays a link, a file keeps its mode, and what is no file is written to."""
    file, _ = saved
    run = Run.load(file)
    file.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(file)
    run.save(link)
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o600
    assert Run.load(file) == run
    run.save("/dev/null")
    assert not Path("/dev/null").is_file()


def test_events_there_and_back():
    """A line of JSON each; what is no event is refused."""
    events = [*story(1, "C1", 0, 0.25, 2, 2), event(3, "started", "P1"), event(3, "claimed", "C2", "1-0", 2)]
    assert [Event.from_json(event.to_json()) for event in events] == events
    assert json.loads(events[0].to_json()) == {"at": 0, "kind": "added", "id": "1-0", "producer": "P1"}
    assert json.loads(events[1].to_json())["consumer"] == "C1"
    for line in ("", "[]", '{"at": 1}', '{"at": 1, "kind": "eaten", "consumer": "C1"}', '{"at": 1, "kind": "acked"}'):
        with pytest.raises(ValueError, match="not an event"):
            Event.from_json(line)
