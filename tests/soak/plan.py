"""Who takes part in the soak: data. Each group gets every entry, and recovers in its own way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from streamlab.actors import Recovery

STREAM: Final = "orders"
DEAD_LETTERS: Final = Recovery().dead_letter_of(STREAM)
#: Seconds of idleness after which an entry is taken over.
MIN_IDLE: Final = 1.0
#: Mean seconds that an entry takes.
SERVICE: Final = 0.015
#: Share of the entries whose handler raises an error, where somebody will try them again.
FAILS: Final = 0.1


@dataclass(frozen=True)
class Worker:
    """A process, and the kind of its client: of text or of bytes, RESP2 or RESP3."""

    name: str
    text: bool
    protocol: Literal[2, 3]


@dataclass(frozen=True)
class Producer(Worker):
    """Adds its share of all entries."""


@dataclass(frozen=True)
class Processor(Worker):
    """Whoever processes entries of a group; `count` is the most that it holds at once."""

    group: str
    count: int


@dataclass(frozen=True)
class Consumer(Processor):
    """One that consumes; `renames` gives each of its lives a name of its own, as a scheduler of containers does."""

    ack: Literal["each", "batch"]
    recovery: Recovery
    renames: bool = False

    @property
    def fails(self) -> float:
        """The share of entries that its handler fails with: where nobody claims, it would be this consumer's end."""
        return FAILS if self.recovery.claims else 0.0


@dataclass(frozen=True)
class Reclaimer(Processor):
    """One that only takes over what others left, again and again."""

    min_idle: float = MIN_IDLE
    fails: float = FAILS


AnyWorker = Producer | Consumer | Reclaimer


def group_of(worker: AnyWorker) -> str:
    """Return the group that a worker belongs to; "producers" is one as well."""
    return "producers" if isinstance(worker, Producer) else worker.group


def workers_for(kind: Literal["redis", "valkey"], version: tuple[int, int, int]) -> list[AnyWorker]:
    """Return those whose recovery a server supports."""
    return [
        worker
        for worker in WORKERS.values()
        if not isinstance(worker, Consumer) or worker.recovery.works_on(kind, version)
    ]


_AUTOCLAIM = Recovery("autoclaim", min_idle=MIN_IDLE)
_CAREFUL = Recovery("autoclaim", min_idle=MIN_IDLE, heartbeat=MIN_IDLE / 4, fenced=True)
_CLAIM = Recovery("claim", min_idle=MIN_IDLE, remove_after=3.0, max_deliveries=50)
_ON_READ = Recovery("read-claim", min_idle=MIN_IDLE)

WORKERS: Final[dict[str, AnyWorker]] = {
    worker.name: worker
    for worker in (
        Producer("P1", True, 2),
        Producer("P2", False, 3),
        Consumer("A1", True, 2, "autoclaim", 1, "each", _CAREFUL),
        Consumer("A2", False, 3, "autoclaim", 10, "batch", _AUTOCLAIM),
        Consumer("C1", False, 2, "claim", 5, "each", _CLAIM, renames=True),
        Consumer("C2", True, 3, "claim", 10, "batch", _CLAIM, renames=True),
        Consumer("D1", True, 3, "read-claim", 5, "each", _ON_READ),
        Consumer("D2", False, 2, "read-claim", 10, "batch", _ON_READ),
        Consumer("E1", True, 2, "restart", 10, "batch", Recovery("restart")),
        Consumer("E2", False, 3, "restart", 1, "each", Recovery("restart")),
        Consumer("R1", True, 3, "reclaim", 5, "each", Recovery("none"), renames=True),
        Reclaimer("R2", False, 2, "reclaim", 10),
    )
}
