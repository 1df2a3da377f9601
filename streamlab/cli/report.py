"""A run for reading: a table on a terminal, plain text everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from streamlab.cli.terminal import console, is_styled
from streamlab.results.comparison import Agreement, Comparison
from streamlab.results.run import Run
from streamlab.scenario.small_table import SmallTable

if TYPE_CHECKING:
    from rich.table import Table


def print_run(run: Run) -> None:
    """Print a run in figures, and a line for each consumer."""
    shown = run.as_table()
    first, *others = shown.lines
    print_table(shown._replace(lines=[f"{first} in {run.wall:.2f} s", *others]))


def print_table(shown: SmallTable) -> None:
    """Print lines and a table."""
    if not is_styled(sys.stdout):
        print(shown.as_text())
        return
    screen = console(sys.stdout)
    for line in shown.lines:
        screen.print("\n".join(_broken(line, screen.width)))
    table = empty_table(shown.head)
    for row in shown.rows:
        table.add_row(*row)
    screen.print(table)


def print_comparison(comparison: Comparison) -> None:
    """Print two runs side by side."""
    if not is_styled(sys.stdout):
        print(comparison)
        return
    table = empty_table(("", comparison.one.engine, comparison.other.engine, "difference", ""))
    for what, one, other, agreement in comparison.rows():
        cells = (f"{value:,}" if isinstance(value, int) else f"{value:.3f}" for value in (one, other, other - one))
        differs = agreement == Agreement.DIFFERS
        table.add_row(what, *cells, agreement.upper() if differs else agreement, style="bold red" if differs else None)
    screen = console(sys.stdout)
    screen.print(table)
    if comparison.reservation:
        screen.print(comparison.reservation)


def empty_table(head: tuple[str, ...], *, show_edge: bool = True) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=show_edge, header_style="bold")
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
