"""Help with examples: below what typer writes, commands to try, and the words for faults."""

from __future__ import annotations

import sys
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

from streamlab.cli.terminal import console

#: By command: what to type, and what it does.
EXAMPLES: Final[dict[str, list[tuple[str, str]]]] = {
    "run": [
        ("streamlab run one-to-many", "figures, and a line for each consumer"),
        ("streamlab run one-to-many --engine both", "simulated and on a real Redis, side by side"),
        ("streamlab run crash --plot crash.png", "two workers die; draw what became of it"),
        ("streamlab run crash --html crash.html", "a page that plays it, in any browser"),
        ("streamlab run one-to-many --fault 'kill C2 at 3s' --recovery autoclaim", "another consumer takes over"),
        ("streamlab run crash --engine live --keep", "its server stays, for redis-cli, until Ctrl-C"),
        ("streamlab run my-scenario.toml --json", "a scenario of your own; one JSON object"),
    ],
    "replay": [
        ("streamlab run crash --save crash.jsonl", "keep a run"),
        ("streamlab replay crash.jsonl", "and watch it in the browser"),
    ],
    "sweep": [
        ("streamlab sweep one-to-one --over consumers=1..8", "how many consumers are enough?"),
        (
            "streamlab sweep one-to-many --over consumers=1..16 --over service=2ms,4ms --seeds 20 --jobs 2",
            "640 runs by two processes",
        ),
        ("streamlab sweep one-to-one --over rate=50..200..50 --fault 'kill C1 at 0s' --consumers 2", "one is dead"),
    ],
    "torture": [
        ("streamlab torture --worker 'python consumer.py' --effects effects --faults random", "ten seconds of faults"),
        (
            "streamlab torture --worker 'node consumer.js {url}' --fault 'kill C2 at 3s' --no-restart",
            "do the others claim what it leaves?",
        ),
        ("streamlab torture --worker ./consumer --effects stdout --duration 5min --json", "one JSON object"),
    ],
    "lab": [
        ("streamlab lab", "make your copy, or bring it up to date, and open it"),
        ("streamlab lab --folder work/streams --no-browser", "a copy elsewhere; only print the address"),
    ],
    "progress": [
        ("streamlab progress", "the exercises of each lesson, and when they were done"),
        ("streamlab progress --certificate mine.html --name 'Ada Lovelace'", "a page to print"),
    ],
    "panel": [
        ("streamlab panel", "three consumers, simulated"),
        ("streamlab panel crash --live", "another scenario, with real processes"),
    ],
    "watch": [
        ("streamlab watch redis://localhost orders", "all groups, renewed each second until Ctrl-C"),
        ("streamlab watch redis://localhost orders --group billing --once", "one look at one group"),
        ("streamlab watch redis://localhost orders --every 10s --json", "a line of JSON every ten seconds"),
    ],
    "serve": [
        ("streamlab serve --port 6380", "then, elsewhere: redis-cli -p 6380"),
        ("streamlab serve --scenario kill-and-recover", "run it into the server, and look at what it leaves"),
    ],
    "worker": [
        ("streamlab run one-to-many --engine live --redis redis://:pass@db --open mine", "on one machine, and"),
        ("streamlab worker --join redis://:pass@db --run mine", "on any other: one consumer more"),
    ],
    "doctor": [
        ("streamlab doctor", "engines, servers, Python packages, extras"),
        ("streamlab doctor -v", "and how the embedded server differs from a real one"),
    ],
    "streamlab": [
        ("streamlab lab", "open the course"),
        ("streamlab run crash", "run a scenario"),
        ("streamlab doctor", "see what is missing for what"),
        ("streamlab run --help", "the options of a command"),
    ],
}


def _sections(name: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return what stands below a command's options: headings, and lines of two columns."""
    sections = [("Examples", EXAMPLES[name])]
    if name in ("run", "sweep", "torture"):
        from streamlab.scenario import SCENARIOS
        from streamlab.scenario.actions import FAULTS, OURS_ALONE

        kinds = [kind for kind in FAULTS.values() if name != "torture" or not issubclass(kind, OURS_ALONE)]
        faults = [(kind.form, _first_line(kind)) for kind in kinds]
        faults.append(("kill random every 1s", "A consumer, drawn by the seed, is killed each time."))
        if name != "torture":
            sections.append(("Scenarios", [(word, _first_line(make)) for word, make in SCENARIOS.items()]))
        sections.append(("Faults", faults))
    return sections


def _first_line(what: object) -> str:
    return (what.__doc__ or "").partition("\n")[0].replace("`", "")


def _write(name: str, formatter: Any, *, is_rich: bool) -> None:
    for heading, rows in _sections(name):
        if is_rich:
            _draw(heading, rows)
            continue
        with formatter.section(heading):
            if heading == "Examples":  # a command stays in one piece
                formatter.write("".join(f"  {left}\n      {right}\n" for left, right in rows))
            else:
                formatter.write_dl(rows, col_max=36)


def _draw(heading: str, rows: list[tuple[str, str]]) -> None:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 1))
    if heading == "Examples":
        for left, right in rows:
            table.add_row(Text(left, "bold cyan", overflow="fold"))
            table.add_row(Text(f"  {right}", "dim"))
    else:
        table.add_column(style="bold cyan", max_width=44)
        table.add_column()
        for left, right in rows:
            table.add_row(left, right)
    console(sys.stdout).print(Panel(table, title=heading, title_align="left", border_style="dim"))


class Command(TyperCommand):
    """A command whose help ends with examples."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        super().format_help(ctx, formatter)
        _write(self.name or "", formatter, is_rich=self.rich_markup_mode is not None)


class Group(TyperGroup):
    """The command ``streamlab`` by itself."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        super().format_help(ctx, formatter)
        _write("streamlab", formatter, is_rich=self.rich_markup_mode is not None)
