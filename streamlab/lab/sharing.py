"""How a run begins on a real server with shards: when its consumers have shared them out among themselves."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from streamlab.actors.shards import fair_share, lease_key
from streamlab.lab.both_ways import LEAD
from streamlab.lab.stage import Stage
from streamlab.scenario import Scenario

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: In which part of a lease's time its owner looks at it once, at least; and after how many looks all shares are fair.
_LOOKS, _UNTIL_FAIR = 3, 3
#: Seconds in which consumers begin one by one; and seconds that a busy machine is given until all have their share.
_ONE_BY_ONE, _PATIENCE = 2.0, 10.0
_LOOK_EVERY = 0.005


class Sharing:
    """Waits until consumers own their shares of the shards.

    Where looks at the leases are so far apart that a simulation begins before, too, for no longer than that waits.
    """

    def __init__(self, stage: Stage, scenario: Scenario) -> None:
        self._stage, self._scenario = stage, scenario
        recovery = scenario.recovery
        self._look = min(recovery.interval or recovery.min_idle, recovery.min_idle / _LOOKS)
        is_soon = self._look * _UNTIL_FAIR <= LEAD
        self._begun: list[str] = []
        self._clock = asyncio.get_running_loop().time
        self._one_by_one_until = self._clock() + (_ONE_BY_ONE if is_soon else LEAD)
        self._deadline = self._clock() + (_PATIENCE if is_soon else LEAD)

    async def has_begun(self, name: str) -> None:
        """Wait until a consumer that has just begun has its share.

        Who gets which shard would be a matter of moments if several began at once. One look more, and it is not in a
        simulation of the same either, where nothing takes exactly as long.
        """
        self._begun.append(name)
        if self._clock() < self._one_by_one_until:
            await self._until(self._one_by_one_until)
            await asyncio.sleep(max(min(self._look, self._one_by_one_until - self._clock()), 0))

    async def all_have_begun(self) -> None:
        """Wait until each consumer that is there from the beginning has its share."""
        await self._until(self._deadline)

    async def _until(self, deadline: float) -> None:
        while not await self._stage.answered(self._is_fair) and self._clock() < deadline:
            await asyncio.sleep(_LOOK_EVERY)

    async def _is_fair(self, client: Redis) -> bool:
        """Look who has the leases (``XREVRANGE``), and whether that is fair."""
        pipe = client.pipeline(transaction=False)
        streams = self._scenario.streams
        for group in self._scenario.groups:
            for stream in streams:
                pipe.xrevrange(lease_key(stream, group), count=1)
        leases = iter(await pipe.execute())
        for members in self._scenario.groups.values():
            names = [name for name in members if name in self._begun]
            held = [fields for _ in streams for _, fields in next(leases)]
            owned = Counter(fields["owner"] for fields in held if fields["ms"] != "0")
            fair = [fair_share(len(names), i, len(streams))[0] for i in range(len(names))]
            if sorted(owned[name] for name in names) != sorted(fair):
                return False
        return True
