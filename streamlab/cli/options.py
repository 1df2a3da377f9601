"""The options of ``streamlab run``, as data; and how options are declared."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from typer import Argument, Option

Given = TypeVar("Given")
_SIZE: Final = "Size and speed"
_FAILURES: Final = "Faults and recovery"
_RESULT: Final = "Result"

#: As `Recovery.strategy` has them; a test holds the two together, since importing that takes a while.
Strategy = Literal["none", "restart", "claim", "autoclaim", "read-claim", "nack"]


def scenarios(incomplete: str) -> Iterator[tuple[str, str]]:
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
        autocompletion=scenarios,
        show_default=False,
    ),
]


def option(metavar: str, text: str, panel: str | None = None) -> Any:
    """Return an option that takes a value."""
    return Option(metavar=metavar, help=text, rich_help_panel=panel, show_default=False)


def flag(name: str, text: str, panel: str) -> Any:
    """Return an option that is there or not."""
    return Option(name, help=text, rich_help_panel=panel)  # named, or typer adds --no-…


def choice(text: str, panel: str | None = None) -> Any:
    """Return an option that takes one of a few words."""
    return Option(help=text, rich_help_panel=panel, show_default=False)


@dataclass(frozen=True, slots=True)
class ScenarioOptions:
    """The scenario that is asked for; None is what it says itself."""

    scenario: ScenarioName
    seed: Annotated[int | None, option("N", "For whatever is random in the scenario.")] = None

    duration: Annotated[float | None, option("S", "Seconds of production.", _SIZE)] = None
    entries: Annotated[int | None, option("N", "Entries to produce, all producers together.", _SIZE)] = None
    rate: Annotated[float | None, option("R", "Entries per second of each producer.", _SIZE)] = None
    producers: Annotated[int | None, option("N", "Producers, all like the first.", _SIZE)] = None
    consumers: Annotated[int | None, option("N", "Consumers, all like the first.", _SIZE)] = None
    service: Annotated[float | None, option("S", "Mean seconds a consumer takes for an entry.", _SIZE)] = None
    count: Annotated[int | None, option("N", "Entries a consumer asks for at once (COUNT).", _SIZE)] = None
    shards: Annotated[
        int | None, option("N", "Spread entries by key over N streams, each one consumer's at a time.", _SIZE)
    ] = None
    keys: Annotated[int | None, option("N", "Different keys that entries have (with shards: 100).", _SIZE)] = None
    speed: Annotated[float | None, option("X", "Arrivals and service, X times faster.", _SIZE)] = None

    fault: Annotated[
        list[str] | None, option("TEXT", "What goes wrong, in the words below. May be given several times.", _FAILURES)
    ] = None
    faults: Annotated[Literal["random"] | None, choice("Draw a few faults of any kind, by the seed.", _FAILURES)] = None
    recovery: Annotated[
        Strategy | None,
        option(
            "HOW",
            "How unfinished entries come back: none, restart, claim, autoclaim, read-claim (Redis 8.4), "
            "nack (Redis 8.8; simulated: as autoclaim).",
            _FAILURES,
        ),
    ] = None
    min_idle: Annotated[
        str | None, option("TIME", "How long an entry lies before another may claim it: 500ms, 2s.", _FAILURES)
    ] = None
    interval: Annotated[str | None, option("TIME", "Time between two looks for idle entries.", _FAILURES)] = None
    heartbeat: Annotated[str | None, option("TIME", "Renew what is held so often.", _FAILURES)] = None
    restart_after: Annotated[str | None, option("TIME", "Time until a dead consumer is started again.", _FAILURES)] = (
        None
    )
    max_deliveries: Annotated[
        int | None, option("N", "Tries before an entry goes to the dead-letter stream.", _FAILURES)
    ] = None
    persistence: Annotated[
        Literal["none", "rdb", "aof-everysec", "aof-always"] | None,
        option("WHAT", "What the server keeps when it goes down: none, rdb, aof-everysec, aof-always.", _FAILURES),
    ] = None
    replication_delay: Annotated[
        str | None, option("TIME", "How far replicas are behind when the primary dies.", _FAILURES)
    ] = None
    fenced: Annotated[bool, flag("--fenced", "Acknowledge only what the consumer still owns.", _FAILURES)] = False
    sink: Annotated[
        Literal["none", "naive", "idempotent"] | None,
        option("KIND", "Count effects in a hash on the server: none, naive, idempotent.", _FAILURES),
    ] = None


@dataclass(frozen=True, slots=True)
class RunOptions(ScenarioOptions):
    """What ``streamlab run`` was given."""

    engine: Annotated[
        Literal["simulated", "live", "both"], choice("In virtual time (default), on a real Redis, or on both.")
    ] = "simulated"
    redis: Annotated[str | None, option("URL", "The server for a live run (default: a private one).")] = None
    open: Annotated[str | None, option("NAME", "With --redis: let workers of other machines join under this name.")] = (
        None
    )

    json: Annotated[bool, flag("--json", "Print the result as one JSON object.", _RESULT)] = False
    events: Annotated[bool, flag("--events", "Print every event as a line of JSON.", _RESULT)] = False
    keep: Annotated[
        bool, flag("--keep", "Leave a live run's server as it is until Ctrl-C, for redis-cli and the like.", _RESULT)
    ] = False
    port: Annotated[
        int | None, option("N", "With --keep: the server's TCP port on 127.0.0.1 (default: any).", _RESULT)
    ] = None
    save: Annotated[Path | None, option("FILE", "Keep the run (JSON lines; compressed: FILE.gz).", _RESULT)] = None
    plot: Annotated[Path | None, option("FILE.png", "Draw the run.", _RESULT)] = None
    html: Annotated[
        Path | None, option("FILE.html", "Write a page that plays the run in any browser, to be sent on.", _RESULT)
    ] = None


def taking_options(command: Callable[[Given], int], options: type[Given]) -> Callable[..., int]:
    """Return a function with an argument for each of a class's fields, as typer reads them."""

    def called(**given: Any) -> int:
        return command(options(**given))

    called.__signature__ = inspect.signature(options)  # type: ignore[attr-defined]
    called.__annotations__ = options.__init__.__annotations__
    called.__doc__ = command.__doc__
    return called
