"""Figures of shards: who owned them, and whether the entries of a key kept their order."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="matplotlib comes with consumer-group-lab[course]")

from matplotlib.colors import to_hex

from streamlab import plots
from streamlab.actors.events import CRASHED
from streamlab.lab.lab import Lab
from streamlab.results.run import Run
from streamlab.scenario import ScenarioError, load_scenario
from streamlab.views.plots.style import COLOURS, TROUBLE
from tests.views.figures import only_axes, title

CLUSTER = load_scenario("cluster")


@pytest.fixture(scope="module")
def moved() -> Run:
    """C3 comes, C1 dies."""
    return Lab(CLUSTER).run()


@pytest.fixture(scope="module")
def mixed_up() -> Run:
    """Ten keys in one stream, for three consumers."""
    return Lab(CLUSTER.with_consumers(3).with_service(0.02).replace(faults=(), shards=None, primaries=0, keys=10)).run()


@pytest.fixture(scope="module")
def in_order() -> Run:
    """The same entries in six shards."""
    return Lab(CLUSTER.with_consumers(3).with_service(0.02).replace(faults=(), keys=10)).run()


# ---- owners ----------------------------------------------------------------------------------------


def bars(ax: Any) -> set[tuple[str, int, float, float, str]]:
    """Return the bars that are drawn: consumer, shard, from, to, colour."""
    return {
        (str(p.get_label())[1:], int(p.get_y()), p.get_x(), p.get_x() + p.get_width(), to_hex(p.get_facecolor()))
        for p in ax.patches
    }


def test_each_tenure_is_a_bar_in_its_shards_lane(moved: Run) -> None:
    """In the colour of its consumer, which has a hatch and its name as well."""
    ax = only_axes(plots.owners(moved))
    drawn = bars(ax)
    assert {bar[:2] for bar in drawn} == {(t.consumer, t.shard) for t in moved.tenures}
    for tenure in moved.tenures:
        colour = COLOURS[list(moved.consumers).index(tenure.consumer)].lower()
        (bar,) = (b for b in drawn if b[:2] == (tenure.consumer, tenure.shard) and b[2] == tenure.start)
        assert bar[3] == pytest.approx(tenure.end)
        assert bar[4] == colour
    names = [text.get_text() for text in ax.texts]
    assert {name: names.count(name) for name in ("C1", "C2", "C3")} == {"C1": 3, "C2": 4, "C3": 3}
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [f"shard {n}" for n in range(6)]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # shard 0 on top


def test_a_shard_without_an_owner_is_hatched(moved: Run) -> None:
    """From the death to the next owner's first entry; the title says how long that was at most."""
    figure = plots.owners(moved)
    (gaps,) = (c for c in only_axes(figure).collections if c.get_label() == "_nobody's")
    spans = sorted((p.vertices[0][0], p.vertices[2][0]) for p in gaps.get_paths())
    (died,) = (event.at for event in moved.events if event.kind == CRASHED)
    starts = sorted(t.start for t in moved.tenures if t.start > died)
    assert spans == [(died, start) for start in starts]
    longest = f"{1000 * (starts[-1] - died):.0f} ms"
    assert title(figure) == f"C3 comes and gets its share; C1 dies, and its shards have no owner for up to {longest}"
    words = {text.get_text(): text.xy[0] for text in only_axes(figure).texts}
    assert words["C1 dies"] == died
    assert words["C3 comes"] == 0.15
    assert "Shard 3: C2 from 0 s to" in figure.alt  # type: ignore[attr-defined]


def test_owners_that_nothing_befalls(in_order: Run) -> None:
    figure = plots.owners(in_order)
    assert title(figure) == "6 shards, each with one owner at a time"
    assert not [text for text in only_axes(figure).texts if " " in text.get_text()]


def test_who_goes_and_comes_back_is_told() -> None:
    """A restart: it goes, and comes; its shards were given back, so none is without an owner."""
    figure = plots.owners(Lab(CLUSTER.replace(faults=()).with_faults("restart C1 at 1s")).run())
    words = [text.get_text() for text in only_axes(figure).texts]
    assert {"C1 goes", "C1 comes"} <= set(words)
    assert "no owner" not in title(figure)
    heights = {text.get_text(): text.xyann[1] for text in only_axes(figure).texts if " " in text.get_text()}
    assert heights["C1 goes"] < heights["C1 comes"]  # at the same time: one above the other


def test_a_shard_that_nobody_takes_over_is_nobodys_to_the_end() -> None:
    """The only consumer dies."""
    run = Lab(CLUSTER.with_consumers(1).replace(faults=(), drain=0.5).with_faults("kill C1 at 1s")).run()
    figure = plots.owners(run)
    (gaps,) = (c for c in only_axes(figure).collections if c.get_label() == "_nobody's")
    assert {p.vertices[2][0] for p in gaps.get_paths()} == {run.duration}
    assert title(figure).startswith("C1 dies, and its shards have no owner for up to")


def test_one_stream_has_no_owner(mixed_up: Run) -> None:
    with pytest.raises(ScenarioError, match="this run has one stream for all: give the scenario shards = 6"):
        plots.owners(mixed_up)


def test_many_shards_are_drawn_in_a_chart_that_fits_a_screen() -> None:
    """Their names become small, and bars have no words; the alternative text tells the first ones."""
    figure = plots.owners(Lab(CLUSTER.replace(shards=40, keys=1000)).run())
    assert figure.get_figheight() <= 7.5
    assert not [text for text in only_axes(figure).texts if " " not in text.get_text()]
    assert figure.alt.count("Shard ") == 12  # type: ignore[attr-defined]


# ---- order -----------------------------------------------------------------------------------------


def ways(ax: Any) -> dict[int, tuple[int, int, str]]:
    """Return the places of each line's ends, of the upper and of the lower row; and its colour; by its number."""
    lines = [line for line in ax.lines if line.get_linestyle() == "-"]
    ends = [(line.get_xdata(), to_hex(line.get_color())) for line in lines]
    return {n: (int(above), int(below), ink) for n, ((above, below), ink) in enumerate(ends)}


def test_lines_cross_where_the_order_was_broken(mixed_up: Run, in_order: Run) -> None:
    """Each entry's line leads from its place among those added to that among those processed."""
    figure = plots.order({"one stream": mixed_up, "six shards": in_order})
    upper, lower = figure.axes
    crossed = ways(upper)
    assert [above for above, _, _ in crossed.values()] == list(range(12))
    assert sorted(below for _, below, _ in crossed.values()) == list(range(12))
    late = {n for n, (_, _, ink) in crossed.items() if ink == TROUBLE.lower()}
    overtaken = {
        n for n, m in itertools.permutations(crossed, 2) if m > n and crossed[m][1] < crossed[n][1]
    }  # fmt: skip
    assert late == overtaken
    assert late
    assert all(above == below for above, below, _ in ways(lower).values())
    n = len(mixed_up.inversions)
    assert (
        upper.get_title(loc="left")
        == f"one stream: {n} of 200 entries were processed after a later one of the same key"
    )
    assert lower.get_title(loc="left") == "six shards: all 200 entries in the order of their keys"
    assert figure.alt == f"{upper.get_title(loc='left')}. {lower.get_title(loc='left')}."  # type: ignore[attr-defined]


def test_the_key_that_was_out_of_order_most_often_is_shown(mixed_up: Run) -> None:
    """Unless another one is asked for, whose entries are the same in both rows."""
    by_key = [found.key for found in mixed_up.inversions]
    most = max(set(by_key), key=lambda key: (by_key.count(key), -by_key.index(key)))
    (ax,) = plots.order(mixed_up).axes
    shown = ax.get_yticklabels()[1].get_text().removesuffix(" added")
    assert by_key.count(shown) == by_key.count(most)
    (ax,) = plots.order(mixed_up, key="k3").axes
    assert ax.get_yticklabels()[1].get_text() == "k3 added"
    numbers = [text.get_text() for text in ax.texts]
    assert len(numbers) == 24
    assert sorted(numbers[::2]) == sorted(numbers[1::2])


def test_a_key_that_is_not_there_is_refused(mixed_up: Run) -> None:
    with pytest.raises(ScenarioError, match="no entry that was processed in simulated has the key 'k99'"):
        plots.order(mixed_up, key="k99")
    with pytest.raises(ScenarioError, match="has the key ''"):
        plots.order(Lab("one-to-one").run())
