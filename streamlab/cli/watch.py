"""``streamlab watch``: a stream on a server of yours, as a table that is renewed, as text, or as lines of JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from streamlab.cli.terminal import console, is_styled
from streamlab.cli.watch_options import WatchOptions
from streamlab.lab.watch import Watch
from streamlab.results.look import Look
from streamlab.scenario import ScenarioError
from streamlab.scenario.action import ActionError
from streamlab.scenario.action_texts import seconds
from streamlab.servers.stopping import Stopped

if TYPE_CHECKING:
    from rich.console import RenderableType


def watch(options: WatchOptions) -> int:
    """Do what ``streamlab watch`` does; return the exit status. Ctrl-C is its usual end."""
    every, dead_after = _seconds(options.every, "--every"), _seconds(options.dead_after, "--dead-after")
    try:
        watched = Watch(
            options.url,
            options.stream,
            options.group,
            dead_after=dead_after,
            oldest=options.oldest,
            dead_letters=options.dead_letters,
        )
    except ValueError as error:
        raise ScenarioError(str(error)) from None
    try:
        with watched, _shown(options) as show:
            for look in islice(watched.every(every), 1 if options.once else None):
                show(look)
    except Stopped as stopped:
        status = stopped.note()
        return 0 if str(stopped) == "SIGINT" else status
    return 0


def _seconds(text: str, option: str) -> float:
    try:
        value = seconds(text)
    except ActionError as error:
        raise ScenarioError(f"{option}: {error}") from None
    if value < 0.1:
        raise ScenarioError(f"{option} {text} is too short: give 100ms at least")
    return value


@contextmanager
def _shown(options: WatchOptions) -> Iterator[Callable[[Look], None]]:
    """Give what shows a look: in the place of the one before on a terminal, below it everywhere else."""
    if options.json or options.once or not is_styled(sys.stdout):
        yield _print_json if options.json else _print
        return
    from rich.live import Live

    screen = console(sys.stdout)
    with Live(console=screen, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        yield lambda look: live.update(_drawn(look, screen.height), refresh=True)


def _print_json(look: Look) -> None:
    print(look.to_json(), flush=True)


def _print(look: Look) -> None:
    if is_styled(sys.stdout):
        console(sys.stdout).print(_drawn(look))
    else:
        print(look, end="\n\n", flush=True)


def _drawn(look: Look, height: int | None = None) -> RenderableType:
    """Draw the tables, with no more rows than there is room for."""
    from rich.console import Group
    from rich.text import Text

    from streamlab.cli.report import empty_table

    tables = look.as_tables()
    parts: list[RenderableType] = []
    for shown in tables:
        if height is not None:
            # Of a table, two lines are its head; above all but the first are an empty line and a title.
            room = height - 1 - len(tables[0].lines) - 4 * len(tables) + 2
            shown = shown.at_most(max(2, room // len(tables)))
        parts += [Text("")] if parts else []
        parts += [Text(line) for line in shown.lines]
        drawn = empty_table(shown.head, show_edge=False)
        for row in shown.rows:
            drawn.add_row(*row, style="yellow" if "probably dead" in row else None)
        parts.append(drawn)
    return Group(*parts)
