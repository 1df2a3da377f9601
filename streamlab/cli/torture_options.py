"""The options of ``streamlab torture``, as data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from typer import Option

from streamlab.cli.options import choice, flag, option

_FAULTS: Final = "Faults"
_RESULT: Final = "Result"


@dataclass(frozen=True, slots=True)
class TortureOptions:
    """What ``streamlab torture`` was given."""

    worker: Annotated[
        str, option("COMMAND", "What starts a consumer; {url}, {stream}, {group} and {consumer} stand in for its own.")
    ]
    stream: Annotated[str, option("KEY", "The stream's key (default: orders).")] = "orders"
    group: Annotated[str, option("NAME", "The group's name (default: workers).")] = "workers"
    consumers: Annotated[int, option("N", "Processes of it (default: 3).")] = 3
    rate: Annotated[float, option("R", "Entries per second (default: 100).")] = 100.0
    duration: Annotated[str, option("TIME", "How long entries are produced: 30s, 5min (default: 10s).")] = "10s"
    drain: Annotated[str, option("TIME", "How long it may take to finish after that (default: 30s).")] = "30s"
    redis: Annotated[str | None, option("URL", "The server (default: a private one).")] = None
    restart: Annotated[
        bool,
        Option("--restart/--no-restart", help="Start one again that has ended (default: yes).", show_default=False),
    ] = True

    fault: Annotated[list[str] | None, option("TEXT", "What goes wrong. May be given several times.", _FAULTS)] = None
    faults: Annotated[
        Literal["random"] | None,
        choice("Draw faults of all kinds, by the seed, for as long as entries are produced.", _FAULTS),
    ] = None
    every: Annotated[str, option("TIME", "Time between two random faults, on average (default: 2s).", _FAULTS)] = "2s"
    seed: Annotated[int, option("N", "For random faults (default: 1).", _FAULTS)] = 1
    seeds: Annotated[
        int, option("N", "Go through so many seeds, from --seed on, up to the first that fails (default: 1).", _FAULTS)
    ] = 1
    jobs: Annotated[int, option("N", "Seeds at once, each with a server of its own (default: 1).", _FAULTS)] = 1
    dask: Annotated[str | None, option("ADDRESS", "A Dask scheduler, whose workers take the seeds.", _FAULTS)] = None

    effects: Annotated[
        str,
        option("KEY|stdout", "Where effects are told: a hash or a stream, or a line of output with the id.", _RESULT),
    ] = ""
    may_repeat: Annotated[bool, flag("--may-repeat", "An effect may happen more than once.", _RESULT)] = False
    html: Annotated[Path | None, option("FILE.html", "Write a page about it.", _RESULT)] = None
    json: Annotated[bool, flag("--json", "Print the result as a JSON object, a line for each seed.", _RESULT)] = False
