"""What ``streamlab doctor`` has found: a table on a terminal, plain text everywhere else."""

from __future__ import annotations

import sys
from itertools import groupby
from typing import Final

from streamlab import doctor
from streamlab.cli.terminal import console, is_styled

_STYLES: Final[dict[doctor.State, str]] = {"ok": "green", "missing": "yellow", "problem": "bold red"}


def print_findings(findings: list[doctor.Finding], *, verbose: bool) -> None:
    """Print what was found, with the remedies."""
    if not is_styled(sys.stdout):
        print(doctor.render(findings, verbose=verbose))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for area, group in groupby(findings, key=lambda finding: finding.area):
        if table.row_count:
            table.add_row()
        table.add_row(Text(area, "bold"))
        for each in group:
            told = [each.detail, *(each.more if verbose else ())]
            table.add_row(Text(f"  {each.state}", _STYLES[each.state]), each.name, Text("\n".join(told)))
            if each.remedy:
                table.add_row("", "", Text(f"→ {each.remedy}", "cyan"))
    console(sys.stdout).print(table)
