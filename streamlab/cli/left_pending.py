"""What the recovery of a run should have dealt with, and has not."""

from __future__ import annotations

from streamlab.actors.events import CRASHED, PAUSED, RESUMED, STARTED, STOPPED
from streamlab.results.run import Run


def left_pending(run: Run) -> str:
    """Say what is pending at the end of a run, for whom, and what to do; "" if nothing is that should not be.

    Where the recovery is ``"none"``, what a dead consumer held is meant to stay. A dead letter has been given up,
    also where its acknowledgement never came.
    """
    if len(run.groups) > 1:
        each = {group: left_pending(part) for group, part in run.groups.items()}
        return "; ".join(f"{group}: {left}" for group, left in each.items() if left)
    recovery = run.scenario.recovery
    held: dict[str, list[str]] = {}
    for entry_id, consumer in run.final.pending.items():
        if entry_id not in run.dead_letters:
            held.setdefault(consumer, []).append(entry_id)
    if recovery.strategy == "none" or not held:
        return ""
    states = {event.actor: event.kind for event in run.events if event.kind in _STATES}
    names = [consumer.name for consumer in run.scenario.consumers]
    alive = [name for name in names if states.get(name) not in (CRASHED, PAUSED)]
    whose = "; ".join(
        f"{_entries(ids)} for {consumer}{_STATES[states[consumer]] if consumer in states else ''}, the first {ids[0]}"
        for consumer, ids in held.items()
    )
    if not recovery.claims:
        advice = (
            "only its own consumer recovers it: give --restart-after a shorter time, the scenario a longer drain, or "
            "take --recovery autoclaim"
        )
    elif not alive:
        advice = "no consumer was left to claim it: have dead ones restarted (--restart-after 500ms), or add consumers"
    else:
        advice = (
            f"it was not claimed before the run ended: claim earlier (--min-idle, now {recovery.min_idle:g} s, and "
            f"--interval, now {recovery.looks_every:g} s), or give the scenario a longer drain "
            f"(now {run.scenario.drain:g} s)"
        )
    return f"{whose}. Recovery {recovery.strategy} did not deal with it; {advice}"


#: What the last of these events says of a consumer.
_STATES = {CRASHED: " (dead)", PAUSED: " (paused)", RESUMED: "", STARTED: "", STOPPED: ""}


def _entries(ids: list[str]) -> str:
    return f"{len(ids):,} {'entry' if len(ids) == 1 else 'entries'}"
