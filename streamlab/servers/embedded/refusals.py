"""Commands that the embedded server refuses, and why."""

from __future__ import annotations

_NO_LUA = (
    "ERR the embedded server has no Lua and runs only the scripts of streamlab.actors.scripts and of redis-py's Lock "
    "({name}): for others use a real server (put redis-server on the PATH, or connect by URL)"
)
_NO_PICKLE = "ERR the embedded server has no {name}: it would have to make objects of any bytes; use a real server"
_WITHOUT_LUA = ("EVAL_RO", "EVALSHA_RO", "SCRIPT", "FUNCTION", "FCALL", "FCALL_RO")
_REASONS = {**dict.fromkeys(_WITHOUT_LUA, _NO_LUA), **dict.fromkeys(("DUMP", "RESTORE"), _NO_PICKLE)}


def of(name: str) -> str | None:
    """Return the error for a command that is refused, by its name in capitals."""
    reason = _REASONS.get(name)
    return None if reason is None else reason.format(name=name)
