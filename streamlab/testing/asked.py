"""What was asked for on the command line of a test run, for all that is tried in it. Imports nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Asked:
    """`seed` tries that schedule only; `schedules` is how many to try instead of what a test says."""

    seed: int | None = None
    schedules: int | None = None


ASKED = Asked()
