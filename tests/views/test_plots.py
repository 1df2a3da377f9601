"""Figures: what is drawn is what happened. No images are compared; the artists' data are."""

from __future__ import annotations

import dataclasses
import gc
import math
import re
import sys
import weakref
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib comes with consumer-group-lab[course]")

from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from streamlab import plots
from streamlab.lab.lab import Lab
from streamlab.results.run import Run
from streamlab.scenario import Arrivals, Scenario, Service, consumers, producers
from streamlab.scenario.named import one_to_many, one_to_one
from streamlab.views.plots.backlog import N_PARTS, envelope
from streamlab.views.plots.sojourn import distribution
from streamlab.views.plots.style import COLOURS, TROUBLE, ink_on
from streamlab.views.plots.words import named, time_text, unit_for
from tests.views.figures import only_axes, story, title, written

ALL = (plots.timeline, plots.backlog, plots.shares, plots.sojourn, plots.overview)


# ---- backlog ---------------------------------------------------------------------------------------


def line(ax: Any, label: str) -> tuple[Any, Any]:
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
    busy, _ = line(ax, "part of the time busy (utilisation)")
    assert list(busy) == [consumer.utilisation for consumer in shared.consumers.values()]
    assert title(figure) == "4 consumers share 8,000 entries: 25.0 % each"
    assert "25.0 %: 2,000 entries; busy 50 %" in [text.get_text() for text in ax.texts]


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
    page: Any = plots.overview(seven)
    alone: list[Any] = [draw(seven) for draw in (plots.timeline, plots.backlog, plots.sojourn, plots.shares)]
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
    figure: Any = plots.sojourn(seven)
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
