"""streaQ: a worker and a task, as its documentation shows them. With ``publish N`` it enqueues N tasks.

A task of streaQ is an entry and, under a key of its own, what is to be called: those keys are in the file BESIDES, and
the first worker puts them where they belong.
"""

import asyncio
import base64
import json
import os
import sys

import redis
from order import CONSUMER, MIN_IDLE, STREAM, URL, book_async
from streaq import Worker

QUEUE = STREAM.split(":")[1]  # streaq:QUEUE:queues:normal
worker = Worker(redis_url=URL, queue_name=QUEUE, idle_timeout=MIN_IDLE, id=CONSUMER)


@worker.task
async def handle(order: str) -> None:
    await book_async(order)


async def publish(n: int) -> None:
    async with worker:
        for number in range(1, n + 1):
            await handle.enqueue(f"order-{number}")


def put_back() -> None:
    """Write what was enqueued beside the entries; once in a run."""
    with redis.Redis.from_url(URL) as client, open(os.environ["BESIDES"], encoding="ascii") as file:
        if client.set("besides", "there", nx=True):
            pipe = client.pipeline(transaction=False)
            for key, dump in json.load(file).items():
                pipe.restore(key, 0, base64.b64decode(dump))
            pipe.execute()


if sys.argv[1:2] == ["publish"]:
    asyncio.run(publish(int(sys.argv[2])))
else:
    put_back()
    worker.run_sync()
