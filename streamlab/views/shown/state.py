"""What the control panel shows, as plain data that JSON can hold: made of a `Lab`, read by the view."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from streamlab.lab.lab import Lab
from streamlab.results.actor_records import State as Doing
from streamlab.results.book import SPAN, Book
from streamlab.results.deliveries import Delivery
from streamlab.results.ledger import Ledger
from streamlab.results.recent import Command, Recent
from streamlab.results.run import EngineName
from streamlab.results.servers import has_servers
from streamlab.results.shards import ShardView
from streamlab.results.snapshot import ConsumerView, GroupView, Snapshot
from streamlab.scenario import Scenario, ScenarioError
from streamlab.scenario.actions import SetRate, SetService
from streamlab.scenario.failing import Failover, NetworkCut, PowerLoss, ServerDown, fits_servers
from streamlab.views.shown.headlines import headline

State = dict[str, Any]

#: How much of each is sent: what fits on a screen.
_N_WAITING: Final = 60
N_COMMANDS: Final = 60
_N_BARS: Final = 160
_N_FORGOTTEN: Final = 6

#: What is done to servers, by a button beside them.
_TO_SERVERS: Final = (Failover, NetworkCut, ServerDown, PowerLoss)

#: What the automatic recovery can be switched to, and what that is called.
STRATEGIES: Final = {"autoclaim": "XAUTOCLAIM", "claim": "XPENDING, XCLAIM", "restart": "restarting the dead"}


def state_of(lab: Lab, entry_id: str = "") -> State:
    """Return what is to be shown of a lab now; with the story of an entry, if one is picked."""
    snapshot, recent = lab.snapshot(), lab.recent
    recovery = lab.recovery
    return {
        "title": lab.scenario.name,
        "engine": lab.engine,
        "at": round(snapshot.at, 3),
        "playing": lab.is_playing,
        "speed": lab.speed,
        "finished": snapshot.finished,
        "seed": lab.seed,
        "n_by_hand": len(lab.actions),
        "future": [action.in_short() for action in lab.actions if action.when > snapshot.at],
        "strategies": STRATEGIES,
        "strategy": recovery.strategy,
        "min_idle": recovery.min_idle,
        "paces": {
            SetRate.word: [lab.rate, _planned_rate(lab)],
            SetService.word: [lab.service, lab.scenario.consumers[0].service.mean],
        },
        "headline": list(headline_of(lab.scenario, snapshot, recent, is_claiming=recovery.claims)),
        "producers": [producer_of(producer.name, recent) for producer in lab.scenario.producers],
        "stream": lab.scenario.stream,
        "groups": [_group(view, recent.books[view.name]) for view in snapshot.groups],
        "figures": figures_of(snapshot),
        "n_added": snapshot.n_added,
        "n_acked": snapshot.n_acked,
        "n_pending": snapshot.n_pending,
        "backlog": snapshot.backlog,
        "consumers": [consumer_of(consumer) for consumer in snapshot.consumers],
        "pending": [
            [row.id, row.owner, round(row.idle, 3), row.delivery_count, _fields(row.fields), row.group]
            for row in snapshot.pending
        ],
        "dead_letters": [
            [letter.id, letter.entry_id, letter.consumer, letter.delivery_count, _fields(letter.fields)]
            for letter in snapshot.newest_dead_letters
        ],
        "shards": [shard_of(shard, snapshot.at) for shard in snapshot.shards],
        "servers": servers_of(lab.scenario, snapshot, lab.engine),
        "story": _story(lab, entry_id),
        "moves": [list(move) for move in recent.moves],
        "curves": [_curves(recent.books[view.name], view, snapshot.at) for view in snapshot.groups],
        "bars": [
            bar_of(book.ledger, bar) for book in recent.books.values() for _, bar in bars_in_sight(book, snapshot.at)
        ],
        "window": recent.window,
        "by_hand": _commands(recent.by_hand),
        "commands": _commands(recent.commands),
    }


def figures_of(snapshot: Snapshot) -> dict[str, Any]:
    """Return what is told of the stream; and of its group, if there is only one."""
    arrivals = {"arrivals": f"{snapshot.arrival_rate:.1f}/s"}
    others = {"dead letters": snapshot.dead_letters, "done twice": snapshot.duplicates}
    if len(snapshot.groups) > 1:
        return {"length": snapshot.length, **arrivals, **others}
    return {
        "length": snapshot.length,
        "backlog": snapshot.backlog,
        "lag": _lag(snapshot.lag),
        "pending": snapshot.n_pending,
        **arrivals,
        "throughput": f"{snapshot.throughput:.1f}/s",
        **others,
        "last-delivered id": snapshot.last_delivered_id,
    }


def _lag(lag: int | None) -> int | str:
    return "unknown" if lag is None else lag


def _group(view: GroupView, book: Book) -> dict[str, Any]:
    return {
        "name": view.name,
        "backlog": view.backlog,
        "lag": _lag(view.lag),
        "n_pending": view.n_pending,
        "n_acked": view.n_acked,
        "last_id": view.last_delivered_id,
        "throughput": f"{view.throughput:.1f}/s",
        "waiting": waiting_of(book.ledger),
    }


def _fields(fields: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in fields.items())


def _story(lab: Lab, entry_id: str) -> dict[str, Any] | None:
    """Return what has happened to an entry; nothing yet, if the run has gone back to before it was added."""
    if not entry_id:
        return None
    try:
        lines = lab.story(entry_id)
    except ScenarioError:
        lines = ("it has not been added yet",)
    return {"id": entry_id, "lines": lines}


def _commands(commands: Iterable[Command]) -> list[list[Any]]:
    """Return the last commands: when, by whom, what, and the reply."""
    return [[round(each.at, 3), each.by, each.text, each.reply] for each in [*commands][-N_COMMANDS:]]


def _planned_rate(lab: Lab) -> float | None:
    rates = [p.arrivals.rate for p in lab.scenario.producers if p.arrivals.kind != "replay"]
    return rates[0] if rates else None


def _is_down(recent: Recent) -> bool:
    return any(until == math.inf for _, until in recent.ledger.outages)


def headline_of(scenario: Scenario, snapshot: Snapshot, recent: Recent, *, is_claiming: bool) -> tuple[str, str]:
    """Return how serious it is, and what is going on, in a sentence or two."""
    dead = [producer.name for producer in scenario.producers if producer.name in recent.ledger.actors.dead_producers]
    return headline(snapshot, is_claiming, is_down=_is_down(recent), dead_producers=dead)


def producer_of(name: str, recent: Recent) -> dict[str, Any]:
    actors = recent.ledger.actors
    is_dead = name in actors.dead_producers
    is_paused = any(until == math.inf for _, until in actors.pauses.get(name, ()))
    return {"name": name, "state": Doing.DEAD if is_dead else Doing.PAUSED if is_paused else Doing.WORKING}


def consumer_of(consumer: ConsumerView) -> dict[str, Any]:
    return {
        "name": consumer.name,
        "state": consumer.state,
        "holding": len(consumer.holding),
        "pending": consumer.pending,
        "delivered": consumer.delivered,
        "claimed": consumer.claimed,
        "acked": consumer.acked,
        "again": consumer.processed_again,
        "taken": len(consumer.taken_away),
        "idle": consumer.idle,
        "group": consumer.group,
        "pid": consumer.pid,
    }


def shard_of(shard: ShardView, at: float, digits: int = 3) -> list[Any]:
    """Return a shard: its number and group, who owns it and until when by its lease, what waits and is pending."""
    until = None if shard.lease is None else round(at + shard.lease, digits) if shard.lease else 0.0
    return [shard.number, shard.group, shard.owner, until, shard.backlog, shard.pending]


def servers_of(scenario: Scenario, snapshot: Snapshot, engine: EngineName) -> dict[str, Any] | None:
    """Return the servers, what can be done to them, and what they have forgotten: its number, and the first by name."""
    if not snapshot.servers:
        return None
    forgotten = snapshot.forgotten
    says, what = has_servers(scenario), (scenario.persistence, scenario.replicas, scenario.primaries)
    return {
        "all": [[*each] for each in snapshot.servers],
        "keeps": scenario.persistence,
        # A real replica that is to be cut off is told a little more, and a real disk is synced when it likes.
        "about": engine == "live",
        "fit": [kind.word for kind in _TO_SERVERS if says and fits_servers(kind(), *what)],
        "lost": [len(forgotten.entries), [*forgotten.entries[:_N_FORGOTTEN]]],
        "n_unprocessed": len(forgotten.unprocessed),
        "again": [len(forgotten.acks), [*forgotten.acks[:_N_FORGOTTEN]]],
    }


def waiting_of(ledger: Ledger) -> list[tuple[str, str]]:
    """Return the entries that are next to be delivered, each with its producer."""
    return [(entry_id, ledger.producer[entry_id]) for entry_id in ledger.backlog.first(_N_WAITING)]


def _curves(book: Book, view: GroupView, now: float) -> dict[str, Any]:
    """Return backlog, pending and throughput over the last seconds; throughput as a moving average.

    They end with the figures that are shown.
    """
    points = list(book.points)
    begin = now - book.window
    shown = [i for i, point in enumerate(points) if point.at > begin]
    throughput = []
    for i in shown:
        before, point = points[max(i - SPAN, 0)], points[i]
        throughput.append((point.n_processed - before.n_processed) / (point.at - before.at) if i else 0.0)
    return {
        "at": [*(round(points[i].at, 3) for i in shown), round(now, 3)],
        "backlog": [*(points[i].backlog for i in shown), view.backlog],
        "pending": [*(points[i].pending for i in shown), view.n_pending],
        "throughput": [round(value, 2) for value in (*throughput, view.throughput)],
    }


def bars_in_sight(book: Book, now: float) -> list[tuple[int, Delivery]]:
    """Return the stays of entries with consumers that reach into the window: the newest of them, and their numbers."""
    begin = now - book.window
    bars, is_duplicate = book.bars, book.ledger.is_duplicate
    first = len(book.ledger.deliveries) - len(bars)
    # A zombie works on what has been over for it long since.
    shown = [
        (number, bar)
        for number, bar in enumerate(bars, first)
        if not bar.over <= begin or bar.processed > begin or is_duplicate(bar)
    ]
    return shown[-_N_BARS:]


def bar_of(ledger: Ledger, bar: Delivery, digits: int = 3) -> list[Any]:
    """Return who had an entry, from when to when, and whether again or for nothing."""
    is_duplicate = ledger.is_duplicate(bar)
    # What is being worked on is drawn as one that waits, until it is done.
    begun = math.nan if math.isnan(bar.processed) and not is_duplicate else bar.begun
    times = (bar.delivered, begun, bar.processed, bar.over)
    return [bar.consumer, *(None if math.isnan(at) else round(at, digits) for at in times), bar.is_again, is_duplicate]
