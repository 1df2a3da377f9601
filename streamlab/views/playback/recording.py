"""A run as data to be played back: what the panel would show of it, from moment to moment.

All of it is told by a ledger of the run, fold by fold. What differs from one moment to the next is written down, so the
page that plays it has only to add up differences (``recording.mjs``), and counts nothing itself.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Any, Final

from streamlab.actors import Recovery
from streamlab.results.book import SPAN, Book, Point
from streamlab.results.events import Event
from streamlab.results.recent import Command, Recent
from streamlab.results.recovery import lost_workers
from streamlab.results.run import Run
from streamlab.results.shards import ShardView
from streamlab.results.snapshot import PendingView, Snapshot, consumer_views, group_view, servers_now, snapshot_of
from streamlab.results.statistics import id_key
from streamlab.results.stories import GENERAL, PERSONAL, Story
from streamlab.scenario.actions import SetRecovery
from streamlab.views.playback.differences import Differences, Rows
from streamlab.views.playback.turns import turns_of
from streamlab.views.shown import state as shown

#: Moments that are told apart, at the most: however long a run is, its page stays small enough to be sent.
MOST_MOMENTS: Final = 4000
#: Of the window: what is one moment; and after which silence there is one though nothing happens, since rates sink.
_ONE_MOMENT, _SILENCE = 0.001, 0.025
#: How much is kept of what only grows: what fits on a screen, as on the panel.
_LOGS: Final = {"moves": 120, "commands": shown.N_COMMANDS, "by_hand": shown.N_COMMANDS, "points": 140}
#: Seconds that curves and lanes look back as on the panel, where services are short.
_LOOK_BACK: Final = 20.0
_N_PENDING: Final = 200
_N_LETTERS: Final = 20

Recording = dict[str, Any]


def record(run: Run, *, has_ended: bool = True) -> Recording:
    """Return what is to be seen of a run, from moment to moment, as data that JSON can hold."""
    return _Recorder(run, has_ended).recording()


class _Recorder:
    """Goes through a run, and writes down what is different at each moment."""

    def __init__(self, run: Run, has_ended: bool) -> None:
        scenario = run.scenario
        self.run, self.scenario, self.has_ended = run, scenario, has_ended
        self.events = list(run.events)
        self.end = max((event.at for event in self.events), default=0.0) or 1.0
        services = 40 * max(consumer.service.mean for consumer in scenario.consumers)
        #: Seconds that curves and lanes look back: some services, and enough of a short run to be watched.
        self.window = min(max(services, min(self.end / 10, _LOOK_BACK)), self.end)
        self.digits = max(3, 4 - math.floor(math.log10(self.window)))
        self.recent = Recent(scenario, self.window, is_live=run.engine == "live")
        self.books = [*self.recent.books.items()]
        self.logs = {**_LOGS, "points": _LOGS["points"] * len(self.books)}
        ids = {event.id for event in self.events if event.id and event.kind not in GENERAL}
        self.number = {entry_id: n for n, entry_id in enumerate(sorted(ids, key=id_key))}
        self.done = sorted((action for action in scenario.actions if action.is_dated), key=lambda action: action.when)
        self.counted = [action for action in scenario.actions if not action.is_dated]
        self.differences = Differences(self.logs)
        #: How often an entry was delivered in a group: a claim that is not counted leaves it as it was.
        self.counts: dict[tuple[str, str], int] = {}
        self.points: list[deque[Point]] = [deque(maxlen=SPAN + 1) for _ in self.books]
        self.last_command: Command | None = None
        self.tables: list[str] = []  # by their names, and the columns of the consumers'
        self.columns: list[str] = []
        self.n_read = self.n_commands = self.n_moves = self.n_points = 0

    def recording(self) -> Recording:
        """Return the whole of it."""
        moments = [*self._moments()]
        frames = [[round(at, self.digits), self._moment(at, n)] for at, n in moments]
        times = [at for at, _ in moments]
        parts = self.run.groups.values()
        lost = [worker for part in parts for worker in lost_workers(part.ledger, part.final.pending)]
        turns = turns_of(self.events, sorted(lost, key=lambda worker: worker.at))
        scenario = self.scenario
        return {
            "title": scenario.name,
            "engine": self.run.engine,
            "server": self.run.server,
            "seed": scenario.seed,
            "stream": scenario.stream,
            "groups": [group for group, _ in self.books],
            "window": round(self.window, self.digits),
            "end": round(self.end, self.digits),
            "digits": self.digits,
            "ids": [*self.number],
            "logs": self.logs,
            "tables": self.tables,
            "consumer": self.columns,
            "frames": frames,
            # Each with the moment from which on it is to be seen (sums of fractions differ by less than that).
            "turns": [
                [round(at, self.digits), frames[bisect_left(times, at - 1e-9, hi=len(times) - 1)][0], mood, words]
                for at, mood, words in turns
            ],
            "stories": _stories(self.events, self.number),
        }

    def _moments(self) -> Iterator[tuple[float, int]]:
        """Yield moments of the run, each with the number of events up to then."""
        least = max(self.window * _ONE_MOMENT, self.end / MOST_MOMENTS)
        silence = max(self.window * _SILENCE, self.end / MOST_MOMENTS)
        n, last, events = 0, 0.0, self.events
        if not events:
            yield last, n
        while n < len(events):
            begin = max(events[n].at, 0.0)
            while last + silence < begin:
                last += silence
                yield last, n
            while n < len(events) and events[n].at <= begin + least:
                n += 1
            last = max(last, events[n - 1].at)
            yield last, n

    def _moment(self, at: float, n_events: int) -> dict[str, Any]:
        """Return what is different at a moment from the one before."""
        recent, scenario = self.recent, self.scenario
        for event in self.events[self.n_read : n_events]:
            for group in recent.routes.groups_of(event) if event.delivery_count else ():
                self.counts[group, event.id] = event.delivery_count
        self.n_read = n_events
        recent.read(self.events, at, n_events=n_events)
        snapshot = self._snapshot(at, finished=self.has_ended and n_events == len(self.events))
        recovery = self._recovery(at)
        values = {
            "headline": [*shown.headline_of(scenario, snapshot, recent, is_claiming=recovery.claims)],
            "min_idle": recovery.min_idle,
            "producers": [shown.producer_of(producer.name, recent) for producer in scenario.producers],
            "n_added": snapshot.n_added,
            "n_acked": snapshot.n_acked,
            "n_pending": snapshot.n_pending,
            "backlog": snapshot.backlog,
        }
        if snapshot.servers:
            values["servers"] = shown.servers_of(scenario, snapshot, self.run.engine)
        # What only the server knows, its events do not tell.
        unknown = ("length", "lag", "last-delivered id")
        figures = {name: value for name, value in shown.figures_of(snapshot).items() if name not in unknown}
        tables = self._tables(snapshot)
        self.tables, self.columns = [*tables], [*shown.consumer_of(snapshot.consumers[0])]
        return self.differences.of(values, figures, tables)

    def _snapshot(self, at: float, finished: bool) -> Snapshot:
        """Return how things are, as far as events tell."""
        books, ledger = self.books, self.recent.ledger
        pending = {
            group: sorted(book.ledger.pending.values(), key=lambda delivery: self.number[delivery.id])
            for group, book in books
        }
        return snapshot_of(
            [group_view(group, book, at, n_pending=len(pending[group])) for group, book in books],
            at=at,
            finished=finished,
            consumers=tuple(
                consumer
                for group, book in books
                for consumer in consumer_views(group, book.ledger, Counter(each.consumer for each in pending[group]))
            ),
            pending=tuple(
                PendingView(
                    each.id, each.consumer, at - each.delivered, self.counts.get((group, each.id), 1), {}, group
                )
                for group, deliveries in pending.items()
                for each in deliveries[:_N_PENDING]
            ),
            length=len(ledger.added) - len(ledger.trimmed),
            dead_letters=sum(len(book.ledger.dead_lettered) for _, book in books),
            n_added=len(ledger.added),
            arrival_rate=self.recent.first.rates(at)[0],
            shards=tuple(self._shards_told(at)),
            **servers_now(self.recent, at),
        )

    def _shards_told(self, at: float) -> Iterator[ShardView]:
        """Yield the shards, if there are any, as far as events tell."""
        if self.recent.shards is not None:
            for group, book in self.books:
                yield from self.recent.shards.told(group, book.ledger, at)

    def _recovery(self, at: float) -> Recovery:
        """Return how consumers recovered at a moment."""
        recovery = self.scenario.recovery
        for action in self.done:
            if isinstance(action, SetRecovery) and action.when <= at:
                recovery = action.applied_to(recovery)
        return recovery

    # ---- tables --------------------------------------------------------------------------------

    def _tables(self, snapshot: Snapshot) -> dict[str, Rows]:
        """Return the rows of each table by their keys."""
        digits, at = self.digits, snapshot.at
        index = {group: g for g, (group, _) in enumerate(self.books)}
        letters = [(g, book, i) for g, book in self._each() for i in list(book.ledger.dead_lettered)[-_N_LETTERS:]]
        done = [(0.0, action, "comes when so much has been counted") for action in self.counted]
        done += [(action.when, action, "") for action in self.done if action.when <= at]
        return {
            "consumers": dict(enumerate([*shown.consumer_of(each).values()] for each in snapshot.consumers)),
            "groups": dict(
                enumerate([v.backlog, v.n_pending, v.n_acked, f"{v.throughput:.1f}/s"] for v in snapshot.groups)
            ),
            # Since when, not for how long: or each row would be different at each moment.
            "pending": {
                self._key(row.id, index[row.group]): [row.owner, round(at - row.idle, digits), row.delivery_count]
                for row in snapshot.pending
            },
            "waiting": {
                self._key(entry_id, g): producer
                for g, book in self._each()
                for entry_id, producer in shown.waiting_of(book.ledger)
            },
            "dead_letters": {
                self._key(i, g): [book.ledger.last[i].consumer, self.counts.get((self.books[g][0], i), 1)]
                for g, book, i in letters
            },
            "bars": {
                n * len(self.books) + g: shown.bar_of(book.ledger, bar, digits)
                for g, book in self._each()
                for n, bar in shown.bars_in_sight(book, at)
            },
            **self._shards(snapshot),
            "by_hand": {
                n: [round(when, digits), "lab", action.in_short(), reply]
                for n, (when, action, reply) in enumerate(done)
            },
            "commands": self._commands(),
            "moves": self._moves(),
            "points": self._new_points(),
        }

    def _shards(self, snapshot: Snapshot) -> dict[str, Rows]:
        """Return the rows of the shards, if there are any."""
        rows = dict(enumerate(shown.shard_of(shard, snapshot.at, self.digits) for shard in snapshot.shards))
        return {"shards": rows} if rows else {}

    def _each(self) -> Iterator[tuple[int, Book]]:
        """Yield each group's number and book."""
        return ((g, book) for g, (_, book) in enumerate(self.books))

    def _key(self, entry_id: str, group: int) -> int:
        """Return the key of an entry in a group."""
        return self.number[entry_id] * len(self.books) + group

    def _commands(self) -> Rows:
        """Return the last commands; the reply of the last of them may have grown."""
        commands, last = self.recent.commands, self.last_command
        for command in reversed(commands):
            if command is last:
                break
            self.n_commands += 1
        self.last_command = commands[-1] if commands else None
        newest = [*commands][-shown.N_COMMANDS :]
        first = self.n_commands - len(newest)
        return {
            n: [round(each.at, self.digits), each.by, each.text, each.reply] for n, each in enumerate(newest, first)
        }

    def _moves(self) -> Rows:
        """Return the moves that are new."""
        new = {n: [kind, actor, self.number.get(i)] for n, kind, actor, i in self.recent.moves if n > self.n_moves}
        self.n_moves = max(new, default=self.n_moves)
        return new

    def _new_points(self) -> Rows:
        """Return the points of the curves that are new; throughput as a moving average, as on the panel."""
        new = {}
        for g, book in self._each():
            points = self.points[g]
            last = points[-1].at if points else -math.inf
            for point in (point for point in book.points if point.at > last):
                points.append(point)
                self.n_points += 1
                rate = round(_throughput(points), 2)
                new[self.n_points] = [round(point.at, self.digits), g, point.backlog, point.pending, rate]
        return new


def _throughput(points: deque[Point]) -> float:
    first, last = points[0], points[-1]
    return (last.n_processed - first.n_processed) / (last.at - first.at) if len(points) > 1 else 0.0


def _stories(events: Iterable[Event], number: dict[str, int]) -> list[list[str]]:
    """Return the story of each entry, a line for each event."""
    stories = {entry_id: Story(entry_id) for entry_id in number}
    for event in events:
        befell_all = event.kind in GENERAL or event.kind in PERSONAL
        for story in stories.values() if befell_all else [stories[event.id]]:
            story.read(event)
    return [story.lines for story in stories.values()]
