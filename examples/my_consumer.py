"""A test of one's own consumer: its three bugs are found one after the other, until it survives 300 schedules."""

import asyncio

from redis import ConnectionError
from redis.asyncio import Redis

from streamlab.actors import Handler
from streamlab.testing import ConsumerFailed, assert_survives

FAULTS = ["kill", "crash-before-ack", "lost-reply", "server-down"]
ACKS_FIRST, ENDS_WITH_ITS_CONNECTION, LEAVES_WHAT_OTHERS_LEFT = "acks first", "ends with its connection", "never claims"


class Billing:
    """A consumer, with some of its bugs still in it."""

    def __init__(self, *bugs: str) -> None:
        self.bugs = bugs

    async def run(self, client: Redis, stream: str, group: str, consumer: str, handler: Handler) -> None:
        start, cursor = "0", "0-0"  # first its own history; a page of claims may be empty before the list has ended
        while True:
            try:
                if LEAVES_WHAT_OTHERS_LEFT not in self.bugs:
                    cursor, left, *_ = await client.xautoclaim(stream, group, consumer, 200, cursor, count=10)
                    await self.work(client, stream, group, handler, left)
                read = await client.xreadgroup(group, consumer, {stream: start}, count=1, block=100)
                entries = read[0][1] if read else []
                start = entries[-1][0] if entries and start != ">" else ">"
                await self.work(client, stream, group, handler, entries)
            except ConnectionError:
                if ENDS_WITH_ITS_CONNECTION in self.bugs:
                    raise
                await asyncio.sleep(0.05)
                start = "0"  # a reply may be lost: what it brought is in its history

    async def work(self, client: Redis, stream: str, group: str, handler: Handler, entries: list) -> None:
        for entry_id, fields in entries:
            if ACKS_FIRST in self.bugs:
                await client.xack(stream, group, entry_id)
            await handler(entry_id, fields)
            if ACKS_FIRST not in self.bugs:
                await client.xack(stream, group, entry_id)


bugs = [ACKS_FIRST, ENDS_WITH_ITS_CONNECTION, LEAVES_WHAT_OTHERS_LEFT]
while bugs:
    try:
        assert_survives(Billing(*bugs).run, faults=FAULTS, entries=40)
    except ConsumerFailed as failed:
        print(f"It {bugs.pop(0)}. With seed {failed.seed}: {failed.words}\n  {failed.hint}")
assert_survives(Billing().run, faults=FAULTS, entries=40, schedules=300)
print("It survives 300 schedules.")
