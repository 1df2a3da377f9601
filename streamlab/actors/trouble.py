"""What goes wrong between an actor and its server: which of it passes, and for how long an actor waits for that."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any

import redis.exceptions
from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

#: Seconds between two tries to reach a server again: at first, and at the most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


#: What a server says in a state that passes, where redis-py has a class for it: it is a replica by now, without its
#: master, out of memory, part of a cluster that is being changed. (While it loads its data, to redis-py it is lost.)
_REFUSALS = (
    redis.exceptions.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
)
#: What redis-py says itself of a cluster that is being changed: it was sent from server to server, or nobody serves the
#: key. It may have had the first answer from a server that had not heard of the change.
_IN_CHANGE = (redis.exceptions.ClusterError, redis.exceptions.SlotNotCoveredError)
#: And where it has none, or the refusal came to a script, which Redis before 7.0 tells in words of its own.
_REFUSED = re.compile(
    "(NOREPLICAS|MISCONF|BUSY) |.*script.*[ -](READONLY|MASTERDOWN|OOM|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|MISCONF) ",
    re.DOTALL,
)


class RedisLost(Exception):
    """What a handler raises if its effect is on the stream's own Redis, and that cannot be reached.

    What a handler raises is the handler's affair: its own database, its HTTP call. A handler whose effect goes
    to the same server says so by this, and the consumer waits as it does when it loses its own connection::

        except redis.exceptions.ConnectionError as error:
            raise RedisLost from error
    """


class Unsupported(ResponseError):
    """The server has not got what the recovery needs. The message says what, and what to take instead."""


def is_group_gone(error: Exception) -> bool:
    """Return whether a command failed because its group, or the whole stream, does not exist any more.

    A reader that was blocked when the stream was deleted hears ``UNBLOCKED`` before Redis 7.2. In a
    script's error, the code does not stand first on every version.
    """
    if not isinstance(error, ResponseError) or is_refused_for_now(error):
        return False
    return "NOGROUP" in str(error) or str(error).startswith("UNBLOCKED")


def may_have_moved(client: Redis, error: Exception) -> bool:
    """Return whether a stream may be on another server of a cluster, so that a read only has to be sent again.

    That is all a blocked reader hears from Redis before 7.2 when its stream's slot is moved: that the stream is gone.
    If it really is, the next read says so.
    """
    is_unblocked = isinstance(error, ResponseError) and str(error).startswith("UNBLOCKED")
    return is_unblocked and hasattr(client, "nodes_manager") and not is_refused_for_now(error)


def is_refused_for_now(error: BaseException) -> bool:
    """Return whether a server refuses a command in a state that passes, so that trying again makes sense."""
    if isinstance(error, _IN_CHANGE):
        return True
    if not isinstance(error, ResponseError):
        return False
    said = str(error)
    if said.startswith("UNBLOCKED"):  # the reader of a master that has become a replica
        return "instance state changed" in said
    return isinstance(error, _REFUSALS) or bool(_REFUSED.match(said))


def passes(error: BaseException) -> bool:
    """Return whether it makes sense to try again what failed."""
    return is_connection_lost(error) or is_refused_for_now(error)


def is_connection_lost(error: BaseException) -> bool:
    """Return whether a command failed because there is no connection, so that trying again makes sense."""
    if isinstance(error, redis.exceptions.RedisClusterException):  # no server of a cluster says what others there are
        return error.__cause__ is not None and is_connection_lost(error.__cause__)
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


def sends_again(client: Redis) -> bool:
    """Return whether a client sends a command again by itself when its reply was lost."""
    retry = client.get_retry() if hasattr(client, "get_retry") else getattr(client, "retry", None)
    return retry is not None and bool(retry.get_retries())


def warn_of_sending_again(client: Redis) -> None:
    """Log a warning if a client sends a command again by itself when its reply was lost, and tells nobody."""
    if sends_again(client):
        logger.warning(
            "this client sends a command again when its reply was lost: XADD adds twice then, and XREADGROUP "
            "leaves behind what it was given first. Make it with retry=Retry(NoBackoff(), 0)"
        )


def explain(error: BaseException, stream: str, group: str = "") -> None:
    """Add to an error that would only come again words that say where it was, and what would help."""
    said = str(error)
    if isinstance(error, redis.exceptions.NoPermissionError):
        words = "allow its user the command and the key (ACL SETUSER NAME +COMMAND ~KEY)"
    elif is_hopeless(error) and not isinstance(error, redis.exceptions.MaxConnectionsError):
        words = "correct the user and the password that the client was made with"
    elif said.startswith("WRONGTYPE"):
        words = f"the key {stream!r} holds no stream: take another one, or delete it"
    else:
        return
    where = f"(stream {stream!r}, group {group!r})" if group else f"(stream {stream!r})"
    if where not in said:  # nobody has yet
        error.args = (f"{said} {where}: {words}",)


async def leave_replica(client: Redis | None, error: BaseException) -> None:
    """Let a client connect again, with all its connections, if an error says that its server is a replica by now.

    After a failover, the server's name leads to another one. A connection that is in use has to follow when it
    is free again: it would go on to read what the replica has, which may be old. The client of a cluster asks anew
    which server has which keys: after a pipeline that has failed it would not by itself.
    """
    if client is None:
        return
    if hasattr(client, "nodes_manager"):
        await client.aclose()
        return
    said = str(error)
    is_replica = isinstance(error, redis.exceptions.ReadOnlyError) or (
        # A script's error, before Redis 7.0; the end of a read that was blocked.
        isinstance(error, ResponseError) and ("-READONLY" in said or "instance state changed" in said)
    )
    if is_replica:
        pool: Any = client.connection_pool
        await pool.update_active_connections_for_reconnect()
        await pool.disconnect(inuse_connections=False)


class Patience:
    """Waits between tries, each twice as long as the one before; up to a second, and only for so long.

    What counts is the time since the first try failed, however long each of them took.
    """

    def __init__(self, seconds: float, client: Redis | None = None) -> None:
        self._seconds = seconds
        self._client = client
        self._pause = _FIRST_PAUSE
        #: When the first try failed, and when the last one began; None: none has failed.
        self._since: float | None = None
        self._tried_at = 0.0
        self._has_answered = False

    async def wait(self, error: BaseException) -> None:
        """Wait before the next try; raise `error` if patience has come to its end."""
        clock = asyncio.get_running_loop().time
        # A client with a time-out of its own gives up a read that only waits for entries.
        went_well = self._has_answered and (
            clock() > self._tried_at + _LONGEST_PAUSE or isinstance(error, redis.exceptions.TimeoutError)
        )
        if self._since is None or went_well:
            self._since = clock()
        self._has_answered = False
        if clock() - self._since >= self._seconds:
            raise error
        await leave_replica(self._client, error)
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        self._tried_at = clock()

    def note_answer(self) -> None:
        """Take short pauses again: the server has answered.

        Patience itself is whole again once that has gone well for a while: what fails each time after a first answer
        would be tried for ever.
        """
        self._pause, self._has_answered = _FIRST_PAUSE, True

    def restore(self) -> None:
        """Be whole again: a try has succeeded."""
        self._since, self._pause = None, _FIRST_PAUSE
