"""A run that is played back: it shows what the panel showed at that moment, and is small enough to be sent."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from streamlab.actors.events import EventKind
from streamlab.lab.lab import Lab
from streamlab.results.events import Event
from streamlab.results.recent import Recent
from streamlab.results.recovery import lost_workers
from streamlab.results.run import Run
from streamlab.scenario import Arrivals, Scenario, Service, consumers, load_scenario, producers
from streamlab.views.playback import Playback
from streamlab.views.playback.recording import record
from streamlab.views.playback.turns import turns_of
from streamlab.views.shown.state import state_of
from tests.views.figures import story, written
from tests.views.test_panel_view import VIEW, node, with_node

#: So long that curves and lanes look back as far as those of the panel; C2 is killed, C3 a zombie, C1 fails.
TROUBLED = (
    Scenario(
        name="troubled",
        producers=producers(2, Arrivals("poisson", rate=2.0)),
        consumers=consumers(3, Service("exponential", mean=0.5), count=3),
        duration=40.0,
    )
    .with_recovery("autoclaim", min_idle=2.0, max_deliveries=2, restart_after=4.0)
    .with_faults("kill C2 at 6s", "pause-in-work C3 nth 20 for 6s", "set-recovery none at 28s", "kill P1 at 30s")
    .with_faults("poison P2 nth 12")
)  # fmt: skip
#: About when it is looked at: at the next moment at which something happens, and then nothing for a while.
MOMENTS = (0.5, 3.3, 6.0, 7.9, 9.4, 12.0, 16.5, 19.5, 22.5, 25.0, 31.7)
A_WHILE = 0.05

#: What a page shows of a recording at some moments.
_STATES = """
import { Recording } from VIEW;
import { readFileSync } from "node:fs";
const { data, moments } = JSON.parse(readFileSync(0));
const recording = new Recording(data);
const back = moments.toReversed().map((at) => recording.stateAt(at)).toReversed();
console.log(JSON.stringify({ forth: moments.map((at) => recording.stateAt(at)), back }));
"""


@with_node
@pytest.mark.parametrize("n_groups", [1, 2])
def test_a_page_shows_what_the_panel_showed(n_groups: int, tmp_path: Path) -> None:
    """At each moment, whichever way one comes there: consumers, pending, waiting, bars, curves, headline, figures."""
    scenario = TROUBLED
    if n_groups == 2:
        billing = consumers(1, Service("exponential", mean=0.3))[0].replace(name="B1", group="billing")
        scenario = scenario.replace(consumers=(*scenario.consumers, billing)).with_faults("kill B1 at 10s")
    run = Lab(scenario).run()
    times = [event.at for event in run.events]
    last = [at for at, later in itertools.pairwise(times) if later > at + A_WHILE]
    moments = [next(at for at in last if at >= moment) for moment in MOMENTS]
    with Lab(scenario) as lab:
        shown = []
        for at in moments:
            lab.run_until(at)
            shown.append(json.loads(json.dumps(state_of(lab))))
    workers = run.of("workers")
    assert any(workers.recovery.times)
    assert workers.dead_lettered
    assert workers.duplicates
    script = tmp_path / "states.mjs"
    script.write_text(_STATES.replace("VIEW", json.dumps((VIEW / "recording.mjs").as_uri())))
    told = node(script, stdin=json.dumps({"data": record(run), "moments": [round(at, 3) for at in moments]}))
    assert told.returncode == 0, told.stderr
    states = json.loads(told.stdout)
    assert states["forth"] == states["back"]
    *planned, _, last = [[by, what] for _, by, what, _ in states["forth"][-1]["by_hand"]]
    assert [*planned, last] == [
        ["lab", "pause-in-work C3 nth 20 for 6s"],
        ["lab", "poison P2 nth 12"],
        ["lab", "kill C2 at 6s"],
        *([["lab", "kill B1 at 10s"]] if n_groups == 2 else []),
        ["lab", "kill P1 at 30s"],
    ]
    assert [[by, what] for _, by, what, _ in states["forth"][0]["by_hand"]] == planned[:2]
    for panel, page in zip(shown, states["forth"], strict=True):
        for name in ("title", "engine", "stream", "window", "headline", "n_added", "n_acked", "n_pending"):
            assert page[name] == panel[name], (panel["at"], name)
        for name in ("backlog", "producers", "moves", "commands", "min_idle"):
            assert page[name] == panel[name], (panel["at"], name)
        unknown = {"lag": "–", "last_id": "–"}
        assert page["groups"] == [group | unknown for group in panel["groups"]], panel["at"]
        # Of several groups, one has them after the other, and one all by their numbers.
        assert in_order(page["bars"], n_groups) == in_order(panel["bars"], n_groups), panel["at"]
        for mine, theirs in zip(page["curves"], panel["curves"], strict=True):
            for name, values in theirs.items():
                assert mine[name] == pytest.approx(values, abs=0.051), (panel["at"], name)
        for name, figure in page["figures"].items():
            assert figure == panel["figures"][name], (panel["at"], name)
        only_the_server_knows = {"idle": None, "pid": None}
        assert page["consumers"] == [each | only_the_server_knows for each in panel["consumers"]]
        mine, theirs = (in_order(each["pending"], n_groups) for each in (page, panel))
        assert [[*row[:2], row[3], row[5]] for row in mine] == [[*row[:2], row[3], row[5]] for row in theirs]
        assert [row[2] for row in mine] == pytest.approx([row[2] for row in theirs], abs=0.002)
        letters = [in_order([row[1:4] for row in each["dead_letters"]], n_groups) for each in (page, panel)]
        assert letters[0] == letters[1]


@with_node
@pytest.mark.parametrize("name", ["sharded", "failover", "redis-crash"])
def test_a_page_shows_shards_and_servers_as_the_panel_did(name: str, tmp_path: Path) -> None:
    """Owners, what waits and is pending, servers and what they lost: at quiet moments, and as somebody dies."""
    run = Lab(name).run()
    recording = record(run)
    times = [event.at for event in run.events]
    last = [at for at, later in itertools.pairwise(times) if later > at + 0.004]
    moments = [next(at for at in last if at >= moment) for moment in (0.8, 1.2, 1.6, 2.9, 3.69, 3.8, 4.5)]
    with Lab(name) as lab:
        shown = []
        for at in moments:
            lab.run_until(at)
            shown.append(json.loads(json.dumps(state_of(lab))))
    script = tmp_path / "states.mjs"
    script.write_text(_STATES.replace("VIEW", json.dumps((VIEW / "recording.mjs").as_uri())))
    given = {"data": recording, "moments": [*(at + 0.001 for at in moments), recording["end"]]}
    told = node(script, stdin=json.dumps(given))
    assert told.returncode == 0, told.stderr
    untils = set()
    *pages, last_page = json.loads(told.stdout)["forth"]
    assert all(until == 0 for _, _, _, until, *_ in last_page["shards"])  # who stops gives back what it owns
    for panel, page in zip(shown, pages, strict=True):
        assert page["servers"] == panel["servers"], panel["at"]
        without_lease = [[[*row[:3], *row[4:]] for row in each["shards"]] for each in (page, panel)]
        assert without_lease[0] == without_lease[1], panel["at"]
        untils |= {row[3] for row in page["shards"]}
    # Of an owner that lives nobody knows; that of the dead one is over so long after it died, at the latest.
    over = [event.at + run.scenario.recovery.min_idle for event in run.events if event.kind == EventKind.CRASHED]
    assert untils == ({None, round(over[0], recording["digits"])} if name == "sharded" else set())


def in_order(rows: list[Any], n_groups: int) -> list[Any]:
    """Return the rows of one group as they are, those of several sorted."""
    return rows if n_groups == 1 else sorted(rows, key=str)


def test_a_run_of_ten_thousand_events_is_small() -> None:
    """A page of it has less than a megabyte, and asks for nothing."""
    run = Lab(load_scenario("crash").replace(entries=2_500, duration=None)).run()
    assert len(run.events) > 10_000
    page = Playback(run).page()
    assert len(page.encode()) < 1_000_000
    assert "://" not in page.replace("http://www.w3.org", "")
    assert page.count("</script>") == 2


def test_a_long_run_has_no_more_moments_than_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many events: the least time between two moments grows with the run."""
    monkeypatch.setattr("streamlab.views.playback.recording.MOST_MOMENTS", 60)
    recording = record(Lab("crash").run())
    times = [at for at, _ in recording["frames"]]
    assert 50 < len(times) <= 61
    assert times == sorted(set(times))
    assert times[-1] == recording["end"]


def test_turning_points(crash: Run) -> None:
    """Who died, who took over what, and when all was done again."""
    lost = lost_workers(crash.ledger, crash.final.pending)
    assert [tuple(turn) for turn in turns_of([*crash.events], lost)] == [
        (0.12, "trouble", "C2 died"),
        (0.3, "mending", "C1 took over 3 entries of C2"),
        (pytest.approx(0.43), "good", "all that C2 left is done"),
    ]


def test_turning_points_of_who_comes_back() -> None:
    """A restart gives a consumer its own entries again; a pause ends; the server goes down and comes up."""
    run = written(
        *story(1, "C1", 0.0, 0.01, 0.05, 0.05),
        *story(2, "C2", 0.0, 0.02),
        (0.1, "crashed", "C2"),
        (0.2, "started", "C2"),
        (0.21, "delivered", "C2", 2, 2),
        (0.3, "processed", "C2", 2),
        (0.31, "acked", "C2", 2),
        (0.35, "dead_lettered", "C2", 1),
        (0.4, "paused", "C1"),
        (0.5, "resumed", "C1"),
        (0.6, "server_down", "server"),
        (0.7, "server_up", "server"),
    )
    turns = turns_of([*run.events], lost_workers(run.ledger, {}))
    assert [(turn.mood, turn.words) for turn in turns] == [
        ("trouble", "C2 died"),
        ("mending", "C2 was restarted"),
        ("mending", "C2 was given 1 entry of its own again"),
        ("good", "all that C2 left is done"),
        ("trouble", "C2 gave up an entry: a dead letter"),
        ("trouble", "C1 was paused"),
        ("mending", "C1 went on"),
        ("trouble", "the server went down"),
        ("mending", "the server came up"),
    ]


def test_a_run_so_far_has_not_ended(crash: Run) -> None:
    """Its headline does not say so; that of a whole run does."""

    def last_headline(recording: dict[str, Any]) -> str:
        *_, words = (found["headline"][1] for _, found in recording["frames"] if "headline" in found)
        return str(words)

    assert "The run has ended." in last_headline(record(crash))
    assert "The run has ended." not in last_headline(record(crash, has_ended=False))


def test_events_so_far_are_in_the_runs_own_time() -> None:
    """Sorted, those that have been read: a live log counts from when the machine was started."""
    log = [Event(103.0, EventKind.CRASHED, "C1"), Event(102.0, EventKind.STARTED, "C2")]
    recent = Recent(load_scenario("crash"))
    recent.read(log, 3.0, origin=100.0)
    log.append(Event(104.0, EventKind.STOPPED, "C2"))
    assert [(event.at, event.actor) for event in recent.events()] == [(2.0, "C2"), (3.0, "C1")]


def test_what_a_run_is_called_is_no_markup() -> None:
    """The name of a scenario is text on the page that plays it, and where a notebook shows that."""
    run = Lab(load_scenario("many-to-many").replace(name="</title><b>&", entries=7, duration=None)).run()
    playback = Playback(run)
    assert "<title>&lt;/title&gt;&lt;b&gt;&amp; (simulated): a recorded run</title>" in playback.page()
    assert "<b>" not in playback._repr_html_()
    assert repr(playback).startswith("<Playback of </title><b>& (simulated): ")


def test_a_saved_run_is_the_same_page(tmp_path: Path, crash: Run) -> None:
    """`Playback.load` takes what `Run.save` wrote; a page is written whole."""
    crash.save(tmp_path / "run.jsonl")
    Playback.load(tmp_path / "run.jsonl").save(tmp_path / "run.html")
    assert (tmp_path / "run.html").read_text("utf-8") == Playback(crash).page()


def test_a_turning_point_is_gone_to_where_it_is_to_be_seen(monkeypatch: pytest.MonkeyPatch, crash: Run) -> None:
    """Its own time is told; where moments are few, one goes to the first that shows it."""
    monkeypatch.setattr("streamlab.views.playback.recording.MOST_MOMENTS", 3)
    recording = record(crash)
    assert 0.3 not in [at for at, _ in recording["frames"]]
    assert [[*times, words] for *times, _, words in recording["turns"]] == [
        [0.12, 0.12, "C2 died"],
        [0.3, 0.43, "C1 took over 3 entries of C2"],
        [0.43, 0.43, "all that C2 left is done"],
    ]
