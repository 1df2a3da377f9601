"""How a lab and workers that join its run from other machines write to each other: by lists in the run's Redis."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from streamlab.version import __version__

if TYPE_CHECKING:
    import redis

#: Milliseconds after which who has said nothing is taken for gone.
SILENCE_MS: Final = 5000
#: Seconds between two signs of life.
SIGN_EVERY: Final = 1.0
#: Letters taken out at once.
_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Letterbox:
    """The keys of a run that workers may join, under its name: in one slot. They end by themselves once nobody writes.

    - `offer`: that the run can be joined, by which version. The lab's sign of life.
    - `joins`: who wants to.
    - `to`, `back`: what is written to one that joined, and back; `sign`: its sign of life.
    """

    run: str

    @property
    def offer(self) -> str:
        return f"streamlab:join:{{{self.run}}}:offer"

    @property
    def joins(self) -> str:
        return f"streamlab:join:{{{self.run}}}:joins"

    def to(self, guest: str) -> str:
        return f"streamlab:join:{{{self.run}}}:to:{guest}"

    def back(self, guest: str) -> str:
        return f"streamlab:join:{{{self.run}}}:back:{guest}"

    def sign(self, guest: str) -> str:
        return f"streamlab:join:{{{self.run}}}:sign:{guest}"


def offer() -> str:
    """Return what a lab offers: that its version's workers may join."""
    return json.dumps({"version": __version__})


def post(client: redis.Redis, key: str, *letters: dict[str, Any]) -> None:
    """Put letters into a box, which is emptied by time if nobody does."""
    if letters:
        pipe = client.pipeline(transaction=True)
        pipe.rpush(key, *map(json.dumps, letters))
        pipe.pexpire(key, 12 * SILENCE_MS)
        pipe.execute()


def take(client: redis.Redis, key: str) -> list[dict[str, Any]]:
    """Take out what letters there are."""
    found: Any = client.lpop(key, _AT_ONCE)
    return [json.loads(letter) for letter in found or ()]


def clock_against(client: redis.Redis) -> float:
    """Return by how many seconds this machine's clock (``time.monotonic``) is ahead of the server's (``TIME``).

    The error is half of a round trip at most: of a few, the fastest is taken.
    """
    found: list[tuple[float, float]] = []
    for _ in range(7):
        before = time.monotonic()
        seconds, microseconds = client.time()
        after = time.monotonic()
        found.append((after - before, (before + after) / 2 - seconds - microseconds / 1e6))
    return min(found)[1]
