"""What titles and labels say: times in fitting units, counts, lists, and names that tell runs apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from streamlab.results.run import Run

#: One run, several, or several with the labels they shall have.
Runs = Run | Sequence[Run] | Mapping[str, Run]

# ---- time ------------------------------------------------------------------------------------------


class Unit(NamedTuple):
    """A unit of time: its sign, its length in seconds, and which multiples make good ticks."""

    sign: str
    seconds: float
    steps: tuple[float, ...]


_DECIMAL: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_SIXTIETHS: Final = (1.0, 1.5, 2.0, 3.0, 6.0, 10.0)
_UNITS: Final = (
    (0.001, Unit("µs", 1e-6, _DECIMAL)),
    (1.0, Unit("ms", 1e-3, _DECIMAL)),
    (180.0, Unit("s", 1.0, _DECIMAL)),
    (3 * 3600.0, Unit("min", 60.0, _SIXTIETHS)),
    (3 * 86_400.0, Unit("h", 3600.0, (1.0, 1.2, 2.0, 3.0, 6.0, 10.0))),
    (math.inf, Unit("d", 86_400.0, _DECIMAL)),
)


def unit_for(seconds: float) -> Unit:
    """Return the unit in which a span of time is best told."""
    return next(unit for limit, unit in _UNITS if seconds < limit or limit == math.inf)


def time_text(seconds: float) -> str:
    """Return a time for reading, to three digits: ``4.21 ms``, ``20.6 min``."""
    if not math.isfinite(seconds):
        return "–"
    if seconds == 0:
        return "0 s"
    unit = unit_for(abs(seconds))
    value = seconds / unit.seconds
    # Rounding may carry into the next unit (999.9 ms).
    if unit is not unit_for(float(f"{abs(value):.3g}") * unit.seconds):
        unit = unit_for(float(f"{abs(value):.3g}") * unit.seconds)
        value = seconds / unit.seconds
    return f"{value:,.0f} {unit.sign}" if abs(value) >= 100 else f"{value:.3g} {unit.sign}"


def named(runs: Runs) -> dict[str, Run]:
    """Return the runs by the labels that tell them apart.

    Without labels from the caller these are the first of engine, scenario, consumers, rate and seed that
    differs for every run; failing that, a number.
    """
    if isinstance(runs, Run):
        return {runs.engine: runs}
    if isinstance(runs, Mapping):
        return dict(runs)
    for tell in _TELLS:
        labels = [tell(run) for run in runs]
        if len(set(labels)) == len(labels):
            return dict(zip(labels, runs, strict=True))
    return {f"run {number}": run for number, run in enumerate(runs, 1)}


def _rate(run: Run) -> str:
    return f"{sum(p.arrivals.rate for p in run.scenario.producers):,g} entries/s"


_TELLS: Final[tuple[Callable[[Run], str], ...]] = (
    lambda run: run.engine,
    lambda run: run.scenario.name,
    lambda run: of_consumers(len(run.scenario.consumers)),
    _rate,
    lambda run: f"seed {run.scenario.seed}",
)


def entries_text(n: int) -> str:
    """Return ``1 entry`` or ``8,000 entries``."""
    return "1 entry" if n == 1 else f"{n:,} entries"


def of_consumers(n: int) -> str:
    """Return ``1 consumer`` or ``4 consumers``."""
    return "1 consumer" if n == 1 else f"{n:,} consumers"


def listed(words: Iterable[str], most: int = 4) -> str:
    """Return ``C1, C2 and C3``; of more than `most`, the rest as a number."""
    given = list(words)
    if len(given) > most:
        given = [*given[: most - 1], f"{len(given) - most + 1} more"]
    return given[0] if len(given) == 1 else f"{', '.join(given[:-1])} and {given[-1]}"


def takeover(n_held: int, takers: Iterable[str], *, came_back: bool) -> str:
    """Say what became of entries that a lost consumer held: who took them, if it did not come back itself."""
    them, given = "it" if n_held == 1 else "them", list(dict.fromkeys(takers))
    if came_back:
        return f"it comes back and reads {them} again"
    if not given:
        return f"nobody takes {them} over"
    return f"{listed(given)} claim{'s' * (len(given) == 1)} {them}"
