"""The options of ``streamlab watch``, as data."""

from dataclasses import dataclass
from typing import Annotated

from typer import Argument, Option

from streamlab.cli.options import option


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What ``streamlab watch`` was given."""

    url: Annotated[str, Argument(metavar="URL", help="The server: redis://, rediss:// or unix://.")]
    stream: Annotated[str, Argument(metavar="STREAM", help="The stream's key.")]
    group: Annotated[str | None, option("G", "Only this group (default: all).")] = None
    every: Annotated[str, Option(metavar="TIME", help="Time between two looks: 500ms, 5s.")] = "1s"
    dead_after: Annotated[
        str, Option(metavar="TIME", help="How long a consumer with pending entries is idle until it is probably dead.")
    ] = "60s"
    oldest: Annotated[int, Option(metavar="N", help="Pending entries of each group to list, the oldest first.")] = 5
    dead_letters: Annotated[str | None, option("KEY", "The dead-letter stream, to tell its length.")] = None
    once: Annotated[bool, Option("--once", help="Look once, and end.")] = False
    json: Annotated[bool, Option("--json", help="Print each look as one line of JSON.")] = False
