"""Small tables: what a scenario, a lab, a run, a snapshot and a comparison show of themselves."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

#: Of a group of a thousand consumers, who wants to see each asks for a data frame.
_MOST_ROWS = 20
#: Characters of a text from elsewhere that are shown.
_LONGEST_TEXT = 60
_CELL = "padding: 0.15em 0.8em; text-align: "


class SmallTable(NamedTuple):
    """A few lines, the names of the columns, and rows of texts."""

    lines: Sequence[str]
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def at_most(self, n: int) -> SmallTable:
        """Return it with its first rows only, and how many more there are."""
        if len(self.rows) <= n:
            return self
        more = (f"… {len(self.rows) - n + 1:,} more", *[""] * (len(self.head) - 1))
        return self._replace(rows=[*self.rows[: n - 1], more])

    def as_text(self) -> str:
        """Return it for a terminal: the first column to the left, the others to the right."""
        table = [self.head, *self.rows]
        widths = [max(len(row[i]) for row in table) + (2 if i else 0) for i in range(len(self.head))]
        cells = (
            "".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
            for row in table
        )
        return "\n".join([*self.lines, "", *map(str.rstrip, cells)])

    def as_html(self) -> str:
        """Return it for a notebook."""

        def line(row: tuple[str, ...], tag: str) -> str:
            sides = ["left"] + ["right"] * (len(row) - 1)
            cells = (
                f'<{tag} style="{_CELL}{side}">{html.escape(cell)}</{tag}>'
                for cell, side in zip(row, sides, strict=True)
            )
            return f"<tr>{''.join(cells)}</tr>"

        first, *others = (html.escape(text) for text in self.lines)
        above = "".join([f"<div><b>{first}</b></div>", *(f"<div>{text}</div>" for text in others)])
        body = "".join(line(row, "td") for row in self.rows)
        return f"{above}<table><thead>{line(self.head, 'th')}</thead><tbody>{body}</tbody></table>"


class ShowsItself:
    """Shows itself as a table, or as several: in a notebook, and when it is printed."""

    __slots__ = ()

    def as_table(self) -> SmallTable:
        """Return what is shown."""
        raise NotImplementedError

    def as_tables(self) -> list[SmallTable]:
        """Return all that is shown, each table with its first rows only."""
        return [self.as_table().at_most(_MOST_ROWS)]

    def __str__(self) -> str:
        return "\n\n".join(table.as_text() for table in self.as_tables())

    def _repr_html_(self) -> str:
        return "".join(table.as_html() for table in self.as_tables())


def length(seconds: float) -> str:
    """Return a time in the unit that suits it; – for one that never came."""
    if seconds != seconds:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.2f} ms"
    return f"{seconds:.2f} s" if seconds < 600 else f"{seconds / 3600:,.1f} h"


def harmless(text: str) -> str:
    """Return a text from who knows where, cut to some dozen characters, without control characters.

    What is not printable is shown as a dot, with those that turn the direction of writing.
    """
    cut = text[:_LONGEST_TEXT]
    clean = "".join(c if c.isprintable() else "·" for c in cut)
    return f"{clean}… ({len(text):,} characters)" if len(text) > _LONGEST_TEXT else clean
