"""What was asked for on the command line of a test run, for all that is tried in it. Imports nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Asked:
    """What counts instead of what a test says: `seed` tries that schedule only; None leaves the test its own."""

    seed: int | None = None
    schedules: int | None = None
    jobs: int | None = None
    dask: str | None = None


ASKED = Asked()
