"""Where the versions of Redis differ: all of it, in one table.

Everything else in the model and in the command grammar is the same from Redis 7.0 on. The model is
compared with 7.0 and 8.6; for what lies between, the versions are those that Redis' sources and releases
give. Not modelled: what numbers beyond 64 bits do, and XADD IDMP (8.6).
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
    unbalanced_names_command: Version = (7, 2, 0)
    """The error for an odd number of keys and ids names the command."""
    read_from_last: Version = (7, 4, 0)
    """XREAD takes ``+``: the last entry."""
    block_is_limited: Version = (7, 2, 0)
    """BLOCK refuses times that end beyond a signed 64-bit number of ms; before, they overflow."""
    # Consumers
    consumers_made_early: Version = (7, 2, 0)
    """XREADGROUP, XCLAIM and XAUTOCLAIM create their consumer, and note that it has asked, even if
    there is nothing to give to it."""
    inactive_time: Version = (7, 2, 0)
    """XINFO tells when a consumer was last given something, besides when it last asked."""
    # Counting
    lag_minds_trimming: Version = (7, 4, 0)
    """Lag and entries-read are right (or nil) also after trimming and deleting at the start."""
    # Errors
    unknown_command_is_terse: Version = (8, 0, 0)
    """The error for an unknown command does not speak of arguments if there are none."""
    # Entries
    full_sequence_is_smaller: Version = (7, 2, 0)
    """``ms-*`` says that the id is too small when the sequence numbers of that ms are used up; before, that it
    is too large to be stored, or whatever went wrong last."""
    setid_minds_deleted: Version = (7, 2, 0)
    """XSETID refuses an id below the highest deleted one."""
    reference_policies: Version = (8, 2, 0)
    """XACKDEL and XDELEX; KEEPREF, DELREF and ACKED."""
    claim_while_reading: Version = (8, 4, 0)
    """XREADGROUP … CLAIM."""
    idempotent_adding: Version = (8, 6, 0)
    """XINFO STREAM tells about XADD IDMP. (That itself is not modelled.)"""


@dataclass(frozen=True, slots=True, eq=False)  # one object a version: compared by identity
class Behaviour:
    """What one version does: a flag for each line of `Since`."""

    rerun_blocked: bool
    unbalanced_names_command: bool
    consumers_made_early: bool
    read_from_last: bool
    block_is_limited: bool
    lag_minds_trimming: bool
    unknown_command_is_terse: bool
    full_sequence_is_smaller: bool
    setid_minds_deleted: bool
    reference_policies: bool
    claim_while_reading: bool
    idempotent_adding: bool
    inactive_time: bool

    @staticmethod
    @cache
    def of(version: Version) -> Behaviour:
        """Return the behaviour of a version of Redis."""
        since = Since()
        return Behaviour(**{f.name: version >= getattr(since, f.name) for f in fields(since)})


OLDEST = Behaviour.of((7, 0, 15))
