"""A loop of `reclaim` that takes over what a dead consumer left, and gives up what can never be processed.

It runs in virtual time: half a minute of waiting takes no time. On a real Redis the coroutine is the same.
"""

import asyncio

from redis.asyncio import Redis

from streamlab import SimulatedServer, VirtualLoop, ensure_group, reclaim


async def handle(entry_id: str, fields: dict[str, str]) -> None:
    if fields["amount"] == "?":
        raise ValueError("no number")
    print("processed", fields["amount"])


def complain(*what: object) -> None:
    print("failed:", what[-1])


async def main(client: Redis) -> None:
    await ensure_group(client, "orders", "billing")
    for amount in ("3", "?", "5"):
        await client.xadd("orders", {"amount": amount})
    await client.xreadgroup("billing", "dead", {"orders": ">"})  # which then dies, and acknowledges nothing
    for _ in range(3):
        await asyncio.sleep(10)
        await reclaim(client, "orders", "billing", "alive", handle, min_idle=5, max_deliveries=3, on_error=complain)
    print("pending:", (await client.xpending("orders", "billing"))["pending"])
    for _, fields in await client.xrange("{orders}:dead") or []:
        print("dead letter:", fields["amount"])


loop, server = VirtualLoop(), SimulatedServer()
loop.run_until_complete(main(server.client()))
