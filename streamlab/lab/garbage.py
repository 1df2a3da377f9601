"""How often Python looks for reference cycles while a simulation runs."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def rare_garbage_collections() -> Iterator[None]:
    """Let Python look for reference cycles less often than it would.

    A run makes many objects that stay, and hardly a cycle. At the usual thresholds, looking through them again
    and again takes a fifth of a short run's time, and makes an entry dearer the more there are.
    """
    usual = gc.get_threshold()
    if usual[0]:
        gc.set_threshold(max(usual[0], 100_000), max(usual[1], 50), max(usual[2], 100))
    try:
        yield
    finally:
        gc.set_threshold(*usual)
