"""What goes wrong between an actor and its server: which of it passes, and for how long an actor waits for that."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import redis.exceptions
from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

#: Seconds between two tries to reach a server again: at first, and at the most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class RedisLost(Exception):
    """What a handler raises if its effect is on the stream's own Redis, and that cannot be reached.

    What a handler raises is the handler's affair: its own database, its HTTP call. A handler whose effect goes
    to the same server says so by this, and the consumer waits as it does when it loses its own connection::

        except redis.exceptions.ConnectionError as error:
            raise RedisLost from error
    """


def is_group_gone(error: Exception) -> bool:
    """Return whether a command failed because its group, or the whole stream, does not exist any more.

    A reader that was blocked when the stream was deleted hears ``UNBLOCKED`` before Redis 7.2. In a
    script's error, the code does not stand first on every version.
    """
    return isinstance(error, ResponseError) and (
        "NOGROUP" in str(error) or str(error).startswith("UNBLOCKED")
    )


def is_connection_lost(error: BaseException) -> bool:
    """Return whether a command failed because there is no connection, so that trying again makes sense."""
    lost = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, ConnectionError)
    return isinstance(error, lost) and not is_hopeless(error)


def is_hopeless(error: BaseException) -> bool:
    """Return whether what failed would only fail again: a refused password, say.

    To redis-py these are ConnectionErrors, or the cause of one: to repeat them would be hammering.
    """
    hopeless = (
        redis.exceptions.AuthenticationError,
        redis.exceptions.AuthorizationError,
        redis.exceptions.MaxConnectionsError,
    )
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, hopeless):
        cause = cause.__cause__
    return cause is not None


def warn_of_sending_again(client: Redis) -> None:
    """Log a warning if a client sends a command again by itself when its reply was lost, and tells nobody."""
    retry = client.get_retry()
    if retry is not None and retry.get_retries():
        logger.warning(
            "this client sends a command again when its reply was lost: XADD adds twice then, and XREADGROUP "
            "leaves behind what it was given first. Make it with retry=Retry(NoBackoff(), 0)"
        )


class Patience:
    """Waits between tries, each twice as long as the one before; up to a second, and only for so long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waited = 0.0
        self._pause = _FIRST_PAUSE

    async def wait(self, error: BaseException) -> None:
        """Wait before the next try; raise `error` if patience has come to its end."""
        if self._waited >= self._seconds:
            raise error
        await asyncio.sleep(self._pause)
        self._waited += self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def restore(self) -> None:
        """Begin anew: a try has succeeded."""
        self._waited, self._pause = 0.0, _FIRST_PAUSE
