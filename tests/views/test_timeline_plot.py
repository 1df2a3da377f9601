"""The timeline: what is drawn is what happened. No images are compared; the artists' data are."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib comes with consumer-group-lab[course]")


from streamlab import plots
from streamlab.lab.lab import Lab
from streamlab.results.deliveries import Delivery
from streamlab.results.run import Run
from streamlab.scenario.named import one_to_many
from streamlab.views.plots.deliveries import (
    ORPHANED,
    PROCESSING,
    READABLE,
    UNACKED,
    WAITING,
    Lanes,
    Phase,
    lay_out,
    phases,
)
from streamlab.views.plots.style import COLOURS
from tests.views.figures import only_axes, story, title, written


def boxes(ax: Any, kind: str) -> list[tuple[float, float, float, float, str]]:
    """Return the bars of a phase: start, end, middle, height, colour; by start and place."""
    found = []
    for collection in ax.collections:
        label = str(collection.get_label())
        if label.startswith(f"_{kind}"):
            for path in collection.get_paths():
                x, y = path.vertices[:, 0], path.vertices[:, 1]
                found.append((x.min(), x.max(), (y.min() + y.max()) / 2, np.ptp(y), label.split()[-1]))
    return sorted(found)


def lane_of(ax: Any, y: float) -> str:
    """Return whose lane is at this height."""
    names = {tick: label.get_text() for tick, label in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)}
    name: str = names[min(names, key=lambda tick: abs(tick - y))]
    return name


def numbers(ax: Any) -> dict[str, list[str]]:
    """Return which numbers stand in whose lane, from left to right."""
    found: dict[str, list[tuple[float, str]]] = {}
    for text in ax.texts:
        x, y = text.xy
        found.setdefault(lane_of(ax, y), []).append((x, text.get_text()))
    return {name: [words for _, words in sorted(in_lane)] for name, in_lane in found.items()}


def test_bars_of_the_timeline_are_the_deliveries(seven: Run) -> None:
    """Each entry's bar lies in its consumer's lane and reaches from delivery to the end of its processing."""
    ax = only_axes(plots.timeline(seven))
    bars = boxes(ax, PROCESSING)
    given = sorted(seven.ledger.deliveries, key=lambda delivery: delivery.delivered)
    assert [start for start, *_ in bars] == pytest.approx([delivery.delivered for delivery in given])
    assert [end for _, end, *_ in bars] == pytest.approx([delivery.processed for delivery in given])
    assert [lane_of(ax, y) for _, _, y, *_ in bars] == [delivery.consumer for delivery in given]


def test_scenario_four_is_read_off_the_timeline(seven: Run) -> None:
    """1→C1, 2→C2, 3→C3, 4→C1 … 7→C1: in the bars, in the title, and in words."""
    figure: Any = plots.timeline(seven)
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
        "an entry being processed",
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
    assert ax.get_xlabel() == "time since the start of the run (ms); shown: 40 of 8,000 deliveries"
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
    assert ax.get_xlabel().endswith("; shown: 100 of 8,000 deliveries, as many as max_entries")


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
