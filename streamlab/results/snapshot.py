"""`Snapshot`: a running lab at one moment: its consumers, what is pending, the stream and its group."""

from __future__ import annotations

from dataclasses import dataclass

from streamlab.results.actor_records import State


@dataclass(frozen=True, slots=True)
class ConsumerView:
    """A consumer: what it does, and what it has done.

    `holding` are the ids that it was given in this life and is not done with; `pending` is how many the
    group has pending for it, those of earlier lives among them. `idle` is in seconds, since it last asked
    (``XINFO CONSUMERS``); None if the server has never heard of it. `pid` is its process's, if it has one.
    """

    name: str
    state: State
    holding: tuple[str, ...]
    delivered: int
    acked: int
    claimed: int
    pending: int
    idle: float | None
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class PendingView:
    """An entry of the pending entries list; `idle` is in seconds. Its fields are cut to what can be shown."""

    id: str
    owner: str
    idle: float
    delivery_count: int
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A lab at one moment. Rates are entries per second, over the last moments; `lag` is None if unknown."""

    at: float
    finished: bool
    consumers: tuple[ConsumerView, ...]
    pending: tuple[PendingView, ...]
    n_pending: int
    backlog: int
    length: int
    last_delivered_id: str
    lag: int | None
    dead_letters: int
    n_added: int
    n_acked: int
    arrival_rate: float
    throughput: float

    def consumer(self, name: str) -> ConsumerView:
        """Return the consumer of this name."""
        return next(consumer for consumer in self.consumers if consumer.name == name)
