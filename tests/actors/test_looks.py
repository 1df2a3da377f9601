"""When a consumer of shards looks at leases: once a period, at moments that do not drift."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from streamlab.actors import Recovery, consume_shards, ensure_group, leases
from streamlab.actors.shards import lease_key
from tests.actors.world import World, collecting

EVERY, SLOW = 0.2, (0.03, 0.0, 0.09, 0.07)


@pytest.mark.parametrize("stolen_at", [None, 1.03, 1.19, 1.21])
def test_looks_keep_to_their_moments(monkeypatch: pytest.MonkeyPatch, stolen_at: float | None) -> None:
    """However long each takes; and one that is due to a shard that was lost comes besides, and moves no other."""
    began, delays, ask = [], itertools.cycle(SLOW), leases.share_of

    async def share_of(*args):
        began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(next(delays))
        return await ask(*args)

    monkeypatch.setattr(leases, "share_of", share_of)

    async def main():
        client, stop = world.client(), asyncio.Event()
        await ensure_group(client, "s:{0}", "g")
        recovery = Recovery("autoclaim", min_idle=3 * EVERY)
        working = asyncio.ensure_future(
            consume_shards(client, ["s:{0}"], "g", "C1", collecting([]), recovery=recovery, stop=stop)
        )
        if stolen_at is not None:
            await asyncio.sleep(stolen_at)
            await client.xadd(lease_key("s:{0}", "g"), {"owner": "C9", "ms": round(2000 * EVERY)}, maxlen=1)
            await asyncio.sleep(3 - stolen_at)
        else:
            await asyncio.sleep(3)
        stop.set()
        await working

    world = World("simulated")
    world.run(main())
    on_the_grid = [at for at in began if at == pytest.approx(EVERY * round(at / EVERY), abs=1e-9)]
    assert on_the_grid == pytest.approx([EVERY * n for n in range(15)])
    assert len(began) - len(on_the_grid) == (stolen_at is not None)
