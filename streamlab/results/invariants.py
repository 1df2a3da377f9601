"""What must hold in every run, whatever went wrong in it: pure functions over its events and final state.

    for verdict in examine(run.scenario, run.events, run.final):
        print(verdict)

What a fault destroys is not lost if it is reported (trimmed, stream deleted, forgotten by the server), and what is
done again after a redelivery is not wrong: consumer groups deliver at least once. One invariant is not here: that the
same seed gives the same run (I10), which takes two runs to see.

Events are what actors know. One who is paused, or whose reply is lost, learns late or never what the
server has done for it; where that matters, a rule says nothing rather than something wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from streamlab.actors.events import CLAIMED, DELIVERED, FAILED, PROCESSED
from streamlab.results.events import Event, EventLog
from streamlab.results.evidence import Evidence
from streamlab.results.final_state import FinalState
from streamlab.results.ledger import Ledger
from streamlab.results.order import inversions
from streamlab.results.statistics import id_key
from streamlab.results.stories import story_of
from streamlab.results.verdict import Verdict
from streamlab.scenario import Scenario
from streamlab.scenario.action import ordinal
from streamlab.scenario.actions import Poison

#: What is found to be wrong: the entry ("" for none), what about it, a hint.
Finding = tuple[str, str, str]
_GIVEN: Final = (DELIVERED, CLAIMED)


def examine(
    scenario: Scenario, events: EventLog, final: FinalState, ledger: Ledger | None = None
) -> tuple[Verdict, ...]:
    """Return a verdict for each invariant; with the first entry that breaks it, and its story.

    Give the run's `ledger` if there is one already.
    """
    evidence = Evidence(scenario, events, final, ledger)
    return tuple(examine_one(rule, evidence) for rule in INVARIANTS)


def examine_one(rule: str, evidence: Evidence) -> Verdict:
    """Return the verdict on one invariant, with the story of the first entry that breaks it."""
    words, broken, applies = INVARIANTS[rule]
    reason = applies(evidence)
    if reason:
        return Verdict(True, f"not looked at: {reason}", rule=rule)
    found = next(broken(evidence), None)
    if found is None:
        lost = evidence.forgotten.in_words() if rule == "I1" else ""
        return Verdict(True, f"{words}, but for what the server lost: {lost}" if lost else words, rule=rule)
    entry_id, words, hint = found
    story = story_of(entry_id, evidence.events, evidence.final) if entry_id else ()
    return Verdict(False, words, hint, story, rule)


# ---- nothing is lost -------------------------------------------------------------------------------


def _lost(evidence: Evidence) -> Iterator[Finding]:
    ledger, (_, missing) = evidence.ledger, evidence.missing
    if missing:
        hint = "it was added, never processed, and nobody will be given it any more."
        yield missing[0], f"{len(missing)} of {len(ledger.added)} entries are lost, the first is {missing[0]}", hint
    for entry_id in ledger.dead_lettered:
        if not ledger.was_tried(entry_id):
            yield (
                entry_id,
                f"entry {entry_id} was moved to the dead-letter stream, and no handler ever had it",
                "what waits behind an entry that kills its worker uses up its tries: take those that were "
                "delivered before one at a time.",
            )


# ---- effects ---------------------------------------------------------------------------------------


def _wrong_effects(evidence: Evidence) -> Iterator[Finding]:
    is_idempotent = evidence.scenario.sink == "idempotent"
    for entry_id in evidence.ledger.processed:
        n = evidence.final.effects.get(entry_id, 0)
        if n < 1 or (n > 1 and is_idempotent):
            hint = "the effect and the note that it has happened must be one command."
            yield entry_id, f"entry {entry_id} was processed, and its effect happened {n} times", hint


def _needless(evidence: Evidence) -> Iterator[Finding]:
    """Find what was taken from a consumer that was at work on it, and nothing was wrong with it."""
    recovery = evidence.scenario.last_recovery
    evidence.look_at(evidence.ledger.processed_again)
    for entry_id in evidence.ledger.processed_again:
        holder: dict[str, float] = {}
        taken: dict[str, Event] = {}
        for event in evidence.events_of(entry_id):
            if event.kind in _GIVEN:
                for name in holder:
                    if name != event.actor:
                        taken.setdefault(name, event)
                holder[event.actor] = event.at
                taken.pop(event.actor, None)
            elif event.kind == PROCESSED and event.actor in taken:
                since, takeover = holder[event.actor], taken[event.actor]
                if takeover.kind == CLAIMED and evidence.was_well(event.actor, since, event.at):
                    yield (
                        entry_id,
                        f"entry {entry_id} was taken from {event.actor}, which was well and finished it: "
                        f"it took {event.at - since:.3g} s, and min_idle is {recovery.min_idle:g} s",
                        "min_idle has to exceed the longest processing time, with what was prefetched before "
                        "it; or a heartbeat has to renew what is held.",
                    )


def _acked_too_early(evidence: Evidence) -> Iterator[Finding]:
    for entry_id in evidence.ledger.acked_early:
        hint = "XACK after the effect: else a crash between the two loses the entry."
        yield entry_id, f"entry {entry_id} was acknowledged before it was processed", hint


# ---- who owns what ---------------------------------------------------------------------------------


def _acked_by_others(evidence: Evidence) -> Iterator[Finding]:
    for zombie in evidence.ledger.zombie_acks:
        if zombie.owner and not evidence.spans_a_reset(zombie.id):
            words = f"entry {zombie.id} was acknowledged by {zombie.consumer}, and {zombie.owner} owned it"
            yield zombie.id, words, "a fenced acknowledgement looks who owns the entry by which delivery."


def _counts_fall(evidence: Evidence) -> Iterator[Finding]:
    hint = "XCLAIM with JUSTID does not count a delivery, and then no limit is ever reached."
    ledger = evidence.ledger
    evidence.look_at(ledger.redelivered)
    for entry_id in ledger.redelivered:
        events = evidence.events_of(entry_id)
        if entry_id in ledger.trimmed:
            continue
        is_whole = not evidence.spans_a_reset(entry_id)
        seen: dict[str, int] = {}
        for event in events:
            if event.kind not in _GIVEN or not event.delivery_count:
                continue  # a claim by hand tells no count: its consumer reads what it was given, and that does
            name, count, before = event.actor, event.delivery_count, seen.get(event.actor, 0)
            if is_whole and count <= before:
                words = f"for the {ordinal(count)} time, after the {ordinal(before)}"
                yield entry_id, f"entry {entry_id} was delivered to {name} {words}", hint
            elif event.kind == CLAIMED and count == 1:
                words = "and has been delivered once: that was before, to another one"
                yield entry_id, f"entry {entry_id} was taken over by {name}, {words}", hint
            seen[name] = count
    yield from _two_places(evidence)


def _two_places(evidence: Evidence) -> Iterator[Finding]:
    """Find what is in two places at the end: done, pending, dead-lettered and undelivered are a partition."""
    if evidence.resets:
        return  # a group that was recreated delivers again what was done
    final = evidence.final
    places = {
        "acknowledged": evidence.ledger.acked.keys(),
        "pending": final.pending.keys(),
        "undelivered": set(final.undelivered),
        "dead-lettered": evidence.dead,
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


def _stuck(evidence: Evidence) -> Iterator[Finding]:
    final, recovery = evidence.final, evidence.scenario.last_recovery
    bound = evidence.bound
    calm = evidence.end - max([evidence.last_trouble, *evidence.resets])
    limit = recovery.max_deliveries
    evidence.look_at(final.pending)
    for entry_id, consumer in final.pending.items():
        given = [event for event in evidence.events_of(entry_id) if event.kind in _GIVEN]
        if limit is not None and given and given[-1].delivery_count > limit:
            continue  # it cannot be dead-lettered, and must not be processed: it is rightly kept
        for_ = min(calm, evidence.end - given[0].at) if given else calm
        if for_ > bound:
            words = f"entry {entry_id} is still pending for {consumer}, {for_:.3g} s after all went well again"
            hint = "nothing is redelivered by itself: a consumer reads its own history, and claims what others left."
            yield entry_id, words, hint
    since = evidence.end - evidence.ledger.last_work
    if final.undelivered and min(calm, since) > bound:
        yield (
            final.undelivered[0],
            f"entry {final.undelivered[0]} was never delivered, and nobody has done anything for "
            f"{min(calm, since):.3g} s",
            "",
        )


def _ignored(evidence: Evidence) -> Iterator[Finding]:
    """Find what a dead consumer left, while another had nothing to do and did not take it over."""
    recovery = evidence.scenario.last_recovery
    if not recovery.claims:
        return
    longest = 2 * recovery.looks_every + 0.1
    abandoned = evidence.ledger.actors.abandoned
    evidence.look_at([entry_id for entry_id, *_ in abandoned])
    for entry_id, dead, at in abandoned:
        later = [e for e in evidence.events_of(entry_id) if e.at > at]
        if any(e.kind not in _GIVEN and e.kind != FAILED for e in later[:1]):
            continue  # somebody had it already, and said so only now; or it is gone
        if not later and entry_id not in evidence.final.pending:
            continue
        until = later[0].at if later else evidence.end
        for name, begin, end in evidence.idle_stretches(at + recovery.min_idle, until):
            if name != dead and end - begin > longest:
                yield (
                    entry_id,
                    f"entry {entry_id} was left by {dead} at {at:.3f} s, and {name} had nothing to do from "
                    f"{begin:.3f} to {end:.3f} s and did not take it over",
                    "a page of XAUTOCLAIM may be empty before the list has ended: only the cursor 0-0 ends it.",
                )


# ---- order ------------------------------------------------------------------------------------------


def _overtaken(evidence: Evidence) -> Iterator[Finding]:
    for found in inversions(evidence.scenario, evidence.ledger):
        yield (
            found.id,
            f"entry {found.id} of key {found.key} was processed at {found.at:.3f} s, after the later {found.after}",
            "one consumer at a time for a shard, what is pending first, and nothing before what failed.",
        )


# ---- bookkeeping -----------------------------------------------------------------------------------


def _uneven(evidence: Evidence) -> Iterator[Finding]:
    told = evidence.final.pending_by | {"XPENDING, entry by entry": len(evidence.final.pending)}
    if len(set(told.values())) > 1:
        yield "", f"pending, as told by {', '.join(f'{k}: {n}' for k, n in told.items())}", ""


def _removed_with_entries(evidence: Evidence) -> Iterator[Finding]:
    for name, at, held in evidence.ledger.actors.removed:
        for entry_id in held:
            later = [e for e in evidence.events_of(entry_id) if e.at >= at and e.actor != name]
            gone = entry_id not in evidence.final.pending and entry_id not in evidence.ledger.processed
            if gone and not later and entry_id not in evidence.ledger.trimmed and not evidence.resets:
                hint = "XGROUP DELCONSUMER destroys what is pending: claim first, look, and do both in one script."
                yield entry_id, f"{name} was removed from the group with entry {entry_id}, which is gone with it", hint


def _undelivered_work(evidence: Evidence) -> Iterator[Finding]:
    for entry_id, event in evidence.ledger.processed_unasked.items():
        yield entry_id, f"{event.actor} processed entry {entry_id}, and was never given it", ""


# ---- which of them apply ---------------------------------------------------------------------------


def _always(evidence: Evidence) -> str:
    return ""


def _with_sink(evidence: Evidence) -> str:
    if evidence.scenario.sink == "none":
        return "the scenario has no sink, so no ledger of effects"
    return "the server has forgotten effects, too" if any(evidence.forgotten) else ""


def _if_claiming(evidence: Evidence) -> str:
    return "" if evidence.scenario.last_recovery.claims else "nobody claims"


def _if_fenced(evidence: Evidence) -> str:
    return "" if evidence.scenario.last_recovery.fenced else "acknowledgements are not fenced"


def _if_sharded(evidence: Evidence) -> str:
    if evidence.scenario.shards is not None:
        return ""
    reason = "one stream for several consumers promises no order"
    n = sum(1 for _ in inversions(evidence.scenario, evidence.ledger)) if evidence.scenario.n_keys else 0
    return f"{reason}, and {n} entries were overtaken by a later one of their key" if n else reason


def _if_anybody_may_take_over(evidence: Evidence) -> str:
    if evidence.scenario.shards is not None:
        return "a shard is its owner's, whoever else has nothing to do"
    return _if_recovering(evidence)


def _if_recovering(evidence: Evidence) -> str:
    recovery = evidence.scenario.last_recovery
    if not recovery.claims and recovery.restarts_after is None:
        return "nobody recovers anything"
    if not evidence.living:
        return "no consumer is left"
    poisoned = any(isinstance(fault, Poison) for fault in evidence.scenario.actions)
    if poisoned and recovery.max_deliveries is None:
        return "a poison entry, and no limit for deliveries"
    return ""


#: The invariant that a run may break without being wrong: at least once is at least once.
NEEDLESS: Final = "I2, needless"

Rule = tuple[str, Callable[[Evidence], Iterator[Finding]], Callable[[Evidence], str]]
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
        "nobody is idle while an entry lies there that a dead consumer left", _ignored, _if_anybody_may_take_over
    ),
    "I7": ("all that tell how many entries are pending agree", _uneven, _always),
    "I8": ("a consumer is removed only with nothing pending", _removed_with_entries, _always),
    "I9": ("the entries of each key are processed in their order", _overtaken, _if_sharded),
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
