"""Figures: what is drawn is what happened. No images are compared; the artists' data are."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import math
import re
import sys
import weakref
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib comes with consumer-group-lab[course]")

from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from streamlab import plots
from streamlab.lab.lab import Lab
from streamlab.results.events import Event, EventLog
from streamlab.results.run import FinalState, Run
from streamlab.scenario import Arrivals, Scenario, Service, consumers, producers
from streamlab.scenario.named import many_to_many, one_to_many, one_to_one
from streamlab.views.plots.backlog import N_PARTS, envelope
from streamlab.views.plots.deliveries import (
    ORPHANED,
    PROCESSING,
    READABLE,
    UNACKED,
    WAITING,
    Delivery,
    Lanes,
    Phase,
    lay_out,
    phases,
)
from streamlab.views.plots.sojourn import distribution
from streamlab.views.plots.style import COLOURS, TROUBLE, ink_on
from streamlab.views.plots.words import named, time_text, unit_for

ALL = (plots.timeline, plots.backlog, plots.shares, plots.sojourn, plots.overview)


def written(*rows: tuple[Any, ...], n_consumers: int = 2, n_producers: int = 1) -> Run:
    """Return a run with these events: time, kind, actor, number of the entry, delivery count."""
    events = [
        Event(at, kind, actor, f"{rest[0]}-0" if rest else "", rest[1] if len(rest) > 1 else 0)
        for at, kind, actor, *rest in rows
    ]
    scenario = Scenario(
        name="written", producers=producers(n_producers, Arrivals()), consumers=consumers(n_consumers, Service())
    )
    return Run(scenario, "simulated", "a test", EventLog.of(events), FinalState())


def story(number: int, consumer: str, *at: float, producer: str = "P1") -> list[tuple[Any, ...]]:
    """Return the rows of an entry that is added, delivered, processed and acked at these times."""
    kinds = ("added", "delivered", "processed", "acked")
    actors = (producer, consumer, consumer, consumer)
    return [
        (when, kind, actor, number, int(kind == "delivered"))
        for when, kind, actor in zip(at, kinds, actors, strict=False)
    ]


@pytest.fixture(scope="module")
def seven() -> Run:
    """Scenario 4 as the course tells it: 7 entries, 3 consumers."""
    return Lab(many_to_many().replace(entries=7, duration=None)).run()


@pytest.fixture(scope="module")
def shared() -> Run:
    """Scenario 2: 8,000 entries over 4 consumers."""
    return Lab("one-to-many").run()


@pytest.fixture(scope="module")
def overloaded() -> Run:
    """One consumer that is 20 % too slow: the backlog grows for as long as entries are added."""
    return Lab(one_to_one().with_rate(240)).run()


@pytest.fixture
def crash() -> Run:
    """C2 crashes at 0.12 s with one entry done and two not; at 0.3 s C1 claims all three."""
    return written(
        *story(1, "C1", 0.0, 0.01, 0.05, 0.05),
        *[row for n in (2, 3, 4) for row in story(n, "C2", 0.0, 0.02)],
        (0.08, "processed", "C2", 2),
        (0.12, "crashed", "C2"),
        *[(0.3, "claimed", "C1", n, 2) for n in (2, 3, 4)],
        *[(0.3 + 0.04 * n, "processed", "C1", n + 1) for n in (1, 2, 3)],
        *[(0.31 + 0.04 * n, "acked", "C1", n + 1) for n in (1, 2, 3)],
    )


def only_axes(figure: Figure) -> Axes:
    (ax,) = figure.axes
    return ax


def title(figure: Figure) -> str:
    return only_axes(figure).get_title(loc="left").replace("\n", " ")


def boxes(ax: Axes, kind: str) -> list[tuple[float, float, float, float, str]]:
    """Return the bars of a phase: start, end, middle, height, colour; by start and place."""
    found = []
    for collection in ax.collections:
        label = str(collection.get_label())
        if label.startswith(f"_{kind}"):
            for path in collection.get_paths():
                x, y = path.vertices[:, 0], path.vertices[:, 1]
                found.append((x.min(), x.max(), (y.min() + y.max()) / 2, np.ptp(y), label.split()[-1]))
    return sorted(found)


def lane_of(ax: Axes, y: float) -> str:
    """Return whose lane is at this height."""
    names = {tick: label.get_text() for tick, label in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)}
    return names[min(names, key=lambda tick: abs(tick - y))]


def numbers(ax: Axes) -> dict[str, list[str]]:
    """Return which numbers stand in whose lane, from left to right."""
    found: dict[str, list[tuple[float, str]]] = {}
    for text in ax.texts:
        x, y = text.xy
        found.setdefault(lane_of(ax, y), []).append((x, text.get_text()))
    return {name: [words for _, words in sorted(in_lane)] for name, in_lane in found.items()}


# ---- timeline --------------------------------------------------------------------------------------


def test_bars_of_the_timeline_are_the_deliveries(seven: Run) -> None:
    """Each entry's bar lies in its consumer's lane and reaches from delivery to the end of its processing."""
    ax = only_axes(plots.timeline(seven))
    bars = boxes(ax, PROCESSING)
    given = sorted(seven.ledger.deliveries, key=lambda delivery: delivery.delivered)
    assert [(start, end) for start, end, *_ in bars] == [
        (pytest.approx(delivery.delivered), pytest.approx(delivery.processed)) for delivery in given
    ]
    assert [lane_of(ax, y) for _, _, y, *_ in bars] == [delivery.consumer for delivery in given]


def test_scenario_four_is_read_off_the_timeline(seven: Run) -> None:
    """1→C1, 2→C2, 3→C3, 4→C1 … 7→C1: in the bars, in the title, and in words."""
    figure = plots.timeline(seven)
    assert numbers(only_axes(figure)) == {
        "XADD": ["1", "2", "3", "4", "5", "6", "7"],
        "C1": ["1", "4", "7"],
        "C2": ["2", "5"],
        "C3": ["3", "6"],
    }
    told = "7 entries, 3 consumers: 1→C1, 2→C2, 3→C3, 4→C1, 5→C2, 6→C3, 7→C1"
    assert title(figure) == told
    assert told in figure.alt


def test_the_four_phases_are_told_apart(crash: Run) -> None:
    """What waits in the hand, is processed, is not acked, and is orphaned: extents and looks differ."""
    ax = only_axes(plots.timeline(crash))
    in_c2 = {
        kind: [(s, e) for s, e, y, *_ in boxes(ax, kind) if lane_of(ax, y) == "C2"]
        for kind in (WAITING, PROCESSING, UNACKED, ORPHANED)
    }
    assert in_c2 == {
        # 3 waits for 2, and 4 for 3, which it never sees the end of.
        WAITING: [pytest.approx((0.02, 0.08)), pytest.approx((0.02, 0.12))],
        # 2 was done; 3 was being done when the consumer died.
        PROCESSING: [pytest.approx((0.02, 0.08)), pytest.approx((0.08, 0.12))],
        UNACKED: [pytest.approx((0.08, 0.12))],
        ORPHANED: [pytest.approx((0.12, 0.3))] * 3,
    }
    looks = {
        kind: (height, collection.get_hatch())
        for kind in in_c2
        for *_, height, of in boxes(ax, kind)[:1]
        for collection in ax.collections
        if collection.get_label() == f"_{kind} {of}"
    }
    # In grey they differ by height, or by hatching.
    assert len({(round(height, 3), hatch) for height, hatch in looks.values()}) == 4


def test_a_claimed_entry_keeps_its_first_colour_and_is_marked(crash: Run) -> None:
    """In C1's lane, what was C2's has C2's colour, a frame and a star."""
    ax = only_axes(plots.timeline(crash))
    colours = [of for *_, y, _, of in boxes(ax, PROCESSING) if lane_of(ax, y) == "C1"]
    assert colours == [COLOURS[0], COLOURS[1], COLOURS[1], COLOURS[1]]
    frames = boxes(ax, "claimed")
    assert [(s, e) for s, e, *_ in frames] == [pytest.approx((0.3, end)) for end in (0.35, 0.39, 0.43)]
    (stars,) = (line for line in ax.lines if line.get_label() == "_claims")
    assert stars.get_marker() == "*"
    assert list(stars.get_xdata()) == [0.3] * 3


def test_a_crash_is_marked_and_told(crash: Run) -> None:
    """The title says who crashed, when, with what, and what became of it."""
    figure = plots.timeline(crash)
    ax = only_axes(figure)
    assert title(figure) == "C2 crashes at 120 ms with 3 entries pending; 180 ms later C1 claims them"
    (mark,) = (line for line in ax.lines if line.get_label() == "_crash C2")
    assert mark.get_marker() == "X"
    assert list(mark.get_xdata()) == [0.12]
    assert lane_of(ax, mark.get_ydata()[0]) == "C2"
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "delivered, waiting in the consumer's hands",
        "being processed",
        "processed, not yet acked",
        "pending, nobody is working on it",
        "claimed",
        "crash",
    ]


def test_a_crash_after_which_nobody_claims() -> None:
    """What is orphaned stays so to the edge of the figure."""
    run = written(*story(1, "C1", 0, 0, 0.9, 0.9), *story(2, "C2", 0, 0.1), (0.2, "crashed", "C2"))
    figure = plots.timeline(run)
    ax = only_axes(figure)
    assert title(figure) == "C2 crashes at 200 ms with 1 entry pending; nobody takes it over"
    assert [(s, e) for s, e, *_ in boxes(ax, ORPHANED)] == [pytest.approx((0.2, ax.get_xlim()[1]))]


def test_a_crash_with_nothing_in_hand() -> None:
    """A consumer that crashes while it waits leaves nothing."""
    run = written(*story(1, "C1", 0, 0, 0.9, 0.9), *story(2, "C2", 0, 0, 0.1, 0.1), (0.2, "crashed", "C2"))
    assert title(plots.timeline(run)) == "C2 crashes at 200 ms with nothing pending"


def test_what_was_claimed_before_the_crash_is_not_counted() -> None:
    """An entry belongs to whoever had it last: the one that crashes had lost one of its two."""
    run = written(
        *story(1, "C2", 0, 0.01), *story(2, "C2", 0, 0.01), (0.1, "claimed", "C1", 1, 2), (0.2, "crashed", "C2")
    )
    words = "C2 crashes at 200 ms with 1 entry pending; nobody takes it over"
    assert title(plots.timeline(run)) == words


def test_a_restarted_consumer_reads_its_own_history() -> None:
    """The same consumer is given the entry again: not a claim."""
    run = written(
        *story(1, "C1", 0, 0),
        (0.1, "crashed", "C1"),
        (0.2, "started", "C1"),
        (0.3, "delivered", "C1", 1, 2),
        (0.4, "processed", "C1", 1),
        (0.4, "acked", "C1", 1),
        n_consumers=1,
    )
    figure = plots.timeline(run)
    ax = only_axes(figure)
    assert title(figure) == "C1 crashes at 100 ms with 1 entry pending; 200 ms later it comes back and reads it again"
    assert [(s, e) for s, e, *_ in boxes(ax, ORPHANED)] == [pytest.approx((0.1, 0.3))]
    assert [(s, e) for s, e, *_ in boxes(ax, PROCESSING)] == [
        pytest.approx((0.0, 0.1)), pytest.approx((0.3, 0.4)),
    ]  # fmt: skip
    assert not boxes(ax, "claimed")


def test_a_zombie_is_drawn_to_its_end() -> None:
    """A paused consumer goes on with an entry that has been claimed from it, and processes it again."""
    run = written(
        *story(1, "C1", 0, 0.01),
        (0.05, "paused", "C1"),
        (0.3, "claimed", "C2", 1, 2),
        (0.34, "processed", "C2", 1),
        (0.34, "acked", "C2", 1),
        (0.45, "resumed", "C1"),
        (0.5, "processed", "C1", 1),
    )
    figure = plots.timeline(run)
    ax = only_axes(figure)
    assert title(figure) == "1 entry is claimed by C2; 1 is processed more than once"
    assert [(s, e) for s, e, *_ in boxes(ax, PROCESSING)] == [
        pytest.approx((0.01, 0.5)), pytest.approx((0.3, 0.34)),
    ]  # fmt: skip
    (pause,) = (patch for patch in ax.patches if patch.get_label() == "_paused C1")
    extent = pause.get_path().get_extents(pause.get_patch_transform())
    assert (extent.x0, extent.x1) == pytest.approx((0.05, 0.45))


def test_prefetched_entries_lie_one_below_the_other() -> None:
    """With COUNT 3, three entries are held at once: three rows, a stair of processing."""
    run = written(*[row for n in (1, 2, 3) for row in story(n, "C1", 0, 0, 0.1 * n, 0.1 * n)], n_consumers=1)
    ax = only_axes(plots.timeline(run))
    bars = boxes(ax, PROCESSING)
    assert [y for *_, y, _, _ in bars] == [0.5, 1.5, 2.5]
    assert [(s, e) for s, e, *_ in boxes(ax, WAITING)] == [
        pytest.approx((0, 0.1)), pytest.approx((0, 0.2)),
    ]  # fmt: skip


def test_a_long_run_is_shown_from_its_beginning(shared: Run) -> None:
    """Of 8,000 deliveries the first 40, all with their numbers, and the figure says how many it shows."""
    figure = plots.timeline(shared)
    ax = only_axes(figure)
    assert len(boxes(ax, PROCESSING)) == READABLE == 40
    assert ax.get_xlim()[1] == pytest.approx(0.05)
    assert ax.get_xlabel() == "time since the start of the run (ms); 40 of 8,000 deliveries"
    assert numbers(ax)["C4"] == [str(n) for n in range(4, 41, 4)]
    assert title(figure) == "40 entries go to C1, C2, C3 and C4 in turn"


def test_a_window_shows_what_reaches_into_it(shared: Run) -> None:
    """From 5 s to 5.02 s: 16 deliveries, and those that were being processed at 5 s."""
    lanes = lay_out(shared, 5.0, 5.02, 1_500)
    inside = [s for s in shared.ledger.deliveries if s.delivered < 5.02 and s.acked > 5.0]
    assert [drawn.delivery for drawn in lanes.drawn] == sorted(inside, key=lambda s: s.delivered)
    assert 16 <= len(inside) <= 19
    shown = only_axes(plots.timeline(shared, start=5.0, end=5.02))
    assert shown.get_xlim() == pytest.approx((5.0, 5.02), abs=0.001)


def test_no_more_than_max_entries_are_drawn(shared: Run) -> None:
    """A window that holds too many ends earlier, and says so."""
    ax = only_axes(plots.timeline(shared, start=0, end=10, max_entries=100))
    assert len(boxes(ax, PROCESSING)) == 100
    assert ax.get_xlim()[1] == pytest.approx(100 / 800)
    assert ax.get_xlabel().endswith("; 100 of 8,000 deliveries, as many as max_entries")


def test_a_batch_larger_than_max_entries_still_has_a_window() -> None:
    """Entries delivered all at once cannot be cut by time."""
    run = written(*[row for n in range(1, 9) for row in story(n, "C1", 0, 0, 0.1 * n, 0.1 * n)])
    lanes = lay_out(run, None, None, 3)
    assert len(lanes.drawn) == 3
    assert lanes.end > lanes.start


@pytest.mark.parametrize(
    ("arguments", "words"), [({"start": 2.0, "end": 2.0}, "no length"), ({"max_entries": 0}, "max_entries is 0")]
)
def test_a_window_of_nothing_is_refused(seven: Run, arguments: dict[str, Any], words: str) -> None:
    """The error says what to give instead."""
    with pytest.raises(ValueError, match=words):
        plots.timeline(seven, **arguments)


def test_of_a_long_run_the_trouble_is_shown() -> None:
    """The window reaches from before the first crash until what was claimed is done."""
    quiet = [row for n in range(1, 500) for row in story(n, "C1", n / 100, n / 100, n / 100, n / 100)]
    run = written(
        *quiet,
        *story(500, "C2", 2.5, 2.5),
        (2.6, "crashed", "C2"),
        (3.6, "claimed", "C1", 500, 2),
        (3.7, "processed", "C1", 500),
        (3.7, "acked", "C1", 500),
    )
    lanes = lay_out(run, None, None, 1_500)
    assert lanes.start < 2.6 - 0.1
    assert 3.7 < lanes.end < 3.9
    assert "C2 crashes at 2.6 s with 1 entry pending; 1 s later C1 claims it" in title(plots.timeline(run))


def test_what_became_of_a_crash_is_told_of_the_whole_run(crash: Run) -> None:
    """A window that ends before the claim does not make the title say that nobody claims."""
    assert title(plots.timeline(crash, end=0.2)).endswith("180 ms later C1 claims them")


def test_colours_by_producer_where_there_is_one_consumer() -> None:
    """Many to one: the bars show whose entry it is, and each producer has a marker of its own."""
    run = written(
        *story(1, "C1", 0, 0, 0.1, 0.1, producer="P1"),
        *story(2, "C1", 0.05, 0.1, 0.2, 0.2, producer="P2"),
        n_consumers=1,
        n_producers=2,
    )
    ax = only_axes(plots.timeline(run))
    assert [of for *_, of in boxes(ax, PROCESSING)] == [COLOURS[0], COLOURS[1]]
    added = {str(c.get_label()): c for c in ax.collections if str(c.get_label()).startswith("_added")}
    assert list(added) == ["_added P1", "_added P2"]
    shapes = [c.get_paths()[0].vertices.shape for c in added.values()]
    assert shapes[0] != shapes[1]
    by_consumer = only_axes(plots.timeline(run, colour_by="consumer"))
    assert {of for *_, of in boxes(by_consumer, PROCESSING)} == {COLOURS[0]}


def phases_of(lanes: Lanes, consumer: str) -> list[tuple[Phase, ...]]:
    return [drawn.phases for drawn in lanes.lanes[consumer]]


def test_a_delivery_in_no_time_is_still_shown() -> None:
    """A service time of 0 gives a bar of no width rather than no bar."""
    lanes = lay_out(written(*story(1, "C1", 1, 1, 1, 1)), None, None, 10)
    assert phases_of(lanes, "C1") == [(Phase(PROCESSING, 1, 1),)]


@pytest.mark.parametrize(
    ("begun", "expected"),
    [
        (0.0, (Phase(PROCESSING, 0.0, 0.2),)),
        (0.1, (Phase(WAITING, 0.0, 0.1), Phase(PROCESSING, 0.1, 0.2))),
        (0.3, (Phase(WAITING, 0.0, 0.2),)),
        (math.nan, (Phase(WAITING, 0.0, 0.2),)),
    ],
)
def test_a_bar_ends_with_an_early_acknowledgement(begun: float, expected: tuple[Phase, ...]) -> None:
    """Acked at 0.2 s and processed at 0.4 s or never: a consumer has nothing to do any more with what is acked."""
    processed = begun if math.isnan(begun) else 0.4
    delivery = Delivery("1-0", "C1", 0.0, 1, claimed=False, begun=begun, processed=processed, acked=0.2)
    assert phases(delivery, None, ()) == expected


def test_what_is_acked_before_its_turn_is_never_at_work() -> None:
    """Three entries are read at once and acked before anything is done: each waits until then, and no longer."""
    run = written(
        *[row for n in (1, 2, 3) for row in story(n, "C1", 0, 0)],
        *[(0.1, "acked", "C1", n) for n in (1, 2, 3)],
        *[(0.1 + 0.2 * n, "processed", "C1", n) for n in (1, 2)],
        n_consumers=1,
    )
    ax = only_axes(plots.timeline(run))
    assert [(start, end) for start, end, *_ in boxes(ax, WAITING)] == [pytest.approx((0, 0.1))] * 3
    assert boxes(ax, PROCESSING) == []


@pytest.mark.parametrize("until", [0.3, 0.45, 0.7, 2.0])
def test_phases_of_a_delivery_follow_each_other_without_gaps(until: float) -> None:
    """Whenever a run with a crash is looked at, every delivery is one unbroken chain from its delivery."""
    lab = Lab(one_to_many().with_rate(900).with_count(4).replace(duration=0.5))
    lab.run_until(0.25)
    lab.kill("C2")
    with lab:
        lanes = lay_out(lab.run_until(until), None, None, 10_000)
    assert lanes.drawn
    for drawn in lanes.drawn:
        assert drawn.phases[0].start == drawn.delivery.delivered
        for before, after in itertools.pairwise(drawn.phases):
            assert before.end == after.start
        if not math.isnan(drawn.delivery.acked):
            assert drawn.over == drawn.delivery.acked
    for lane in lanes.lanes.values():
        for row in {drawn.row for drawn in lane}:
            in_row = [drawn for drawn in lane if drawn.row == row]
            for before_, after_ in itertools.pairwise(in_row):
                assert before_.over <= after_.delivery.delivered, "bars lie over each other"


# ---- backlog ---------------------------------------------------------------------------------------


def line(ax: Axes, label: str) -> tuple[Any, Any]:
    (found,) = (line for line in ax.lines if str(line.get_label()).startswith(label))
    return np.asarray(found.get_xdata()), np.asarray(found.get_ydata())


def test_backlog_of_a_short_run_is_the_series_itself() -> None:
    """Few points are drawn as they are, to the end of the run."""
    run = written(*story(1, "C1", 0, 1, 2, 2), *story(2, "C1", 0.5, 2, 3, 4))
    ax = only_axes(plots.backlog(run))
    at, values = line(ax, "backlog")
    assert list(at) == [*run.series.at, run.duration]
    assert list(values[:-1]) == run.series.backlog
    at, values = line(ax, "pending")
    assert list(values[:-1]) == run.series.pending
    assert ax.get_xlim()[1] >= run.duration == 4


def test_the_peak_is_marked_and_in_the_title(overloaded: Run) -> None:
    """Marker, number beside it, and title give the run's own maximum."""
    figure = plots.backlog(overloaded)
    ax = only_axes(figure)
    _, peak = line(ax, "_peak")
    assert list(peak) == [overloaded.backlog_max]
    assert f"{overloaded.backlog_max:,}" in [text.get_text() for text in ax.texts]
    assert title(figure).startswith(f"Backlog reaches {overloaded.backlog_max:,} entries at 9.")
    assert "last entry added" in [text.get_text() for text in ax.texts]


def test_a_band_is_explained_if_it_is_seen(overloaded: Run) -> None:
    """Not where it is thinner than the line in it: a curve that goes up and down, but not one that only climbs."""
    by_chance = Scenario(
        name="by-chance",
        producers=producers(1, Arrivals("poisson", rate=180)),
        consumers=consumers(1, Service("exponential", mean=0.005)),
        duration=10.0,
    )
    for run, is_seen in ((overloaded, False), (Lab(by_chance).run(), True)):
        legend = only_axes(plots.backlog(run)).get_legend()
        assert legend is not None
        assert ("shaded" in legend.get_texts()[-1].get_text()) == is_seen
        assert len(run.series.at) > 2 * N_PARTS


def test_a_thinned_curve_loses_no_maximum(overloaded: Run) -> None:
    """The band of a run with thousands of steps reaches to the maximum and down to the minimum."""
    ax = only_axes(plots.backlog(overloaded))
    assert len(overloaded.series.at) > 2 * N_PARTS
    (band,) = (c for c in ax.collections if str(c.get_label()).startswith("_range of backlog"))
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() == overloaded.backlog_max
    assert heights.min() == 0
    assert len(line(ax, "backlog")[0]) == N_PARTS + 1


@pytest.mark.parametrize("n", [2, 3, 50, 5_000])
def test_the_envelope_holds_every_value(n: int) -> None:
    """Least and most of each part bound the curve there, and the mean is over time."""
    rng = np.random.default_rng(n)
    at = np.sort(rng.choice(np.arange(0, 100_000), n, replace=False)).astype(float)
    values = rng.integers(0, 50, n).astype(float)
    borders, least, mean, most = envelope(at, values)
    for begin, end, low, middle, high in zip(borders, borders[1:], least, mean, most, strict=False):
        # A last point of all has no length, and belongs to the last part.
        inside = values[(at > begin) & ((at < end) | (end == borders[-1]))]
        held = [values[np.searchsorted(at, begin, side="right") - 1], *inside]
        assert (low, high) == (min(held), max(held))
        assert low <= middle <= high
    area = float(np.sum(values[:-1] * np.diff(at)))
    assert float(np.sum(mean * np.diff(borders))) == pytest.approx(area)


def test_several_backlogs_have_a_colour_and_a_line_style_each(overloaded: Run) -> None:
    """Colour is never the only difference."""
    calm = Lab(one_to_one().with_rate(50)).run()
    figure = plots.backlog({"calm": calm, "busy": overloaded})
    ax = only_axes(figure)
    drawn = [next(x for x in ax.lines if x.get_label() == f"backlog, {name}") for name in ("calm", "busy")]
    assert drawn[0].get_color() != drawn[1].get_color()
    assert drawn[0].get_linestyle() != drawn[1].get_linestyle()
    assert title(figure) == (
        f"Most entries waiting to be delivered at once: {calm.backlog_max:,} (calm), {overloaded.backlog_max:,} (busy)"
    )


def test_crashes_are_marked_on_the_backlog(crash: Run) -> None:
    """A line at the time of the crash, with the name."""
    ax = only_axes(plots.backlog(crash))
    assert "C2 crashes" in [text.get_text() for text in ax.texts]
    assert [x.get_xdata()[0] for x in ax.lines if to_hex(x.get_color()) == TROUBLE.lower()] == [0.12]


def test_no_backlog_is_said(shared: Run) -> None:
    """Where every entry is delivered at once, the title says so instead of naming a peak of 0."""
    assert shared.backlog_max == 0
    assert title(plots.backlog(shared)).startswith("No backlog: each entry is delivered the moment it is added")


def test_what_still_waits_at_the_end_is_said() -> None:
    """A backlog that is not worked off is not called gone."""
    run = written(*story(1, "C1", 0, 0, 3, 3), *story(2, "C1", 1), *story(3, "C1", 2))
    assert title(plots.backlog(run)) == "Backlog reaches 2 entries at 2 s; 2 still wait at the end"


# ---- shares ----------------------------------------------------------------------------------------


def test_bars_are_the_shares(shared: Run) -> None:
    """Four bars of a quarter, and diamonds at the utilisations."""
    figure = plots.shares(shared)
    ax = only_axes(figure)
    bars = [patch.get_width() for patch in ax.patches]
    assert bars == [shared.shares[name] for name in ("C1", "C2", "C3", "C4")]
    busy, _ = line(ax, "utilisation")
    assert list(busy) == [consumer.utilisation for consumer in shared.consumers.values()]
    assert title(figure) == "4 consumers share 8,000 entries: 25.0 % each"
    assert "25.0 % · 2,000 · busy 50 %" in [text.get_text() for text in ax.texts]


def test_unequal_shares_are_told_with_whose_they_are() -> None:
    """Three to one: from whose to whose."""
    rows = [row for n in (1, 2, 3) for row in story(n, "C1", n, n, n + 0.5, n + 0.5)]
    run = written(*rows, *story(4, "C2", 1, 1, 4, 4))
    assert title(plots.shares(run)) == "2 consumers share 4 entries: from 25.0 % for C2 to 75.0 % for C1"


def test_one_consumer_does_it_all() -> None:
    """No share to speak of: it is all, and how busy it was."""
    run = written(*story(1, "C1", 0, 0, 1, 1), *story(2, "C1", 3, 3, 4, 4), n_consumers=1)
    assert title(plots.shares(run)) == "C1 does all 2 entries, busy 50 % of the time"


def test_two_runs_stand_side_by_side(shared: Run) -> None:
    """Simulated and live: a bar each for every consumer, told apart by colour and hatching."""
    live = dataclasses.replace(shared, engine="live")
    ax = only_axes(plots.shares([shared, live]))
    assert len(ax.patches) == 8
    assert {patch.get_hatch() for patch in ax.patches[:4]} != {patch.get_hatch() for patch in ax.patches[4:]}
    assert not {patch.get_facecolor() for patch in ax.patches[:4]} & {patch.get_facecolor() for patch in ax.patches[4:]}
    legend = ax.get_legend()
    assert legend is not None
    assert {"simulated", "live"} <= {text.get_text() for text in legend.get_texts()}
    # The same consumer's bars touch.
    places = [patch.get_y() + patch.get_height() / 2 for patch in ax.patches]
    assert places[0] < 0 < places[4] < 0.5


# ---- sojourn ---------------------------------------------------------------------------------------


def test_the_distribution_is_marked_where_the_run_says(overloaded: Run) -> None:
    """p50 and p95 are the run's own, and in the title."""
    figure = plots.sojourn(overloaded)
    ax = only_axes(figure)
    spread = overloaded.sojourn
    for q, at in ((0.5, spread.p50), (0.95, spread.p95)):
        x, y = line(ax, f"_p{q * 100:.0f}")
        assert (x[0], y[0]) == (pytest.approx(at), q)
    assert title(figure) == (
        f"Half of the entries are done within {time_text(spread.p50)}, 95 % within {time_text(spread.p95)}"
    )
    x, y = line(ax, "_sojourn")
    assert x[-1] == spread.max
    assert (y[0], y[-1]) == (0, 1)


def test_a_distribution_of_many_values_keeps_its_ends() -> None:
    """Of 328,000 values some thousand are drawn; each lies on the curve of all of them."""
    values = np.sort(np.random.default_rng(1).exponential(size=328_000))
    x, y = distribution(values)
    assert len(x) < 2_500
    assert (x[0], x[-1], y[-1]) == (values[0], values[-1], 1.0)
    assert np.array_equal(np.searchsorted(values, x[1:], side="right") / len(values), y[1:])


def test_long_tails_get_a_logarithmic_axis() -> None:
    """One entry that waited a minute must not hide the 99 that took milliseconds."""
    rows = [row for n in range(1, 100) for row in story(n, "C1", n, n, n + 0.004, n + 0.004)]
    even = plots.sojourn(written(*rows))
    tail = plots.sojourn(written(*rows, *story(100, "C1", 100, 160, 160, 160)))
    assert [only_axes(figure).get_xscale() for figure in (even, tail)] == ["linear", "log"]


def test_what_was_never_processed_is_not_forgotten() -> None:
    """A distribution of those that were done says how many were not."""
    run = written(*story(1, "C1", 0, 0, 1, 1), *story(2, "C1", 0), *story(3, "C1", 0))
    assert title(plots.sojourn(run)).endswith("; 2 of 3 never were")


# ---- all of them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", ALL, ids=lambda draw: draw.__name__)
def test_a_run_in_which_nothing_happened_is_drawn(draw: Any) -> None:
    """An empty figure that says that it is empty, and why."""
    figure = draw(written())
    words = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert len(words) == len(figure.axes)
    assert all(re.match("no entry was (added|delivered|processed|acknowledged)", text) for text in words)
    assert "empty" in figure.alt
    assert plots.show(figure)._repr_html_()


@pytest.mark.parametrize("draw", [plots.backlog, plots.shares, plots.sojourn, plots.timeline])
def test_figures_can_be_composed(draw: Any, seven: Run) -> None:
    """With ``ax``, a figure is drawn where the caller wants it, and its whole figure is returned."""
    figure = Figure()
    ax = figure.add_subplot(1, 2, 1)
    assert draw(seven, ax=ax) is figure
    assert ax.has_data()
    assert len(figure.axes) == 1


def test_overview_has_all_four(seven: Run) -> None:
    """A page of timeline, backlog, sojourn times and shares, with what each of them says."""
    page = plots.overview(seven)
    alone = [draw(seven) for draw in (plots.timeline, plots.backlog, plots.sojourn, plots.shares)]
    assert [ax.get_title(loc="left").replace("\n", " ") for ax in page.axes] == [title(f) for f in alone]
    assert page.alt == " ".join(figure.alt for figure in alone)


def test_overview_of_two_runs(shared: Run) -> None:
    """A timeline for each, and the rest over each other."""
    page = plots.overview(shared, dataclasses.replace(shared, engine="live"))
    titles = [ax.get_title(loc="left").replace("\n", " ") for ax in page.axes]
    assert len(titles) == 5
    assert titles[0].startswith("simulated: 40 entries")
    assert titles[1].startswith("live: 40 entries")
    assert titles[4] == "Shares: 25.0 % each (simulated); 25.0 % each (live)"


def test_titles_break_between_words_that_may_part(shared: Run) -> None:
    """A number keeps its unit, and a value the name in brackets that says whose it is."""
    page = plots.overview(shared, dataclasses.replace(shared, scenario=shared.scenario.with_rate(90)))
    sojourn = page.axes[3].get_title(loc="left")
    assert "\n" in sojourn
    lines = sojourn.split("\n")
    assert not any(re.match(r"(ms|%|\(|entries/s\))", words) for words in lines), lines


def test_overview_of_nothing_is_refused() -> None:
    """It says what it needs."""
    with pytest.raises(ValueError, match="at least one"):
        plots.overview()


def test_axes_are_labelled_with_units(shared: Run) -> None:
    """Whatever is drawn, a reader can tell what the axes mean."""
    page = plots.overview(shared)
    labels = [ax.get_xlabel() for ax in page.axes]
    assert labels[0].startswith("time since the start of the run (ms)")
    assert labels[1].startswith("time since the start of the run (s)")
    assert labels[2] == "time from XADD until processed (ms)"
    assert labels[3] == "share of the entries (bars); part of the time busy (diamonds)"
    assert page.axes[3].xaxis.get_major_formatter()(0.25, 0) == "25 %"


def test_ticks_are_in_the_units_that_the_label_names(shared: Run) -> None:
    """The data stay in seconds: only what stands at the ticks is in milliseconds."""
    ax = only_axes(plots.timeline(shared))
    low, high = ax.get_xlim()
    ticks = [tick for tick in ax.get_xticks() if low <= tick <= high + 1e-9]
    assert ticks == pytest.approx([0, 0.01, 0.02, 0.03, 0.04, 0.05])
    assert ax.xaxis.get_major_formatter()(0.03, 0) == "30"


def test_nothing_keeps_a_figure_open(seven: Run) -> None:
    """No pyplot, no figure manager: a figure that nobody holds is gone."""
    figure = plots.overview(seven)
    plots.show(figure)
    gone = weakref.ref(figure)
    del figure
    gc.collect()
    assert gone() is None
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


# ---- show ------------------------------------------------------------------------------------------


def test_show_gives_an_image_with_alternative_text(seven: Run) -> None:
    """An ``<img alt=…>`` of the whole PNG; and in plain text, the alternative text."""
    picture = plots.show(plots.timeline(seven))
    html = picture._repr_html_()
    assert 'alt="Timeline of all deliveries' in html
    assert "1→C1, 2→C2" in html
    assert 'src="data:image/png;base64,iVBOR' in html
    assert repr(picture) == f"<Figure: {picture.alt}>"
    assert "0x" not in repr(picture)


def test_alternative_text_given_by_the_caller_is_escaped(seven: Run) -> None:
    """Quotes and angle brackets end neither the attribute nor the tag."""
    html = plots.show(plots.shares(seven), alt='a "wide" <bar>')._repr_html_()
    assert 'alt="a &quot;wide&quot; &lt;bar&gt;"' in html


def test_the_same_run_gives_the_same_bytes() -> None:
    """A committed notebook does not change when it is run again."""
    scenario = one_to_many().replace(entries=100)
    pages = [plots.show(plots.overview(Lab(scenario).run())) for _ in range(2)]
    assert pages[0]._repr_html_() == pages[1]._repr_html_()
    assert repr(pages[0]) == repr(pages[1])


def test_a_figure_shows_itself(seven: Run) -> None:
    """As the last line of a cell, a figure is shown as `show` shows it, with its own words."""
    figure = plots.sojourn(seven)
    assert figure._repr_html_() == plots.show(figure)._repr_html_()
    assert repr(figure) == f"<Chart: {figure.alt}>"


def test_a_figure_without_words_needs_some() -> None:
    """A figure of the reader's own has no alternative text: it is asked for."""
    with pytest.raises(ValueError, match="alt="):
        plots.show(Figure())
    assert plots.show(Figure(), alt="nothing").alt == "nothing"


# ---- style -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (3.2e-5, "32 µs"),
        (0.0025, "2.5 ms"),
        (0.9999, "1 s"),
        (0.4567, "457 ms"),
        (12.345, "12.3 s"),
        (300, "5 min"),
        (90_000, "25 h"),
        (31_536_000, "365 d"),
        (math.nan, "–"),
    ],
)
def test_times_are_told_in_fitting_units(seconds: float, text: str) -> None:
    """Three digits, and the unit a reader would choose."""
    assert time_text(seconds) == text


def test_units_grow_with_the_span() -> None:
    """Milliseconds for a moment, days for a year."""
    spans = (1e-4, 0.05, 10, 600, 86_400, 3e7)
    assert [unit_for(span).sign for span in spans] == ["µs", "ms", "s", "min", "h", "d"]


def test_runs_are_named_by_what_tells_them_apart(seven: Run, shared: Run) -> None:
    """Engine, scenario, consumers, rate, seed; else a number."""
    live = dataclasses.replace(seven, engine="live")
    assert list(named([seven, live])) == ["simulated", "live"]
    assert list(named([seven, shared])) == ["many-to-many", "one-to-many"]
    fewer = dataclasses.replace(shared, scenario=shared.scenario.with_consumers(2))
    assert list(named([shared, fewer])) == ["4 consumers", "2 consumers"]
    faster = dataclasses.replace(shared, scenario=shared.scenario.with_rate(900))
    assert list(named([shared, faster])) == ["800 entries/s", "900 entries/s"]
    assert list(named([shared, shared])) == ["run 1", "run 2"]
    assert list(named({"mine": shared})) == ["mine"]


def test_numbers_can_be_read_on_every_colour() -> None:
    """Black or white on each colour of the palette has a contrast of at least 4.5 to 1."""
    assert ink_on("#000000") == "white"
    assert ink_on("#ffffff") == "black"
    for background in COLOURS:
        assert contrast(background, ink_on(background)) >= 4.5


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2."""
    from matplotlib.colors import to_rgb

    def luminance(name: str) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(name)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
