"""A zombie: a consumer that was paused, wakes, and acknowledges what another one owns by now."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from streamlab.actors.events import ACKED, REJECTED, VOID
from streamlab.results.events import Event
from streamlab.results.run import Run
from streamlab.views.plots import style
from streamlab.views.plots.entry import DONE, EntryPainter
from streamlab.views.plots.episode import Episode, episode_of
from streamlab.views.plots.picture import Chart
from streamlab.views.plots.style import HATCHES, INK, TROUBLE, colour, ink_on
from streamlab.views.plots.words import listed, time_text

_OWNER: Final = "owner"


def zombie(*runs: Run) -> Figure:
    """Draw who owned an entry, and who acknowledged it: one run, or several beneath each other.

    Give the same scenario without and with fencing. A lane for each consumer that had the entry; in the
    lowest lane who owned it, as the pending entries list says. An acknowledgement by somebody else is
    marked ✕ if the server granted it, and ◇ if it came to nothing.

    Raises
    ------
    ValueError
        If there is no run, or in one of them every acknowledgement was the owner's.
    """
    if not runs:
        raise ValueError("zombie() draws runs: give at least one")
    episodes = [_episode(run) for run in runs]
    start, end = min(e.start for e in episodes), max(e.end for e in episodes)
    end += 0.12 * (end - start)  # room for what is said of the last acknowledgement
    heights = [0.85 * (len(e.lanes) + 1) + 0.9 for e in episodes]
    chart = Chart(11, sum(heights) + 0.7)
    grid = chart.add_gridspec(len(runs), 1, height_ratios=heights, hspace=0.08)
    ax: Axes | None = None
    for i, (run, found) in enumerate(zip(runs, episodes, strict=True)):
        episode = dataclasses.replace(found, start=start, end=end)
        ax = chart.add_subplot(grid[i], sharex=ax)
        _Painter(ax, run, episode, _OWNER).draw()
        style.finish(ax, _title(run, episode), _alt(run, episode), large=True)
        if i + 1 < len(runs):
            ax.tick_params(axis="x", labelbottom=False)
    assert ax is not None
    style.time_axis(ax, start, end, "time since the start of the run")
    ax.xaxis.label.set_fontsize(11)
    return chart


def _episode(run: Run) -> Episode:
    """Return the story of the first entry that a consumer acknowledged without owning it."""
    strange = [ack.id for ack in run.recovery.zombie_acks if ack.owner]
    strange += [event.id for event in run.events if event.kind == REJECTED]
    strange += [event.id for event in run.events if event.kind == VOID]
    episode = episode_of(run, strange[0]) if strange else None
    if episode is None:
        raise ValueError(
            f"no zombie in {run!r}: every acknowledgement was the owner's. Pause a consumer in the middle of "
            "an entry for longer than min-idle"
        )
    had_it = {delivery.consumer for delivery in episode.deliveries}
    lanes = tuple(name for name in run.consumers if name in had_it)
    return dataclasses.replace(episode, lanes=lanes, rows={episode.entry: 0})


class _Painter(EntryPainter):
    """Draws the way of an entry, what became of each XACK, and in the lowest lane who owned it."""

    def draw(self) -> None:
        super().draw()
        self._acks()
        self._owners()

    def _acks(self) -> None:
        owners = {(ack.at, ack.consumer): ack.owner for ack in self.run.recovery.zombie_acks}
        for event in self.episode.ends:
            if event.actor not in self.lanes:
                continue
            owner = owners.get((event.at, event.actor))
            if event.kind == ACKED and owner is None:
                self._ack(event, "o", DONE, "XACK → 1: done", filled=True)
            elif event.kind == ACKED:
                self._ack(event, "X", TROUBLE, f"XACK → 1, and {owner or 'nobody'} owns it!", filled=True)
            elif event.kind == VOID:
                self._ack(event, "D", TROUBLE, "XACK → 0: not pending", filled=False)
            elif event.kind == REJECTED:
                self._ack(event, "D", DONE, "refused: not its own", filled=False)

    def _ack(self, event: Event, marker: str, ink: str, words: str, *, filled: bool) -> None:
        y, size = self.lanes[event.actor].middle, 17 if marker == "X" else 13
        fill, edge, width = (ink, "white", 1.5) if filled else ("white", ink, 3)
        style.mark(self.ax, event.at, y, marker, size, fill, f"_{event.kind}", edge=edge, width=width, depth=11.5)
        self.words(words, event.at, y - 0.36, 6, ink=ink, bold=True)

    def _owners(self) -> None:
        """Draw whose the entry was, as the pending entries list says."""
        names = list(self.run.consumers)
        at = self.start
        for delivery in self.episode.deliveries:
            at, number = self.over(delivery), names.index(delivery.consumer)
            self._owned(delivery.delivered, at, colour(number), delivery.consumer, HATCHES[number % 2])
        if at < self.end:
            self._owned(at, self.end, "white", "nobody", "")

    def _owned(self, start: float, end: float, fill: str, words: str, hatch: str) -> None:
        look: dict[str, Any] = {
            "facecolor": fill,
            "edgecolor": "white" if hatch else INK,
            "hatch": hatch,
            "linewidth": 1.0,
        }
        low, high = self.lowest_y - 0.27, 0.54
        self.ax.add_patch(Rectangle((start, low), end - start, high, zorder=2, label=f"_owned {words}", **look))
        style.note(
            self.ax, words, ((start + end) / 2, self.lowest_y), (0, 0), 11, ha="center", va="center", zorder=3,
            fontweight="bold", color=ink_on(fill) if fill != "white" else INK, annotation_clip=True,
            bbox={"facecolor": fill, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip


def _title(run: Run, episode: Episode) -> str:
    """Say what came of an acknowledgement by a consumer that did not own the entry."""
    fenced = "Fenced" if run.scenario.recovery.fenced else "Without fencing"
    for ack in run.recovery.zombie_acks:
        if ack.id == episode.entry:
            whose = f"what {ack.owner} owns and is still working on" if ack.owner else "what nobody owns"
            return f"{fenced}: {ack.consumer} wakes and acknowledges {whose}"
    for event in episode.ends:
        if event.kind == REJECTED:
            return f"{fenced}: {event.actor} wakes, and its acknowledgement is refused; the owner's counts"
    return f"{fenced}: {episode.ends[-1].actor} acknowledges what is not pending any more"


def _alt(run: Run, episode: Episode) -> str:
    """Return the alternative text of a zombie's story."""
    owned = [f"{d.consumer} from {time_text(d.delivered)} to {time_text(d.over)}" for d in episode.deliveries]
    said = {ACKED: "granted", VOID: "answered with 0", REJECTED: "refused"}
    acks = [
        f"{event.actor}'s at {time_text(event.at)}, {said[event.kind]}" for event in episode.ends if event.kind in said
    ]
    return (
        f"{_title(run, episode)}. Owner of entry {episode.number:,}: {listed(owned)}. Acknowledgements: {listed(acks)}."
    )
