"""Commands that fakeredis answers otherwise than Redis."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from fakeredis._command_args_parsing import Int, Timeout
from fakeredis._commands import Key, Signature
from fakeredis._core import CommandItem
from fakeredis._helpers import NoResponse, SimpleError
from fakeredis._msgs import LIMIT_NEGATIVE_MSG, SYNTAX_ERROR_MSG, WRONGTYPE_MSG
from fakeredis._socket import FakeSocket
from fakeredis.commands_mixins.connection_mixin import CLIENT_KILL_TYPES
from fakeredis.model import ExpiringMembersSet, Hash, ZSet

from streamlab.servers.embedded.replies import decoded

from .databases import StreamServer

SIGNATURES: dict[str, Signature] = {
    "HINCRBY": Signature("hincrby", "hincrby", (Key(Hash), bytes, Int)),  # type: ignore[arg-type]
    "BLMOVE": Signature("blmove", "blmove", (bytes, bytes, bytes, bytes, bytes)),  # type: ignore[arg-type]
    "TOUCH": Signature("touch", "exists", (Key(),), (Key(),)),  # type: ignore[arg-type]
}
"""Commands whose arguments are read otherwise, and what they call."""


class Corrections(FakeSocket):
    """A fakeredis socket with these commands as they are in Redis."""

    _server: StreamServer
    read: object
    """What the connection waits for, if it does."""

    def _first(self, keys: Sequence[bytes], kind: type, first_pass: bool) -> list[bytes]:
        """Return the first of these keys that there is, if it is of that kind; fakeredis does not look."""
        for key in keys:
            item = self._db.get(key)
            if item is not None and isinstance(item.value, kind):
                return [key]
            if item is not None and (first_pass or self.read is None):  # who waits, waits on
                raise SimpleError(WRONGTYPE_MSG)
        return []

    def _lmpop(self, keys: Any, count: int, direction_left: bool, first_pass: bool) -> Any:
        found = self._first(keys, list, first_pass)
        popped = super()._lmpop(found, count, direction_left, first_pass)
        if popped is not None:  # fakeredis tells nobody, and leaves the list there when it is empty
            key = CommandItem(found[0], self._db, item=self._db.get(found[0]))
            key.updated()
            key.writeback()
        return popped

    def _zmpop(self, keys: Any, count: int, reverse: bool, first_pass: bool) -> Any:
        return super()._zmpop(self._first(keys, ZSet, first_pass), count, reverse, first_pass)

    def _bzpop(self, keys: Any, reverse: bool, first_pass: bool) -> Any:
        return super()._bzpop(self._first(keys, ZSet, first_pass), reverse, first_pass)

    def blmove(self, source: bytes, target: bytes, where_from: bytes, where_to: bytes, timeout: bytes) -> Any:
        # fakeredis looks at the two lists once, and never again.
        ends = [where_from.upper(), where_to.upper()]
        if not {*ends} <= {b"LEFT", b"RIGHT"}:
            raise SimpleError(SYNTAX_ERROR_MSG)
        from_left, to_left = (end == b"LEFT" for end in ends)

        def move(is_first: bool) -> Any:
            moved = self._blmovem_pass(source, target, from_left, to_left, False, 1, True, is_first)
            return moved if moved is None else moved[0]

        return self._blocking(Timeout.decode(timeout), move)

    def hrandfield(self, key: CommandItem, *args: bytes) -> Any:
        return _one_or_many(super().hrandfield(key, *args), args)

    def zrandmember(self, key: CommandItem, *args: bytes) -> Any:
        return _one_or_many(super().zrandmember(key, *args), args)

    def sintercard(self, numkeys: int, *args: bytes) -> int:
        # fakeredis takes a key that does not exist for one of another type.
        items = [self._db.get(key) for key in args[: max(numkeys, 0)]]
        if any(item is not None and type(item.value) is not ExpiringMembersSet for item in items):
            raise SimpleError(WRONGTYPE_MSG)
        if None in items and len(args) in (numkeys, numkeys + 2):
            if len(args) > numkeys and Int.decode(args[-1]) < 0:
                raise SimpleError(LIMIT_NEGATIVE_MSG)
            return 0
        n_members: int = super().sintercard(numkeys, *args)
        return n_members

    def client_list_cmd(self, *args: bytes) -> bytes:
        if not args or args[0].upper() != b"TYPE":
            listed: bytes = super().client_list_cmd(*args)
            return listed
        if len(args) != 2:
            raise SimpleError(SYNTAX_ERROR_MSG)
        kind = args[1].lower()
        if kind not in CLIENT_KILL_TYPES:
            raise SimpleError(f"ERR Unknown client type '{decoded(args[1])}'")
        sockets = [each for each in self._server.sockets if self._client_type(each) == kind]
        return b"\n".join(each._client_info.as_bytes() for each in sockets)

    def client_getname(self) -> Any:
        return super().client_getname() or None

    def hello(self, *args: bytes) -> dict[str, Any]:
        if args and not args[0].isdigit():
            raise SimpleError("ERR Protocol version is not an integer or out of range")
        if args and int(args[0]) not in (2, 3):
            raise SimpleError("NOPROTO unsupported protocol version")
        told: dict[str, Any] = super().hello(*(args or [b"%d" % self._resp_version]))
        version = ".".join(map(str, self._server.stream_version))
        return {**told, "server": "redis", "version": version}

    def _unsubscribe(self, channels: Iterable[bytes], subscribers: dict[bytes, Any], mtype: bytes) -> NoResponse:
        if not channels and not any(self in subs for subs in subscribers.values()):
            self.put_response([mtype, None, self._pubsub])  # fakeredis says nothing, for ever
        answer: NoResponse = super()._unsubscribe(channels, subscribers, mtype)
        return answer

    def copy(self, key: CommandItem, newkey: CommandItem, *args: bytes) -> int:
        n_copied: int = super().copy(key, newkey, *args)
        if n_copied:  # fakeredis lets the two keys share one value
            newkey.update(copy.deepcopy(newkey.value))
        return n_copied

    def time(self) -> list[bytes]:
        if self._server.has_own_clock:
            seconds, milliseconds = divmod(self._server.now_ms(), 1000)
            return [b"%d" % seconds, b"%d000" % milliseconds]
        told: list[bytes] = super().time()
        return told

    def hincrby(self, key: CommandItem, field: bytes, amount: int) -> int:
        # fakeredis looks at the key first, and tells of its type if there is no number.
        n_now: int = super().hincrby(key, field, b"%d" % amount)
        return n_now

    def flushdb(self, *args: bytes) -> Any:
        return super().flushdb(*(arg for arg in args if arg.lower() != b"sync"))

    def flushall(self, *args: bytes) -> Any:
        return super().flushall(*(arg for arg in args if arg.lower() != b"sync"))


def _one_or_many(found: Any, args: Sequence[bytes]) -> Any:
    """Without a count it is one, or none, that is asked for; fakeredis gave a list with it until 2.40."""
    if args:
        return found or []
    return (found[0] if isinstance(found, list) else found) if found else None
