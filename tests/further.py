"""Parameters of which some try the same again: `make test` leaves those to `make further`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def beyond(n: int, values: Sequence[Any], why: str) -> list[Any]:
    """List parameters of a test of which all behind the first `n` are marked as `further`, and why."""
    mark = pytest.mark.further(why)
    more = (value if isinstance(value, tuple) else (value,) for value in values[n:])
    return [*values[:n], *(pytest.param(*value, marks=mark) for value in more)]
