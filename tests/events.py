"""Events as tests write them down."""

from __future__ import annotations

from streamlab.actors.events import EventKind
from streamlab.results.events import Event


def event(at: float, kind: str, actor: str, id: str = "", delivery_count: int = 0) -> Event:
    """Return an event; its kind is given by its word."""
    return Event(at, EventKind(kind), actor, id, delivery_count)
