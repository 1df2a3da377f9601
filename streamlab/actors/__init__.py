"""The actors: `produce`, `consume` and `reclaim`, over any ``redis.asyncio`` client.

This is the code that the course develops and that you may lift into your own service: the folder needs redis-py and
nothing else. It knows nothing of laboratories: the client may be a real one or a simulated one, and the only clock is
the event loop's.

    async def handle(entry_id: str, fields: dict[str, str]) -> None:
        ...                                     # the effect; make it idempotent by entry_id

    await ensure_group(client, "orders", "billing")
    await consume(client, "orders", "billing", "billing-1", handle, recovery=Recovery("autoclaim"))
"""

from typing import TYPE_CHECKING

from .on_demand import on_demand

if TYPE_CHECKING:
    from .consuming import consume as consume
    from .consuming import reclaim as reclaim
    from .events import Entry as Entry
    from .events import EventKind as EventKind
    from .events import Fields as Fields
    from .events import Report as Report
    from .processing import Handler as Handler
    from .producing import produce as produce
    from .recovery import RECOVERIES as RECOVERIES
    from .recovery import Recovery as Recovery
    from .recovery import Strategy as Strategy
    from .redis_calls import ensure_group as ensure_group
    from .redis_calls import ignore as ignore
    from .shard_work import ShardHandler as ShardHandler
    from .sharding import consume_shards as consume_shards
    from .shards import shard_keys as shard_keys
    from .shards import shard_of as shard_of
    from .sinks import Effect as Effect
    from .sinks import idempotent_sink as idempotent_sink
    from .sinks import naive_sink as naive_sink
    from .trouble import RedisLost as RedisLost
    from .trouble import Unsupported as Unsupported
    from .work import Advice as Advice
else:
    __all__, __getattr__, __dir__ = on_demand(
        __name__,
        {
            "consuming": "consume reclaim",
            "events": "Entry EventKind Fields Report",
            "producing": "produce",
            "recovery": "RECOVERIES Recovery Strategy",
            "redis_calls": "ensure_group ignore",
            "shard_work": "ShardHandler",
            "sharding": "consume_shards",
            "shards": "shard_keys shard_of",
            "sinks": "Effect idempotent_sink naive_sink",
            "trouble": "RedisLost Unsupported",
            "processing": "Handler",
            "work": "Advice",
        },
    )
