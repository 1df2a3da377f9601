"""The options of ``streamlab run`` and ``streamlab watch``, as data."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from typer import Argument, Option

_SIZE: Final = "Size and speed"
_FAILURES: Final = "Faults and recovery"
_RESULT: Final = "Result"

#: As `Recovery.strategy` has them; a test holds the two together, since importing that takes a while.
Strategy = Literal["none", "restart", "claim", "autoclaim", "read-claim", "nack"]


def _scenarios(incomplete: str) -> Iterator[tuple[str, str]]:
    """Complete a scenario's name, or the path of a TOML file or of a folder on the way to one."""
    from streamlab.scenario import SCENARIOS

    for name, scenario in SCENARIOS.items():
        if name.startswith(incomplete):
            yield name, (scenario.__doc__ or "").partition("\n")[0]
    folder, _, start = incomplete.rpartition("/")
    for path in sorted(Path(f"{folder}/" if "/" in incomplete else ".").glob(f"{start}*")):
        shown = f"{incomplete.removesuffix(start)}{path.name}"
        if path.is_dir() and not path.name.startswith("."):
            yield f"{shown}/", "a folder"
        elif path.suffix == ".toml":
            yield shown, "a scenario of your own"


ScenarioName = Annotated[
    str,
    Argument(
        metavar="NAME|FILE.toml",
        help="A named scenario, or a file with one of your own.",
        autocompletion=_scenarios,
        show_default=False,
    ),
]


def _option(metavar: str, text: str, panel: str | None = None) -> Any:
    return Option(metavar=metavar, help=text, rich_help_panel=panel, show_default=False)


def _flag(name: str, text: str, panel: str) -> Any:
    return Option(name, help=text, rich_help_panel=panel)  # named, or typer adds --no-…


def _choice(text: str, panel: str | None = None) -> Any:
    return Option(help=text, rich_help_panel=panel, show_default=False)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What ``streamlab run`` was given; None is what the scenario says."""

    scenario: ScenarioName
    engine: Annotated[
        Literal["simulated", "live", "both"], _choice("In virtual time (default), on a real Redis, or on both.")
    ] = "simulated"
    redis: Annotated[str | None, _option("URL", "The server for a live run (default: a private one).")] = None
    seed: Annotated[int | None, _option("N", "For whatever is random in the scenario.")] = None

    duration: Annotated[float | None, _option("S", "Seconds of production.", _SIZE)] = None
    entries: Annotated[int | None, _option("N", "Entries to produce, all producers together.", _SIZE)] = None
    rate: Annotated[float | None, _option("R", "Entries per second of each producer.", _SIZE)] = None
    producers: Annotated[int | None, _option("N", "Producers, all like the first.", _SIZE)] = None
    consumers: Annotated[int | None, _option("N", "Consumers, all like the first.", _SIZE)] = None
    service: Annotated[float | None, _option("S", "Mean seconds a consumer takes for an entry.", _SIZE)] = None
    count: Annotated[int | None, _option("N", "Entries a consumer asks for at once (COUNT).", _SIZE)] = None
    speed: Annotated[float | None, _option("X", "Arrivals and service, X times faster.", _SIZE)] = None

    fault: Annotated[
        list[str] | None, _option("TEXT", "What goes wrong, in the words below. May be given several times.", _FAILURES)
    ] = None
    faults: Annotated[Literal["random"] | None, _choice("Draw a few faults of any kind, by the seed.", _FAILURES)] = (
        None
    )
    recovery: Annotated[
        Strategy | None,
        _option(
            "HOW",
            "How unfinished entries come back: none, restart, claim, autoclaim, read-claim (Redis 8.4), "
            "nack (Redis 8.8; simulated: as autoclaim).",
            _FAILURES,
        ),
    ] = None
    min_idle: Annotated[
        str | None, _option("TIME", "How long an entry lies before another may claim it: 500ms, 2s.", _FAILURES)
    ] = None
    interval: Annotated[str | None, _option("TIME", "Time between two looks for idle entries.", _FAILURES)] = None
    heartbeat: Annotated[str | None, _option("TIME", "Renew what is held so often.", _FAILURES)] = None
    restart_after: Annotated[str | None, _option("TIME", "Time until a dead consumer is started again.", _FAILURES)] = (
        None
    )
    max_deliveries: Annotated[
        int | None, _option("N", "Tries before an entry goes to the dead-letter stream.", _FAILURES)
    ] = None
    fenced: Annotated[bool, _flag("--fenced", "Acknowledge only what the consumer still owns.", _FAILURES)] = False
    sink: Annotated[
        Literal["none", "naive", "idempotent"] | None,
        _option("KIND", "Count effects in a hash on the server: none, naive, idempotent.", _FAILURES),
    ] = None

    json: Annotated[bool, _flag("--json", "Print the result as one JSON object.", _RESULT)] = False
    events: Annotated[bool, _flag("--events", "Print every event as a line of JSON.", _RESULT)] = False
    save: Annotated[Path | None, _option("FILE", "Keep the run (JSON lines).", _RESULT)] = None
    plot: Annotated[Path | None, _option("FILE.png", "Draw the run.", _RESULT)] = None


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What ``streamlab watch`` was given."""

    url: Annotated[str, Argument(metavar="URL", help="The server: redis://, rediss:// or unix://.")]
    stream: Annotated[str, Argument(metavar="STREAM", help="The stream's key.")]
    group: Annotated[str | None, _option("G", "Only this group (default: all).")] = None
    every: Annotated[str, Option(metavar="TIME", help="Time between two looks: 500ms, 5s.")] = "1s"
    dead_after: Annotated[
        str, Option(metavar="TIME", help="How long a consumer with pending entries is idle until it is probably dead.")
    ] = "60s"
    oldest: Annotated[int, Option(metavar="N", help="Pending entries of each group to list, the oldest first.")] = 5
    dead_letters: Annotated[str | None, _option("KEY", "The dead-letter stream, to tell its length.")] = None
    once: Annotated[bool, Option("--once", help="Look once, and end.")] = False
    json: Annotated[bool, Option("--json", help="Print each look as one line of JSON.")] = False


_Options = TypeVar("_Options")


def taking_options(command: Callable[[_Options], int], options_class: type[_Options]) -> Callable[..., int]:
    """Return a function with an argument for each of the options, as typer reads them."""

    def called(**options: Any) -> int:
        return command(options_class(**options))

    called.__signature__ = inspect.signature(options_class)  # type: ignore[attr-defined]
    called.__annotations__ = options_class.__init__.__annotations__
    called.__doc__ = command.__doc__
    return called
