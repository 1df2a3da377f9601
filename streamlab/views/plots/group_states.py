"""The state of each entry of a stream for one group, asked of a server or of the model, and drawn.

An entry is ``"undelivered"``; or pending, told as its consumer and its delivery count, ``"alice ×2"``; or ``"done"``,
which is acknowledged.
"""

from streamlab.servers.in_browser import IN_BROWSER
from streamlab.views.fetched import late
from streamlab.views.plots.states import entry_states, model_states, transitions

if IN_BROWSER:
    globals().update(late(__name__, dict.fromkeys(("draw_states", "draw_transitions"), "states_figure")))
else:
    from streamlab.views.plots.states_figure import draw_states, draw_transitions

__all__ = ["draw_states", "draw_transitions", "entry_states", "model_states", "transitions"]
