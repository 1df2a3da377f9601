"""A run in figures: as JSON, as a small table, in a line."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Final

from streamlab.scenario.small_table import SmallTable, length

if TYPE_CHECKING:
    from streamlab.results.run import Run

#: The counts of a run's summary, by the names of its attributes.
_COUNTS: Final = (
    "added", "processed", "acked", "redelivered", "duplicates", "dead_lettered", "trimmed", "lost", "pending",
    "undelivered", "backlog_max",
)  # fmt: skip


def summary(run: Run) -> dict[str, Any]:
    """Return a run as what JSON can hold: see `Run.summary`."""
    scenario = run.scenario
    head = {"scenario": scenario.name, "engine": run.engine, "server": run.server, "seed": scenario.seed}
    wall = {"wall": round(run.wall, 3)}
    if len(run.groups) > 1:
        return {**head, **wall, "groups": {group: _of_one_group(part) for group, part in run.groups.items()}}
    figures = _of_one_group(run)
    return {**head, "duration": figures.pop("duration"), **wall, **figures}


def _of_one_group(run: Run) -> dict[str, Any]:
    return {
        "duration": _rounded(run.duration),
        **{name: getattr(run, name) for name in _COUNTS},
        "sojourn": {name: _rounded(getattr(run.sojourn, name)) for name in ("p50", "p95", "p99", "max")},
        "consumers": {
            name: dataclasses.asdict(consumer) | {"utilisation": round(consumer.utilisation, 4)}
            for name, consumer in run.consumers.items()
        },
        "recovery": _recovery(run),
    }


def _recovery(run: Run) -> dict[str, Any]:
    recovery = run.recovery
    return {
        "strategy": recovery.strategy,
        "recovered": recovery.recovered,
        "time_max": _rounded(recovery.time_max),
        "lost_workers": len(recovery.lost_workers),
        "redelivered": recovery.redelivered,
        "duplicates": recovery.duplicates,
        "duplicate_effects": recovery.duplicate_effects,
        "wasted": round(recovery.wasted, 6),
        "dead_lettered": recovery.dead_lettered,
        "zombie_acks": len(recovery.zombie_acks),
        "void_acks": recovery.void,
        "rejected_acks": recovery.rejected,
        "round_trips": recovery.n_round_trips or None,
    }


def table(run: Run) -> SmallTable:
    """Return a run in figures, and a row for each consumer."""
    has_several = len(run.groups) > 1
    lasted = max(part.duration for part in run.groups.values())
    scenario = run.scenario
    lines = [f"{scenario.name} on {run.server} ({run.engine}), seed {scenario.seed}: {length(lasted)}"]
    rows: list[tuple[str, ...]] = []
    for group, part in run.groups.items():
        lines += [f"{group}: {line}" if has_several else line for line in _figures(part)]
        for name, c in part.consumers.items():
            row = name, f"{c.acked:,}", f"{part.shares[name]:.1%}", f"{c.pending:,}", f"{c.utilisation:.1%}"
            rows.append((*row, group) if has_several else row)
    head = "consumer", "acked", "share", "pending", "utilisation"
    return SmallTable(lines, (*head, "group") if has_several else head, rows)


def _figures(run: Run) -> list[str]:
    times = run.sojourn
    lines = [
        f"added {run.added:,} · processed {run.processed:,} · acked {run.acked:,} · lost {run.lost:,} · "
        f"duplicates {run.duplicates:,} · pending {run.pending:,} · undelivered {run.undelivered:,}"
        + (f" · trimmed {run.trimmed:,}" if run.scenario.maxlen else ""),
        f"{run.throughput:,.1f} entries/s · sojourn p50 {length(times.p50)}, p95 {length(times.p95)}, "
        f"p99 {length(times.p99)} · backlog at most {run.backlog_max:,}",
    ]
    if run.scenario.faults:
        recovery, n = run.recovery, len(run.recovery.lost_workers)
        lost = f"{n} {'worker' if n == 1 else 'workers'} lost"
        if any(recovery.times):
            done = f"all done again within {length(recovery.time_max)}"
            lost += f", {done if recovery.recovered else 'not all done again'}"
        lines.append(
            f"recovery {recovery.strategy}: {lost} · redelivered {recovery.redelivered:,} · "
            f"duplicate effects {recovery.duplicate_effects:,} · dead letters {recovery.dead_lettered:,} · "
            f"zombie acks {len(recovery.zombie_acks):,}"
        )
    return lines


def in_short(run: Run) -> str:
    """Return a run in a line."""
    done = [
        f"{part.processed:,} of {part.added:,} entries processed by {len(part.consumers)} in {part.duration:.2f} s"
        + (f" in {group}" if len(run.groups) > 1 else "")
        for group, part in run.groups.items()
    ]
    return f"<Run of {run.scenario.name} ({run.engine}): {'; '.join(done)}>"


def _rounded(seconds: float) -> float | None:
    """Return a time to the microsecond; None, which JSON knows, for a time that does not exist."""
    return None if math.isnan(seconds) else round(seconds, 6)
