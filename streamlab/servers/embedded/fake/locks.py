"""The three scripts of redis-py's `Lock` (release, extend, reacquire), done with fakeredis' own commands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from fakeredis._command_args_parsing import Int
from fakeredis._commands import Key, Signature
from fakeredis._core import CommandItem
from fakeredis._helpers import SimpleError

from streamlab.actors import scripts

Script = Callable[..., int]


def release(socket: Any, key: CommandItem, token: bytes) -> int:
    """Delete the lock, if it is still this holder's."""
    if key.value != token:
        return 0
    key.value = None
    return 1


def extend(socket: Any, key: CommandItem, token: bytes, ms: bytes, replace: bytes) -> int:
    """Give the lock more time, or (`replace`) this much from now on."""
    remaining: int = socket.pttl(key)
    if key.value != token or remaining < 0:
        return 0
    new = Int.decode(ms) + (remaining if replace == b"0" else 0)
    socket.pexpire(key, new)
    return 1


def reacquire(socket: Any, key: CommandItem, token: bytes, ms: bytes) -> int:
    """Give the lock its whole time again."""
    if key.value != token:
        return 0
    socket.pexpire(key, Int.decode(ms))
    return 1


_SCRIPTS: dict[str, tuple[Script, int]] = {
    scripts.LOCK_RELEASE: (release, 1),
    scripts.LOCK_EXTEND: (extend, 3),
    scripts.LOCK_REACQUIRE: (reacquire, 2),
}
"""By digest, with the number of arguments after the key."""


def digest(words: Sequence[bytes]) -> str | None:
    """Return which script of a lock an EVAL or EVALSHA runs; None, if it runs none of them."""
    found = None
    if len(words) > 1:
        name = words[0].upper()
        if name == b"EVAL":
            found = hashlib.sha1(words[1]).hexdigest()
        elif name == b"EVALSHA":
            found = words[1].lower().decode("latin-1")
    return found if found in _SCRIPTS else None


def command(socket: Any, words: Sequence[bytes], sha1: str) -> tuple[Any, Signature]:
    """Return what to call for an EVAL or EVALSHA of a lock's script, and how its arguments are read."""
    script, n_args = _SCRIPTS[sha1]
    if words[2:3] != [b"1"] or len(words) != 4 + n_args:
        raise SimpleError(f"ERR this script of redis-py's Lock takes 1 key and {n_args} argument{'s' * (n_args > 1)}")

    def run(_text: bytes, _n_keys: bytes, key: CommandItem, *args: bytes) -> int:
        return script(socket, key, *args)

    fixed: Any = (bytes, bytes, Key(bytes), *[bytes] * n_args)
    return run, Signature("eval", "eval", fixed)
