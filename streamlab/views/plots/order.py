"""In which order entries of a key were added, and in which they were processed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from streamlab.results.order import keys_of
from streamlab.results.run import Run
from streamlab.scenario import ScenarioError
from streamlab.views.plots import style
from streamlab.views.plots.picture import Chart
from streamlab.views.plots.style import INK, TROUBLE
from streamlab.views.plots.words import Runs, entries_text, named

#: As many entries of the key as can be told apart.
_N_SHOWN: Final = 12
_ADDED_Y, _PROCESSED_Y = 1.0, 0.0


def order(runs: Runs, *, key: str | None = None) -> Figure:
    """Draw in which order a key's entries were added, and in which they were processed: one run, or several (`Runs`).

    Twelve entries that follow each other, in the upper row as they were added, in the lower as they were processed.
    Where lines cross, the order was broken; an entry that was processed after a later one is marked by a square.

    Parameters
    ----------
    key
        Whose entries; by default those of the key that was out of order most often in any of the runs.

    Raises
    ------
    ScenarioError
        If the entries of a run have no keys, or none has this one.
    """
    by_label = named(runs)
    by_key = {label: _of_keys(run) for label, run in by_label.items()}
    overtaken = Counter(found.key for run in by_label.values() for found in run.inversions)
    for entries in by_key.values():
        overtaken.update(dict.fromkeys(entries, 0))
    key = max(overtaken, key=overtaken.__getitem__, default="") if key is None else key
    for label, entries in by_key.items():
        if key not in entries:
            raise ScenarioError(f"no entry that was processed in {label} has the key {key!r}: give keys = 20, for one")
    first = _first_shown(by_label, {label: entries[key] for label, entries in by_key.items()})
    chart = Chart(10, 2.3 * len(by_label))
    for place, (label, run) in enumerate(by_label.items(), 1):
        ax = chart.add_subplot(len(by_label), 1, place)
        _draw(ax, run, by_key[label][key][first : first + _N_SHOWN], key, first)
        title = f"{label}: {_verdict(run)}" if len(by_label) > 1 else _verdict(run)
        style.finish(ax, title, f"{title}.")
    return chart


def _of_keys(run: Run) -> dict[str, list[str]]:
    """Return the entries of each key that were processed, in the order in which they were added."""
    found: dict[str, list[str]] = {}
    if run.scenario.n_keys:
        keys, added = keys_of(run.scenario, run.ledger), run.ledger.added
        for entry_id in sorted(run.ledger.processed, key=lambda entry_id: added.get(entry_id, 0.0)):
            if entry_id in keys:
                found.setdefault(keys[entry_id], []).append(entry_id)
    return found


def _first_shown(by_label: Mapping[str, Run], entries: Mapping[str, Sequence[str]]) -> int:
    """Return the number, from 0, of the first entry to show: of the twelve that hold most of what is out of order."""
    late = Counter[int]()
    for label, run in by_label.items():
        overtaken = {found.id for found in run.inversions}
        late.update(n for n, entry_id in enumerate(entries[label]) if entry_id in overtaken)
    last = max(min(map(len, entries.values())) - _N_SHOWN, 0)
    # Of equally good ones the first; with one entry more before those that are late, if there is one.
    return max(range(last + 1), key=lambda first: sum(late[n] for n in range(first + 1, first + _N_SHOWN)))


def _draw(ax: Axes, run: Run, shown: Sequence[str], key: str, first: int) -> None:
    style.tidy(ax)
    ax.spines[["left", "bottom"]].set_visible(False)
    processed = run.ledger.processed
    done = {entry_id: place for place, entry_id in enumerate(sorted(shown, key=processed.__getitem__))}
    overtaken = {found.id for found in run.inversions}
    for place, entry_id in enumerate(shown):
        is_late = entry_id in overtaken
        ink, width = (TROUBLE, 3.0) if is_late else (INK, 1.3)
        ends = (place, done[entry_id]), (_ADDED_Y, _PROCESSED_Y)
        ax.plot(*ends, color=ink, linewidth=width, zorder=2 if is_late else 1, label=f"_{entry_id}")
        style.mark(ax, *ends, "s" if is_late else "o", 19, ink, f"_entry {entry_id}", depth=3, clip_on=False)
        for x, y in zip(*ends, strict=True):
            style.note(
                ax, str(first + place + 1), (x, y), (0, 0), 9.5, ha="center", va="center", color="white", zorder=4
            )
    ax.set_xlim(-0.6, max(_N_SHOWN, len(shown)) - 0.4)
    ax.set_ylim(_PROCESSED_Y - 0.3, _ADDED_Y + 0.3)
    ax.set_xticks([])
    ax.tick_params(axis="y", length=0)
    ax.set_yticks([_PROCESSED_Y, _ADDED_Y], ["processed", f"{key} added"], fontsize=10)


def _verdict(run: Run) -> str:
    n = len(run.inversions)
    if not n:
        return f"all {entries_text(run.processed)} in the order of their keys"
    was = "was" if n == 1 else "were"
    return f"{n:,} of {entries_text(run.processed)} {was} processed after a later one of the same key"
