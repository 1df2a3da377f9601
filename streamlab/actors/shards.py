"""A stream that is spread over several: their keys, which entries go where, and how many fall to a consumer."""

from __future__ import annotations

import zlib
from collections.abc import Iterator


def key_beside(stream: str, what: str) -> str:
    """Return a key that in a cluster lies on the same node as a stream: with its hash tag, or with its key as that."""
    opened = stream.find("{")
    has_tag = opened >= 0 and stream.find("}", opened) > opened + 1
    return f"{stream}:{what}" if has_tag else f"{{{stream}}}:{what}"


def shard_keys(stream: str, n_shards: int) -> tuple[str, ...]:
    """Return the keys of a stream's shards: ``orders:{0}``, ``orders:{1}`` …; in a cluster, each has its own slot."""
    return tuple(f"{stream}:{{{number}}}" for number in range(n_shards))


def shard_of(key: str, n_shards: int) -> int:
    """Return the number of the shard that entries with this key go to: always the same."""
    return zlib.crc32(key.encode()) % n_shards


def lease_key(shard: str, group: str) -> str:
    """Return the key of the lease by which a consumer of a group owns a shard: in a cluster, beside the shard."""
    return key_beside(shard, f"lease:{group}")


def members_keys(first_shard: str, group: str) -> tuple[str, str]:
    """Return the keys of who is there of a group, and until when: in a cluster, beside the first shard."""
    members = key_beside(first_shard, f"members:{group}")
    return members, f"{members}:until"


def fair_share(n_members: int, n_before: int, n_shards: int) -> tuple[int, int]:
    """Return how many shards a member is to have, and at which to begin to look for free ones.

    `n_before` is how many of the members come before it. All shares together are all shards, and no two differ by more
    than one: nobody has to tell anybody.
    """
    each, rest = divmod(n_shards, n_members)
    return each + (n_before < rest), n_before * each + min(n_before, rest)


def from_on(first: int, n_shards: int) -> Iterator[int]:
    """Yield the numbers of all shards, from one on and round."""
    return ((first + i) % n_shards for i in range(n_shards))
