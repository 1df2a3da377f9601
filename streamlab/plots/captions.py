"""What timelines and recoveries say: their titles and their alternative texts."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence

from streamlab.events import ACKED, CRASHED, REJECTED, VOID
from streamlab.metrics import Stint
from streamlab.plots.episode import Episode
from streamlab.plots.stints import Absence, Drawn, Lanes
from streamlab.plots.style import entries_text, listed, of_consumers, time_text
from streamlab.recovery_metrics import LostWorker
from streamlab.run import Run

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


# ---- recoveries ------------------------------------------------------------------------------------


def recovery_title(episode: Episode) -> str:
    """Say who was lost with what, who took it, and when it was done."""
    lost = episode.lost
    if not math.isnan(episode.dead_lettered):
        killed = [
            stint.consumer
            for stint in episode.stints
            if any(a.kind == CRASHED and a.start == stint.left for a in _away(episode, stint))
        ]
        if killed:
            kills = f"Entry {episode.number:,} kills {listed(dict.fromkeys(killed))}"
            times = f", {len(killed)} times in all" if len(set(killed)) < len(killed) else ""
            return f"{kills}{times}; then it goes to the dead letters, and the others go on"
        return f"Entry {episode.number:,} fails again and again, and goes to the dead letters"
    if lost is None:
        to = listed(dict.fromkeys(stint.consumer for stint in episode.stints))
        return f"Entry {episode.number:,} is given {len(episode.stints)} times, to {to}"
    them = "it" if len(lost.held) == 1 else "them"
    how = "dies" if lost.kind == CRASHED else "stands still"
    begin = f"{lost.consumer} {how} with {entries_text(len(lost.held))}"
    after = [s for s in episode.stints if s.delivered >= lost.at]
    if not after:
        end = "nobody takes it over" if len(lost.held) == 1 else "nobody takes them over"
        return begin + (f"; {end}" if not lost.recovered else ", done already")
    takers = list(dict.fromkeys(s.consumer for s in after if s.consumer != lost.consumer))
    if lost.kind == CRASHED and not takers:
        who = f"it comes back and reads {them} again"
    else:
        who = f"{listed(takers)} claim{'s' * (len(takers) == 1)} {them}"
    if not lost.recovered:
        return f"{begin}; {who}, and not all is done at the end"
    return f"{begin}; {who}: done {time_text(lost.time)} after the loss{_once_more(episode, lost)}"


def _once_more(episode: Episode, lost: LostWorker) -> str:
    """Say if the entry was processed twice, and by whom."""
    if any(e.kind in (VOID, REJECTED) and e.actor == lost.consumer for e in episode.ends):
        return f", and once more by {lost.consumer} when it wakes"
    if any(stint.processed <= lost.at for stint in episode.stints):
        return ", for the second time"
    return ""


def _away(episode: Episode, stint: Stint) -> Sequence[Absence]:
    return episode.absences.get(stint.consumer, ())


def recovery_alt(run: Run, episode: Episode) -> str:
    """Return the alternative text of an entry's way through a failure."""
    steps = []
    for i, stint in enumerate(episode.stints):
        verb = (
            "is claimed by"
            if stint.claimed
            else "is delivered again to"
            if i
            else "is delivered to"
        )
        steps.append(f"{verb} {stint.consumer} at {time_text(stint.delivered)}")
    if not math.isnan(episode.dead_lettered):
        steps.append(f"is moved to the dead letters at {time_text(episode.dead_lettered)}")
    elif math.isnan(episode.settled):
        steps.append("is still pending at the end")
    else:
        steps.append(f"is done at {time_text(episode.settled)}")
    return (
        f"Timeline of a recovery from {time_text(episode.start)} to {time_text(episode.end)}. "
        f"{recovery_title(episode)}. Entry {episode.number:,} {listed(steps, most=8)}. "
        f"Beneath: pending entries, at most {max(run.series.pending):,}."
    )


def zombie_title(run: Run, episode: Episode) -> str:
    """Say what came of an acknowledgement by a consumer that did not own the entry."""
    fenced = "Fenced" if run.scenario.recovery.fenced else "Without fencing"
    for ack in run.recovery.zombie_acks:
        if ack.id == episode.entry:
            whose = (
                f"what {ack.owner} owns and is still working on"
                if ack.owner
                else "what nobody owns"
            )
            return f"{fenced}: {ack.consumer} wakes and acknowledges {whose}"
    for event in episode.ends:
        if event.kind == REJECTED:
            return f"{fenced}: {event.actor} wakes, and its acknowledgement is refused; the owner's counts"
    return f"{fenced}: {episode.ends[-1].actor} acknowledges what is not pending any more"


def zombie_alt(run: Run, episode: Episode) -> str:
    """Return the alternative text of a zombie's story."""
    owned = [
        f"{stint.consumer} from {time_text(stint.delivered)} to {time_text(stint.over)}"
        for stint in episode.stints
    ]
    said = {ACKED: "granted", VOID: "answered with 0", REJECTED: "refused"}
    acks = [
        f"{event.actor}'s at {time_text(event.at)}, {said[event.kind]}"
        for event in episode.ends
        if event.kind in said
    ]
    return (
        f"{zombie_title(run, episode)}. Owner of entry {episode.number:,}: {listed(owned)}. "
        f"Acknowledgements: {listed(acks)}."
    )
