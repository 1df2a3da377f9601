"""Where the versions of Redis differ: all of it, in one table.

Everything else in the model and in the command grammar is the same from Redis 7.0 on.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Since:
    """Each behaviour, and the version that brought it."""

    # Reading
    rerun_blocked: Version = (7, 2, 0)
    """A blocked read is run again when its key changes, so it ends with the errors of a new one;
    before, it ended with messages of its own (UNBLOCKED), and its default COUNT was 1000."""
    consumer_on_empty_read: Version = (7, 2, 0)
    """XREADGROUP creates its consumer even if there is nothing to read."""
    read_from_last: Version = (7, 4, 0)
    """XREAD takes ``+``: the last entry."""
    # Consumers
    inactive_time: Version = (7, 2, 0)
    """XINFO tells when a consumer was last given something, besides when it last asked."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one version does: a flag for each line of `Since`."""

    rerun_blocked: bool
    consumer_on_empty_read: bool
    read_from_last: bool
    inactive_time: bool

    @staticmethod
    @cache
    def of(version: Version) -> Behaviour:
        """Return the behaviour of a version of Redis."""
        since = Since()
        return Behaviour(**{f.name: version >= getattr(since, f.name) for f in fields(since)})


OLDEST = Behaviour.of((7, 0, 15))
