"""Commands that the embedded server refuses, and why."""

from __future__ import annotations

_NO_LUA = (
    "ERR the embedded server runs no scripts but those of this course ({name}): "
    "use a real server (put redis-server on the PATH, or connect by URL)"
)
_NO_PICKLE = "ERR the embedded server has no {name}: it would have to load objects from bytes; use a real server"
_REASONS = {
    **dict.fromkeys(
        ("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "SCRIPT", "FUNCTION", "FCALL", "FCALL_RO"),
        _NO_LUA,
    ),
    **dict.fromkeys(("DUMP", "RESTORE"), _NO_PICKLE),
}


def of(name: str) -> str | None:
    """Return the error for a command that is refused, by its name in capitals."""
    reason = _REASONS.get(name)
    return None if reason is None else reason.format(name=name)
