"""The state of each entry of a stream for one group, asked of a server or of the model, without a figure.

An entry is ``"undelivered"``; or pending, told as its consumer and its delivery count, ``"alice ×2"``; or ``"done"``,
which is acknowledged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import redis

from streamlab.model import MIN_ID, StreamModel, format_id, parse_id
from streamlab.model.records import parse_groups, parse_pending_range, text

UNDELIVERED, PENDING, DONE = "undelivered", "pending", "done"
#: Transitions by (state before, state after).
Transitions = Counter[tuple[str, str]]
States = dict[str, str]


def entry_states(client: redis.Redis, key: str, group: str) -> States:
    """Ask a server (``XINFO GROUPS``, ``XPENDING``, ``XRANGE``) for the states by id."""
    groups = {state.name: state for state in parse_groups(client.xinfo_groups(key))}
    lines: Any = client.xpending_range(key, group, "-", "+", 10_000)
    held = {p.id: (p.consumer, p.delivery_count) for p in parse_pending_range(lines)}
    entries: Any = client.xrange(key)
    ids = [text(entry_id) for entry_id, _ in entries]
    return _states(ids, groups[group].last_delivered_id, held)


def model_states(model: StreamModel, group: str) -> States:
    """Return the same of a model."""
    held = {
        format_id(entry_id): (pending.consumer.name, pending.delivery_count)
        for entry_id, pending in model.pending(group, now_ms=0)
    }
    ids = [format_id(entry_id) for entry_id, _ in model.range()]
    return _states(ids, format_id(model.groups[group].last_id), held)


def _states(ids: Sequence[str], last_delivered_id: str, held: Mapping[str, tuple[str, int]]) -> States:
    reached = parse_id(last_delivered_id) or MIN_ID
    states: States = {}
    for entry_id in ids:
        if entry_id in held:
            consumer, n_deliveries = held[entry_id]
            states[entry_id] = f"{consumer} ×{n_deliveries}"
        else:
            states[entry_id] = DONE if (parse_id(entry_id) or MIN_ID) <= reached else UNDELIVERED
    return states


def transitions(snapshots: Sequence[Mapping[str, str]]) -> Transitions:
    """Count how entries changed their states from one snapshot to the next."""
    return Transitions(
        (kind_of(before[entry_id]), kind_of(state))
        for before, after in pairwise(snapshots)
        for entry_id, state in after.items()
        if entry_id in before and state != before[entry_id]
    )


def kind_of(state: str) -> str:
    """Return what kind of state this is: undelivered, pending or done."""
    return state if state in (UNDELIVERED, DONE) else PENDING
