"""redis-py, in the loop that Redis' own guide shows (redis.io, "Redis streaming with redis-py").

It reads new entries, works, and acknowledges each; a Redis that fails is waited for. With the word ``autoclaim`` it
also does what the guide recommends, and takes from time to time what has been idle for long (``reap_idle_pel``).
"""

import sys
import time

import redis
from order import CONSUMER, GROUP, MIN_IDLE, MIN_IDLE_MS, STREAM, URL, book

CLAIMS = "autoclaim" in sys.argv
client = redis.Redis.from_url(URL, decode_responses=True, protocol=2)


def work(entries):
    for entry_id, fields in entries:
        try:
            book(fields["order"])
            client.xack(STREAM, GROUP, entry_id)
        except redis.RedisError as error:
            print(f"{entry_id} was not acknowledged: {error}", file=sys.stderr)


def reap():
    cursor = "0-0"
    while True:
        cursor, entries, _ = client.xautoclaim(STREAM, GROUP, CONSUMER, MIN_IDLE_MS, cursor, count=100)
        work(entries)
        if cursor == "0-0":
            return


reap_at = time.monotonic()
while True:
    try:
        if CLAIMS and time.monotonic() >= reap_at:
            reap()
            reap_at = time.monotonic() + MIN_IDLE / 2
        for _, entries in client.xreadgroup(GROUP, CONSUMER, {STREAM: ">"}, count=10, block=500):
            work(entries)
    except redis.RedisError as error:
        print(f"read failed: {error}", file=sys.stderr)
        time.sleep(0.5)
