"""Who had which shard over time: a lane for each shard, a bar for each owner."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from streamlab.actors.events import CRASHED, STARTED, STOPPED
from streamlab.results.run import Run
from streamlab.results.tenures import Tenure
from streamlab.scenario import ScenarioError
from streamlab.views.plots import style
from streamlab.views.plots.lanes import ORPHAN_LOOK, Lane, LanePainter, corners
from streamlab.views.plots.style import HATCHES, INK, TROUBLE, colour, ink_on
from streamlab.views.plots.words import listed, time_text

_COMES, _GOES, _DIES = "comes", "goes", "dies"
#: Shards that are told one by one.
_MOST_TOLD: Final = 12
#: Inches that a name in a bar needs, and what is said of who comes and goes.
_NAME_WIDTH: Final = 0.4
_WORD_WIDTH: Final = 0.9
_LINE_POINTS: Final = 14
_MOST_LINES: Final = 4


class _Turn(NamedTuple):
    """A consumer comes, goes or dies while the others go on."""

    at: float
    name: str
    what: str


class _Gap(NamedTuple):
    """A time in which a shard was nobody's: its owner had gone."""

    shard: int
    after: str
    start: float
    end: float


def owners(run: Run, *, ax: Axes | None = None) -> Figure:
    """Draw which consumer owned which shard over time: a lane for each shard, in the colour of its owner.

    What is drawn is who was given a shard's entries (`Run.tenures`): leases are not events. Hatched is the time between
    the death of an owner and the next one's first entry.

    Raises
    ------
    ScenarioError
        If the run has no shards.
    """
    n_shards = run.scenario.shards
    if n_shards is None:
        raise ScenarioError("owners() draws shards, and this run has one stream for all: give the scenario shards = 6")
    ax = style.axes_for(ax, 10, min(1.9 + 0.42 * n_shards, 7.5))
    turns, gaps = list(_turns(run)), list(_gaps(run))
    _Painter(ax, run, n_shards).draw(turns, gaps)
    style.time_axis(ax, 0.0, run.duration, "time since the start of the run")
    title = _title(run, n_shards, turns, gaps)
    return style.finish(ax, title, f"{title}. {_told(run)}")


def _turns(run: Run) -> Iterator[_Turn]:
    """Yield who comes, goes and dies before the end; all who are there at the beginning have come before."""
    late = {consumer.name for consumer in run.scenario.consumers if run.scenario.joins(consumer)}
    seen = {consumer.name for consumer in run.scenario.consumers} - late
    for event in run.events:
        if event.actor not in run.consumers or event.at >= run.duration:
            continue
        if event.kind == STARTED:
            if event.actor not in seen:
                yield _Turn(event.at, event.actor, _COMES)
            seen.discard(event.actor)
        elif event.kind in (CRASHED, STOPPED):
            yield _Turn(event.at, event.actor, _DIES if event.kind == CRASHED else _GOES)


def _gaps(run: Run) -> Iterator[_Gap]:
    """Yield the times in which a shard was nobody's because its owner had died."""
    died = {(turn.name, turn.at) for turn in _turns(run) if turn.what == _DIES}
    for _, of_shard in itertools.groupby(run.tenures, key=lambda tenure: tenure.shard):
        for before, after in itertools.pairwise([*of_shard, None]):
            assert before is not None
            if (before.consumer, before.end) in died:
                until = run.duration if after is None else after.start
                yield _Gap(before.shard, before.consumer, before.end, until)


class _Painter(LanePainter):
    """Draws bars in the lanes of shards."""

    def __init__(self, ax: Axes, run: Run, n_shards: int) -> None:
        self.run, self.n_shards = run, n_shards
        super().__init__(ax, {f"shard {n}": Lane(n, 1, 1, 1.0) for n in range(n_shards)}, 0.0, run.duration)

    def draw(self, turns: list[_Turn], gaps: list[_Gap]) -> None:
        lines = self._lines(turns)
        head = (4 + _LINE_POINTS * (1 + max(lines, default=0))) * self.n_shards / (72 * style.inches_high(self.ax))
        self.axes({name: lane.middle for name, lane in self.lanes.items()}, self.n_shards, -head, self._size)
        for tenure in self.run.tenures:
            self._tenure(tenure)
        boxes = [corners(gap.start, gap.end, gap.shard + 0.5, 0.8) for gap in gaps]
        self.bars("nobody's", boxes, 2, **ORPHAN_LOOK)
        for turn, line in zip(turns, lines, strict=True):
            self._turn(turn, line)
        names = [name for name in self.run.consumers if any(tenure.consumer == name for tenure in self.run.tenures)]
        handles = [Patch(**self._look(name), label=name) for name in names]
        if gaps:
            edge, hatch = ORPHAN_LOOK["edgecolors"], ORPHAN_LOOK["hatch"]
            handles.append(Patch(facecolor="white", edgecolor=edge, hatch=hatch, label="nobody: its lease runs out"))
        style.legend_below(self.ax, handles)

    @property
    def _size(self) -> float:
        return 10 if self.n_shards <= 16 else 6

    def _lines(self, turns: list[_Turn]) -> list[int]:
        """Return in which line above the lanes each turn is told, the lowest being 0: words do not cover others."""
        width = _WORD_WIDTH / style.inches_wide(self.ax) * self.end
        written = [-math.inf] * _MOST_LINES
        lines = []
        for turn in turns:
            lines.append(next((n for n, at in enumerate(written) if at < turn.at - width), _MOST_LINES - 1))
            written[lines[-1]] = turn.at
        return lines

    def _look(self, name: str) -> dict[str, Any]:
        number = list(self.run.consumers).index(name)
        return {"facecolor": colour(number), "edgecolor": "white", "hatch": HATCHES[number % len(HATCHES)]}

    def _tenure(self, tenure: Tenure) -> None:
        width, look = tenure.end - tenure.start, self._look(tenure.consumer)
        bar = Rectangle((tenure.start, tenure.shard + 0.1), width, 0.8, label=f"_{tenure.consumer}", **look)
        self.ax.add_patch(bar)
        if self.n_shards <= 16 and width / self.end * style.inches_wide(self.ax) > _NAME_WIDTH:
            fill = look["facecolor"]
            style.note(
                self.ax, tenure.consumer, (tenure.start + width / 2, tenure.shard + 0.5), (0, 0), 10, ha="center",
                va="center", fontweight="bold", color=ink_on(fill), zorder=6,
                bbox={"facecolor": fill, "edgecolor": "none", "pad": 1.5},
            )  # fmt: skip

    def _turn(self, turn: _Turn, line: int) -> None:
        ink, words, top = TROUBLE if turn.what == _DIES else INK, f"{turn.name} {turn.what}", -0.1
        self.ax.vlines(turn.at, top, self.n_shards, color=ink, linewidth=1.8, linestyle="--", zorder=5)
        offset = 0, 2 + _LINE_POINTS * line
        style.note(self.ax, words, (turn.at, top), offset, 10, ha="center", color=ink, fontweight="bold", zorder=6)


def _title(run: Run, n_shards: int, turns: list[_Turn], gaps: list[_Gap]) -> str:
    """Say who came and what became of those who went."""
    parts = []
    come = list(dict.fromkeys(turn.name for turn in turns if turn.what == _COMES))
    had_some = [name for name in come if any(tenure.consumer == name for tenure in run.tenures)]
    if had_some:
        parts.append(f"{listed(had_some)} {'comes and gets its' if len(had_some) == 1 else 'come and get their'} share")
    if gaps:
        dead = list(dict.fromkeys(gap.after for gap in gaps))
        longest = time_text(max(gap.end - gap.start for gap in gaps))
        whose = "its shards have" if len(dead) == 1 else "their shards have"
        parts.append(f"{listed(dead)} {'dies' if len(dead) == 1 else 'die'}, and {whose} no owner for up to {longest}")
    if not parts:
        return f"{n_shards} shards, each with one owner at a time"
    return "; ".join(parts)


def _told(run: Run) -> str:
    """Return who had which shard when, in words."""
    told = []
    shards = itertools.groupby(run.tenures, key=lambda tenure: tenure.shard)
    for shard, of_shard in itertools.islice(shards, _MOST_TOLD):
        each = [f"{t.consumer} from {time_text(t.start)} to {time_text(t.end)}" for t in of_shard]
        told.append(f"Shard {shard}: {', then '.join(each)}.")
    return " ".join(told)
