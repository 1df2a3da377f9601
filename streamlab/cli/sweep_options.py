"""The options of ``streamlab sweep``, as data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from streamlab.cli.options import ScenarioOptions, flag, option

_RESULT: Final = "Result"


@dataclass(frozen=True, slots=True)
class SweepOptions(ScenarioOptions):
    """What ``streamlab sweep`` was given."""

    over: Annotated[
        list[str] | None,
        option(
            "NAME=VALUES",
            "What is varied: consumers=1..16, rate=100..500..100 (in steps of 100), service=2ms,4ms. May be given "
            "several times, for all combinations.",
        ),
    ] = None
    seeds: Annotated[int, option("N", "Run each combination with so many seeds, from --seed on (default: 10).")] = 10
    jobs: Annotated[int, option("N", "Processes to use (default: 1; -1: one per processor).")] = 1
    dask: Annotated[str | None, option("ADDRESS", "A Dask scheduler, whose workers take the runs.")] = None

    json: Annotated[bool, flag("--json", "Print the result as one JSON object.", _RESULT)] = False
    plot: Annotated[Path | None, option("FILE.png", "Draw the p99 of the sojourn time.", _RESULT)] = None
