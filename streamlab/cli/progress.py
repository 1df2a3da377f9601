"""How far a run has got, on a terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from streamlab.cli.terminal import console, is_styled
from streamlab.lab.timeline import Progress
from streamlab.scenario import Scenario
from streamlab.scenario.small_table import length

#: Seconds between two renewals; a run that takes no longer shows nothing.
_EVERY: Final = 0.2


@contextlib.contextmanager
def progress(scenario: Scenario, *, quiet: bool) -> Iterator[Progress | None]:
    """Give something to call with a run's progress; None where nobody would see it."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with contextlib.ExitStack() as stack:
        draw: Callable[[float, int], None] | None = None
        last = time.monotonic()

        def show(now: float, n_events: int) -> None:
            nonlocal draw, last
            if time.monotonic() - last >= _EVERY:
                last = time.monotonic()
                if draw is None:
                    draw = stack.enter_context((_bar if is_styled(sys.stderr) else _line)(scenario))
                draw(now, n_events)

        yield show


@contextlib.contextmanager
def _bar(scenario: Scenario) -> Iterator[Callable[[float, int], None]]:
    """Draw a bar, renewed when there is something to show: no thread of its own."""
    from rich import progress as rich_progress

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.TextColumn("{task.fields[words]}"),
        rich_progress.TimeElapsedColumn(),
    )
    total = scenario.duration if scenario.entries is None else None
    with rich_progress.Progress(
        *columns, console=console(sys.stderr), auto_refresh=False, transient=True, redirect_stdout=False
    ) as bar:
        task = bar.add_task(scenario.name, total=total, words="")

        def draw(now: float, n_events: int) -> None:
            bar.update(task, completed=now, words=f"{length(now)} run, {n_events:,} events", refresh=True)

        yield draw


@contextlib.contextmanager
def _line(_: Scenario) -> Iterator[Callable[[float, int], None]]:
    """Write a line over itself, without escape codes."""
    began = time.monotonic()

    def draw(now: float, n_events: int) -> None:
        line = f"{length(now)} run, {n_events:,} events, {time.monotonic() - began:.0f} s"
        print(f"\r{line:<70}", end="", file=sys.stderr, flush=True)

    try:
        yield draw
    finally:
        print(f"\r{'':<70}\r", end="", file=sys.stderr, flush=True)
