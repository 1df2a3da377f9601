"""`Watch`: looks at a stream that others write and read, and leaves it as it is.

It asks with XINFO, XPENDING for the first entries only, and XLEN: nothing that blocks, nothing that writes, nothing
that takes longer the longer the stream or the pending entries list is.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, Self

import redis

from streamlab.actors.replies import AS_BYTES
from streamlab.model import MIN_ID, parse_id
from streamlab.model.records import GroupState, PendingEntry, parse_groups, parse_pending_range, text
from streamlab.results.look import Look, WatchedConsumer, WatchedEntry, WatchedGroup
from streamlab.scenario.small_table import length
from streamlab.servers.client import CONNECT_TIMEOUT, ServerUnusable, address, explain, sync_stream_client

#: Seconds that an answer may take.
_ANSWER_WITHIN: Final = CONNECT_TIMEOUT
#: Entries of the pending entries list that are asked for at once, where entries to claim are looked for.
_PAGE: Final = 1_000
#: Entries claimed by one command.
_CLAIM_AT_ONCE: Final = 100
#: Where the stream is not there, others are named: so many, found in so many SCANs of this COUNT.
_STREAMS_NAMED: Final = 10
_SCANS: Final = 20
_SCAN_COUNT: Final = 100
#: What a user has to be allowed; the last is for the name in CLIENT LIST.
_PERMISSIONS: Final = "+xinfo +xpending +xlen +client|setname"
#: How redis-py is told which form of a command it was.
_FORMS: Final[dict[str, dict[str, bool]]] = {"XPENDING": {"parse_detail": True}, "XCLAIM": {"parse_justid": True}}


class Watch:
    """Look at a stream that others write and read (``XINFO``, ``XPENDING``, ``XLEN``): never a write, never a wait.

    Parameters
    ----------
    server
        A URL, or a `redis.Redis`, of text or of bytes, RESP2 or RESP3. For a URL one connection is opened.
    stream, group
        Their names; without a group, all groups of the stream are looked at.
    dead_after
        Seconds for which a consumer with pending entries is idle before it counts as probably dead.
    oldest
        How many pending entries of each group are listed, the oldest ids first.
    dead_letters
        The key of the dead-letter stream, if there is one.
    """

    def __init__(
        self,
        server: str | redis.Redis,
        stream: str,
        group: str | None = None,
        *,
        dead_after: float = 60.0,
        oldest: int = 5,
        dead_letters: str | None = None,
    ) -> None:
        if not dead_after > 0:
            raise ValueError(f"dead_after={dead_after} makes no sense: give seconds, above 0")
        if not 0 <= oldest <= _PAGE:
            raise ValueError(f"oldest={oldest} makes no sense: give a number from 0 to {_PAGE:,}")
        if isinstance(server, str):
            self._client = sync_stream_client(
                server, name="streamlab-watch", max_connections=1, read_timeout=_ANSWER_WITHIN
            )
        elif isinstance(server, redis.Redis):
            self._client = server
        else:
            raise TypeError(
                f"Watch takes a URL or a redis.Redis, not {type(server).__module__}.{type(server).__name__}"
            )
        self._is_own = isinstance(server, str)
        self._where = address(self._client)
        self._stream, self._group, self._dead_letters = stream, group, dead_letters
        self._dead_after, self._n_oldest = dead_after, oldest
        self._before: tuple[float, Look] | None = None

    def look(self) -> Look:
        """Ask how things are; rates are those since the look before.

        Raises
        ------
        ServerUnusable
            The server gives no answer or refuses it; or, at the first look, there is no such stream or group.
        """
        key = _raw(self._stream)
        asking: list[tuple[Any, ...]] = [("XINFO STREAM", key), ("XINFO GROUPS", key)]
        if self._dead_letters is not None:
            asking.append(("XLEN", _raw(self._dead_letters)))
        stream, listed, *lengths = self._ask(asking)
        states = [state for state in parse_groups(listed or ()) if self._group in (None, state.name)]
        gone = self._gone(stream, listed or (), states)
        now, moment = time.monotonic(), time.time()
        info = {text(name): value for name, value in (stream or {}).items()}
        last_deleted = text(info.get("max-deleted-entry-id", "0-0"))
        told = {text(line["name"]) for line in listed or () if "lag" in line}
        groups = tuple(
            self._look_at(state, _why_no_lag(state, state.name in told, last_deleted), now, *replies)
            for state, replies in zip(states, self._ask_groups(states), strict=True)
            if replies[0] is not None
        )
        added = info.get("entries-added")
        look = Look(
            stream=self._stream,
            where=self._where,
            at=moment,
            trouble=gone,
            length=info.get("length", 0),
            entries_added=added,
            added_per_second=self._rate(now, added, self._before and self._before[1].entries_added),
            dead_letter_key=self._dead_letters,
            dead_letters=(lengths[0] or 0) if lengths else None,
            dead_after=self._dead_after,
            groups=groups,
        )
        self._before = now, look
        return look

    def every(self, seconds: float = 1.0) -> Iterator[Look]:
        """Yield a look at once, and then one every so many seconds, for as long as you take them.

        While the server gives no answer, it is the last look, and its `trouble` says so; the first one raises.
        In a notebook, ``for look in watch.every(1): clear_output(wait=True); display(look)``.
        """
        if not seconds > 0:
            raise ValueError(f"a look every {seconds} s makes no sense: give seconds, above 0")
        while True:
            began = time.monotonic()
            try:
                look = self.look()
            except ServerUnusable as error:
                if self._before is None:
                    raise
                look = replace(self._before[1], trouble=f"no answer, so this is how it was: {error}")
            yield look
            time.sleep(max(0.0, seconds - (time.monotonic() - began)))

    def __iter__(self) -> Iterator[Look]:
        return self.every()

    def autoclaim(
        self, group: str, consumer: str, min_idle: float, *, count: int = 100, confirm: bool = False
    ) -> list[str]:
        """Claim for a consumer what has been idle for long enough (``XPENDING``, ``XCLAIM … JUSTID``); return the ids.

        The oldest entries are taken, at most `count`, and none that was delivered again since they were found. It
        changes the owner and nothing else; the consumer is given them when it reads its own history.

        Parameters
        ----------
        group, consumer
            For whom; a consumer that the group does not know is refused.
        min_idle
            Seconds since an entry was last delivered. More than the longest time that processing takes.
        confirm
            Without it nothing is claimed, and the error says what would be.

        Raises
        ------
        ValueError
            It was not confirmed, or a number makes no sense.
        ServerUnusable
            There is no such stream, group or consumer, or the server gives no answer.
        """
        if not min_idle >= 0 or count < 1:
            raise ValueError(f"min_idle={min_idle}, count={count} make no sense: give at least 0 s, and 1 entry")
        key, min_idle_ms = _raw(self._stream), round(min_idle * 1000)
        (listed,) = self._ask([("XINFO CONSUMERS", key, _raw(group))])
        known = {text(line["name"]): line for line in listed or ()}
        if consumer not in known:
            raise ServerUnusable(
                f"there is no consumer {consumer!r} of a group {group!r} of the stream {self._stream!r}, so nothing "
                f"can be claimed for it; consumers of the group: {', '.join(map(repr, known)) or 'none'}"
            )
        found = self._idle_for(group, min_idle_ms, count)
        if not confirm:
            raise ValueError(self._what_would_happen(group, consumer, min_idle, count, found, known))
        claimed: list[str] = []
        for start in range(0, len(found), _CLAIM_AT_ONCE):
            ids = [entry.id for entry in found[start : start + _CLAIM_AT_ONCE]]
            command = ("XCLAIM", key, _raw(group), _raw(consumer), min_idle_ms, *ids, "JUSTID")
            (reply,) = self._ask([command])
            claimed += [text(entry_id) for entry_id in reply or () if entry_id is not None]
        return claimed

    def close(self) -> None:
        """Close the connection, unless it is that of a client that was given."""
        if self._is_own:
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        group = "" if self._group is None else f", group {self._group!r}"
        return f"<Watch on {self._stream!r}{group} at {self._where}>"

    # ---- asking -----------------------------------------------------------------------------------

    def _ask(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands in one round trip; of what is not there, the reply is None."""
        pipe = self._client.pipeline(transaction=False)
        for command in commands:
            options = _FORMS.get(command[0], {}) | AS_BYTES
            pipe.execute_command(*command, **options)  # type: ignore[no-untyped-call]
        try:
            return [_or_nothing(reply) for reply in pipe.execute(raise_on_error=False)]
        except redis.exceptions.NoPermissionError as error:
            raise ServerUnusable(
                f"this user may not look at {self._stream!r} at {self._where} ({error}): allow it "
                f"(ACL SETUSER … {_PERMISSIONS} ~{self._stream})"
            ) from None
        except redis.exceptions.MovedError as error:
            raise ServerUnusable(
                f"{self._stream!r} is on another node of this cluster: watch that at {error.host}:{error.port}"
            ) from None
        except (redis.RedisError, OSError) as error:
            if "WRONGTYPE" in str(error):
                keys = " or ".join(repr(key) for key in (self._stream, self._dead_letters) if key is not None)
                raise ServerUnusable(f"the key {keys} at {self._where} holds no stream: name another") from None
            raise ServerUnusable(explain(error, self._where, _ANSWER_WITHIN)) from None

    def _ask_groups(self, states: Sequence[GroupState]) -> list[tuple[Any, Any]]:
        """Return the consumers of each group, and its oldest pending entries."""
        key, asking = _raw(self._stream), list[tuple[Any, ...]]()
        for state in states:
            asking.append(("XINFO CONSUMERS", key, _raw(state.name)))
            asking.append(("XPENDING", key, _raw(state.name), "-", "+", self._n_oldest))
        replies = self._ask(asking) if asking else []
        return list(zip(replies[::2], replies[1::2], strict=True))

    def _look_at(self, state: GroupState, why: str, now: float, listed: Any, oldest: Any) -> WatchedGroup:
        consumers = [self._consumer({text(name): value for name, value in line.items()}) for line in listed]
        consumers.sort(key=lambda consumer: (not consumer.probably_dead, -consumer.pending))
        before = next((g for g in self._before[1].groups if g.name == state.name), None) if self._before else None
        return WatchedGroup(
            name=state.name,
            pending=state.pending,
            last_delivered_id=state.last_delivered_id,
            entries_read=state.entries_read,
            lag=state.lag,
            why_no_lag=why,
            acked_per_second=self._rate(now, _n_done(state), None if before is None else _n_done(before)),
            consumers=tuple(consumers),
            oldest=tuple(
                WatchedEntry(entry.id, entry.consumer, entry.idle_ms / 1000, entry.delivery_count)
                for entry in parse_pending_range(oldest or ())
            ),
        )

    def _consumer(self, line: dict[str, Any]) -> WatchedConsumer:
        pending, idle, inactive = line["pending"], line["idle"] / 1000, line.get("inactive")
        return WatchedConsumer(
            name=text(line["name"]),
            pending=pending,
            idle=idle,
            inactive=None if inactive is None or inactive < 0 else inactive / 1000,
            probably_dead=pending > 0 and idle >= self._dead_after,
        )

    def _rate(self, now: float, count: int | None, before: int | None) -> float | None:
        """Return what was counted per second since the look before; None if it is not the same count."""
        if self._before is None or count is None or before is None or count < before:
            return None
        return (count - before) / max(now - self._before[0], 1e-6)

    # ---- what is not there ------------------------------------------------------------------------

    def _gone(self, stream: Any, listed: Sequence[Any], states: Sequence[GroupState]) -> str:
        """Say what is not there that was; raise `ServerUnusable` if it never was."""
        if stream is None:
            problem = f"there is no stream {self._stream!r} at {self._where}"
            others = f"streams there are: {self._streams()}" if self._before is None else ""
        elif self._group is not None and not states:
            problem = f"the stream {self._stream!r} at {self._where} has no group {self._group!r}"
            others = f"its groups are: {', '.join(repr(text(line['name'])) for line in listed) or 'none'}"
        else:
            return ""
        if self._before is None:
            raise ServerUnusable(f"{problem}; {others}")
        return f"{problem} any more"

    def _streams(self) -> str:
        """Name a few streams (``SCAN … TYPE stream``), without walking through all of a large server."""
        names: set[str] = set()
        cursor: Any = 0
        for _ in range(_SCANS):
            (reply,) = self._ask([("SCAN", cursor, "COUNT", _SCAN_COUNT, "TYPE", "stream")])
            cursor, keys = reply
            names.update(map(text, keys))
            if int(cursor) == 0 or len(names) > _STREAMS_NAMED:
                break
        shown = ", ".join(map(repr, sorted(names)[:_STREAMS_NAMED])) or "none"
        return shown if int(cursor) == 0 and len(names) <= _STREAMS_NAMED else f"{shown}, and maybe more"

    # ---- claiming ---------------------------------------------------------------------------------

    def _idle_for(self, group: str, min_idle_ms: int, count: int) -> list[PendingEntry]:
        """Return the first `count` pending entries that have been idle for so long, by pages of the list."""
        found: list[PendingEntry] = []
        start = "-"
        while len(found) < count:
            (reply,) = self._ask([("XPENDING", _raw(self._stream), _raw(group), start, "+", _PAGE)])
            page = parse_pending_range(reply or ())
            found += [entry for entry in page if entry.idle_ms >= min_idle_ms]
            if len(page) < _PAGE:
                break
            start = f"({page[-1].id}"
        return found[:count]

    def _what_would_happen(
        self, group: str, consumer: str, min_idle: float, count: int, found: list[PendingEntry], known: dict[str, Any]
    ) -> str:
        if not found:
            return f"nothing was claimed: no entry of group {group!r} has been idle for {length(min_idle)} or longer"
        owners = []
        for owner, n in Counter(entry.consumer for entry in found).most_common():
            idle = known[owner]["idle"] / 1000 if owner in known else float("inf")
            state = "probably dead" if idle >= self._dead_after else "it may still be at work on them"
            owners.append(f"{n:,} of {owner} (idle for {length(idle)}: {state})")
        return (
            f"nothing was claimed, for it was not confirmed. {len(found):,} entries of group {group!r}, idle for "
            f"{length(min_idle)} or longer, would become {consumer}'s (at most {count:,}): {', '.join(owners)}. "
            f"{consumer} is given them when it reads its own history (XREADGROUP … STREAMS {self._stream} 0), not by "
            ">. To do so, add confirm=True"
        )


def _raw(name: str) -> bytes:
    """Return a name as it is on the server, whatever the client's encoding."""
    return name.encode(errors="surrogateescape")


def _or_nothing(reply: Any) -> Any:
    """Return a reply; None where the stream or the group is not there."""
    if isinstance(reply, redis.ResponseError) and ("no such key" in str(reply) or "NOGROUP" in str(reply)):
        return None
    if isinstance(reply, Exception):
        raise reply
    return reply


def _n_done(group: GroupState | WatchedGroup) -> int | None:
    return None if group.entries_read is None else group.entries_read - group.pending


def _why_no_lag(state: GroupState, is_told: bool, last_deleted: str) -> str:
    if state.lag is not None:
        return ""
    if not is_told:
        return "this server does not tell it (Redis does from 7.0 on)"
    if (parse_id(last_deleted) or MIN_ID) > (parse_id(state.last_delivered_id) or MIN_ID):
        return f"{last_deleted} was deleted before the group was given it, and perhaps others"
    if state.entries_read is None:
        return "the group begins in the middle of the stream, and how much came before has not been counted"
    return "entries were deleted, and how many are left for the group is not counted"
