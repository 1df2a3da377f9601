"""A run for reading: a table on a terminal, plain text everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from streamlab.cli.terminal import console, is_styled
from streamlab.results.comparison import Agreement, Comparison
from streamlab.results.run import Run

if TYPE_CHECKING:
    from rich.table import Table


def print_run(run: Run) -> None:
    """Print a run in figures, and a line for each consumer."""
    rows = [
        (name, f"{c.acked:,}", f"{run.shares[name]:.1%}", f"{c.pending:,}", f"{c.utilisation:.1%}")
        for name, c in run.consumers.items()
    ]
    head = ("consumer", "acked", "share", "pending", "utilisation")
    if is_styled(sys.stdout):
        screen = console(sys.stdout)
        for line in _figures(run):
            screen.print("\n".join(_broken(line, screen.width)))
        table = _table(head)
        for row in rows:
            table.add_row(*row)
        screen.print(table)
        return
    print("\n".join(_figures(run)) + "\n")
    for name, acked, share, pending, utilisation in (head, *rows):
        print(f"{name:<12}{acked:>10}{share:>9}{pending:>9}{utilisation:>13}")


def print_comparison(comparison: Comparison) -> None:
    """Print two runs side by side."""
    if not is_styled(sys.stdout):
        print(comparison)
        return
    table = _table(("", comparison.one.engine, comparison.other.engine, "difference", ""))
    for what, one, other, agreement in comparison.rows():
        cells = (f"{value:,}" if isinstance(value, int) else f"{value:.3f}" for value in (one, other, other - one))
        differs = agreement == Agreement.DIFFERS
        table.add_row(what, *cells, agreement.upper() if differs else agreement, style="bold red" if differs else None)
    screen = console(sys.stdout)
    screen.print(table)
    if comparison.reservation:
        screen.print(comparison.reservation)


def _table(head: tuple[str, ...]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for number, name in enumerate(head):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    return table


def _broken(line: str, width: int) -> Iterator[str]:
    """Break a line of figures between two of them where it is wider than the terminal."""
    first, *others = line.split(" · ")
    for other in others:
        if len(first) + len(other) + 3 > width:
            yield first
            first = other
        else:
            first += f" · {other}"
    yield first


def _figures(run: Run) -> list[str]:
    return [
        f"{run.scenario.name} on {run.server} ({run.engine}), seed {run.scenario.seed}: "
        f"{length(run.duration)} in {run.wall:.2f} s",
        f"added {run.added:,} · processed {run.processed:,} · acked {run.acked:,} · lost {run.lost:,} · "
        f"duplicates {run.duplicates:,} · pending {run.pending:,} · undelivered {run.undelivered:,}"
        + (f" · trimmed {run.trimmed:,}" if run.scenario.maxlen else ""),
        f"{run.throughput:,.1f} entries/s · sojourn p50 {length(run.sojourn.p50)}, "
        f"p95 {length(run.sojourn.p95)}, p99 {length(run.sojourn.p99)} · "
        f"backlog at most {run.backlog_max:,}",
        *_recovery(run),
    ]


def _recovery(run: Run) -> list[str]:
    """Return what went wrong and came of it, in a line; none if nothing was to go wrong."""
    if not run.scenario.faults:
        return []
    recovery = run.recovery
    n = len(recovery.lost_workers)
    lost = f"{n} {'worker' if n == 1 else 'workers'} lost"
    if any(recovery.times):
        done = f"all done again within {length(recovery.time_max)}"
        lost += f", {done if recovery.recovered else 'not all done again'}"
    return [
        f"recovery {recovery.strategy}: {lost} · redelivered {recovery.redelivered:,} · "
        f"duplicate effects {recovery.duplicate_effects:,} · dead letters {recovery.dead_lettered:,} · "
        f"zombie acks {len(recovery.zombie_acks):,}"
    ]


def length(seconds: float) -> str:
    """Return a time in the unit that suits it; – for one that never came."""
    if seconds != seconds:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.2f} ms"
    return f"{seconds:.2f} s" if seconds < 600 else f"{seconds / 3600:,.1f} h"
