"""Where effects go: a hash on the server with a field for each entry, whose value is how often it happened.

What a shop would do for an order (charge a card, send a parcel) is here one count in a ledger that can be
looked at afterwards: expected is 1 for each entry, actual is what stands there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: ``await effect(entry_id)`` does what is to be done for an entry.
Effect = Callable[[str], Awaitable[object]]


def naive_sink(client: Redis, key: str) -> Effect:
    """Return an effect that happens each time it is asked for (``HINCRBY``)."""

    async def effect(entry_id: str) -> None:
        await client.hincrby(key, entry_id, 1)

    return effect


def idempotent_sink(client: Redis, key: str) -> Effect:
    """Return an effect that happens once for an entry, however often it is asked for (``HSETNX``).

    The look and the effect are one command: two consumers with the same entry cannot come between.
    """

    async def effect(entry_id: str) -> None:
        await client.hsetnx(key, entry_id, "1")

    return effect
