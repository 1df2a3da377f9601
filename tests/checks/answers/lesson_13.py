"""Answers to the exercises of lesson 13: right ones in other styles, and likely wrong ones."""

from __future__ import annotations

from tests.checks.answers import Exercise, Wrong

SHARD_RIGHT = [
    "import zlib\ndef shard_for(key, n_shards):\n    return zlib.crc32(key.encode()) % n_shards",
    "import zlib\nshard_for = lambda key, n_shards: zlib.crc32(key.encode('utf-8')) % n_shards",
    "import zlib\ndef shard_for(key, n_shards):\n    return zlib.crc32(key.encode(), 13) % n_shards",
    "import binascii\ndef shard_for(key, n_shards):\n    return binascii.crc32(bytes(key, 'utf-8')) % n_shards",
    """
import hashlib
def shard_for(key, n_shards):
    return int(hashlib.md5(key.encode()).hexdigest(), 16) % n_shards
""",
    """
import hashlib
def shard_for(key, n_shards):
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % n_shards
""",
    # Redis' own checksum.
    "from redis.crc import key_slot\ndef shard_for(key, n_shards):\n    return key_slot(key.encode()) % n_shards",
    # By ranges, as a cluster gives slots to its servers.
    """
from redis.crc import key_slot
def shard_for(key, n_shards):
    return key_slot(key.encode()) * n_shards // 16384
""",
    """
import zlib
def checksum(text):
    return zlib.crc32(text.encode())
def shard_for(key, n_shards):
    number, rest = divmod(checksum(key), n_shards)
    return rest
""",
    """
def shard_for(key, n_shards):
    number = 5381
    for letter in key:
        number = (number * 33 + ord(letter)) & 0xFFFFFFFF
    return number % n_shards
""",
    """
import random
def shard_for(key, n_shards):
    return random.Random(key).randrange(n_shards)
""",
    """
import functools, zlib
@functools.cache
def shard_for(key, n_shards):
    return zlib.crc32(key.encode()) % n_shards
""",
    """
import numpy as np, zlib
def shard_for(key, n_shards):
    return np.int64(zlib.crc32(key.encode())) % n_shards
""",
]


def _shard(body: str, says: str) -> Wrong:
    return Wrong(f"import random, zlib\ndef shard_for(key, n_shards):\n    {body}", says)


SHARD_WRONG = [
    Wrong("", "There is no answer yet"),
    Wrong("shard_for = None", "None is not a function"),
    Wrong("def shard_for(key):\n    return 0", "leave the first line"),
    _shard("return hash(key) % n_shards", "hash() of a text"),
    _shard("return abs(hash(key)) % n_shards", "in another process"),
    _shard("return hash(key.encode()) % n_shards", "hash() of a text"),
    _shard("return id(key) % n_shards", "goes to shard"),
    _shard("return random.randrange(n_shards)", "only the key may decide"),
    _shard("return zlib.crc32(key.encode())", "% n_shards leaves one of these"),
    _shard("return zlib.crc32(key.encode()) % n_shards + 1", "it returned 6"),
    _shard("return zlib.crc32(key.encode()) / n_shards", "return a whole number from 0"),
    _shard("return str(zlib.crc32(key.encode()) % n_shards)", "it returned '3'"),
    _shard("return zlib.crc32(key) % n_shards", "TypeError"),
    _shard("return int(key[1:]) % n_shards", "ValueError"),
    _shard("return len(key) % n_shards", "the whole key has to count"),
    _shard("return ord(key[:1] or 'a') % n_shards", "the whole key has to count"),
    _shard("return 0", "Of 1,205 keys"),
    _shard("zlib.crc32(key.encode()) % n_shards", "it returned None"),
    Wrong(
        """
import itertools
turns = itertools.count()
def shard_for(key, n_shards):
    return next(turns) % n_shards
""",
        "and later to shard",
    ),
    Wrong(
        """
known = {}
def shard_for(key, n_shards):
    return known.setdefault((key, n_shards), len(known)) % n_shards
""",
        "what a process remembers",
    ),
]

LEASE_RIGHT = [
    f"def take(client, key, me, ms):\n    {body}"
    for body in (
        "return bool(client.set(key, me, nx=True, px=ms))",
        "return client.set(key, me, nx=True, px=ms)",
        "return client.set(key, me, px=ms, nx=True) is True",
        "return client.set(name=key, value=me, nx=True, px=int(ms)) is not None",
        "return client.execute_command('SET', key, me, 'NX', 'PX', ms) is not None",
        "return True if client.set(key, me, nx=True, px=ms) else False",
        "client.set(key, me, nx=True, px=ms); return client.get(key) == me",
        "return client.pipeline().set(key, me, nx=True, px=ms).execute()[0] is True",
    )
]
LEASE_RIGHT += [
    """
from datetime import timedelta
def take(client, key, me, ms):
    return bool(client.set(key, me, nx=True, px=timedelta(milliseconds=ms)))
""",
    """
def take(client, key, me, ms):
    if client.exists(key):
        return False
    return bool(client.set(key, me, nx=True, px=ms))
""",
    """
def take(client, key, me, ms):
    has_it = client.set(key, me, nx=True, px=ms)
    if has_it is None:
        return False
    return True
""",
    # What it would have been without SET's options, done well.
    """
import redis
def take(client, key, me, ms):
    with client.pipeline() as pipe:
        pipe.watch(key)
        if pipe.exists(key):
            return False
        pipe.multi()
        pipe.psetex(key, ms, me)
        try:
            pipe.execute()
        except redis.WatchError:
            return False
    return True
""",
]


def _take(body: str, says: str) -> Wrong:
    return Wrong(f"def take(client, key, me, ms):\n    {body}", says)


LEASE_WRONG = [
    Wrong("", "There is no answer yet"),
    Wrong("take = None", "None is not a function"),
    Wrong("def take(client, key):\n    return True", "leave the first line"),
    _take("client.set(key, me, nx=True, px=ms)", "it returned None, not True"),
    _take("return client.set(key, me, nx=True)", "its lease never runs out"),
    _take("return client.set(key, me, px=ms)", "now both work on the shard"),
    _take("return client.set(key, me, xx=True, px=ms) is True", "is not there afterwards"),
    _take("return client.set(key, me, nx=True, ex=ms)", "milliseconds are px="),
    _take("return client.set(key, ms, nx=True, px=ms)", "its value says who has it"),
    _take("client.set(key, me, nx=True, px=ms); return True", "it returned True, not False"),
    _take("return client.set('lease', me, nx=True, px=ms)", "'orders:{0}:lease' is not there"),
    _take("return True", "is not there afterwards"),
    _take("return client.setnx(key, me)", "its lease never runs out"),
    _take("return client.setnx(key, me) and client.pexpire(key, ms)", "If C1 dies after its command 1"),
    _take("return client.pipeline().setnx(key, me).pexpire(key, ms).execute()[0]", "for how long C2 has it"),
    _take("return client.hsetnx(key, 'owner', me)", "the lease is a text"),
    _take("return 'yes' if client.set(key, me, nx=True, px=ms) else 'no'", "it returned 'yes', not True"),
    Wrong(
        """
def take(client, key, me, ms):
    if client.get(key) is None:
        client.set(key, me, px=ms)
        return True
    return False
""",
        "If C2 takes the lease after its first command",
    ),
    Wrong(
        """
def take(client, key, me, ms):
    if client.exists(key):
        return False
    client.psetex(key, ms, me)
    return True
""",
        "now both work on the shard",
    ),
]

EXERCISES = [
    Exercise(verdict="checks.same_shard(", right=SHARD_RIGHT, wrong=SHARD_WRONG),
    Exercise(verdict="checks.takes_lease(", right=LEASE_RIGHT, wrong=LEASE_WRONG),
]
