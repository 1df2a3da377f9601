"""How long somebody has waited for a command so far, and for what."""

from __future__ import annotations

import time


class Waited:
    """Measures a command from when it is read: what there is to load, what runs, what is told of that."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin anew."""
        self._began = time.perf_counter()

    def summary(self, run: float, since: float) -> dict[str, object]:
        """Return seconds so far: all, and of these until the run began, while it ran, and since its end.

        It took `run` seconds, and has come to its end `since` seconds ago.
        """
        total = time.perf_counter() - self._began
        parts = {"before": total - run - since, "run": run, "after": since}
        return {"wall": round(total, 3), "wall_parts": {name: round(part, 3) for name, part in parts.items()}}


#: Of the command that is under way.
waited = Waited()
