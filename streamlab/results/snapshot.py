"""`Snapshot`: a running lab at one moment: its consumers, what is pending, the stream and its group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamlab.results.actor_records import State
from streamlab.results.ledger import Ledger
from streamlab.scenario.small_table import ShowsItself, SmallTable, length


@dataclass(frozen=True, slots=True)
class ConsumerView:
    """A consumer: what it does, and what it has done.

    `holding` are the ids that it was given in this life and is not done with; `taken_away` those that it is working
    through though another consumer has been given them since. `pending` is how many the group has pending for it,
    those of earlier lives among them. `processed_again` is how often it processed what had been processed before.
    `idle` is in seconds, since it last asked (``XINFO CONSUMERS``); None if the server has never heard of it. `pid` is
    its process's, if it has one.
    """

    name: str
    state: State
    holding: tuple[str, ...]
    delivered: int
    acked: int
    claimed: int
    pending: int
    idle: float | None
    taken_away: tuple[str, ...] = ()
    processed_again: int = 0
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
class DeadLetter:
    """An entry of the dead-letter stream, with the id that it had before; its fields are cut to what can be shown."""

    id: str
    entry_id: str
    consumer: str
    delivery_count: int
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Snapshot(ShowsItself):
    """A lab at one moment. `lag` is None if unknown.

    Rates are entries per second, over the last moments: `arrival_rate` of those added, `throughput` of those processed,
    each counted once, as `Run.throughput` is over the whole run.

    `duplicates` is how often an entry was processed again; `lost` how many were not, and will not be: they were
    acknowledged, or deleted from the group with their consumer. `dead_letters` counts them; the newest are listed.
    """

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
    duplicates: int = 0
    lost: int = 0
    newest_dead_letters: tuple[DeadLetter, ...] = ()

    def as_table(self) -> SmallTable:
        """Return the stream and its group in a line, and a row for each consumer."""
        lag = "unknown" if self.lag is None else f"{self.lag:,}"
        dead_letters = f", {self.dead_letters:,} dead letters" if self.dead_letters else ""
        line = (
            f"at {length(self.at)}: {self.n_acked:,} of {self.n_added:,} entries acknowledged, "
            f"{self.n_pending:,} pending, lag {lag}{dead_letters}"
        )
        rows = [
            (c.name, str(c.state), f"{len(c.holding):,}", f"{c.pending:,}", f"{c.delivered:,}", f"{c.acked:,}")
            for c in self.consumers
        ]
        return SmallTable([line], ("consumer", "state", "holds", "pending", "delivered", "acked"), rows)

    def consumer(self, name: str) -> ConsumerView:
        """Return the consumer of this name."""
        return next(consumer for consumer in self.consumers if consumer.name == name)


def consumer_views(
    ledger: Ledger,
    pending: Mapping[str, int],
    idle: Mapping[str, float] | None = None,
    pids: Mapping[str, int] | None = None,
) -> tuple[ConsumerView, ...]:
    """Return all consumers of a ledger; what is `pending` for each, and what only its lab knows, by name."""
    taken = {name: ledger.actors.taken_away(record) for name, record in ledger.consumers.items()}
    return tuple(
        ConsumerView(
            name=name,
            state=State.WORKING if taken[name] and record.state == State.WAITING else record.state,
            holding=record.holding,
            delivered=record.delivered,
            acked=record.acked,
            claimed=record.claimed,
            pending=pending.get(name, 0),
            idle=(idle or {}).get(name),
            taken_away=taken[name],
            processed_again=record.processed_again,
            pid=(pids or {}).get(name),
        )
        for name, record in ledger.consumers.items()
    )
