"""`FinalState`: what a server held at the end of a run."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FinalState:
    """What the server held at the end of a run, as the server itself says.

    Attributes
    ----------
    pending
        Entry ids and the consumers that hold them.
    undelivered
        The ids after the group's last-delivered id.
    first_id
        That of the stream's first entry; "" if it is empty.
    dead_letters
        What is in the dead-letter stream, by the ids that it had in the stream that it comes from.
    effects
        The ledger of the scenario's sink: how often each entry's effect has happened.
    pending_by
        How many entries are pending, as each of the commands says that tell it.
    """

    pending: dict[str, str] = field(default_factory=dict)
    undelivered: tuple[str, ...] = ()
    first_id: str = ""
    length: int = 0
    dead_letters: tuple[str, ...] = ()
    effects: dict[str, int] = field(default_factory=dict)
    pending_by: dict[str, int] = field(default_factory=dict)
