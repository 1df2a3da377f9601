"""A page on what became of a program under torture: one file of HTML, which needs nothing beside it."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Final

from streamlab.lab.torture import Outcome
from streamlab.results.run import Run

_VERDICTS: Final = {0: ("Survived", "#1b7837"), 1: ("Broken", "#b2182b"), 3: ("Left pending", "#b35806")}
_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #1a1a1a }
h1 { border-left: 6px solid; padding-left: .5em }
pre { background: #f4f4f4; padding: .8em; overflow-x: auto }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .2em 1em .2em 0; text-align: left }
td + td, th + th { text-align: right } img { max-width: 100% }
"""


def torture_page(outcome: Outcome, command: str) -> str:
    """Return the page; `command` is what was typed. There are pictures on it where matplotlib is installed."""
    verdict, colour = _VERDICTS[outcome.status]
    run = outcome.run
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><meta charset="utf-8">',
            f"<title>{verdict}: {html.escape(command)}</title><style>{_STYLE}</style>",
            f'<h1 style="border-color: {colour}">{verdict}</h1><pre>{html.escape(command)}</pre>',
            *_findings(outcome),
            f"<h2>Figures</h2><p>{html.escape(run.server)}, {run.duration:.1f} s</p>",
            _table(("", ""), _figures(run)),
            _table(
                ("consumer", "delivered", "claimed", "acknowledged", "pending"),
                ((n, c.delivered, c.claimed, c.acked, c.pending) for n, c in run.consumers.items()),
            ),
            *_pictures(run),
            "<h2>What went wrong, as planned</h2>",
            _list(fault.in_short() for fault in run.scenario.faults),
            "</html>\n",
        ]
    )


def _findings(outcome: Outcome) -> Iterator[str]:
    """Yield what is wrong, with its stories, and hints."""
    found = [*outcome.broken, *([(outcome.left, outcome.left_story)] if outcome.left else [])]
    for words, story in found:
        yield f"<h2>{html.escape(words)}</h2>"
        if story:
            yield f"<pre>{html.escape(chr(10).join(story))}</pre>"
    if outcome.hints:
        yield _list(outcome.hints)


def _figures(run: Run) -> list[tuple[str, str]]:
    recovery = run.recovery
    return [
        ("entries added", f"{run.added:,}"),
        ("processed", f"{run.processed:,}"),
        ("acknowledged", f"{run.acked:,}"),
        ("lost", f"{run.lost:,}"),
        ("left pending, undelivered", f"{run.pending:,}, {run.undelivered:,}"),
        ("effects that happened again", f"{recovery.duplicate_effects:,}"),
        ("delivered again", f"{recovery.redelivered:,}"),
        ("consumers lost", f"{len(recovery.lost_workers):,}"),
        ("until what one held was done", _seconds(recovery.time_max)),
        ("sojourn, median and 99 %", f"{_seconds(run.sojourn.p50)}, {_seconds(run.sojourn.p99)}"),
    ]


def _seconds(seconds: float) -> str:
    return "never" if math.isnan(seconds) else f"{seconds:.3g} s"


def _pictures(run: Run) -> Iterator[str]:
    if find_spec("matplotlib") is not None and run.added:
        from streamlab.views import plots
        from streamlab.views.plots.picture import to_html

        for figure in (plots.overview(run), *([plots.recovery(run)] if any(run.recovery.times) else [])):
            yield f"<p>{to_html(figure, getattr(figure, 'alt', '') or 'The run, drawn')}</p>"


def _list(items: Iterable[str]) -> str:
    found = "".join(f"<li>{html.escape(item)}</li>" for item in items)
    return f"<ul>{found}</ul>" if found else "<p>Nothing.</p>"


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head, *rows] if any(head) else [*rows]
    cells = ("".join(f"<td>{html.escape(f'{cell}')}</td>" for cell in line) for line in lines)
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in cells)}</table>"
