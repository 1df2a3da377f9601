"""The actors: `produce`, `consume` and `reclaim`, over any ``redis.asyncio`` client.

This is the code that the course develops and that you may lift into your own service: this folder, with
`streamlab.scripts` and the names in `streamlab.events`. It knows nothing of laboratories: the client may be
a real one or a simulated one, and the only clock is the event loop's.

    async def handle(entry_id: str, fields: dict[str, str]) -> None:
        ...                                     # the effect; make it idempotent by entry_id

    await ensure_group(client, "orders", "billing")
    await consume(client, "orders", "billing", "billing-1", handle, recovery=Recovery("autoclaim"))
"""

from .consuming import consume, reclaim
from .producing import produce
from .recovery import RECOVERIES, Recovery, Strategy
from .redis_calls import Entry, Fields, ensure_group, ignore
from .sinks import Effect, idempotent_sink, naive_sink
from .trouble import RedisLost, Unsupported
from .work import Advice, Handler

__all__ = [
    "RECOVERIES", "Advice", "Effect", "Entry", "Fields", "Handler", "Recovery", "RedisLost", "Strategy",
    "Unsupported", "consume", "ensure_group", "idempotent_sink", "ignore", "naive_sink", "produce", "reclaim",
]  # fmt: skip
