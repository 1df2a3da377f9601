"""What a ledger is made of: deliveries, losses, resets; and what it comes to for each consumer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True, eq=False)
class Delivery:
    """An entry that was given to a consumer, and what came of it; in seconds, NaN for never.

    `begun` and `left` are when the consumer began to work on it and when it stopped: it was `processed`,
    or the handler failed, or the consumer died or lost its connection. `over` is when the entry was
    no longer pending for this consumer, and `outcome` the kind of event by which that came: acknowledged
    (by any consumer), delivered or claimed once more, dead-lettered, trimmed, void, or the group was gone.
    """

    id: str
    consumer: str
    delivered: float
    delivery_count: int
    claimed: bool
    begun: float = math.nan
    processed: float = math.nan
    acked: float = math.nan
    left: float = math.nan
    over: float = math.nan
    outcome: str = ""

    @property
    def is_pending(self) -> bool:
        """Whether, as far as events tell, it was pending for this consumer at the end."""
        return not self.outcome

    @property
    def is_again(self) -> bool:
        """Whether the entry had been delivered before, as its delivery count tells."""
        return self.claimed or self.delivery_count > 1


class Loss(NamedTuple):
    """An actor died (``crashed``) or stood still (``paused``), at so many seconds."""

    at: float
    kind: str
    consumer: str


class ZombieAck(NamedTuple):
    """An entry was acknowledged by a consumer that did not own it: `owner` did ("": none)."""

    at: float
    id: str
    consumer: str
    owner: str


class Reset(NamedTuple):
    """The group or the stream went (`kind`), or the group was made again or set back, from the entry `id` on."""

    at: float
    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class ConsumerMetrics:
    """What one consumer did in a run.

    `delivered`, `claimed`, `processed` and `acked` count deliveries: an entry that it was given twice counts twice.
    `pending` is what the server had pending for it at the end. `utilisation` is the part of the run's time during
    which it was processing, from 0 to 1.
    """

    delivered: int
    processed: int
    acked: int
    claimed: int
    pending: int
    utilisation: float
