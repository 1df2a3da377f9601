"""One scenario on both engines."""

from __future__ import annotations

from pathlib import Path

from streamlab.lab.lab import Lab
from streamlab.lab.overheads import Overheads
from streamlab.lab.timeline import Progress
from streamlab.results.comparison import Comparison
from streamlab.scenario import Scenario


def run_both(
    scenario: Scenario | str | Path, *, redis_url: str | None = None, progress: Progress | None = None
) -> Comparison:
    """Run a scenario on both engines; return the simulated run (`one`) beside the live one (`other`).

    The live run goes first: what commands and timers cost in it, the simulation is charged with.
    """
    live = Lab(scenario, engine="live", redis_url=redis_url).run(progress)
    simulated = Lab(live.scenario, overheads=Overheads.of(live)).run()
    return Comparison(simulated, live)
