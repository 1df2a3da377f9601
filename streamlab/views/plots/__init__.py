"""Figures of a `Run`, drawn with matplotlib.

    from streamlab import plots
    plots.show(plots.timeline(run))

Each function takes a run (most of them several), and returns a figure whose title says what there is to
see. No ``pyplot``: nothing is kept open, no backend is chosen.

In a browser, matplotlib is fetched when one of them is first called.

A figure's module, which has the figure's name, has its drawing, its title and its alternative text.
"""

from streamlab.servers.in_browser import IN_BROWSER
from streamlab.views.fetched import late
from streamlab.views.plots import group_states

if IN_BROWSER:
    _FIGURES = "backlog order overview owners recovery shares sojourn strategies sweep timeline zombie"
    _places = {**dict.fromkeys(("Chart", "Picture", "show"), "picture"), **{name: name for name in _FIGURES.split()}}
    globals().update(late(__name__, _places))
else:
    from streamlab.views.plots.backlog import backlog
    from streamlab.views.plots.order import order
    from streamlab.views.plots.overview import overview
    from streamlab.views.plots.owners import owners
    from streamlab.views.plots.picture import Chart, Picture, show
    from streamlab.views.plots.recovery import recovery
    from streamlab.views.plots.shares import shares
    from streamlab.views.plots.sojourn import sojourn
    from streamlab.views.plots.strategies import strategies
    from streamlab.views.plots.sweep import sweep
    from streamlab.views.plots.timeline import timeline
    from streamlab.views.plots.zombie import zombie

__all__ = [
    "Chart", "Picture", "backlog", "group_states", "order", "overview", "owners", "recovery", "shares", "show",
    "sojourn", "strategies", "sweep", "timeline", "zombie",
]  # fmt: skip
