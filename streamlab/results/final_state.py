"""`FinalState`: what a server held at the end of a run."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FinalState:
    """What the server held at the end of a run, as the server itself says."""

    pending: dict[str, str] = field(default_factory=dict)  #: entry ids, and the consumers that hold them
    undelivered: tuple[str, ...] = ()  #: the ids after the group's last-delivered id
    first_id: str = ""  #: that of the stream's first entry; "" if it is empty
    length: int = 0
    #: What is in the dead-letter stream, by the ids that it had in the stream that it comes from.
    dead_letters: tuple[str, ...] = ()
    #: The ledger of the scenario's sink: how often each entry's effect has happened.
    effects: dict[str, int] = field(default_factory=dict)
    #: How many entries are pending, as each of the commands says that tell it.
    pending_by: dict[str, int] = field(default_factory=dict)
