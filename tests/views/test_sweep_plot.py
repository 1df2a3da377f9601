"""The figure and the frame of a sweep: what is drawn is what was found. No images are compared."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="matplotlib comes with consumer-group-lab[course]")

from streamlab import Lab, MMc, load_scenario, plots, sweep_over, tables
from streamlab.results.sweep_table import Figures, SweepRow, SweepTable
from streamlab.views.plots.sweep import _NAMES
from tests.views.figures import only_axes, title

BASE = load_scenario("one-to-one").with_service(0.01).replace(entries=60, duration=None)


def table(over: str, p99: dict[Any, tuple[float, ...]]) -> SweepTable:
    """Return a sweep with these percentiles, one for each seed; that of all entries together is their mean."""
    rows = []
    for value, times in p99.items():
        runs = tuple(Figures(*[0.0] * len(Figures._fields))._replace(sojourn_p99=time) for time in times)
        rows.append(SweepRow({over: value}, BASE, runs, {"sojourn_p99": math.fsum(times) / len(times)}))
    return SweepTable("written", (over,), (1, 2), tuple(rows))


def points(ax: Any, label: str) -> list[tuple[float, float]]:
    (line,) = (line for line in ax.lines if str(line.get_label()).startswith(label))
    return list(zip(map(float, line.get_xdata()), map(float, line.get_ydata()), strict=True))


def test_each_line_in_its_band() -> None:
    """The points are the estimates, in seconds; the band reaches as far as the margins."""
    swept = sweep_over(BASE, consumers=[1, 2, 4], service=[0.005, 0.01], seeds=[1, 2, 3])
    figure = plots.sweep(swept)
    ax = only_axes(figure)
    for number, service in enumerate((0.005, 0.01)):
        rows = [row for row in swept.rows if row.values["service"] == service]
        estimates = [row.estimate("sojourn_p99") for row in rows]
        expected = [(n, value) for n, (value, _) in zip((1, 2, 4), estimates, strict=True)]
        assert points(ax, f"service {service * 1000:g} ms (band: 95 % confidence)") == expected
        heights = ax.collections[number].get_paths()[0].vertices[:, 1]
        assert max(heights) == max(value + margin for value, margin in estimates)
        assert min(heights) == min(value - margin for value, margin in estimates)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "service 5 ms (band: 95 % confidence)",
        "service 10 ms (band: 95 % confidence)",
    ]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("consumers", "p99 of the sojourn time (ms)")
    assert ax.get_ylim()[0] == 0
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()


def test_beside_theory_single_runs_and_a_limit() -> None:
    """Theory is drawn where it has an answer: one consumer cannot keep up."""
    swept = sweep_over(BASE, consumers=[1, 2, 3], seeds=[1, 2])
    run = Lab(BASE.with_consumers(2)).run()
    ax = only_axes(plots.sweep(swept, "sojourn_mean", limit=0.012, theory=True, runs={2: run}))
    (first, *others) = points(ax, "queueing theory (M/M/c)")
    assert math.isnan(first[1])
    assert others == [(n, MMc(100, 0.01, n).sojourn_mean) for n in (2, 3)]
    assert points(ax, "single runs") == [(2, run.sojourn.mean)]
    assert [y for _, y in points(ax, "limit: 12 ms")] == [0.012, 0.012]


@pytest.mark.parametrize(
    ("over", "p99", "words"),
    [
        ("consumers", {1: (0.3, 0.3), 2: (0.2, 0.2), 3: (0.1, 0.1)}, "from 2 consumers on"),
        ("consumers", {1: (0.2, 0.2), 2: (0.1, 0.1)}, "everywhere here"),
        ("consumers", {1: (0.3, 0.3), 2: (0.21, 0.21)}, "nowhere here"),
        ("rate", {100: (0.1, 0.1), 1500: (0.2, 0.2), 2000: (0.4, 0.4)}, "up to rate 1,500"),
        ("service", {0.1: (0.3, 0.3), 0.2: (0.1, 0.1), 0.3: (0.3, 0.3)}, "with service 200 ms"),
        ("recovery", {"none": (0.3, 0.3), "claim": (0.1, 0.1)}, "from recovery claim on"),
        # Two runs that differ have a wide band: it is the whole of it that counts.
        ("consumers", {1: (0.1, 0.2), 2: (0.1, 0.1)}, "from 2 consumers on"),
    ],
)
def test_the_title_says_where_the_limit_is_kept(over: str, p99: dict[Any, tuple[float, ...]], words: str) -> None:
    figure = plots.sweep(table(over, p99), limit=0.2)
    assert title(figure) == f"99 % of the entries are done within 200 ms {words}"


def test_several_sweeps_are_told_apart() -> None:
    """In the title, in the legend and in the alternative text."""
    alive = table("consumers", {1: (0.3, 0.3), 2: (0.1, 0.1)})
    figure: Any = plots.sweep({"alive": alive, "one dead": table("consumers", {2: (0.3, 0.3)})}, limit=0.2)
    assert title(figure) == (
        "99 % of the entries are done within 200 ms: from 2 consumers on (alive), nowhere here (one dead)"
    )
    assert [text.get_text() for text in only_axes(figure).get_legend().get_texts()] == [
        "limit: 200 ms", "alive", "one dead",
    ]  # fmt: skip
    assert figure.alt == (
        "p99 of the sojourn time over consumers. alive: 1: 300 ms, 2: 100 ms; one dead: 2: 300 ms. "
        "A line across at 200 ms."
    )


def test_without_a_limit_the_title_says_how_far_it_goes() -> None:
    figure = plots.sweep(sweep_over("one-to-many", consumers=[1, 4], entries=[400], seeds=[1]), "throughput")
    assert title(figure).startswith("Throughput: from ")
    assert "band" not in only_axes(figure).get_legend().get_texts()[0].get_text()


def test_words_are_places_on_the_axis() -> None:
    ax = only_axes(plots.sweep(table("recovery", {"none": (0.3, 0.3), "claim": (0.1, 0.1)})))
    assert [label.get_text() for label in ax.get_xticklabels()] == ["none", "claim"]
    assert [x for x, _ in points(ax, "simulated")] == [0, 1]


def test_each_figure_has_a_name() -> None:
    assert list(_NAMES) == [*Figures._fields]
    swept = sweep_over(BASE, consumers=[1], seeds=[1, 2])
    for name in _NAMES:
        assert only_axes(plots.sweep(swept, name)).get_ylabel()


@pytest.mark.parametrize(
    ("figure", "options", "words"),
    [
        ("p99", {}, "there is no figure 'p99': known are throughput, utilisation"),
        ("left", {"theory": True}, "queueing theory has no formula for left here"),
    ],
)
def test_what_cannot_be_drawn(figure: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plots.sweep(table("consumers", {1: (0.1, 0.2)}), figure, **options)


def test_a_sweep_as_a_frame() -> None:
    """Its parameters are the index; each figure has its margin."""
    swept = sweep_over(BASE, consumers=[1, 2], service=[0.005, 0.01], seeds=[1, 2])
    frame: Any = tables.sweep(swept)
    assert frame.index.names == ["consumers", "service"]
    assert list(frame.columns) == ["runs"] + [c for name in Figures._fields for c in (name, f"{name}_margin")]
    found = frame.loc[(2, 0.005)]
    (row,) = [row for row in swept.rows if row.values == {"consumers": 2, "service": 0.005}]
    assert (found["sojourn_p99"], found["sojourn_p99_margin"]) == row.estimate("sojourn_p99")
    assert found["runs"] == 2
    assert tables.sweep(sweep_over(BASE, consumers=[1, 2], seeds=[1])).index.tolist() == [1, 2]
