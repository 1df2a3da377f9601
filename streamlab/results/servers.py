"""`Servers`: the servers of a run as its events and actions tell: who is alive, who takes writes, who lacks what.

Of a replica it is what it has not copied yet; of a server that has none, what is not on its disk. Either way that is
what would be lost if the server that takes writes were to die now: entries and acknowledgements are counted.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from streamlab.actors.events import ACKED, ADDED, CLAIMED, DELIVERED, LOST, SERVER_DOWN, SERVER_UP, SET_BACK
from streamlab.results.events import Event
from streamlab.results.forgotten import Forgotten
from streamlab.results.ledger import Ledger
from streamlab.results.statistics import id_key
from streamlab.scenario import Scenario
from streamlab.scenario.failing import Failover, NetworkCut, kills_servers, last_kept
from streamlab.scenario.shards import place_of

Role = Literal["primary", "replica", "alone"]


#: Of a millisecond: it keeps 0.29 s from becoming 289 ms in binary, as in a simulated server.
_A_LITTLE: Final = 0.001


class ServerView(NamedTuple):
    """A server at one moment.

    `entries` and `acks` are what a replica has not copied yet, or what is not on the disk of a server that is alone.
    They are counted while there is somebody to die; a primary that has replicas lacks nothing. Of a cluster's nodes
    they are not known: `detail` says instead how many slots one serves, or whom it copies.
    """

    name: str
    role: Role
    is_alive: bool
    entries: int = 0
    acks: int = 0
    detail: str = ""


class _Told(NamedTuple):
    """What the server was told at a time, in milliseconds: how many entries and acknowledgements."""

    ms: int
    entries: int
    acks: int


class Servers:
    """What is known of the servers of one run; `is_live` if they are real ones."""

    def __init__(self, scenario: Scenario, *, is_live: bool) -> None:
        self._persistence = scenario.persistence
        self._n = 1 + scenario.replicas if has_servers(scenario) else 0
        # Real replicas are behind only while they are cut off, which takes a moment: see `lab/live_outages`.
        self._delay = 0.0 if is_live else scenario.replication_delay
        self._is_live = is_live
        self._told: deque[_Told] = deque()
        self._n_gone = 0  # of primaries
        self._went_at = math.inf
        self._up_at = -math.inf
        self._set_back: defaultdict[str, list[float]] = defaultdict(list)  # by shard
        self._lost: dict[str, None] = {}
        #: Of those that were given to somebody although they had been acknowledged: when they had, and since when last.
        self._again: dict[str, tuple[float, float]] = {}
        self._cuts: list[tuple[float, float]] = []
        self.plan(scenario)

    def plan(self, scenario: Scenario) -> None:
        """Take note of the actions that are planned, or have been done by hand meanwhile."""
        cuts = [(a.when, a.when + a.duration) for a in scenario.actions if isinstance(a, NetworkCut)]
        if self._is_live:
            delay = scenario.replication_delay
            # … until one of them is promoted.
            cuts += [(a.when - delay, math.inf) for a in scenario.faults if isinstance(a, Failover)]
            cuts += [(a.when, math.inf) for a in scenario.by_hand if isinstance(a, Failover)]
        self._cuts = sorted(cuts)

    def enter(self, event: Event, ledger: Ledger) -> None:
        """Take in an event that concerns a group; the ledger is the group's."""
        at, kind, _, entry_id, _ = event
        if kind in (ADDED, ACKED):
            self._tell(int(at * 1000 + _A_LITTLE), kind == ADDED, at)
        elif kind == SERVER_DOWN:
            self._went_at = at
        elif kind == SERVER_UP:
            self._n_gone += self._n > 1
            self._went_at, self._up_at = math.inf, at
            self._told.clear()
        elif kind == LOST:
            self._lost[entry_id] = None
        elif kind == SET_BACK:
            self._set_back[place_of(entry_id)[0]].append(at)
        elif kind in (DELIVERED, CLAIMED) and (acked := ledger.acked.get(entry_id)) is not None:
            # Of a real server it may be told later that it was set back before this.
            self._again[entry_id] = acked, at

    def _tell(self, ms: int, is_entry: bool, at: float) -> None:
        told = self._told
        last = told.pop() if told and (told[-1].ms == ms or self._persistence == "none") else _Told(ms, 0, 0)
        told.append(_Told(last.ms, last.entries + is_entry, last.acks + (not is_entry)))
        self._drop_kept(at)

    def _drop_kept(self, now: float) -> None:
        kept = self._kept(now)
        told = self._told
        while told and told[0].ms <= kept * 1000 + _A_LITTLE:
            told.popleft()

    def _kept(self, now: float) -> float:
        """Return up to when it cannot be lost any more what the server was told."""
        now = min(now, self._went_at)
        if self._n > 1:
            return min(now, self._cut_since(now)) - self._delay
        return last_kept(self._persistence, now, by_power_loss=True)

    def _cut_since(self, now: float) -> float:
        """Return since when the replicas are cut off from their primary; infinity if they are not."""
        since, until = math.inf, -math.inf
        for begin, end in self._cuts:
            if begin > now or begin < self._up_at:
                continue
            if begin > until:
                since = begin
            until = max(until, end)
        return since if now <= until else math.inf

    def views(self, now: float) -> Iterator[ServerView]:
        """Yield all servers, as they are now: none, of which the scenario says nothing."""
        self._drop_kept(now)
        is_down = self._went_at < math.inf
        entries, acks = sum(told.entries for told in self._told), sum(told.acks for told in self._told)
        if self._n == 1:
            yield ServerView("server", "alone", not is_down, entries, acks)
            return
        for number in range(self._n):
            name = f"server {number + 1}"
            if number <= self._n_gone:
                yield ServerView(name, "primary", number == self._n_gone and not is_down)
            else:
                yield ServerView(name, "replica", True, entries, acks)

    def forgotten(self, ledgers: Mapping[str, Ledger]) -> Forgotten:
        """Return what they have forgotten so far; acknowledgements, as soon as they show."""
        lost = _in_order(self._lost)
        unprocessed = tuple(i for i in lost if not any(i in ledger.processed for ledger in ledgers.values()))
        return Forgotten(lost, unprocessed, _in_order(filter(self._is_forgotten, self._again)))

    def _is_forgotten(self, entry_id: str) -> bool:
        acked, given = self._again[entry_id]
        return any(acked <= at <= given for at in self._set_back.get(place_of(entry_id)[0], ()))


def _in_order(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(ids, key=id_key))


def nodes_of_cluster(told: Mapping[str, Mapping[str, Any]]) -> Iterator[ServerView]:
    """Yield a cluster's nodes, as ``CLUSTER NODES`` tells of them, in redis-py's form: by their addresses."""
    ports = {node["node_id"]: address.rpartition(":")[2] for address, node in told.items()}
    for _, node in sorted(told.items(), key=lambda row: ("slave" in row[1]["flags"], row[0])):
        flags = node["flags"].split(",")
        role: Role
        if "slave" in flags:
            role, detail = "replica", f"copies :{ports.get(node['master_id'], '?')}"
        else:
            n_slots = sum(int(last) - int(first) + 1 for first, last in (_ends(slots) for slots in node["slots"]))
            role, detail = "primary", f"serves {n_slots:,} slots"
        yield ServerView(f":{ports[node['node_id']]}", role, not {"fail", "fail?"} & {*flags}, 0, 0, detail)


def _ends(slots: Sequence[str]) -> tuple[str, str]:
    return slots[0], slots[-1]


def has_servers(scenario: Scenario) -> bool:
    """Tell whether a scenario says anything of its server: what that keeps, who copies it, or that it fails."""
    return scenario.may_forget or kills_servers(scenario.faults)
