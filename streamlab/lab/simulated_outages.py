"""How a simulated server fails: what it comes back with, or what a replica has got that takes its place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from streamlab.lab.stage import Left, Stage
from streamlab.model import StreamModel, format_id
from streamlab.scenario import Scenario, ScenarioError
from streamlab.scenario.failing import Failover, NetworkCut, last_kept

if TYPE_CHECKING:
    from streamlab.virtual.redis import SimulatedServer


class SimulatedOutages(Stage):
    """The part of a simulated stage that is about servers that fail."""

    def __init__(self, server: SimulatedServer, scenario: Scenario) -> None:
        self._server = server
        self._played = scenario
        #: When the server that is down went down, in seconds of the run, and whether its power was cut.
        self._went_at = math.nan
        self._is_without_power = False
        #: How many replicas may still be promoted, and since when they are cut off from the primary.
        self._n_replicas = scenario.replicas
        self._cut_at = math.inf
        self._cut_until = -math.inf
        #: Up to when it has what it was told, after it was down.
        self._kept = math.nan
        if scenario.may_forget:
            server.keep_journal(lambda ms: self._as_ms(self._surely_kept((ms - server.epoch_ms) / 1000)))

    def _surely_kept(self, at: float) -> float:
        """Return up to when it has what it was told, whatever befalls it at a moment of the run."""
        if self._played.replicas:
            return min(at, self._cut_at) - self._played.replication_delay
        return last_kept(self._played.persistence, at, by_power_loss=True)

    def _as_ms(self, at: float) -> float:
        # The added thousandth of a millisecond keeps 0.29 s from becoming 289 ms in binary.
        return at if math.isinf(at) else self._server.epoch_ms + math.floor(at * 1000 + 0.001)

    async def go_down(self) -> None:
        self._went_at = self._server.loop.time()
        self._server.go_down()

    def lose_power(self) -> None:
        self._is_without_power = True

    async def come_up(self) -> None:
        if self._server.journal is not None:
            if self._played.replicas:
                self._kept = self._surely_kept(self._went_at)
                self._cut_at = math.inf  # whoever is left copies the new primary
            else:
                persistence = self._played.persistence
                self._kept = last_kept(persistence, self._went_at, by_power_loss=self._is_without_power)
            self._server.journal.forget_since(self._as_ms(self._kept))
        self._is_without_power = False
        self._server.come_up()

    async def what_is_left(self) -> Left | None:
        if self._server.journal is None:
            return None
        ids: set[str] = set()
        positions: dict[str, str] = {}
        is_set_back = self._kept < self._went_at
        for place, key in self._played.places:
            stream = self._server.commands.keys.get(key)
            if isinstance(stream, StreamModel):
                ids.update(place + format_id(entry_id) for entry_id, _ in stream.entries)
                positions |= {place + name: format_id(group.last_id) for name, group in stream.groups.items()}
            else:
                is_set_back = True
        return Left(frozenset(ids), positions, is_set_back, tuple(place for place, _ in self._played.places))

    async def fail_over(self, action: Failover) -> float:
        if not self._n_replicas:
            raise ScenarioError("failover: no replica is left to be promoted")
        self._n_replicas -= 1
        await self.go_down()
        return action.duration

    async def cut_replicas(self, action: NetworkCut) -> None:
        loop = self._server.loop
        self._cut_at = min(self._cut_at, loop.time())
        self._cut_until = max(self._cut_until, loop.time() + action.duration)
        loop.call_at(self._cut_until, self._join_replicas, context=self._server.context)

    def _join_replicas(self) -> None:
        if self._server.loop.time() >= self._cut_until and not self._server.is_down:
            self._cut_at = math.inf
