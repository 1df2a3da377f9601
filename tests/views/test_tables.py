"""A run as data frames: each row says what the events say, and the frames agree with the run's own figures."""

from __future__ import annotations

import dataclasses
import math
import sys

import pytest

pytest.importorskip("pandas", reason="pandas comes with consumer-group-lab[course]")

import pandas as pd

from streamlab import tables
from streamlab.lab.lab import Lab
from streamlab.results.comparison import Comparison
from streamlab.results.events import EventLog
from streamlab.results.run import FinalState, Run
from streamlab.scenario import Consumer, Scenario
from streamlab.scenario.named import many_to_many, one_to_many
from tests.events import event

NAN = math.nan


@pytest.fixture
def eventful() -> Run:
    """One entry done, one claimed and done, one pending, one undelivered, one dead, one trimmed."""
    events = [
        *(event(0.1 * n, "added", "P1", f"{n}-0") for n in range(1, 7)),
        event(0.2, "delivered", "C1", "2-0", 1),
        event(0.3, "processed", "C1", "2-0"),
        event(0.3, "acked", "C1", "2-0"),
        event(0.4, "delivered", "C1", "3-0", 1),
        event(0.5, "delivered", "C1", "4-0", 1),
        event(0.6, "delivered", "C2", "5-0", 1),
        event(0.7, "crashed", "C1"),
        event(0.8, "claimed", "C2", "3-0", 2),
        event(0.9, "processed", "C2", "3-0"),
        event(1.0, "acked", "C2", "3-0"),
        event(1.1, "dead_lettered", "C2", "5-0"),
    ]
    return Run(
        Scenario(name="eventful", consumers=(Consumer("C1"), Consumer("C2")), maxlen=5),
        "simulated",
        "a test",
        EventLog.of(events),
        FinalState({"4-0": "C1"}, ("6-0",), "2-0", 5),
    )


def test_entries_tell_each_entrys_life(eventful: Run) -> None:
    """A row for every entry that was added, its times in seconds, and how it stood at the end."""
    frame = tables.entries(eventful)
    assert list(frame.index) == [1, 2, 3, 4, 5, 6]
    assert frame.index.name == "number"
    assert list(frame["id"]) == ["1-0", "2-0", "3-0", "4-0", "5-0", "6-0"]
    assert set(frame["producer"]) == {"P1"}
    assert list(frame["consumer"]) == ["", "C1", "C2", "C1", "C2", ""]
    assert list(frame["deliveries"]) == [0, 1, 2, 1, 1, 0]
    assert list(frame["state"]) == ["trimmed", "acked", "acked", "pending", "dead-lettered", "undelivered"]
    claimed = frame.loc[3, ["added", "delivered", "begun", "processed", "acked", "waiting", "sojourn"]]
    # C1 began with it at once, and died over it.
    assert list(claimed) == pytest.approx([0.3, 0.4, 0.4, 0.9, 1.0, 0.1, 0.6])
    assert frame.loc[1, ["delivered", "begun", "processed", "acked", "waiting", "sojourn"]].isna().all()


@pytest.mark.parametrize(
    ("maxlen", "first_id", "state"), [(None, "2-0", "lost"), (5, "1-0", "lost"), (5, "", "trimmed")]
)
def test_what_is_nowhere_is_trimmed_or_lost(eventful: Run, maxlen: int | None, first_id: str, state: str) -> None:
    """The states say what the run says: only what lies before the stream's first entry was trimmed."""
    run = dataclasses.replace(
        eventful,
        scenario=eventful.scenario.replace(maxlen=maxlen),
        final=dataclasses.replace(eventful.final, first_id=first_id),
    )
    counts = tables.entries(run)["state"].value_counts()
    assert tables.entries(run).loc[1, "state"] == state
    assert (counts.get("lost", 0), counts.get("trimmed", 0)) == (run.lost, run.trimmed)


def test_states_count_what_the_run_counts(eventful: Run) -> None:
    """Two ways to the same numbers."""
    counts = tables.entries(eventful)["state"].value_counts()
    assert counts["acked"] == eventful.acked == 2
    assert counts["pending"] == eventful.pending == 1
    assert counts["undelivered"] == eventful.undelivered == 1
    assert counts["dead-lettered"] == eventful.dead_lettered == 1
    assert counts["trimmed"] == eventful.trimmed == 1


def test_deliveries_are_reads_and_claims(eventful: Run) -> None:
    """A row each, in their order; an entry may have several."""
    frame = tables.deliveries(eventful)
    assert list(frame["number"]) == [2, 3, 4, 5, 3]
    assert list(frame["consumer"]) == ["C1", "C1", "C1", "C2", "C2"]
    assert list(frame["claimed"]) == [False, False, False, False, True]
    assert list(frame["delivery_count"]) == [1, 1, 1, 1, 2]
    assert list(frame["delivered"]) == [0.2, 0.4, 0.5, 0.6, 0.8]
    assert frame["acked"].isna().tolist() == [False, True, True, True, False]


def test_scenario_four_as_a_table(seven: Run) -> None:
    """1→C1, 2→C2, 3→C3, 4→C1 … 7→C1; and who added them."""
    frame = tables.entries(seven)
    assert frame["consumer"].to_dict() == dict(seven.assignment())
    assert list(frame["producer"]) == ["P1", "P2", "P3", "P1", "P2", "P3", "P1"]


def test_consumers_are_the_runs(eventful: Run) -> None:
    """What each did, its share and its utilisation, as `Run` says."""
    frame = tables.consumers(eventful)
    assert list(frame.index) == ["C1", "C2"]
    for name, metrics in eventful.consumers.items():
        row = frame.loc[name]
        for what, value in dataclasses.asdict(metrics).items():
            assert row[what] == value
        assert row["share"] == eventful.shares[name]
    assert frame["share"].sum() == pytest.approx(1)


def test_backlog_is_the_series(eventful: Run) -> None:
    """Indexed by time; its maximum is the run's."""
    frame = tables.backlog(eventful)
    assert frame.index.name == "at"
    assert list(frame.index) == eventful.series.at
    assert frame["backlog"].max() == eventful.backlog_max
    assert frame["pending"].tolist() == eventful.series.pending


def test_events_are_all_events(eventful: Run) -> None:
    """In their order, and back again."""
    frame = tables.events(eventful)
    assert [event(*row) for row in frame.itertuples(index=False)] == list(eventful.events)
    assert list(frame.columns) == ["at", "kind", "actor", "id", "delivery_count"]


def test_comparison_has_a_column_for_each_engine(seven: Run) -> None:
    """Values, difference, and whether they agree; one row for what `Comparison.rows` gives each."""
    live = dataclasses.replace(seven, engine="live")
    frame = tables.comparison(seven, live)
    assert list(frame.columns) == ["simulated", "live", "difference", "agrees"]
    assert list(frame.index) == [what for what, *_ in Comparison(seven, live).rows()]
    assert frame["agrees"].all()
    assert (frame["difference"] == 0).all()
    assert frame.loc["added", "live"] == 7
    pd.testing.assert_frame_equal(frame, tables.comparison(Comparison(seven, live)))


def test_comparison_shows_what_differs(seven: Run) -> None:
    """Two runs of one engine: another number of entries does not agree."""
    more = Lab(many_to_many().replace(entries=8, duration=None)).run()
    frame = tables.comparison(seven, more)
    assert list(frame.columns)[:2] == ["one", "other"]
    assert not frame.loc["added", "agrees"]
    assert frame.loc["added", "difference"] == 1


def test_comparison_needs_two_runs(seven: Run) -> None:
    """It says so."""
    with pytest.raises(TypeError, match="give two"):
        tables.comparison(seven)


def test_an_empty_run_gives_empty_frames_of_the_same_columns(seven: Run) -> None:
    """Nothing happened: no row, no error, the same columns and types."""
    empty = Run(seven.scenario, "simulated", "a test", EventLog(), FinalState())
    for table in (tables.entries, tables.deliveries, tables.events):
        frame, full = table(empty), table(seven)
        assert len(frame) == 0
        assert frame.dtypes.to_dict() == full.dtypes.to_dict()
    assert tables.consumers(empty)["acked"].tolist() == [0, 0, 0]
    assert tables.backlog(empty)["backlog"].tolist() == [0]


def test_frames_do_not_change_from_run_to_run() -> None:
    """The same scenario and seed: the same frames, as a committed notebook needs."""
    scenario = one_to_many().replace(entries=200)
    one, other = Lab(scenario).run(), Lab(scenario).run()
    for table in (tables.entries, tables.deliveries, tables.consumers, tables.backlog, tables.events):
        pd.testing.assert_frame_equal(table(one), table(other))
        assert repr(table(one).head()) == repr(table(other).head())


# ---- recovery --------------------------------------------------------------------------------------


def written(*rows: tuple[float, str, str, str, int]) -> Run:
    scenario = Scenario(name="written", consumers=(Consumer("C1"), Consumer("C2")))
    events = EventLog.of(event(*row) for row in rows)
    return Run(scenario, "simulated", "a test", events, FinalState())


@pytest.fixture
def crashed() -> Run:
    """C1 dies with two entries: C2 takes both over and does one. Then C2 dies with the other."""
    return written(
        (0.0, "added", "P1", "1-0", 0),
        (0.0, "added", "P1", "2-0", 0),
        (0.1, "delivered", "C1", "1-0", 1),
        (0.1, "delivered", "C1", "2-0", 1),
        (0.3, "crashed", "C1", "", 0),
        (0.8, "claimed", "C2", "1-0", 2),
        (0.8, "claimed", "C2", "2-0", 2),
        (0.9, "started", "C1", "", 0),
        (1.0, "processed", "C2", "1-0", 0),
        (1.0, "acked", "C2", "1-0", 0),
        (1.1, "crashed", "C2", "", 0),
    )


def test_lost_workers_as_a_table(crashed: Run) -> None:
    """A row each: what they held, what became of it, and no time where it never was all done."""
    frame = tables.recovery(crashed)
    assert frame.to_dict("list") == {
        "consumer": ["C1", "C2"],
        "kind": ["crashed", "crashed"],
        "at": [0.3, 1.1],
        "held": [2, 1],
        "taken_over": [2, 0],
        "settled": [1, 0],
        "time": [pytest.approx(NAN, nan_ok=True)] * 2,
        "recovered": [False, False],
    }
    assert frame["time"].dtype == "float64"


def test_an_entrys_story(crashed: Run) -> None:
    """Its own events and what befell its owner: not C1's restart, which had lost it by then."""
    frame = tables.story(crashed, "1-0")
    assert list(zip(frame["at"], frame["event"], frame["actor"], frame["owner"], strict=True)) == [
        (0.0, "added", "P1", ""),
        (0.1, "delivered", "C1", "C1"),
        (0.3, "crashed", "C1", "C1"),
        (0.8, "claimed", "C2", "C2"),
        (1.0, "processed", "C2", "C2"),
        (1.0, "acked", "C2", ""),
    ]
    assert list(frame["since"])[1:] == pytest.approx([0.0, 0.2, 0.0, 0.2, 0.2])
    assert [None if pd.isna(n) else n for n in frame["delivery_count"]] == [None, 1, None, 2, None, None]
    with pytest.raises(ValueError, match="no entry '9-9'"):
        tables.story(crashed, "9-9")


def test_a_group_that_is_gone_is_part_of_the_story() -> None:
    """From then on nobody owns the entry, until it is delivered again."""
    run = written(
        (0.0, "added", "P1", "1-0", 0),
        (0.1, "delivered", "C1", "1-0", 1),
        (0.2, "trimmed", "lab", "1-0", 0),
        (0.3, "group_destroyed", "lab", "", 0),
        (0.4, "crashed", "C1", "", 0),
    )
    frame = tables.story(run, "1-0")
    assert list(zip(frame["event"], frame["owner"], strict=True)) == [
        ("added", ""), ("delivered", "C1"), ("trimmed", "C1"), ("group_destroyed", ""),
    ]  # fmt: skip


def test_a_name_cannot_act_on_a_screen() -> None:
    """Control characters are written out, and HTML is escaped by pandas' plain table."""
    run = written((0.0, "added", "P1\x1b[2J", "1-0", 0), (0.1, "delivered", "<b>C1</b>", "1-0", 1))
    frame = tables.story(run, "1-0")
    assert list(frame["actor"]) == ["P1\\x1b[2J", "<b>C1</b>"]
    html = frame.to_html()
    assert "<b>C1" not in html
    assert "&lt;b&gt;C1" in html


def test_strategies_as_a_table(crashed: Run) -> None:
    """What `compare` says, a row each."""
    frame = tables.strategies({"claim": [crashed], "twice": [crashed, crashed]})
    assert list(frame.index) == ["claim", "twice"]
    assert list(frame["n_losses"]) == [2, 4]
    assert frame.loc["claim", "time_p50"] == math.inf


def test_a_run_gives_its_tables(eventful: Run) -> None:
    """By name, the same as the function's; another name is refused with all that there are."""
    pd.testing.assert_frame_equal(eventful.to_frame(), tables.entries(eventful))
    for name in ("entries", "deliveries", "consumers", "backlog", "events", "recovery"):
        pd.testing.assert_frame_equal(eventful.to_frame(name), getattr(tables, name)(eventful))
    with pytest.raises(ValueError, match="no table 'entry' of a run: take one of entries, deliveries, consumers, "):
        eventful.to_frame("entry")


def test_without_pandas_a_table_says_what_to_install(eventful: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a run can be had without."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.delitem(sys.modules, "streamlab.results.frames")
    monkeypatch.delattr("streamlab.results.frames")
    with pytest.raises(ModuleNotFoundError, match=r"pandas.*pip install 'consumer-group-lab\[course\]'"):
        eventful.to_frame()
