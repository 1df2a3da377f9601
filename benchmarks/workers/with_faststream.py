"""FastStream: a subscriber with a group and a consumer. With the word ``claims``: and a second one that claims.

Two subscribers, as its page on claiming shows them ("Dedicated Claiming Worker"): one with `min_idle_time` reads
nothing new, so that each process has one of each kind. (Both in one, `claim_min_idle_time`, needs Redis 8.4.)
"""

import asyncio
import sys

from faststream import FastStream
from faststream.redis import RedisBroker, StreamSub
from order import CONSUMER, GROUP, MIN_IDLE_MS, STREAM, URL, book_async

broker = RedisBroker(URL)
app = FastStream(broker)


@broker.subscriber(stream=StreamSub(STREAM, group=GROUP, consumer=CONSUMER))
async def handle(entry: dict[str, str]) -> None:
    await book_async(entry["order"])


if "claims" in sys.argv:
    claimer = StreamSub(STREAM, group=GROUP, consumer=f"{CONSUMER}-claimer", min_idle_time=MIN_IDLE_MS)
    broker.subscriber(stream=claimer)(handle)

if __name__ == "__main__":
    asyncio.run(app.run())
