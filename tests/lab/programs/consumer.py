"""A consumer in plain redis-py that knows nothing of streamlab; right, or with one mistake: consumer.py [MISTAKE]."""

from __future__ import annotations

import os
import socket
import sys
import time
import uuid
from typing import Any

import redis

MISTAKE = sys.argv[1] if len(sys.argv) > 1 else ""
STREAM, GROUP, CONSUMER = os.environ["STREAM"], os.environ["GROUP"], os.environ["CONSUMER"]
if MISTAKE == "random-name":
    CONSUMER = f"worker-{uuid.uuid4().hex[:8]}"
CLAIMS = MISTAKE not in ("no-history", "no-claims", "random-name")
MIN_IDLE_MS = 1000
client = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


def make_group(start: str) -> None:
    try:
        client.xgroup_create(STREAM, GROUP, id=start, mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def handle(entry_id: str) -> None:
    if MISTAKE == "acks-first":
        client.xack(STREAM, GROUP, entry_id)
    time.sleep(0.004)
    if MISTAKE == "stdout":
        print("done", entry_id, flush=True)
    elif MISTAKE == "stream":
        client.xadd("effects", {"entry": entry_id})
    elif MISTAKE == "twice":
        client.hincrby("effects", entry_id, 1)
    elif MISTAKE == "transaction":
        with client.pipeline(transaction=True) as pipe:
            pipe.xack(STREAM, GROUP, entry_id)
            pipe.hsetnx("effects", entry_id, 1)
            pipe.execute()
        return
    elif MISTAKE == "script":
        client.eval(SCRIPT, 2, STREAM, "effects", GROUP, entry_id)
        return
    else:
        client.hsetnx("effects", entry_id, 1)
    if MISTAKE != "acks-first":
        client.xack(STREAM, GROUP, entry_id)


SCRIPT = """
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 1 then redis.call('HINCRBY', KEYS[2], ARGV[2], 1) end
"""


def entries_of(reply: Any) -> list[tuple[str, dict[str, str]]]:
    entries: Any = dict(reply or {}).get(STREAM, [])
    return entries[0] if entries and isinstance(entries[0], list) else entries


def claim() -> None:
    cursor = "0-0"
    while True:
        cursor, entries, *_ = client.xautoclaim(STREAM, GROUP, CONSUMER, MIN_IDLE_MS, cursor, count=10)
        for entry_id, _fields in entries:
            handle(entry_id)
        if cursor == "0-0":
            return


def consume() -> None:
    after, claim_at = ">" if MISTAKE == "no-history" else "0", 0.0
    while True:
        if CLAIMS and time.monotonic() > claim_at:
            claim()
            claim_at = time.monotonic() + MIN_IDLE_MS / 2000
        entries = entries_of(client.xreadgroup(GROUP, CONSUMER, {STREAM: after}, count=5, block=200))
        for entry_id, _fields in entries:
            handle(entry_id)
        if after != ">":
            after = entries[-1][0] if entries else ">"


make_group("0")
options = client.connection_pool.connection_kwargs
address = options["host"], options["port"]
many = [socket.create_connection(address) for _ in range(520 if MISTAKE == "many-connections" else 0)]
while True:
    try:
        consume()
    except redis.ConnectionError:
        time.sleep(0.05)
    except redis.ResponseError as error:
        if "NOGROUP" not in str(error):
            raise
        make_group("$" if MISTAKE == "from-dollar" else "0")
