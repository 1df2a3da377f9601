"""`Comparison`: two runs side by side, and whether they agree."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from streamlab.results.run import Run
from streamlab.results.statistics import Wait
from streamlab.scenario.small_table import ShowsItself, SmallTable

#: By which part the numbers of what a server lost may differ, and by how many in any case.
_LOST_ALIKE: Final = 0.2
_FEW_LOST: Final = 2
#: From which part of a run on, spent waiting for a processor, a worker has been starved.
_STARVED: Final = 0.05
#: Which part of what a worker waited for may be charged to the simulation at another moment, or to another worker.
_UNCERTAIN: Final = 0.01


class Agreement(StrEnum):
    """What comes of comparing two runs."""

    AGREES = "agrees"
    DIFFERS = "differs"
    INCONCLUSIVE = "inconclusive"  #: they differ, by no more than the machine may have caused


_VERDICTS: Final = {
    Agreement.AGREES: "agree",
    Agreement.DIFFERS: "differ",
    Agreement.INCONCLUSIVE: "cannot be told apart from this machine's delays",
}


class Row(NamedTuple):
    """A figure of two runs."""

    what: str
    one: float
    other: float
    agreement: Agreement


@dataclass(frozen=True)
class Comparison(ShowsItself):
    """Two runs side by side.

    They agree if each consumer's shares lie within `share_tolerance` (2 percentage points), the sojourn time's p50 and
    p95 within 10 % or 2 ms, whichever is more, the mean service time within 2 % or 0.1 ms (unless the handler has an
    effect on the server, too), and both lost and duplicated nothing. In a scenario with faults, the longest recovery
    and the counts of what was delivered and processed again may differ by 10 %. Where a server loses what it had
    acknowledged, what counts is how much of that: it may differ by 20 %, or 2. How long such a server is gone, and so
    the sojourn times, is for real Sentinels to say.

    The simulation is charged with what the machine took from a live run, as far as that can be told. So a machine that
    kept a worker waiting for more than a twentieth of the run makes small differences inconclusive: in the sojourn
    times and the recovery, up to the longest wait; in the service time and the shares, up to 1 % of all that was
    waited, and in the shares what can be done in the longest wait. What differs by more, differs on any machine.
    """

    one: Run
    other: Run
    share_tolerance: float = 0.02
    relative_tolerance: float = 0.10
    absolute_tolerance: float = 0.002

    def rows(self) -> list[Row]:
        """Return what is compared, the two values, and whether they agree; of several groups, one after the other."""
        one, other = self.one, self.other
        if len(one.groups) > 1:
            return [
                row._replace(what=f"{group}: {row.what}")
                for group in one.groups
                for row in dataclasses.replace(self, one=one.of(group), other=other.of(group)).rows()
            ]
        length = max(one.duration, other.duration)
        _, wait = self._waited_longest()
        if wait.total <= _STARVED * length:
            wait = Wait(0.0, 0.0)
        # What a consumer would have done in the longest wait, others may have done: an entry at least.
        moved = max(wait.longest / other.service, 1) / other.acked if other.acked and other.service else 0.0
        rows = []
        for name in one.shares.keys() | other.shares.keys():
            a, b = one.shares.get(name, 0.0), other.shares.get(name, 0.0)
            doubt = _UNCERTAIN * max(a, b) * wait.total / length + moved if wait.total else 0.0
            rows.append(_row(f"share of {name}", a, b, self.share_tolerance, doubt))
        rows.sort()
        loses = one.scenario.may_forget
        for name in () if loses else ("p50", "p95"):
            a, b = getattr(one.sojourn, name), getattr(other.sojourn, name)
            limit = max(self.relative_tolerance * max(a, b), self.absolute_tolerance)
            rows.append(_row(f"sojourn {name} (ms)", a, b, limit, wait.longest, 1000))
        if one.scenario.sink == "none":  # else the handler's time holds a command, and what the machine took of that
            a, b = one.service, other.service
            doubt = _UNCERTAIN * wait.total * len(other.consumers) / max(other.processed, 1)
            rows.append(_row("service (ms)", a, b, max(0.02 * max(a, b), 0.0001), doubt, 1000))
        rows.append(_row("added", one.added, other.added))
        counted = [("lost", True), ("pending", False), ("undelivered", False)]
        if loses:
            for name, a in one.lost_by_server.counts().items():
                b = other.lost_by_server.counts()[name]
                rows.append(_row(f"lost by the server: {name}", a, b, max(_LOST_ALIKE * max(a, b), _FEW_LOST)))
        elif one.scenario.faults:
            a, b = one.recovery.time_max, other.recovery.time_max
            rows.append(_row("recovery (ms)", a, b, self.relative_tolerance * max(a, b), wait.longest, 1000))
            for name in ("redelivered", "duplicates"):
                a, b = getattr(one, name), getattr(other, name)
                rows.append(_row(name, a, b, self.relative_tolerance * max(a, b)))
        else:
            counted.append(("duplicates", True))
        for name, must_be_none in counted:
            a, b = getattr(one, name), getattr(other, name)
            rows.append(_row(name, a, b, -1 if must_be_none and a else 0))
        return rows

    @property
    def verdict(self) -> Agreement:
        """What all rows come to."""
        found = {row.agreement for row in self.rows()}
        worst_first = Agreement.DIFFERS, Agreement.INCONCLUSIVE, Agreement.AGREES
        return next(agreement for agreement in worst_first if agreement in found)

    @property
    def agrees(self) -> bool:
        """Whether every row agrees."""
        return self.verdict == Agreement.AGREES

    def as_table(self) -> SmallTable:
        """Return the rows as texts, and what they come to."""
        rows = []
        for what, a, b, agreement in self.rows():
            values = (f"{value:,}" if isinstance(value, int) else f"{value:.3f}" for value in (a, b, b - a))
            rows.append((what, *values, agreement.upper() if agreement == Agreement.DIFFERS else agreement))
        lines = [f"{self.one.scenario.name}: the two runs {_VERDICTS[self.verdict]}", *filter(None, [self.reservation])]
        return SmallTable(lines, ("", self.one.engine, self.other.engine, "difference", ""), rows)

    @property
    def reservation(self) -> str:
        """Why it cannot be told whether they agree; "" if it can."""
        if self.verdict != Agreement.INCONCLUSIVE:
            return ""
        name, wait = self._waited_longest()
        return (
            f"inconclusive: this machine kept a worker waiting for {wait.longest * 1000:,.0f} ms "
            f"({name}; {wait.total:.1f} s in all): run it again when there is less to do"
        )

    def _waited_longest(self) -> tuple[str, Wait]:
        waits = [*self.one.waits.items(), *self.other.waits.items()]
        return max(waits, key=lambda item: item[1].total, default=("", Wait(0.0, 0.0)))


def _row(what: str, a: float, b: float, tolerance: float = 0, doubt: float = 0.0, scale: float = 1) -> Row:
    """Return a row of values that agree within a tolerance, or are both NaN (never); beyond it, some are in doubt."""
    if _within(abs(a - b), tolerance) or (math.isnan(a) and math.isnan(b)):
        agreement = Agreement.AGREES
    else:
        agreement = Agreement.INCONCLUSIVE if _within(abs(a - b), tolerance + doubt) else Agreement.DIFFERS
    return Row(what, a * scale, b * scale, agreement)


def _within(difference: float, limit: float) -> bool:
    """Tell whether a difference is no more than its limit, but for what rounding has added: 0.428 - 0.408 > 0.02."""
    return difference <= limit or math.isclose(difference, limit)
