"""`Snapshot`: a running lab at one moment: its consumers, what is pending, the stream and its group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamlab.results.actor_records import State
from streamlab.results.book import Book
from streamlab.results.forgotten import NOTHING_FORGOTTEN, Forgotten
from streamlab.results.ledger import Ledger
from streamlab.results.recent import Recent
from streamlab.results.servers import ServerView
from streamlab.results.shards import ShardView
from streamlab.scenario.small_table import ShowsItself, SmallTable, length


@dataclass(frozen=True, slots=True)
class ConsumerView:
    """A consumer: what it does, and what it has done.

    `holding` are the ids that it was given in this life and is not done with; `taken_away` those that it is working
    through though another consumer has been given them since. `pending` is how many the group has pending for it,
    those of earlier lives among them. `processed_again` is how often it processed what had been processed before.
    `idle` is in seconds, since it last asked (``XINFO CONSUMERS``); None if the server has never heard of it. `pid` is
    its process's, if it has one. `group` is the group that it belongs to.
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
    group: str = ""


@dataclass(frozen=True, slots=True)
class PendingView:
    """An entry of a group's pending entries list; `idle` is in seconds. Its fields are cut to what can be shown."""

    id: str
    owner: str
    idle: float
    delivery_count: int
    fields: dict[str, str]
    group: str = ""


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group: how far it is, and what is pending in it. The figures mean what those of a `Snapshot` do."""

    name: str
    n_pending: int
    backlog: int
    last_delivered_id: str
    lag: int | None
    n_acked: int
    throughput: float
    duplicates: int
    lost: int


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

    Where there are several `groups`, what is pending, duplicates and what is lost is counted in all of them together;
    `backlog`, `last_delivered_id`, `lag`, `n_acked` and `throughput` are those of the one that is furthest behind.

    `shards` are there if the scenario has any; `servers`, and what they have `forgotten`, if it says something of them.
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
    groups: tuple[GroupView, ...] = ()
    shards: tuple[ShardView, ...] = ()
    servers: tuple[ServerView, ...] = ()
    forgotten: Forgotten = NOTHING_FORGOTTEN

    def as_table(self) -> SmallTable:
        """Return the stream and its group in a line, and a row for each consumer."""
        lag = "unknown" if self.lag is None else f"{self.lag:,}"
        dead_letters = f", {self.dead_letters:,} dead letters" if self.dead_letters else ""
        line = (
            f"at {length(self.at)}: {self.n_acked:,} of {self.n_added:,} entries acknowledged, "
            f"{self.n_pending:,} pending, lag {lag}{dead_letters}"
        )
        rows: list[tuple[str, ...]] = [
            (c.name, str(c.state), f"{len(c.holding):,}", f"{c.pending:,}", f"{c.delivered:,}", f"{c.acked:,}")
            for c in self.consumers
        ]
        head: tuple[str, ...] = ("consumer", "state", "holds", "pending", "delivered", "acked")
        if len(self.groups) > 1:
            of_all = "in all groups" if self.n_acked == self.n_added else "in the group that is furthest behind"
            line = line.replace(" acknowledged,", f" acknowledged {of_all},")
            head, rows = (*head, "group"), [(*row, c.group) for row, c in zip(rows, self.consumers, strict=True)]
        return SmallTable([line], head, rows)

    def group(self, name: str) -> GroupView:
        """Return the group of this name."""
        return next(group for group in self.groups if group.name == name)

    def consumer(self, name: str) -> ConsumerView:
        """Return the consumer of this name."""
        return next(consumer for consumer in self.consumers if consumer.name == name)


def consumer_views(
    group: str,
    ledger: Ledger,
    pending: Mapping[str, int],
    idle: Mapping[str, float] | None = None,
    pids: Mapping[str, int] | None = None,
) -> Iterator[ConsumerView]:
    """Yield all consumers of a group's ledger; what is `pending` for each, and what only its lab knows, by name."""
    for name, record in ledger.consumers.items():
        taken = ledger.actors.taken_away(record)
        yield ConsumerView(
            name=name,
            state=State.WORKING if taken and record.state == State.WAITING else record.state,
            holding=record.holding,
            delivered=record.delivered,
            acked=record.acked,
            claimed=record.claimed,
            pending=pending.get(name, 0),
            idle=(idle or {}).get(name),
            taken_away=taken,
            processed_again=record.processed_again,
            pid=(pids or {}).get(name),
            group=group,
        )


def group_view(
    name: str, book: Book, now: float, *, n_pending: int, last_delivered_id: str = "", lag: int | None = None
) -> GroupView:
    """Return a group as its book has it, with what only the server knows."""
    ledger = book.ledger
    return GroupView(
        name=name,
        n_pending=n_pending,
        backlog=ledger.backlog.size,
        last_delivered_id=last_delivered_id,
        lag=lag,
        n_acked=len(ledger.acked),
        throughput=book.rates(now)[1],
        duplicates=ledger.duplicates,
        lost=ledger.lost,
    )


def servers_now(recent: Recent, at: float) -> dict[str, Any]:
    """Return what a snapshot says of servers: which there are, where the scenario says so, and what is forgotten."""
    if recent.servers is None:
        return {}
    ledgers = {name: book.ledger for name, book in recent.books.items()}
    return {"servers": tuple(recent.servers.views(at)), "forgotten": recent.servers.forgotten(ledgers)}


def snapshot_of(views: Sequence[GroupView], **of_stream: Any) -> Snapshot:
    """Return a snapshot of these groups; `of_stream` are its other fields."""
    behind = max(views, key=lambda view: view.backlog)  # the first of equals
    return Snapshot(
        n_pending=sum(view.n_pending for view in views),
        backlog=behind.backlog,
        last_delivered_id=behind.last_delivered_id,
        lag=behind.lag,
        n_acked=behind.n_acked,
        throughput=behind.throughput,
        duplicates=sum(view.duplicates for view in views),
        lost=sum(view.lost for view in views),
        groups=tuple(views),
        **of_stream,
    )
