"""The states of entries for one group, drawn: see `group_states`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from streamlab.views.plots import style
from streamlab.views.plots.picture import Chart
from streamlab.views.plots.states import DONE, PENDING, UNDELIVERED, Transitions, kind_of, transitions
from streamlab.views.plots.style import HATCHES, INK, colour

#: What leads from a state to another.
_COMMANDS = {(UNDELIVERED, PENDING): "XREADGROUP  >", (PENDING, PENDING): "XREADGROUP  0", (PENDING, DONE): "XACK"}


def draw_states(table: Mapping[str, Mapping[str, str]]) -> Chart:
    """Draw a row of states for each command: a column for each entry, a colour and a hatch for each consumer."""
    chart = Chart(8, 0.9 + 0.37 * len(table))
    columns = list(dict.fromkeys(entry_id for row in table.values() for entry_id in row))
    ax = chart.add_subplot(xlim=(-0.5, len(columns) - 0.5), ylim=(len(table) - 0.5, -0.5))
    style.label_axes(ax, x=f"entry ({_key(table)})")
    consumers: list[str] = []
    for y, row in enumerate(table.values()):
        for entry_id, state in row.items():
            name, face, hatch = state.split(" ×")[0], "white", ""
            if state == DONE:
                face = "#dddddd"
            elif state != UNDELIVERED:
                if name not in consumers:
                    consumers.append(name)
                face, hatch = colour(consumers.index(name)), HATCHES[consumers.index(name) % 6]
            x = columns.index(entry_id)
            ax.barh(y, 0.92, 0.8, x - 0.46, facecolor=face, hatch=hatch, edgecolor="#aaaaaa", alpha=0.5)
            ax.text(x, y, "" if state == UNDELIVERED else state, ha="center", va="center", fontsize=9)
    ax.set_xticks(range(len(columns)), columns, fontsize=9)
    ax.set_yticks(range(len(table)), list(table), fontsize=9)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    back = _leads_back(transitions(list(table.values())))
    title = "The states of entries" if back else "From undelivered to pending to done, and never back"
    ax.set_title(title, loc="left", fontsize=11.5)
    last = Counter(kind_of(state) for state in list(table.values())[-1].values())
    told = ", ".join(f"{n} {kind}" for kind, n in last.items())
    chart.alt = f"The states of {len(columns)} entries after each of {len(table)} commands; in the end {told}."
    return chart


def _key(table: Mapping[str, Mapping[str, str]]) -> str:
    """Say what the boxes mean."""
    states = {state for row in table.values() for state in row.values()}
    words = ["a name: pending for this consumer, delivered × times"]
    words += ["white: not delivered yet"] if UNDELIVERED in states else []
    return "; ".join(words)


def draw_transitions(counted: Transitions) -> Chart:
    """Draw the three states, and an arrow for each way that was taken, with how often."""
    chart = Chart(8, 2.1)
    ax = chart.add_subplot(xlim=(0, 10), ylim=(0.45, 1.95))
    ax.axis("off")
    at = {UNDELIVERED: 1.0, PENDING: 5.0, DONE: 9.0}
    faces = {UNDELIVERED: "white", PENDING: "#9ecae9", DONE: "#dddddd"}
    for state, x in at.items():
        box = {"boxstyle": "round,pad=0.6", "facecolor": faces[state], "edgecolor": INK}
        ax.text(x, 0.75, state, ha="center", va="center", bbox=box)
    for (before, after), n in counted.items():
        start, end = at[before], at[after]
        if start == end:
            ends, y, bend, high = (start - 0.4, start + 0.4), 1.0, -1.2, 1.52
        else:
            step = 1.0 if end > start else -1.0
            # what leads backwards, or past a state, bends out of the others' way
            bend = 0.0 if end - start == 4.0 else -0.3
            ends, y, high = (start + step, end - step), 0.75, 0.82 - bend
        style = {"arrowstyle": "-|>", "connectionstyle": f"arc3,rad={bend}", "color": INK}
        ax.annotate("", (ends[1], y), (ends[0], y), arrowprops=style)
        ax.text(sum(ends) / 2, high, f"{_COMMANDS.get((before, after), '?')}\n{n:,} ×", ha="center", fontsize=9)
    title = "Some entries move back" if _leads_back(counted) else "Entries move forwards, and never back"
    ax.set_title(title, loc="left", fontsize=11.5)
    told = "; ".join(f"{before} to {after} {n} times" for (before, after), n in counted.items())
    chart.alt = f"What entries did: {told}."
    return chart


def _leads_back(counted: Transitions) -> bool:
    order = (UNDELIVERED, PENDING, DONE)
    return any(order.index(after) < order.index(before) for before, after in counted)
