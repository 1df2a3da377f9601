"""What the control panel shows, as plain data that JSON can hold: made of a `Lab`, read by the view."""

from __future__ import annotations

import math
from typing import Any, Final

from streamlab.actors.events import CRASHED
from streamlab.lab.lab import Lab
from streamlab.results.actor_records import State as Doing
from streamlab.results.recent import N_POINTS, Recent
from streamlab.results.snapshot import ConsumerView, Snapshot
from streamlab.scenario.actions import SetRate, SetService

State = dict[str, Any]

#: How much of each is sent: what fits on a screen.
_N_WAITING: Final = 60
_N_COMMANDS: Final = 60
_N_BARS: Final = 160
#: Points of a curve that the throughput is an average of: as many seconds as it is in a snapshot.
_SPAN: Final = N_POINTS // 8

#: What the automatic recovery can be switched to, and what that is called.
STRATEGIES: Final = {"autoclaim": "XAUTOCLAIM", "claim": "XPENDING, XCLAIM", "restart": "restarting the dead"}


def state_of(lab: Lab) -> State:
    """Return what is to be shown of a lab now."""
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
        "future": [action.in_short() for action in lab.actions if action.when > snapshot.at],
        "strategies": STRATEGIES,
        "strategy": recovery.strategy,
        "min_idle": recovery.min_idle,
        "paces": {
            SetRate.word: [lab.rate, _planned_rate(lab)],
            SetService.word: [lab.service, lab.scenario.consumers[0].service.mean],
        },
        "headline": headline(snapshot, recovery.claims, is_down=_is_down(recent)),
        "producers": [_producer(producer.name, recent) for producer in lab.scenario.producers],
        "stream": lab.scenario.stream,
        "group": lab.scenario.group,
        "figures": {
            "length": snapshot.length,
            "backlog": snapshot.backlog,
            "lag": "unknown" if snapshot.lag is None else snapshot.lag,
            "pending": snapshot.n_pending,
            "arrivals": f"{snapshot.arrival_rate:.1f}/s",
            "throughput": f"{snapshot.throughput:.1f}/s",
            "dead letters": snapshot.dead_letters,
            "last-delivered id": snapshot.last_delivered_id,
        },
        "n_added": snapshot.n_added,
        "n_acked": snapshot.n_acked,
        "n_pending": snapshot.n_pending,
        "backlog": snapshot.backlog,
        "consumers": [_consumer(consumer) for consumer in snapshot.consumers],
        "pending": [
            [
                row.id,
                row.owner,
                round(row.idle, 3),
                row.delivery_count,
                " ".join(f"{name}={value}" for name, value in row.fields.items()),
            ]
            for row in snapshot.pending
        ],
        "waiting": _waiting(recent),
        "moves": [list(move) for move in recent.moves],
        "curves": _curves(recent, snapshot),
        "bars": _bars(recent, snapshot.at),
        "window": recent.window,
        "commands": [
            [round(command.at, 3), command.by, command.text, command.reply]
            for command in list(recent.commands)[-_N_COMMANDS:]
        ],
    }


def _planned_rate(lab: Lab) -> float | None:
    rates = [p.arrivals.rate for p in lab.scenario.producers if p.arrivals.kind != "replay"]
    return rates[0] if rates else None


def _is_down(recent: Recent) -> bool:
    return any(until == math.inf for _, until in recent.ledger.outages)


def _producer(name: str, recent: Recent) -> dict[str, Any]:
    actors = recent.ledger.actors
    is_dead = any(loss.kind == CRASHED and loss.consumer == name for loss in actors.losses)
    is_paused = any(until == math.inf for _, until in actors.pauses.get(name, ()))
    return {"name": name, "state": Doing.DEAD if is_dead else Doing.PAUSED if is_paused else Doing.WORKING}


def _consumer(consumer: ConsumerView) -> dict[str, Any]:
    return {
        "name": consumer.name,
        "state": consumer.state,
        "holding": len(consumer.holding),
        "pending": consumer.pending,
        "delivered": consumer.delivered,
        "claimed": consumer.claimed,
        "acked": consumer.acked,
        "idle": consumer.idle,
        "pid": consumer.pid,
    }


def _waiting(recent: Recent) -> list[tuple[str, str]]:
    """Return the entries that are next to be delivered, each with its producer."""
    ledger = recent.ledger
    return [(entry_id, ledger.producer[entry_id]) for entry_id in ledger.backlog.first(_N_WAITING)]


def _curves(recent: Recent, snapshot: Snapshot) -> dict[str, Any]:
    """Return backlog, pending and throughput over the last seconds; throughput as a moving average."""
    points = list(recent.points)
    begin = snapshot.at - recent.window
    shown = [i for i, point in enumerate(points) if point.at > begin]
    throughput = []
    for i in shown:
        before, now = points[max(i - _SPAN, 0)], points[i]
        throughput.append((now.n_acks - before.n_acks) / (now.at - before.at) if i else 0.0)
    return {
        "at": [round(points[i].at, 3) for i in shown],
        "backlog": [points[i].backlog for i in shown],
        "pending": [points[i].pending for i in shown],
        "throughput": [round(value, 2) for value in throughput],
    }


def _bars(recent: Recent, now: float) -> list[list[Any]]:
    """Return the stays of entries with consumers that reach into the window: the newest of them."""
    begin = now - recent.window
    shown = [bar for bar in recent.bars if math.isnan(bar.over) or bar.over > begin]
    return [
        [
            bar.consumer,
            _or_none(bar.delivered),
            # What is being worked on is drawn as one that waits, until it is done.
            None if math.isnan(bar.processed) else _or_none(bar.begun),
            _or_none(bar.processed),
            _or_none(bar.over),
            bar.is_again,
        ]
        for bar in shown[-_N_BARS:]
    ]


def _or_none(at: float) -> float | None:
    return None if math.isnan(at) else round(at, 3)


# ---- in words ----------------------------------------------------------------------------------------


def headline(snapshot: Snapshot, is_claiming: bool, *, is_down: bool = False) -> list[str]:
    """Return what is going on, in a sentence or two, and how serious it is: calm, alarm or mending.

    No figure that changes from moment to moment: it is read aloud when it changes.
    """
    gone = [c for c in snapshot.consumers if c.state in (Doing.DEAD, Doing.STOPPED)]
    paused = [c for c in snapshot.consumers if c.state == Doing.PAUSED]
    stranded = [c for c in [*gone, *paused] if c.pending]
    away = _away(gone, paused)
    again = sorted({row.owner for row in snapshot.pending if _taken_over(row.owner, snapshot)})
    if snapshot.finished:
        return ["calm", "The run has ended."]
    if is_down:
        return ["alarm", f"{away} The server is down: nothing can be added, read or acknowledged.".strip()]
    if len(gone) == len(snapshot.consumers):
        return ["alarm", "Nobody is left: entries are added, and no one is given them."]
    if stranded:
        n = sum(consumer.pending for consumer in stranded)
        entries = "1 entry stays" if n == 1 else f"{n} entries stay"
        them = "it" if n == 1 else "them"
        how = (
            f"The others will claim {them} once idle for long enough."
            if is_claiming
            else f"Nobody else is given {them} until somebody claims {them}."
        )
        whom = " and ".join(consumer.name for consumer in stranded)
        return ["alarm", f"{away} {entries} pending for {whom}. {how}"]
    if again:
        return ["mending", f"{away} {' and '.join(again)} took over what was left, and is working on it.".strip()]
    if away:
        return ["calm", f"{away} Nothing is stranded: all that was left has been done by others."]
    return ["calm", f"All {len(snapshot.consumers)} consumers live. Nothing is stranded."]


def _taken_over(name: str, snapshot: Snapshot) -> bool:
    return any(row.owner == name and row.delivery_count > 1 for row in snapshot.pending)


def _away(gone: list[ConsumerView], paused: list[ConsumerView]) -> str:
    said = []
    for consumers, what in ((gone, "dead"), (paused, "paused")):
        if consumers:
            names = " and ".join(consumer.name for consumer in consumers)
            said.append(f"{names} {'is' if len(consumers) == 1 else 'are'} {what}.")
    return " ".join(said)
