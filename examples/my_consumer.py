"""A test of one's own consumer: it is tried under random faults, and told what goes wrong when it does."""

import asyncio

from redis import ConnectionError, ResponseError
from redis.asyncio import Redis

from streamlab import checks
from streamlab.actors import Handler, ensure_group


async def hasty(client: Redis, stream: str, group: str, consumer: str, handler: Handler, stop: asyncio.Event) -> None:
    """Acknowledge first, and then process: what it holds when it dies is lost."""
    while not stop.is_set():
        for _, entries in await client.xreadgroup(group, consumer, {stream: ">"}, count=1, block=100) or []:
            for entry_id, fields in entries:
                await client.xack(stream, group, entry_id)
                await handler(entry_id, fields)


async def careful(client: Redis, stream: str, group: str, consumer: str, handler: Handler, stop: asyncio.Event) -> None:
    """Process, acknowledge, and look after what others have left."""
    cursor = "0-0"  # a page may be empty before the list has ended: it goes on where the last one ended
    start = "0"  # first its own history, of an earlier life
    while not stop.is_set():
        try:
            cursor, idle, *_ = await client.xautoclaim(stream, group, consumer, 200, start_id=cursor, count=10)
            read = await client.xreadgroup(group, consumer, {stream: start}, count=1, block=100)
            own = [entry for _, found in read or [] for entry in found]
            for entry_id, fields in [*idle, *own]:
                await handler(entry_id, fields)
                await client.xack(stream, group, entry_id)
            if not own:
                start = ">"
        except ResponseError:  # NOGROUP: somebody has destroyed the group
            await ensure_group(client, stream, group)
        except ConnectionError:  # its replies may be lost: what it was given is in its history
            await asyncio.sleep(0.05)
            start = "0"


for consumer in (hasty, careful):
    verdict = checks.recovery(consumer, schedules=20)
    print(f"{consumer.__name__}:", str(verdict).splitlines()[0])
