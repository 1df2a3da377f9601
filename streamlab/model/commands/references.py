"""KEEPREF, DELREF and ACKED: what becomes of the groups' references to deleted entries."""

from __future__ import annotations

from collections.abc import Sequence

from streamlab.model import References

from .arguments import CommandError, Reply, entry_ids, integer, syntax_error
from .keyspace import Keyspace

_POLICIES: dict[str, References] = {"KEEPREF": "KEEPREF", "DELREF": "DELREF", "ACKED": "ACKED"}


def reference_policy(db: Keyspace, option: str) -> References | None:
    """Return the policy that an option names, if it names one and the version knows it."""
    return _POLICIES.get(option.upper()) if db.behaviour.reference_policies else None


def ids_and_policy(db: Keyspace, args: Sequence[str]) -> tuple[Sequence[str], References]:
    """Read ``[KEEPREF|DELREF|ACKED] IDS n id …``."""
    policy: References | None = None
    ids: Sequence[str] | None = None
    i = 0
    while i < len(args):
        option = args[i].upper()
        named = reference_policy(db, option)
        if named is not None and policy is None:
            policy = named
            i += 1
        elif option == "IDS" and i + 1 < len(args):
            error = "ERR Number of IDs must be a positive integer"
            n = integer(args[i + 1], error)
            if n < 1:
                raise CommandError(error)
            ids = args[i + 2 : i + 2 + n]
            if len(ids) < n:
                raise CommandError("ERR The `numids` parameter must match the number of arguments")
            i += 2 + n
        else:
            raise syntax_error()
    if ids is None:
        raise CommandError("ERR IDS option is required")
    return ids, policy or "KEEPREF"


def xdelex(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Delete entries with regard to the groups."""
    stream = db.stream(args[1])
    ids, references = ids_and_policy(db, args[2:])
    if stream is None:
        return [-1] * len(ids)
    return [*stream.delete_ex(entry_ids(ids), references)]


def xackdel(db: Keyspace, args: Sequence[str], now_ms: int) -> Reply:
    """Acknowledge entries and delete them."""
    stream = db.stream(args[1])
    ids, references = ids_and_policy(db, args[3:])
    if stream is None or args[2] not in stream.groups:
        return [-1] * len(ids)
    return [*stream.ack_delete(args[2], entry_ids(ids), references)]
