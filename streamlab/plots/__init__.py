"""Figures of a `Run`, drawn with matplotlib.

    from streamlab import plots
    plots.show(plots.timeline(run))

Each function takes a run (most of them several), and returns a figure whose title says what there is to
see. No ``pyplot``: nothing is kept open, no backend is chosen.
"""

from streamlab.plots.bars import shares
from streamlab.plots.curves import backlog
from streamlab.plots.distribution import sojourn
from streamlab.plots.lanes import timeline
from streamlab.plots.page import overview
from streamlab.plots.picture import Picture, show
from streamlab.plots.recovering import recovery
from streamlab.plots.strategies import strategies
from streamlab.plots.style import Chart
from streamlab.plots.zombies import zombie

__all__ = [
    "Chart", "Picture", "backlog", "overview", "recovery", "shares", "show", "sojourn",
    "strategies", "timeline", "zombie",
]  # fmt: skip
