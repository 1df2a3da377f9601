"""walrus' ConsumerGroup, as its documentation shows it: read, work, ack. With ``autoclaim``: its `autoclaim` as well.

What it does not show is a loop that goes on when Redis fails; that is written as for redis-py.
"""

import sys
import time

import walrus
from order import CONSUMER, GROUP, MIN_IDLE, MIN_IDLE_MS, STREAM, URL, book
from redis import RedisError

CLAIMS = "autoclaim" in sys.argv
db = walrus.Database.from_url(URL, protocol=2)
stream = db.consumer_group(GROUP, [STREAM], consumer=CONSUMER).streams[STREAM]


def work(entries):
    for entry_id, fields in entries:
        book(fields[b"order"].decode())
        stream.ack(entry_id)


claim_at = time.monotonic()
while True:
    try:
        if CLAIMS and time.monotonic() >= claim_at:
            cursor = b"0-0"
            while True:
                cursor, entries, *_ = stream.autoclaim(CONSUMER, MIN_IDLE_MS, cursor)
                work(entries)
                if cursor == b"0-0":
                    break
            claim_at = time.monotonic() + MIN_IDLE / 2
        work(stream.read(count=10, block=500))
    except RedisError as error:
        print(f"walrus: {error}", file=sys.stderr)
        time.sleep(0.5)
