"""What a timeline says: its title and its alternative text."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence

from streamlab.events import CRASHED
from streamlab.plots.stints import Drawn, Lanes
from streamlab.plots.style import entries_text, listed, of_consumers, time_text

#: As many deliveries as can be told one by one.
_MOST_TOLD = 9


def how_much(lanes: Lanes) -> str:
    """Say how much of the run is shown, if it is not all."""
    n_shown = len(lanes.drawn)
    if n_shown == lanes.n_deliveries:
        return ""
    cut = ", as many as max_entries" if lanes.cut else ""
    return f"{n_shown:,} of {lanes.n_deliveries:,} deliveries{cut}"


def title(lanes: Lanes) -> str:
    """Say what there is to see: a crash and what came of it, claims, or who was given what."""
    crash = _first_crash(lanes)
    if crash is not None:
        name, at = crash
        return f"{name} crashes at {time_text(at)} {_consequence(lanes, name, at)}"
    drawn = lanes.drawn
    claimed = [d for d in drawn if d.stint.claimed]
    if claimed:
        by = listed(dict.fromkeys(d.stint.consumer for d in claimed))
        are = "is" if len(claimed) == 1 else "are"
        return f"{entries_text(len(claimed))} {are} claimed by {by}{_twice(drawn)}"
    if not drawn:
        return "No entry was delivered in this time"
    return _assignment(lanes, drawn)


def _assignment(lanes: Lanes, drawn: Sequence[Drawn]) -> str:
    names = list(lanes.lanes)
    if len(names) == 1:
        took = [
            d.stint.processed - d.stint.begun for d in drawn if d.stint.processed >= d.stint.begun
        ]
        each = f", {time_text(statistics.median(took))} each (median)" if len(took) > 1 else ""
        in_order = ", one after the other" if len(drawn) > 1 else ""
        return f"{names[0]} takes {entries_text(len(drawn))}{in_order}{each}"
    if len(drawn) <= _MOST_TOLD:
        told = ", ".join(f"{d.number}→{d.stint.consumer}" for d in drawn)
        return f"{entries_text(len(drawn))}, {of_consumers(len(names))}: {told}"
    given = [d.stint.consumer for d in drawn]
    n = len(names)
    if len(set(given[:n])) == n and all(a == b for a, b in zip(given, given[n:], strict=False)):
        return f"{entries_text(len(drawn))} go to {listed(given[:n], most=6)} in turn"
    return f"{entries_text(len(drawn))} go to {_counts(lanes)}"


def _counts(lanes: Lanes) -> str:
    """Return who was given how many, those with most first if there are too many to name."""
    counts = {name: len(lane) for name, lane in lanes.lanes.items()}
    if len(counts) > 6:
        n_idle = sum(not count for count in counts.values())
        idle = f", {n_idle:,} of them to none" if n_idle else ""
        return f"{of_consumers(len(counts))}, at most {max(counts.values()):,} to one{idle}"
    return listed((f"{name} ({count:,})" for name, count in counts.items()), most=6)


def _twice(drawn: Sequence[Drawn]) -> str:
    """Say how many entries are processed more than once, if any are."""
    times = Counter(d.stint.id for d in drawn if not math.isnan(d.stint.processed))
    n = sum(count > 1 for count in times.values())
    return f"; {n:,} {'is' if n == 1 else 'are'} processed more than once" if n else ""


def _first_crash(lanes: Lanes) -> tuple[str, float] | None:
    """Return the first consumer that crashes in the window, and when."""
    crashes = [
        (away.start, name)
        for name in lanes.lanes
        for away in lanes.absences.get(name, ())
        if away.kind == CRASHED and lanes.start <= away.start <= lanes.end
    ]
    if not crashes:
        return None
    at, name = min(crashes)
    return name, at


def _consequence(lanes: Lanes, name: str, at: float) -> str:
    """Say what a consumer held when it crashed, and what became of it."""
    held = [
        d for d in lanes.lanes[name] if d.stint.delivered <= at < d.over and not d.stint.acked <= at
    ]
    if not held:
        return "with nothing pending"
    them = "it" if len(held) == 1 else "them"
    pending = f"with {entries_text(len(held))} pending"
    again = [d.next for d in held if d.next is not None]
    if not again:
        return f"{pending}; nobody takes {them} over"
    again.sort(key=lambda stint: stint.delivered)
    later = f"{time_text(again[0].delivered - at)} later"
    takers = list(dict.fromkeys(stint.consumer for stint in again))
    if takers == [name]:
        return f"{pending}; {later} it comes back and reads {them} again"
    return f"{pending}; {later} {listed(takers)} claim{'s' * (len(takers) == 1)} {them}"


def alt(lanes: Lanes) -> str:
    """Return the alternative text: what is shown, its message, and the figures in it."""
    drawn = lanes.drawn
    names = list(lanes.lanes)
    part = (
        "all" if len(drawn) == lanes.n_deliveries else f"{len(drawn):,} of {lanes.n_deliveries:,}"
    )
    lane = (
        f"a lane for each of {len(names):,} consumers"
        if len(names) > 1
        else f"in the lane of {names[0]}"
    )
    given = listed((f"{name} {len(stints):,}" for name, stints in lanes.lanes.items()), most=8)
    return (
        f"Timeline of {part} deliveries from {time_text(lanes.start)} to {time_text(lanes.end)}, {lane}. "
        f"{title(lanes)}. Deliveries and claims: {given}."
    )
