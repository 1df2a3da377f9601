"""Leases in Redis: who owns a shard, and who is there to own one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import scripts
from .redis_calls import run_script
from .shards import fair_share, lease_key, members_keys

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def hold(client: Redis, shard: str, group: str, owner: str, seconds: float) -> bool:
    """Take the lease of a shard for so long, renew it, or give it back (0 seconds); False if another one has it."""
    return bool(await run_script(client, scripts.LEASE, [lease_key(shard, group)], [owner, round(seconds * 1000)]))


async def share_of(
    client: Redis, first_shard: str, group: str, name: str, seconds: float, n_shards: int
) -> tuple[int, int]:
    """Say that a consumer is there for so long; return how many shards it is to have, and at which to begin to look."""
    keys = members_keys(first_shard, group)
    n_members, n_before = await run_script(client, scripts.MEMBER, keys, [name, round(seconds * 1000)])
    return fair_share(int(n_members), int(n_before), n_shards)


async def leave(client: Redis, first_shard: str, group: str, name: str) -> None:
    """Say that a consumer has gone."""
    await run_script(client, scripts.MEMBER, members_keys(first_shard, group), [name, 0])
