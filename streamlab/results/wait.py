"""`Wait`: how long a machine kept a worker waiting for a processor."""

from __future__ import annotations

from typing import NamedTuple


class Wait(NamedTuple):
    """How many seconds a worker was ready to go on and had no processor: in `total`, and the `longest` at a time."""

    total: float
    longest: float
