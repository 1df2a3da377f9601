"""A consumer as it goes into a service: `consume` does the work, and ends when it is told to.

It runs against the Redis at STREAMLAB_REDIS_URL, or against an embedded server.
"""

import asyncio
import os

from streamlab import connect_async, consume, ensure_group, produce

ORDERS = [{"item": item} for item in ("tea", "milk", "sugar")]


async def main() -> None:
    stop = asyncio.Event()
    booked: set[str] = set()

    async def book(entry_id: str, fields: dict[str, str]) -> None:
        booked.add(entry_id)  # the effect: once for each id, however often the entry comes
        print("booked", fields["item"])
        if len(booked) == len(ORDERS):
            stop.set()  # in a service: loop.add_signal_handler(signal.SIGTERM, stop.set)

    async with await connect_async(os.environ.get("STREAMLAB_REDIS_URL", "embedded://")) as client:
        await ensure_group(client, "orders", "billing")
        await produce(client, "orders", [(0.0, order) for order in ORDERS])
        n_processed = await consume(client, "orders", "billing", "billing-1", book, block=0.2, stop=stop)
        pending = await client.xpending("orders", "billing")
        print(f"{n_processed} processed, {pending['pending']} pending")


asyncio.run(main())
