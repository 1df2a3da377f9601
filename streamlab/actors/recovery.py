"""`Recovery`: how entries come back that a consumer was given and did not finish. Data, read by `consume`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from .shards import key_beside

#: Seconds between two looks where a lost group could begin again, by consumers that seldom look for anything else.
NOTE_EVERY = 5.0
#: And the fewest entries between two looks at the clock, for the sake of those that take no time.
NOTE_AFTER = 16

Strategy = Literal["none", "restart", "claim", "autoclaim", "read-claim", "nack"]

#: What a strategy needs of a server beyond 6.2, and since when Redis has it. (Valkey 9.1 has neither.)
_NEEDED: Final[dict[str, tuple[str, tuple[int, int, int]]]] = {
    "read-claim": ("XREADGROUP … CLAIM", (8, 4, 0)),
    "nack": ("XNACK", (8, 8, 0)),
}
_BOOL: Final = "true or false"
#: Seconds until a supervisor has started a dead worker again, unless told otherwise.
USUAL_RESTART: Final = 0.5


@dataclass(frozen=True, slots=True)
class Recovery:
    """How entries come back that a consumer was given and did not finish.

    Attributes
    ----------
    strategy
        ``"none"``: nobody claims anything. ``"restart"``: nobody does, but a dead worker is started again
        under its own name, and reads its own history. ``"claim"``: consumers look for idle entries with
        ``XPENDING … IDLE`` and take them with ``XCLAIM``. ``"autoclaim"``: they walk the pending entries list
        with ``XAUTOCLAIM``. ``"read-claim"``: every read takes idle entries first (``XREADGROUP … CLAIM``,
        Redis 8.4), and XCLAIM drops those that are gone from the stream. ``"nack"``: as autoclaim; an entry
        whose handler failed is given back at once (``XNACK``, Redis 8.8). A server without these commands is
        refused before anything is read; the simulated engine has no XNACK, and recovers as by autoclaim.
    min_idle
        Seconds that an entry must have been idle before another consumer may take it. Has to exceed the
        longest time that a living consumer takes for an entry and what it prefetched before it; or be
        renewed by a heartbeat.
    interval
        Seconds between a consumer's looks for idle entries; None: half of `min_idle`.
    heartbeat
        Seconds after which a consumer renews what it holds (``XCLAIM … JUSTID``); None: never. At most
        half of `min_idle`.
    max_deliveries
        How often an entry is given to a handler before it is moved to the dead-letter stream; None: no limit.
        It is looked at before the handler sees the entry: one that kills the process never reaches any
        code after it. A group that is made again counts from 1 again.
    dead_letter
        The key of the dead-letter stream; "": the stream's, with ``:dead`` behind it, in its hash slot.
    fenced
        Acknowledge only what the consumer still owns, by the delivery it was given it with: a paused
        consumer that wakes cannot acknowledge what another one has taken over.
    restart_after
        Seconds until a supervisor starts a dead worker again under its own name; None: it does not
        (but for the strategy ``"restart"``, which has it after half a second).
    remove_after
        Seconds of idleness after which a consumer that holds nothing is removed from the group; None: never.
        For workers whose names change. Has to exceed the time that a read blocks.
    history
        Read the own history first, at the start and after a lost connection. To switch it off is wrong,
        and there to be shown.
    """

    strategy: Strategy = "none"
    min_idle: float = 0.5
    interval: float | None = None
    heartbeat: float | None = None
    max_deliveries: int | None = None
    dead_letter: str = ""
    fenced: bool = False
    restart_after: float | None = None
    remove_after: float | None = None
    history: bool = True

    def __post_init__(self) -> None:
        known = get_args(Strategy)
        if self.strategy not in known:
            import difflib  # only for a mistake

            close = difflib.get_close_matches(str(self.strategy), known, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise ValueError(f"recovery.strategy is {self.strategy!r}: {hint}known are {', '.join(known)}")
        for what in ("min_idle", "interval", "heartbeat", "restart_after", "remove_after"):
            value: object = getattr(self, what)
            if value is None and what != "min_idle":
                continue
            fine = (
                isinstance(value, int | float)
                and not isinstance(value, bool)
                and value <= sys.float_info.max
                and (value > 0 or (value == 0 and what == "restart_after"))
            )
            if not fine:
                raise ValueError(f"recovery.{what} is {value!r:.80}: give seconds, more than 0")
        limit: object = self.max_deliveries
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
            raise ValueError(f"recovery.max_deliveries is {limit!r:.80}: give a whole number of at least 1")
        for what, kind, word in (("dead_letter", str, "a text"), ("fenced", bool, _BOOL), ("history", bool, _BOOL)):
            if not isinstance(getattr(self, what), kind):
                raise ValueError(f"recovery.{what} is {getattr(self, what)!r}: give {word}")
        if self.heartbeat is not None and self.heartbeat > self.min_idle / 2:
            raise ValueError(
                f"recovery.heartbeat is {self.heartbeat:g} s and min_idle {self.min_idle:g} s: one missed "
                "heartbeat would give the entry away; take at most half of min_idle"
            )

    def complaint(self, server: str) -> str:
        """Say in words that a server has not got what this strategy needs, and what to take instead."""
        needed, (major, minor, _) = _NEEDED[self.strategy]
        return (
            f"{server} has no {needed}, which the recovery {self.strategy!r} needs (Redis {major}.{minor}, no Valkey): "
            "take 'autoclaim'"
        )

    def works_on(self, kind: Literal["redis", "valkey"], version: tuple[int, int, int]) -> bool:
        """Return whether a server of this kind and version has what this strategy needs."""
        _, since = _NEEDED.get(self.strategy, ("", (0, 0, 0)))
        return version >= since and (kind == "redis" or since == (0, 0, 0))

    @property
    def claims(self) -> bool:
        """Whether consumers take over what others left."""
        return self.strategy in ("claim", "autoclaim", "read-claim", "nack")

    @property
    def looks_every(self) -> float:
        """Seconds between two looks for idle entries."""
        return self.min_idle / 2 if self.interval is None else self.interval

    @property
    def restarts_after(self) -> float | None:
        """Seconds until a dead worker is started again; None: never."""
        if self.restart_after is None and self.strategy == "restart":
            return USUAL_RESTART
        return self.restart_after

    def dead_letter_of(self, stream: str) -> str:
        """Return the key of a stream's dead letters: in a cluster, one that lies on the same node."""
        return self.dead_letter or key_beside(stream, "dead")


#: One of each kind, as `streamlab run --recovery NAME` and the tables take them.
RECOVERIES: Final[dict[str, Callable[[], Recovery]]] = {
    "none": Recovery,
    "restart": lambda: Recovery("restart"),
    "claim": lambda: Recovery("claim"),
    "autoclaim": lambda: Recovery("autoclaim"),
    "read-claim": lambda: Recovery("read-claim"),
    "nack": lambda: Recovery("nack"),
}
