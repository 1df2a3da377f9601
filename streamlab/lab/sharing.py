"""How a run begins on a real server with shards: when its consumers have shared them out among themselves."""

from __future__ import annotations

import asyncio
import time
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
#: Seconds that a busy machine is given for it.
_PATIENCE = 10.0
_LOOK_EVERY = 0.005


async def until_shared(stage: Stage, scenario: Scenario) -> None:
    """Wait until each consumer that is there from the beginning owns its share of the shards.

    Where looks at the leases are so far apart that a simulation begins before, too, for no longer than that waits.
    """
    recovery = scenario.recovery
    look = min(recovery.interval or recovery.min_idle, recovery.min_idle / _LOOKS)
    deadline = time.monotonic() + (_PATIENCE if look * _UNTIL_FAIR <= LEAD else LEAD)
    while not await stage.answered(lambda client: _is_shared(client, scenario)) and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_EVERY)


async def _is_shared(client: Redis, scenario: Scenario) -> bool:
    """Look who has the leases (``XREVRANGE``), and whether that is fair."""
    pipe = client.pipeline(transaction=False)
    for group in scenario.groups:
        for stream in scenario.streams:
            pipe.xrevrange(lease_key(stream, group), count=1)
    leases = iter(await pipe.execute())
    n_shards = len(scenario.streams)
    joining = {consumer.name for consumer in scenario.consumers if scenario.joins(consumer)}
    for members in scenario.groups.values():
        names = [name for name in members if name not in joining]
        held = [fields for _ in scenario.streams for _, fields in next(leases)]
        owned = Counter(fields["owner"] for fields in held if fields["ms"] != "0")
        fair = [fair_share(len(names), i, n_shards)[0] for i in range(len(names))]
        if sorted(owned[name] for name in names) != sorted(fair):
            return False
    return True
