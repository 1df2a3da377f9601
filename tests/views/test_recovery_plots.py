"""Figures of recoveries: what is drawn is what happened. No images are compared; the artists' data are."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib comes with consumer-group-lab[course]")


from streamlab import plots
from streamlab.lab.lab import Lab
from streamlab.lab.strategies import RecoveryTable, StrategyRow, compare
from streamlab.results.events import Event, EventLog
from streamlab.results.run import FinalState, Run
from streamlab.scenario import Scenario, Service, consumers, load_scenario
from streamlab.views.plots.deliveries import all_orphaned
from streamlab.views.plots.episode import Episode, episode_of
from streamlab.views.plots.picture import to_png
from streamlab.views.plots.style import TROUBLE


def written(*rows: tuple[Any, ...], final: FinalState | None = None, **recovery: Any) -> Run:
    """Return a run with these events: time, kind, actor, number of the entry, delivery count."""
    events = [
        Event(at, kind, actor, f"{rest[0]}-0" if rest else "", rest[1] if len(rest) > 1 else 0)
        for at, kind, actor, *rest in rows
    ]
    scenario = Scenario(name="written", consumers=consumers(3, Service()))
    scenario = scenario.with_recovery("autoclaim", **recovery)
    return Run(scenario, "simulated", "a test", EventLog.of(events), final or FinalState())


BEGIN = (
    *[(0.0, "added", "P1", n) for n in (1, 2)],
    *[(0.1, "delivered", "C2", n, 1) for n in (1, 2)],
    (0.3, "crashed", "C2"),
)


@pytest.fixture
def crash() -> Run:
    """C2 dies with two entries; C3 claims both at 0.7 s and does one after the other."""
    return written(
        *BEGIN,
        *[(0.7, "claimed", "C3", n, 2) for n in (1, 2)],
        *[(0.8, kind, "C3", 1) for kind in ("processed", "acked")],
        *[(0.9, kind, "C3", 2) for kind in ("processed", "acked")],
    )


def zombie(*, fenced: bool) -> Run:
    """C1 is paused, C2 claims its entry, C1 wakes while C2 is working on it."""
    return written(
        (0.0, "added", "P1", 1),
        (0.0, "delivered", "C1", 1, 1),
        (0.1, "paused", "C1"),
        (0.6, "claimed", "C2", 1, 2),
        (0.8, "resumed", "C1"),
        (0.8, "processed", "C1", 1),
        (0.8, "rejected" if fenced else "acked", "C1", 1),
        (1.0, "processed", "C2", 1),
        (1.0, "acked" if fenced else "void", "C2", 1),
        fenced=fenced,
    )


def lane_of(ax: Any, y: float) -> str:
    """Return whose lane is at this height."""
    ticks = zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)
    names = {tick: label.get_text() for tick, label in ticks}
    name: str = names[min(names, key=lambda tick: abs(tick - y))]
    return name


def boxes(ax: Any, label: str) -> list[tuple[str, float, float]]:
    """Return the bars of a kind: whose lane, start, end."""
    return sorted(
        (lane_of(ax, path.vertices[:, 1].mean()), path.vertices[:, 0].min(), path.vertices[:, 0].max())
        for collection in ax.collections
        if collection.get_label() == f"_{label}"
        for path in collection.get_paths()
    )


def marks(ax: Any, label: str) -> list[tuple[str, float, str]]:
    """Return the markers of a kind: whose lane, when, which marker."""
    return [
        (lane_of(ax, line.get_ydata()[0]), line.get_xdata()[0], str(line.get_marker()))
        for line in ax.lines
        if str(line.get_label()).startswith(f"_{label}")
    ]


def way(ax: Any) -> list[tuple[tuple[float, str], tuple[float, str]]]:
    """Return the pieces of the thick line: from when and whose lane to when and whose."""
    pieces = []
    for line in ax.lines:
        if line.get_label() == "_way":
            (x1, x2), (y1, y2) = line.get_xdata(), line.get_ydata()
            pieces.append(((x1, lane_of(ax, y1)), (x2, lane_of(ax, y2))))
    return pieces


def told(ax: Any) -> list[str]:
    return [text.get_text().replace("\n", " ") for text in ax.texts]


def title(figure: Any, panel: int = 0) -> str:
    text: str = figure.axes[panel].get_title(loc="left").replace("\n", " ")
    return text


def near(at: float) -> Any:
    return pytest.approx(at)


def test_the_line_follows_the_entry_from_lane_to_lane(crash: Run) -> None:
    """Entry 2 was the last to be done: from its delivery to C2, down to C3 at the claim, until it is processed."""
    figure = plots.recovery(crash)
    ax = figure.axes[0]
    assert [(piece[0][1], piece[1][1]) for piece in way(ax)] == [("C2", "C2"), ("C2", "C3"), ("C3", "C3")]
    assert [(piece[0][0], piece[1][0]) for piece in way(ax)] == [(0.1, 0.7), (0.7, 0.7), (0.7, 0.9)]
    assert marks(ax, "delivered") == [("C2", 0.1, "o")]
    assert marks(ax, "crash C2") == [("C2", 0.3, "X")]
    assert marks(ax, "claim") == [("C3", 0.7, "v")]
    assert marks(ax, "done") == [("C3", 0.9, "o")]
    words = told(ax)
    assert {"entry 2 delivered", "C2 dies", "C3 claims it", "done"} <= set(words)
    assert "nobody is working on it for 400 ms" in words
    assert title(figure) == "C2 dies with 2 entries; C3 claims them: done 600 ms after the loss"
    assert title(figure) in figure.alt  # type: ignore[attr-defined]


def test_work_and_stranded_entries_lie_where_they_were(crash: Run) -> None:
    """C2 was at entry 1 when it died; both lay there until 0.7 s; C3 did 1, then 2."""
    ax: Any = plots.recovery(crash).axes[0]
    assert boxes(ax, "stranded") == [("C2", near(0.3), near(0.7))] * 2
    assert boxes(ax, "lost too") == [("C2", near(0.1), near(0.3)), ("C3", near(0.7), near(0.8))]
    assert boxes(ax, "work") == [("C3", near(0.8), near(0.9))]
    hatches = {str(c.get_label()): c.get_hatch() for c in ax.collections}
    assert hatches["_stranded"]
    assert not hatches["_work"]


def test_an_entry_is_stranded_from_the_failure_on_not_from_the_crash_that_follows() -> None:
    """C2's handler fails at 0.2 s, C2 dies at 0.5 s, C3 claims at 0.9 s: nobody worked on it from 0.2 s on."""
    run = written(
        (0.0, "added", "P1", 1),
        (0.1, "delivered", "C2", 1, 1),
        (0.2, "failed", "C2", 1),
        (0.5, "crashed", "C2"),
        (0.9, "claimed", "C3", 1, 2),
        (1.0, "processed", "C3", 1),
        (1.0, "acked", "C3", 1),
    )
    assert boxes(plots.recovery(run, "1-0").axes[0], "stranded") == [("C2", near(0.2), near(0.9))]


def test_another_entry_can_be_followed(crash: Run) -> None:
    """Entry 1 is done at 0.8 s; one that nobody was given cannot be followed."""
    assert marks(plots.recovery(crash, "1-0").axes[0], "done") == [("C3", 0.8, "o")]
    with pytest.raises(ValueError, match="no consumer was given the entry '7-0'"):
        plots.recovery(crash, "7-0")


def test_min_idle_is_a_bracket_from_the_delivery_on(crash: Run) -> None:
    """From 0.1 s, for 0.5 s. With a heartbeat, of which no event tells, there is none."""
    ax: Any = plots.recovery(crash).axes[0]
    (bracket,) = (line for line in ax.lines if line.get_label() == "_min-idle")
    assert (min(bracket.get_xdata()), max(bracket.get_xdata())) == (0.1, near(0.6))
    assert any(words.startswith("min-idle 500 ms") for words in told(ax))
    beating = dataclasses.replace(crash, scenario=crash.scenario.with_recovery(heartbeat=0.1))
    lines = plots.recovery(beating).axes[0].lines
    assert not [line for line in lines if line.get_label() == "_min-idle"]


def test_pending_entries_beneath_with_those_that_nobody_works_at(crash: Run) -> None:
    """Two pending from 0.1 s, one from 0.8 s, none from 0.9 s; stranded both, from 0.3 to 0.7 s."""
    episode = episode_of(crash, None)
    assert episode is not None
    assert sorted(all_orphaned(crash, episode.absences)) == [(0.3, 0.7)] * 2
    below: Any = plots.recovery(crash).axes[1]
    areas = {str(c.get_label()): c for c in below.collections}
    assert areas["_pending"].get_paths()[0].get_extents().y1 == 2
    vertices = areas["_stranded"].get_paths()[0].vertices
    inside = vertices[vertices[:, 1] > 0]
    assert (inside[:, 0].min(), inside[:, 0].max(), inside[:, 1].max()) == (near(0.3), near(0.7), 2)
    assert below.get_ylabel().replace("\n", " ") == "pending entries"
    assert below.get_xlabel() == "time since the start of the run (s)"


def test_a_worker_that_is_back_has_yet_to_read_what_it_held() -> None:
    """C2 is back at 0.5 s; entry 2, which it had not begun, lies there until it is delivered again."""
    run = written(*BEGIN, (0.5, "started", "C2"), (0.7, "delivered", "C2", 2, 2))
    episode = episode_of(run, "2-0")
    assert episode is not None
    assert sorted(all_orphaned(run, episode.absences)) == [(0.3, 0.7), (0.3, math.inf)]


def test_what_nobody_takes_over_is_pending_to_the_edge() -> None:
    """No arrow, no done: the line goes on."""
    run = written(*BEGIN, (3.0, "added", "P1", 9), final=FinalState({"1-0": "C2", "2-0": "C2"}))
    figure = plots.recovery(run)
    ax = figure.axes[0]
    assert title(figure) == "C2 dies with 2 entries; nobody takes them over"
    assert way(ax)[-1][1][0] == ax.get_xlim()[1]
    assert (marks(ax, "claim"), marks(ax, "done")) == ([], [])
    assert "still pending" in told(ax)


def test_a_restarted_worker_reads_its_own_history() -> None:
    """The line stays in its lane."""
    run = written(
        *BEGIN[::2][:1], (0.1, "delivered", "C2", 1, 1), (0.3, "crashed", "C2"), (0.6, "started", "C2"),
        (0.6, "delivered", "C2", 1, 2), (0.8, "processed", "C2", 1), (0.8, "acked", "C2", 1),
    )  # fmt: skip
    figure = plots.recovery(run)
    assert title(figure) == "C2 dies with 1 entry; it comes back and reads it again: done 500 ms after the loss"
    assert {place for piece in way(figure.axes[0]) for _, place in piece} == {"C2"}
    (away,) = (p for p in figure.axes[0].patches if p.get_label() == "_crashed C2")
    extent = away.get_path().get_extents(away.get_patch_transform())
    assert (extent.x0, extent.x1) == (near(0.3), near(0.6))


def test_a_dead_letter_has_its_own_lane() -> None:
    """Entry 1 kills C1 and C2; C3 gives it up at its third delivery."""
    run = written(
        (0.0, "added", "P1", 1),
        (0.0, "delivered", "C1", 1, 1), (0.1, "crashed", "C1"),
        (0.6, "claimed", "C2", 1, 2), (0.7, "crashed", "C2"),
        (1.2, "claimed", "C3", 1, 3), (1.3, "dead_lettered", "C3", 1, 3),
        max_deliveries=2,
    )  # fmt: skip
    figure = plots.recovery(run)
    ax = figure.axes[0]
    assert title(figure).startswith("Entry 1 kills C1 and C2; then it goes to the dead letters")
    assert marks(ax, "dead letter") == [("dead letters", 1.3, "s")]
    assert [mark[:2] for mark in marks(ax, "crash")] == [("C1", 0.1), ("C2", 0.7)]
    assert way(ax)[-1][1] == (1.3, "dead letters")
    assert "delivery 3: one too many, given up" in told(ax)
    assert "is moved to the dead letters at 1.3 s" in figure.alt  # type: ignore[attr-defined]


def test_an_entry_that_was_given_up_is_followed_rather_than_one_that_came_through() -> None:
    """Entry 1 is lost first and done again; entry 2 ends among the dead letters."""
    run = written(
        (0.0, "added", "P1", 1), (0.0, "added", "P1", 2),
        (0.0, "delivered", "C1", 1, 1), (0.1, "crashed", "C1"),
        (0.2, "delivered", "C2", 2, 1), (0.3, "crashed", "C2"),
        (0.6, "claimed", "C3", 1, 2), (0.7, "processed", "C3", 1), (0.7, "acked", "C3", 1),
        (0.8, "claimed", "C3", 2, 2), (0.8, "dead_lettered", "C3", 2, 2),
        max_deliveries=1,
    )  # fmt: skip
    episode = episode_of(run, None)
    assert episode is not None
    assert (episode.entry, episode.number) == ("2-0", 2)


def test_a_paused_worker_is_a_grey_band_and_does_it_again() -> None:
    """C1 is paused from 0.1 to 1 s, and wakes when all is done."""
    run = written(
        (0.0, "added", "P1", 1), (0.0, "delivered", "C1", 1, 1), (0.1, "paused", "C1"),
        (0.6, "claimed", "C2", 1, 2), (0.7, "processed", "C2", 1), (0.7, "acked", "C2", 1),
        (1.0, "resumed", "C1"), (1.1, "processed", "C1", 1), (1.1, "void", "C1", 1),
    )  # fmt: skip
    figure = plots.recovery(run)
    ax = figure.axes[0]
    assert title(figure).endswith("done 600 ms after the loss, and once more by C1 when it wakes")
    (band,) = (p for p in ax.patches if p.get_label() == "_paused C1")
    extent = band.get_path().get_extents(band.get_patch_transform())
    assert (extent.x0, extent.x1) == (near(0.1), near(1.0))
    # It works before and after, not in between; and what it does then is marked.
    assert boxes(ax, "work") == [
        ("C1", near(0.0), near(0.1)), ("C1", near(1.0), near(1.1)), ("C2", near(0.6), near(0.7)),
    ]  # fmt: skip
    assert marks(ax, "again") == [("C1", 1.1, "D")]
    assert "paused" in told(ax)


def test_a_run_in_which_all_went_well() -> None:
    """Said, not drawn."""
    figure = plots.recovery(written((0.0, "added", "P1", 1), (0.0, "delivered", "C1", 1, 1)))
    assert title(figure) == "Nothing had to be recovered"


def test_many_lanes_are_left_out_but_for_those_that_had_the_entry() -> None:
    """Of 20 consumers six are shown, the dead one and the one that claims among them."""
    scenario = load_scenario("one-to-many").with_consumers(20).with_rate(300).with_service(0.02)
    scenario = scenario.with_recovery("autoclaim").with_faults("crash-before-effect C19 nth 3")
    run = Lab(scenario.replace(duration=2.0)).run()
    episode = episode_of(run, None)
    assert isinstance(episode, Episode)
    assert len(episode.lanes) == 6
    assert {delivery.consumer for delivery in episode.deliveries} <= set(episode.lanes)
    assert to_png(plots.recovery(run)) == to_png(plots.recovery(run))


# ---- zombies ---------------------------------------------------------------------------------------


def owned(ax: Any) -> list[tuple[str, float, float]]:
    """Return whose the entry was: name, from, to."""
    found = []
    for patch in ax.patches:
        if str(patch.get_label()).startswith("_owned"):
            extent = patch.get_path().get_extents(patch.get_patch_transform())
            found.append((str(patch.get_label()).split()[-1], extent.x0, extent.x1))
    return found


def test_the_wrong_acknowledgement_is_seen_and_with_fencing_there_is_none() -> None:
    """Without fencing C2 loses the entry at 0.8 s, in the middle of its work; fenced it is C2's until 1 s."""
    figure = plots.zombie(zombie(fenced=False), zombie(fenced=True))
    wrong, right = figure.axes
    assert owned(wrong)[:2] == [("C1", near(0.0), near(0.6)), ("C2", near(0.6), near(0.8))]
    assert owned(right)[:2] == [("C1", near(0.0), near(0.6)), ("C2", near(0.6), near(1.0))]
    assert owned(wrong)[2][0] == owned(right)[2][0] == "nobody"
    assert marks(wrong, "acked") == [("C1", 0.8, "X")]
    assert marks(wrong, "void") == [("C2", 1.0, "D")]
    assert marks(right, "rejected") == [("C1", 0.8, "D")]
    assert marks(right, "acked") == [("C2", 1.0, "o")]
    assert {"XACK → 1, and C2 owns it!", "XACK → 0: not pending"} <= set(told(wrong))
    assert {"refused: not its own", "XACK → 1: done"} <= set(told(right))
    assert title(figure) == "Without fencing: C1 wakes and acknowledges what C2 owns and is still working on"
    assert title(figure, 1).startswith("Fenced: C1 wakes, and its acknowledgement is refused")
    assert wrong.get_xlim() == right.get_xlim()


def test_a_run_without_a_zombie_is_refused(crash: Run) -> None:
    """The error says how to get one."""
    with pytest.raises(ValueError, match=r"no zombie in .* Pause a consumer"):
        plots.zombie(crash)
    with pytest.raises(ValueError, match="at least one"):
        plots.zombie()


# ---- strategies ------------------------------------------------------------------------------------


def row(name: str, p50: float, p95: float, **changes: Any) -> StrategyRow:
    base = StrategyRow(name, 1, 100, 4, 0, p50, p95, 2, 2, 0, 0, 0, 4.0, 0.1)
    return dataclasses.replace(base, **changes)


def test_strategies_side_by_side() -> None:
    """Times, what is left, what is done again, and round trips; what never comes is a ✕ at the edge."""
    table = RecoveryTable(
        (
            row("none", math.inf, math.inf, left=7, n_unrecovered=4, round_trips=math.nan),
            row("claim", 0.5, math.inf, n_unrecovered=1, left=1, duplicates=5),
            row("restart", 0.4, 0.8),
        )
    )
    figure: Any = plots.strategies(table)
    times, left, again, trips = figure.axes
    assert [label.get_text() for label in times.get_yticklabels()] == ["none", "claim", "restart"]
    at = [(line.get_ydata()[0], line.get_xdata()[0]) for line in times.lines if line.get_label() == "_time"]
    assert at == [(1, 0.5), (2, 0.4), (2, 0.8)]
    never = [line for line in times.lines if line.get_label() == "_never"]
    assert [line.get_ydata()[0] for line in never] == [0, 0, 1]
    assert {line.get_color() for line in never} == {TROUBLE}
    widths = [[patch.get_width() for patch in ax.patches] for ax in (left, again, trips)]
    assert widths == [[7, 1, 0], [2, 5, 2], [0, 4.0, 4.0]]
    assert "not known" in told(trips)
    assert figure.get_suptitle() == "Nothing is left undone with: restart"
    assert "claim: half of the losses recovered within 500 ms, 95 % never" in figure.alt
    assert np.isfinite(times.get_xlim()).all()


def test_strategies_of_runs() -> None:
    """Given runs, it draws what `compare` says of them."""
    runs = {"as it is": [Lab("crash").run()]}
    given, compared = plots.strategies(runs), plots.strategies(compare(runs))
    assert given.alt == compared.alt  # type: ignore[attr-defined]
    assert "as it is: half of the losses recovered" in given.alt  # type: ignore[attr-defined]


# ---- overview --------------------------------------------------------------------------------------


def test_an_overview_shows_crashes_and_pauses() -> None:
    """On the timeline and over the backlog."""
    run = written(
        *BEGIN, (0.4, "paused", "C1"), (0.6, "resumed", "C1"), (0.7, "claimed", "C3", 1, 2),
        (0.9, "processed", "C3", 1), (0.9, "acked", "C3", 1),
    )  # fmt: skip
    figure: Any = plots.overview(run)
    lanes, curves = figure.axes[:2]
    assert [line.get_xdata()[0] for line in lanes.lines if line.get_label() == "_crash C2"] == [0.3]
    assert [patch.get_label() for patch in lanes.patches if "paused" in str(patch.get_label())]
    words = [text.get_text() for text in curves.texts]
    assert {"C2 crashes", "C1 is paused"} <= set(words)
