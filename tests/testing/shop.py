"""A consumer as it stands in somebody's service: its client is made when it is imported, and gives bytes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import redis.asyncio as redis

STREAM, GROUP = "shop", "billing"
REDIS: Any = redis.Redis.from_url("redis://localhost:1/0")


async def charge(order: int, total: int) -> None:
    """Do what a test must not do."""
    raise AssertionError("the real one was called")


async def take(entries: Any) -> None:
    for entry_id, fields in entries:
        try:
            if fields:
                await charge(int(fields[b"order"]), total=int(fields[b"total"]))
        except redis.ConnectionError:
            raise
        except Exception:
            continue
        async with REDIS.pipeline() as pipe:
            await pipe.hset("charged", entry_id, 1).xack(STREAM, GROUP, entry_id).execute()


async def bill(consumer: str) -> None:
    start, cursor = b"0", b"0-0"
    while True:
        try:
            cursor, left, *_ = await REDIS.xautoclaim(STREAM, GROUP, consumer, 200, cursor, 10)
            await take(left)
            reply = await REDIS.xreadgroup(GROUP, consumer, {STREAM: start}, count=1, block=100)
            entries = reply[0][1] if reply else []
            start = entries[-1][0] if entries and start != b">" else b">"
            await take(entries)
        except (redis.ConnectionError, redis.TimeoutError):
            start = b"0"
            await asyncio.sleep(0.1)
        except redis.ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            with contextlib.suppress(redis.ResponseError, redis.ConnectionError):
                await REDIS.xgroup_create(STREAM, GROUP, id="0", mkstream=True)


async def bill_hastily(consumer: str) -> None:
    """Acknowledge first; by a client that is made only now."""
    client: Any = redis.Redis(host="nowhere.invalid", decode_responses=True)
    while True:
        for _, entries in await client.xreadgroup(GROUP, consumer, {STREAM: ">"}, count=1, block=100):
            for entry_id, fields in entries:
                await client.xack(STREAM, GROUP, entry_id)
                await charge(fields["order"], fields["total"])
