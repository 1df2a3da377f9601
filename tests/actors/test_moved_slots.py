"""A stream that is moved to another server of a cluster while somebody reads there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import redis.asyncio
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import ResponseError

from streamlab.actors.consuming import log_error
from streamlab.actors.recovery import Recovery
from streamlab.actors.redis_calls import ignore
from streamlab.actors.work import Work


async def handle(entry_id: str, fields: object) -> None:
    """Do nothing."""


def of_a_cluster() -> redis.asyncio.RedisCluster:
    return redis.asyncio.RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", 1)])


@pytest.mark.parametrize(
    ("client_of", "said", "is_gone", "waits"),
    [
        # All that Redis before 7.2 says to a reader that waits at a slot that is moved.
        (of_a_cluster, "UNBLOCKED the stream key no longer exists", False, False),
        (of_a_cluster, "NOGROUP No such key 'orders' or consumer group 'workers'", True, True),
        (of_a_cluster, "UNBLOCKED force unblock, instance state changed (master -> replica?)", False, True),
        (redis.asyncio.Redis, "UNBLOCKED the stream key no longer exists", True, True),
    ],
)
def test_a_stream_that_may_have_moved_is_read_again(
    client_of: Callable[[], redis.asyncio.Redis], said: str, is_gone: bool, waits: bool
) -> None:
    """At once, and the next read is told if it is really gone. Where there is one server, the group is made again."""
    error = ResponseError(said)

    async def ask() -> tuple[BaseException | None, bool]:
        more = {"patience": 0.0, "on_error": log_error, "report": ignore}
        work = Work(client_of(), "orders", "workers", "C1", handle, Recovery(), **more)  # type: ignore[arg-type]
        work.has_read = True
        return work.reason_to_wait(error), work.is_group_gone

    assert asyncio.run(ask()) == (error if waits else None, is_gone)
