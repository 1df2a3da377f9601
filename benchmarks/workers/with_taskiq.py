"""taskiq with taskiq-redis' RedisStreamBroker and result backend, as its README shows them.

The worker is taskiq's receiver in this one process (`run_receiver_task`): `taskiq worker` starts another, and to pause
the first would pause nothing. With ``publish N`` it adds N tasks as a client of it does.
"""

import asyncio
import sys

from order import CONSUMER, GROUP, MIN_IDLE, MIN_IDLE_MS, STREAM, URL, book_async
from taskiq.api import run_receiver_task
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

broker = RedisStreamBroker(
    URL,
    queue_name=STREAM,
    consumer_group_name=GROUP,
    consumer_name=CONSUMER,
    idle_timeout=MIN_IDLE_MS,
    unacknowledged_lock_timeout=MIN_IDLE,
).with_result_backend(RedisAsyncResultBackend(URL, result_ex_time=60))


@broker.task(task_name="book")
async def handle(order: str) -> None:
    await book_async(order)


async def publish(n: int) -> None:
    await broker.startup()
    for number in range(1, n + 1):
        await handle.kiq(f"order-{number}")
    await broker.shutdown()


if sys.argv[1:2] == ["publish"]:
    asyncio.run(publish(int(sys.argv[2])))
else:
    asyncio.run(run_receiver_task(broker, run_startup=True))
