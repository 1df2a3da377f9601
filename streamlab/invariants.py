"""What must hold in every run, whatever went wrong in it: pure functions over its events and final state.

    for verdict in examine(run.scenario, run.events, run.final):
        print(verdict)

What a fault destroys is not lost if it is reported (trimmed, stream deleted), and what is done again after a
redelivery is not wrong: consumer groups deliver at least once. Two invariants are not here: that each key's
entries keep their order (I9), which only streams that are sharded by key promise, and that the same seed
gives the same run (I10), which takes two runs to see.

Events are what actors know. One who is paused, or whose reply is lost, learns late or never what the
server has done for it; where that matters, a rule says nothing rather than something wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from streamlab.events import (
    ACKED,
    CLAIMED,
    DEAD_LETTERED,
    DELIVERED,
    FAILED,
    PROCESSED,
    Event,
    EventLog,
)
from streamlab.facts import Facts
from streamlab.faults import Poison
from streamlab.final_state import FinalState
from streamlab.metrics import id_key
from streamlab.scenario import Scenario
from streamlab.stories import story_of
from streamlab.verdict import Verdict

#: What is found to be wrong: the entry ("" for none), what about it, a hint.
Finding = tuple[str, str, str]
_GIVEN: Final = (DELIVERED, CLAIMED)


def examine(scenario: Scenario, events: EventLog, final: FinalState) -> list[Verdict]:
    """Return a verdict for each invariant; with the first entry that breaks it, and its story."""
    facts = Facts(scenario, events, final)
    verdicts = []
    for name, (rule, broken, applies) in INVARIANTS.items():
        reason = applies(facts)
        if reason:
            verdicts.append(Verdict(True, f"not looked at: {reason}", rule=name))
            continue
        found = next(broken(facts), None)
        if found is None:
            verdicts.append(Verdict(True, rule, rule=name))
        else:
            entry_id, words, hint = found
            story = story_of(entry_id, events, final) if entry_id else ()
            verdicts.append(Verdict(False, words, hint, story, name))
    return verdicts


def broken(scenario: Scenario, events: EventLog, final: FinalState) -> list[Verdict]:
    """Return the verdicts on what must never be and is. To do something twice without need is not among it."""
    verdicts = examine(scenario, events, final)
    return [verdict for verdict in verdicts if not verdict and verdict.rule != NEEDLESS]


# ---- nothing is lost -------------------------------------------------------------------------------


def _lost(facts: Facts) -> Iterator[Finding]:
    final, scenario = facts.final, facts.scenario
    known = (
        facts.processed.keys()
        | facts.dead
        | facts.trimmed
        | final.pending.keys()
        | {*final.undelivered}
    )
    missing = [entry_id for entry_id in facts.added if entry_id not in known]
    if scenario.maxlen is not None:
        first = id_key(final.first_id) if final.first_id else (math.inf, 0)
        missing = [entry_id for entry_id in missing if id_key(entry_id) >= first]
    if missing:
        n_added = len(facts.added)
        yield (
            missing[0],
            f"{len(missing)} of {n_added} entries are lost, the first is {missing[0]}",
            "it was added, never processed, and nobody will be given it any more.",
        )
    for entry_id in facts.dead_lettered:
        if not facts.tried.get(entry_id):
            yield (
                entry_id,
                f"entry {entry_id} was moved to the dead-letter stream, and no handler ever had it",
                "what waits behind an entry that kills its worker uses up its tries: take those that were "
                "delivered before one at a time.",
            )


# ---- effects ---------------------------------------------------------------------------------------


def _wrong_effects(facts: Facts) -> Iterator[Finding]:
    is_idempotent = facts.scenario.sink == "idempotent"
    for entry_id in facts.processed:
        n = facts.final.effects.get(entry_id, 0)
        if n < 1 or (n > 1 and is_idempotent):
            yield (
                entry_id,
                f"entry {entry_id} was processed, and its effect happened {n} times",
                "the effect and the note that it has happened must be one command.",
            )


def _needless(facts: Facts) -> Iterator[Finding]:
    """Find what was taken from a consumer that was at work on it, and nothing was wrong with it."""
    recovery = facts.scenario.recovery
    for entry_id in facts.processed_twice:
        holder: dict[str, float] = {}
        taken: dict[str, Event] = {}
        for event in facts.of_entry[entry_id]:
            if event.kind in _GIVEN:
                for name in holder:
                    if name != event.actor:
                        taken.setdefault(name, event)
                holder[event.actor] = event.at
                taken.pop(event.actor, None)
            elif event.kind == PROCESSED and event.actor in taken:
                since, takeover = holder[event.actor], taken[event.actor]
                if takeover.kind == CLAIMED and facts.was_well(event.actor, since, event.at):
                    yield (
                        entry_id,
                        f"entry {entry_id} was taken from {event.actor}, which was well and finished it: "
                        f"it took {event.at - since:.3g} s, and min_idle is {recovery.min_idle:g} s",
                        "min_idle has to exceed the longest processing time, with what was prefetched before "
                        "it; or a heartbeat has to renew what is held.",
                    )


def _acked_too_early(facts: Facts) -> Iterator[Finding]:
    for entry_id in facts.acked:
        for event in facts.of_entry[entry_id]:
            if event.kind in (PROCESSED, DEAD_LETTERED):
                break
            if event.kind == ACKED:
                yield (
                    entry_id,
                    f"entry {entry_id} was acknowledged before it was processed",
                    "XACK after the effect: else a crash between the two loses the entry.",
                )
                break


# ---- who owns what ---------------------------------------------------------------------------------


def _acked_by_others(facts: Facts) -> Iterator[Finding]:
    for entry_id in facts.acked:
        events = facts.of_entry[entry_id]
        if facts.spans_a_reset(events):
            continue
        owner, most = "", 0
        for event in events:
            # One who was paused may tell late that it was given something, long after another took it over.
            if event.kind in _GIVEN and event.delivery_count >= most:
                owner, most = event.actor, event.delivery_count
            elif event.kind == ACKED:
                if owner and event.actor != owner:
                    yield (
                        entry_id,
                        f"entry {entry_id} was acknowledged by {event.actor}, and {owner} owned it",
                        "a fenced acknowledgement looks who owns the entry by which delivery.",
                    )
                owner = ""


def _counts_fall(facts: Facts) -> Iterator[Finding]:
    hint = "XCLAIM with JUSTID does not count a delivery, and then no limit is ever reached."
    for entry_id in facts.redelivered:
        events = facts.of_entry[entry_id]
        if entry_id in facts.trimmed:
            continue
        is_whole = not facts.spans_a_reset(events)
        seen: dict[str, int] = {}
        for event in events:
            if event.kind not in _GIVEN:
                continue
            name, count, before = event.actor, event.delivery_count, seen.get(event.actor, 0)
            if is_whole and count <= before:
                words = f"for the {_ordinal(count)} time, after the {_ordinal(before)}"
                yield entry_id, f"entry {entry_id} was delivered to {name} {words}", hint
            elif event.kind == CLAIMED and count == 1:
                words = "and has been delivered once: that was before, to another one"
                yield entry_id, f"entry {entry_id} was taken over by {name}, {words}", hint
            seen[name] = count
    yield from _two_places(facts)


def _two_places(facts: Facts) -> Iterator[Finding]:
    """Find what is in two places at the end: done, pending, dead-lettered and undelivered are a partition."""
    if facts.resets:
        return  # a group that was made anew delivers again what was done
    final = facts.final
    places = {
        "acknowledged": set(facts.acked),
        "pending": set(final.pending),
        "undelivered": set(final.undelivered),
        "dead-lettered": facts.dead,
    }
    names = list(places)
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            for entry_id in sorted(places[one] & places[other], key=id_key):
                yield entry_id, f"entry {entry_id} is {one} and {other} at once", ""
    for entry_id in sorted(final.dead_letters, key=id_key):
        if final.dead_letters.count(entry_id) > 1:
            yield entry_id, f"entry {entry_id} is in the dead-letter stream twice", ""


# ---- everything comes to an end --------------------------------------------------------------------


def _stuck(facts: Facts) -> Iterator[Finding]:
    final, recovery = facts.final, facts.scenario.recovery
    bound = facts.bound
    calm = facts.end - max([facts.last_trouble, *facts.resets])
    limit = recovery.max_deliveries
    for entry_id, consumer in final.pending.items():
        given = [event for event in facts.of_entry.get(entry_id, ()) if event.kind in _GIVEN]
        if limit is not None and given and given[-1].delivery_count > limit:
            continue  # it cannot be dead-lettered, and must not be processed: it is rightly kept
        for_ = min(calm, facts.end - given[0].at) if given else calm
        if for_ > bound:
            yield (
                entry_id,
                f"entry {entry_id} is still pending for {consumer}, {for_:.3g} s after all went well again",
                "nothing is redelivered by itself: a consumer reads its own history, and claims what "
                "others left.",
            )
    since = facts.end - facts.last_work
    if final.undelivered and min(calm, since) > bound:
        yield (
            final.undelivered[0],
            f"entry {final.undelivered[0]} was never delivered, and nobody has done anything for "
            f"{min(calm, since):.3g} s",
            "",
        )


def _ignored(facts: Facts) -> Iterator[Finding]:
    """Find what a dead consumer left, while another had nothing to do and did not take it over."""
    recovery = facts.scenario.recovery
    if not recovery.claims:
        return
    longest = 2 * recovery.looks_every + 0.1
    for entry_id, dead, at in facts.abandoned:
        later = [e for e in facts.of_entry[entry_id] if e.at > at]
        if any(e.kind not in _GIVEN and e.kind != FAILED for e in later[:1]):
            continue  # somebody had it already, and said so only now; or it is gone
        if not later and entry_id not in facts.final.pending:
            continue
        until = later[0].at if later else facts.end
        for name, begin, end in facts.idle_stretches(at + recovery.min_idle, until):
            if name != dead and end - begin > longest:
                yield (
                    entry_id,
                    f"entry {entry_id} was left by {dead} at {at:.3f} s, and {name} had nothing to do from "
                    f"{begin:.3f} to {end:.3f} s and did not take it over",
                    "a page of XAUTOCLAIM may be empty before the list has ended: only the cursor 0-0 ends it.",
                )


# ---- bookkeeping -----------------------------------------------------------------------------------


def _uneven(facts: Facts) -> Iterator[Finding]:
    told = facts.final.pending_by | {"XPENDING, entry by entry": len(facts.final.pending)}
    if len(set(told.values())) > 1:
        yield "", f"pending, as told by {', '.join(f'{k}: {n}' for k, n in told.items())}", ""


def _removed_with_entries(facts: Facts) -> Iterator[Finding]:
    for name, at, held in facts.removed:
        for entry_id in held:
            later = [e for e in facts.of_entry[entry_id] if e.at >= at and e.actor != name]
            gone = entry_id not in facts.final.pending and entry_id not in facts.processed
            if gone and not later and entry_id not in facts.trimmed and not facts.resets:
                yield (
                    entry_id,
                    f"{name} was removed from the group with entry {entry_id}, which is gone with it",
                    "XGROUP DELCONSUMER destroys what is pending: claim first, look, and do both in one script.",
                )


def _undelivered_work(facts: Facts) -> Iterator[Finding]:
    for entry_id, event in facts.processed_unasked.items():
        yield entry_id, f"{event.actor} processed entry {entry_id}, and was never given it", ""


def _ordinal(n: int) -> str:
    return f"{n}{'th' if 10 <= n % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


# ---- which of them apply ---------------------------------------------------------------------------


def _always(facts: Facts) -> str:
    return ""


def _with_sink(facts: Facts) -> str:
    return (
        "" if facts.scenario.sink != "none" else "the scenario has no sink, so no ledger of effects"
    )


def _if_claiming(facts: Facts) -> str:
    return "" if facts.scenario.recovery.claims else "nobody claims"


def _if_fenced(facts: Facts) -> str:
    return "" if facts.scenario.recovery.fenced else "acknowledgements are not fenced"


def _if_recovering(facts: Facts) -> str:
    recovery = facts.scenario.recovery
    if not recovery.claims and recovery.restarts_after is None:
        return "nobody recovers anything"
    if not facts.living:
        return "no consumer is left"
    poisoned = any(isinstance(fault, Poison) for fault in facts.scenario.faults)
    if poisoned and recovery.max_deliveries is None:
        return "a poison entry, and no limit for deliveries"
    return ""


#: The invariant that a run may break without being wrong: at least once is at least once.
NEEDLESS: Final = "I2, needless"

Rule = tuple[str, Callable[[Facts], Iterator[Finding]], Callable[[Facts], str]]
INVARIANTS: Final[dict[str, Rule]] = {
    "I1": (
        "every entry that was added is processed, dead-lettered after it was tried, or reported trimmed",
        _lost, _always,
    ),
    "I2": ("every effect has happened, and by an idempotent sink exactly once", _wrong_effects, _with_sink),
    NEEDLESS: ("nothing is taken from a consumer that is well and at work on it", _needless, _if_claiming),
    "I3": ("an entry is acknowledged only after its effect", _acked_too_early, _always),
    "I4": ("nobody acknowledges what another one owns", _acked_by_others, _if_fenced),
    "I5": (
        "delivery counts only rise; done, pending, dead-lettered and undelivered are a partition",
        _counts_fall, _always,
    ),
    "I6": ("once all goes well again, nothing stays pending", _stuck, _if_recovering),
    "I6, in time": (
        "nobody is idle while an entry lies there that a dead consumer left", _ignored, _if_recovering
    ),
    "I7": ("all that tell how many entries are pending agree", _uneven, _always),
    "I8": ("a consumer is removed only with nothing pending", _removed_with_entries, _always),
    "given": ("nobody processes what it was not given", _undelivered_work, _always),
}  # fmt: skip


def summary(verdicts: Sequence[Verdict]) -> Verdict:
    """Return one verdict on several: the first that is broken, or that all hold."""
    wrong = [verdict for verdict in verdicts if not verdict]
    if not wrong:
        return Verdict(True, f"{len(verdicts)} invariants hold.")
    first = wrong[0]
    others = f" (also broken: {', '.join(v.rule for v in wrong[1:])})" if wrong[1:] else ""
    return Verdict(False, f"{first.rule}: {first.words}{others}", first.hint, first.story)
