"""A run on one page."""

from __future__ import annotations

from matplotlib.figure import Figure

from streamlab.results.run import Run
from streamlab.views.plots.backlog import backlog
from streamlab.views.plots.picture import Chart
from streamlab.views.plots.shares import shares
from streamlab.views.plots.sojourn import sojourn
from streamlab.views.plots.style import INK
from streamlab.views.plots.timeline import height_for, timeline
from streamlab.views.plots.words import named

#: More timelines than this would leave no room for what compares the runs.
_MOST_TIMELINES = 3


def overview(*runs: Run) -> Figure:
    """Draw runs on one page: timeline, backlog, sojourn times and shares.

    Several runs have a timeline each (the first three), and are drawn over each other in the rest.
    """
    if not runs:
        raise ValueError("overview() draws runs: give at least one")
    by_label = named(runs)
    timelines = list(by_label.items())[:_MOST_TIMELINES]
    heights = [height_for(len(run.consumers)) for _, run in timelines] + [4.4]
    chart = Chart(14, sum(heights) + 0.4)
    grid = chart.add_gridspec(len(heights), 3, hspace=0.06, height_ratios=heights)
    for row, (label, run) in enumerate(timelines):
        ax = chart.add_subplot(grid[row, :])
        timeline(run, ax=ax)
        if len(by_label) > 1:
            ax.set_title(f"{label}: {ax.get_title(loc='left')}", loc="left", fontsize=11, color=INK)
    for column, draw in enumerate((backlog, sojourn, shares)):
        draw(by_label, ax=chart.add_subplot(grid[-1, column]))
    told = dict.fromkeys(f"{run.scenario.name}, {run.engine} ({run.server})" for run in by_label.values())
    chart.suptitle("   |   ".join(told), fontsize=13, fontweight="bold", color=INK)
    return chart
